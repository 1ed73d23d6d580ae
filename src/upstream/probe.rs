//! One probe in flight at an endpoint, and what its end means there.
//!
//! A probe is no request: it takes no place in flight, is not counted as traffic, and only speaks where traffic does not.
//!
//! Invariants:
//! - every ticket ends exactly once: finished, or dropped, which tells nothing;
//! - while requests tell how an admitting endpoint does, a failed probe holds nothing against it, and a good probe never
//!   forgives what a request failed.

use std::sync::Arc;

use super::attempt::Change;
use super::breaker::{Pass, Policy, Standing, Turn};
use super::eligible::Ask;
use super::endpoint::Endpoint;
use super::key::KeyPass;
use super::outcome::Outcome;
use crate::time::Moment;

/// A probe in flight. Holds the trial of a probation and of a dead key, where they were free.
#[derive(Debug)]
#[must_use = "a dropped ticket is a probe that tells nothing"]
pub struct ProbeTicket {
    endpoint: Arc<Endpoint>,
    pass: Option<Pass>,
    key: Option<KeyPass>,
    /// The key was dead when the probe began.
    dead: bool,
    /// Whether a good end says that the endpoint serves; a connection alone does not.
    proves: bool,
}

/// What is known around a probe's end.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What the probe asked for.
    pub ask: Ask<'a>,
    /// Now.
    pub now: Moment,
    /// What steers the endpoint's machine.
    pub policy: Policy,
    /// Uniform in 0..1.
    pub chance: f64,
    /// Whether requests tell how the endpoint does.
    pub traffic: bool,
}

impl Endpoint {
    /// Begins a probe that asks for this. It is sent whatever the state; the state decides what its end can change.
    pub fn begin_probe(self: &Arc<Self>, ask: &Ask<'_>, now: Moment) -> ProbeTicket {
        let (pass, key) = (self.state.begin_probe(now), self.key.begin(self.scope(ask), now));
        ProbeTicket { endpoint: Arc::clone(self), pass, key, dead: self.key.is_dead(), proves: true }
    }

    /// Begins a probe that asks for a connection only: it takes no trial, and a good end says nothing.
    pub fn begin_reach(self: &Arc<Self>, now: Moment) -> ProbeTicket {
        let admits = self.state.standing(now) == Standing::Admitting;
        let pass = if admits { self.state.begin_probe(now) } else { None };
        ProbeTicket { endpoint: Arc::clone(self), pass, key: None, dead: false, proves: false }
    }
}

impl ProbeTicket {
    /// Where the probe is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The probe ended. `detail` says what went wrong in words without secrets.
    pub fn finish(mut self, outcome: &Outcome, detail: &str, around: Circumstances<'_>) -> Option<Change> {
        let (pass, key) = (self.pass.take(), self.key.take());
        let endpoint = &*self.endpoint;
        let Circumstances { ask, now, policy, chance, traffic } = around;
        match outcome {
            Outcome::Success if !self.proves => {
                self.give_back(pass, key);
                None
            }
            // An endpoint that knows the key and not the model does its job.
            Outcome::Success | Outcome::Model => {
                let model = endpoint.blame(outcome, detail, &ask, now);
                let tried = key.is_some_and(|key| endpoint.key.succeed(key, endpoint.scope(&ask), now));
                let revived = tried || (self.dead && endpoint.key.revive());
                let turn = pass.and_then(|pass| self.good(pass, now, policy, traffic));
                turn.map(Change::from).or(revived.then_some(Change::KeyRevived)).or(model)
            }
            failure if failure.is_failure() => {
                self.give_back(None, key);
                let pass = pass.filter(|pass| !(traffic && pass.is_regular()));
                endpoint.state.note(detail, now);
                let turn =
                    pass.and_then(|pass| endpoint.state.fail(pass, failure.retry_after(), detail, now, policy, chance));
                turn.map(Change::from)
            }
            other => {
                self.give_back(pass, key);
                endpoint.blame(other, detail, &ask, now)
            }
        }
    }

    /// While requests tell, a good probe says nothing of an admitting endpoint.
    fn good(&self, pass: Pass, now: Moment, policy: Policy, traffic: bool) -> Option<Turn> {
        if traffic && pass.is_regular() {
            self.endpoint.state.release(pass);
            return None;
        }
        self.endpoint.state.succeed(pass, now, policy)
    }

    fn give_back(&self, pass: Option<Pass>, key: Option<KeyPass>) {
        if let Some(key) = key {
            self.endpoint.key.release(key);
        }
        if let Some(pass) = pass {
            self.endpoint.state.release(pass);
        }
    }
}

impl Drop for ProbeTicket {
    fn drop(&mut self) {
        let (pass, key) = (self.pass.take(), self.key.take());
        self.give_back(pass, key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::fixture::{at, endpoint};
    use crate::upstream::outcome::RateLimit;

    const ASK: Ask<'static> = Ask::model(Some("haiku"));
    const POLICY: Policy = Policy { threshold: 3, sole: false };

    fn probe(endpoint: &Arc<Endpoint>, outcome: &Outcome, seconds: u64, traffic: bool) -> Option<Change> {
        let around = Circumstances { ask: ASK, now: at(seconds), policy: POLICY, chance: 0.5, traffic };
        endpoint.begin_probe(&ASK, at(seconds)).finish(outcome, "detail", around)
    }

    fn request(endpoint: &Arc<Endpoint>, outcome: &Outcome, seconds: u64) -> Option<Change> {
        let ticket = endpoint.begin(&ASK, at(seconds)).expect("it takes requests");
        ticket.finish(outcome, "detail", &ASK, at(seconds), POLICY, 0.5)
    }

    fn until(endpoint: &Arc<Endpoint>, seconds: u64) -> Option<Moment> {
        match endpoint.state.standing(at(seconds)) {
            Standing::Ejected { until, .. } => Some(until),
            _ => None,
        }
    }

    #[test]
    fn failed_probes_eject_an_idle_endpoint_and_good_ones_in_between_forgive_them() {
        let endpoint = Arc::new(endpoint("a"));
        for outcome in [Outcome::Local, Outcome::Local, Outcome::Success, Outcome::Local, Outcome::FAILED] {
            assert_eq!(probe(&endpoint, &outcome, 0, false), None);
        }
        assert!(matches!(probe(&endpoint, &Outcome::Local, 0, false), Some(Change::Ejected { .. })));
    }

    #[test]
    fn while_requests_tell_probes_neither_eject_nor_forgive() {
        let endpoint = Arc::new(endpoint("a"));
        for _ in 0..50 {
            assert_eq!(probe(&endpoint, &Outcome::Local, 0, true), None);
        }
        for outcome in [Outcome::Local, Outcome::Local] {
            request(&endpoint, &outcome, 1);
            assert_eq!(probe(&endpoint, &Outcome::Success, 1, true), None);
        }
        assert!(matches!(request(&endpoint, &Outcome::Local, 1), Some(Change::Ejected { .. })), "three in a row");
    }

    #[test]
    fn an_ejection_by_requests_lasts_its_time_whatever_probes_say() {
        let endpoint = Arc::new(endpoint("a"));
        for _ in 0..3 {
            request(&endpoint, &Outcome::Local, 0);
        }
        for seconds in [1, 10, 29] {
            probe(&endpoint, &Outcome::Success, seconds, false);
            assert_eq!(until(&endpoint, seconds), Some(at(30)));
        }
        assert_eq!(endpoint.state.probe_from(), Some(at(30)));
        assert_eq!(probe(&endpoint, &Outcome::Success, 30, false), None);
        assert_eq!(probe(&endpoint, &Outcome::Success, 31, false), Some(Change::Admitted));
    }

    #[test]
    fn an_ejection_by_a_probe_ends_with_good_probes() {
        let endpoint = Arc::new(endpoint("a"));
        for seconds in [0, 0, 0, 30, 90] {
            probe(&endpoint, &Outcome::Local, seconds, false);
        }
        assert_eq!(until(&endpoint, 90), Some(at(210)), "the third time in a row");
        assert_eq!(probe(&endpoint, &Outcome::Local, 100, false), None, "nothing is held against it early");
        assert_eq!((until(&endpoint, 100), endpoint.state.probe_from()), (Some(at(210)), Some(at(0))));
        assert_eq!(probe(&endpoint, &Outcome::Success, 110, false), None);
        assert_eq!(endpoint.state.standing(at(110)), Standing::Probation { free: true });
        assert_eq!(probe(&endpoint, &Outcome::Success, 120, false), Some(Change::Admitted));
    }

    #[test]
    fn an_endpoint_that_asked_to_be_left_alone_is_not_probed() {
        let endpoint = Arc::new(endpoint("a"));
        let busy = Outcome::Server { retry_after: Some(Duration::from_secs(100)) };
        for outcome in [Outcome::Local, Outcome::Local, busy] {
            probe(&endpoint, &outcome, 0, false);
        }
        assert_eq!((until(&endpoint, 50), endpoint.state.probe_from()), (Some(at(100)), Some(at(100))));
    }

    #[test]
    fn a_connection_can_fail_an_idle_endpoint_and_proves_nothing() {
        let endpoint = Arc::new(endpoint("a"));
        let reach = |outcome: &Outcome, seconds| {
            let around = Circumstances { ask: ASK, now: at(seconds), policy: POLICY, chance: 0.5, traffic: false };
            endpoint.begin_reach(at(seconds)).finish(outcome, "refused", around)
        };
        for outcome in [Outcome::Local, Outcome::Success, Outcome::Local, Outcome::Success] {
            assert_eq!(reach(&outcome, 0), None);
        }
        assert!(matches!(reach(&Outcome::Local, 0), Some(Change::Ejected { .. })), "three without a better word");
        for seconds in [30, 31, 32] {
            assert_eq!(reach(&Outcome::Success, seconds), None);
        }
        assert_eq!(endpoint.state.standing(at(32)), Standing::Probation { free: true });
    }

    #[test]
    fn an_endpoint_without_the_probes_model_does_its_job() {
        let endpoint = Arc::new(endpoint("a"));
        endpoint.key.mark_dead("revoked", at(0));
        assert_eq!(probe(&endpoint, &Outcome::Model, 300, false), Some(Change::KeyRevived));
        assert!(endpoint.state.model_blocked(ASK.model, at(301)).is_some());
    }

    #[test]
    fn a_probe_holds_the_trial_and_gives_it_back() {
        let endpoint = Arc::new(endpoint("a"));
        for _ in 0..3 {
            request(&endpoint, &Outcome::Local, 0);
        }
        let ticket = endpoint.begin_probe(&ASK, at(30));
        assert!(endpoint.begin(&ASK, at(30)).is_none(), "the trial is taken");
        assert!(
            endpoint.begin_last_resort(&ASK, at(30)).is_some(),
            "but a request that has nowhere else to go is sent"
        );
        drop(ticket);
        assert!(endpoint.begin(&ASK, at(30)).is_some());
        assert_eq!(endpoint.state.in_flight(), 0, "nothing is left behind");
    }

    #[test]
    fn a_probe_finds_dead_keys_and_revives_them() {
        let endpoint = Arc::new(endpoint("a"));
        assert!(matches!(probe(&endpoint, &Outcome::Auth, 0, true), Some(Change::DeadKey { .. })));
        assert_eq!(probe(&endpoint, &Outcome::Auth, 300, false), None, "known");
        assert_eq!(endpoint.key.death().map(|(_, trial)| trial), Some(at(600)));
        assert_eq!(probe(&endpoint, &Outcome::Success, 301, false), Some(Change::KeyRevived), "also before its time");
        assert_eq!(endpoint.key.death(), None);
    }

    #[test]
    fn a_probe_that_meets_a_429_rests_the_key_and_counts_nothing() {
        let endpoint = Arc::new(endpoint("a"));
        let limit = RateLimit { wait: Some(Duration::from_secs(9)), whole_key: true };
        let rested = Change::Rested { until: at(9), model: None };
        assert_eq!(probe(&endpoint, &Outcome::Rate(limit), 0, false), Some(rested));
        let view = endpoint.state.snapshot(at(0));
        assert_eq!((view.consecutive, view.in_flight, view.counts.rate_limited), (0, 0, 0));
    }
}
