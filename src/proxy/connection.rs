//! What a client does with its connection: when it is idle, slow or contradictory.
//!
//! hyper has one timer for both an unused connection and a head that comes slowly, and hides that a head carried both
//! `Content-Length` and `Transfer-Encoding`. [`Watched`] looks at the bytes as they are read, [`Activity`] remembers, and
//! the connection's task asks it when to give up.
//!
//! Invariant: nothing read or written is changed.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request to the end of its head.
    pub header: Duration,
    /// Unused between requests.
    pub keep_alive: Duration,
    /// Not reading what is sent to it.
    pub write: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request, no byte of one.
    Idle,
    /// A head has begun.
    Head,
    /// At least one request is being answered.
    Busy,
}

/// What one connection is doing. Shared by its transport, its requests and its task, all on one thread.
#[derive(Debug)]
pub struct Activity {
    patience: Patience,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    requests: Cell<u32>,
    /// HTTP/2 sends control frames at any time: bytes are no sign of a request.
    http2: Cell<bool>,
    write_blocked: Cell<Option<Instant>>,
    head: RefCell<Head>,
}

impl Activity {
    /// A connection accepted now.
    pub fn new(patience: Patience) -> Rc<Self> {
        Rc::new(Self {
            patience,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            requests: Cell::new(0),
            http2: Cell::new(false),
            write_blocked: Cell::new(None),
            head: RefCell::default(),
        })
    }

    /// A request's head is complete; the connection is busy until the guard is dropped.
    pub fn request(self: &Rc<Self>, version: Version) -> Busy {
        self.http2.set(version == Version::HTTP_2);
        self.requests.set(self.requests.get() + 1);
        self.enter(Phase::Busy);
        Busy(Rc::clone(self))
    }

    /// Whether the head at hand named its length in two ways. Asking forgets.
    pub fn contradicts(&self) -> bool {
        self.head.take().contradicts()
    }

    /// Waits until the client has taken too long for something. To be polled after each poll of the connection, which may
    /// have changed what is waited for.
    pub async fn expired(&self) {
        let mut timer = pin!(tokio::time::sleep(self.patience.keep_alive));
        std::future::poll_fn(|cx| self.poll_expired(timer.as_mut(), cx)).await;
    }

    fn poll_expired(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ends) = self.ends() else { return Poll::Pending };
        if timer.deadline() != ends {
            timer.as_mut().reset(ends);
        }
        timer.poll(cx)
    }

    /// When patience ends with what the client does now; `None` while all it does is wait for an answer.
    fn ends(&self) -> Option<Instant> {
        let phase = match self.phase.get() {
            Phase::Idle => Some(self.since.get() + self.patience.keep_alive),
            Phase::Head => Some(self.since.get() + self.patience.header),
            Phase::Busy => None,
        };
        let write = self.write_blocked.get().map(|since| since + self.patience.write);
        [phase, write].into_iter().flatten().min()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    fn read(&self, bytes: &[u8]) {
        if self.http2.get() {
            return;
        }
        if self.phase.get() == Phase::Idle && !bytes.is_empty() {
            self.enter(Phase::Head);
            self.head.replace(Head::default());
        }
        if self.phase.get() == Phase::Head {
            self.head.borrow_mut().feed(bytes);
        }
    }

    fn written(&self, blocked: bool) {
        match (blocked, self.write_blocked.get()) {
            (true, None) => self.write_blocked.set(Some(Instant::now())),
            (false, Some(_)) => self.write_blocked.set(None),
            _ => {}
        }
    }
}

/// A request is being answered.
#[derive(Debug)]
pub struct Busy(Rc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let left = self.0.requests.get().saturating_sub(1);
        self.0.requests.set(left);
        if left == 0 {
            self.0.enter(Phase::Idle);
        }
    }
}

/// Follows the lines of a request's head, as far as its length is named there.
#[derive(Debug, Default)]
struct Head {
    /// Beginning of the line at hand, no longer than the names looked for.
    name: Vec<u8>,
    ended: bool,
    content_length: bool,
    transfer_encoding: bool,
}

const LONGEST_NAME: usize = "transfer-encoding:".len();

impl Head {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !self.ended {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return self.begin_line(bytes) };
            self.begin_line(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
    }

    fn begin_line(&mut self, bytes: &[u8]) {
        let room = LONGEST_NAME - self.name.len();
        self.name.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let named =
            |name: &str| self.name.get(..name.len()).is_some_and(|line| line.eq_ignore_ascii_case(name.as_bytes()));
        let (length, encoding) = (named("content-length:"), named("transfer-encoding:"));
        self.content_length |= length;
        self.transfer_encoding |= encoding;
        self.ended = self.name.is_empty() || self.name == b"\r";
        self.name.clear();
    }

    fn contradicts(&self) -> bool {
        self.content_length && self.transfer_encoding
    }
}

/// A transport whose reads and writes are noted in an [`Activity`].
#[derive(Debug)]
pub struct Watched<T> {
    transport: T,
    activity: Rc<Activity>,
}

impl<T> Watched<T> {
    /// Notes what `transport` does in `activity`.
    pub fn new(transport: T, activity: Rc<Activity>) -> Self {
        Self { transport, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.transport).poll_read(cx, buf);
        if polled.is_ready() {
            self.activity.read(&buf.filled()[before..]);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.activity.written(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, pieces);
        self.activity.written(polled.is_pending());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { header: Duration::from_secs(10), keep_alive: Duration::from_mins(1), write: Duration::from_mins(4) };

    async fn seconds_until_expired(activity: &Activity) -> u64 {
        let began = Instant::now();
        activity.expired().await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn unused_slow_and_busy_connections_have_each_their_patience() {
        let activity = Activity::new(PATIENCE);
        assert_eq!(seconds_until_expired(&activity).await, 60, "unused");
        let busy = activity.request(Version::HTTP_11);
        let waiting = tokio::time::timeout(Duration::from_hours(1), activity.expired());
        assert!(waiting.await.is_err(), "busy");
        drop(busy);
        activity.read(b"POST / HT");
        assert_eq!(seconds_until_expired(&activity).await, 10, "a slow head");
        let _busy = activity.request(Version::HTTP_11);
        activity.written(true);
        assert_eq!(seconds_until_expired(&activity).await, 240, "not reading");
        let activity = Activity::new(PATIENCE);
        drop(activity.request(Version::HTTP_2));
        activity.read(b"a control frame");
        assert_eq!(seconds_until_expired(&activity).await, 60, "unused HTTP/2");
    }

    #[tokio::test]
    async fn a_head_with_two_lengths_is_noticed_however_it_is_cut() {
        let both = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTRANSFER-ENCODING: chunked\r\n\r\n";
        let one =
            "POST / HTTP/1.1\r\nContent-Length: 50\r\nX: transfer-encoding:\r\n\r\nTransfer-Encoding: in the body\r\n";
        for (text, contradicts) in [(both, true), (one, false)] {
            for cut in 1..text.len() {
                let activity = Activity::new(PATIENCE);
                text.as_bytes().chunks(cut).for_each(|piece| activity.read(piece));
                assert_eq!(activity.contradicts(), contradicts, "{cut}");
                assert!(!activity.contradicts(), "asking forgets");
            }
        }
    }
}
