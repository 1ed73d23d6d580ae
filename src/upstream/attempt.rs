//! One request in flight at one endpoint, from the leave to send it to what its end changed.
//!
//! The one place where an outcome reaches the endpoint, its key and its models together.
//!
//! Invariants:
//! - every ticket ends exactly once: finished, or dropped, which counts as cancelled;
//! - a ticket holds the trial of an endpoint on probation and of a dead key, and nobody else gets it meanwhile.

use std::sync::Arc;

use super::breaker::{Kind, Pass, Policy};
pub use super::change::Change;
use super::eligible::Ask;
use super::endpoint::{Credential, Endpoint};
use super::key::KeyPass;
use super::outcome::{Outcome, RateLimit};
use super::rest::Scope;
use crate::time::Moment;

/// A request in flight at an endpoint. Dropping it unfinished counts as cancelled: permits are released, nothing is
/// counted.
#[derive(Debug)]
#[must_use = "a dropped ticket is a cancelled request"]
pub struct Ticket {
    endpoint: Arc<Endpoint>,
    began: Moment,
    /// When the first byte of a good answer came.
    first_byte: Option<Moment>,
    passes: Option<(Pass, KeyPass)>,
}

impl Endpoint {
    /// Leave to send one request here, if [`super::eligible::can_take`] still holds; takes the trial of a probation.
    pub fn begin(self: &Arc<Self>, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        let pass = self.state.begin(self.max_in_flight, now)?;
        self.ticket(pass, ask, now)
    }

    /// Leave to send one request here although the endpoint is ejected; one at a time.
    pub fn begin_last_resort(self: &Arc<Self>, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        let pass = self.state.begin_last_resort(self.max_in_flight, now)?;
        self.ticket(pass, ask, now)
    }

    fn ticket(self: &Arc<Self>, pass: Pass, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        let Some(key) = self.key.begin(self.scope(ask), now) else {
            self.state.release(pass);
            return None;
        };
        Some(Ticket { endpoint: Arc::clone(self), began: now, first_byte: None, passes: Some((pass, key)) })
    }

    /// Whose limits a request uses here: the endpoint's own key, or the client's.
    pub(super) fn scope<'a>(&self, ask: &Ask<'a>) -> Scope<'a> {
        match self.credential {
            Credential::Passthrough => {
                Scope::Client { credential: ask.credential.unwrap_or_default(), model: ask.model }
            }
            _ => Scope::Own { model: ask.model },
        }
    }
}

impl Ticket {
    /// Where the request is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether it was given by an endpoint that admits, not as a trial or a last resort.
    pub fn is_regular(&self) -> bool {
        self.passes.as_ref().is_some_and(|(pass, _)| pass.kind == Kind::Regular)
    }

    /// The first byte of an answer has come; not for answers that are failures.
    pub fn first_byte(&mut self, now: Moment) {
        self.first_byte = Some(now);
        self.endpoint.state.first_byte(now.since(self.began), now);
    }

    /// The request ended. `ask` is what it began with, `detail` what went wrong in words without secrets, `chance`
    /// uniform in 0..1.
    pub fn finish(
        mut self,
        outcome: &Outcome,
        detail: &str,
        ask: &Ask<'_>,
        now: Moment,
        policy: Policy,
        chance: f64,
    ) -> Option<Change> {
        let (pass, key) = self.passes.take()?;
        let endpoint = &*self.endpoint;
        let over = self.first_byte.filter(|_| *outcome == Outcome::Success).unwrap_or(now);
        endpoint.state.count(outcome, over.since(self.began), now);
        if *outcome == Outcome::Success {
            let revived = endpoint.key.succeed(key, endpoint.scope(ask), now);
            let turn = endpoint.state.succeed(pass, now, policy).map(Change::from);
            return turn.or(revived.then_some(Change::KeyRevived));
        }
        endpoint.key.release(key);
        if outcome.next_endpoint() {
            endpoint.state.penalize(now.since(self.began), now);
        }
        if outcome.is_failure() {
            return endpoint.state.fail(pass, outcome.retry_after(), detail, now, policy, chance).map(Change::from);
        }
        endpoint.state.release(pass);
        endpoint.blame(outcome, detail, ask, now)
    }
}

impl Endpoint {
    /// What an outcome that is no failure of the endpoint means for its key and its models.
    pub(super) fn blame(&self, outcome: &Outcome, detail: &str, ask: &Ask<'_>, now: Moment) -> Option<Change> {
        match outcome {
            Outcome::Rate(limit) => self.rated(*limit, detail, ask, now),
            Outcome::Auth => self.refused(detail, now),
            Outcome::Model => self.without_model(ask, detail, now),
            _ => None,
        }
    }

    fn rated(&self, limit: RateLimit, detail: &str, ask: &Ask<'_>, now: Moment) -> Option<Change> {
        self.state.note(detail, now);
        let until = self.key.rest(self.scope(ask), limit, now)?;
        let model = ask.model.filter(|_| !limit.whole_key);
        Some(Change::Rested { until, model: model.map(str::to_owned) })
    }

    /// A key the client brought is the client's affair.
    fn refused(&self, detail: &str, now: Moment) -> Option<Change> {
        if matches!(self.credential, Credential::Passthrough) {
            return None;
        }
        self.state.note(detail, now);
        self.key.mark_dead(detail, now).then(|| Change::DeadKey { reason: detail.to_owned() })
    }

    fn without_model(&self, ask: &Ask<'_>, detail: &str, now: Moment) -> Option<Change> {
        let model = ask.model?;
        self.state.note(detail, now);
        let until = self.state.block_model(model, now);
        Some(Change::ModelOut { model: model.to_owned(), until })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((pass, key)) = self.passes.take() {
            self.endpoint.key.release(key);
            self.endpoint.state.release(pass);
        }
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
