//! Streams that are opened while their request still waits (`queue.hold_pings`), for networks whose middle boxes close what
//! is silent.
//!
//! Once opened, status and headers are spent: what comes of the request is told in events, also a failure. So that it can
//! be, such requests ask for an answer in clear from the beginning.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::Notify;
use tokio::time::{Interval, interval, sleep};

use super::form::{Form, convert};
use super::worker::clear;
use super::{Queue, settle};
use crate::dispatch::Worker;
use crate::dispatch::answer::error_event;
use crate::dispatch::call::Call;
use crate::dispatch::journal::Journal;
use crate::dispatch::relay::{Body, Cut};
use crate::snapshot::Snapshot;

/// A stream is opened when its request has been here so long, and waits.
const PATIENCE: Duration = Duration::from_secs(25);
/// Time between two pings.
const EVERY: Duration = Duration::from_secs(10);
/// The largest answer that is told in events at once.
const LARGEST: usize = 32 * 1024 * 1024;
const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Whether a request waits in the line.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    now: Cell<bool>,
    begun: Notify,
}

impl Waiting {
    /// Whether it does from now on.
    pub(super) fn set(&self, waits: bool) {
        self.now.set(waits);
        if waits {
            self.begun.notify_one();
        }
    }

    /// Until it waits, and has been here for long enough.
    async fn long(&self) {
        sleep(PATIENCE).await;
        while !self.now.get() {
            self.begun.notified().await;
        }
    }
}

/// Gets `call` answered like any other, but opens its stream if that takes long.
pub(super) async fn answer(
    queue: &Arc<Queue>,
    worker: &Rc<Worker>,
    snapshot: Arc<Snapshot>,
    mut call: Box<Call>,
    journal: Journal,
) -> Response<Body> {
    call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (queue, worker, waiting) = (Arc::clone(queue), Rc::clone(worker), Rc::new(Waiting::default()));
    let waits = Rc::clone(&waiting);
    let mut answering = Box::pin(async move { settle(&queue, &worker, snapshot, call, journal, &waits).await });
    tokio::select! {
        biased;
        response = &mut answering => response,
        () = waiting.long() => opened(async move { told(answering.await).await }),
    }
}

/// A stream that pings until `answer` is there.
fn opened(answer: impl Future<Output = Body> + 'static) -> Response<Body> {
    let body = Opened::Waiting(Box::pin(answer), interval(EVERY));
    let mut response = Response::new(Body::Made(Box::pin(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Form::Events.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What came of the request, in events.
async fn told(response: Response<Body>) -> Body {
    let (head, body) = response.into_parts();
    let mut headers = head.headers;
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let events = head.status.is_success() && kind.starts_with(b"text/event-stream");
    if events && !headers.contains_key(CONTENT_ENCODING) {
        return body;
    }
    let text = match whole(&mut headers, body).await {
        Ok(text) => text,
        Err(why) => return Body::full(error_event(&why)),
    };
    if !head.status.is_success() {
        return Body::full(error(&text));
    }
    let is = Form::streamed(events);
    Body::full(convert(text, is, Form::Events).unwrap_or_else(|| error_event("what came is no message")))
}

async fn whole(headers: &mut HeaderMap, body: Body) -> Result<Bytes, String> {
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
    clear(headers, body.into()).map(Bytes::from)
}

/// The error of an answer as an event.
fn error(text: &[u8]) -> Bytes {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(body) if body["type"] == "error" => format!("event: error\ndata: {body}\n\n").into(),
        _ => error_event("no endpoint could answer"),
    }
}

/// The body of a stream that was opened.
enum Opened {
    Waiting(Pin<Box<dyn Future<Output = Body>>>, Interval),
    Passing(Body),
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

impl HttpBody for Opened {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let opened = self.get_mut();
        if let Self::Waiting(answer, pings) = opened {
            match answer.as_mut().poll(cx) {
                Poll::Ready(body) => *opened = Self::Passing(body),
                Poll::Pending => {
                    return pings.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(PING)))));
                }
            }
        }
        match opened {
            Self::Passing(body) => Pin::new(body).poll_frame(cx),
            Self::Waiting(..) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Passing(body) if body.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn response(status: u16, kind: &'static str, body: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    /// Everything an opened stream says whose answer comes after `seconds`.
    async fn said(seconds: u64, answer: Response<Body>) -> String {
        let answer = async move {
            sleep(Duration::from_secs(seconds)).await;
            told(answer).await
        };
        let body = opened(answer).into_body().collect().await.expect("it is whole").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_pings_until_its_answer_comes_and_then_is_that_answer() {
        let answer = response(200, "text/event-stream", "event: message_stop\ndata: {}\n\n");
        let text = said(25, answer).await;
        assert_eq!(text.matches("event: ping").count(), 3, "{text}");
        assert!(text.ends_with("event: message_stop\ndata: {}\n\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_as_an_event() {
        let body = r#"{"type":"error","error":{"type":"api_error","message":"queued as abc"}}"#;
        let text = said(1, response(503, "application/json", body)).await;
        assert!(text.ends_with(&format!("event: error\ndata: {body}\n\n")), "{text}");
        let text = said(1, response(500, "text/html", "<html>")).await;
        assert!(text.contains("event: error\ndata: {\"type\":\"error\""), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_told_in_events() {
        let body = r#"{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}"#;
        let text = said(1, response(200, "application/json", body)).await;
        assert!(text.contains("\"text_delta\",\"text\":\"hi\"") && text.contains("event: message_stop"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_waits_is_opened() {
        let waiting = Waiting::default();
        let long = tokio::time::timeout(Duration::from_mins(2), waiting.long());
        assert!(long.await.is_err(), "an attempt is under way all the time");
        waiting.set(true);
        waiting.long().await;
    }
}
