//! What happened since the start, counted from events: few enough to be heard all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::telemetry::Event;

/// Endpoints that are told apart.
const ENDPOINTS: usize = 4096;

/// What happened, as often as it did.
#[derive(Debug, Default)]
pub struct Happened(Mutex<Counts>);

/// How often.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Endpoints that went out, or rested, by `PROFILE/ID`.
    pub(super) ejections: BTreeMap<String, u64>,
    /// Switches, by cause.
    pub(super) switches: BTreeMap<&'static str, u64>,
    /// Files that were accepted after the first.
    pub(super) accepted: u64,
    /// Files that were not.
    pub(super) rejected: u64,
}

impl Happened {
    /// Counts what is heard until nobody tells any more.
    pub async fn follow(self: Arc<Self>, mut heard: Receiver<Arc<Event>>) {
        loop {
            match heard.recv().await {
                Ok(event) => self.note(&event),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "some events are not in the metrics"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    pub(super) fn read(&self) -> Counts {
        self.lock().clone()
    }

    fn note(&self, event: &Event) {
        let mut counts = self.lock();
        match event {
            Event::Ejected { endpoint, .. } => {
                let room = counts.ejections.len() < ENDPOINTS || counts.ejections.contains_key(endpoint);
                let name = if room { endpoint.as_str() } else { "other" };
                *counts.ejections.entry(name.to_owned()).or_default() += 1;
            }
            Event::Switched { cause, .. } => *counts.switches.entry(cause).or_default() += 1,
            Event::Reloaded { .. } => counts.accepted += 1,
            Event::Rejected { .. } => counts.rejected += 1,
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
