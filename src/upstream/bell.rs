//! The bell that is rung when an endpoint may be able to take a request it could not take before.
//!
//! Rung by the live state of endpoints and keys, and by every publication. One task listens, and only while requests
//! wait: as long as none does, a ring is one atomic read. A ring says no more than "look again": what is over by the mere
//! passing of time (an ejection, a rest) is not rung, since whoever waits can know that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Cheap to clone; all clones are the same bell.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wanted: AtomicBool,
    rung: Notify,
}

impl Bell {
    /// Wakes whoever listens, now or next, if a ring is wanted.
    pub fn ring(&self) {
        if self.0.wanted.load(Ordering::SeqCst) {
            self.0.rung.notify_one();
        }
    }

    /// Says whether rings are wanted from now on.
    pub fn want(&self, wanted: bool) {
        self.0.wanted.store(wanted, Ordering::SeqCst);
    }

    /// Waits for the next ring, or takes one that nobody heard yet.
    pub async fn rung(&self) {
        self.0.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_rung(bell: &Bell) -> bool {
        tokio::time::timeout(Duration::from_millis(1), bell.rung()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_is_heard_once_and_only_if_it_is_wanted() {
        let bell = Bell::default();
        bell.ring();
        assert!(!is_rung(&bell).await, "nobody wanted it");
        bell.want(true);
        (0..3).for_each(|_| bell.ring());
        assert_eq!((is_rung(&bell).await, is_rung(&bell).await), (true, false), "rings that nobody heard are one");
    }
}
