//! The try that is answering the client: what its end means for the endpoint, told once and in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::telemetry::event::Tokens;
use crate::time::Moment;
use crate::upstream::attempt::{Change, Ticket};
use crate::upstream::breaker::Policy;
use crate::upstream::eligible::Ask;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::outcome::Outcome;

/// Who asks, as far as the end of a try needs to know.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// The model asked for.
    pub model: Option<Arc<str>>,
    /// Hash of the client's own credential.
    pub credential: Option<u64>,
    /// The conversation.
    pub session: Option<Arc<str>>,
}

impl Asker {
    /// As the endpoints see it.
    pub fn ask(&self) -> Ask<'_> {
        Ask { model: self.model.as_deref(), credential: self.credential }
    }
}

/// A ticket on its way to its end. Dropping it counts as cancelled.
#[derive(Debug)]
pub struct Flight {
    ticket: Option<Ticket>,
    endpoint: Arc<Endpoint>,
    asker: Asker,
    policy: Policy,
    shared: Arc<Shared>,
    /// What a good end counts as: a client's own fault, handed on, is no success.
    good: Outcome,
    /// When the endpoint was last heard of; `None` while it is being heard.
    heard: Option<Instant>,
}

/// A client that leaves after so long a silence may have left because of it.
const SILENCE: Duration = Duration::from_mins(1);

impl Flight {
    /// Begins with a ticket that was taken for this request.
    pub fn new(ticket: Ticket, asker: Asker, policy: Policy, shared: Arc<Shared>, now: Instant) -> Self {
        let endpoint = Arc::clone(ticket.endpoint());
        Self { ticket: Some(ticket), endpoint, asker, policy, shared, good: Outcome::Success, heard: Some(now) }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The answer begins: from here on the conversation belongs to this endpoint. `outcome` is what a good end counts as.
    pub fn answering(&mut self, outcome: Outcome, now: Moment) {
        if outcome == Outcome::Success {
            if let Some(ticket) = &mut self.ticket {
                ticket.first_byte(now);
            }
            if let Some(session) = &self.asker.session {
                self.shared.affinity.remember(session, &self.endpoint.id, &self.endpoint.group, now);
            }
        }
        self.good = outcome;
    }

    /// Nothing has come since; `None`: something just did.
    pub fn silent_since(&mut self, since: Option<Instant>) {
        self.heard = since;
    }

    /// What the answer cost is known.
    pub fn spent(&self, tokens: Tokens) {
        self.endpoint.state.spent(tokens.input + tokens.cache_read + tokens.cache_write, tokens.output);
    }

    /// The answer is whole.
    pub fn succeeded(&mut self) {
        let outcome = self.good.clone();
        self.finish(&outcome, "");
    }

    /// The answer broke after it began: the re-send of this conversation must not come here again.
    pub fn failed_midway(&mut self, outcome: &Outcome, detail: &str) {
        // An answer that nothing was known of beforehand (another path, a client's fault) counts nothing at its end either.
        if self.good != Outcome::Success {
            return self.finish(&Outcome::Cancelled, detail);
        }
        if let (true, Some(session)) = (outcome.next_endpoint() && self.ticket.is_some(), &self.asker.session) {
            self.shared.affinity.avoid(session, &self.endpoint.id, Moment::now());
        }
        self.finish(outcome, detail);
    }

    /// The try ended with `outcome`. Only the first end counts.
    pub fn finish(&mut self, outcome: &Outcome, detail: &str) {
        let Some(ticket) = self.ticket.take() else { return };
        let now = Moment::now();
        let change = ticket.finish(outcome, detail, &self.asker.ask(), now, self.policy, fastrand::f64());
        if let Some(change) = change {
            self.tell(change, now);
        }
    }

    /// Whether running answers are to be ended.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.is_ending()
    }

    fn tell(&self, change: Change, now: Moment) {
        if matches!(change, Change::DeadKey { .. }) {
            self.shared.reports.dead_key(&self.endpoint.id);
        }
        self.shared.events.tell(change.event(&self.endpoint.id, now));
    }
}

impl Drop for Flight {
    /// A client that left after a long silence of the endpoint: a check is to find out whose fault it was.
    fn drop(&mut self) {
        let waited = self.heard.map(|heard| heard.elapsed());
        if self.ticket.is_some() && waited.is_some_and(|waited| waited >= SILENCE) {
            self.shared.checks.suspect(&self.endpoint.id);
        }
    }
}
