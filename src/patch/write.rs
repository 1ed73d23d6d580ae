//! Putting a patch on disk: the old file or the new one, never half of one, and never over somebody else's change.
//!
//! - the file is compared with what the patch was made from while its directory is locked, so of two qcc writers one is told;
//! - symbolic links are followed and stay; mode and owner stay;
//! - what a writer left that was killed goes with the next change;
//! - a new file is written beside it, synced, and renamed over it; where that cannot be (a bind-mounted file, a directory
//!   that is not ours), the file is written in place after a backup was synced.
//!
//! Other programs do not know the lock: the file is compared again when the new one is on disk, right before it takes its
//! place. One that saves within the microseconds between is overwritten.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use super::Patch;

/// Why nothing was written, or not all.
#[derive(Debug)]
pub enum WriteError {
    /// The file is not what the patch was made from: somebody else saved it.
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is as it was.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Writing in place broke off; what the file was is in the backup.
    Torn {
        /// The file.
        path: PathBuf,
        /// The file as it was.
        backup: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { path } => {
                write!(f, "{} was changed by somebody else meanwhile; nothing was written, try again", path.display())
            }
            Self::Io { path, source } => write!(f, "{} cannot be written: {source}", path.display()),
            Self::Torn { path, backup, source } => {
                write!(f, "writing {} broke off: {source}; what it was is in {}", path.display(), backup.display())
            }
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Changed { .. } => None,
            Self::Io { source, .. } | Self::Torn { source, .. } => Some(source),
        }
    }
}

/// Writes `patch.after` to `file` if the file still holds `patch.before`.
pub fn write(file: &Path, patch: &Patch) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io { path: file.to_owned(), source };
    let target = fs::canonicalize(file).map_err(failed)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let lock = lock(directory).map_err(failed)?;
    if !holds(&target, &patch.before).map_err(failed)? {
        return Err(WriteError::Changed { path: file.to_owned() });
    }
    if patch.is_empty() {
        return Ok(());
    }
    clear(directory);
    match replace(&target, directory, patch) {
        Ok(()) => lock.sync_all().or_else(unsupported).map_err(failed),
        Err(Replace::Changed) => Err(WriteError::Changed { path: file.to_owned() }),
        Err(Replace::InPlace) => in_place(file, &target, directory, patch),
        Err(Replace::Failed(source)) => Err(failed(source)),
    }
}

/// The directory itself is locked: nothing is left lying about, and a rename does not lose the lock.
fn lock(directory: &Path) -> io::Result<File> {
    let directory = File::open(directory)?;
    match flock(&directory, FlockOperation::LockExclusive) {
        Ok(()) => Ok(directory),
        Err(errno) => unsupported(errno.into()).map(|()| directory),
    }
}

/// Some network filesystems can neither lock nor sync a directory; the comparison still guards there.
fn unsupported(error: io::Error) -> io::Result<()> {
    use rustix::io::Errno;
    let harmless = [Errno::NOTSUP, Errno::NOLCK, Errno::BADF, Errno::INVAL, Errno::NOSYS];
    if harmless.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) { Ok(()) } else { Err(error) }
}

/// How new files are called until they are whole.
const UNFINISHED: &str = ".qcc-edit-";

/// Takes away what writers left that were killed: while the directory is locked, nobody else is at work in it.
fn clear(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())) {
        // One that stays is no harm.
        drop(fs::remove_file(entry.path()));
    }
}

/// Whether the file still says `text`.
fn holds(target: &Path, text: &str) -> io::Result<bool> {
    Ok(fs::read(target)? == text.as_bytes())
}

pub(super) enum Replace {
    /// Somebody else saved the file meanwhile.
    Changed,
    /// Renaming is not possible here.
    InPlace,
    Failed(io::Error),
}

pub(super) fn replace(target: &Path, directory: &Path, patch: &Patch) -> Result<(), Replace> {
    let old = fs::metadata(target).map_err(Replace::Failed)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(directory)
        .map_err(|error| in_place_if(error, NOT_OURS))?;
    let new = file.as_file().metadata().map_err(Replace::Failed)?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file.as_file(), Some(old.uid()), Some(old.gid())).map_err(|error| in_place_if(error, NOT_OURS))?;
    }
    file.as_file().set_permissions(old.permissions()).map_err(Replace::Failed)?;
    file.write_all(patch.after.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(Replace::Failed)?;
    if !holds(target, &patch.before).map_err(Replace::Failed)? {
        return Err(Replace::Changed);
    }
    file.persist(target).map(drop).map_err(|refused| in_place_if(refused.error, BOUND))
}

/// The directory, or the owner the file has, is out of our reach.
const NOT_OURS: &[io::ErrorKind] = &[io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
/// The file is a mount point.
const BOUND: &[io::ErrorKind] =
    &[io::ErrorKind::ResourceBusy, io::ErrorKind::CrossesDevices, io::ErrorKind::PermissionDenied];

fn in_place_if(error: io::Error, kinds: &[io::ErrorKind]) -> Replace {
    if kinds.contains(&error.kind()) { Replace::InPlace } else { Replace::Failed(error) }
}

/// Overwrites the file, with a synced backup until that is done.
pub(super) fn in_place(file: &Path, target: &Path, directory: &Path, patch: &Patch) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io { path: file.to_owned(), source };
    let mut handle = OpenOptions::new().write(true).open(target).map_err(failed)?;
    let backup = backup(directory, patch.before.as_bytes()).map_err(failed)?;
    if !holds(target, &patch.before).map_err(failed)? {
        return Err(WriteError::Changed { path: file.to_owned() });
    }
    let Err(source) = overwrite(&mut handle, patch.after.as_bytes()) else { return Ok(()) };
    if overwrite(&mut handle, patch.before.as_bytes()).is_ok() {
        return Err(failed(source));
    }
    // Kept even if that fails: then it lies where it was written, under a name nobody takes away.
    let backup = backup.keep().map_or_else(|kept| kept.file.path().to_owned(), |(_, path)| path);
    Err(WriteError::Torn { path: file.to_owned(), backup, source })
}

/// Readable by its owner alone; beside the file if possible. Goes away when dropped, stays when the process is killed.
fn backup(directory: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("qcc.yaml.").suffix(".backup");
    let mut file = builder.tempfile_in(directory).or_else(|_| builder.tempfile())?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn overwrite(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    io::Seek::rewind(file)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
