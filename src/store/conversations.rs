//! Where conversations were served last.

use rusqlite::{Row, params};

use super::{Failure, Tx, View};

/// How many are kept: those served last.
const KEPT: i64 = 10_000;

/// The table.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS conversations (
        session TEXT PRIMARY KEY,
        profile TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        \"group\" TEXT NOT NULL,
        last INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS conversations_by_last ON conversations (last);
";

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What the client calls it.
    pub session: String,
    /// The profile of the endpoint that served it.
    pub profile: String,
    /// That endpoint, in its profile.
    pub endpoint: String,
    /// Its provider group.
    pub group: String,
    /// When it was served, in milliseconds since 1970.
    pub last: i64,
}

/// Keeps where `conversations` are now. Those served before `since` go, and the oldest beyond 10,000.
pub fn save(tx: &Tx<'_>, conversations: &[Conversation], since: i64) -> Result<(), Failure> {
    let replace =
        "REPLACE INTO conversations (session, profile, endpoint, \"group\", last) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut replace = tx.connection.prepare(replace)?;
    for Conversation { session, profile, endpoint, group, last } in conversations {
        replace.execute(params![session, profile, endpoint, group, last])?;
    }
    let delete = "DELETE FROM conversations WHERE last < ?1 OR last <
        (SELECT last FROM conversations ORDER BY last DESC LIMIT 1 OFFSET ?2)";
    tx.connection.execute(delete, params![since, KEPT - 1])?;
    Ok(())
}

/// All of them, those served last at the end.
pub fn all(view: &View<'_>) -> Result<Vec<Conversation>, Failure> {
    let select = "SELECT session, profile, endpoint, \"group\", last FROM conversations ORDER BY last";
    let mut select = view.connection.prepare(select)?;
    let rows = select.query_map([], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    let (session, profile, endpoint) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Conversation { session, profile, endpoint, group: row.get(3)?, last: row.get(4)? })
}
