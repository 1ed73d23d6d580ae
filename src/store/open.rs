//! Opening the database: what is there must be ours and whole, what is missing is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{Failure, OpenError};
use super::reader::{Reader, Reads};
use super::schema::{self, Found};
use super::standing::Standing;
use super::{FILE, PATIENCE, place};

/// What the writer does with its connection. `synchronous = FULL`: a commit is on the disk, not on its way there.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = 16777216;
";

/// What to do with a file that cannot be used.
const MOVE_AWAY: &str = "move it away (with its `-wal` and `-shm`) and qcc begins a new one";

/// A database in use.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) reads: Option<Reads>,
    pub(super) standing: Standing,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What is there must not be touched.
    Unusable(OpenError),
    /// Nothing can be written there.
    Unwritable(String),
}

/// Opens or makes the database in `state`.
pub(super) fn on_disk(state: &Path) -> Result<Opened, Trouble> {
    let unwritable = |error: io::Error| Trouble::Unwritable(format!("`{}` cannot be used: {error}", state.display()));
    let path = place::folder(state).map_err(unwritable)?.join(FILE);
    for part in ["-wal", "-shm"].map(|suffix| beside(&path, suffix)) {
        plain(&part)?;
    }
    plain(&path)?;
    place::file(&path).map_err(unwritable)?;
    let connection = open(&path).map_err(|error| classify(&path, &error))?;
    check(&connection, &path)?;
    let reads = prepare(connection, &path).map_err(|error| classify(&path, &error))?;
    Ok(reads)
}

/// A database that ends with the process; it begins with what can be read in the directory `state`.
pub(super) fn in_memory(why: &str, state: Option<&Path>) -> Result<Opened, OpenError> {
    let open = || {
        let mut connection = Connection::open_in_memory()?;
        tables(&mut connection)?;
        Ok(connection)
    };
    let connection = open().map_err(|error: rusqlite::Error| OpenError::Memory(error.into()))?;
    if let Some(Ok(Some(kept))) = state.map(Reader::open)
        && let Err(error) = kept.copy_into(&connection)
    {
        tracing::warn!(%error, "what an earlier process kept cannot be read");
    }
    Ok(Opened { connection, reads: None, standing: Standing::Memory { why: why.into() } })
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Ours and whole, or an error; nothing is changed.
fn check(connection: &Connection, path: &Path) -> Result<(), Trouble> {
    let why = match schema::look(connection).map_err(|error| classify(path, &error))? {
        Found::Empty => return Ok(()),
        Found::Foreign => "is not a database of qcc".to_owned(),
        Found::Newer(version) => {
            let why = format!("was written by a newer qcc (version {version} of its tables)");
            return Err(unusable(path, why, "run that qcc, or move the file away and qcc begins a new one"));
        }
        Found::Ours => match damage(connection).map_err(|error| classify(path, &error))? {
            None => return Ok(()),
            Some(damage) => format!("is damaged ({damage})"),
        },
    };
    Err(unusable(path, why, MOVE_AWAY))
}

/// The first thing wrong with its pages.
fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then(|| found.lines().next().unwrap_or_default().to_owned()))
}

fn prepare(mut connection: Connection, path: &Path) -> rusqlite::Result<Opened> {
    connection.execute_batch(SETTINGS)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    tables(&mut connection)?;
    Ok(Opened { reads: Some(Reads::open(path)?), connection, standing: Standing::Good })
}

fn tables(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::make(&transaction)?;
    transaction.commit()
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Nothing, or a plain file.
fn plain(path: &Path) -> Result<(), Trouble> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(unusable(path, "is not a plain file".to_owned(), "move it away")),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, why: String, help: &'static str) -> Trouble {
    Trouble::Unusable(OpenError::Unusable { path: path.to_owned(), why, help })
}

fn classify(path: &Path, error: &rusqlite::Error) -> Trouble {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::NotADatabase) => unusable(path, "is not a database".to_owned(), MOVE_AWAY),
        Some(Code::DatabaseCorrupt) => unusable(path, format!("is damaged ({error})"), MOVE_AWAY),
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            unusable(path, Failure::Busy.to_string(), "end that program, and start qcc again")
        }
        _ => Trouble::Unwritable(format!("`{}` cannot be written: {error}", path.display())),
    }
}
