//! An HTTP/1.1 connection: one request at a time.
//!
//! - It has no task: its exchange drives it, then the reader of its answer; idle, it is looked at when it is to be used.
//! - It goes back to its pool only when hyper is ready for another request on it: then the answer was read to its end,
//!   the request was written to its end and heard to its end, and nothing came after.
//! - In every other case it is dropped, which closes the socket at once, whatever is still under way.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

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
    pub(super) async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, Failure> {
        let reused = self.served.replace(true);
        self.heard.begin();
        let mut sending = pin!(self.sender.borrow_mut().send_request(request));
        let result = std::future::poll_fn(|cx| self.driver.poll(cx, |cx| sending.as_mut().poll(cx))).await;
        self.heard.head();
        result.map_err(|error| Failure {
            // Cancelled: it was never written. Otherwise silence on a reused connection says that it was dead already.
            unanswered: reused && (error.is_canceled() || !self.heard.anything()),
            error: (&error).into(),
        })
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
