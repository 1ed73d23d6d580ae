//! One request, a few attempts, one answer.
//!
//! ```text
//! plan -> attempt -> gate -> (next endpoint | relay) -> flight: what it means for the endpoint
//! ```
//!
//! - [`send`] is the whole story on one screen; each step lives in a file of its name.
//! - Until the first byte has gone down, an attempt can be replaced invisibly; after it nothing is retried.
//! - A client that leaves drops the future or the body, and with it the upstream call; nothing is counted.

pub mod answer;
pub mod attempt;
pub mod call;
pub mod facts;
pub mod failure;
pub mod flight;
pub mod gate;
pub mod inspect;
pub mod journal;
pub mod plan;
pub mod relay;
pub mod replay;
pub mod retry;
mod run;
mod shared;
pub mod silence;
pub mod sse;
mod usage;

use std::sync::Arc;

use http::Response;

pub use shared::{Shared, Worker};

use crate::snapshot::Snapshot;
pub(crate) use crate::upstream::eligible::can_take as eligible;
use attempt::attempt;
use call::Call;
use journal::Journal;
use relay::Body;
use run::{Run, Verdict};

/// Gets `call` answered by somebody, or says why nobody could.
pub async fn send(worker: &Worker, snapshot: Arc<Snapshot>, call: Call, journal: Journal) -> Response<Body> {
    let mut run = Run::new(worker, snapshot, call, journal);
    while let Some(flight) = run.next().await {
        let attempted = attempt(&worker.client, run.call(), flight.endpoint()).await;
        match run.judge(&flight, &attempted) {
            Verdict::Answer => return run.relay(flight, attempted),
            Verdict::Next => run.failed(flight, attempted),
        }
    }
    run.give_up()
}
