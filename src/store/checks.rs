//! The last hundred checks of each endpoint.

use rusqlite::{Row, params};

use super::{Failure, Tx, View};

/// How many of an endpoint are kept.
const KEPT: i64 = 100;

/// The table.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS checks (
        endpoint TEXT NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        class TEXT NOT NULL,
        took_ms INTEGER NOT NULL,
        quality INTEGER,
        valid INTEGER,
        detail TEXT NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        PRIMARY KEY (endpoint, at)
    ) STRICT, WITHOUT ROWID;
";

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// `messages`, `models` or `reachability`.
    pub kind: String,
    /// `success`, `failure`, `timeout`, `rate_limited`, `invalid_key`, `model_error` or `overloaded`.
    pub class: String,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// Quality of the answer, 0 to 100.
    pub quality: Option<u8>,
    /// Whether the answer held the code it was to repeat.
    pub valid: Option<bool>,
    /// What went wrong.
    pub detail: String,
    /// Tokens read.
    pub input_tokens: u32,
    /// Tokens written.
    pub output_tokens: u32,
}

/// Keeps those of `endpoint` that are not kept yet; the oldest beyond a hundred go.
pub fn append(tx: &Tx<'_>, endpoint: &str, checks: &[Check]) -> Result<(), Failure> {
    for check in checks {
        let Check { endpoint, at, kind, class, took_ms, quality, valid, detail, input_tokens, output_tokens } = check;
        let insert = "INSERT OR IGNORE INTO checks (endpoint, at, kind, class, took_ms, quality, valid, detail, input_tokens, output_tokens)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        tx.connection.execute(
            insert,
            params![endpoint, at, kind, class, took_ms, quality, valid, detail, input_tokens, output_tokens],
        )?;
    }
    let delete = "DELETE FROM checks WHERE endpoint = ?1 AND at <=
        (SELECT at FROM checks WHERE endpoint = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)";
    tx.connection.execute(delete, params![endpoint, KEPT])?;
    Ok(())
}

/// Forgets those of `endpoint`: it is another one now.
pub fn forget(tx: &Tx<'_>, endpoint: &str) -> Result<(), Failure> {
    tx.connection.execute("DELETE FROM checks WHERE endpoint = ?1", [endpoint])?;
    Ok(())
}

/// The last `count` of `endpoint`, the newest first.
pub fn last(view: &View<'_>, endpoint: &str, count: u32) -> Result<Vec<Check>, Failure> {
    let select = "SELECT endpoint, at, kind, class, took_ms, quality, valid, detail, input_tokens, output_tokens
        FROM checks WHERE endpoint = ?1 ORDER BY at DESC LIMIT ?2";
    let mut select = view.connection.prepare(select)?;
    let rows = select.query_map(params![endpoint, count], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Check> {
    Ok(Check {
        endpoint: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        class: row.get(3)?,
        took_ms: row.get(4)?,
        quality: row.get(5)?,
        valid: row.get(6)?,
        detail: row.get(7)?,
        input_tokens: row.get(8)?,
        output_tokens: row.get(9)?,
    })
}
