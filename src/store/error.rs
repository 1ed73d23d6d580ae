//! Why state could not be opened, read or written.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

/// Why the state cannot be used; the proxy does not start over it.
#[derive(Debug)]
pub enum OpenError {
    /// What is there is not what it should be.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        help: &'static str,
    },
    /// Not even memory can be used.
    Memory(Failure),
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { path, why, help } => write!(f, "`{}` {why}; {help}", path.display()),
            Self::Memory(error) => write!(f, "state cannot be kept even in memory: {error}"),
            Self::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why something was not read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It took longer than [`super::PATIENCE`]; it may be done all the same.
    Late,
    /// State is in memory only, and this was to last.
    Memory(Arc<str>),
    /// The disk failed, now or before.
    Disk(Arc<str>),
    /// The disk is full.
    Full,
    /// The disk refuses to be written, for want of a quota for example; what was written before is as it was.
    Unwritten(Arc<str>),
    /// Another program keeps the database locked.
    Busy,
    /// The statement itself failed: a bug.
    Statement(Arc<str>),
    /// The job panicked: a bug.
    Panicked,
    /// The writer has ended.
    Ended,
}

impl Failure {
    /// Whether the storage failed, and not the job alone.
    pub(super) fn is_of_the_storage(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Full | Self::Unwritten(_) | Self::Busy)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => write!(f, "state did not answer within {} s", super::PATIENCE.as_secs()),
            Self::Memory(why) => write!(f, "state is in memory only: {why}"),
            Self::Disk(why) => write!(f, "state is read-only until a restart: {why}"),
            Self::Full => f.write_str("the disk is full"),
            Self::Unwritten(why) => write!(f, "the disk refuses to be written: {why}"),
            Self::Busy => f.write_str("another program keeps the state locked"),
            Self::Statement(why) => write!(f, "state: {why}"),
            Self::Panicked => f.write_str("writing state failed by a bug of qcc; the log says where"),
            Self::Ended => f.write_str("the proxy is stopping"),
        }
    }
}

impl std::error::Error for Failure {}

/// Whether a write failed, or the making of room for one.
const fn is_write(code: i32) -> bool {
    matches!(code, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE | ffi::SQLITE_IOERR_SHMSIZE)
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode as Code;
        let why = || error.to_string().into();
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Full,
            // A write that is refused leaves nothing in doubt, unlike a sync that fails.
            Some(Code::SystemIoFailure) if error.sqlite_error().is_some_and(|error| is_write(error.extended_code)) => {
                Self::Unwritten(why())
            }
            Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => Self::Busy,
            Some(
                Code::SystemIoFailure
                | Code::DatabaseCorrupt
                | Code::NotADatabase
                | Code::ReadOnly
                | Code::CannotOpen
                | Code::PermissionDenied,
            ) => Self::Disk(why()),
            _ => Self::Statement(why()),
        }
    }
}
