//! How endpoints stand, and how their requests and checks ended: all together, and by the day.
//!
//! Numbers of an endpoint only grow. What they grew by since they were last kept is added to the day, so that keeping the
//! same twice counts once, and a process that starts at zero again (another address, another key) counts from there.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Failure, Tx, View};

/// Days that are kept.
const DAYS: i64 = 400;

/// The tables.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS endpoints (
        endpoint TEXT PRIMARY KEY,
        identity INTEGER NOT NULL,
        until INTEGER,
        resting INTEGER,
        reason TEXT NOT NULL,
        ejections INTEGER NOT NULL,
        factor REAL NOT NULL,
        last_error TEXT NOT NULL,
        last_error_at INTEGER,
        samples BLOB NOT NULL,
        numbers BLOB NOT NULL,
        written INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS days (
        endpoint TEXT NOT NULL,
        day INTEGER NOT NULL,
        numbers BLOB NOT NULL,
        PRIMARY KEY (endpoint, day)
    ) STRICT, WITHOUT ROWID;
";

/// How requests and checks of an endpoint ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Requests answered well.
    pub succeeded: u64,
    /// Requests failed by the endpoint.
    pub failed: u64,
    /// Requests that met a 429.
    pub rate_limited: u64,
    /// Requests that met a refused key.
    pub refused: u64,
    /// Milliseconds to the first byte of those answered well, together.
    pub first_byte_ms: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Checks, in the order of their classes: success, failure, timeout, rate_limited, invalid_key, model_error, overloaded.
    pub checks: [u64; 7],
    /// Tokens that checks read.
    pub check_input_tokens: u64,
    /// Tokens that checks wrote.
    pub check_output_tokens: u64,
}

/// Numbers in one row.
const COUNT: usize = 16;

impl Numbers {
    fn list(&self) -> [u64; COUNT] {
        let mut list = [0; COUNT];
        list[..7].copy_from_slice(&[
            self.succeeded,
            self.failed,
            self.rate_limited,
            self.refused,
            self.first_byte_ms,
            self.input_tokens,
            self.output_tokens,
        ]);
        list[7..14].copy_from_slice(&self.checks);
        list[14..].copy_from_slice(&[self.check_input_tokens, self.check_output_tokens]);
        list
    }

    fn of(list: [u64; COUNT]) -> Self {
        let [succeeded, failed, rate_limited, refused, rest @ ..] = list;
        let [first_byte_ms, input_tokens, output_tokens, rest @ ..] = rest;
        let [checks @ .., check_input_tokens, check_output_tokens] = rest;
        Self {
            succeeded,
            failed,
            rate_limited,
            refused,
            first_byte_ms,
            input_tokens,
            output_tokens,
            checks,
            check_input_tokens,
            check_output_tokens,
        }
    }

    /// What these grew by since `before`; all of them, if they began anew.
    fn since(&self, before: &Self) -> Self {
        let (now, then) = (self.list(), before.list());
        let anew = now.iter().zip(then).any(|(now, then)| *now < then);
        if anew { *self } else { Self::of(std::array::from_fn(|at| now[at] - then[at])) }
    }

    fn and(&self, more: &Self) -> Self {
        let (these, more) = (self.list(), more.list());
        Self::of(std::array::from_fn(|at| these[at].saturating_add(more[at])))
    }

    fn bytes(&self) -> Vec<u8> {
        self.list().iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Bytes of another length are of no use, and count nothing.
    fn read(bytes: &[u8]) -> Self {
        let mut list = [0; COUNT];
        for (number, bytes) in list.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        Self::of(list)
    }
}

/// How one endpoint stands. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// A salted hash of its address and key: what is kept is of no use for another.
    pub identity: i64,
    /// Out of rotation until then; in the past: on probation.
    pub until: Option<i64>,
    /// It asked to be left alone until then.
    pub resting: Option<i64>,
    /// Why it is out; empty if it is not.
    pub reason: String,
    /// Ejections in a row.
    pub ejections: u32,
    /// What its health leaves of its weight.
    pub factor: f64,
    /// What went wrong last; empty if nothing did.
    pub last_error: String,
    /// When.
    pub last_error_at: Option<i64>,
    /// Its last requests, oldest first: when each was over, how many milliseconds it took, whether it went well.
    pub samples: Vec<(i64, u32, bool)>,
    /// How its requests and checks ended, since it is known.
    pub numbers: Numbers,
}

/// What one endpoint did on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// Days since 1970, in UTC.
    pub day: i64,
    /// What was added to its numbers.
    pub numbers: Numbers,
}

/// Keeps `of` in the place of what was kept before, at the time `now`; what its numbers grew by counts for that day.
pub fn save(tx: &Tx<'_>, of: &Endpoint, now: i64) -> Result<(), Failure> {
    let before = "SELECT numbers FROM endpoints WHERE endpoint = ?1 AND identity = ?2";
    let before = tx.connection.query_row(before, params![of.endpoint, of.identity], |row| row.get::<_, Vec<u8>>(0));
    let before = before.optional()?.map(|bytes| Numbers::read(&bytes)).unwrap_or_default();
    let replace = "REPLACE INTO endpoints (endpoint, identity, until, resting, reason, ejections, factor, last_error, last_error_at, samples, numbers, written)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    tx.connection.execute(
        replace,
        params![
            of.endpoint,
            of.identity,
            of.until,
            of.resting,
            of.reason,
            of.ejections,
            of.factor,
            of.last_error,
            of.last_error_at,
            packed(&of.samples),
            of.numbers.bytes(),
            now,
        ],
    )?;
    add(tx, &of.endpoint, day(now), &of.numbers.since(&before))
}

fn add(tx: &Tx<'_>, endpoint: &str, day: i64, grown: &Numbers) -> Result<(), Failure> {
    if *grown == Numbers::default() {
        return Ok(());
    }
    let select = "SELECT numbers FROM days WHERE endpoint = ?1 AND day = ?2";
    let so_far = tx.connection.query_row(select, params![endpoint, day], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    let sum = so_far.map(|bytes| Numbers::read(&bytes)).unwrap_or_default().and(grown);
    let replace = "REPLACE INTO days (endpoint, day, numbers) VALUES (?1, ?2, ?3)";
    tx.connection.execute(replace, params![endpoint, day, sum.bytes()])?;
    tx.connection.execute("DELETE FROM days WHERE day <= ?1", [day - DAYS])?;
    Ok(())
}

/// Forgets what is held against `endpoint`.
pub fn forgive(tx: &Tx<'_>, endpoint: &str) -> Result<(), Failure> {
    let update = "UPDATE endpoints SET until = NULL, resting = NULL, reason = '', ejections = 0 WHERE endpoint = ?1";
    tx.connection.execute(update, [endpoint])?;
    Ok(())
}

/// All that were kept, by name.
pub fn all(view: &View<'_>) -> Result<Vec<Endpoint>, Failure> {
    let select = "SELECT endpoint, identity, until, resting, reason, ejections, factor, last_error, last_error_at, samples, numbers
        FROM endpoints ORDER BY endpoint";
    let mut select = view.connection.prepare(select)?;
    let rows = select.query_map([], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    Ok(Endpoint {
        endpoint: row.get(0)?,
        identity: row.get(1)?,
        until: row.get(2)?,
        resting: row.get(3)?,
        reason: row.get(4)?,
        ejections: row.get(5)?,
        factor: row.get(6)?,
        last_error: row.get(7)?,
        last_error_at: row.get(8)?,
        samples: unpacked(&row.get::<_, Vec<u8>>(9)?),
        numbers: Numbers::read(&row.get::<_, Vec<u8>>(10)?),
    })
}

/// The day of `now`, which is in milliseconds since 1970: days since then, in UTC.
pub const fn day(now: i64) -> i64 {
    now.div_euclid(86_400_000)
}

/// The days since `from`, by day and name.
pub fn days(view: &View<'_>, from: i64) -> Result<Vec<Day>, Failure> {
    let mut select =
        view.connection.prepare("SELECT endpoint, day, numbers FROM days WHERE day >= ?1 ORDER BY day, endpoint")?;
    let rows = select.query_map([from], |row| {
        Ok(Day { endpoint: row.get(0)?, day: row.get(1)?, numbers: Numbers::read(&row.get::<_, Vec<u8>>(2)?) })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Thirteen bytes each.
fn packed(samples: &[(i64, u32, bool)]) -> Vec<u8> {
    let bytes = samples
        .iter()
        .flat_map(|(at, took, good)| at.to_le_bytes().into_iter().chain(took.to_le_bytes()).chain([u8::from(*good)]));
    bytes.collect()
}

fn unpacked(bytes: &[u8]) -> Vec<(i64, u32, bool)> {
    let samples = bytes.as_chunks::<13>().0.iter().map(|sample| {
        let [at @ .., _, _, _, _, _] = *sample;
        let [_, _, _, _, _, _, _, _, took @ .., good] = *sample;
        (i64::from_le_bytes(at), u32::from_le_bytes(took), good == 1)
    });
    samples.collect()
}
