//! The machine of one endpoint: admitting, ejected, on probation. Pure: time, chance and policy are passed in.
//!
//! It follows Envoy's outlier detection and linkerd's breaker: consecutive failures or a poor success rate eject, for
//! longer each time; coming back takes a probation with one request at a time.
//!
//! Invariants:
//! - at most one trial is out at any time, be it a request or a probe;
//! - a request that began before the last ejection or admission changes nothing when it ends: its *era* is over;
//! - only [`Breaker::finish`] of a failure ejects, only good trials (or [`Breaker::reset`], by hand) admit;
//! - what requests said, a probe cannot take back: an ejection by a request lasts its whole time, one by a probe ends
//!   with a good probe.
//!
//! It does not know keys, models or weights, and it does not wait: `super::state` shares it between workers.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Moment;

/// Longest wait an endpoint can ask for by `retry-after`.
pub const LONGEST_REST: Duration = Duration::from_mins(30);
/// Longest time the only endpoint of the chain is kept out by ejection.
pub const SOLE_EJECTION: Duration = Duration::from_secs(5);

const FIRST_EJECTION: Duration = Duration::from_secs(30);
const LONGEST_EJECTION: Duration = Duration::from_mins(5);
/// Health for this long forgets one ejection.
const FORGIVEN_AFTER: Duration = Duration::from_mins(5);
const GOOD_TRIALS: u8 = 2;

/// What steers a machine; from the snapshot, passed with every call so that a reload takes effect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row that eject.
    pub threshold: u32,
    /// Whether this is the only enabled endpoint of the whole chain.
    pub sole: bool,
}

/// Where an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes requests.
    Admitting,
    /// It asked to be left alone (`retry-after`) and takes requests again by itself.
    Resting {
        /// When it takes requests again.
        until: Moment,
    },
    /// One request at a time decides whether it comes back.
    Probation {
        /// Whether the one request can begin.
        free: bool,
    },
    /// Out of rotation.
    Ejected {
        /// When probation begins.
        until: Moment,
        /// Why, in words.
        reason: Arc<str>,
    },
}

/// What a finished request changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Out of rotation until then.
    Ejected {
        /// When probation begins.
        until: Moment,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// It takes requests again.
    Admitted,
    /// Left alone until then, as it asked.
    Rested {
        /// When it takes requests again.
        until: Moment,
    },
}

/// Leave to send one request. Handed back exactly once, by `finish` or `release`.
#[derive(Debug, PartialEq, Eq)]
pub struct Pass {
    pub(super) era: u32,
    pub(super) kind: Kind,
    pub(super) by: By,
}

impl Pass {
    /// Whether the endpoint admitted when it was given.
    pub(super) fn is_regular(&self) -> bool {
        self.kind == Kind::Regular
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Request,
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Trial,
    LastResort,
    /// A probe while the endpoint is ejected.
    Early,
}

/// What the end of a request says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign<'a> {
    /// It did its job.
    Good,
    /// It failed.
    Bad {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
        /// What went wrong, in words.
        detail: &'a str,
        /// Whether its recent success rate is too low, this failure included.
        poor_rate: bool,
    },
    /// Nothing.
    Neither,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct Breaker {
    phase: Phase,
    era: u32,
    consecutive: u32,
    /// Ejections in a row, before forgiveness.
    ejections: u32,
    last_resort: bool,
    early: bool,
    /// When a test of this ejection last failed.
    tested: Option<Moment>,
}

#[derive(Debug)]
enum Phase {
    In {
        since: Moment,
        recovered: bool,
        rest: Option<Moment>,
    },
    Out {
        until: Moment,
        /// No probe before then.
        silent: Moment,
        reason: Arc<str>,
        trial: Option<By>,
        good: u8,
    },
}

impl Breaker {
    /// A machine that admits, with nothing held against it.
    pub fn new() -> Self {
        let phase = Phase::In { since: Moment(0), recovered: false, rest: None };
        Self { phase, era: 0, consecutive: 0, ejections: 0, last_resort: false, early: false, tested: None }
    }

    /// Where the endpoint stands.
    pub fn standing(&self, now: Moment) -> Standing {
        match &self.phase {
            Phase::In { rest: Some(until), .. } if now < *until => Standing::Resting { until: *until },
            Phase::In { .. } => Standing::Admitting,
            Phase::Out { until, reason, .. } if now < *until => {
                Standing::Ejected { until: *until, reason: Arc::clone(reason) }
            }
            Phase::Out { trial, .. } => Standing::Probation { free: trial.is_none() },
        }
    }

    /// Leave for one request; on probation it is the trial. `None` if out, resting, or the trial is taken.
    pub fn begin(&mut self, now: Moment) -> Option<Pass> {
        self.begin_by(By::Request, now)
    }

    /// Leave for one probe. On probation it is the trial; of an ejected endpoint it is early, one at a time, and only
    /// where no request said otherwise and the endpoint did not ask to be left alone.
    pub fn begin_probe(&mut self, now: Moment) -> Option<Pass> {
        match self.phase {
            Phase::Out { until, silent, .. } if now < until => (now >= silent && !self.early).then(|| {
                self.early = true;
                Pass { era: self.era, kind: Kind::Early, by: By::Probe }
            }),
            _ => self.begin_by(By::Probe, now),
        }
    }

    fn begin_by(&mut self, by: By, now: Moment) -> Option<Pass> {
        let kind = match self.standing(now) {
            Standing::Admitting => Kind::Regular,
            Standing::Probation { free: true } => Kind::Trial,
            _ => return None,
        };
        if let Phase::Out { trial, .. } = &mut self.phase {
            *trial = Some(by);
        }
        Some(Pass { era: self.era, kind, by })
    }

    /// Leave for one request to an ejected endpoint, or to one whose trial a probe has, because nothing else is left; one
    /// at a time.
    pub fn begin_last_resort(&mut self, now: Moment) -> Option<Pass> {
        self.last_resort_free(now).then(|| {
            self.last_resort = true;
            Pass { era: self.era, kind: Kind::LastResort, by: By::Request }
        })
    }

    /// Whether a last resort can begin.
    pub fn last_resort_free(&self, now: Moment) -> bool {
        let out = match self.phase {
            Phase::Out { until, trial, .. } => now < until || trial == Some(By::Probe),
            Phase::In { .. } => false,
        };
        out && !self.last_resort
    }

    /// When a test of the ejected endpoint last failed, if any did since it was ejected.
    pub fn tested_at(&self) -> Option<Moment> {
        self.tested
    }

    /// From when on a probe of the ejected endpoint is worth sending; `None` if it is not out.
    pub fn probe_from(&self) -> Option<Moment> {
        match self.phase {
            Phase::Out { until, silent, .. } => Some(until.min(silent)),
            Phase::In { .. } => None,
        }
    }

    /// Takes a pass back that tells nothing: the request was cancelled, or never sent.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is spent by handing it back")]
    pub fn release(&mut self, pass: Pass) {
        match (&mut self.phase, pass.kind) {
            (_, Kind::LastResort) => self.last_resort = false,
            (_, Kind::Early) => self.early = false,
            (Phase::Out { trial, .. }, Kind::Trial) if pass.era == self.era => *trial = None,
            _ => {}
        }
    }

    /// Takes a pass back with what it told. `chance` is uniform in 0..1 and spreads the times of ejection.
    pub fn finish(&mut self, pass: Pass, sign: Sign<'_>, now: Moment, policy: Policy, chance: f64) -> Option<Turn> {
        let Pass { era, kind, by } = pass;
        self.release(pass);
        if era != self.era {
            return None;
        }
        match (sign, kind) {
            (Sign::Good, Kind::Regular) => self.good(),
            (Sign::Good, Kind::Trial | Kind::LastResort | Kind::Early) => self.good_trial(now),
            (Sign::Bad { retry_after, .. }, Kind::LastResort | Kind::Early) => self.bad_last_resort(retry_after, now),
            (Sign::Bad { .. }, Kind::Regular | Kind::Trial) => self.bad((kind, by), sign, now, policy, chance),
            (Sign::Neither, _) => None,
        }
    }

    /// Admits at once and forgets everything held against the endpoint. Says whether it was out.
    pub fn reset(&mut self, now: Moment) -> bool {
        let was_out = self.standing(now) != Standing::Admitting;
        let era = self.era.wrapping_add(u32::from(was_out));
        *self = Self { era, last_resort: self.last_resort, early: self.early, ..Self::new() };
        was_out
    }

    /// Brings the end of an ejection forward to at most `longest` from now: it has become the only endpoint.
    pub fn cap_ejection(&mut self, longest: Duration, now: Moment) {
        if let Phase::Out { until, .. } = &mut self.phase {
            *until = (*until).min(now.after(longest));
        }
    }

    /// Takes up that the endpoint asked an earlier process to be left alone until then.
    pub fn restore_rest(&mut self, until: Moment) {
        if let Phase::In { rest, .. } = &mut self.phase {
            *rest = Some(until);
        }
    }

    /// Takes up what an earlier process held against the endpoint: out until then, for the `ejections`th time in a row.
    pub fn restore(&mut self, until: Moment, reason: Arc<str>, ejections: u32) {
        self.ejections = ejections;
        self.phase = Phase::Out { until, silent: until, reason, trial: None, good: 0 };
        self.era = self.era.wrapping_add(1);
    }

    /// Failures in a row so far.
    pub fn consecutive(&self) -> u32 {
        self.consecutive
    }

    /// Ejections in a row, those forgiven left out.
    pub fn ejections(&self, now: Moment) -> u32 {
        let Phase::In { since, .. } = &self.phase else { return self.ejections };
        let forgiven = now.since(*since).as_secs() / FORGIVEN_AFTER.as_secs();
        self.ejections.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// When it was admitted after an ejection; `None` if it never was out, or is.
    pub fn recovered_at(&self) -> Option<Moment> {
        match self.phase {
            Phase::In { since, recovered: true, .. } => Some(since),
            _ => None,
        }
    }

    pub(super) fn era(&self) -> u32 {
        self.era
    }

    fn good(&mut self) -> Option<Turn> {
        self.consecutive = 0;
        None
    }

    fn good_trial(&mut self, now: Moment) -> Option<Turn> {
        let Phase::Out { until, good, .. } = &mut self.phase else { return None };
        // A last resort that worked ends the ejection early: probation begins now.
        *until = (*until).min(now);
        *good += 1;
        if *good < GOOD_TRIALS {
            return None;
        }
        self.phase = Phase::In { since: now, recovered: true, rest: None };
        self.era = self.era.wrapping_add(1);
        self.consecutive = 0;
        Some(Turn::Admitted)
    }

    /// Nothing was expected of it, so nothing is held against it; but a wish to be left alone is heard.
    fn bad_last_resort(&mut self, retry_after: Option<Duration>, now: Moment) -> Option<Turn> {
        let Phase::Out { until, silent, reason, good, .. } = &mut self.phase else { return None };
        *good = 0;
        self.tested = Some(now);
        let asked = rest_end(retry_after, now).filter(|end| end > until)?;
        (*until, *silent) = (asked, asked);
        Some(Turn::Ejected { until: asked, reason: Arc::clone(reason) })
    }

    fn bad(
        &mut self,
        (kind, by): (Kind, By),
        sign: Sign<'_>,
        now: Moment,
        policy: Policy,
        chance: f64,
    ) -> Option<Turn> {
        let Sign::Bad { retry_after, detail, poor_rate } = sign else { return None };
        self.consecutive = self.consecutive.saturating_add(1);
        let reason = match kind {
            Kind::Trial => format!("failed on probation: {detail}"),
            _ if self.consecutive >= policy.threshold => format!("{} failures in a row: {detail}", self.consecutive),
            _ if poor_rate => format!("less than half of the last minute's requests succeeded: {detail}"),
            _ => return self.rest(retry_after, now),
        };
        Some(self.eject(reason.into(), by, retry_after, now, policy, chance))
    }

    fn eject(
        &mut self,
        reason: Arc<str>,
        by: By,
        retry_after: Option<Duration>,
        now: Moment,
        policy: Policy,
        chance: f64,
    ) -> Turn {
        self.ejections = self.ejections(now).saturating_add(1);
        let longest = if policy.sole { SOLE_EJECTION } else { Duration::MAX };
        let until = now.after(ejection_time(self.ejections, chance).min(longest));
        let asked = rest_end(retry_after, now).unwrap_or_default().max(self.rest_until());
        let until = until.max(asked);
        let silent = if by == By::Request { until } else { asked };
        self.phase = Phase::Out { until, silent, reason: Arc::clone(&reason), trial: None, good: 0 };
        self.tested = None;
        self.era = self.era.wrapping_add(1);
        Turn::Ejected { until, reason }
    }

    fn rest(&mut self, retry_after: Option<Duration>, now: Moment) -> Option<Turn> {
        let until = rest_end(retry_after, now).filter(|end| *end > self.rest_until())?;
        if let Phase::In { rest, .. } = &mut self.phase {
            *rest = Some(until);
        }
        Some(Turn::Rested { until })
    }

    fn rest_until(&self) -> Moment {
        match self.phase {
            Phase::In { rest, .. } => rest.unwrap_or_default(),
            Phase::Out { .. } => Moment::default(),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

/// min(30 s x 2^(n-1), 5 min) x uniform(0.8, 1.2), for the `n`th ejection in a row.
fn ejection_time(n: u32, chance: f64) -> Duration {
    let doubled = FIRST_EJECTION.saturating_mul(1 << n.saturating_sub(1).min(16));
    doubled.min(LONGEST_EJECTION).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

fn rest_end(retry_after: Option<Duration>, now: Moment) -> Option<Moment> {
    retry_after.filter(|wait| !wait.is_zero()).map(|wait| now.after(wait.min(LONGEST_REST)))
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
