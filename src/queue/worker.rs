//! The task that tries what is kept, through the same dispatch as live requests.
//!
//! - A few at a time, those due longest first; live requests come before: while any waits in line, or half of the room is
//!   taken, nothing is begun.
//! - What is due while nobody takes it is postponed, and uses up nothing.
//! - No credential of a client's is with an entry: endpoints that pass those through are not asked.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, Limited};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::book::Claim;
use super::hindrance::YIELD;
use super::schedule::postponed;
use super::shelf::Shelf;
use super::tries::Tries;
use super::{Queue, entry};
use crate::config::model::Queue as Config;
use crate::dispatch::inspect::Decoder;
use crate::dispatch::journal::Journal;
use crate::dispatch::relay::Body;
use crate::dispatch::sse::Scanner;
use crate::dispatch::unanswered::Unanswered;
use crate::dispatch::{self, Worker};
use crate::limit::{Limit, Share};
use crate::snapshot::Snapshot;
use crate::store::entries::{Answer, Request};
use crate::telemetry::event::RequestRecord;
use crate::time::Moment;

/// Entries that are tried at once.
const TOGETHER: usize = 4;
/// How often leases are renewed and old entries looked for.
const TICK: Duration = Duration::from_secs(30);
/// The longest a try may take, its answer included.
pub(super) const LONGEST: Duration = Duration::from_hours(1);
/// The largest answer that is kept.
pub(super) const LARGEST: usize = 32 * 1024 * 1024;

/// What the task needs.
pub struct Clerk {
    /// What is kept.
    pub queue: Arc<Queue>,
    /// Who carries requests on.
    pub worker: Worker,
    /// Live requests in flight, of all workers.
    pub in_flight: Limit,
    /// Bytes of request bodies, of all workers.
    pub buffered: Limit,
}

/// Tries what is due until dropped; from `stop` on nothing is begun any more.
pub async fn work(clerk: Clerk, stop: impl Future<Output = ()>) {
    let (clerk, mut tries, mut tick) = (Rc::new(clerk), JoinSet::new(), interval(TICK));
    let (mut stop, mut stopped) = (std::pin::pin!(stop), false);
    let mut standing = clerk.queue.shelf.store.standing();
    standing.mark_unchanged();
    loop {
        let room = !stopped && tries.len() < TOGETHER;
        tokio::select! {
            () = stop.as_mut(), if !stopped => stopped = true,
            () = clerk.queue.shelf.book.due(), if room => clerk.begin(&mut tries),
            Some(ended) = tries.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the try of a queued request ended badly");
                }
            }
            Ok(()) = standing.changed() => {
                // Not while it is borrowed: the writer waits for that.
                let good = standing.borrow_and_update().is_good();
                clerk.follow_store(good).await;
            }
            _ = tick.tick() => clerk.tidy().await,
        }
    }
}

impl Clerk {
    /// Begins the try that has been due longest, or postpones it.
    fn begin(self: &Rc<Self>, tries: &mut JoinSet<()>) {
        let now = Moment::now();
        let Some(claim) = self.queue.shelf.book.next(now) else { return };
        let snapshot = self.worker.shared.cell.load();
        match self.queue.hindrance(claim.model.as_deref(), &snapshot, &self.in_flight, now) {
            Some(hindrance) => Shelf::postpone(claim, hindrance.wait),
            None => drop(tries.spawn_local(Rc::clone(self).attempt(claim, snapshot))),
        }
    }

    async fn attempt(self: Rc<Self>, claim: Claim, snapshot: Arc<Snapshot>) {
        let kept = &self.queue.shelf;
        let request = match kept.take(&claim).await {
            Ok(Some(request)) => request,
            Ok(None) => return claim.gone(),
            Err(error) => {
                tracing::warn!(%error, id = &*claim.id, "a queued request cannot be read now");
                return kept.put_off(claim, postponed(None));
            }
        };
        let most = snapshot.config.server.limits.buffered.bytes();
        match self.buffered.try_take(request.body.len() as u64, most) {
            Some(room) => self.send(claim, request, room, snapshot).await,
            None => kept.put_off(claim, YIELD),
        }
    }

    async fn send(&self, claim: Claim, request: Request, room: Share, snapshot: Arc<Snapshot>) {
        let kept = &self.queue.shelf;
        let config = Arc::clone(&snapshot.config);
        let deadline = Instant::now() + config.timeouts.request.get();
        let Some(call) = entry::call(request, deadline, Some(room)) else {
            return kept.refused_upstream(claim, &Tries::none(), "it cannot be read".to_owned());
        };
        let record = RequestRecord {
            method: call.method.to_string(),
            path: call.target.path().to_owned(),
            model: call.facts.model.clone(),
            stream: call.facts.stream,
            bytes_in: call.body.len(),
            ..RequestRecord::default()
        };
        let journal = Journal::open(record, &self.worker);
        let mut tries = Tries::none();
        let asked = async {
            let response = dispatch::send(&self.worker, snapshot, Box::new(call), journal).await?;
            tries = Tries::before(response.body());
            Ok(collect(response).await)
        };
        match timeout(LONGEST, asked).await {
            Ok(Ok(Ok(answer))) if (200..300).contains(&answer.status) => {
                let used = claim.retries + 1;
                kept.answered(claim, answer, used, &tries.whole()).await;
            }
            Ok(Ok(Ok(answer))) => {
                kept.refused_upstream(claim, &tries, format!("refused with status {}", answer.status));
            }
            Ok(Ok(Err(why))) => kept.failed(claim, &tries.cut(&why), why, true, &config.queue),
            Ok(Err(unanswered)) => self.unanswered(claim, unanswered, &config.queue),
            Err(_) => {
                let why = "it took too long";
                kept.failed(claim, &tries.cut(why), why.to_owned(), true, &config.queue);
            }
        }
    }

    fn unanswered(&self, claim: Claim, unanswered: Unanswered<'_>, config: &Config) {
        let now = Moment::now();
        let (soonest, counts) = (unanswered.soonest_return(now).map(|at| at.since(now)), unanswered.is_tried());
        let tries = Tries::of(unanswered.journal());
        // It is told in the log as any other.
        drop(unanswered.farewell());
        if tries.is_empty() {
            return self.queue.shelf.put_off(claim, postponed(soonest));
        }
        self.queue.shelf.failed(claim, &tries, tries.reason(), counts, config);
    }

    /// A disk that can be written again has what it had, and gets what it missed.
    async fn follow_store(&self, good: bool) {
        if good {
            self.queue.shelf.resume().await;
        }
    }

    async fn tidy(&self) {
        let snapshot = self.worker.shared.cell.load();
        self.queue.shelf.renew();
        self.queue.shelf.pay().await;
        self.queue.shelf.expire(snapshot.config.queue.keep.get()).await;
        self.worker.client.idle_sweep();
    }
}

/// The whole answer, in clear; or why it is none.
async fn collect(response: Response<Body>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
    whole(head, body.into())
}

/// An answer as it is kept, in clear; or why it is none.
pub(super) fn whole(head: Parts, body: Vec<u8>) -> Result<Answer, String> {
    let mut headers = head.headers;
    let body = clear(&mut headers, body)?;
    let events = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if events.starts_with(b"text/event-stream") {
        let mut scanner = Scanner::default();
        scanner.feed(&body);
        if !scanner.seen().is_complete() {
            return Err("the stream ended in an error".to_owned());
        }
    }
    headers.remove(CONTENT_LENGTH);
    Ok(Answer { status: head.status.as_u16(), headers: entry::write(headers.iter()), body })
}

/// An answer that came compressed although it was not to.
pub(super) fn clear(headers: &mut HeaderMap, body: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::of(headers);
    if decoder.is_identity() {
        return Ok(body);
    }
    let mut text = Vec::new();
    for piece in body.chunks(16 * 1024) {
        decoder.look(piece, |more| text.extend_from_slice(more));
    }
    headers.remove(CONTENT_ENCODING);
    if decoder.is_blind() || text.len() > LARGEST { Err("the answer cannot be decoded".to_owned()) } else { Ok(text) }
}
