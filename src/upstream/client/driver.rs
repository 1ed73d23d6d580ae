//! Driving an HTTP/1.1 connection from the task that waits for it, without a task of its own.
//!
//! A connection with its own task costs two turns of the scheduler and a wake-up for every piece of an answer, and each
//! piece goes down alone. Driven from the body's reader, everything one read brought is handed on in one go.
//!
//! - What the parts of hyper say to each other wakes nobody: it is noted, and whoever drives looks again.
//! - Only the wire wakes a task: the one that drove last.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use super::RequestBody;
use super::wire::{Heard, Wire};

/// Turns of one poll before other tasks have theirs.
const MOST_TURNS: usize = 32;

/// A connection and what is noted of its moves.
pub(super) struct Driver<B: RequestBody> {
    /// `None` once it has ended.
    connection: RefCell<Option<Connection<TokioIo<Wire>, B>>>,
    heard: Rc<Heard>,
    moved: Arc<Moved>,
    noting: Waker,
}

/// Whether a part of the connection has something for another.
#[derive(Debug, Default)]
struct Moved(AtomicBool);

impl Wake for Moved {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<B: RequestBody> Driver<B> {
    pub(super) fn new(connection: Connection<TokioIo<Wire>, B>, heard: Rc<Heard>) -> Self {
        let moved = Arc::new(Moved::default());
        let noting = Waker::from(Arc::clone(&moved));
        Self { connection: RefCell::new(Some(connection)), heard, moved, noting }
    }

    /// Polls for what is `wanted` of the connection, driving it until that is there or nothing moves any more.
    pub(super) fn poll<T>(&self, cx: &mut Context<'_>, mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.heard.wakes(cx.waker());
        let mut noting = Context::from_waker(&self.noting);
        for _ in 0..MOST_TURNS {
            if let Poll::Ready(found) = wanted(&mut noting) {
                return Poll::Ready(found);
            }
            if !self.turn() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the connection look at its wire while nobody waits for it.
    pub(super) fn look(&self) {
        self.heard.wakes(Waker::noop());
        // Each turn does all it can without hearing from another part.
        for _ in 0..MOST_TURNS {
            if !self.turn() {
                return;
            }
        }
    }

    /// Drives it as far as it goes; whether something may have come of that.
    fn turn(&self) -> bool {
        self.moved.0.store(false, Ordering::Relaxed);
        let mut connection = self.connection.borrow_mut();
        let Some(driven) = connection.as_mut() else { return false };
        // Its errors are told to the exchange; a connection that ends between requests is nobody's error.
        if Pin::new(driven).poll(&mut Context::from_waker(&self.noting)).is_ready() {
            *connection = None;
            return true;
        }
        self.moved.0.load(Ordering::Relaxed)
    }
}
