//! The live state of one endpoint, shared by all workers and kept across reloads.
//!
//! A shell around the [`Breaker`]: what every request reads or writes is atomic, the machine itself sits behind a mutex
//! that only rare events take.
//!
//! Invariants:
//! - while an endpoint admits and nothing failed since the last success, no request takes the mutex;
//! - the atomics are mirrors, written only under the mutex; a reader that is late by an instant gets a pass of an era
//!   that is over, which changes nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::breaker::{Breaker, By, Kind, Pass, Policy, Sign, Standing, Turn};
use super::latency::Latency;
use super::outcome::Outcome;
use super::places::Places;
use super::recent::Recent;
use super::sample::{Sample, Samples};
use super::tally::{Counts, Tally};
use super::window::Window;
use crate::time::Moment;

/// How long a model the endpoint does not have is not asked of it.
pub const MODEL_OUT: Duration = Duration::from_mins(10);

const RAMP: Duration = Duration::from_mins(1);
const RAMP_START: f32 = 0.1;
const NEVER: u64 = u64::MAX;
const MODELS: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct EndpointState {
    breaker: Mutex<Breaker>,
    models: Mutex<Recent<Box<str>, Moment>>,
    last: Mutex<Last>,
    window: Window,
    latency: Latency,
    samples: Samples,
    tally: Tally,
    /// The share of its weight that its health leaves it, as the bits of an `f32`.
    health: AtomicU32,
    /// Good probes in a row, since anything last went wrong.
    good_probes: AtomicU32,
    /// Mirror: it does not simply admit; ask the machine.
    out: AtomicBool,
    /// Mirror: a success has something to reset.
    shaky: AtomicBool,
    /// Mirror of the machine's era.
    era: AtomicU32,
    /// Mirror: when it was admitted after an ejection, in milliseconds, or `NEVER`.
    recovered: AtomicU64,
    /// Mirror: when the last of the missing models is asked again, in milliseconds.
    models_out: AtomicU64,
    in_flight: Places,
    /// Rung when it may take a request it could not take before.
    bell: Bell,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<(Arc<str>, Moment)>,
    change: Option<Moment>,
}

/// What a status view shows of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Where it stands.
    pub standing: Standing,
    /// Failures in a row.
    pub consecutive: u32,
    /// Ejections in a row, those forgiven left out.
    pub ejections: u32,
    /// How its requests ended since it is known.
    pub counts: Counts,
    /// Successes and failures of the last minute.
    pub last_minute: (u64, u64),
    /// Requests in flight.
    pub in_flight: u32,
    /// Share of its weight that it gets, 0.1 to 1.
    pub ramp: f32,
    /// Share of its weight that its health leaves it, 0.1 to 1.
    pub health: f32,
    /// What went wrong last, and when.
    pub last_error: Option<(Arc<str>, Moment)>,
    /// When its standing last changed.
    pub last_change: Option<Moment>,
}

impl EndpointState {
    /// The state of an endpoint nothing is known about: it admits.
    pub fn new() -> Arc<Self> {
        Self::with_bell(Bell::default())
    }

    /// The same; `bell` is rung when it may take a request it could not take before.
    pub fn with_bell(bell: Bell) -> Arc<Self> {
        Arc::new(Self {
            breaker: Mutex::new(Breaker::new()),
            models: Mutex::new(Recent::new(MODELS)),
            last: Mutex::default(),
            window: Window::default(),
            latency: Latency::default(),
            samples: Samples::default(),
            tally: Tally::default(),
            health: AtomicU32::new(1.0_f32.to_bits()),
            good_probes: AtomicU32::new(0),
            out: AtomicBool::new(false),
            shaky: AtomicBool::new(false),
            era: AtomicU32::new(0),
            recovered: AtomicU64::new(NEVER),
            models_out: AtomicU64::new(0),
            in_flight: Places::new(bell.clone()),
            bell,
        })
    }

    /// Where the endpoint stands. One atomic read while it admits.
    pub fn standing(&self, now: Moment) -> Standing {
        if !self.out.load(Ordering::Acquire) {
            return Standing::Admitting;
        }
        let machine = lock(&self.breaker);
        self.mirror(&machine, now);
        machine.standing(now)
    }

    /// Until when `model` is not asked of this endpoint, if that is so.
    pub fn model_blocked(&self, model: Option<&str>, now: Moment) -> Option<Moment> {
        if self.models_out.load(Ordering::Acquire) <= now.0 {
            return None;
        }
        lock(&self.models).get(model?).copied().filter(|until| now < *until)
    }

    /// The models that are not asked of this endpoint, by name, and until when.
    pub fn models_blocked(&self, now: Moment) -> Vec<(String, Moment)> {
        let models = lock(&self.models);
        let mut blocked: Vec<_> = models.iter().map(|(model, until)| (model.to_string(), *until)).collect();
        blocked.retain(|(_, until)| now < *until);
        blocked.sort();
        blocked
    }

    /// Does not ask `model` of this endpoint for [`MODEL_OUT`].
    pub fn block_model(&self, model: &str, now: Moment) -> Moment {
        let until = now.after(MODEL_OUT);
        self.restore_model(model, until, now);
        until
    }

    /// Does not ask `model` of this endpoint until then.
    pub fn restore_model(&self, model: &str, until: Moment, now: Moment) {
        let mut models = lock(&self.models);
        models.retain(|until| now < *until);
        models.insert(model.into(), until);
        self.models_out.fetch_max(until.0, Ordering::Release);
    }

    /// The share of its weight the endpoint gets: after probation it grows from 0.1 to 1 within 60 s.
    pub fn ramp(&self, now: Moment) -> f32 {
        let since = self.recovered.load(Ordering::Relaxed);
        if since == NEVER {
            return 1.0;
        }
        let done = now.since(Moment(since)).as_secs_f32() / RAMP.as_secs_f32();
        (RAMP_START + (1.0 - RAMP_START) * done).min(1.0)
    }

    /// The share of its weight that the endpoint's health leaves it, 0.1 to 1.
    pub fn health(&self) -> f32 {
        f32::from_bits(self.health.load(Ordering::Relaxed))
    }

    /// Sets the share of its weight that the endpoint's health leaves it, above 0 and at most 1.
    pub fn set_health(&self, factor: f32) {
        self.health.store(factor.to_bits(), Ordering::Relaxed);
    }

    /// The last requests, oldest first. Checks are not among them.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.list()
    }

    /// When a request last told how the endpoint does.
    pub fn told_at(&self) -> Option<Moment> {
        self.samples.last()
    }

    /// How its requests ended since it is known.
    pub fn counts(&self) -> Counts {
        self.tally.read()
    }

    /// Good probes in a row since anything last went wrong.
    pub fn good_probes(&self) -> u32 {
        self.good_probes.load(Ordering::Relaxed)
    }

    /// A probe that shows whether the endpoint can serve went well or not.
    pub fn probed(&self, good: bool) {
        let count = |before: u32| Some(if good { before.saturating_add(1) } else { 0 });
        let _ = self.good_probes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// From when on a probe of the ejected endpoint is worth sending; `None` if it is not out.
    pub fn probe_from(&self) -> Option<Moment> {
        if !self.out.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.breaker).probe_from()
    }

    /// Takes up that the endpoint asked an earlier process to be left alone until then.
    pub fn restore_rest(&self, until: Moment, now: Moment) {
        let mut machine = lock(&self.breaker);
        machine.restore_rest(until);
        self.mirror(&machine, now);
    }

    /// Takes up how requests ended in earlier processes, and the last of them, oldest first.
    pub fn restore_requests(&self, counts: &Counts, samples: impl IntoIterator<Item = Sample>) {
        self.tally.restore(counts);
        samples.into_iter().for_each(|sample| self.samples.record(sample));
    }

    /// Takes up what went wrong last, and when.
    pub fn restore_error(&self, error: &str, at: Moment) {
        self.note(error, at);
    }

    /// Takes up so many good probes in a row.
    pub fn restore_good_probes(&self, count: u32) {
        self.good_probes.store(count, Ordering::Relaxed);
    }

    /// Takes up what an earlier process held against the endpoint: out until then, for the `ejections`th time in a row.
    pub fn restore(&self, until: Moment, reason: &str, ejections: u32, now: Moment) {
        let mut machine = lock(&self.breaker);
        machine.restore(until, reason.into(), ejections);
        self.mirror(&machine, now);
    }

    /// Counts its ejections and admissions: a request that failed here may hope again once it is another one.
    pub fn era(&self) -> u32 {
        self.era.load(Ordering::Acquire)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.taken()
    }

    /// The expected time to the first byte of an answer, in microseconds; failures and 429 count as slow.
    pub fn expected_first_byte(&self, now: Moment) -> u64 {
        self.latency.expected(self.in_flight() == 0, now)
    }

    /// Admits at once and forgets everything held against the endpoint: somebody said so. Says whether it was out.
    pub fn reset(&self, now: Moment) -> bool {
        let mut machine = lock(&self.breaker);
        let was_out = machine.reset(now);
        self.window.clear();
        lock(&self.models).retain(|_| false);
        self.models_out.store(0, Ordering::Release);
        lock(&self.last).change = Some(now);
        self.mirror(&machine, now);
        self.bell.ring();
        was_out
    }

    /// Brings the end of an ejection forward to at most `longest` from now: it has become the only endpoint.
    pub fn cap_ejection(&self, longest: Duration, now: Moment) {
        if self.out.load(Ordering::Acquire) {
            lock(&self.breaker).cap_ejection(longest, now);
        }
    }

    /// Everything a status view shows.
    pub fn snapshot(&self, now: Moment) -> View {
        let machine = lock(&self.breaker);
        let last = lock(&self.last);
        View {
            standing: machine.standing(now),
            consecutive: machine.consecutive(),
            ejections: machine.ejections(now),
            counts: self.counts(),
            last_minute: self.window.counts(now),
            in_flight: self.in_flight(),
            ramp: self.ramp(now),
            health: self.health(),
            last_error: last.error.clone(),
            last_change: last.change,
        }
    }

    /// Leave for one request, unless `limit` are in flight already; counts it as in flight.
    pub(super) fn begin(&self, limit: Option<u32>, now: Moment) -> Option<Pass> {
        self.in_flight.take(limit, || {
            // Before it is looked whether it is out: a regular pass of an era that began with an ejection would eject again.
            let era = self.era.load(Ordering::Acquire);
            if self.out.load(Ordering::Acquire) {
                return lock(&self.breaker).begin(now);
            }
            Some(Pass { era, kind: Kind::Regular, by: By::Request })
        })
    }

    /// Leave for one probe, where its end is to change anything. It does not count as in flight: it must not take the
    /// place of a request.
    pub(super) fn begin_probe(&self, now: Moment) -> Option<Pass> {
        let mut machine = lock(&self.breaker);
        let pass = machine.begin_probe(now);
        self.mirror(&machine, now);
        pass
    }

    /// Leave for one request although the endpoint is ejected.
    pub(super) fn begin_last_resort(&self, limit: Option<u32>, now: Moment) -> Option<Pass> {
        self.in_flight.take(limit, || lock(&self.breaker).begin_last_resort(now))
    }

    /// Whether a last resort can begin.
    pub fn last_resort_free(&self, now: Moment) -> bool {
        lock(&self.breaker).last_resort_free(now)
    }

    /// When a test of the ejected endpoint last failed, if any did since it was ejected.
    pub fn tested_at(&self) -> Option<Moment> {
        lock(&self.breaker).tested_at()
    }

    /// Whether `limit` requests are in flight; if so, the bell tells when that is over.
    pub(super) fn is_full(&self, limit: u32) -> bool {
        self.in_flight.are_full(limit)
    }

    /// The first byte of an answer came after `took`.
    pub(super) fn first_byte(&self, took: Duration, now: Moment) {
        self.latency.observe(took, now);
        self.tally.waited(took);
    }

    /// A request ended. `took` until its first byte, or until it failed.
    pub(super) fn count(&self, outcome: &Outcome, took: Duration, now: Moment) {
        self.tally.add(outcome);
        if *outcome == Outcome::Success || outcome.is_failure() {
            self.samples.record(Sample { at: now, took, good: *outcome == Outcome::Success });
        }
    }

    /// An answer told what it cost.
    pub fn spent(&self, input: u64, output: u64) {
        self.tally.spent(input, output);
    }

    /// An attempt failed, or met a 429, after `took`.
    pub(super) fn penalize(&self, took: Duration, now: Moment) {
        self.latency.penalize(took, now);
    }

    /// Takes back the pass of a request that tells nothing.
    pub(super) fn release(&self, pass: Pass) {
        self.alight(&pass);
        if pass.kind != Kind::Regular {
            lock(&self.breaker).release(pass);
            self.bell.ring();
        }
    }

    /// Takes back the pass of a request that did its job.
    pub(super) fn succeed(&self, pass: Pass, now: Moment, policy: Policy) -> Option<Turn> {
        let current = pass.era == self.era.load(Ordering::Acquire);
        if counts_in_window(&pass) && current {
            self.window.record(true, now);
        }
        if pass.kind == Kind::Regular && !(current && self.shaky.load(Ordering::Acquire)) {
            self.release(pass);
            return None;
        }
        self.settle(pass, Sign::Good, now, policy, 0.0)
    }

    /// Takes back the pass of a request that failed. `chance` is uniform in 0..1.
    pub(super) fn fail(
        &self,
        pass: Pass,
        retry_after: Option<Duration>,
        detail: &str,
        now: Moment,
        policy: Policy,
        chance: f64,
    ) -> Option<Turn> {
        self.note(detail, now);
        self.probed(false);
        let counted = counts_in_window(&pass);
        if counted && pass.era == self.era.load(Ordering::Acquire) {
            self.window.record(false, now);
        }
        let sign = Sign::Bad { retry_after, detail, poor_rate: counted && self.window.is_poor(now) };
        self.settle(pass, sign, now, policy, chance)
    }

    /// Remembers what went wrong without counting it.
    pub(super) fn note(&self, detail: &str, now: Moment) {
        lock(&self.last).error = Some((detail.into(), now));
    }

    fn settle(&self, pass: Pass, sign: Sign<'_>, now: Moment, policy: Policy, chance: f64) -> Option<Turn> {
        self.alight(&pass);
        let trial = pass.kind != Kind::Regular;
        let mut machine = lock(&self.breaker);
        let turn = machine.finish(pass, sign, now, policy, chance);
        if let Some(turn) = &turn {
            lock(&self.last).change = Some(now);
            if !matches!(turn, Turn::Rested { .. }) {
                self.window.clear();
            }
        }
        self.mirror(&machine, now);
        if trial || turn == Some(Turn::Admitted) {
            self.bell.ring();
        }
        turn
    }

    /// Counts a request out.
    fn alight(&self, pass: &Pass) {
        if pass.by == By::Request {
            self.in_flight.free();
        }
    }

    /// Holds the machine's lock, to show who does not need it.
    #[cfg(test)]
    pub(super) fn lock_for_test(&self) -> MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }

    fn mirror(&self, machine: &Breaker, now: Moment) {
        self.recovered.store(machine.recovered_at().map_or(NEVER, |at| at.0), Ordering::Relaxed);
        self.shaky.store(machine.consecutive() > 0, Ordering::Release);
        self.out.store(machine.standing(now) != Standing::Admitting, Ordering::Release);
        // The last: who sees the era sees what it began with.
        self.era.store(machine.era(), Ordering::Release);
    }
}

/// Trials are told by the machine, probes are no traffic.
fn counts_in_window(pass: &Pass) -> bool {
    pass.kind == Kind::Regular && pass.by == By::Request
}

/// The lock of a value that is consistent at any time, also after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
