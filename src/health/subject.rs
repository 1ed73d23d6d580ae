//! What is checked as one: the endpoints that share address and key, in whatever profiles.
//!
//! One probe speaks for all of them, so that a key in two profiles is not asked twice.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::check::Check;
use super::request::Checked;
use super::schedule::{Due, Policy, Situation, due};
use crate::config::model::ProbeKind;
use crate::failover::proof::NEEDED;
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::eligible::{Ask, Why, can_take};
use crate::upstream::endpoint::{Credential, Endpoint, EndpointId};

/// Endpoints that are checked as one.
#[derive(Debug)]
pub(super) struct Subject {
    /// In the order of the chain; never empty.
    pub(super) members: Vec<Arc<Endpoint>>,
    /// When it was last checked; before that, since when it is known.
    pub(super) last: Moment,
    /// Spreads the next check.
    pub(super) chance: f64,
    pub(super) suspect: bool,
    pub(super) running: bool,
    /// Who waits for a check of which member.
    pub(super) asked: Vec<(EndpointId, UnboundedSender<Checked>)>,
}

/// The next check of a subject.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) due: Due,
    /// The member it is sent for.
    pub(super) endpoint: Arc<Endpoint>,
}

impl Subject {
    /// One that is known since `now`.
    fn new(now: Moment, chance: f64) -> Self {
        Self { members: Vec::new(), last: now, chance, suspect: false, running: false, asked: Vec::new() }
    }

    /// The earliest check that any of the members wants, or that somebody asked for.
    pub(super) fn next(&self, snapshot: &Snapshot, recovery_from: Option<Moment>, now: Moment) -> Option<Next> {
        if let (Some((id, _)), false) = (self.asked.first(), self.running) {
            let endpoint = self.members.iter().find(|endpoint| endpoint.id == *id).unwrap_or(&self.members[0]);
            let kind = asked_kind(Policy::of(&snapshot.config.health, &endpoint.health).kind);
            return Some(Next { due: Due { at: now, kind }, endpoint: Arc::clone(endpoint) });
        }
        let wanted = self.members.iter().filter_map(|endpoint| {
            let due = self.due(endpoint, snapshot, recovery_from, now)?;
            Some(Next { due, endpoint: Arc::clone(endpoint) })
        });
        wanted.filter(|_| !self.running).min_by_key(|next| (next.due.at, next.due.kind != ProbeKind::Messages))
    }

    fn due(&self, endpoint: &Endpoint, snapshot: &Snapshot, recovery_from: Option<Moment>, now: Moment) -> Option<Due> {
        let policy = Policy::of(&snapshot.config.health, &endpoint.health);
        let better = snapshot.chain.iter().take(snapshot.active).any(|profile| profile.name == endpoint.id.profile);
        let lead = policy.recovery_interval.saturating_mul(NEEDED);
        let situation = Situation {
            last: self.last,
            out: endpoint.state.probe_from(),
            dead: endpoint.key.death().map(|(_, trial)| trial),
            resting: resting(endpoint, policy.model, now),
            candidate: recovery_from.filter(|_| better).map(|from| from.before(lead)),
            told: endpoint.state.told_at(),
            suspect: self.suspect,
        };
        due(&policy, &situation, self.chance)
    }

    /// Tells everybody who waits.
    pub(super) fn answer(&mut self, check: &Check) {
        for (endpoint, answer) in self.asked.drain(..) {
            // Whoever asked may have left.
            drop(answer.send(Checked { endpoint, result: Ok(check.clone()) }));
        }
    }
}

/// Who asks by hand wants to know whether the endpoint serves.
fn asked_kind(kind: ProbeKind) -> ProbeKind {
    match kind {
        ProbeKind::Models => ProbeKind::Models,
        _ => ProbeKind::Messages,
    }
}

/// Until when the endpoint, or its key, wants to be left alone.
fn resting(endpoint: &Endpoint, model: &str, now: Moment) -> Option<Moment> {
    let blocked = can_take(endpoint, &Ask::model(Some(model)), now).err()?;
    blocked.until.filter(|_| matches!(blocked.why, Why::Rate { .. } | Why::Resting))
}

/// Whether checks of the endpoint are possible: those that clients bring keys for, or whose key is missing, have none.
pub(super) fn obstacle(endpoint: &Endpoint) -> Option<&'static str> {
    match endpoint.credential {
        Credential::Header(..) => None,
        Credential::Passthrough => Some("clients bring their own keys"),
        Credential::Missing(_) => Some("it has no key"),
    }
}

/// The subjects of `snapshot`; those that were there before go on.
pub(super) fn follow(
    mut before: HashMap<u64, Subject>,
    snapshot: &Snapshot,
    now: Moment,
    mut chance: impl FnMut() -> f64,
) -> HashMap<u64, Subject> {
    for subject in before.values_mut() {
        subject.members.clear();
    }
    for endpoint in snapshot.endpoints().filter(|endpoint| obstacle(endpoint).is_none()) {
        let subject = before.entry(endpoint.identity).or_insert_with(|| Subject::new(now, chance()));
        subject.members.push(Arc::clone(endpoint));
    }
    before.retain(|_, subject| !subject.members.is_empty());
    before
}
