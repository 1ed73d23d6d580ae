//! One try at one endpoint: send, wait for the head, hold the answer until the gate knows what it is.
//!
//! Waiting is here, each wait with its limit; what a thing means is decided by `gate` and `upstream::classify`.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode, response};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::call::{Call, Kind};
use super::gate::{Gate, LOOK, Sight};
use super::inspect::Decoder;
use super::relay::{CUT_SHORT, Shape};
use super::replay::ReplayBody;
use super::silence::{TooLong, in_time};
use super::skip::is_whole;
use crate::net::Target;
use crate::time::Moment;
use crate::upstream::classify::{self, classify, classify_event_error, is_of_type};
use crate::upstream::client::{Answer, Client, SendError, SendErrorKind};
use crate::upstream::endpoint::{Credential, Endpoint};
use crate::upstream::outcome::Outcome;

/// An answer whose beginning is held.
#[derive(Debug)]
pub struct Held {
    /// Its head.
    pub head: response::Parts,
    /// Pieces that came already.
    pub pieces: VecDeque<Bytes>,
    /// What is still to come; `None` if it ended.
    pub rest: Option<Answer>,
    /// What was seen of it.
    pub gate: Gate,
    /// What kind of answer it is.
    pub shape: Shape,
}

impl Held {
    /// Whether an event may be appended to it.
    pub fn is_appendable(&self) -> bool {
        self.shape == Shape::Events
            && self.gate.decoder.is_identity()
            && !self.head.headers.contains_key(CONTENT_LENGTH)
    }
}

/// How a try ended.
#[derive(Debug)]
pub struct Attempted {
    /// What it means.
    pub outcome: Outcome,
    /// What went wrong, for people; empty where nothing did.
    pub detail: String,
    /// What the endpoint said, if it said anything.
    pub answer: Option<Box<Held>>,
}

impl Attempted {
    fn failed(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), answer: None }
    }
}

/// Tries `call` at `endpoint`, beginning `now`.
pub async fn attempt(client: &Client<ReplayBody>, call: &Call, endpoint: &Endpoint, now: Instant) -> Attempted {
    let (Some(target), false) = (&endpoint.target, matches!(endpoint.credential, Credential::Missing(_))) else {
        return Attempted::failed(Outcome::Auth, "no key");
    };
    let patience = if call.facts.stream { endpoint.timeouts.first_byte } else { endpoint.timeouts.first_byte_unary };
    let until = (now + patience).min(call.deadline);
    match head(client, call, endpoint, target, until).await {
        Err(failed) => failed,
        Ok(answer) if call.kind == Kind::Other => opaque(answer),
        Ok(answer) => hold(answer, call, endpoint, until).await,
    }
}

/// Sends the request and waits for the head of the answer.
async fn head(
    client: &Client<ReplayBody>,
    call: &Call,
    endpoint: &Endpoint,
    target: &Arc<Target>,
    until: Instant,
) -> Result<Response<Answer>, Attempted> {
    let sent = pin!(client.send(target, || call.request_for(endpoint)));
    match in_time(sent, |_| until).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Attempted::failed(outcome_of(&error, call.kind), error.to_string())),
        Err(TooLong) => Err(Attempted::failed(Outcome::FAILED, "no answer in time")),
    }
}

/// `Local` says that the request can be sent elsewhere. Of a path nothing is known about that holds only if it was never
/// sent.
fn outcome_of(error: &SendError, kind: Kind) -> Outcome {
    match (error.kind, kind) {
        (SendErrorKind::BadAnswer, _) | (SendErrorKind::Reset, Kind::Other) => Outcome::FAILED,
        _ => Outcome::Local,
    }
}

/// An answer that goes down without a look.
fn opaque(answer: Response<Answer>) -> Attempted {
    let (head, rest) = answer.into_parts();
    let gate = Gate::new(Decoder::Identity, false);
    let answer = Held { head, pieces: VecDeque::new(), rest: Some(rest), gate, shape: Shape::Opaque };
    Attempted { outcome: Outcome::Success, detail: String::new(), answer: Some(Box::new(answer)) }
}

/// Holds the answer until it is known what it is.
async fn hold(response: Response<Answer>, call: &Call, endpoint: &Endpoint, until: Instant) -> Attempted {
    let (head, rest) = response.into_parts();
    let events = head.status == StatusCode::OK && is_of_type(&head.headers, "text/event-stream");
    let shape = if events { Shape::Events } else { Shape::Whole };
    let gate = Gate::new(Decoder::of(&head.headers), events);
    // Boxed: it is large, and goes through many hands.
    let mut answer = Box::new(Held { head, pieces: VecDeque::new(), rest: Some(rest), gate, shape });
    let silence = endpoint.timeouts.idle;
    let sight = loop {
        // The head of a stream is no answer yet: until its first event the wait for the first byte goes on.
        let is_waiting = events && answer.gate.opens_at().is_none();
        let last = |now| if is_waiting { until } else { now + silence }.min(call.deadline);
        match next(&mut answer, last).await {
            Next::Sight(Sight::Wait) => {}
            Next::Sight(sight) => break sight,
            Next::Broken(detail) => return Attempted::failed(Outcome::Local, detail),
            Next::Silent => return Attempted::failed(Outcome::FAILED, "the answer did not begin in time"),
        }
    };
    judge(answer, sight, endpoint, call)
}

enum Next {
    Sight(Sight),
    Broken(String),
    Silent,
}

/// Takes the next piece of a held answer, or lets the gate open by its own clock. Waits until `last`, if it has to wait now.
async fn next(held: &mut Held, last: impl FnOnce(Instant) -> Instant) -> Next {
    let Some(rest) = &mut held.rest else { return Next::Sight(held.gate.end()) };
    let opens_at = held.gate.opens_at();
    let wait = |now| {
        let last = last(now);
        opens_at.map_or(last, |opens| last.min(now + opens.since(Moment::at(now))))
    };
    match in_time(rest.frame(), wait).await {
        Ok(Some(Ok(frame))) => match frame.into_data() {
            Ok(piece) => {
                let sight = held.gate.feed(&piece, Moment::now());
                held.pieces.push_back(piece);
                Next::Sight(sight)
            }
            Err(_) => Next::Sight(Sight::Wait),
        },
        Ok(Some(Err(error))) => Next::Broken(error.to_string()),
        Ok(None) if rest.is_cut_short() => Next::Broken(CUT_SHORT.to_owned()),
        Ok(None) => {
            held.rest = None;
            Next::Sight(held.gate.end())
        }
        Err(TooLong) if opens_at.is_some_and(|opens| opens <= Moment::now()) => Next::Sight(Sight::Open),
        Err(TooLong) => Next::Silent,
    }
}

/// What a held answer means.
fn judge(held: Box<Held>, sight: Sight, endpoint: &Endpoint, call: &Call) -> Attempted {
    let outcome = match (sight, &held.gate.scanner.seen().error) {
        (Sight::Failed(_), Some(error)) => classify_event_error(error),
        (Sight::Failed(_), None) => at_least_failed(read(&held, endpoint, call)),
        _ if held.shape == Shape::Events => Outcome::Success,
        _ => read(&held, endpoint, call),
    };
    if outcome == Outcome::Success && is_cut_off(&held) {
        return Attempted { outcome: Outcome::FAILED, detail: "the answer is cut off".to_owned(), answer: Some(held) };
    }
    let detail = match (&outcome, sight) {
        (Outcome::Success, _) => String::new(),
        (_, Sight::Failed(why)) => why.to_owned(),
        _ => format!("status {}", held.head.status.as_u16()),
    };
    Attempted { outcome, detail, answer: Some(held) }
}

fn read(held: &Held, endpoint: &Endpoint, call: &Call) -> Outcome {
    classify(&classify::Answer {
        status: held.head.status,
        headers: &held.head.headers,
        body: &held.gate.prefix,
        model: call.model_for(endpoint),
        now_epoch: SystemTime::now(),
    })
}

/// Whether a JSON answer ended in its middle, though its framing was whole.
fn is_cut_off(held: &Held) -> bool {
    let text = &held.gate.prefix;
    let all = held.shape == Shape::Whole && held.rest.is_none() && text.len() < LOOK;
    all && !is_whole(text)
}

/// A stream that did not become an answer failed, whatever its status says.
fn at_least_failed(outcome: Outcome) -> Outcome {
    if matches!(outcome, Outcome::Success | Outcome::Client) { Outcome::FAILED } else { outcome }
}
