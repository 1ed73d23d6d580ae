//! Sends one probe and reads what comes, each wait with its limit.
//!
//! - Every probe makes a connection of its own: that the endpoint can be reached is part of the question.
//! - No redirect is followed, no more than 64 KiB are read, nothing goes to an address of this process.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::check::Seen;
use super::probe::{self, Nonce, Reply};
use crate::config::model::ProbeKind;
use crate::net::connect::{ConnectErrorKind, connect};
use crate::net::{OwnAddresses, Target};
use crate::upstream::classify::{self, classify, says_overloaded};
use crate::upstream::client::{Answer, Client, SendError, SendErrorKind};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::outcome::Outcome;

/// More of an answer is not read.
const LOOK: usize = 64 * 1024;

/// What a probe asks.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) endpoint: Arc<Endpoint>,
    /// `messages`, `models` or `reachability`.
    pub(super) kind: ProbeKind,
    /// Under the client's name for it.
    pub(super) model: Arc<str>,
    pub(super) prompt: Option<Arc<str>>,
    pub(super) nonce: Nonce,
    pub(super) timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) seen: Seen,
    pub(super) took: Duration,
    /// Of a conversation that was answered.
    pub(super) reply: Option<Reply>,
}

/// Sends probes.
pub(super) trait Prober {
    /// Sends one. Bounded by its timeout.
    fn send(self: Rc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Finding>>>;
}

/// Sends probes over the network. It never connects to these addresses.
#[derive(Debug)]
pub(super) struct Wire(pub(super) OwnAddresses);

impl Prober for Wire {
    fn send(self: Rc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Finding>>> {
        Box::pin(async move { send(&self.0, &question).await })
    }
}

async fn send(own: &OwnAddresses, question: &Question) -> Finding {
    let began = Instant::now();
    let asked = timeout(question.timeout, ask(own, question)).await;
    let (seen, reply) = asked.unwrap_or_else(|_| {
        let limit = humantime::format_duration(question.timeout);
        (Seen { timed_out: true, ..failed(Outcome::FAILED, format!("no answer within {limit}")) }, None)
    });
    Finding { seen, took: began.elapsed(), reply }
}

async fn ask(own: &OwnAddresses, question: &Question) -> (Seen, Option<Reply>) {
    let endpoint = &*question.endpoint;
    let Some(target) = &endpoint.target else { return (failed(Outcome::Auth, "no key".to_owned()), None) };
    let request = match question.kind {
        ProbeKind::Reachability => return (reach(target, own).await, None),
        ProbeKind::Models => probe::models(endpoint),
        _ => probe::conversation(endpoint, &question.model, question.prompt.as_deref(), &question.nonce),
    };
    match exchange(own, target, &request).await {
        Ok(answer) => judge(&answer, question),
        Err(seen) => (seen, None),
    }
}

async fn reach(target: &Target, own: &OwnAddresses) -> Seen {
    match connect(target, own).await {
        Ok(_) => good(),
        Err(error) => {
            let timed_out = error.kind == ConnectErrorKind::Timeout;
            Seen { timed_out, ..failed(Outcome::Local, error.message) }
        }
    }
}

/// An answer as far as it is read.
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn exchange(own: &OwnAddresses, target: &Arc<Target>, request: &Request<Full<Bytes>>) -> Result<Read, Seen> {
    let client = Client::new(own.clone());
    let (head, mut answer) = client.send(target, || request.clone()).await.map_err(unanswered)?.into_parts();
    let body = read(&mut answer).await?;
    Ok(Read { status: head.status, headers: head.headers, body })
}

fn unanswered(error: SendError) -> Seen {
    let outcome = if error.kind == SendErrorKind::BadAnswer { Outcome::FAILED } else { Outcome::Local };
    Seen { timed_out: error.kind == SendErrorKind::Timeout, ..failed(outcome, error.message) }
}

async fn read(answer: &mut Answer) -> Result<Vec<u8>, Seen> {
    let mut body = Vec::new();
    while let Some(frame) = answer.frame().await {
        let frame = frame.map_err(|error| failed(Outcome::Local, format!("the answer broke off: {error}")))?;
        let piece = frame.into_data().unwrap_or_default();
        body.extend_from_slice(&piece[..piece.len().min(LOOK - body.len())]);
        if body.len() >= LOOK {
            break;
        }
    }
    Ok(body)
}

fn judge(answer: &Read, question: &Question) -> (Seen, Option<Reply>) {
    let endpoint = &*question.endpoint;
    let outcome = classify(&classify::Answer {
        status: answer.status,
        headers: &answer.headers,
        body: &answer.body,
        model: Some(endpoint.models.get(&question.model).unwrap_or(&question.model)),
        now_epoch: SystemTime::now(),
    });
    let success = outcome == Outcome::Success;
    let overloaded = !success && (answer.status.as_u16() == 529 || says_overloaded(&answer.body));
    let detail = if success { String::new() } else { said(answer) };
    let reply = (success && question.kind == ProbeKind::Messages).then(|| Reply::read(&answer.body, &question.nonce));
    (Seen { outcome, detail, timed_out: false, overloaded }, reply)
}

/// Status and type of an error; never its text, which may repeat what was sent.
fn said(answer: &Read) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = body["error"]["type"]
        .as_str()
        .filter(|kind| kind.len() <= 40 && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    let status = answer.status.as_u16();
    kind.map_or_else(|| format!("status {status}"), |kind| format!("status {status}: {kind}"))
}

fn good() -> Seen {
    Seen { outcome: Outcome::Success, detail: String::new(), timed_out: false, overloaded: false }
}

fn failed(outcome: Outcome, detail: String) -> Seen {
    Seen { outcome, detail, timed_out: false, overloaded: false }
}
