//! The history of switches: which profile became active, when and why.

use rusqlite::params;

use super::{Failure, Tx, View};

/// How many are kept.
const KEPT: i64 = 1000;

/// The table.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS switches (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        \"from\" TEXT NOT NULL,
        \"to\" TEXT NOT NULL,
        cause TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
";

/// Another profile became active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The profile before.
    pub from: String,
    /// The profile since.
    pub to: String,
    /// `manual`, `failover`, `recovery` or `reload`.
    pub cause: String,
    /// Why, in words.
    pub reason: String,
}

/// Keeps one more; the oldest beyond 1,000 go.
pub fn append(tx: &Tx<'_>, switch: &Switch) -> Result<(), Failure> {
    let Switch { at, from, to, cause, reason } = switch;
    let insert = "INSERT INTO switches (at, \"from\", \"to\", cause, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.connection.execute(insert, params![at, from, to, cause, reason])?;
    // Ids grow by one: none is ever taken away but the oldest.
    let oldest = tx.connection.last_insert_rowid() - KEPT;
    tx.connection.execute("DELETE FROM switches WHERE id <= ?1", [oldest])?;
    Ok(())
}

/// The last `count`, the newest first.
pub fn last(view: &View<'_>, count: u32) -> Result<Vec<Switch>, Failure> {
    let select = "SELECT at, \"from\", \"to\", cause, reason FROM switches ORDER BY id DESC LIMIT ?1";
    let mut select = view.connection.prepare(select)?;
    let rows = select.query_map([count], |row| {
        Ok(Switch { at: row.get(0)?, from: row.get(1)?, to: row.get(2)?, cause: row.get(3)?, reason: row.get(4)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
