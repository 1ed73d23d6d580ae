//! An HTTP/1.1 connection: one request at a time.
//!
//! - It goes back to its pool only when hyper is ready for another request on it: then the answer was read to its end,
//!   the request was written to its end and heard to its end, and nothing came after.
//! - In every other case it is dropped, which ends its task and closes the socket at once, whatever is still under way.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::answer::Held;
use super::exchange::Failure;
use super::pool::Pool;
use super::wire::{Heard, Wire};
use super::{MAX_HEAD, RequestBody};
use crate::net::connect::Io;
use crate::time::Moment;

/// A connection and the task that drives it.
pub(super) struct Http1<B: RequestBody> {
    sender: RefCell<SendRequest<B>>,
    task: AbortHandle,
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
        // Its errors are told to the exchange; a connection that ends between requests is nobody's error.
        let task = tokio::task::spawn_local(async move { drop(connection.await) }).abort_handle();
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            task,
            heard,
            served: Cell::new(false),
            idle_since: Cell::new(Moment::now()),
            home: Rc::downgrade(home),
        }))
    }

    /// Whether a request can be sent. A new connection takes its first one before its task has run.
    pub(super) fn is_usable(&self) -> bool {
        let sender = self.sender.borrow();
        !sender.is_closed() && !self.heard.is_deaf() && (sender.is_ready() || !self.served.get())
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
        let sending = self.sender.borrow_mut().send_request(request);
        let result = sending.await;
        self.heard.head();
        result.map_err(|error| Failure {
            // Cancelled: it was never written. Otherwise silence on a reused connection says that it was dead already.
            unanswered: reused && (error.is_canceled() || !self.heard.anything()),
            error: (&error).into(),
        })
    }
}

impl<B: RequestBody> Held for Http1<B> {
    fn released(self: Rc<Self>) {
        if !self.sender.borrow().is_ready() || self.heard.is_deaf() {
            return;
        }
        self.idle_since.set(Moment::now());
        if let Some(home) = self.home.upgrade() {
            home.put(self);
        }
    }
}

impl<B: RequestBody> Drop for Http1<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
