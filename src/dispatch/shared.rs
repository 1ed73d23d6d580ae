//! What requests share: with all of the process, and with those of their worker.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::replay::ReplayBody;
use super::retry::Budget;
use crate::failover::reports::Reports;
use crate::health::request::Checks;
use crate::snapshot::SnapshotCell;
use crate::telemetry::Events;
use crate::telemetry::meter::{Meter, Meters};
use crate::upstream::affinity::Affinity;
use crate::upstream::balance::Picker;
use crate::upstream::client::Client;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// What runs.
    pub cell: SnapshotCell,
    /// Where events are told.
    pub events: Events,
    /// Where conversations belong.
    pub affinity: Affinity,
    /// Tries that are not free.
    pub budget: Budget,
    /// What requests add up to.
    pub meters: Meters,
    /// To the task that publishes.
    pub reports: Reports,
    /// To the task that checks.
    pub checks: Checks,
    ending: AtomicBool,
}

impl Shared {
    /// With nothing remembered yet.
    pub fn new(cell: SnapshotCell, events: Events, reports: Reports, checks: Checks) -> Self {
        let (affinity, budget, meters) = (Affinity::new(), Budget::default(), Meters::default());
        Self { cell, events, affinity, budget, meters, reports, checks, ending: AtomicBool::new(false) }
    }

    /// Running answers are to be ended.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether running answers are to be ended.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// What the requests of one worker share; never leaves its thread.
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its connections to endpoints.
    pub client: Client<ReplayBody>,
    /// What its requests add up to.
    pub meter: Arc<Meter>,
    /// Its place in every rotation.
    pub picker: RefCell<Picker>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Worker")
    }
}
