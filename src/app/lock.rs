//! One proxy per file: whoever runs it holds the system's lock on `lock` in the file's state directory.
//!
//! - The lock decides, not what is written there: it ends with its process, however that ends, so what a dead process
//!   left behind is no obstacle.
//! - The file is never removed or replaced: two processes could then hold locks on two files of one name.
//! - It says who holds it, for the one who is refused and for commands that look for their proxy.
//! - Directory 0700, file 0600; a symbolic link in its place is not followed.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::supervisor;
use crate::config::Instance;

/// Name of the file in the state directory.
const NAME: &str = "lock";
/// The most that is read of it.
const LONGEST: usize = 64 << 10;
/// How often it is looked at again while it says nothing, or while somebody else only looks at it.
const LOOKS: usize = 50;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Who runs a file, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: SystemTime,
    /// The file.
    pub config: PathBuf,
    /// Where its state is.
    #[serde(default)]
    pub state: PathBuf,
    /// Its control socket, if it has one; `None` until it listens.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// Where it listens, such as `http://127.0.0.1:7860`; empty until it does.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its log file, if it is in the background.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// Requests it still finishes, if it is stopping.
    #[serde(default)]
    pub draining: Option<u64>,
    /// Whether it is part of another command, such as `qcc run`, and ends with that.
    #[serde(default)]
    pub embedded: bool,
    /// Whether it may start from the last accepted file, which a restart keeps.
    #[serde(default)]
    pub use_last_good: bool,
    /// Whether a supervisor started it, such as systemd.
    #[serde(default)]
    pub supervised: bool,
}

impl Holder {
    /// This process, with `instance`.
    fn own(instance: &Instance) -> Self {
        Self {
            pid: std::process::id(),
            started: SystemTime::now(),
            config: instance.config.clone(),
            state: instance.state.clone(),
            socket: None,
            addresses: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log: None,
            draining: None,
            embedded: false,
            use_last_good: false,
            supervised: supervisor::is_there(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}, since {}", self.pid, humantime::format_rfc3339_seconds(self.started))?;
        if self.addresses.is_empty() { Ok(()) } else { write!(f, ", on {}", self.addresses.join(" and ")) }
    }
}

/// Why the lock was not got.
#[derive(Debug)]
pub enum LockError {
    /// Somebody holds it; who, if it says so.
    Held(Option<Box<Holder>>),
    /// It cannot be used in this directory.
    Unusable(PathBuf, io::Error),
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    holder: Mutex<Holder>,
}

impl Lock {
    /// Takes the lock of `instance` for this process.
    pub fn take(instance: &Instance) -> Result<Self, LockError> {
        let unusable = |error| LockError::Unusable(instance.state.clone(), error);
        let file = create(&instance.state).map_err(unusable)?;
        if !take(&file).map_err(unusable)? {
            return Err(LockError::Held(read(&file).map(Box::new)));
        }
        let lock = Self { file, holder: Mutex::new(Holder::own(instance)) };
        lock.say(|_| ()).map_err(unusable)?;
        Ok(lock)
    }

    /// What it says of this process.
    pub fn holder(&self) -> Holder {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what it says.
    ///
    /// Nothing is left of what stood there: the number of another process is worse than none.
    pub fn say(&self, change: impl FnOnce(&mut Holder)) -> io::Result<()> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut holder);
        self.file.set_len(0)?;
        self.file.write_all_at(&serde_json::to_vec(&*holder)?, 0)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What a dead process says is not believed anyway.
        drop(self.file.set_len(0));
    }
}

/// Who holds the lock in the directory `state`; `None`: nobody.
pub fn holder(state: &Path) -> io::Result<Option<Holder>> {
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(state.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    for _ in 0..LOOKS {
        if !is_held(&file)? {
            return Ok(None);
        }
        if let Some(holder) = read(&file) {
            return Ok(Some(Holder { state: state.to_owned(), ..holder }));
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::other("a proxy runs, but does not say which process it is"))
}

fn create(state: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
    options.open(state.join(NAME))
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Whether the lock was got. Who only looks has it shared, for an instant: that is no holder.
fn take(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKS {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if is_held(file)? => return Ok(false),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            taken => return Ok(taken.map(|()| true)?),
        }
    }
    Ok(false)
}

fn is_held(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        looked => Ok(looked.and_then(|()| flock(file, FlockOperation::Unlock)).map(|()| false)?),
    }
}

/// What the file says; `None` while it is being written.
fn read(file: &File) -> Option<Holder> {
    let mut text = vec![0; LONGEST];
    let length = file.read_at(&mut text, 0).ok()?;
    serde_json::from_slice(&text[..length]).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An instance whose state is in `dir`.
    fn instance(dir: &Path) -> Instance {
        Instance::of(Path::new("/srv/qcc.yaml"), Some(&dir.join("state")), &|_| None, 1000)
    }

    #[test]
    fn one_holds_it_the_next_is_told_who_and_it_is_free_afterwards() {
        let dir = tempfile::tempdir().expect("a directory");
        let instance = instance(dir.path());
        assert_eq!(holder(&instance.state).expect("nothing is there"), None);
        let first = Lock::take(&instance).expect("it is free");
        first.say(|own| own.addresses = vec!["http://127.0.0.1:1".to_owned()]).expect("it is ours");
        let Err(LockError::Held(Some(held))) = Lock::take(&instance) else { panic!("two hold it") };
        assert_eq!((held.pid, &held.config), (std::process::id(), &instance.config));
        assert_eq!(held.addresses, ["http://127.0.0.1:1"]);
        assert_eq!(holder(&instance.state).expect("a lock"), Some(*held));
        drop(first);
        assert_eq!(holder(&instance.state).expect("a lock"), None);
        Lock::take(&instance).expect("it is free again");
    }

    #[test]
    fn what_a_dead_process_left_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a directory");
        let instance = instance(dir.path());
        drop(create(&instance.state).expect("a file"));
        let one = Holder { pid: 1, ..Holder::own(&instance) };
        for left in [serde_json::to_string(&one).expect("JSON"), "{ \"pid\": 1".to_owned()] {
            std::fs::write(instance.state.join(NAME), left).expect("a file");
            assert_eq!(holder(&instance.state).expect("a lock"), None);
            let lock = Lock::take(&instance).expect("nobody holds it");
            assert_eq!(read(&lock.file).expect("it was written").pid, std::process::id());
        }
    }

    #[test]
    fn those_who_look_are_in_nobodys_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let instance = instance(dir.path());
        let looker = create(&instance.state).expect("a file");
        flock(&looker, FlockOperation::LockShared).expect("it is free");
        let look = std::thread::spawn(move || {
            std::thread::sleep(PAUSE);
            drop(looker);
        });
        Lock::take(&instance).expect("nobody holds it");
        look.join().expect("it looked");
    }

    #[test]
    fn it_is_private_and_follows_no_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let instance = instance(dir.path());
        let lock = Lock::take(&instance).expect("it is free");
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&instance.state), mode(&instance.state.join(NAME))), (0o700, 0o600));
        drop(lock);
        std::fs::rename(instance.state.join(NAME), dir.path().join("elsewhere")).expect("a file");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), instance.state.join(NAME)).expect("a link");
        assert!(matches!(Lock::take(&instance), Err(LockError::Unusable(..))));
        assert!(holder(&instance.state).is_err());
    }
}
