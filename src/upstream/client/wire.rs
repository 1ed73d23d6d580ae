//! The bytes of an HTTP/1.1 connection, counted from the start of a request.
//!
//! Two decisions need the count: whether a connection died before any byte of an answer, and whether an endpoint sends
//! interim answers (1xx) without end. hyper skips those silently, and telling them would cost a callback per request;
//! here their heads are counted as they are read, which for an ordinary answer ends with its first ten bytes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MAX_HEAD;
use crate::net::connect::Io;

/// Interim answers that may come before an answer.
const MAX_INTERIM: u32 = 16;
/// Bytes that may come before the head of an answer is complete.
const MAX_BEFORE_HEAD: usize = 16 * MAX_HEAD;

/// What has come since the request began. Shared by the connection's task and the exchange.
#[derive(Debug)]
pub(super) struct Heard {
    bytes: Cell<usize>,
    awaiting_head: Cell<bool>,
    deaf: Cell<bool>,
    interim: RefCell<Interim>,
    /// Woken when the wire is ready, whoever polls it.
    waker: RefCell<Waker>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            bytes: Cell::default(),
            awaiting_head: Cell::default(),
            deaf: Cell::default(),
            interim: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
        }
    }
}

impl Heard {
    /// From now on the wire wakes `waker`.
    pub(super) fn wakes(&self, waker: Waker) {
        self.waker.replace(waker);
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.bytes.set(0);
        self.awaiting_head.set(true);
        self.interim.borrow_mut().begin();
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

    fn add(&self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes.len()));
        if !self.awaiting_head.get() {
            return Ok(());
        }
        let mut interim = self.interim.borrow_mut();
        interim.feed(bytes);
        if interim.answers > MAX_INTERIM || self.bytes.get() > MAX_BEFORE_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TooMuchBeforeHead));
        }
        Ok(())
    }
}

/// Counts the interim answers before an answer; what follows the first bytes of the answer itself is not looked at.
#[derive(Debug, Default)]
struct Interim {
    answers: u32,
    /// The first bytes of the head at hand.
    status: Vec<u8>,
    /// The line at hand has bytes besides its end.
    in_line: bool,
    ended: bool,
}

/// As much of a head as tells an interim answer: `HTTP/1.1 1`.
const STATUS: usize = 10;

impl Interim {
    fn begin(&mut self) {
        self.status.clear();
        (self.answers, self.in_line, self.ended) = (0, false, false);
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.status.len() < STATUS {
                self.status.push(*byte);
                self.ended = self.status.len() == STATUS && !is_interim(&self.status);
            }
            if self.ended {
                return;
            }
            self.follow(*byte);
        }
    }

    fn follow(&mut self, byte: u8) {
        match byte {
            b'\r' => {}
            b'\n' if self.in_line => self.in_line = false,
            b'\n' => {
                self.answers += 1;
                self.status.clear();
            }
            _ => self.in_line = true,
        }
    }
}

fn is_interim(status: &[u8]) -> bool {
    status.starts_with(b"HTTP/1.") && status.ends_with(b" 1")
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

/// A byte stream that counts what it reads, and wakes not who polls it but its driver.
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
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, heard } = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(io).poll_read(&mut Context::from_waker(&heard.waker.borrow()), buf))?;
        Poll::Ready(heard.add(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, heard } = &mut *self;
        if heard.is_deaf() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(io).poll_write(&mut Context::from_waker(&heard.waker.borrow()), buf));
        Poll::Ready(heard.written(result, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, heard } = &mut *self;
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if heard.is_deaf() {
            return Poll::Ready(Ok(all));
        }
        let result = ready!(Pin::new(io).poll_write_vectored(&mut Context::from_waker(&heard.waker.borrow()), bufs));
        Poll::Ready(heard.written(result, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, heard } = &mut *self;
        if heard.is_deaf() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(io).poll_flush(&mut Context::from_waker(&heard.waker.borrow()))).map(|()| 0);
        Poll::Ready(heard.written(result, 0).map(drop))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, heard } = &mut *self;
        Pin::new(io).poll_shutdown(&mut Context::from_waker(&heard.waker.borrow()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_interim_answers_are_borne_and_no_more_however_they_are_cut() {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 103 in the body\r\n\r\n";
        for cut in 1..60 {
            for (interims, borne) in [(0, true), (16, true), (17, false)] {
                let heard = Heard::default();
                heard.begin();
                let text = interim.repeat(interims) + &answer.repeat(20);
                let all = text.as_bytes().chunks(cut).all(|piece| heard.add(piece).is_ok());
                assert_eq!(all, borne, "{interims} in pieces of {cut}");
            }
        }
    }
}
