//! The bytes of an HTTP/1.1 connection, counted from the start of a request.
//!
//! Two decisions need the count: whether a connection died before any byte of an answer, and whether an endpoint sends
//! interim answers (1xx) without end. hyper skips those silently; each is within the limit of a head, so a limit of
//! sixteen heads bounds them all without a callback per request.
//!
//! A peer that stops listening may have spoken before: who refuses a large body answers and closes. So a failed write is
//! not the end; what was said is still read, and the connection serves no other request.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MAX_HEAD;
use crate::net::connect::Io;

/// Bytes that may come before the head of an answer is complete.
const MAX_BEFORE_HEAD: usize = 16 * MAX_HEAD;

/// What has come since the request began. Shared by the connection's task and the exchange.
#[derive(Debug, Default)]
pub(super) struct Heard {
    bytes: Cell<usize>,
    awaiting_head: Cell<bool>,
    deaf: Cell<bool>,
}

impl Heard {
    /// A request begins.
    pub(super) fn begin(&self) {
        self.bytes.set(0);
        self.awaiting_head.set(true);
    }

    /// Its answer's head is here.
    pub(super) fn head(&self) {
        self.awaiting_head.set(false);
    }

    /// Whether anything has come.
    pub(super) fn anything(&self) -> bool {
        self.bytes.get() > 0
    }

    /// Whether the peer has stopped listening.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    /// What came of writing `all` bytes; a failure is kept for the reader to find.
    fn written(&self, result: io::Result<usize>, all: usize) -> io::Result<usize> {
        result.or_else(|_| {
            self.deaf.set(true);
            Ok(all)
        })
    }

    fn add(&self, bytes: usize) -> io::Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.awaiting_head.get() && self.bytes.get() > MAX_BEFORE_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TooMuchBeforeHead));
        }
        Ok(())
    }
}

/// Interim answers without end.
#[derive(Debug)]
pub(super) struct TooMuchBeforeHead;

impl fmt::Display for TooMuchBeforeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many interim answers")
    }
}

impl std::error::Error for TooMuchBeforeHead {}

/// A byte stream that counts what it reads.
pub(super) struct Wire {
    io: Io,
    heard: Rc<Heard>,
}

impl Wire {
    pub(super) fn new(io: Io) -> (Self, Rc<Heard>) {
        let heard = Rc::new(Heard::default());
        (Self { io, heard: Rc::clone(&heard) }, heard)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        Poll::Ready(self.heard.add(buf.filled().len() - before))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.heard.is_deaf() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.heard.written(result, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.heard.is_deaf() {
            return Poll::Ready(Ok(all));
        }
        let result = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        Poll::Ready(self.heard.written(result, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heard.is_deaf() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.io).poll_flush(cx)).map(|()| 0);
        Poll::Ready(self.heard.written(result, 0).map(drop))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
