//! The demo's directory: its qcc.yaml, the schema and the made-up keys beside it.
//!
//! - a file that is not the demo's is never touched, one that is keeps everything but its ports;
//! - ports change only where they are taken, and the file says the new ones;
//! - one demo at a time runs in a directory.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::cast::{CAST, Seat, expected_ports, seats};
use super::ports::with_ports;
use crate::config::model::Log;
use crate::config::{Config, load_bytes, schema};

/// The file as it is first written.
const STARTER: &str = include_str!("starter.yaml");

/// What the files of the demo say of themselves.
const MARK: &str = "Written by `qcc demo`";

/// Why the demo cannot use its directory.
#[derive(Debug)]
pub(super) enum PlaceError {
    /// Another demo runs there.
    Busy(PathBuf),
    /// The file there is somebody's own.
    Foreign(PathBuf),
    /// The file there is the demo's, but wrong; the report says why.
    Invalid(PathBuf, String),
    /// Something could not be read or written.
    Io(PathBuf, io::Error),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(dir) => {
                write!(f, "a demo runs in `{}` already; stop it, or take another place: `--dir DIR`", dir.display())
            }
            Self::Foreign(path) => {
                let path = path.display();
                write!(f, "`{path}` is not the demo's and stays as it is; take another place: `qcc demo --dir DIR`")
            }
            Self::Invalid(path, report) => {
                let path = path.display();
                write!(f, "`{path}` is not valid; mend it, or delete it to begin anew\n\n{}", report.trim_end())
            }
            Self::Io(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for PlaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Busy(_) | Self::Foreign(_) | Self::Invalid(..) => None,
        }
    }
}

/// The directory, ours until dropped, and what its file says or is to say.
#[derive(Debug)]
pub(super) struct Place {
    /// The file.
    pub(super) path: PathBuf,
    text: String,
    config: Config,
    /// Whether the file has to be written.
    unsaved: bool,
    _lock: File,
}

impl Place {
    /// Takes `dir`, which is made if it is not there. Nothing but the directory itself is written yet.
    pub(super) fn open(dir: &Path) -> Result<Self, PlaceError> {
        let lock = lock(dir)?;
        let path = dir.join("qcc.yaml");
        let (text, unsaved) = match fs::read_to_string(&path) {
            Ok(text) if !text.contains(MARK) => return Err(PlaceError::Foreign(path)),
            Ok(text) => (text, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (STARTER.to_owned(), true),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(PlaceError::Foreign(path)),
            Err(error) => return Err(PlaceError::Io(path, error)),
        };
        let loaded = load_bytes(&path, text.as_bytes());
        let Some(config) = loaded.config.clone() else { return Err(PlaceError::Invalid(path, loaded.report(false))) };
        if expected_ports(&seats(&config)) == [0; CAST.len()] {
            return Err(PlaceError::Foreign(path));
        }
        Ok(Self { path, text, config, unsaved, _lock: lock })
    }

    /// The endpoints of its chain.
    pub(super) fn seats(&self) -> Vec<Seat> {
        seats(&self.config)
    }

    /// The port of 127.0.0.1 where the file wants the proxy.
    pub(super) fn proxy_port(&self) -> Option<u16> {
        let addresses = self.config.server.listen.addresses().iter();
        let mut ports = addresses.filter_map(|address| address.strip_prefix("127.0.0.1:")?.parse().ok());
        ports.next()
    }

    /// How the file wants the log.
    pub(super) fn log(&self) -> Log {
        self.config.log.clone()
    }

    /// Writes what is missing: the file with each port of `moved` (old, new) replaced, the schema, the keys.
    pub(super) fn save(&mut self, moved: &[(u16, u16)]) -> Result<(), PlaceError> {
        let text = with_ports(&self.text, moved);
        if self.unsaved || text != self.text {
            replace(&self.path, &text).map_err(|error| PlaceError::Io(self.path.clone(), error))?;
        }
        (self.text, self.unsaved) = (text, false);
        self.beside("qcc.schema.json", |path| replace(path, &format!("{:#}\n", schema())))?;
        self.beside(".env", add_keys)
    }

    fn beside(&self, name: &str, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), PlaceError> {
        let path = self.path.with_file_name(name);
        write(&path).map_err(|error| PlaceError::Io(path, error))
    }
}

fn lock(dir: &Path) -> Result<File, PlaceError> {
    let failed = |error| PlaceError::Io(dir.to_path_buf(), error);
    fs::create_dir_all(dir).map_err(|error| failed(clearer(error)))?;
    let directory = File::open(dir).map_err(failed)?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(PlaceError::Busy(dir.to_path_buf())),
        Err(error) => Err(failed(error.into())),
    }
}

/// That a file of the name is there means that it is in the way.
fn clearer(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists { io::ErrorKind::NotADirectory.into() } else { error }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    // Temporary files are private; this one is an ordinary file of the user's.
    rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Adds the made-up keys that are not there yet.
fn add_keys(path: &Path) -> io::Result<()> {
    let present = match fs::read_to_string(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        text => text.unwrap_or_default(),
    };
    let names = CAST.map(|(_, id)| format!("DEMO_{}_KEY=", id.to_uppercase()));
    let missing = names.iter().filter(|name| !present.lines().any(|line| line.starts_with(name.as_str())));
    let lines: Vec<_> = missing.map(|name| format!("{name}made-up-{:016x}\n", fastrand::u64(..))).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let gap = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all((gap.to_owned() + &lines.concat()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn the_starter_is_valid_without_a_warning_and_seats_the_cast() {
        let loaded = load_bytes(Path::new("qcc.yaml"), STARTER.as_bytes());
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.report(false));
        let seats = seats(&loaded.config.expect("valid"));
        let names: Vec<_> = seats.iter().map(|seat| (seat.profile.as_str(), seat.id.as_str())).collect();
        assert_eq!(names, CAST);
        assert_eq!(expected_ports(&seats), [7871, 7872, 7873, 7874, 7875]);
    }

    #[test]
    fn what_is_saved_is_found_again_with_its_new_ports_and_the_edits_of_the_user() {
        let dir = dir();
        let mut place = Place::open(dir.path()).expect("a new place");
        place.save(&[(7871, 40_001)]).expect("written");
        let keys = fs::read_to_string(dir.path().join(".env")).expect("keys");
        assert!(keys.lines().count() == 5 && keys.contains("DEMO_WORK_KEY=made-up-"), "{keys}");
        let edited = fs::read_to_string(&place.path).expect("a file").replace("weight: 3 ", "weight: 2 ");
        fs::write(&place.path, &edited).expect("an edit");
        drop(place);
        let mut place = Place::open(dir.path()).expect("our own file");
        assert_eq!((place.seats()[0].port(), place.seats()[0].weight), (Some(40_001), 2));
        place.save(&[]).expect("nothing to write");
        assert_eq!(fs::read_to_string(&place.path).expect("a file"), edited);
        assert_eq!(fs::read_to_string(dir.path().join(".env")).expect("keys"), keys);
        let loaded = crate::config::load(&place.path);
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.report(false));
    }

    #[test]
    fn a_file_of_somebody_else_stays_as_it_is() {
        for text in ["version: 1\n", "# Written by `qcc demo`\nversion: 1\n"] {
            let dir = dir();
            let path = dir.path().join("qcc.yaml");
            fs::write(&path, text).expect("a file");
            let error = Place::open(dir.path()).expect_err("not ours");
            assert!(matches!(error, PlaceError::Foreign(_)), "{error}");
            assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
        }
    }

    #[test]
    fn a_broken_file_is_reported_with_its_diagnostics() {
        let dir = dir();
        fs::write(dir.path().join("qcc.yaml"), STARTER.replace("weight: 3", "wieght: 3")).expect("a file");
        let error = Place::open(dir.path()).expect_err("a typo").to_string();
        assert!(error.contains("mend it") && error.contains("wieght"), "{error}");
    }

    #[test]
    fn two_demos_do_not_share_a_directory() {
        let dir = dir();
        let first = Place::open(dir.path()).expect("a new place");
        assert!(matches!(Place::open(dir.path()), Err(PlaceError::Busy(_))));
        drop(first);
        assert!(Place::open(dir.path()).is_ok());
    }
}
