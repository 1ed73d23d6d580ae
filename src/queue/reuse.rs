//! A request that comes again: what is kept of it is paid for once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::book::{Claim, End, Met};
use super::form::{Form, convert};
use super::shelf::Shelf;
use super::twin::Twin;
use super::{QCC_QUEUED, entry};
use crate::dispatch::answer::Refusal;
use crate::dispatch::call::Call;
use crate::dispatch::relay::Body;
use crate::store::entries::Answer;
use crate::time::Moment;

/// Says that the answer was waiting in the queue, and under which name.
const QCC_QUEUED_ANSWER: HeaderName = HeaderName::from_static("qcc-queued-answer");
/// What is left of a request's time for saying that its entry is still being tried.
const MARGIN: Duration = Duration::from_secs(5);
/// When to come again for an answer that is under way, in seconds.
const SOON: u64 = 5;

/// What a request that comes again finds.
pub(super) enum Reunion {
    /// Nothing: it is a request as any other.
    Alone,
    /// Its entry, which it tries itself now.
    Mine(Claim),
    /// The try of another re-send, to which it was attached, was in vain: its entry waits on.
    Kept(Arc<str>),
    /// Its answer, or word that it is still under way.
    Answer(Response<Body>),
}

/// Looks for the entry of `call`, and waits for the end of a try that is under way: there is never a second one.
pub(super) async fn reunite(shelf: &Shelf, twin: &Twin, call: &Call) -> Reunion {
    let until = call.deadline.checked_sub(MARGIN).unwrap_or_else(Instant::now);
    let asked = Form::streamed(call.facts.stream);
    loop {
        match shelf.book.meet(twin, Moment::now()) {
            Met::Nobody => return Reunion::Alone,
            Met::Claim(claim) => return Reunion::Mine(claim),
            Met::Running(id, mut running) => {
                // It changes only by ending; whether it is told how, or just dropped, it has the last word.
                if timeout_at(until, running.changed()).await.is_err() {
                    return Reunion::Answer(under_way(&id));
                }
                let end = running.borrow().clone();
                match end {
                    End::Answered(answer) => {
                        shelf.handed(&id);
                        return response(answer, &id, asked).map_or(Reunion::Alone, Reunion::Answer);
                    }
                    End::Kept => return Reunion::Kept(id),
                    End::Open => {}
                }
            }
            Met::Done(id, unstored) => {
                let answer = shelf.hand_out(&id, unstored).await;
                let response = answer.and_then(|answer| response(answer, &id, asked));
                return response.map_or(Reunion::Alone, Reunion::Answer);
            }
        }
    }
}

/// The body of an answer, however many have it.
struct Shared(Arc<Answer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}

/// The kept answer in the form that is asked for.
fn response(answer: Arc<Answer>, id: &str, asked: Form) -> Option<Response<Body>> {
    let (mut headers, status) = (entry::read(&answer.headers), answer.status);
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is = Form::streamed(kind.starts_with(b"text/event-stream"));
    let body = convert(Bytes::from_owner(Shared(answer)), is, asked)?;
    headers.remove(CONTENT_LENGTH);
    if is != asked {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asked.content_type()));
    }
    headers.insert(QCC_QUEUED_ANSWER, HeaderValue::from_str(id).ok()?);
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

fn under_way(id: &str) -> Response<Body> {
    let message = format!("the request is queued as {id} and being tried now; try again in {SOON} s");
    let mut response = Refusal::unavailable("queued-and-running", message, SOON).response();
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(QCC_QUEUED, id);
    }
    response
}
