//! Decides which profile of the chain is active. Pure: time, policy and the state of the chain are passed in; the
//! caller publishes what is decided.
//!
//! A request that the active profile cannot serve spills to another profile at once and shows nothing of it. The switch
//! only spares the following ones the detour, so it can wait until the failures are no accident, and going back can wait
//! until the better profile has proved itself.
//!
//! Invariants:
//! - a decision always names another profile than the active one, and one that is ready unless a person chose it;
//! - a recovery goes to a profile that has proved itself, never before the cooldown is over;
//! - while pinned, or with the policy off, nothing is decided automatically;
//! - requests that began under another active profile count nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::config::model::Tier;
use crate::time::Moment;

/// A recovery undone within this time was a mistake: the next one waits longer.
const PROVEN_AFTER: Duration = Duration::from_mins(10);
const LONGEST_COOLDOWN: Duration = Duration::from_hours(1);

/// What steers the machine; from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the active profile changes by itself when it fails.
    pub auto_failover: bool,
    /// Whether a better profile becomes active again by itself.
    pub auto_recovery: bool,
    /// Requests in a row that the active profile failed or spilled, until another becomes active.
    pub failure_threshold: u32,
    /// Least time between a switch and the next recovery.
    pub cooldown: Duration,
}

/// One profile of the chain, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: Arc<str>,
    /// Its tier.
    pub tier: Tier,
    /// Whether it can serve: some endpoint of it admits.
    pub ready: bool,
    /// Whether it would take one request as a trial: some endpoint of it admits or is on probation, and none is probed.
    pub open: bool,
    /// Whether an endpoint that admits has proved itself: by good probes, or by requests sent as trials.
    pub proved: bool,
}

/// How the active profile did on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It answered, be it with the client's own fault.
    Itself,
    /// It could not, and another profile answered or none did.
    Not {
        /// Whether all that kept it was a rest of at most 60 s; that counts nothing.
        short_rest: bool,
    },
}

/// Why the active profile changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person said so.
    Manual,
    /// The one before failed.
    Failover,
    /// A better one can serve again.
    Recovery,
    /// The one before left the file.
    Reload,
}

impl Cause {
    /// The word used in logs and histories.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Failover => "failover",
            Self::Recovery => "recovery",
            Self::Reload => "reload",
        }
    }
}

/// Another profile is to become active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The profile before.
    pub from: Arc<str>,
    /// Place in the chain of the profile to come.
    pub index: usize,
    /// Its name.
    pub to: Arc<str>,
    /// Why, in one word.
    pub cause: Cause,
    /// Why, in words.
    pub reason: String,
}

/// What outlives a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Whether a person has pinned the active profile.
    pub pinned: bool,
    /// When the active profile last changed.
    pub switched: Option<Moment>,
    /// When it last changed by recovery, if it has not failed since.
    pub recovered: Option<Moment>,
    /// Recoveries in a row that were undone soon.
    pub flaps: u32,
}

/// See the module. A decision counts as carried out when it is returned.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    failures: u32,
    pinned: bool,
    switched: Option<Moment>,
    recovered: Option<Moment>,
    /// Recoveries in a row that were undone soon.
    flaps: u32,
}

impl Machine {
    /// A machine that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that began while `under` was active has ended.
    pub fn served(
        &mut self,
        how: Served,
        under: &str,
        active: usize,
        chain: &[Candidate],
        now: Moment,
        policy: Policy,
    ) -> Option<Switch> {
        let current = chain.get(active).filter(|current| *current.name == *under)?;
        match how {
            Served::Itself => self.failures = 0,
            Served::Not { short_rest: true } => {}
            Served::Not { short_rest: false } => self.failures = self.failures.saturating_add(1),
        }
        if self.pinned || !policy.auto_failover || self.failures < policy.failure_threshold.max(1) {
            return None;
        }
        let index = next_ready(active, chain)?;
        let reason = format!("{} could not serve {} requests in a row", current.name, self.failures);
        self.learn_from_failover(now);
        Some(self.switch(index, Cause::Failover, reason, active, chain, now))
    }

    /// Whether it is time to go back to a better profile: one tier up, skipping tiers in which nothing is ready, to the
    /// first profile there that has proved itself.
    pub fn recover(&mut self, active: usize, chain: &[Candidate], now: Moment, policy: Policy) -> Option<Switch> {
        if now < self.recovery_from(policy)? {
            return None;
        }
        let proved = |candidate: &Candidate| candidate.ready && candidate.proved;
        let index = next_better(active, chain)?.into_iter().find(|index| proved(&chain[*index]))?;
        let reason = format!("{} can serve again", chain[index].name);
        self.recovered = Some(now);
        Some(self.switch(index, Cause::Recovery, reason, active, chain, now))
    }

    /// The better profile that one request is to be sent to as a trial: it is time to go back to it, and no probe proves
    /// it.
    pub fn trial(&self, active: usize, chain: &[Candidate], now: Moment, policy: Policy) -> Option<usize> {
        if now < self.recovery_from(policy)? {
            return None;
        }
        let untried = |candidate: &Candidate| candidate.open && !candidate.proved;
        next_better(active, chain)?.into_iter().find(|index| untried(&chain[*index]))
    }

    /// A person makes the profile at `index` active and pins it there; it stays until [`Machine::unpin`].
    pub fn pin(
        &mut self,
        index: usize,
        reason: Option<&str>,
        active: usize,
        chain: &[Candidate],
        now: Moment,
    ) -> Option<Switch> {
        self.pinned = true;
        let reason = reason.unwrap_or("switched by hand").to_owned();
        (index != active && index < chain.len()).then(|| self.switch(index, Cause::Manual, reason, active, chain, now))
    }

    /// Lets the machine decide again. Says whether it was pinned.
    pub fn unpin(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.pinned)
    }

    /// A person moves on to the next profile that is ready, and takes away a pin. `None` if there is none.
    pub fn failover_by_hand(
        &mut self,
        reason: Option<&str>,
        active: usize,
        chain: &[Candidate],
        now: Moment,
    ) -> Option<Switch> {
        let index = next_ready(active, chain)?;
        self.pinned = false;
        let reason = reason.unwrap_or("failed over by hand").to_owned();
        Some(self.switch(index, Cause::Manual, reason, active, chain, now))
    }

    /// The file was loaded anew. Where `active` is now, and the switch if it has left: to the first profile that is
    /// ready, else to the first. `None` for the place if there is no profile at all.
    pub fn reloaded(&mut self, active: &Arc<str>, chain: &[Candidate], now: Moment) -> (Option<usize>, Option<Switch>) {
        if let Some(index) = chain.iter().position(|candidate| candidate.name == *active) {
            return (Some(index), None);
        }
        let Some(first) = chain.first() else { return (None, None) };
        let index = chain.iter().position(|candidate| candidate.ready).unwrap_or_default();
        let to = Arc::clone(&chain.get(index).unwrap_or(first).name);
        self.note_switch(now);
        self.pinned = false;
        let reason = format!("{active} left the file");
        (Some(index), Some(Switch { from: Arc::clone(active), index, to, cause: Cause::Reload, reason }))
    }

    /// Whether a person has pinned the active profile.
    pub fn pinned(&self) -> bool {
        self.pinned
    }

    /// Requests in a row that the active profile failed or spilled.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the active profile last changed.
    pub fn switched(&self) -> Option<Moment> {
        self.switched
    }

    /// The earliest moment of the next recovery; `None` if there will be none: nothing was ever switched, a person has
    /// pinned the active profile, or the file says so.
    pub fn recovery_from(&self, policy: Policy) -> Option<Moment> {
        if self.pinned || !policy.auto_recovery || !policy.auto_failover {
            return None;
        }
        self.switched.map(|switched| switched.after(self.cooldown(policy)))
    }

    /// What a later process has to know to go on.
    pub fn memory(&self) -> Memory {
        let Self { pinned, switched, recovered, flaps, .. } = *self;
        Memory { pinned, switched, recovered, flaps }
    }

    /// Goes on where an earlier process ended.
    pub fn resumed(Memory { pinned, switched, recovered, flaps }: Memory) -> Self {
        Self { failures: 0, pinned, switched, recovered, flaps }
    }

    fn cooldown(&self, policy: Policy) -> Duration {
        let doubled = policy.cooldown.saturating_mul(1 << self.flaps.min(16));
        doubled.min(LONGEST_COOLDOWN.max(policy.cooldown))
    }

    /// A failover soon after a recovery says that the recovery came too early.
    fn learn_from_failover(&mut self, now: Moment) {
        self.flaps = match self.recovered.take() {
            Some(recovered) if now.since(recovered) < PROVEN_AFTER => self.flaps.saturating_add(1),
            _ => 0,
        };
    }

    fn switch(
        &mut self,
        index: usize,
        cause: Cause,
        reason: String,
        active: usize,
        chain: &[Candidate],
        now: Moment,
    ) -> Switch {
        self.note_switch(now);
        let name = |at: usize| chain.get(at).map_or_else(|| Arc::from(""), |candidate| Arc::clone(&candidate.name));
        Switch { from: name(active), index, to: name(index), cause, reason }
    }

    fn note_switch(&mut self, now: Moment) {
        self.failures = 0;
        self.switched = Some(now);
    }
}

/// The profiles of the next better tier in which one is ready or open to a trial, in their order.
fn next_better(active: usize, chain: &[Candidate]) -> Option<Vec<usize>> {
    let better = chain.get(..active)?;
    let able = |candidate: &&Candidate| candidate.ready || candidate.open;
    let tier = better.iter().filter(able).map(|candidate| candidate.tier).max()?;
    Some((0..active).filter(|index| better[*index].tier == tier).collect())
}

/// The profile that follows the active one in the order a request tries them, and is ready.
fn next_ready(active: usize, chain: &[Candidate]) -> Option<usize> {
    let others = super::chain::order(active, chain.len(), false).skip(1);
    others.into_iter().find(|index| chain[*index].ready)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
