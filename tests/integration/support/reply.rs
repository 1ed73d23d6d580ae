//! What a scripted upstream does with one request: head, body in pieces, pauses, and the way it ends.

use std::time::Duration;

use bytes::Bytes;

use super::gate::Gate;
use super::http1::Headers;
use super::messages;
use super::upstream::Recorded;

/// A piece of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Bytes),
    Pause(Duration),
    Until(Gate),
}

/// How an answer ends after its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As its framing says.
    Whole,
    /// The connection is closed in order, the framing is not finished.
    Eof,
    /// The connection is reset.
    Reset,
    /// The stream is reset without an error, which only HTTP/2 knows; else like `Reset`.
    NoError,
    /// Nothing more comes, the connection stays.
    Hang,
}

/// How an HTTP/1.1 body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    Chunked,
    UntilClose,
}

/// One scripted answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Done before the head is sent.
    pub(crate) before: Vec<Step>,
    /// `None`: the body is sent as it is, without any HTTP around it.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Headers,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<Step>,
    pub(crate) end: End,
    /// Bytes per write; each byte of the wire on its own with 1.
    pub(crate) split: usize,
}

impl Reply {
    /// An answer with this body, delimited by its length.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            before: Vec::new(),
            status: Some(status),
            headers,
            framing: Framing::Length,
            body: vec![Step::Bytes(body.into())],
            end: End::Whole,
            split: usize::MAX,
        }
    }

    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    /// An error in Anthropic's shape.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, messages::error(kind, message))
    }

    /// An event stream in these pieces.
    pub(crate) fn sse<B: Into<Bytes>>(pieces: impl IntoIterator<Item = B>) -> Self {
        let body = pieces.into_iter().map(|piece| Step::Bytes(piece.into())).collect();
        Self { body, framing: Framing::Chunked, ..Self::new(200, "text/event-stream; charset=utf-8", "") }
    }

    /// These bytes and nothing else.
    pub(crate) fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { status: None, headers: Vec::new(), ..Self::new(200, "", bytes) }
    }

    /// Nothing, for ever.
    pub(crate) fn hang() -> Self {
        Self::raw("").end(End::Hang)
    }

    /// What a working endpoint answers: a message, as a stream if one was asked for.
    pub(crate) fn served(request: &Recorded) -> Self {
        match request.path() {
            "/v1/messages/count_tokens" => Self::json(200, r#"{"input_tokens":12}"#),
            _ if request.wants_stream() => Self::sse(messages::stream_events("hello")),
            _ => Self::json(200, messages::answer("hello")),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn framing(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    pub(crate) fn end(self, end: End) -> Self {
        Self { end, ..self }
    }

    pub(crate) fn split(self, split: usize) -> Self {
        Self { split, ..self }
    }

    /// Sends the head only when `gate` opens.
    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        self.before.push(Step::Until(gate.clone()));
        self
    }

    /// Sends the head after a pause.
    pub(crate) fn late(mut self, pause: Duration) -> Self {
        self.before.push(Step::Pause(pause));
        self
    }

    /// Sends these bytes before the head, an interim answer for example.
    pub(crate) fn preceded_by(mut self, bytes: impl Into<Bytes>) -> Self {
        self.before.push(Step::Bytes(bytes.into()));
        self
    }

    /// Adds a piece of body that is sent when `gate` opens.
    pub(crate) fn then(mut self, gate: &Gate, bytes: impl Into<Bytes>) -> Self {
        self.body.extend([Step::Until(gate.clone()), Step::Bytes(bytes.into())]);
        self
    }

    /// Adds a piece of body after a pause.
    pub(crate) fn then_after(mut self, pause: Duration, bytes: impl Into<Bytes>) -> Self {
        self.body.extend([Step::Pause(pause), Step::Bytes(bytes.into())]);
        self
    }

    /// The body without its pauses.
    pub(crate) fn content(&self) -> Bytes {
        let pieces = self.body.iter().filter_map(|step| match step {
            Step::Bytes(bytes) => Some(bytes.as_ref()),
            Step::Pause(_) | Step::Until(_) => None,
        });
        pieces.collect::<Vec<_>>().concat().into()
    }
}
