//! How requests tell the task that publishes what concerns the active profile, without waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::machine::{self, Candidate, Machine, Policy, Served};
use crate::snapshot::reload::{self, Control};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::time::Moment;
use crate::upstream::eligible::{Ask, can_take};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::profile::Profile;

/// Reports that wait to be read; more are dropped, since what they say repeats itself.
const WAITING: usize = 1024;

/// How often it is asked whether a better profile is back.
const TICK: Duration = Duration::from_secs(1);

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

/// Decides on reports and as time passes, and has the publisher carry it out. Ends when nobody can report any more.
pub async fn drive(mut reports: mpsc::Receiver<Report>, cell: SnapshotCell, control: Control) {
    let mut driver = Driver { machine: Machine::new(), active: None };
    let mut tick = tokio::time::interval(TICK);
    loop {
        let snapshot = cell.load();
        let switch = tokio::select! {
            report = reports.recv() => match report {
                None => return,
                Some(Report::DeadKey(endpoint)) => {
                    control.renew(endpoint);
                    None
                }
                Some(Report::Served { under, how }) => driver.served(&under, how, &snapshot, Moment::now()),
            },
            _ = tick.tick() => driver.recover(&snapshot, Moment::now()),
        };
        if let Some(switch) = switch {
            let machine::Switch { to, cause, reason, .. } = switch;
            control.switch(reload::Switch { to, cause: cause.as_str(), reason });
        }
    }
}

/// The machine, and the profile it believes to be active.
#[derive(Debug)]
struct Driver {
    machine: Machine,
    active: Option<Arc<str>>,
}

impl Driver {
    fn served(&mut self, under: &str, how: Served, snapshot: &Snapshot, now: Moment) -> Option<machine::Switch> {
        let chain = candidates(snapshot, now);
        self.follow(snapshot, &chain, now);
        self.machine.served(how, under, snapshot.active, &chain, now, policy(snapshot))
    }

    fn recover(&mut self, snapshot: &Snapshot, now: Moment) -> Option<machine::Switch> {
        if snapshot.active == 0 && self.active.as_ref() == snapshot.active_profile().map(|active| &active.name) {
            return None;
        }
        let chain = candidates(snapshot, now);
        self.follow(snapshot, &chain, now);
        self.machine.recover(snapshot.active, &chain, now, policy(snapshot))
    }

    /// A reload may have taken the active profile away; the snapshot has another one already.
    fn follow(&mut self, snapshot: &Snapshot, chain: &[Candidate], now: Moment) {
        let active = snapshot.active_profile().map(|profile| Arc::clone(&profile.name));
        let left = self.active.take().filter(|before| chain.iter().all(|candidate| candidate.name != *before));
        if let Some(left) = left {
            self.machine.reloaded(&left, chain, now);
        }
        self.active = active;
    }
}

/// The chain as the machine sees it.
pub fn candidates(snapshot: &Snapshot, now: Moment) -> Vec<Candidate> {
    let ready = |endpoint: &Arc<Endpoint>| can_take(endpoint, &Ask::default(), now).is_ok();
    let candidate = |profile: &Arc<Profile>| Candidate {
        name: Arc::clone(&profile.name),
        tier: profile.tier,
        ready: profile.endpoints.iter().any(ready),
        open: false,
        proved: profile.endpoints.iter().any(ready),
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
