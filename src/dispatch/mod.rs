//! One request, a few attempts, one answer.
//!
//! ```text
//! plan -> attempt -> gate -> (next endpoint | relay) -> flight: what it means for the endpoint
//!                                  '-> unanswered: ask again later, or say goodbye
//! ```
//!
//! - [`send`] is the whole story on one screen; each step lives in a file of its name.
//! - Until the first byte has gone down, an attempt can be replaced invisibly; after it nothing is retried.
//! - A client that leaves drops the future or the body, and with it the upstream call; nothing is counted.

pub mod answer;
pub mod attempt;
pub mod call;
pub mod explain;
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
mod skip;
pub mod sse;
pub mod turn;
pub mod unanswered;
mod usage;

#[cfg(test)]
mod day_tests;

use std::pin::Pin;
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
use turn::others_first;
use unanswered::Unanswered;

/// Gets `call` answered by somebody, or gives it back unanswered.
pub fn send(worker: &Worker, snapshot: Arc<Snapshot>, call: Box<Call>, journal: Journal) -> Asking<'_> {
    Box::pin(ask(Box::new(Run::new(worker, snapshot, call, journal))))
}

/// The same for a request that has waited and got leave ([`Unanswered::try_again`]).
pub fn again(unanswered: Unanswered<'_>) -> Asking<'_> {
    Box::pin(ask(unanswered.run()))
}

/// Boxed: it is large, and whoever waits for it would carry it from hand to hand.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, Unanswered<'a>>> + 'a>>;

async fn ask(mut run: Box<Run<'_>>) -> Result<Response<Body>, Unanswered<'_>> {
    others_first().await;
    while let Some(flight) = run.next().await {
        let attempted = attempt(&run.worker().client, run.call(), flight.endpoint(), run.asked()).await;
        match run.judge(&flight, &attempted) {
            Verdict::Answer => return Ok(run.relay(flight, attempted)),
            Verdict::Next => run.failed(flight, attempted),
        }
    }
    Err(Unanswered::new(run))
}
