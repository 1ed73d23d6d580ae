//! The live state of one credential at one origin, shared by every endpoint that uses it.
//!
//! A 429 rests the key, not the endpoint: the same key in two profiles is known in both, and another key at the same
//! address goes on serving. A refused key is dead until it is replaced, revived by hand, or a trial succeeds.
//!
//! Invariants:
//! - while nothing rests and nothing is remembered, asking costs one atomic read and a success another;
//! - several 429 at once are one: only the end of a rest makes the next unannounced one longer;
//! - of a dead key at most one trial is in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::eligible::{Blocked, Why};
use super::outcome::RateLimit;
use super::rest::{Rests, Scope};
use crate::time::Moment;

/// Time between two trials of a dead key.
pub const TRIAL_EVERY: Duration = Duration::from_mins(5);

/// See the module.
#[derive(Debug)]
pub struct KeyState {
    /// Mirror: something rests, is dead, or is remembered for its next rest.
    notable: AtomicBool,
    inner: Mutex<Inner>,
    /// Rung when it may take a request it could not take before.
    bell: Bell,
}

#[derive(Debug, Default)]
struct Inner {
    rests: Rests,
    dead: Option<Dead>,
}

#[derive(Debug)]
struct Dead {
    reason: Arc<str>,
    trial_at: Moment,
    trial: bool,
}

/// Leave to send one request with the key; `trial` if it is a dead key's trial. Handed back by `succeed` or `release`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyPass {
    trial: bool,
}

impl KeyState {
    /// The state of a key nothing is known about.
    pub fn new() -> Arc<Self> {
        Self::with_bell(Bell::default())
    }

    /// The same; `bell` is rung when it may take a request it could not take before.
    pub fn with_bell(bell: Bell) -> Arc<Self> {
        Arc::new(Self { notable: AtomicBool::new(false), inner: Mutex::default(), bell })
    }

    /// Whether and why the key takes no request of this scope now.
    pub fn blocked(&self, scope: Scope<'_>, now: Moment) -> Option<Blocked> {
        if !self.notable.load(Ordering::Acquire) {
            return None;
        }
        self.lock().blocked(scope, now)
    }

    /// Rests the key after a 429. Returns the end of the rest, unless it was resting that long already.
    pub fn rest(&self, scope: Scope<'_>, limit: RateLimit, now: Moment) -> Option<Moment> {
        let mut inner = self.lock();
        let until = inner.rests.rest(scope, limit, now);
        self.mirror(&inner);
        until
    }

    /// The key was refused. Returns whether that is news.
    pub fn mark_dead(&self, reason: &str, now: Moment) -> bool {
        let mut inner = self.lock();
        let news = inner.dead.is_none();
        inner.dead = Some(Dead { reason: reason.into(), trial_at: now.after(TRIAL_EVERY), trial: false });
        self.mirror(&inner);
        news
    }

    /// The key works again, or is to be tried again: by a probe, or because somebody said so. Whether it was dead.
    pub fn revive(&self) -> bool {
        let mut inner = self.lock();
        let was_dead = inner.dead.take().is_some();
        self.mirror(&inner);
        self.bell.ring();
        was_dead
    }

    /// Ends every rest, by hand. Whether all of the key, or a client at it, rested.
    pub fn clear_rests(&self, now: Moment) -> bool {
        let mut inner = self.lock();
        let rested = std::mem::take(&mut inner.rests).is_running(now);
        self.mirror(&inner);
        self.bell.ring();
        rested
    }

    /// Whether the key was refused. One atomic read while nothing is wrong with it.
    pub fn is_dead(&self) -> bool {
        self.notable.load(Ordering::Acquire) && self.lock().dead.is_some()
    }

    /// Why the key was refused and when it is tried next, if it is dead.
    pub fn death(&self) -> Option<(Arc<str>, Moment)> {
        self.lock().dead.as_ref().map(|dead| (Arc::clone(&dead.reason), dead.trial_at))
    }

    /// Takes up what an earlier process knew: refused for this reason, and to be tried at `trial_at`.
    pub fn restore_death(&self, reason: &str, trial_at: Moment) {
        let mut inner = self.lock();
        inner.dead = Some(Dead { reason: reason.into(), trial_at, trial: false });
        self.mirror(&inner);
    }

    /// What rests now: the model (`None`: every model) and until when. Clients of passthrough endpoints are left out.
    pub fn resting(&self, now: Moment) -> Vec<(Option<String>, Moment)> {
        self.lock().rests.list(now)
    }

    /// Leave for one request; of a dead key whose time has come, for its trial.
    pub(super) fn begin(&self, scope: Scope<'_>, now: Moment) -> Option<KeyPass> {
        if !self.notable.load(Ordering::Acquire) {
            return Some(KeyPass { trial: false });
        }
        let mut inner = self.lock();
        if inner.blocked(scope, now).is_some() {
            return None;
        }
        let trial = inner.dead.as_mut().map(|dead| dead.trial = true).is_some();
        Some(KeyPass { trial })
    }

    /// Takes back the pass of a request that was answered well. Returns whether that revived the key.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is spent by handing it back")]
    pub(super) fn succeed(&self, pass: KeyPass, scope: Scope<'_>, now: Moment) -> bool {
        if !self.notable.load(Ordering::Acquire) {
            return false;
        }
        let mut inner = self.lock();
        inner.rests.forget(scope, now);
        // A request that was under way when the key was refused says nothing about it.
        let revived = pass.trial && inner.dead.take().is_some();
        self.mirror(&inner);
        if revived {
            self.bell.ring();
        }
        revived
    }

    /// Takes back the pass of a request that says nothing about the key.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is spent by handing it back")]
    pub(super) fn release(&self, pass: KeyPass) {
        if pass.trial
            && let Some(dead) = &mut self.lock().dead
        {
            dead.trial = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mirror(&self, inner: &Inner) {
        self.notable.store(inner.dead.is_some() || !inner.rests.is_empty(), Ordering::Release);
    }
}

impl Inner {
    fn blocked(&self, scope: Scope<'_>, now: Moment) -> Option<Blocked> {
        if let Some(dead) = self.dead.as_ref().filter(|dead| dead.trial || now < dead.trial_at) {
            return Some(Blocked { why: Why::DeadKey, until: (!dead.trial).then_some(dead.trial_at) });
        }
        let (until, whole_key) = self.rests.until(scope, now)?;
        Some(Blocked { why: Why::Rate { whole_key }, until: Some(until) })
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
