//! Every try of an entry, as it is kept with it: in JSON, the oldest first, a bounded number.

use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{Failure, Tx};

/// Tries that are kept of one entry.
const MOST: usize = 64;

/// One try at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// How it ended, in one word.
    pub outcome: String,
    /// Status of the answer, 0 if there was none.
    pub status: u16,
    /// What went wrong.
    pub detail: String,
}

/// As it is kept: the oldest go where there are too many.
pub(super) fn write(attempts: &[Attempt]) -> String {
    let from = attempts.len().saturating_sub(MOST);
    serde_json::to_string(&attempts[from..]).unwrap_or_else(|_| "[]".to_owned())
}

/// What [`write()`] wrote; nothing, where it is not understood.
pub(super) fn read(text: &str) -> Vec<Attempt> {
    serde_json::from_str(text).unwrap_or_default()
}

/// These come behind those that entry `id` has.
pub(super) fn append(tx: &Tx<'_>, id: &str, attempts: &[Attempt]) -> Result<(), Failure> {
    if attempts.is_empty() {
        return Ok(());
    }
    let select = "SELECT attempts FROM entries WHERE id = ?1";
    let before: Option<String> = tx.connection.query_row(select, [id], |row| row.get(0)).optional()?;
    let mut all = before.as_deref().map(read).unwrap_or_default();
    all.extend_from_slice(attempts);
    tx.connection.execute("UPDATE entries SET attempts = ?2 WHERE id = ?1", params![id, write(&all)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept() {
        let attempt = |nth: i64| Attempt {
            at: nth,
            endpoint: format!("p/{nth}"),
            outcome: "server".to_owned(),
            status: 500,
            detail: "x".to_owned(),
        };
        let kept = read(&write(&(0..70).map(attempt).collect::<Vec<_>>()));
        assert_eq!((kept.len(), &kept[0], &kept[63]), (64, &attempt(6), &attempt(69)));
        assert_eq!(read("of another time"), []);
    }
}
