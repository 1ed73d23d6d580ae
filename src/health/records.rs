//! What is known of the health of every endpoint that serves, or takes no traffic for a while.
//!
//! The monitor writes, anybody may read; no request ever does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::Check;
use super::factor::Factor;
use super::record::Record;
use crate::snapshot::Snapshot;
use crate::upstream::endpoint::EndpointId;

/// See the module. Cheap to clone; all clones hold the same.
#[derive(Clone, Debug, Default)]
pub struct Records(Arc<Mutex<HashMap<EndpointId, Entry>>>);

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Of the endpoint it is about: another address or key starts anew.
    identity: u64,
    pub(super) record: Record,
    pub(super) factor: Factor,
}

impl Records {
    /// The checks of `endpoint`, if it is known.
    pub fn of(&self, endpoint: &EndpointId) -> Option<Record> {
        self.lock().get(endpoint).map(|entry| entry.record.clone())
    }

    /// Goes on with what an earlier process knew of `endpoint`.
    pub fn restore(&self, endpoint: &EndpointId, identity: u64, record: Record, factor: Factor) {
        self.lock().insert(endpoint.clone(), Entry { identity, record, factor });
    }

    /// Forgets endpoints that left, and what was known of those that are others now.
    pub(super) fn follow(&self, snapshot: &Snapshot) {
        let mut entries = self.lock();
        let mut before = std::mem::take(&mut *entries);
        for endpoint in snapshot.known() {
            let known = before.remove(&endpoint.id).filter(|entry| entry.identity == endpoint.identity);
            let entry = known.unwrap_or_else(|| Entry { identity: endpoint.identity, ..Entry::default() });
            entries.insert(endpoint.id.clone(), entry);
        }
    }

    /// Adds a check of `endpoint`, if it is still that one.
    pub(super) fn add(&self, endpoint: &EndpointId, identity: u64, check: Check) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(endpoint).filter(|entry| entry.identity == identity) {
            entry.record.add(check);
        }
    }

    /// Works on what is known of `endpoint`.
    pub(super) fn with<T>(&self, endpoint: &EndpointId, work: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.lock().get_mut(endpoint).map(work)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
