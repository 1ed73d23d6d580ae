//! When an endpoint is checked next, and how. Pure.
//!
//! `auto` spends nothing where requests tell: an endpoint that served within the interval is left alone, an idle one is
//! asked for a connection, and only one that is out, or is to become active again, is asked for a conversation.

use std::time::Duration;

use crate::config::model::{Health, HealthOverride, ProbeKind};
use crate::time::Moment;

/// No endpoint is checked more often.
const SHORTEST: Duration = Duration::from_millis(50);

/// What the file says about the checks of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// What a check does; `off` also where checks are disabled.
    pub kind: ProbeKind,
    /// Time between checks while it admits.
    pub interval: Duration,
    /// Time between checks while it is to come back.
    pub recovery_interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Model asked, under the client's name for it.
    pub model: &'a str,
    /// Prompt of a conversation.
    pub prompt: Option<&'a str>,
}

impl<'a> Policy<'a> {
    /// From the global section and the endpoint's own.
    pub fn of(health: &'a Health, own: &'a HealthOverride) -> Self {
        Self {
            kind: health.kind_for(own),
            interval: own.interval.unwrap_or(health.interval).get().max(SHORTEST),
            recovery_interval: health.recovery_interval.get().max(SHORTEST),
            timeout: own.timeout.unwrap_or(health.timeout).get(),
            model: own.model.as_deref().unwrap_or(&health.model),
            prompt: health.prompt.as_deref(),
        }
    }
}

/// How an endpoint stands, as far as it decides about its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// When it was last checked; before that, since when it is known.
    pub last: Moment,
    /// It is out of rotation, and a probe is worth sending from then on.
    pub out: Option<Moment>,
    /// Its key was refused, and is tried again then.
    pub dead: Option<Moment>,
    /// Its key rests until then, or it asked to be left alone.
    pub resting: Option<Moment>,
    /// Its profile is to become active again, and has to prove itself from then on.
    pub candidate: Option<Moment>,
    /// When a request last told how it does.
    pub told: Option<Moment>,
    /// A request met a long silence.
    pub suspect: bool,
}

/// The next check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Moment,
    /// What it does: `messages`, `models` or `reachability`.
    pub kind: ProbeKind,
}

/// The next check of an endpoint, if there is one. `chance`, uniform in 0..1, spreads the times by a tenth.
pub fn due(policy: &Policy<'_>, of: &Situation, chance: f64) -> Option<Due> {
    let spread = |interval: Duration| of.last.after(interval.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0)));
    let returning = match policy.kind {
        ProbeKind::Off => return None,
        ProbeKind::Auto => ProbeKind::Messages,
        kind => kind,
    };
    let proves = returning != ProbeKind::Reachability;
    if let Some(trial) = of.dead {
        // A connection says nothing about a key.
        return proves.then(|| Due { at: trial.max(of.last), kind: returning });
    }
    let after_rest = |due: Due| Due { at: due.at.max(of.resting.unwrap_or_default()), ..due };
    if of.suspect {
        return Some(after_rest(Due { at: of.last, kind: returning }));
    }
    if let Some(from) = of.out {
        return Some(after_rest(Due { at: from.max(spread(policy.recovery_interval)), kind: returning }));
    }
    let regular = regular(policy, of, spread(policy.interval));
    let proof = of.candidate.filter(|_| proves);
    let proof = proof.map(|from| Due { at: from.max(spread(policy.recovery_interval)), kind: returning });
    let next = proof.filter(|proof| proof.at <= regular.at).unwrap_or(regular);
    Some(after_rest(next))
}

fn regular(policy: &Policy<'_>, of: &Situation, at: Moment) -> Due {
    if policy.kind != ProbeKind::Auto {
        return Due { at, kind: policy.kind };
    }
    let quiet = of.told.map(|told| told.after(policy.interval)).unwrap_or_default();
    Due { at: at.max(quiet), kind: ProbeKind::Reachability }
}

/// Whether requests tell how an endpoint does, so that checks need not.
pub fn traffic_tells(told: Option<Moment>, interval: Duration, now: Moment) -> bool {
    told.is_some_and(|told| now.since(told) <= interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::at;

    fn policy(kind: ProbeKind) -> Policy<'static> {
        Policy {
            kind,
            interval: Duration::from_mins(1),
            recovery_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            model: "haiku",
            prompt: None,
        }
    }

    /// The next check of an endpoint that was last checked at second 100.
    fn next(kind: ProbeKind, situation: Situation) -> Option<(u64, ProbeKind)> {
        let due = due(&policy(kind), &Situation { last: at(100), ..situation }, 0.5)?;
        Some((due.at.0 / 1000, due.kind))
    }

    const NOTHING: Situation = Situation {
        last: Moment(0),
        out: None,
        dead: None,
        resting: None,
        candidate: None,
        told: None,
        suspect: false,
    };

    #[test]
    fn auto_is_silent_while_requests_tell_and_asks_more_of_who_is_out() {
        use ProbeKind::{Auto, Messages, Reachability};
        for (situation, expected) in [
            (NOTHING, (160, Reachability)),
            (Situation { told: Some(at(90)), ..NOTHING }, (160, Reachability)),
            (Situation { told: Some(at(150)), ..NOTHING }, (210, Reachability)),
            (Situation { out: Some(at(0)), ..NOTHING }, (110, Messages)),
            (Situation { out: Some(at(130)), told: Some(at(100)), ..NOTHING }, (130, Messages)),
            (Situation { dead: Some(at(400)), out: Some(at(0)), ..NOTHING }, (400, Messages)),
            (Situation { dead: Some(at(20)), resting: Some(at(900)), ..NOTHING }, (100, Messages)),
            (Situation { candidate: Some(at(0)), told: Some(at(99)), ..NOTHING }, (110, Messages)),
            (Situation { candidate: Some(at(500)), ..NOTHING }, (160, Reachability)),
            (Situation { candidate: Some(at(140)), ..NOTHING }, (140, Messages)),
            (Situation { suspect: true, told: Some(at(100)), ..NOTHING }, (100, Messages)),
            (Situation { resting: Some(at(300)), ..NOTHING }, (300, Reachability)),
            (Situation { resting: Some(at(300)), out: Some(at(0)), ..NOTHING }, (300, Messages)),
        ] {
            assert_eq!(next(Auto, situation), Some(expected), "{situation:?}");
        }
    }

    #[test]
    fn a_kind_that_is_chosen_is_kept_to() {
        use ProbeKind::{Messages, Models, Off, Reachability};
        let out = Situation { out: Some(at(0)), ..NOTHING };
        let busy = Situation { told: Some(at(150)), ..NOTHING };
        for kind in [Messages, Models, Reachability] {
            assert_eq!((next(kind, busy), next(kind, out)), (Some((160, kind)), Some((110, kind))));
        }
        for situation in [out, busy, NOTHING] {
            assert_eq!(next(Off, situation), None);
        }
        let dead = Situation { dead: Some(at(400)), ..NOTHING };
        assert_eq!((next(Reachability, dead), next(Models, dead)), (None, Some((400, Models))));
    }

    #[test]
    fn chance_spreads_checks_by_a_tenth() {
        let at_chance = |chance| due(&policy(ProbeKind::Auto), &Situation { last: at(100), ..NOTHING }, chance);
        let times = [0.0, 1.0].map(|chance| at_chance(chance).map(|due| due.at));
        assert_eq!(times, [Some(at(154)), Some(at(166))]);
    }

    #[test]
    fn an_endpoints_own_values_win() {
        let health = Health::default();
        let own = HealthOverride {
            interval: Some(crate::config::units::Dur::secs(5)),
            probe: Some(ProbeKind::Models),
            ..HealthOverride::default()
        };
        let policy = Policy::of(&health, &own);
        assert_eq!((policy.kind, policy.interval.as_secs(), policy.timeout.as_secs()), (ProbeKind::Models, 5, 30));
        let off = HealthOverride { enabled: Some(false), ..own };
        assert_eq!(Policy::of(&health, &off).kind, ProbeKind::Off);
        let on = HealthOverride { enabled: Some(true), ..HealthOverride::default() };
        assert_eq!(Policy::of(&Health { enabled: false, ..health }, &on).kind, ProbeKind::Auto);
    }
}
