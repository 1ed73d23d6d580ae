//! The answer's body on its way down: pieces go through as they come, and what they say is noted on the side. Small
//! pieces that are there together go down together, in one write; none waits for another.
//!
//! Invariants:
//! - what came before a break goes down before the connection is cut;
//! - no byte is held, dropped or re-ordered once the gate is open;
//! - a failure of the endpoint is recorded before the client can see it, since its re-send arrives milliseconds later;
//! - dropping the body (the client left) drops the upstream call with it and counts nothing.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::answer::error_event;
use super::flight::Flight;
use super::gate::Gate;
use super::journal::Journal;
use super::silence::Silence;
use super::usage::{keep_tail, usage_in};
use crate::upstream::classify::classify_event_error;
use crate::upstream::client::Answer;
use crate::upstream::outcome::Outcome;

/// Pieces of a stream below this size are put together with those that are there already.
const SMALL: usize = 2 * 1024;
/// An answer that ended in good form, but too soon.
pub(super) const CUT_SHORT: &str = "the answer ended before its announced length";
/// Most that is put together.
const TOGETHER: usize = 16 * 1024;

/// Body of every answer the proxy gives.
#[derive(Debug)]
pub enum Body {
    /// The proxy's own words, or nothing.
    Full(Option<Bytes>),
    /// An endpoint's answer.
    Relay(Box<Relay>),
    /// What was made of one.
    Made(Pin<Box<dyn Made>>),
}

/// A body that was made elsewhere.
pub trait Made: HttpBody<Data = Bytes, Error = Cut> + fmt::Debug {}

impl<B: HttpBody<Data = Bytes, Error = Cut> + fmt::Debug> Made for B {}

impl Body {
    /// A body of the proxy's own.
    pub fn full(text: impl Into<Bytes>) -> Self {
        Self::Full(Some(text.into()).filter(|text: &Bytes| !text.is_empty()))
    }

    /// What is recorded of a request whose answer is an endpoint's.
    pub fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Relay(relay) => Some(&relay.journal),
            Self::Full(_) | Self::Made(_) => None,
        }
    }
}

/// The answer cannot be completed: the connection (HTTP/2: the stream) is cut, so that the client does not take it for whole.
#[derive(Debug)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer broke off")
    }
}

impl std::error::Error for Cut {}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Full(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relay(relay) => relay.poll(cx),
            Self::Made(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(text) => text.is_none(),
            Self::Relay(relay) => relay.phase == Phase::Ended && !relay.cut,
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Relay(_) | Self::Made(_) => SizeHint::default(),
        }
    }
}

/// What kind of answer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Server-sent events of `POST /v1/messages`.
    Events,
    /// One JSON document of `POST /v1/messages`.
    Whole,
    /// Anything else: nothing is looked at.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Flowing,
    Ended,
}

/// An answer whose head goes down now.
#[derive(Debug)]
pub struct Parts {
    /// Pieces the gate held.
    pub held: VecDeque<Bytes>,
    /// What is still to come; `None` when the gate already saw its end.
    pub rest: Option<Answer>,
    /// The gate, whose eyes go on looking.
    pub gate: Gate,
    /// What it is.
    pub shape: Shape,
    /// Whether an event may be appended: a stream without a length, in clear.
    pub appendable: bool,
}

/// An endpoint's answer on its way down.
#[derive(Debug)]
pub struct Relay {
    answer: Parts,
    journal: Journal,
    /// The try that is answering; `None` if it has ended already, as a failure.
    flight: Option<Flight>,
    /// What came after the pieces that were put together.
    ahead: Option<Came>,
    idle: Silence,
    /// The end of a JSON answer, where its usage stands.
    tail: Vec<u8>,
    phase: Phase,
    /// The connection is cut once what was handed on is written.
    cut: bool,
}

/// What an endpoint sent: a frame, its failure, or the end.
type Came = Option<Result<Frame<Bytes>, hyper::Error>>;

type Polled = Poll<Option<Result<Frame<Bytes>, Cut>>>;

impl Relay {
    /// Takes over an answer whose head goes down now.
    pub fn new(parts: Parts, journal: Journal, flight: Option<Flight>, idle: Duration) -> Self {
        let tail = if parts.shape == Shape::Whole { end_of(&parts.held, &parts.gate) } else { Vec::new() };
        let idle = Silence::new(idle);
        let mut relay =
            Self { answer: parts, journal, flight, ahead: None, idle, tail, phase: Phase::Flowing, cut: false };
        relay.answer.gate.prefix = Vec::new();
        relay
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(piece) = self.answer.held.pop_front() {
            self.journal.record.bytes_out += piece.len() as u64;
            self.settle_if_over();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.phase == Phase::Ended {
            return Poll::Ready(std::mem::take(&mut self.cut).then_some(Err(Cut)));
        }
        match self.next(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = self.gather(frame, cx);
                self.settle_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.broken(&Outcome::Local, &error.to_string(), cx),
            Poll::Ready(None) => self.end(cx),
            Poll::Pending => self.silence(cx),
        }
    }

    /// What comes next. It is noted as soon as it is here.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(ahead);
        }
        let Some(rest) = &mut self.answer.rest else { return Poll::Ready(None) };
        let came = ready!(Pin::new(rest).poll_frame(cx));
        if let Some(Ok(frame)) = &came {
            self.note(frame);
        }
        Poll::Ready(came)
    }

    /// Puts the small pieces behind a small one to it, as far as they are there.
    fn gather(&mut self, frame: Frame<Bytes>, cx: &mut Context<'_>) -> Frame<Bytes> {
        let Some(first) = frame.data_ref().filter(|piece| self.is_small(piece)) else { return frame };
        let mut all = BytesMut::from(&first[..]);
        // Looking for more would otherwise cost the connection a buffer: this one lay in the buffer that it reads into.
        drop(frame);
        while all.len() < TOGETHER {
            match self.next(cx) {
                Poll::Ready(Some(Ok(more))) if more.data_ref().is_some_and(|piece| self.is_small(piece)) => {
                    let piece = more.data_ref().map_or(&[][..], |piece| piece);
                    if all.capacity() - all.len() < piece.len() {
                        all.reserve(2 * SMALL);
                    }
                    all.extend_from_slice(piece);
                }
                Poll::Ready(other) => {
                    self.ahead = Some(other);
                    break;
                }
                Poll::Pending => break,
            }
        }
        Frame::data(all.freeze())
    }

    fn is_small(&self, piece: &Bytes) -> bool {
        self.answer.shape == Shape::Events && piece.len() < SMALL
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        self.idle.broken();
        if let Some(piece) = frame.data_ref() {
            self.journal.record.bytes_out += piece.len() as u64;
            match self.answer.shape {
                Shape::Events => self.look_at_events(piece),
                Shape::Whole => self.answer.gate.decoder.look(piece, |text| keep_tail(&mut self.tail, text)),
                Shape::Opaque => {}
            }
        }
    }

    fn look_at_events(&mut self, piece: &[u8]) {
        let scanner = &mut self.answer.gate.scanner;
        self.answer.gate.decoder.look(piece, |text| scanner.feed(text));
        if let Some(error) = &self.answer.gate.scanner.seen().error {
            let outcome = classify_event_error(error);
            self.failed_midway(&outcome, "an error event in the middle of the stream");
        }
    }

    /// The endpoint failed in the middle of its answer.
    fn failed_midway(&mut self, outcome: &Outcome, detail: &str) {
        if let Some(flight) = &mut self.flight {
            flight.failed_midway(outcome, detail);
            self.journal.found(outcome, detail);
        }
    }

    /// The upstream answer ended in good form.
    fn end(&mut self, cx: &Context<'_>) -> Polled {
        if self.answer.rest.as_ref().is_some_and(Answer::is_cut_short) {
            return self.broken(&Outcome::Server { retry_after: None }, CUT_SHORT, cx);
        }
        let seen = self.answer.gate.scanner.seen();
        let whole = match self.answer.shape {
            Shape::Events => seen.is_complete() || seen.error.is_some() || self.answer.gate.decoder.is_blind(),
            Shape::Whole | Shape::Opaque => true,
        };
        if !whole {
            let outcome = Outcome::Server { retry_after: None };
            return self.broken(&outcome, "the stream ended in the middle of the answer", cx);
        }
        self.settle();
        Poll::Ready(None)
    }

    /// An answer of known length is over with its last byte: nobody asks for what comes after it.
    fn settle_if_over(&mut self) {
        let last = self.answer.held.is_empty() && self.ahead.is_none();
        let over = last && self.answer.rest.as_ref().is_none_or(HttpBody::is_end_stream);
        if over && (self.answer.shape != Shape::Events || self.answer.gate.scanner.seen().is_complete()) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.phase = Phase::Ended;
        self.answer.rest = None;
        self.journal.record.tokens = match self.answer.shape {
            Shape::Whole => usage_in(&self.tail),
            Shape::Events | Shape::Opaque => self.answer.gate.scanner.seen().tokens,
        };
        if let Some(flight) = &self.flight {
            flight.spent(self.journal.record.tokens);
        }
        let result = match &mut self.flight {
            None => "failed",
            Some(_) if self.answer.gate.scanner.seen().error.is_some() => "error_event",
            Some(flight) => {
                flight.succeeded();
                self.journal.whole();
                "ok"
            }
        };
        self.journal.end(result);
    }

    /// The upstream answer broke off, or fell silent.
    fn broken(&mut self, outcome: &Outcome, detail: &str, cx: &Context<'_>) -> Polled {
        let seen = self.answer.gate.scanner.seen();
        if self.answer.shape == Shape::Events && (seen.is_complete() || seen.error.is_some()) {
            self.settle();
            return Poll::Ready(None);
        }
        let (block_completed, tokens) = (seen.block_completed, seen.tokens);
        self.phase = Phase::Ended;
        self.answer.rest = None;
        self.failed_midway(outcome, detail);
        self.journal.record.tokens = tokens;
        self.journal.end("cut");
        // Cut before the first completed block: the client sends the same stream again and the user sees nothing.
        let tell = self.answer.appendable && block_completed && self.answer.gate.scanner.at_boundary();
        if tell {
            return Poll::Ready(Some(Ok(Frame::data(error_event(&format!("{Cut}: {detail}"))))));
        }
        // An error now would take what is not written yet along with it, even the head.
        self.cut = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn silence(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.flight.as_ref().is_some_and(Flight::is_shutting_down) {
            return self.broken(&Outcome::Cancelled, "the proxy is shutting down", cx);
        }
        if self.idle.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.broken(&Outcome::Server { retry_after: None }, "the endpoint fell silent", cx)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A client may leave with the last event in hand; that is a whole answer.
        if self.phase == Phase::Flowing && self.answer.shape == Shape::Events && self.answer.gate.scanner.seen().stopped
        {
            self.settle();
        }
        if let Some(flight) = &mut self.flight {
            flight.silent_since(self.idle.since());
        }
    }
}

/// The clear end of what the gate held.
fn end_of(held: &VecDeque<Bytes>, gate: &Gate) -> Vec<u8> {
    let mut tail = Vec::new();
    match held.back().filter(|_| gate.decoder.is_identity()) {
        Some(_) => held.iter().for_each(|piece| keep_tail(&mut tail, piece)),
        None => keep_tail(&mut tail, &gate.prefix),
    }
    tail
}
