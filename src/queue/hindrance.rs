//! What keeps an entry that is due from being tried.

use std::time::Duration;

use super::Queue;
use super::schedule::postponed;
use crate::limit::Limit;
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::eligible::{Ask, can_take, soonest_return};
use crate::upstream::endpoint::Credential;

/// While live requests take up the room, or memory is short, entries wait so long.
pub(super) const YIELD: Duration = Duration::from_secs(1);

/// Why an entry is not tried now, and when it is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// In words, to follow "not tried yet:".
    pub why: &'static str,
    pub(super) wait: Duration,
}

impl Queue {
    /// What keeps an entry that asks for `model` from being tried on `snapshot`; `in_flight` are the live requests.
    ///
    /// Nothing is begun whose success could not be kept: it would be paid for again.
    pub fn hindrance(
        &self,
        model: Option<&str>,
        snapshot: &Snapshot,
        in_flight: &Limit,
        now: Moment,
    ) -> Option<Hindrance> {
        if !snapshot.config.queue.enabled {
            return Some(Hindrance { why: "the queue is off (`queue.enabled`)", wait: postponed(None) });
        }
        if !self.is_durable() {
            return Some(Hindrance { why: "state cannot be written", wait: postponed(None) });
        }
        if !self.line.is_empty() || in_flight.used() * 2 > u64::from(snapshot.config.server.limits.in_flight) {
            return Some(Hindrance { why: "live requests come first", wait: YIELD });
        }
        let ask = Ask::model(model);
        let own = || snapshot.endpoints().filter(|endpoint| !matches!(endpoint.credential, Credential::Passthrough));
        if own().any(|endpoint| can_take(endpoint, &ask, now).is_ok()) {
            return None;
        }
        let wait = postponed(soonest_return(own(), &ask, now).map(|at| at.since(now)));
        Some(Hindrance { why: "no endpoint takes it now", wait })
    }

    /// Whether what is written lasts.
    fn is_durable(&self) -> bool {
        self.shelf.store.standing().borrow().is_good()
    }
}
