//! What happens to a request that nobody can answer now.
//!
//! ```text
//! answer -> (its twin is kept: reuse) -> dispatch::send -> (unanswered) -> hold -> dispatch::again -> ...
//!                                                                            '-> shelf -> worker -> dispatch::send
//! ```
//!
//! - [`mod@hold`]: the line in which requests wait, within their own time, for an endpoint that is expected back.
//! - `shelf`: what still fails is stored, and only then the client is told so; `entry` is what is stored of it, and a `debt`
//!   what could not be.
//! - [`worker`]: tries it again as `schedule` says, through the same dispatch, behind live requests; [`hindrance`] is what
//!   keeps it from doing so.
//! - `reuse`: a request that comes again is known by its `twin`, takes its entry over (`resend`), waits for the try that is
//!   under way, or gets the answer in its `form`. The `book` knows who tries what: nothing is paid for twice.
//!
//! Nothing is sent to the client while its request waits, unless the file asks for `pings`: the answer keeps its status and
//! its headers.

mod book;
mod debt;
mod entry;
mod form;
pub mod hindrance;
pub mod hold;
mod pings;
mod resend;
mod reuse;
mod schedule;
mod shelf;
mod tries;
mod twin;
pub mod worker;

#[cfg(test)]
mod outage_tests;

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response};

use self::book::Claim;
use self::hold::{Line, Stay};
use self::pings::Waiting;
use self::reuse::{Reunion, reunite};
use self::shelf::Shelf;
use self::tries::Tries;
use self::twin::{Twin, fingerprint};
use crate::config::Config;
use crate::dispatch::call::{Call, Kind};
use crate::dispatch::journal::Journal;
use crate::dispatch::relay::Body;
use crate::dispatch::unanswered::Unanswered;
use crate::dispatch::{self, Worker};
use crate::snapshot::Snapshot;
use crate::store::entries::{self, State};
use crate::store::{Failure, Store, Tx};
use crate::telemetry::Events;
use crate::time::{Moment, unix_ms};
use crate::upstream::bell::Bell;

/// Says that the request is kept, and under which name.
const QCC_QUEUED: HeaderName = HeaderName::from_static("qcc-queued");
/// Says why the request was not kept although it could have been.
const QCC_NOT_QUEUED: HeaderName = HeaderName::from_static("qcc-not-queued");

/// What requests that cannot be answered share, of all workers.
#[derive(Debug)]
pub struct Queue {
    /// Where they wait.
    pub line: Arc<Line>,
    shelf: Shelf,
}

/// Why a request was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// There are as many entries as there may be.
    Entries,
    /// There are as many bytes as there may be.
    Bytes,
    /// It could not be written.
    Storage,
}

impl Refusal {
    /// Value of `qcc-not-queued`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Entries => "full-of-entries",
            Self::Bytes => "full-of-bytes",
            Self::Storage => "storage-failed",
        }
    }
}

impl Queue {
    /// Takes up what earlier processes left in `store`. `bell` is rung when somebody may be able to answer.
    pub async fn open(bell: Bell, store: Store, events: Events) -> Self {
        Self { line: Arc::new(Line::new(bell)), shelf: Shelf::open(store, events).await }
    }

    /// Requests that could have been kept and were not, beyond those the state counts.
    pub fn refusals(&self) -> u64 {
        self.shelf.refusals()
    }

    /// The model that an entry asks for.
    pub fn model(&self, id: &str) -> Option<Arc<str>> {
        self.shelf.book.model(id)
    }

    /// A waiting or dead entry is tried at once. Whether there is one of this name.
    pub async fn retry(&self, id: &str) -> Result<bool, Failure> {
        let (name, now) = (id.to_owned(), now());
        let found = self.shelf.store.write(move |tx| entries::retry(tx, &name, now)).await?;
        self.shelf.book.retry(id, Moment::now());
        Ok(found)
    }

    /// All waiting and dead entries are tried, as soon as possible. How many those are.
    pub async fn retry_all(&self) -> Result<usize, Failure> {
        let (all, now) = (self.shelf.book.retriable(), now());
        let names = all.clone();
        let retry = move |tx: &Tx<'_>| names.iter().try_for_each(|id| entries::retry(tx, id, now).map(drop));
        self.shelf.store.write(retry).await?;
        for id in &all {
            self.shelf.book.retry(id, Moment::now());
        }
        Ok(all.len())
    }

    /// Takes an entry out; a try that is under way goes on for nothing. Whether there was one of this name.
    pub async fn remove(&self, id: &str) -> Result<bool, Failure> {
        let name = id.to_owned();
        let found = self.shelf.store.write(move |tx| entries::remove(tx, &name)).await?;
        self.shelf.book.remove(id);
        Ok(found)
    }

    /// Takes all entries out, or those of one state. How many those were.
    pub async fn clear(&self, state: Option<State>) -> Result<usize, Failure> {
        let cleared = self.shelf.store.write(move |tx| entries::clear(tx, state)).await?;
        self.shelf.book.clear(state);
        Ok(cleared)
    }
}

fn now() -> i64 {
    unix_ms(std::time::SystemTime::now())
}

/// Gets `call` answered by somebody, now or as soon as somebody can, or says why nobody could.
pub async fn answer(
    queue: &Arc<Queue>,
    worker: &Rc<Worker>,
    snapshot: Arc<Snapshot>,
    call: Box<Call>,
    journal: Journal,
) -> Response<Body> {
    if call.kind == Kind::Other {
        return dispatch::send(worker, snapshot, call, journal).await.unwrap_or_else(Unanswered::farewell);
    }
    if snapshot.config.queue.hold_pings && call.facts.stream {
        return Box::pin(pings::answer(queue, worker, snapshot, call, journal)).await;
    }
    settle(queue, worker, snapshot, call, journal, &Waiting::default()).await
}

/// The same for a message; `waiting` follows whether it waits in line.
async fn settle(
    queue: &Arc<Queue>,
    worker: &Rc<Worker>,
    snapshot: Arc<Snapshot>,
    call: Box<Call>,
    journal: Journal,
    waiting: &Waiting,
) -> Response<Body> {
    let config = Arc::clone(&snapshot.config);
    let known = config.queue.reuse && call.session.as_deref().is_some_and(|session| queue.shelf.book.knows(session));
    if let Some(twin) = known.then(|| twin(&call, journal.record.client.as_ref())).flatten() {
        waiting.set(true);
        // Boxed, as all that is large and rare: every request has room for this future.
        match Box::pin(reunite(&queue.shelf, &twin, &call)).await {
            Reunion::Answer(response) => return journal.close(response, "ok"),
            Reunion::Kept(id) => return Unanswered::untried(worker, snapshot, call, journal).farewell_queued(&id),
            Reunion::Mine(claim) => {
                return Box::pin(resend::answer(queue, worker, snapshot, call, journal, claim)).await;
            }
            Reunion::Alone => waiting.set(false),
        }
    }
    match hold(queue, worker, snapshot, call, journal, waiting).await {
        Ok(response) => response,
        Err(unanswered) => Box::pin(keep(&queue.shelf, unanswered, None, &config)).await,
    }
}

/// Sends `call`, and waits in line for somebody who takes it as long as that is expected.
async fn hold<'a>(
    queue: &Queue,
    worker: &'a Worker,
    snapshot: Arc<Snapshot>,
    call: Box<Call>,
    journal: Journal,
    waiting: &Waiting,
) -> Result<Response<Body>, Unanswered<'a>> {
    let longest = snapshot.config.queue.hold.get();
    // Who comes later does not pass those who wait.
    let mut sent = if longest.is_zero() || queue.line.is_empty() {
        dispatch::send(worker, snapshot, call, journal).await
    } else {
        Err(Unanswered::untried(worker, snapshot, call, journal))
    };
    let mut stay = Stay::new(longest);
    while let Err(unanswered) = sent {
        waiting.set(true);
        let waited = Box::pin(queue.line.wait(unanswered, &worker.shared.cell, &mut stay)).await;
        waiting.set(false);
        sent = match waited {
            Ok(unanswered) => dispatch::again(unanswered).await,
            // Who came in behind others and was never called has its first try.
            Err(unanswered) if unanswered.is_untried() => dispatch::again(unanswered).await,
            Err(unanswered) => return Err(unanswered),
        };
    }
    sent
}

/// Keeps a request that nobody could answer, where that is worth it, and says goodbye.
async fn keep(shelf: &Shelf, unanswered: Unanswered<'_>, claim: Option<Claim>, config: &Config) -> Response<Body> {
    if !config.queue.enabled || !unanswered.may_pass() {
        if let Some(claim) = claim {
            shelf.put_back(claim, &Tries::of(unanswered.journal()));
        }
        return unanswered.farewell();
    }
    let kept_on = match claim {
        Some(claim) => shelf.keep_on(claim, &Tries::of(unanswered.journal()), &config.queue).await,
        None => Ok(None),
    };
    let kept = match kept_on {
        Ok(None) => {
            let twin = twin(unanswered.call(), unanswered.client());
            shelf.keep(&unanswered, twin, &config.queue).await
        }
        Ok(Some(id)) => Ok(id),
        Err(refusal) => Err(refusal),
    };
    match kept {
        Ok(id) => unanswered.farewell_queued(&id),
        Err(refusal) => {
            let mut response = unanswered.farewell();
            response.headers_mut().insert(QCC_NOT_QUEUED, HeaderValue::from_static(refusal.as_str()));
            response
        }
    }
}

/// By what a request is known when it comes again; without a conversation it is not.
fn twin(call: &Call, client: Option<&Arc<str>>) -> Option<Twin> {
    let session = call.session.clone()?;
    let fingerprint = match call.body.pieces() {
        [whole] => fingerprint(whole),
        pieces => fingerprint(&pieces.concat()),
    };
    Some(Twin { client: client.cloned(), session, fingerprint })
}
