//! The task that checks endpoints, and sets what their health leaves of their weight.
//!
//! Invariants:
//! - at most two probes are in flight, and never two of one key at one origin;
//! - what a probe found goes into the endpoint's state machine, its record and nowhere else;
//! - passthrough endpoints are never probed: the key is the client's;
//! - it ends with the proxy, and its probes with it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::check::{Check, kind_word};
use super::factor::Factor;
use super::probe::Nonce;
use super::records::Records;
use super::request::{Checked, Order, Orders};
use super::schedule::{Policy, traffic_tells};
use super::score::Score;
use super::send::{Finding, Prober, Question, Wire};
use super::subject::{Next, Subject, follow, obstacle};
use crate::config::model::ProbeKind;
use crate::failover::steering::View;
use crate::net::OwnAddresses;
use crate::snapshot::reload::Control;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::telemetry::Events;
use crate::time::{Clocks, Moment};
use crate::upstream::attempt::Change;
use crate::upstream::breaker;
use crate::upstream::eligible::Ask;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::outcome::Outcome;
use crate::upstream::probe::{Circumstances, ProbeTicket};
use crate::upstream::sample::Sample;

/// Probes in flight at once.
const AT_ONCE: usize = 2;
/// How long nothing is looked at, at most.
const TICK: Duration = Duration::from_secs(1);
/// How often weights are looked at, at most.
const WEIGH_EVERY: Duration = Duration::from_secs(10);
/// Without requests for so long, checks tell.
const QUIET: Duration = Duration::from_mins(1);
/// What requests told longer ago says nothing about now.
const STALE: Duration = Duration::from_mins(10);

/// What the monitor works with.
#[derive(Debug)]
pub struct Site {
    /// What runs.
    pub cell: SnapshotCell,
    /// The addresses of the proxy itself, which are never connected to.
    pub own: OwnAddresses,
    /// To the publisher.
    pub control: Control,
    /// Where events are told.
    pub events: Events,
    /// What is known of the active profile.
    pub failover: watch::Receiver<View>,
    /// What is asked of the monitor.
    pub orders: Orders,
    /// What it finds.
    pub records: Records,
}

/// Checks until it is dropped. Must run inside a `LocalSet`.
pub async fn monitor(site: Site) {
    let prober = Rc::new(Wire(site.own.clone()));
    Monitor::new(site, prober, Rng::new()).run().await;
}

struct Monitor<P> {
    site: Site,
    prober: Rc<P>,
    random: Rng,
    epoch: u64,
    subjects: HashMap<u64, Subject>,
    running: JoinSet<Ended>,
    /// Keys that a probe is asking for.
    busy: HashSet<u64>,
    weighed: Moment,
}

/// A probe in flight.
struct Probe {
    identity: u64,
    key: u64,
    question: Question,
    tickets: Vec<ProbeTicket>,
}

/// A probe that ended.
struct Ended {
    probe: Probe,
    finding: Finding,
}

impl<P: Prober + 'static> Monitor<P> {
    fn new(site: Site, prober: Rc<P>, random: Rng) -> Self {
        let (subjects, running, busy) = (HashMap::new(), JoinSet::new(), HashSet::new());
        Self { site, prober, random, epoch: 0, subjects, running, busy, weighed: Moment::now() }
    }

    async fn run(mut self) {
        loop {
            let snapshot = self.site.cell.load();
            self.follow(&snapshot, Moment::now());
            self.weigh(&snapshot, Moment::now());
            let wait = self.start(&snapshot, Moment::now());
            tokio::select! {
                Some(order) = self.site.orders.0.recv() => self.obey(order),
                Some(ended) = self.running.join_next() => match ended {
                    Ok(ended) => self.ended(ended, Moment::now()),
                    Err(error) => self.lost(&error),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn follow(&mut self, snapshot: &Snapshot, now: Moment) {
        if std::mem::replace(&mut self.epoch, snapshot.epoch) != snapshot.epoch {
            let random = &mut self.random;
            self.subjects = follow(std::mem::take(&mut self.subjects), snapshot, now, || random.f64());
            self.site.records.follow(snapshot);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Check(endpoints, answer) => endpoints.into_iter().for_each(|id| self.ask(id, &answer)),
            Order::Suspect(id) => {
                if let Some(subject) = self.subject(&id) {
                    subject.suspect = true;
                }
            }
        }
    }

    fn ask(&mut self, id: EndpointId, answer: &mpsc::UnboundedSender<Checked>) {
        if let Some(subject) = self.subject(&id) {
            return subject.asked.push((id, answer.clone()));
        }
        let snapshot = self.site.cell.load();
        let known = snapshot.endpoints().find(|endpoint| endpoint.id == id);
        let why = known.map_or("it takes no traffic", |endpoint| obstacle(endpoint).unwrap_or("it is new"));
        // Whoever asked may have left.
        drop(answer.send(Checked { endpoint: id, result: Err(why) }));
    }

    fn subject(&mut self, id: &EndpointId) -> Option<&mut Subject> {
        self.subjects.values_mut().find(|subject| subject.members.iter().any(|endpoint| endpoint.id == *id))
    }

    /// Starts what is due. How long there is nothing to do.
    fn start(&mut self, snapshot: &Snapshot, now: Moment) -> Duration {
        let recovery_from = self.site.failover.borrow().recovery_from;
        let wanted = self.subjects.iter().filter_map(|(identity, subject)| {
            let next = subject.next(snapshot, recovery_from, now)?;
            Some((next.due.at, *identity, next))
        });
        let mut wanted: Vec<(Moment, u64, Next)> = wanted.collect();
        wanted.sort_by_key(|(at, identity, _)| (*at, *identity));
        for (at, identity, next) in wanted {
            if at > now {
                return at.since(now).min(TICK);
            }
            if self.running.len() < AT_ONCE && !self.busy.contains(&next.endpoint.key_identity) {
                self.send(identity, &next, snapshot, now);
            }
        }
        TICK
    }

    fn send(&mut self, identity: u64, next: &Next, snapshot: &Snapshot, now: Moment) {
        let Some(subject) = self.subjects.get_mut(&identity) else { return };
        let (endpoint, kind) = (&next.endpoint, next.due.kind);
        let policy = Policy::of(&snapshot.config.health, &endpoint.health);
        let question = Question {
            endpoint: Arc::clone(endpoint),
            kind,
            model: policy.model.into(),
            prompt: policy.prompt.map(Arc::from),
            nonce: Nonce::new(&mut self.random),
            timeout: policy.timeout,
        };
        let ask = Ask::model(Some(policy.model));
        let begin = |member: &Arc<Endpoint>| match kind {
            ProbeKind::Reachability => member.begin_reach(now),
            _ => member.begin_probe(&ask, now),
        };
        let tickets = subject.members.iter().map(begin).collect();
        (subject.last, subject.chance, subject.suspect, subject.running) = (now, self.random.f64(), false, true);
        self.busy.insert(endpoint.key_identity);
        let probe = Probe { identity, key: endpoint.key_identity, question, tickets };
        let prober = Rc::clone(&self.prober);
        self.running.spawn_local(async move {
            let finding = prober.send(probe.question.clone()).await;
            Ended { probe, finding }
        });
    }

    fn ended(&mut self, ended: Ended, now: Moment) {
        let Ended { probe: Probe { identity, key, question, tickets }, finding } = ended;
        self.busy.remove(&key);
        let check = check(&question, &finding);
        tracing::debug!(
            endpoint = %question.endpoint.id,
            kind = kind_word(check.kind),
            result = check.class.as_str(),
            detail = &*check.detail,
            "checked"
        );
        let snapshot = self.site.cell.load();
        for ticket in tickets {
            self.settle(ticket, &question, &check, &finding.seen.outcome, &snapshot, now);
        }
        if let Some(subject) = self.subjects.get_mut(&identity) {
            (subject.last, subject.running) = (now, false);
            subject.answer(&check);
        }
    }

    /// A probe's task ended badly: which one is not known, so nothing counts as running any more.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "a check ended badly");
        if self.running.is_empty() {
            self.busy.clear();
            self.subjects.values_mut().for_each(|subject| subject.running = false);
        }
    }

    /// What a check means for one endpoint it speaks for.
    fn settle(
        &self,
        ticket: ProbeTicket,
        question: &Question,
        check: &Check,
        outcome: &Outcome,
        snapshot: &Snapshot,
        now: Moment,
    ) {
        let endpoint = Arc::clone(ticket.endpoint());
        let interval = Policy::of(&snapshot.config.health, &endpoint.health).interval;
        let threshold = endpoint.max_failures.unwrap_or(snapshot.config.failover.failure_threshold);
        let around = Circumstances {
            ask: Ask::model(Some(&question.model)),
            now,
            policy: breaker::Policy { threshold, sole: snapshot.sole },
            chance: fastrand::f64(),
            traffic: traffic_tells(endpoint.state.told_at(), interval, now),
        };
        if question.kind != ProbeKind::Reachability {
            endpoint.state.probed(check.proves());
        }
        let change = ticket.finish(outcome, &format!("check: {}", check.detail), around);
        self.site.records.add(&endpoint.id, endpoint.identity, check.clone());
        if let Some(change) = change {
            self.tell(change, &endpoint.id, now);
        }
    }

    fn tell(&self, change: Change, endpoint: &EndpointId, now: Moment) {
        if matches!(change, Change::DeadKey { .. }) {
            self.site.control.renew(endpoint.clone());
        }
        self.site.events.tell(change.event(endpoint, now));
    }

    /// Sets what the health of each endpoint leaves of its weight.
    fn weigh(&mut self, snapshot: &Snapshot, now: Moment) {
        let health = &snapshot.config.health;
        if now.since(self.weighed) < health.interval.get().min(WEIGH_EVERY) {
            return;
        }
        let since = std::mem::replace(&mut self.weighed, now);
        for endpoint in snapshot.endpoints() {
            let policy = Policy::of(health, &endpoint.health);
            let factor = self.site.records.with(&endpoint.id, |entry| {
                if !health.adjust_weights {
                    return entry.factor.clear().then_some(1.0);
                }
                let evidence = evidence(endpoint, &entry.record.samples(Clocks::now()), policy.interval, now);
                let news = evidence.last().is_some_and(|last| last.at >= since);
                let enough = evidence.len() >= usize::try_from(health.min_checks).unwrap_or(usize::MAX);
                let score = Score::of(&evidence).filter(|_| news && enough)?;
                aim(&mut entry.factor, &score, endpoint, now)
            });
            if let Some(factor) = factor.flatten() {
                set(endpoint, factor);
            }
        }
    }
}

/// What the score reads: requests while they tell, else checks. However short the interval, a minute without requests
/// must pass before checks are heard: slow answers take their time.
fn evidence(endpoint: &Endpoint, checks: &[Sample], interval: Duration, now: Moment) -> Vec<Sample> {
    if !traffic_tells(endpoint.state.told_at(), interval.max(QUIET), now) {
        return checks.to_vec();
    }
    let samples = endpoint.state.samples();
    samples.into_iter().filter(|sample| now.since(sample.at) <= STALE).collect()
}

fn aim(factor: &mut Factor, score: &Score, endpoint: &Endpoint, now: Moment) -> Option<f64> {
    let next = factor.aim(score.factor(), now)?;
    tracing::debug!(endpoint = %endpoint.id, score = score.health, factor = next, "weight adjusted");
    Some(next)
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0.1 and 1")]
pub(super) fn set(endpoint: &Endpoint, factor: f64) {
    endpoint.state.set_health(factor as f32);
}

/// What a probe found, as it is kept and shown.
pub(super) fn check(question: &Question, finding: &Finding) -> Check {
    let Finding { seen, took, reply } = finding;
    Check {
        at: SystemTime::now(),
        kind: question.kind,
        class: seen.class(),
        took: *took,
        quality: reply.as_ref().map(|reply| reply.quality(took.as_millis())),
        valid: reply.as_ref().map(|reply| reply.valid),
        detail: seen.detail.as_str().into(),
        tokens: reply.as_ref().map(|reply| reply.tokens).unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
