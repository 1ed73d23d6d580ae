//! The task beside the machine: hears requests, people and the clock, asks the machine, and has the publisher carry out
//! what it decides.
//!
//! Invariants:
//! - it never publishes itself: the snapshot has one writer;
//! - what it shows is what the machine knows, after every step.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::machine::{self, Candidate, Machine, Memory, Policy, Served};
use super::proof::{candidates, returning};
use super::reports::{Report, Reported};
use super::steering::{Command, Done, Refusal, View, Wheel, Wish};
use crate::snapshot::reload::{self, Control};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::time::Moment;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::profile::Profile;

/// How often it is asked whether a better profile is back.
const TICK: Duration = Duration::from_secs(1);

/// What is told of an error, in characters.
const LONGEST_ERROR: usize = 120;

/// Decides on reports, on wishes and as time passes. Ends when nobody can report any more.
pub async fn drive(mut reported: Reported, wheel: Wheel, memory: Memory, cell: SnapshotCell, control: Control) {
    let Wheel { mut commands, view } = wheel;
    let mut driver = Driver::new(memory, control);
    let mut tick = tokio::time::interval(TICK);
    loop {
        // What runs is looked up when something has happened: before that, it would be what ran a while ago.
        tokio::select! {
            report = reported.next() => match report {
                None => return,
                Some(report) => driver.heard(report, &cell.load(), Moment::now()),
            },
            Some(command) = commands.recv() => driver.obey(command, &cell.load(), Moment::now()),
            _ = tick.tick() => driver.passed(&cell.load(), &reported, Moment::now()),
        }
        let seen = driver.view(&cell.load(), Moment::now());
        view.send_if_modified(|view| {
            let changed = *view != seen;
            *view = seen;
            changed
        });
    }
}

/// The machine, and the profile it believes to be active.
struct Driver {
    machine: Machine,
    active: Option<Arc<str>>,
    control: Control,
    /// The profile that answered the request it was tried with.
    passed: Option<Arc<str>>,
    /// When a trial was last offered.
    offered: Option<Moment>,
    /// The epoch of the snapshot that a switch was decided on: until the switch runs, nothing is decided again.
    decided: u64,
}

impl Driver {
    fn new(memory: Memory, control: Control) -> Self {
        Self { machine: Machine::resumed(memory), active: None, control, passed: None, offered: None, decided: 0 }
    }

    fn heard(&mut self, report: Report, snapshot: &Snapshot, now: Moment) {
        match report {
            Report::DeadKey(endpoint) => self.control.renew(endpoint),
            Report::Served { under, how } => self.served(&under, how, snapshot, now),
            Report::Tried { profile, good } => {
                self.passed = good.then_some(profile);
                // A good one is followed up at once; after a bad one the next waits its time.
                self.offered = self.offered.filter(|_| !good);
                self.recover(snapshot, now);
            }
        }
    }

    fn served(&mut self, under: &str, how: Served, snapshot: &Snapshot, now: Moment) {
        if self.decided == snapshot.epoch {
            return;
        }
        let chain = self.chain(snapshot, now);
        let switch = self.machine.served(how, under, snapshot.active, &chain, now, policy(snapshot));
        let told = |switch: machine::Switch| {
            let why = snapshot.active_profile().and_then(|profile| last_error(profile, now));
            let reason = why.into_iter().fold(switch.reason, |reason, why| format!("{reason} ({why})"));
            machine::Switch { reason, ..switch }
        };
        self.publish(switch.map(told), snapshot, None);
    }

    /// Time has passed.
    fn passed(&mut self, snapshot: &Snapshot, reported: &Reported, now: Moment) {
        if snapshot.active == 0 && self.active.as_ref() == snapshot.active_profile().map(|active| &active.name) {
            return;
        }
        self.recover(snapshot, now);
        self.offer_trial(snapshot, reported, now);
    }

    fn recover(&mut self, snapshot: &Snapshot, now: Moment) {
        if self.decided == snapshot.epoch {
            return;
        }
        let chain = self.chain(snapshot, now);
        let switch = self.machine.recover(snapshot.active, &chain, now, policy(snapshot));
        self.publish(switch, snapshot, None);
    }

    fn offer_trial(&mut self, snapshot: &Snapshot, reported: &Reported, now: Moment) {
        let chain = candidates(snapshot, self.passed.as_ref(), now);
        let pause = snapshot.config.health.recovery_interval.get();
        let waits = self.offered.is_some_and(|offered| now.since(offered) < pause);
        let wanted = self.machine.trial(snapshot.active, &chain, now, policy(snapshot)).filter(|_| !waits);
        if let Some(index) = wanted {
            self.offered = Some(now);
            reported.offer_trial(snapshot.epoch, index);
        }
    }

    fn obey(&mut self, command: Command, snapshot: &Snapshot, now: Moment) {
        let Command { wish, answer, published } = command;
        let decided = self.decide(wish, snapshot, now);
        let told = decided.map(|(done, switch)| {
            match switch {
                Some(switch) => self.publish(Some(switch), snapshot, Some(published)),
                None => self.control.pin(self.machine.pinned(), published),
            }
            done
        });
        // Who asked may have left; what is done is done.
        drop(answer.send(told));
    }

    fn decide(
        &mut self,
        wish: Wish,
        snapshot: &Snapshot,
        now: Moment,
    ) -> Result<(Done, Option<machine::Switch>), Refusal> {
        let chain = self.chain(snapshot, now);
        let (active, was_pinned) = (snapshot.active, self.machine.pinned());
        let before = snapshot.active_profile().map(|profile| Arc::clone(&profile.name)).ok_or(Refusal::NoChain)?;
        let switch = match wish {
            Wish::Switch { to, reason } => {
                let index = place(&to, snapshot)?;
                self.machine.pin(index, reason.as_deref(), active, &chain, now)
            }
            Wish::Failover { reason } => {
                let reason = reason.as_deref();
                Some(self.machine.failover_by_hand(reason, active, &chain, now).ok_or(Refusal::NoOther)?)
            }
            Wish::Auto => {
                self.machine.unpin();
                None
            }
        };
        let pinned = self.machine.pinned();
        let released = was_pinned && !pinned;
        let done = match &switch {
            Some(switch) => Done { active: Arc::clone(&switch.to), from: Some(before), pinned, released },
            None => Done { active: before, from: None, pinned, released },
        };
        Ok((done, switch))
    }

    fn publish(
        &mut self,
        switch: Option<machine::Switch>,
        snapshot: &Snapshot,
        published: Option<oneshot::Sender<()>>,
    ) {
        let Some(machine::Switch { to, cause, reason, .. }) = switch else { return };
        (self.passed, self.offered, self.decided) = (None, None, snapshot.epoch);
        let switch = reload::Switch { to, cause: cause.as_str(), reason, pinned: self.machine.pinned() };
        self.control.switch(switch, published);
    }

    /// The chain as it stands; a reload may have taken the active profile away, and the snapshot has another one already.
    fn chain(&mut self, snapshot: &Snapshot, now: Moment) -> Vec<Candidate> {
        let chain = candidates(snapshot, self.passed.as_ref(), now);
        let active = snapshot.active_profile().map(|profile| Arc::clone(&profile.name));
        let left = self.active.take().filter(|before| chain.iter().all(|candidate| candidate.name != *before));
        if let Some(left) = left {
            self.machine.reloaded(&left, &chain, now);
        }
        self.active = active;
        chain
    }

    fn view(&self, snapshot: &Snapshot, now: Moment) -> View {
        let policy = policy(snapshot);
        View {
            active: snapshot.active_profile().map(|profile| Arc::clone(&profile.name)),
            failures: self.machine.failures(),
            recovery_from: self.machine.recovery_from(policy).filter(|_| snapshot.active > 0),
            returning: returning(snapshot, self.passed.as_ref(), now),
            memory: self.machine.memory(),
        }
    }
}

/// What went wrong last in `profile`, and where.
fn last_error(profile: &Profile, now: Moment) -> Option<String> {
    let error = |endpoint: &Arc<Endpoint>| {
        let (error, at) = endpoint.state.snapshot(now).last_error?;
        Some((at, Arc::clone(&endpoint.id.id), error))
    };
    let (_, id, error) = profile.endpoints.iter().filter_map(error).max_by_key(|(at, ..)| *at)?;
    Some(format!("{id}: {}", error.chars().take(LONGEST_ERROR).collect::<String>()))
}

/// The place in the chain of the profile a person named.
fn place(name: &str, snapshot: &Snapshot) -> Result<usize, Refusal> {
    let chain = &snapshot.chain;
    let index = chain.iter().position(|profile| *profile.name == *name);
    let index = index.ok_or_else(|| Refusal::Unknown {
        name: name.to_owned(),
        chain: chain.iter().map(|profile| Arc::clone(&profile.name)).collect(),
    })?;
    if chain[index].endpoints.is_empty() { Err(Refusal::Empty(name.to_owned())) } else { Ok(index) }
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
