//! The control socket: where commands of the same user reach the proxy of a file.
//!
//! - The folder is 0700 and ours, the socket 0600, and whoever connects must be the same user, or root.
//! - One that is left behind by a process that is gone is replaced; one where somebody answers is not.
//! - It is removed at the end, if it is still ours.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};

use http::Request;
use tokio::net::{UnixListener, UnixStream};

use super::error::ApiError;
use super::serve::Entrance;

/// The socket, open. Removed when dropped.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file.
    file: (u64, u64),
}

impl Door {
    /// Opens `path`. Must be called on a runtime.
    pub fn open(path: &Path) -> io::Result<Self> {
        private(path.parent().unwrap_or(Path::new("/")))?;
        clear(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned(), file: file(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Entrance for Door {
    type Stream = UnixStream;

    /// The next connection of somebody who may.
    async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        let (them, us) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
        if them != us && them != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {them} is not user {us}")));
        }
        Ok(stream)
    }

    /// Whoever connects may.
    fn admit<B>(&self, _: &Request<B>) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if file(&self.path).is_ok_and(|file| file == self.file) {
            // Nobody answers there any more, whether it can be removed or not.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn file(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Makes the folder 0700, or finds it so. It is in a place where others may have been before us.
fn private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("`{}` is not a folder of ours", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes away a socket nobody answers at.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is in its place"));
        }
        Ok(_) => {}
    }
    match Probe::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("is there").mode() & 0o7777
    }

    #[tokio::test]
    async fn it_is_private_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("qcc/x.sock");
        let door = Door::open(&path).expect("opens");
        assert_eq!((mode(path.parent().expect("has one")), mode(&path)), (0o700, 0o600));
        assert_eq!(Door::open(&path).expect_err("is in use").kind(), io::ErrorKind::AddrInUse);
        let client = UnixStream::connect(&path).await.expect("it listens");
        door.accept().await.expect("the same user");
        drop((door, client));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_one_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "it was left behind");
        let door = Door::open(&path).expect("nobody answers");
        fs::remove_file(&path).expect("ours");
        fs::write(&path, "mine").expect("writes");
        drop(door);
        assert_eq!(fs::read(&path).expect("is there"), b"mine", "not ours any more");
        assert!(Door::open(&path).is_err());
    }

    #[tokio::test]
    async fn a_link_in_place_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("qcc");
        std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
        assert!(Door::open(&link.join("x.sock")).is_err());
    }
}
