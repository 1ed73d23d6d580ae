//! How requests tell the task that publishes what concerns the active profile, without waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::machine::{Candidate, Policy, Served};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::eligible::{Ask, can_take};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::profile::Profile;

/// Reports that wait to be read; more are dropped, since what they say repeats itself.
const WAITING: usize = 1024;

/// Something a request learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// How the profile that was active did on a request.
    Served {
        /// Its name.
        under: Arc<str>,
        /// How it did.
        how: Served,
    },
    /// The key of this endpoint was refused.
    DeadKey(EndpointId),
}

/// Where requests report. As long as all goes well that is one atomic read.
#[derive(Debug)]
pub struct Reports {
    sender: mpsc::Sender<Report>,
    /// The last report of a service was a failure.
    missed: AtomicBool,
}

impl Reports {
    /// The two ends.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender, missed: AtomicBool::new(false) }, receiver)
    }

    /// A request that began while `under` was active has ended.
    pub fn served(&self, under: &Arc<str>, how: Served) {
        let missed = how != Served::Itself;
        let before = self.missed.load(Ordering::Relaxed);
        if missed || before {
            self.missed.store(missed, Ordering::Relaxed);
            self.tell(Report::Served { under: Arc::clone(under), how });
        }
    }

    /// The key of this endpoint was refused.
    pub fn dead_key(&self, endpoint: &EndpointId) {
        self.tell(Report::DeadKey(endpoint.clone()));
    }

    fn tell(&self, report: Report) {
        if self.sender.try_send(report).is_err() {
            tracing::debug!("a report about the active profile was dropped");
        }
    }
}

/// The chain as the machine sees it.
pub fn candidates(snapshot: &Snapshot, now: Moment) -> Vec<Candidate> {
    let ready = |endpoint: &Arc<Endpoint>| can_take(endpoint, &Ask::default(), now).is_ok();
    let candidate = |profile: &Arc<Profile>| Candidate {
        name: Arc::clone(&profile.name),
        tier: profile.tier,
        ready: profile.endpoints.iter().any(ready),
    };
    snapshot.chain.iter().map(candidate).collect()
}

/// The numbers of the file that steer the machine.
pub fn policy(snapshot: &Snapshot) -> Policy {
    let failover = &snapshot.config.failover;
    Policy {
        auto_failover: failover.auto_failover,
        auto_recovery: failover.auto_recovery,
        failure_threshold: failover.failure_threshold,
        cooldown: failover.cooldown.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_news_is_told_only_after_bad_news() {
        let (reports, mut told) = Reports::channel();
        let name: Arc<str> = "production".into();
        for how in [Served::Itself, Served::Not { short_rest: false }, Served::Itself, Served::Itself] {
            reports.served(&name, how);
        }
        let told: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        let served = |how| Report::Served { under: Arc::clone(&name), how };
        assert_eq!(told, [served(Served::Not { short_rest: false }), served(Served::Itself)]);
    }
}
