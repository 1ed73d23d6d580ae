//! A re-send that tries its entry: for itself, and for all who are attached to it.
//!
//! The try is a task of its own, on the worker of whoever came first, so that it lasts as long as anybody waits for it.
//!
//! Invariants:
//! - the entry is running until the try has ended, also while its answer is on the way to the client;
//! - when the last who waits has left, the call upstream is cancelled and the entry stands where it stood;
//! - if the first leaves before its answer is whole, the rest is read for the others;
//! - what goes to the first is not delayed: it is copied as it passes.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::book::{Claim, End};
use super::pings::Waiting;
use super::tries::Tries;
use super::worker::{LARGEST, LONGEST, whole};
use super::{Queue, hold, keep};
use crate::config::Config;
use crate::dispatch::Worker;
use crate::dispatch::answer::Refusal;
use crate::dispatch::call::Call;
use crate::dispatch::journal::Journal;
use crate::dispatch::relay::{Body, Cut};
use crate::snapshot::Snapshot;
use crate::store::entries::Answer;

/// What the task has to do.
struct Try {
    queue: Arc<Queue>,
    worker: Rc<Worker>,
    config: Arc<Config>,
    claim: Claim,
    first: oneshot::Sender<Response<Body>>,
}

/// Tries the entry of `claim` as `call`, and gives what comes of it.
pub(super) async fn answer(
    queue: &Arc<Queue>,
    worker: &Rc<Worker>,
    snapshot: Arc<Snapshot>,
    call: Box<Call>,
    journal: Journal,
    claim: Claim,
) -> Response<Body> {
    let (first, answered) = oneshot::channel();
    let (queue, worker, config) = (Arc::clone(queue), Rc::clone(worker), Arc::clone(&snapshot.config));
    let attached = claim.attach();
    let work = Try { queue, worker, config, claim, first };
    // It ends with the last who is attached, and with its worker.
    tokio::task::spawn_local(work.run(snapshot, call, journal));
    match answered.await {
        Ok(response) => response.map(|body| attend(body, attached)),
        Err(_) => Refusal::unavailable("stopping", "the request could not be tried; try again in 1 s", 1).response(),
    }
}

impl Try {
    async fn run(self, snapshot: Arc<Snapshot>, call: Box<Call>, journal: Journal) {
        let Self { queue, worker, config, claim, first } = self;
        queue.shelf.begin(&claim);
        let waiting = Waiting::default();
        let tried = tokio::select! {
            biased;
            tried = hold(&queue, &worker, snapshot, call, journal, &waiting) => tried,
            () = claim.deserted() => return queue.shelf.put_back(claim, &Tries::none()),
        };
        match tried {
            Ok(response) if response.status().is_success() => follow(&queue, claim, response, first).await,
            Ok(response) => {
                queue.shelf.put_back(claim, &Tries::before(response.body()));
                // It may have left.
                drop(first.send(response));
            }
            Err(unanswered) => drop(first.send(keep(&queue.shelf, unanswered, Some(claim), &config).await)),
        }
    }
}

/// Hands the answer on, and sees to it that it becomes whole as long as anybody wants it.
async fn follow(queue: &Queue, claim: Claim, response: Response<Body>, first: oneshot::Sender<Response<Body>>) {
    let (head, body) = response.into_parts();
    let tries = Tries::before(&body);
    let (told, copied) = oneshot::channel();
    let copy = Copying { body, copy: Some(Vec::new()), told: Some(told) };
    let response = Response::from_parts(head.clone(), Body::Made(Box::pin(copy)));
    // Who has left drops it, which gives it back.
    drop(first.send(response));
    let ended = timeout(LONGEST, async {
        let copied = copied.await.ok()?;
        tokio::select! {
            biased;
            answer = copied.complete(head) => answer,
            () = claim.deserted() => None,
        }
    });
    match ended.await.ok().flatten() {
        None => queue.shelf.put_back(claim, &tries),
        Some(Whole { handed: true, .. }) if !claim.is_attended() => {
            queue.shelf.answered_live(claim, &tries.whole()).await;
        }
        Some(Whole { answer, .. }) => {
            let retries = claim.retries;
            queue.shelf.answered(claim, answer, retries, &tries.whole()).await;
        }
    }
}

/// A whole answer, and whether the first has had all of it.
struct Whole {
    answer: Answer,
    handed: bool,
}

/// What was copied of an answer, and what is still to come if the client has left.
struct Copied {
    copy: Option<Vec<u8>>,
    rest: Option<Body>,
}

impl Copied {
    /// Reads the rest; `None` if it is no whole answer in the end.
    async fn complete(self, head: Parts) -> Option<Whole> {
        let mut copy = self.copy?;
        let handed = self.rest.is_none() || whole_stream(&head, &copy);
        if let Some(mut rest) = self.rest.filter(|_| !handed) {
            while let Some(frame) = rest.frame().await {
                append(&mut copy, frame.ok()?.data_ref());
                if copy.len() > LARGEST {
                    return None;
                }
            }
        }
        let answer = whole(head, copy).ok()?;
        Some(Whole { answer, handed })
    }
}

/// A client may leave with the last event in hand.
fn whole_stream(head: &Parts, copy: &[u8]) -> bool {
    let kind = head.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    kind.starts_with(b"text/event-stream") && whole(head.clone(), copy.to_vec()).is_ok()
}

fn append(copy: &mut Vec<u8>, more: Option<&Bytes>) {
    copy.extend_from_slice(more.map_or(&[], |more| &more[..]));
}

/// An answer on its way to the first, copied as it passes.
struct Copying {
    body: Body,
    /// `None`: it is too large to be kept.
    copy: Option<Vec<u8>>,
    told: Option<oneshot::Sender<Copied>>,
}

impl Copying {
    fn note(&mut self, more: Option<&Bytes>) {
        if let Some(copy) = &mut self.copy {
            append(copy, more);
        }
        self.copy.take_if(|copy| copy.len() > LARGEST);
    }

    fn tell(&mut self, rest: Option<Body>) {
        if let Some(told) = self.told.take() {
            // The task may have lost patience.
            drop(told.send(Copied { copy: self.copy.take(), rest }));
        }
    }
}

impl HttpBody for Copying {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let came = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &came {
            Some(Ok(frame)) => self.note(frame.data_ref()),
            // Nobody is told of an answer that broke off.
            Some(Err(_)) => self.told = None,
            None => self.tell(None),
        }
        Poll::Ready(came)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let rest = std::mem::replace(&mut self.body, Body::Full(None));
        self.tell(Some(rest).filter(|rest| !rest.is_end_stream()));
    }
}

/// A body whose client waits for the end of the try as long as it is there.
struct Attended {
    body: Body,
    _attached: watch::Receiver<End>,
}

/// Only an answer that is copied is still being tried.
fn attend(body: Body, attached: watch::Receiver<End>) -> Body {
    match body {
        Body::Made(_) => Body::Made(Box::pin(Attended { body, _attached: attached })),
        body => body,
    }
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Copying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copying")
    }
}

impl fmt::Debug for Attended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attended")
    }
}
