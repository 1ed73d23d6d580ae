//! The salt of this instance's hashes: without it, a hash of a key says nothing.

use rusqlite::OptionalExtension as _;

use super::{Failure, Tx, View};

/// The table: one row at most.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS salt (id INTEGER PRIMARY KEY CHECK (id = 1), salt BLOB NOT NULL) STRICT;
";

/// The salt, if there is one yet.
pub fn find(view: &View<'_>) -> Result<Option<[u8; 32]>, Failure> {
    let found = view.connection.query_row("SELECT salt FROM salt", [], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.and_then(|bytes| bytes.try_into().ok()))
}

/// Keeps `salt` for good.
pub fn save(tx: &Tx<'_>, salt: [u8; 32]) -> Result<(), Failure> {
    tx.connection.execute("REPLACE INTO salt (id, salt) VALUES (1, ?1)", [salt.to_vec()])?;
    Ok(())
}
