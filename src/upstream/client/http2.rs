//! An HTTP/2 connection: many requests at a time, up to the number its peer allows.
//!
//! - No request waits for a place: a full connection gets a second one beside it.
//! - Until the peer's settings are here its number is unknown; then one request goes ahead, others await the settings.
//! - The connection's window is as large as the windows of all its streams: one that is not read stops no other.
//! - Its tasks end when it is dropped and its last stream is over.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::answer::Held;
use super::exchange::Failure;
use super::{MAX_HEAD, RequestBody};
use crate::net::connect::{Io, causes};
use crate::time::Moment;

/// What one stream may send ahead of its reader.
const STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 512 * STREAM_WINDOW;
/// How often a connection with streams is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// The limit of streams before the peer's settings are here: a number that no settings can hold.
const UNSETTLED: usize = usize::MAX - 1;

type Driver<B> = Rc<RefCell<Option<http2::Connection<TokioIo<Io>, B, Tasks>>>>;

/// A connection and what is known of it.
pub(super) struct Http2<B: RequestBody> {
    sender: RefCell<SendRequest<B>>,
    driver: Driver<B>,
    changed: Tasks,
    birth: u64,
    active: Cell<usize>,
    served: Cell<bool>,
    retired: Cell<bool>,
    idle_since: Cell<Moment>,
}

/// Whether a connection takes another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It does.
    Free,
    /// It will be known when the peer's settings are here.
    Unknown,
    /// It does not.
    None,
}

impl<B: RequestBody> Http2<B> {
    /// Speaks HTTP/2 over `io`. `birth` orders connections by age.
    pub(super) async fn open(io: Io, birth: u64) -> hyper::Result<Rc<Self>> {
        let changed = Tasks::default();
        let (sender, connection) = builder(&changed).handshake::<_, B>(TokioIo::new(io)).await?;
        let driver = Rc::new(RefCell::new(Some(connection)));
        changed.spawn(drive(Rc::clone(&driver)));
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            driver,
            changed,
            birth,
            active: Cell::new(0),
            served: Cell::new(false),
            retired: Cell::new(false),
            idle_since: Cell::new(Moment::now()),
        }))
    }

    /// Whether it takes another request.
    pub(super) fn room(&self) -> Room {
        match (self.active.get(), self.limit()) {
            _ if !self.is_open() => Room::None,
            (1.., UNSETTLED) => Room::Unknown,
            (active, limit) if active < limit => Room::Free,
            _ => Room::None,
        }
    }

    /// How many streams its peer allows; `None`: not known yet.
    pub(super) fn streams(&self) -> Option<usize> {
        Some(self.limit()).filter(|limit| *limit != UNSETTLED)
    }

    /// Waits until [`Self::room`] may say something else than unknown.
    pub(super) async fn settled(&self) {
        while self.room() == Room::Unknown {
            self.changed.0.notified().await;
        }
    }

    /// Takes a place, which is given back by [`Held::released`].
    pub(super) fn take_place(&self) {
        self.active.set(self.active.get() + 1);
    }

    /// Whether new requests may go over it.
    pub(super) fn is_open(&self) -> bool {
        !self.retired.get() && !self.sender.borrow().is_closed()
    }

    /// Its age: later connections have higher numbers.
    pub(super) fn birth(&self) -> u64 {
        self.birth
    }

    /// Since when it has had no request; `None`: it has one.
    pub(super) fn idle_since(&self) -> Option<Moment> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }

    /// Sends `request`, whose URI is absolute. The caller has taken a place.
    pub(super) async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, Failure> {
        let reused = self.served.get();
        let sending = self.sender.borrow_mut().send_request(request);
        let result = sending.await;
        self.served.set(true);
        result.map_err(|error| self.failure(&error, reused))
    }

    fn failure(&self, error: &hyper::Error, reused: bool) -> Failure {
        let h2 = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>());
        let of_connection = h2.is_none_or(|error| error.is_go_away() || error.is_io());
        let unprocessed = error.is_canceled()
            || h2.is_some_and(|error| error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM));
        if of_connection {
            self.retired.set(true);
        }
        Failure { unanswered: unprocessed || (reused && of_connection), error: error.into() }
    }

    fn limit(&self) -> usize {
        self.driver.borrow().as_ref().map_or(0, http2::Connection::current_max_send_streams)
    }
}

impl<B: RequestBody> Held for Http2<B> {
    fn poll_frame(&self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(body).poll_frame(cx)
    }

    fn released(self: Rc<Self>) {
        self.active.set(self.active.get().saturating_sub(1));
        self.idle_since.set(Moment::now());
    }
}

fn builder(tasks: &Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(UNSETTLED)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Drives a connection that others look at in between. At its end it is let go: only then do senders see it closed.
async fn drive<B: RequestBody>(driver: Driver<B>) {
    std::future::poll_fn(|cx| match driver.borrow_mut().as_mut() {
        // Its errors are told to the exchanges; a connection that ends between requests is nobody's error.
        Some(connection) => Pin::new(connection).poll(cx).map(drop),
        None => Poll::Ready(()),
    })
    .await;
    driver.borrow_mut().take();
}

/// Runs the tasks of one connection on this thread, and tells when one of them has made a step.
#[derive(Clone, Debug, Default)]
struct Tasks(Rc<Notify>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let changed = Rc::clone(&self.0);
        tokio::task::spawn_local(async move {
            let mut task = std::pin::pin!(task);
            std::future::poll_fn(|cx| {
                let polled = task.as_mut().poll(cx);
                changed.notify_waiters();
                polled
            })
            .await;
        });
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
