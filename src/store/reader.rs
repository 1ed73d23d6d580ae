//! Reading beside the writer: in the proxy by a connection of its own, in other processes without altering anything.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Mutex;

use super::copy;
use super::error::{Failure, OpenError};
use super::job::View;
use super::open::beside;
use super::schema::{self, Found};
use super::{FILE, PATIENCE};

/// The proxy's connection for reading.
#[derive(Debug)]
pub(super) struct Reads(Arc<Mutex<Connection>>);

impl Reads {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Looks on a thread that may block; one look at a time, so that many hold one such thread.
    pub(super) async fn read<T, F>(&self, look: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let mut connection = Arc::clone(&self.0).lock_owned().await;
        let looked = tokio::task::spawn_blocking(move || consistent(&mut connection, look));
        looked.await.unwrap_or(Err(Failure::Panicked))
    }
}

/// Several statements of one look see one state.
fn consistent<T>(
    connection: &mut Connection,
    look: impl FnOnce(&View<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction()?;
    look(&View { connection: &transaction })
}

/// The state of an instance as another process sees it, whether its proxy runs or not.
///
/// It alters nothing and makes nothing, but the index of a log that lost its own.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the database in `state`; `None` where no proxy has kept any state yet.
    pub fn open(state: &Path) -> Result<Option<Self>, OpenError> {
        let path = state.join(FILE);
        let path = match fs::canonicalize(state) {
            Ok(real) => real.join(FILE),
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(refused(path, &error)),
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(unusable(path, "is not a plain file".to_owned())),
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(refused(path, &error)),
        }
        match connect(&path) {
            Ok((_, Found::Empty)) => Ok(None),
            Ok((connection, Found::Ours)) => Ok(Some(Self { connection, path })),
            Ok((_, Found::Newer(_))) => Err(unusable(path, "was written by a newer qcc".to_owned())),
            Ok((_, Found::Foreign)) => Err(unusable(path, "is not a database of qcc".to_owned())),
            Err(error) => Err(unusable(path, format!("cannot be read: {error}"))),
        }
    }

    /// Runs `look`.
    pub fn read<T>(&mut self, look: impl FnOnce(&View<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        consistent(&mut self.connection, look)
    }

    /// Everything, into a database whose tables are empty.
    pub(super) fn copy_into(&self, other: &Connection) -> rusqlite::Result<()> {
        copy::all(&self.connection, other)
    }

    /// When the state was last written.
    pub fn written(&self) -> Option<SystemTime> {
        let files = [self.path.clone(), beside(&self.path, "-wal")];
        files.iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max()
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn refused(path: PathBuf, error: &io::Error) -> OpenError {
    unusable(path, format!("cannot be read: {error}"))
}

fn unusable(path: PathBuf, why: String) -> OpenError {
    OpenError::Unusable { path, why, help: "`state.dir` or QCC_STATE_DIR names another place" }
}

/// `readonly_shm` keeps the index of the log from being made or altered. Where there is no log there is no writer either,
/// and the file can be taken as it lies. A log that lost its index gets one: it may hold what the file does not.
fn connect(path: &Path) -> rusqlite::Result<(Connection, Found)> {
    let look = |option| {
        let connection = open(path, option)?;
        let found = schema::look(&connection)?;
        Ok((connection, found))
    };
    if !beside(path, "-wal").exists() {
        return look("immutable=1");
    }
    look("readonly_shm=1").or_else(|error: rusqlite::Error| match error.sqlite_error_code() {
        // Read-only: a writer was killed, and its log wants an index made anew.
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => look("mode=ro"),
        _ => Err(error),
    })
}

fn open(path: &Path, option: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(format!("file:{}?{option}", escape(path)), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

/// The path inside a URI.
fn escape(path: &Path) -> String {
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => escaped.push(char::from(*byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
        escaped
    })
}
