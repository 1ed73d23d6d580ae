//! The tables, and which version of them a file holds.
//!
//! Every noun brings its own tables, made where they are missing: one more of them needs nothing else. Changing one that
//! is there needs a higher [`VERSION`] and a step that brings older files up to it.

use rusqlite::{Connection, Transaction};

/// Marks a database as ours: `qccs`.
const APPLICATION: i32 = 0x7163_6373;
/// Shape of the tables; higher is a newer qcc.
const VERSION: i32 = 1;
/// The tables, noun by noun.
const TABLES: [&str; 8] = [
    super::switches::TABLES,
    super::conversations::TABLES,
    super::entries::TABLES,
    super::lead::TABLES,
    super::endpoints::TABLES,
    super::keys::TABLES,
    super::checks::TABLES,
    super::salt::TABLES,
];

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    Empty,
    /// Our tables.
    Ours,
    /// Tables of somebody else.
    Foreign,
    /// Tables of a newer qcc, with their version.
    Newer(i32),
}

/// Looks what the file of `connection` holds.
pub(super) fn look(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => Found::Empty,
        (APPLICATION, version, _) if version > VERSION => Found::Newer(version),
        (APPLICATION, ..) => Found::Ours,
        _ => Found::Foreign,
    })
}

/// Makes the tables that are missing.
pub(super) fn make(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for tables in TABLES {
        transaction.execute_batch(tables)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    touch(transaction)
}

/// Writes what is there already: a page, nothing else.
pub(super) fn touch(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "user_version", VERSION)
}
