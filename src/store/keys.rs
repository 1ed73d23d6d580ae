//! Keys that were refused, and keys that rest. A key is known by a salted hash of it and its origin, never by itself.
//!
//! What one endpoint does not serve is kept like a rest, under the salted hash of the endpoint's address and key.

use rusqlite::params;

use super::{Failure, Tx, View};

/// The tables.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS dead_keys (
        key INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        trial INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS rests (
        key INTEGER NOT NULL,
        model TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (key, model)
    ) STRICT, WITHOUT ROWID;
";

/// A key that was refused. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// A salted hash of the key.
    pub key: i64,
    /// What the endpoint said.
    pub reason: String,
    /// When it is tried again.
    pub trial: i64,
}

/// A key that rests after a 429, or a model that an endpoint does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// A salted hash of the key, or of the endpoint.
    pub key: i64,
    /// The model it concerns; `None`: all.
    pub model: Option<String>,
    /// Until when.
    pub until: i64,
}

/// Keeps these in the place of all that were kept before.
pub fn replace(tx: &Tx<'_>, dead: &[Dead], rests: &[Rest]) -> Result<(), Failure> {
    tx.connection.execute_batch("DELETE FROM dead_keys; DELETE FROM rests")?;
    for Dead { key, reason, trial } in dead {
        let insert = "INSERT INTO dead_keys (key, reason, trial) VALUES (?1, ?2, ?3)";
        tx.connection.execute(insert, params![key, reason, trial])?;
    }
    for Rest { key, model, until } in rests {
        let insert = "REPLACE INTO rests (key, model, until) VALUES (?1, ?2, ?3)";
        tx.connection.execute(insert, params![key, model.as_deref().unwrap_or_default(), until])?;
    }
    Ok(())
}

/// Forgets what is held against `key`.
pub fn forgive(tx: &Tx<'_>, key: i64) -> Result<(), Failure> {
    tx.connection.execute("DELETE FROM dead_keys WHERE key = ?1", [key])?;
    tx.connection.execute("DELETE FROM rests WHERE key = ?1", [key])?;
    Ok(())
}

/// All that were kept.
pub fn all(view: &View<'_>) -> Result<(Vec<Dead>, Vec<Rest>), Failure> {
    let mut dead = view.connection.prepare("SELECT key, reason, trial FROM dead_keys ORDER BY key")?;
    let dead = dead.query_map([], |row| Ok(Dead { key: row.get(0)?, reason: row.get(1)?, trial: row.get(2)? }))?;
    let mut rests = view.connection.prepare("SELECT key, model, until FROM rests ORDER BY key, model")?;
    let rests = rests.query_map([], |row| {
        let model: String = row.get(1)?;
        Ok(Rest { key: row.get(0)?, model: Some(model).filter(|model| !model.is_empty()), until: row.get(2)? })
    })?;
    Ok((dead.collect::<rusqlite::Result<_>>()?, rests.collect::<rusqlite::Result<_>>()?))
}
