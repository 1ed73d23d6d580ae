//! What happens to a request that nobody can answer now.
//!
//! ```text
//! answer -> dispatch::send -> (unanswered) -> hold -> dispatch::again -> ... -> farewell
//! ```
//!
//! - [`hold`]: the line in which requests wait, within their own time, for an endpoint that is expected back.
//!
//! Nothing is sent to the client while its request waits: the answer keeps its status and its headers.

pub mod hold;

use std::sync::Arc;

use http::Response;

use crate::dispatch::call::{Call, Kind};
use crate::dispatch::journal::Journal;
use crate::dispatch::relay::Body;
use crate::dispatch::unanswered::Unanswered;
use crate::dispatch::{self, Worker};
use crate::snapshot::Snapshot;
use hold::{Line, Stay};

/// What requests that cannot be answered share, of all workers.
#[derive(Debug)]
pub struct Queue {
    /// Where they wait.
    pub line: Arc<Line>,
}

/// Gets `call` answered by somebody, now or as soon as somebody can, or says why nobody could.
pub async fn answer(
    queue: &Queue,
    worker: &Worker,
    snapshot: Arc<Snapshot>,
    call: Call,
    journal: Journal,
) -> Response<Body> {
    let hold = snapshot.config.queue.hold.get();
    if call.kind == Kind::Other || hold.is_zero() {
        return dispatch::send(worker, snapshot, call, journal).await.unwrap_or_else(Unanswered::farewell);
    }
    // Who comes later does not pass those who wait.
    let mut sent = if queue.line.is_empty() {
        dispatch::send(worker, snapshot, call, journal).await
    } else {
        Err(Unanswered::untried(worker, snapshot, call, journal))
    };
    let mut stay = Stay::new(hold);
    loop {
        let unanswered = match sent {
            Ok(response) => return response,
            Err(unanswered) => unanswered,
        };
        sent = match queue.line.wait(unanswered, &worker.shared.cell, &mut stay).await {
            Ok(unanswered) => dispatch::again(unanswered).await,
            // Who came in behind others and was never called has its first try.
            Err(unanswered) if unanswered.is_untried() => dispatch::again(unanswered).await,
            Err(unanswered) => return unanswered.farewell(),
        };
    }
}
