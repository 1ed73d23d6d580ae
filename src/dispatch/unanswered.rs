//! A request that nobody could answer so far: what may become of it, and its farewell.
//!
//! It can be asked again once somebody has become able to answer, or as a second chance at an endpoint that failed it
//! before or is ejected; second chances are paced and count against the budget, so that waiting makes no storm.

use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::call::Call;
use super::flight::Asker;
use super::journal::Journal;
use super::relay::Body;
use super::run::Run;
use super::{Worker, eligible as can_take, retry};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::eligible::{self, Blocked, Why};
use crate::upstream::endpoint::Endpoint;

/// See the module.
pub struct Unanswered<'a> {
    run: Box<Run<'a>>,
    /// How often nobody was left to ask before; `None`: nobody was asked yet.
    rounds: Option<u32>,
    /// The next second chance is not before this.
    not_before: Moment,
}

/// What trying again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// There is somebody to ask: go on with [`super::again`].
    Granted,
    /// Somebody admits, but has just failed this very request.
    Worn,
    /// Nobody takes such a request.
    Refused,
}

impl<'a> Unanswered<'a> {
    pub(super) fn new(mut run: Box<Run<'a>>) -> Self {
        let rounds = run.end_round();
        Self { run, rounds: Some(rounds), not_before: pause(rounds) }
    }

    /// A request that has not been tried yet, since others are waiting.
    pub fn untried(worker: &'a Worker, snapshot: Arc<Snapshot>, call: Box<Call>, journal: Journal) -> Self {
        Self { run: Box::new(Run::new(worker, snapshot, call, journal)), rounds: None, not_before: Moment::now() }
    }

    /// Whether nobody was asked yet.
    pub fn is_untried(&self) -> bool {
        self.rounds.is_none()
    }

    /// The request.
    pub fn call(&self) -> &Call {
        self.run.call()
    }

    /// Name of the client, where clients are configured.
    pub fn client(&self) -> Option<&Arc<str>> {
        self.run.journal().record.client.as_ref()
    }

    /// The last moment at which it may be tried.
    pub fn last_start(&self, now: Moment) -> Moment {
        now.after(self.run.time_to_start())
    }

    /// Who asks, as endpoints see it.
    pub fn asker(&self) -> &Asker {
        self.run.asker()
    }

    /// When it is worth trying again, if that is before `limit`; `limit` itself where that will be told by the bell.
    /// `None`: nobody is expected back until then. An ejection is a guess of ours: an endpoint that is out without having
    /// failed this request is worth a test of its own, and one that ends within `guess` from now is tested by others.
    pub fn expected(&self, now: Moment, limit: Moment, guess: Duration) -> Option<Moment> {
        let endpoints = self.run.endpoints().filter(|_| self.run.may_go_on());
        endpoints.filter_map(|endpoint| self.returns(endpoint, now, limit, guess)).min().filter(|at| *at <= limit)
    }

    fn returns(&self, endpoint: &Endpoint, now: Moment, limit: Moment, guess: Duration) -> Option<Moment> {
        let second_chance = self.not_before.max(now).min(limit);
        match can_take(endpoint, &self.run.asker().ask(), now) {
            Ok(()) if self.run.is_worn(endpoint) => Some(second_chance),
            Ok(()) => Some(now),
            Err(Blocked { why: Why::NoKey | Why::DeadKey, .. }) => None,
            Err(Blocked { why: why @ (Why::Busy | Why::Probation | Why::Ejected), until }) => {
                let until = until.unwrap_or(limit);
                Some(match why {
                    Why::Busy => until,
                    // A test that is in flight is the best sign there is, and the bell tells how it went.
                    _ if !endpoint.state.last_resort_free(now) => until.min(limit),
                    _ if until.since(now) <= guess || !self.run.is_worn(endpoint) => until.min(second_chance),
                    _ => until,
                })
            }
            Err(blocked) => blocked.until,
        }
    }

    /// When it is worth trying again for those who do not wait: now, if somebody has become able to answer; `limit` while an
    /// endpoint that is out is tested, since the bell tells how that went.
    pub fn tested(&self, now: Moment, limit: Moment) -> Option<Moment> {
        let ask = self.run.asker().ask();
        let endpoints = self.run.endpoints().filter(|_| self.run.may_go_on());
        let told = endpoints.filter_map(|endpoint| match can_take(endpoint, &ask, now) {
            Ok(()) => (!self.run.is_worn(endpoint)).then_some(now),
            Err(Blocked { why: Why::Probation | Why::Ejected, .. }) => {
                (!endpoint.state.last_resort_free(now)).then_some(limit)
            }
            Err(_) => None,
        });
        told.min()
    }

    /// Plans anew on `snapshot` and takes leave to ask somebody, if there is one.
    pub fn try_again(&mut self, snapshot: Arc<Snapshot>, now: Moment) -> Leave {
        let due = self.not_before <= now;
        if self.run.resume(snapshot, due, now) {
            return Leave::Granted;
        }
        if due {
            self.not_before = pause(self.rounds.unwrap_or_default());
        }
        let ask = self.run.asker().ask();
        let admits = self.run.endpoints().any(|endpoint| can_take(endpoint, &ask, now).is_ok());
        if admits { Leave::Worn } else { Leave::Refused }
    }

    /// The same at the end of the wait: the second chance that its pause puts off beyond the end is given now.
    pub fn try_at_last(&mut self, snapshot: Arc<Snapshot>, now: Moment) -> Leave {
        self.not_before = self.not_before.min(now);
        self.try_again(snapshot, now)
    }

    /// Whether nobody could answer for reasons that are not the client's and may pass: it is worth keeping.
    pub fn may_pass(&self) -> bool {
        self.run.may_pass()
    }

    /// Whether some endpoint that was not in doubt was asked.
    pub fn is_tried(&self) -> bool {
        self.run.is_tried()
    }

    /// What is recorded of it, every try so far included.
    pub fn journal(&self) -> &Journal {
        self.run.journal()
    }

    /// When somebody can take it, now at the soonest, as far as that is known.
    pub fn soonest_return(&self, now: Moment) -> Option<Moment> {
        eligible::soonest_return(self.run.endpoints(), &self.run.asker().ask(), now)
    }

    /// What the client is told when the request is kept under the name `id`.
    pub fn farewell_queued(self, id: &str) -> Response<Body> {
        self.run.farewell_queued(id)
    }

    /// What the client is told when all waiting is over.
    pub fn farewell(self) -> Response<Body> {
        self.run.farewell()
    }

    pub(super) fn run(self) -> Box<Run<'a>> {
        self.run
    }
}

/// When a request that failed everywhere for the `nth` time (from 0) gets its second chance.
fn pause(nth: u32) -> Moment {
    Moment::now().after(retry::breather(nth, fastrand::f64()))
}
