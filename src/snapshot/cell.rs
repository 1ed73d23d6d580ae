//! The one swap that holds all that runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// Holds the running snapshot. Cheap to clone; all clones hold the same.
///
/// Any thread may load; only the publisher's task stores, so that reloads and switches never race.
#[derive(Clone, Debug)]
pub struct SnapshotCell(Arc<ArcSwap<Snapshot>>);

impl SnapshotCell {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// What runs now. A request loads once and keeps what it got to its end.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Makes `snapshot` what runs.
    pub(super) fn store(&self, snapshot: Snapshot) {
        let bell = snapshot.bell.clone();
        self.0.store(Arc::new(snapshot));
        bell.ring();
    }
}
