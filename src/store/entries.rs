//! The failure queue: requests that nobody could answer, their retries, and the answers they came to.
//!
//! Invariants:
//! - an entry is waiting, running, done or dead; only waiting ones have a time at which they are due;
//! - what was sent is dropped when the entry is done: from then on it holds its answer, and counts with its bytes;
//! - figures are changed in the transaction that changes the entry.

use std::fmt;
use std::str::FromStr;

use rusqlite::{OptionalExtension as _, Row, params};

use super::attempts::{self, Attempt};
use super::{Failure, Tx, View};

/// The tables.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        retries INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL,
        enqueued INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        due INTEGER NOT NULL,
        client TEXT,
        session TEXT,
        fingerprint BLOB NOT NULL,
        model TEXT,
        stream INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        attempts TEXT NOT NULL,
        target TEXT NOT NULL,
        headers BLOB NOT NULL,
        body BLOB NOT NULL,
        lease TEXT,
        leased_until INTEGER,
        status INTEGER,
        answer_headers BLOB,
        answer BLOB,
        handed INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entries_by_state ON entries (state, updated);
    CREATE TABLE IF NOT EXISTS entry_figures (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is tried again when it is due.
    Waiting,
    /// It is being tried.
    Running,
    /// It was answered.
    Done,
    /// It was given up.
    Dead,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Done, Self::Dead];

    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| format!("`{word}` is no state: waiting, running, done or dead"))
    }
}

/// A request to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query.
    pub target: String,
    /// Its headers as HTTP/1.1 writes them, without credentials.
    pub headers: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers as HTTP/1.1 writes them.
    pub headers: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An entry without what was sent and answered. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Retries used up.
    pub retries: u32,
    /// Why it is where it is, in words.
    pub reason: String,
    /// When it came.
    pub enqueued: i64,
    /// When it last changed.
    pub updated: i64,
    /// When it is tried again, if it waits.
    pub due: i64,
    /// Name of the client.
    pub client: Option<String>,
    /// Its conversation.
    pub session: Option<String>,
    /// What makes two requests the same.
    pub fingerprint: Vec<u8>,
    /// Model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What it takes up.
    pub bytes: u64,
    /// Every try so far, the oldest first.
    pub attempts: Vec<Attempt>,
    /// Status of its answer, if one is kept.
    pub status: Option<u16>,
    /// Whether the answer was handed out.
    pub handed: bool,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries that are not done.
    pub entries: u32,
    /// Bytes of all entries, answers included.
    pub bytes: u64,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Kept,
    /// As many entries as there may be are kept already.
    FullOfEntries,
    /// Its bytes would be too many.
    FullOfBytes,
}

/// What an entry that was tried in vain becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Waiting or dead.
    pub state: State,
    /// Retries used up.
    pub retries: u32,
    /// Why.
    pub reason: String,
    /// When it is tried again.
    pub due: i64,
    /// The tries that were in vain.
    pub tries: Vec<Attempt>,
}

/// What has happened since the state was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests taken in.
    pub enqueued: u64,
    /// Retries.
    pub retried: u64,
    /// Entries that were answered.
    pub succeeded: u64,
    /// Entries that were given up.
    pub failed: u64,
    /// Requests for which there was no room, or which could not be written.
    pub refused: u64,
}

/// What is kept now, and what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// What has happened.
    pub figures: Figures,
    /// Entries by state, in the order of [`State::ALL`].
    pub by_state: [u64; 4],
    /// Bytes of all entries.
    pub bytes: u64,
    /// When an entry last changed.
    pub updated: Option<i64>,
    /// When the one that has been waiting longest came, being tried or not.
    pub oldest: Option<i64>,
}

const COLUMNS: &str = "id, state, retries, reason, enqueued, updated, due, client, session, fingerprint, model, stream, \
                       bytes, attempts, status, handed";

/// Keeps one more, if there is room.
pub fn add(tx: &Tx<'_>, entry: &Entry, request: &Request, bounds: Bounds) -> Result<Added, Failure> {
    let count = "SELECT count(*) FILTER (WHERE state <> 'done'), coalesce(sum(bytes), 0) FROM entries";
    let kept = tx.connection.query_row(count, [], |row| Ok((row.get::<_, u32>(0)?, number(row, 1)?)))?;
    if kept.0 >= bounds.entries {
        return refused(tx, 1).map(|()| Added::FullOfEntries);
    }
    if kept.1.saturating_add(entry.bytes) > bounds.bytes {
        return refused(tx, 1).map(|()| Added::FullOfBytes);
    }
    let insert =
        "INSERT INTO entries (id, state, retries, reason, enqueued, updated, due, client, session, fingerprint,
        model, stream, bytes, attempts, target, headers, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let mut insert = tx.connection.prepare(insert)?;
    insert.execute(params![
        entry.id,
        entry.state.as_str(),
        entry.retries,
        entry.reason,
        entry.enqueued,
        entry.updated,
        entry.due,
        entry.client,
        entry.session,
        entry.fingerprint,
        entry.model,
        entry.stream,
        i64::try_from(entry.bytes).unwrap_or(i64::MAX),
        attempts::write(&entry.attempts),
        request.target,
        request.headers,
        request.body,
    ])?;
    count_up(tx, "enqueued", 1)?;
    Ok(Added::Kept)
}

/// So many requests more were not taken in.
pub fn refused(tx: &Tx<'_>, count: u64) -> Result<(), Failure> {
    count_up(tx, "refused", count)
}

/// An entry that waits, or is dead, is being tried by the process `lease`, until then unless that is renewed.
pub fn lease(tx: &Tx<'_>, id: &str, lease: &str, until: i64) -> Result<(), Failure> {
    let update =
        "UPDATE entries SET state = 'running', lease = ?2, leased_until = ?3 WHERE id = ?1 AND state <> 'done'";
    tx.connection.execute(update, params![id, lease, until])?;
    Ok(())
}

/// A try came to nothing: the entry is `state` again, due as before or at `due`. Whether it was there and not done.
pub fn put_back(tx: &Tx<'_>, id: &str, state: State, due: Option<i64>, tries: &[Attempt]) -> Result<bool, Failure> {
    let update = "UPDATE entries SET state = ?2, due = coalesce(?3, due), lease = NULL, leased_until = NULL
        WHERE id = ?1 AND state <> 'done'";
    let changed = tx.connection.execute(update, params![id, state.as_str(), due])? > 0;
    if changed {
        attempts::append(tx, id, tries)?;
    }
    Ok(changed)
}

/// The process `lease` is still there.
pub fn renew(tx: &Tx<'_>, lease: &str, until: i64) -> Result<(), Failure> {
    tx.connection.execute(
        "UPDATE entries SET leased_until = ?2 WHERE lease = ?1 AND state = 'running'",
        params![lease, until],
    )?;
    Ok(())
}

/// Takes back what other processes than `own` were trying: they are gone. Says how many those were.
pub fn void_leases(tx: &Tx<'_>, own: &str, now: i64) -> Result<usize, Failure> {
    let update = "UPDATE entries SET state = 'waiting', due = ?1, updated = ?1, lease = NULL, leased_until = NULL
        WHERE state = 'running' AND lease IS NOT ?2";
    Ok(tx.connection.execute(update, params![now, own])?)
}

/// An entry was tried in vain. Whether it was there and not done.
pub fn failed(tx: &Tx<'_>, id: &str, outcome: &Outcome, now: i64) -> Result<bool, Failure> {
    let Outcome { state, retries, reason, due, tries } = outcome;
    let before: Option<u32> =
        tx.connection.query_row("SELECT retries FROM entries WHERE id = ?1", [id], |row| row.get(0)).optional()?;
    let update = "UPDATE entries SET state = ?2, retries = ?3, reason = ?4, due = ?5, updated = ?6,
        lease = NULL, leased_until = NULL WHERE id = ?1 AND state <> 'done'";
    let changed = tx.connection.execute(update, params![id, state.as_str(), retries, reason, due, now])?;
    if changed > 0 {
        attempts::append(tx, id, tries)?;
    }
    if changed > 0 && before.is_some_and(|before| before < *retries) {
        count_up(tx, "retried", 1)?;
    }
    if changed > 0 && *state == State::Dead {
        count_up(tx, "failed", 1)?;
    }
    Ok(changed > 0)
}

/// An entry was answered by the last of these tries; to a live request, where there is no answer to keep. Whether it was
/// there and not done.
pub fn done(
    tx: &Tx<'_>,
    id: &str,
    retries: u32,
    tries: &[Attempt],
    answer: Option<&Answer>,
    now: i64,
) -> Result<bool, Failure> {
    let more = "SELECT retries < ?2 FROM entries WHERE id = ?1";
    let more: bool = tx.connection.query_row(more, params![id, retries], |row| row.get(0)).optional()?.unwrap_or(false);
    let bytes = answer.map_or(0, |answer| answer.body.len() + answer.headers.len());
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let update =
        "UPDATE entries SET state = 'done', retries = ?2, reason = ?3, updated = ?4, bytes = ?5, headers = x'',
        body = x'', lease = NULL, leased_until = NULL, status = ?6, answer_headers = ?7, answer = ?8
        WHERE id = ?1 AND state <> 'done'";
    let whom = if answer.is_some() { "answered" } else { "answered to a re-send" };
    let reason = tries.last().map_or_else(|| whom.to_owned(), |last| format!("{whom} by {}", last.endpoint));
    let (status, headers, body) = match answer {
        Some(answer) => (Some(answer.status), Some(&answer.headers), Some(&answer.body)),
        None => (None, None, None),
    };
    let changed = tx.connection.execute(update, params![id, retries, reason, now, bytes, status, headers, body])? > 0;
    if changed {
        attempts::append(tx, id, tries)?;
        count_up(tx, "succeeded", 1)?;
        if more {
            count_up(tx, "retried", 1)?;
        }
    }
    Ok(changed)
}

/// The answer of an entry was handed out: that happens once.
pub fn handed(tx: &Tx<'_>, id: &str, now: i64) -> Result<(), Failure> {
    tx.connection.execute("UPDATE entries SET handed = 1, updated = ?2 WHERE id = ?1", params![id, now])?;
    Ok(())
}

/// A waiting or dead entry is due now, with all its retries before it; why it is there is as true as before. Whether there
/// is one.
pub fn retry(tx: &Tx<'_>, id: &str, now: i64) -> Result<bool, Failure> {
    let update = "UPDATE entries SET state = 'waiting', retries = 0, due = ?2, updated = ?2
        WHERE id = ?1 AND state IN ('waiting', 'dead')";
    Ok(tx.connection.execute(update, params![id, now])? > 0)
}

/// Takes an entry out. Whether it was there.
pub fn remove(tx: &Tx<'_>, id: &str) -> Result<bool, Failure> {
    Ok(tx.connection.execute("DELETE FROM entries WHERE id = ?1", [id])? > 0)
}

/// Takes all entries out, or those of one state. How many those were.
pub fn clear(tx: &Tx<'_>, state: Option<State>) -> Result<usize, Failure> {
    let state = state.map(State::as_str);
    Ok(tx.connection.execute("DELETE FROM entries WHERE ?1 IS NULL OR state = ?1", [state])?)
}

/// Takes out what was done or given up before `before`: the names of those entries.
pub fn expire(tx: &Tx<'_>, before: i64) -> Result<Vec<String>, Failure> {
    let delete = "DELETE FROM entries WHERE state IN ('done', 'dead') AND updated < ?1 RETURNING id";
    let mut delete = tx.connection.prepare(delete)?;
    let gone = delete.query_map([before], |row| row.get(0))?;
    Ok(gone.collect::<rusqlite::Result<_>>()?)
}

/// The entries, or those of one state: those that came last first, at most `count`.
pub fn list(view: &View<'_>, state: Option<State>, count: u32) -> Result<Vec<Entry>, Failure> {
    let select =
        format!("SELECT {COLUMNS} FROM entries WHERE ?1 IS NULL OR state = ?1 ORDER BY enqueued DESC, id LIMIT ?2");
    let mut select = view.connection.prepare(&select)?;
    let rows = select.query_map(params![state.map(State::as_str), count], entry)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// One entry.
pub fn get(view: &View<'_>, id: &str) -> Result<Option<Entry>, Failure> {
    let select = format!("SELECT {COLUMNS} FROM entries WHERE id = ?1");
    Ok(view.connection.query_row(&select, [id], entry).optional()?)
}

/// What was sent, unless the entry is done.
pub fn request(view: &View<'_>, id: &str) -> Result<Option<Request>, Failure> {
    let select = "SELECT target, headers, body FROM entries WHERE id = ?1 AND state <> 'done'";
    let request = |row: &Row<'_>| Ok(Request { target: row.get(0)?, headers: row.get(1)?, body: row.get(2)? });
    Ok(view.connection.query_row(select, [id], request).optional()?)
}

/// What was answered, if that is kept.
pub fn answer(view: &View<'_>, id: &str) -> Result<Option<Answer>, Failure> {
    let select = "SELECT status, answer_headers, answer FROM entries WHERE id = ?1 AND answer IS NOT NULL";
    let answer = |row: &Row<'_>| Ok(Answer { status: row.get(0)?, headers: row.get(1)?, body: row.get(2)? });
    Ok(view.connection.query_row(select, [id], answer).optional()?)
}

/// What is kept, and what has happened.
pub fn statistics(view: &View<'_>) -> Result<Statistics, Failure> {
    let mut statistics = Statistics::default();
    let mut figures = view.connection.prepare("SELECT name, value FROM entry_figures")?;
    let figures = figures.query_map([], |row| Ok((row.get::<_, String>(0)?, number(row, 1)?)))?;
    for figure in figures {
        match figure? {
            (name, value) if name == "enqueued" => statistics.figures.enqueued = value,
            (name, value) if name == "retried" => statistics.figures.retried = value,
            (name, value) if name == "succeeded" => statistics.figures.succeeded = value,
            (name, value) if name == "failed" => statistics.figures.failed = value,
            (name, value) if name == "refused" => statistics.figures.refused = value,
            _ => {}
        }
    }
    let mut kept = view
        .connection
        .prepare("SELECT state, count(*), sum(bytes), max(updated), min(enqueued) FROM entries GROUP BY state")?;
    let mut rows = kept.query([])?;
    while let Some(row) = rows.next()? {
        let state = state(row.get(0)?)?;
        let at = State::ALL.iter().position(|known| *known == state).unwrap_or_default();
        statistics.by_state[at] = number(row, 1)?;
        statistics.bytes += number(row, 2)?;
        statistics.updated = statistics.updated.max(row.get(3)?);
        if matches!(state, State::Waiting | State::Running) {
            let came: Option<i64> = row.get(4)?;
            statistics.oldest = statistics.oldest.into_iter().chain(came).min();
        }
    }
    Ok(statistics)
}

fn count_up(tx: &Tx<'_>, name: &str, by: u64) -> Result<(), Failure> {
    let upsert = "INSERT INTO entry_figures VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2";
    tx.connection.prepare(upsert)?.execute(params![name, i64::try_from(by).unwrap_or(i64::MAX)])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        state: state(row.get(1)?)?,
        retries: row.get(2)?,
        reason: row.get(3)?,
        enqueued: row.get(4)?,
        updated: row.get(5)?,
        due: row.get(6)?,
        client: row.get(7)?,
        session: row.get(8)?,
        fingerprint: row.get(9)?,
        model: row.get(10)?,
        stream: row.get(11)?,
        bytes: number(row, 12)?,
        attempts: attempts::read(&row.get::<_, String>(13)?),
        status: row.get(14)?,
        handed: row.get(15)?,
    })
}

/// A number that is never below zero.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

fn state(word: String) -> rusqlite::Result<State> {
    word.parse().map_err(|_| rusqlite::Error::InvalidColumnName(word))
}
