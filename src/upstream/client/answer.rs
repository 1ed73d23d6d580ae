//! The body of an answer, and what happens to its connection.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// Something a request holds while it runs: a whole HTTP/1.1 connection, or a stream's place on an HTTP/2 one.
pub(super) trait Held {
    /// Polls the body of the answer, which may take driving the connection.
    fn poll_frame(&self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>>;

    /// The request is over, or was given up.
    fn released(self: Rc<Self>);
}

/// Releases what it holds, once: when told to, at the latest when dropped.
pub(super) struct Hold(Option<Rc<dyn Held>>);

impl Hold {
    pub(super) fn new(held: Rc<dyn Held>) -> Self {
        Self(Some(held))
    }

    fn release(&mut self) {
        if let Some(held) = self.0.take() {
            held.released();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// The body of an answer, streaming.
///
/// - Read to its end, its HTTP/1.1 connection serves the next request at once.
/// - Dropped before, the upstream sees it at once: the HTTP/1.1 connection is closed, the HTTP/2 stream is reset.
pub struct Answer {
    body: Incoming,
    hold: Hold,
}

impl Answer {
    pub(super) fn new(body: Incoming, mut hold: Hold) -> Self {
        if body.is_end_stream() {
            hold.release();
        }
        Self { body, hold }
    }

    /// Whether it ended before the length it announced. An HTTP/2 stream that is reset without an error (`NO_ERROR`) ends
    /// like a whole one.
    pub fn is_cut_short(&self) -> bool {
        !self.body.is_end_stream() && self.body.size_hint().lower() > 0
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, hold } = &mut *self;
        let polled = match &hold.0 {
            Some(held) => held.poll_frame(body, cx),
            None => Pin::new(&mut *body).poll_frame(cx),
        };
        let ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
        };
        if ended {
            hold.release();
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

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
