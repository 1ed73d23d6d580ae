//! Rows of one database in another: what the disk holds while it cannot be written, and what memory holds when it can be
//! again.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Tables of what stands now: those in memory are the truth when the disk is back.
const STANDING: [&str; 7] = ["lead", "endpoints", "days", "dead_keys", "rests", "salt", "conversations"];
/// Tables of what has happened: each has rows that the other has not.
const HISTORY: [&str; 2] = ["switches", "checks"];
/// Tables that are changed on disk only.
const DURABLE: [&str; 2] = ["entries", "entry_figures"];

/// Everything `from` holds, into tables that are empty.
pub(super) fn all(from: &Connection, into: &Connection) -> rusqlite::Result<()> {
    STANDING.iter().chain(&HISTORY).chain(&DURABLE).try_for_each(|table| rows(from, into, table))
}

/// What memory holds beyond the disk it was copied from.
pub(super) fn back(memory: &Connection, disk: &mut Connection) -> rusqlite::Result<()> {
    let transaction = disk.transaction()?;
    for table in STANDING {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
        rows(memory, &transaction, table)?;
    }
    for table in HISTORY {
        rows(memory, &transaction, table)?;
    }
    transaction.commit()
}

fn rows(from: &Connection, into: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut select = from.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let marks = vec!["?"; columns].join(", ");
    let mut insert = into.prepare(&format!("REPLACE INTO {table} VALUES ({marks})"))?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let values: Vec<Value> = (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_known() {
        let mut memory = Connection::open_in_memory().expect("there is memory");
        let transaction = memory.transaction().expect("it is new");
        super::super::schema::make(&transaction).expect("they are made");
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut names = transaction.prepare(names).expect("it is SQL");
        let mut found: Vec<String> =
            names.query_map([], |row| row.get(0)).expect("a list").collect::<Result<_, _>>().expect("names");
        found.sort();
        let mut known: Vec<&str> = STANDING.into_iter().chain(HISTORY).chain(DURABLE).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
