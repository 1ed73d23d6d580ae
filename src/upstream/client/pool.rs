//! The connections of one worker to one set of interchangeable targets.
//!
//! - A request never waits for another request: without a connection that is free, a new one is opened.
//! - Idle HTTP/1.1 connections are used youngest first, so that a surplus grows old and is closed.
//! - Where HTTP/2 may be spoken, one handshake is made for as many requests as a connection will take, and goes on when
//!   they leave.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::RequestBody;
use super::error::SendError;
use super::exchange::Lease;
use super::http1::Http1;
use super::http2::{Http2, Room};
use crate::net::connect::{Protocol, connect};
use crate::net::{OwnAddresses, Target};
use crate::time::Moment;

/// Idle HTTP/1.1 connections kept.
const MAX_IDLE: usize = 256;
/// How long a connection is kept without a request.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a request looks for a place before it gives up: only a peer that keeps closing new connections gets there.
const MAX_ROUNDS: usize = 16;

/// How an opening ended; `None`: not yet.
type Ended = Option<Result<(), SendError>>;

/// An HTTP/2 connection being opened, or one of a protocol not known yet.
struct Opening {
    ended: watch::Receiver<Ended>,
    waiting: usize,
}

/// The connections to one set of interchangeable targets.
pub(super) struct Pool<B: RequestBody> {
    idle: RefCell<VecDeque<Rc<Http1<B>>>>,
    shared: RefCell<Vec<Rc<Http2<B>>>>,
    /// What was agreed on last; `None`: not known yet.
    protocol: Cell<Option<Protocol>>,
    /// How many streams an HTTP/2 connection takes; without limit while nothing is known.
    streams: Cell<usize>,
    openings: RefCell<Vec<Opening>>,
    births: Cell<u64>,
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Any.
    Any,
    /// One that has served nobody, or an HTTP/2 one born after this.
    NewerThan(u64),
}

enum Found<B: RequestBody> {
    Lease(Lease<B>),
    Settling(Rc<Http2<B>>),
    Nothing,
}

enum Opened<B: RequestBody> {
    Http1(Rc<Http1<B>>),
    Http2(Rc<Http2<B>>),
}

impl<B: RequestBody> Pool<B> {
    /// An empty pool for targets like `target`.
    pub(super) fn new(target: &Target) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            shared: RefCell::default(),
            protocol: Cell::new((!target.is_secure()).then_some(Protocol::Http1)),
            streams: Cell::new(usize::MAX),
            openings: RefCell::default(),
            births: Cell::new(0),
        })
    }

    /// A connection for one request: an idle one, a place on a shared one, or a new one.
    pub(super) async fn lease(
        self: &Rc<Self>,
        target: &Arc<Target>,
        own: &OwnAddresses,
        want: Want,
    ) -> Result<Lease<B>, SendError> {
        for _ in 0..MAX_ROUNDS {
            match self.find(want) {
                Found::Lease(lease) => return Ok(lease),
                Found::Settling(connection) => connection.settled().await,
                Found::Nothing if self.protocol.get() == Some(Protocol::Http1) => {
                    // Boxed: connecting is large and rare, and every request in flight has room for this future.
                    return Ok(Box::pin(self.open(target, own)).await?.into_lease());
                }
                Found::Nothing if self.streams.get() == 0 => break,
                Found::Nothing => self.open_for_many(target, own).await?,
            }
        }
        Err(SendError::bad_answer("the endpoint accepts no HTTP/2 streams"))
    }

    /// Takes back a connection that is ready for the next request.
    pub(super) fn put(&self, connection: Rc<Http1<B>>) {
        let mut idle = self.idle.borrow_mut();
        idle.push_back(connection);
        if idle.len() > MAX_IDLE {
            idle.pop_front();
        }
    }

    /// Closes what has been idle for too long or is closed already; whether anything is left.
    pub(super) fn sweep(&self, now: Moment) -> bool {
        let fresh = |since: Moment| now.since(since) < IDLE_TIMEOUT;
        let (mut idle, mut shared) = (self.idle.borrow_mut(), self.shared.borrow_mut());
        idle.retain(|connection| connection.is_usable() && fresh(connection.idle_since()));
        shared.retain(|connection| connection.is_open() && connection.idle_since().is_none_or(fresh));
        !idle.is_empty() || !shared.is_empty()
    }

    fn find(&self, want: Want) -> Found<B> {
        if let Some(connection) = self.find_idle(want) {
            return Found::Lease(Lease::http1(connection));
        }
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| connection.is_open());
        self.streams.set(shared.iter().find_map(|connection| connection.streams()).unwrap_or(usize::MAX));
        let newer = shared.iter().filter(|connection| match want {
            Want::Any => true,
            Want::NewerThan(birth) => connection.birth() > birth,
        });
        let mut found = Found::Nothing;
        for connection in newer {
            match connection.room() {
                Room::Free => return Found::Lease(Lease::http2(Rc::clone(connection))),
                Room::Unknown => found = Found::Settling(Rc::clone(connection)),
                Room::None => {}
            }
        }
        found
    }

    fn find_idle(&self, want: Want) -> Option<Rc<Http1<B>>> {
        let mut idle = self.idle.borrow_mut();
        if want == Want::Any {
            return std::iter::from_fn(|| idle.pop_back()).find(|connection| connection.is_usable());
        }
        let unserved = idle.iter().position(|connection| !connection.has_served() && connection.is_usable())?;
        idle.remove(unserved)
    }

    /// Opens a connection for this request and others, or waits for one being opened. Its failure is that of all.
    async fn open_for_many(self: &Rc<Self>, target: &Arc<Target>, own: &OwnAddresses) -> Result<(), SendError> {
        let mut opening = self.join_opening().unwrap_or_else(|| self.start_opening(target, own));
        let interrupted = || SendError::bad_answer("connecting was interrupted");
        let ended = opening.wait_for(Option::is_some).await.map_err(|_| interrupted())?;
        ended.clone().unwrap_or_else(|| Err(interrupted()))
    }

    fn join_opening(&self) -> Option<watch::Receiver<Ended>> {
        let mut openings = self.openings.borrow_mut();
        openings.retain(|opening| opening.ended.has_changed().is_ok());
        let opening = openings.iter_mut().find(|opening| opening.waiting < self.streams.get())?;
        opening.waiting += 1;
        Some(opening.ended.clone())
    }

    /// Opens a connection in a task of its own, which ends with the connect timeout at the latest.
    fn start_opening(self: &Rc<Self>, target: &Arc<Target>, own: &OwnAddresses) -> watch::Receiver<Ended> {
        let (end, ended) = watch::channel(None);
        self.openings.borrow_mut().push(Opening { ended: ended.clone(), waiting: 1 });
        let (pool, target, own) = (Rc::clone(self), Arc::clone(target), own.clone());
        tokio::task::spawn_local(async move {
            let opened = pool.open(&target, &own).await;
            if let Ok(Opened::Http1(connection)) = &opened {
                pool.put(Rc::clone(connection));
            }
            end.send_replace(Some(opened.map(drop)));
        });
        ended
    }

    async fn open(self: &Rc<Self>, target: &Target, own: &OwnAddresses) -> Result<Opened<B>, SendError> {
        let connection = connect(target, own).await?;
        self.protocol.set(Some(connection.protocol));
        match connection.protocol {
            Protocol::Http1 => {
                Http1::open(connection.io, self).await.map(Opened::Http1).map_err(|error| (&error).into())
            }
            Protocol::Http2 => {
                self.births.set(self.births.get() + 1);
                let opened = Http2::open(connection.io, self.births.get()).await;
                let opened = opened.map_err(|error| SendError::from(&error))?;
                self.shared.borrow_mut().push(Rc::clone(&opened));
                Ok(Opened::Http2(opened))
            }
        }
    }
}

impl<B: RequestBody> Opened<B> {
    fn into_lease(self) -> Lease<B> {
        match self {
            Self::Http1(connection) => Lease::http1(connection),
            Self::Http2(connection) => Lease::http2(connection),
        }
    }
}
