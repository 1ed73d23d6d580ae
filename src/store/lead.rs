//! Which profile is active, and what the next process has to know to go on from there.

use rusqlite::{OptionalExtension as _, params};

use super::{Failure, Tx, View};

/// The table: one row at most.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS lead (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        active TEXT NOT NULL,
        pinned INTEGER NOT NULL,
        switched INTEGER,
        recovered INTEGER,
        flaps INTEGER NOT NULL
    ) STRICT;
";

/// The active profile. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Its name.
    pub active: String,
    /// Whether a person has pinned it.
    pub pinned: bool,
    /// When it became active, if it was not from the start.
    pub switched: Option<i64>,
    /// When the last recovery was, if it has not failed since.
    pub recovered: Option<i64>,
    /// Recoveries in a row that were undone soon.
    pub flaps: u32,
}

/// Keeps it in the place of the one before.
pub fn save(tx: &Tx<'_>, lead: &Lead) -> Result<(), Failure> {
    let Lead { active, pinned, switched, recovered, flaps } = lead;
    let replace = "REPLACE INTO lead (id, active, pinned, switched, recovered, flaps) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    tx.connection.execute(replace, params![active, pinned, switched, recovered, flaps])?;
    Ok(())
}

/// The last one that was kept.
pub fn find(view: &View<'_>) -> Result<Option<Lead>, Failure> {
    let select = "SELECT active, pinned, switched, recovered, flaps FROM lead";
    let found = view.connection.query_row(select, [], |row| {
        Ok(Lead {
            active: row.get(0)?,
            pinned: row.get(1)?,
            switched: row.get(2)?,
            recovered: row.get(3)?,
            flaps: row.get(4)?,
        })
    });
    Ok(found.optional()?)
}
