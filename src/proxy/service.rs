//! One request, from its head to the body of its answer.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::body::{Bounds, collect, late};
use super::connection::{Activity, Busy};
use super::stream::Taken;
use super::{admission, local};
use crate::dispatch::answer::Refusal;
use crate::dispatch::call::{Call, Kind};
use crate::dispatch::facts::Facts;
use crate::dispatch::journal::{Journal, STOPPING};
use crate::dispatch::relay::{Body, Cut};
use crate::dispatch::silence::{TooLong, in_time};
use crate::dispatch::turn::others_first;
use crate::dispatch::{Shared, Worker};
use crate::limit::{Limit, Share};
use crate::queue::{self, Queue};
use crate::snapshot::Snapshot;
use crate::telemetry::event::RequestRecord;

/// How long a request waits for its turn when too many are in flight.
const TURN: Duration = Duration::from_secs(1);

/// What all requests of one worker share.
#[derive(Debug)]
pub struct Door {
    /// Who carries requests on.
    pub worker: Rc<Worker>,
    /// What becomes of those nobody can answer, of all workers.
    pub queue: Arc<Queue>,
    /// Requests in flight, of all workers.
    pub in_flight: Limit,
    /// Bytes of request bodies, of all workers.
    pub buffered: Limit,
}

/// The connection a request came by.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address it was accepted at.
    pub local: SocketAddr,
    /// What it is doing.
    pub activity: Rc<Activity>,
}

/// Answers `request`. Never fails: what goes wrong is an answer too.
pub async fn handle(door: Rc<Door>, connection: Connection, request: Request<Incoming>) -> Response<Guarded> {
    let busy = connection.activity.request(request.version());
    let answer = pin!(answer(&door, &connection, request));
    let answered = unless_ending(&door.worker.shared, answer).await;
    others_first().await;
    let (response, turn) = answered.unwrap_or_else(|| (stopping().response(), None));
    response.map(|body| Guarded { body, taken: Taken::current(), _busy: busy, _turn: turn })
}

/// Drives `answer` to its end, or until the process ends, when its connection is polled once more.
async fn unless_ending<A: Future>(shared: &Shared, mut answer: Pin<&mut A>) -> Option<A::Output> {
    let step = |cx: &mut Context<'_>| {
        if shared.is_ending() { Poll::Ready(None) } else { answer.as_mut().poll(cx).map(Some) }
    };
    std::future::poll_fn(step).await
}

async fn answer(door: &Door, connection: &Connection, request: Request<Incoming>) -> (Response<Body>, Option<Share>) {
    let snapshot = door.worker.shared.cell.load();
    let mut journal = open(door, &request);
    match take_in(door, &snapshot, connection, request, &mut journal).await {
        Ok(Entry::Call(call, turn)) => {
            (queue::answer(&door.queue, &door.worker, snapshot, call, journal).await, Some(turn))
        }
        Ok(Entry::Answered(response)) => (journal.close(response, "ok"), None),
        Err(refusal) => (journal.close(refusal.response(), refusal.reason), None),
    }
}

/// A request that was let in.
enum Entry {
    /// Complete, and in flight as long as the share lives.
    Call(Box<Call>, Share),
    /// Answered already.
    Answered(Response<Body>),
}

fn open(door: &Door, request: &Request<Incoming>) -> Journal {
    let record = RequestRecord {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        ..RequestRecord::default()
    };
    Journal::open(record, &door.worker)
}

async fn take_in(
    door: &Door,
    snapshot: &Arc<Snapshot>,
    connection: &Connection,
    request: Request<Incoming>,
    journal: &mut Journal,
) -> Result<Entry, Refusal> {
    if connection.activity.contradicts() {
        return Err(Refusal::invalid(
            "contradicting-length",
            "Content-Length and Transfer-Encoding exclude each other",
        )
        .and_close());
    }
    let server = &snapshot.config.server;
    admission::check(&request, connection.local, &server.hosts)?;
    if let Some(answer) = local::answer(request.method(), request.uri().path()) {
        return Ok(Entry::Answered(answer));
    }
    journal.record.client = admission::client(request.headers(), snapshot.clients.as_deref())?;
    let turn = door.in_flight.take(1, server.limits.in_flight.into(), TURN).await.ok_or_else(crowded)?;
    let deadline = journal.accepted() + snapshot.config.timeouts.request.get();
    let bounds = Bounds {
        body: server.limits.request_body.bytes(),
        all: server.limits.buffered.bytes(),
        idle: server.timeouts.body_idle.get(),
        // Who waits for leave to send its body reads the refusal.
        discard: if request.headers().contains_key(EXPECT) {
            0
        } else {
            server.limits.request_body.bytes().saturating_mul(4)
        },
    };
    let (head, body) = request.into_parts();
    let collected = pin!(collect(body, bounds, &door.buffered));
    let (body, room) = in_time(collected, |_| deadline).await.unwrap_or_else(|TooLong| Err(late()))?;
    connection.activity.request_complete();
    let target = head
        .uri
        .into_parts()
        .path_and_query
        .ok_or_else(|| Refusal::invalid("bad-target", "the request has no path"))?;
    let facts = Facts::of(&body);
    let session = Call::session(&head.headers, &facts);
    (journal.record.bytes_in, journal.record.stream) = (body.len(), facts.stream);
    journal.record.model.clone_from(&facts.model);
    let kind = Kind::of(&head.method, target.path());
    let mut headers = head.headers;
    // Also where nobody is sent the client's credential now: a reload may change that while the request waits.
    if let Some(clients) = snapshot.clients.as_deref() {
        admission::remove_tokens(&mut headers, clients);
    }
    let call = Call { kind, method: head.method, target, headers, body, facts, session, deadline, room, stored: false };
    Ok(Entry::Call(Box::new(call), turn))
}

/// A second signal does not wait for endpoints.
fn stopping() -> Refusal {
    Refusal::unavailable(STOPPING, "the proxy is stopping; try again in 1 s", 1).and_close()
}

fn crowded() -> Refusal {
    Refusal::unavailable("too-many-requests-in-flight", "too many requests in flight (server.limits.in_flight)", 2)
}

/// An answer's body, with what is taken as long as it lasts.
#[derive(Debug)]
pub struct Guarded {
    body: Body,
    taken: Option<Rc<Taken>>,
    _busy: Busy,
    _turn: Option<Share>,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(taken) = &self.taken {
            taken.asked(matches!(polled, Poll::Ready(Some(_))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
