//! What the API says of the queue, and takes for it.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StoreState, Time};
use crate::store::attempts::Attempt;
use crate::store::entries::{self, Statistics};

/// `GET /v1/queue`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// Requests taken in since the state was made.
    pub enqueued: u64,
    /// Retries of them.
    pub retried: u64,
    /// Entries that were answered.
    pub succeeded: u64,
    /// Entries that were given up.
    pub failed: u64,
    /// Requests that could have been kept and were not, for want of room or since they could not be written.
    pub refused: u64,
    /// Entries that are kept now.
    pub size: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Entries by state.
    pub by_state: ByState,
    /// When an entry last changed.
    pub last_update: Option<Time>,
    /// When the oldest of those that are not answered and not given up came.
    pub oldest: Option<Time>,
    /// Whether entries last; where they do not, none is taken in. `null` where no proxy runs.
    pub store: Option<StoreState>,
    /// Requests that wait for an endpoint right now; `null` where no proxy runs.
    pub line: Option<QueueLine>,
}

/// Entries by state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ByState {
    /// They are tried again when they are due.
    pub waiting: u64,
    /// They are being tried.
    pub running: u64,
    /// They were answered.
    pub done: u64,
    /// They were given up.
    pub dead: u64,
}

/// Requests that wait for an endpoint right now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueueLine {
    /// How many.
    pub length: usize,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// How long the first of them has been waiting.
    pub longest_wait_ms: u64,
}

impl QueueStatus {
    /// What the state alone tells.
    pub fn of(kept: &Statistics) -> Self {
        let [waiting, running, done, dead] = kept.by_state;
        Self {
            enqueued: kept.figures.enqueued,
            retried: kept.figures.retried,
            succeeded: kept.figures.succeeded,
            failed: kept.figures.failed,
            refused: kept.figures.refused,
            size: kept.by_state.iter().sum(),
            bytes: kept.bytes,
            by_state: ByState { waiting, running, done, dead },
            last_update: kept.updated.map(at),
            oldest: kept.oldest.map(at),
            store: None,
            line: None,
        }
    }
}

/// `GET /v1/queue/entries`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryList {
    /// Those that came last first.
    pub entries: Vec<Entry>,
}

/// One entry of the queue.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// `waiting`, `running`, `done` or `dead`.
    pub state: String,
    /// Retries used up.
    pub retries: u32,
    /// Why it is where it is.
    pub reason: String,
    /// When it came.
    pub enqueued: Time,
    /// When it last changed.
    pub updated: Time,
    /// When it is tried again, if it waits.
    pub next_retry: Option<Time>,
    /// Name of the client.
    pub client: Option<String>,
    /// Its conversation.
    pub session: Option<String>,
    /// Model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What it takes up.
    pub bytes: u64,
    /// Status of its answer, if one is kept.
    pub status: Option<u16>,
    /// Whether its answer was handed out.
    pub handed: bool,
    /// Every try, the oldest first.
    pub attempts: Vec<EntryAttempt>,
}

/// One try of an entry at one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryAttempt {
    /// When it ended.
    pub at: Time,
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// How it ended, in one word.
    pub outcome: String,
    /// Status of the answer, 0 if there was none.
    pub status: u16,
    /// What went wrong.
    pub detail: String,
}

impl From<Attempt> for EntryAttempt {
    fn from(attempt: Attempt) -> Self {
        let Attempt { at: ended, endpoint, outcome, status, detail } = attempt;
        Self { at: at(ended), endpoint, outcome, status, detail }
    }
}

impl From<entries::Entry> for Entry {
    fn from(entry: entries::Entry) -> Self {
        Self {
            state: entry.state.to_string(),
            next_retry: (entry.state == entries::State::Waiting).then(|| at(entry.due)),
            enqueued: at(entry.enqueued),
            updated: at(entry.updated),
            attempts: entry.attempts.into_iter().map(EntryAttempt::from).collect(),
            id: entry.id,
            retries: entry.retries,
            reason: entry.reason,
            client: entry.client,
            session: entry.session,
            model: entry.model,
            stream: entry.stream,
            bytes: entry.bytes,
            status: entry.status,
            handed: entry.handed,
        }
    }
}

/// `POST /v1/queue/retry` and `/v1/queue/remove`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryName {
    /// Name of an entry.
    pub id: String,
}

/// `POST /v1/queue/clear`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryState {
    /// Only entries of this state.
    pub state: Option<String>,
}

/// How many entries something was done to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryCount {
    /// So many.
    pub count: usize,
}

/// How many entries are due now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryRetry {
    /// So many.
    pub count: usize,
    /// What keeps them from being tried at once, if something does.
    pub waits: Option<String>,
}

/// Milliseconds since 1970 as a point in time.
fn at(millis: i64) -> Time {
    Time(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}
