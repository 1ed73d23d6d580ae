//! The token of the admin listener: made once, kept in the state directory, for its owner's eyes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use crate::config::{Secret, sha256};
use crate::store::place;

/// Name of the file.
const NAME: &str = "admin.token";
/// What is read of it at most.
const LONGEST: u64 = 4096;
/// Fewer characters are no token: they could be guessed.
const SHORTEST: usize = 32;

/// The token in `state`, made if there is none, and the file it is in.
pub(super) fn token(state: &Path) -> io::Result<(Secret, PathBuf)> {
    let path = place::folder(state)?.join(NAME);
    if let Err(error) = make(&path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let token = read(&path)?;
    Ok((token, path))
}

/// Whole or not at all, and never over one that is there.
fn make(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    // Made 0600.
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
    // As digits: the digest of 256 random bits is as random.
    writeln!(file, "{}", sha256(&random))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

fn read(path: &Path) -> io::Result<Secret> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{}` {why}", path.display())));
    if !found.is_file() {
        return wrong("is not a plain file");
    }
    if found.permissions().mode() & 0o077 != 0 {
        return wrong("can be read by others: remove it, and a new one is made at the next start");
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("holds no token: remove it, and one is made at the next start");
    }
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, path) = token(dir.path()).expect("makes it");
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(first.expose().len(), 64);
        let (second, _) = token(dir.path()).expect("reads it");
        assert_eq!(first.expose(), second.expose());
        let other = tempfile::tempdir().expect("a directory");
        assert_ne!(token(other.path()).expect("makes it").0.expose(), first.expose());
    }

    #[test]
    fn what_is_no_secret_is_no_token() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        let private = |text: &str| {
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        };
        for text in ["", "\n", "short", &format!("{:>40}x", "")] {
            private(text);
            assert!(token(dir.path()).expect_err("is refused").to_string().contains("holds no token"), "{text:?}");
        }
        private(&"x".repeat(SHORTEST));
        assert!(token(dir.path()).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(token(dir.path()).expect_err("is refused").to_string().contains("read by others"));
        fs::remove_file(&path).expect("ours");
        std::os::unix::fs::symlink("/dev/null", &path).expect("a link");
        assert!(token(dir.path()).is_err());
    }
}
