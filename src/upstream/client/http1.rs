//! An HTTP/1.1 connection: one request at a time.
//!
//! - It has no task: its exchange drives it, then the reader of its answer; idle, it is looked at when it is to be used.
//! - It goes back to its pool only when hyper is ready for another request on it: then the answer was read to its end,
//!   the request was written to its end and heard to its end, and nothing came after.
//! - In every other case it is dropped, which closes the socket at once, whatever is still under way.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;

use super::answer::Held;
use super::driver::Driver;
use super::exchange::Failure;
use super::pool::Pool;
use super::wire::{Heard, Wire};
use super::{MAX_HEAD, RequestBody};
use crate::net::connect::Io;
use crate::time::Moment;

/// A connection and what drives it.
pub(super) struct Http1<B: RequestBody> {
    sender: RefCell<SendRequest<B>>,
    driver: Driver<B>,
    heard: Rc<Heard>,
    served: Cell<bool>,
    idle_since: Cell<Moment>,
    home: Weak<Pool<B>>,
}

impl<B: RequestBody> Http1<B> {
    /// Speaks HTTP/1.1 over `io`; `home` is where the connection waits between requests.
    pub(super) async fn open(io: Io, home: &Rc<Pool<B>>) -> hyper::Result<Rc<Self>> {
        let (wire, heard) = Wire::new(io);
        // `max_headers` stays unset: its default is the 100 we want, and setting it costs an allocation per answer.
        let (sender, connection) =
            http1::Builder::new().max_header_size(MAX_HEAD).handshake::<_, B>(TokioIo::new(wire)).await?;
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            driver: Driver::new(connection, &heard),
            heard,
            served: Cell::new(false),
            idle_since: Cell::new(Moment::now()),
            home: Rc::downgrade(home),
        }))
    }

    /// Whether a request can be sent.
    pub(super) fn is_usable(&self) -> bool {
        self.driver.look();
        let sender = self.sender.borrow();
        !sender.is_closed() && !self.heard.is_deaf() && sender.is_ready()
    }

    /// Whether it has been given a request before.
    pub(super) fn has_served(&self) -> bool {
        self.served.get()
    }

    /// Since when it waits for a request.
    pub(super) fn idle_since(&self) -> Moment {
        self.idle_since.get()
    }

    /// Sends `request`, whose URI is in origin form.
    pub(super) fn send(&self, request: Request<B>) -> Sending<'_, B, impl Future<Output = Sent>> {
        let reused = self.served.replace(true);
        self.heard.begin();
        let sent = self.sender.borrow_mut().send_request(request);
        Sending { connection: self, reused, sent }
    }
}

/// What comes of a request on its connection.
type Sent = hyper::Result<Response<Incoming>>;

pin_project! {
    /// A request on its way, and the connection that is driven for it.
    // Not an `async fn`, in which the request would have its place a second time.
    pub(super) struct Sending<'a, B: RequestBody, F> {
        connection: &'a Http1<B>,
        reused: bool,
        #[pin]
        sent: F,
    }
}

impl<B: RequestBody, F: Future<Output = Sent>> Future for Sending<'_, B, F> {
    type Output = Result<Response<Incoming>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Http1 { driver, heard, .. } = this.connection;
        let sent = ready!(driver.poll(cx, |cx| this.sent.as_mut().poll(cx)));
        heard.head();
        Poll::Ready(sent.map_err(|error| Failure {
            // Cancelled: it was never written. Otherwise silence on a reused connection says that it was dead already.
            unanswered: *this.reused && (error.is_canceled() || !heard.anything()),
            error: (&error).into(),
        }))
    }
}

impl<B: RequestBody> Held for Http1<B> {
    fn poll_frame(&self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.driver.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }

    fn released(self: Rc<Self>) {
        if !self.sender.borrow().is_ready() {
            self.driver.look();
        }
        if !self.sender.borrow().is_ready() || self.heard.is_deaf() {
            return;
        }
        self.idle_since.set(Moment::now());
        if let Some(home) = self.home.upgrade() {
            home.put(self);
        }
    }
}
