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
    /// Since when it is in that phase; nobody has looked at the clock yet where that is `None`.
    since: Cell<Option<Instant>>,
    requests: Cell<u32>,
    /// HTTP/2 sends control frames at any time: bytes are no sign of a request.
    http2: Cell<bool>,
    write_blocked: Cell<Option<Instant>>,
    heads: RefCell<Heads>,
    /// Requests whose heads hyper has handed over.
    handed_over: Cell<u64>,
}

impl Activity {
    /// A connection accepted now.
    pub fn new(patience: Patience) -> Rc<Self> {
        Rc::new(Self {
            patience,
            phase: Cell::new(Phase::Idle),
            since: Cell::default(),
            requests: Cell::new(0),
            http2: Cell::new(false),
            write_blocked: Cell::new(None),
            heads: RefCell::default(),
            handed_over: Cell::new(0),
        })
    }

    /// A request's head is complete; the connection is busy until the guard is dropped.
    pub fn request(self: &Rc<Self>, version: Version) -> Busy {
        self.http2.set(version == Version::HTTP_2);
        self.handed_over.set(self.handed_over.get() + 1);
        self.requests.set(self.requests.get() + 1);
        self.enter(Phase::Busy);
        Busy(Rc::clone(self))
    }

    /// Whether the request handed over last named its length in two ways.
    pub fn contradicts(&self) -> bool {
        self.heads.borrow().contradicting.is_some_and(|nth| nth == self.handed_over.get())
    }

    /// The body of the request handed over last was read to its end.
    pub fn request_complete(&self) {
        self.heads.borrow_mut().request_complete();
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
            Phase::Idle => Some(self.since() + self.patience.keep_alive),
            Phase::Head => Some(self.since() + self.patience.header),
            Phase::Busy => None,
        };
        let write = self.write_blocked.get().map(|since| since + self.patience.write);
        [phase, write].into_iter().flatten().min()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(None);
    }

    /// The clock is read when the connection's task looks, which it does after whatever has happened here.
    fn since(&self) -> Instant {
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        since
    }

    fn read(&self, bytes: &[u8]) {
        if self.http2.get() {
            return;
        }
        if self.phase.get() == Phase::Idle && !bytes.is_empty() {
            self.enter(Phase::Head);
        }
        self.heads.borrow_mut().feed(bytes);
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

/// Follows the heads of the requests on a connection, as far as their length is named there.
///
/// Past a body without a length the next head is found again only when that request is answered; what is missed then is
/// still read by hyper in one way, and sent up in that way.
#[derive(Debug, Default)]
struct Heads {
    at: At,
    /// Beginning of the line at hand, as much of it as is looked at.
    line: Vec<u8>,
    lines: u32,
    length: Option<u64>,
    chunked: bool,
    /// Heads read to their end.
    complete: u64,
    /// The first head, counted from 1, that named its length in two ways.
    contradicting: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    /// In a body with so many bytes left.
    Body(u64),
    /// In a body that tells its end itself.
    Chunks,
}

/// As much of a line as holds the longest name and a length.
const LOOKED_AT: usize = "transfer-encoding:".len() + 24;

impl Heads {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Head => self.head(bytes),
                At::Body(left) => self.body(left, bytes),
                At::Chunks => return,
            };
        }
    }

    /// The request at hand is complete: what comes now is the next one.
    fn request_complete(&mut self) {
        if self.at == At::Chunks {
            self.at = At::Head;
        }
    }

    fn body<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - taken as u64;
        self.at = if left == 0 { At::Head } else { At::Body(left) };
        &bytes[taken..]
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if end.is_some() && self.line.is_empty() {
            self.end_line(part);
        } else {
            let room = LOOKED_AT - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if end.is_some() {
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line);
                line.clear();
                self.line = line;
            }
        }
        end.map_or(&[], |end| &bytes[end + 1..])
    }

    fn end_line(&mut self, line: &[u8]) {
        match (line.trim_ascii_start().first(), self.lines) {
            // Empty lines before a request are allowed.
            (None, 0) => return,
            (None, _) => return self.end_head(),
            (Some(b'c' | b'C' | b't' | b'T'), _) => self.note(line.trim_ascii()),
            _ => {}
        }
        self.lines += 1;
    }

    /// Notes a line that may name the length.
    fn note(&mut self, line: &[u8]) {
        if let Some(length) = value_of(line, b"content-length:") {
            self.length =
                Some(std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()).unwrap_or_default());
        }
        self.chunked |= value_of(line, b"transfer-encoding:").is_some();
    }

    fn end_head(&mut self) {
        self.complete += 1;
        let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
        if length.is_some() && chunked {
            self.contradicting.get_or_insert(self.complete);
        }
        self.lines = 0;
        self.at = match (chunked, length) {
            (true, _) => At::Chunks,
            (false, None | Some(0)) => At::Head,
            (false, Some(length)) => At::Body(length),
        };
    }
}

/// The rest of a line that begins with this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
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

    const BOTH: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTRANSFER-ENCODING: chunked\r\n\r\n";
    const ONE: &str =
        "POST / HTTP/1.1\r\nContent-Length: 31\r\nX: transfer-encoding:\r\n\r\nTransfer-Encoding: in the body\n";

    /// Which of the requests in `text` contradict themselves, fed in pieces of `cut` bytes.
    fn contradictions(text: &str, requests: usize, cut: usize) -> Vec<bool> {
        let activity = Activity::new(PATIENCE);
        text.as_bytes().chunks(cut).for_each(|piece| activity.read(piece));
        let next = |_| {
            let _busy = activity.request(Version::HTTP_11);
            activity.contradicts()
        };
        (0..requests).map(next).collect()
    }

    #[tokio::test]
    async fn a_head_with_two_lengths_is_noticed_however_it_is_cut() {
        for cut in 1..80 {
            assert_eq!(contradictions(BOTH, 1, cut), [true], "{cut}");
            assert_eq!(
                contradictions(&format!("{ONE}GET / HTTP/1.1\r\n\r\n\r\n{BOTH}"), 3, cut),
                [false, false, true],
                "{cut}"
            );
        }
    }

    #[tokio::test]
    async fn the_head_after_a_chunked_body_is_found_when_that_request_is_complete() {
        let activity = Activity::new(PATIENCE);
        activity.read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        drop(activity.request(Version::HTTP_11));
        activity.request_complete();
        activity.read(BOTH.as_bytes());
        assert!(!activity.contradicts());
        drop(activity.request(Version::HTTP_11));
        assert!(activity.contradicts());
    }
}
