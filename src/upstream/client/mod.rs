//! The HTTP client of one worker: it sends a request to a target and streams the answer back.
//!
//! It is our own because a general client shares its pool between threads, hides which connection a request went over,
//! and retries by its own rules. Connecting is `net::connect`, the protocols are hyper.
//!
//! - Nothing is shared between workers: a client and its tasks live on one thread.
//! - An HTTP/1.1 connection has no task: whoever waits for its answer drives it.
//! - A request never waits for another request. There is no limit of connections here: limits belong to admission.
//! - A kept connection that died before any byte of an answer is replaced once, silently, by a new one. On a new
//!   connection nothing is sent twice, except a stream that an HTTP/2 peer said it did not process.
//! - Giving up (dropping the future, or the [`Answer`]) reaches the upstream at once.
//! - No redirects, no upgrades, no cookies, no decompression; heads of at most 64 KiB and 100 headers.
//!
//! It does not time out answers, choose endpoints, or judge them: that is `dispatch`.

mod answer;
mod driver;
mod error;
mod exchange;
mod http1;
mod http2;
mod pool;
mod wire;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use http::{Request, Response};
use http_body::Body;

pub use self::answer::Answer;
pub use self::error::{SendError, SendErrorKind};
use self::pool::{Pool, Want};
use crate::net::{OwnAddresses, PoolId, Target};
use crate::time::Moment;

/// The largest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most headers of an answer.
const MAX_HEADERS: usize = 100;

/// The body of a request: pieces that are there already.
pub trait RequestBody: Body<Data = Bytes, Error = Infallible> + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static> RequestBody for B {}

/// The HTTP client of one worker. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Client<B: RequestBody>(Rc<Inner<B>>);

struct Inner<B: RequestBody> {
    own: OwnAddresses,
    pools: RefCell<HashMap<PoolId, Rc<Pool<B>>>>,
}

impl<B: RequestBody> Client<B> {
    /// A client without connections. It never connects to `own`.
    pub fn new(own: OwnAddresses) -> Self {
        Self(Rc::new(Inner { own, pools: RefCell::default() }))
    }

    /// Sends `request` to `target` and returns the head of the answer; its body streams. The request is made anew when it
    /// has to be sent again.
    ///
    /// Of the request's URI path and query count. `Host` is the target's unless the request has one. A body of known
    /// length is sent with `content-length`. Headers of the connection (`connection`, `upgrade`, ...) are the caller's
    /// to leave out. Must run where local tasks can be spawned.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection of the request (HTTP/2: resets its stream).
    pub async fn send(
        &self,
        target: &Arc<Target>,
        request: impl Fn() -> Request<B>,
    ) -> Result<Response<Answer>, SendError> {
        let pool = self.pool(target);
        let lease = pool.lease(target, &self.0.own, Want::Any).await?;
        let (newer, may_be_stale) = (Want::NewerThan(lease.birth()), lease.may_be_stale());
        let failure = match lease.exchange(target, &request).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if !(may_be_stale && failure.unanswered) {
            return Err(failure.error);
        }
        let lease = pool.lease(target, &self.0.own, newer).await?;
        lease.exchange(target, &request).await.map_err(|failure| failure.error)
    }

    /// Closes the idle connections of all pools but those `in_use`. Running requests end as they would have.
    pub fn forget_unused(&self, in_use: &dyn Fn(PoolId) -> bool) {
        self.0.pools.borrow_mut().retain(|id, _| in_use(*id));
    }

    /// Closes connections that have been idle for 60 s. To be called every few seconds.
    pub fn idle_sweep(&self) {
        let now = Moment::now();
        self.0.pools.borrow_mut().retain(|_, pool| pool.sweep(now) || Rc::strong_count(pool) > 1);
    }

    fn pool(&self, target: &Target) -> Rc<Pool<B>> {
        let mut pools = self.0.pools.borrow_mut();
        Rc::clone(pools.entry(target.pool()).or_insert_with(|| Pool::new(target)))
    }
}

impl<B: RequestBody> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("pools", &self.0.pools.borrow().len()).finish_non_exhaustive()
    }
}
