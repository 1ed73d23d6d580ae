//! Driving an HTTP/1.1 connection from the task that waits for it, without a task of its own.
//!
//! A connection with its own task costs two turns of the scheduler and a wake-up for every piece of an answer, and each
//! piece goes down alone. Driven from the body's reader, everything one read brought is handed on in one go.
//!
//! - What the parts of hyper say to each other wakes nobody: it is noted, and whoever drives looks again.
//! - The wire wakes the task that waited last.
//! - Where nothing has stirred since the last turn, there is none: asking again costs next to nothing.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use super::RequestBody;
use super::wire::{Heard, Wire};

/// Turns of one poll before other tasks have theirs.
const MOST_TURNS: usize = 32;

/// A connection, and what is noted of its parts.
pub(super) struct Driver<B: RequestBody> {
    /// `None` once it has ended.
    connection: RefCell<Option<Connection<TokioIo<Wire>, B>>>,
    stirred: Arc<Stirred>,
    inside: Waker,
    task: Arc<Task>,
}

/// Whether a turn may come to anything: a part has something for another, or the wire has.
#[derive(Debug, Default)]
struct Stirred(AtomicBool);

impl Stirred {
    fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Stirred {
    fn wake(self: Arc<Self>) {
        self.note();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.note();
    }
}

/// Who waits for the wire.
#[derive(Debug)]
struct Task {
    stirred: Arc<Stirred>,
    waiting: Mutex<Waker>,
}

impl Task {
    fn waits(&self, waker: &Waker) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.note();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl<B: RequestBody> Driver<B> {
    /// Drives `connection`, of whose wire `heard` tells.
    pub(super) fn new(connection: Connection<TokioIo<Wire>, B>, heard: &Rc<Heard>) -> Self {
        let stirred = Arc::new(Stirred(true.into()));
        let task = Task { stirred: Arc::clone(&stirred), waiting: Mutex::new(Waker::noop().clone()) };
        let task = Arc::new(task);
        heard.wakes(Waker::from(Arc::clone(&task)));
        let inside = Waker::from(Arc::clone(&stirred));
        Self { connection: RefCell::new(Some(connection)), stirred, inside, task }
    }

    /// Polls for what is `wanted` of the connection, driving it until that is there or nothing stirs any more.
    pub(super) fn poll<T>(&self, cx: &mut Context<'_>, mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.task.waits(cx.waker());
        for _ in 0..MOST_TURNS {
            if let Poll::Ready(found) = wanted(&mut Context::from_waker(&self.inside)) {
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
        self.task.waits(Waker::noop());
        self.stirred.note();
        for _ in 0..MOST_TURNS {
            if !self.turn() {
                return;
            }
        }
    }

    /// Drives it as far as it goes, if anything has stirred; whether there was anything to do.
    fn turn(&self) -> bool {
        let mut connection = self.connection.borrow_mut();
        let (Some(driven), true) = (connection.as_mut(), self.stirred.take()) else { return false };
        // Its errors are told to the exchange; a connection that ends between requests is nobody's error.
        if Pin::new(driven).poll(&mut Context::from_waker(&self.inside)).is_ready() {
            *connection = None;
        }
        true
    }
}
