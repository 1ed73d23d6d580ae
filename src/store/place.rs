//! Folders and files of ours: private, and never behind a symbolic link.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes `folder` (0700, with what is above it) if it is not there, and gives its real path.
///
/// One that is there is taken as it is, if it is ours and nobody else can write it.
pub fn folder(folder: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let real = fs::canonicalize(folder)?;
    let found = fs::metadata(&real)?;
    let us = rustix::process::geteuid().as_raw();
    let why = if found.uid() != us && us != 0 {
        "it belongs to somebody else"
    } else if found.mode() & 0o022 != 0 {
        "others can write it; `chmod go-w` it"
    } else {
        return Ok(real);
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("`{}`: {why}", folder.display())))
}

/// Makes an empty `file` (0600) if it is not there, and closes one that is to everybody else. It must be a plain file.
///
/// It opens nothing that is there: closing a second handle of a database in use would lose its locks.
pub fn file(file: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    let found = fs::symlink_metadata(file)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a plain file"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(file, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("is there").mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = folder(&dir.path().join("a/b")).expect("makes it");
        assert_eq!(mode(&made), 0o700);
        let state = made.join("state.db");
        file(&state).expect("makes it");
        assert_eq!(mode(&state), 0o600);
        fs::set_permissions(&state, Permissions::from_mode(0o644)).expect("ours");
        file(&state).expect("is there");
        assert_eq!(mode(&state), 0o600);
    }

    #[test]
    fn a_folder_others_can_write_and_a_link_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = dir.path().join("open");
        fs::create_dir(&open).expect("makes it");
        fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("ours");
        assert!(folder(&open).expect_err("others can write it").to_string().contains("chmod go-w"));

        let link = dir.path().join("link");
        symlink("/dev/null", &link).expect("a link");
        assert!(file(&link).is_err() && fs::read_link(&link).is_ok());
    }
}
