//! Which profiles of the chain can serve, and which have proved it. Pure.
//!
//! A profile that failed is not trusted at its word: it comes back after good probes in a row. Where it is not probed
//! (checks are off, or clients bring the keys), requests sent as trials take their place.

use std::sync::Arc;

use super::machine::Candidate;
use super::steering::Returning;
use crate::config::model::{Health, ProbeKind};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::breaker::Standing;
use crate::upstream::eligible::{Ask, can_take};
use crate::upstream::endpoint::{Credential, Endpoint};
use crate::upstream::profile::Profile;

/// Good probes in a row that a recovery takes.
pub const NEEDED: u32 = 3;

/// The chain as the machine sees it. `passed` answered the request it was tried with.
pub(crate) fn candidates(snapshot: &Snapshot, passed: Option<&Arc<str>>, now: Moment) -> Vec<Candidate> {
    let health = &snapshot.config.health;
    snapshot.chain.iter().map(|profile| candidate(profile, health, passed, now)).collect()
}

fn candidate(profile: &Profile, health: &Health, passed: Option<&Arc<str>>, now: Moment) -> Candidate {
    let mut ready = profile.endpoints.iter().filter(|endpoint| is_ready(endpoint, now)).peekable();
    let is_ready = ready.peek().is_some();
    let passed = passed == Some(&profile.name);
    let proved =
        ready.any(|endpoint| passed || (is_probed(endpoint, health) && endpoint.state.good_probes() >= NEEDED));
    let checked = profile.endpoints.iter().any(|endpoint| is_probed(endpoint, health));
    let takes = |endpoint: &Arc<Endpoint>| can_take(endpoint, &Ask::default(), now).is_ok();
    let open = !checked && profile.endpoints.iter().any(takes);
    Candidate { name: Arc::clone(&profile.name), tier: profile.tier, ready: is_ready, open, proved }
}

/// Whether the endpoint serves: it admits and its key works. One that merely waits for its trial does not.
pub(super) fn is_ready(endpoint: &Endpoint, now: Moment) -> bool {
    can_take(endpoint, &Ask::default(), now).is_ok()
        && endpoint.state.standing(now) == Standing::Admitting
        && !endpoint.key.is_dead()
}

/// Whether checks can prove that the endpoint serves.
fn is_probed(endpoint: &Endpoint, health: &Health) -> bool {
    let kind = health.kind_for(&endpoint.health);
    let proves = matches!(kind, ProbeKind::Auto | ProbeKind::Messages | ProbeKind::Models);
    proves && matches!(endpoint.credential, Credential::Header(..))
}

/// The better profile that comes next: of the nearest better tier the one furthest on its way.
pub(super) fn returning(snapshot: &Snapshot, passed: Option<&Arc<str>>, now: Moment) -> Option<Returning> {
    let better = snapshot.chain.get(..snapshot.active)?;
    let all = better.iter().filter(|profile| !profile.endpoints.is_empty()).map(|profile| {
        let candidate = candidate(profile, &snapshot.config.health, passed, now);
        (candidate.ready, profile.tier, way_back(profile, &snapshot.config.health, candidate.ready))
    });
    let (_, _, returning) = all.max_by_key(|(ready, tier, returning)| (*ready, *tier, returning.good_probes))?;
    Some(returning)
}

fn way_back(profile: &Profile, health: &Health, ready: bool) -> Returning {
    let checked = profile.endpoints.iter().filter(|endpoint| is_probed(endpoint, health));
    let good_probes = checked.map(|endpoint| endpoint.state.good_probes()).max();
    Returning { profile: Arc::clone(&profile.name), ready, good_probes, needed: NEEDED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Strategy;
    use crate::upstream::breaker::Policy;
    use crate::upstream::fixture::{at, endpoint, profile};
    use crate::upstream::outcome::Outcome;

    fn of(profile: &Profile, health: &Health, seconds: u64) -> (bool, bool, bool) {
        let Candidate { ready, open, proved, .. } = candidate(profile, health, None, at(seconds));
        (ready, open, proved)
    }

    fn eject(endpoint: &Arc<Endpoint>) {
        for _ in 0..3 {
            let ticket = endpoint.begin(&Ask::default(), at(0)).expect("it admits");
            ticket.finish(&Outcome::Local, "", &Ask::default(), at(0), Policy { threshold: 3, sole: false }, 0.5);
        }
    }

    #[test]
    fn a_profile_is_proved_by_three_good_probes_of_an_endpoint_that_admits() {
        let (profile, health) = (profile(Strategy::Weighted, [endpoint("a"), endpoint("b")]), Health::default());
        assert_eq!(of(&profile, &health, 0), (true, false, false));
        eject(&profile.endpoints[0]);
        for _ in 0..3 {
            profile.endpoints[0].state.probed(true);
        }
        assert_eq!(of(&profile, &health, 0), (true, false, false), "the one with good probes is out");
        for expected in [false, false, true] {
            profile.endpoints[1].state.probed(true);
            assert_eq!(of(&profile, &health, 0), (true, false, expected));
        }
    }

    #[test]
    fn one_that_waits_for_its_trial_is_not_ready_and_without_probes_it_is_open() {
        let (profile, off) =
            (profile(Strategy::Weighted, [endpoint("a")]), Health { enabled: false, ..Health::default() });
        eject(&profile.endpoints[0]);
        assert_eq!((of(&profile, &off, 29), of(&profile, &off, 30)), ((false, false, false), (false, true, false)));
        assert_eq!(of(&profile, &Health::default(), 30), (false, false, false));
    }

    #[test]
    fn a_dead_key_is_not_ready_when_its_trial_is_due() {
        let profile = profile(Strategy::Weighted, [endpoint("a")]);
        profile.endpoints[0].key.mark_dead("revoked", at(0));
        assert_eq!(of(&profile, &Health::default(), 9999), (false, false, false));
        profile.endpoints[0].key.revive();
        assert_eq!(of(&profile, &Health::default(), 9999), (true, false, false));
    }
}
