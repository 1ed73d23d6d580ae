//! A request in progress: what has been tried, and what follows from it.

mod ending;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::attempt::{Attempted, Held};
use super::call::{Call, Kind};
use super::flight::{Asker, Flight};
use super::journal::Journal;
use super::plan::{Plan, Step};
use super::relay::Shape;
use super::{Shared, Worker, eligible, retry};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::affinity::Recalled;
use crate::upstream::attempt::Ticket;
use crate::upstream::breaker::Policy;
use crate::upstream::eligible::Why;
use crate::upstream::endpoint::{Credential, Endpoint, EndpointId};
use crate::upstream::outcome::Outcome;
use crate::upstream::state::EndpointState;

/// No attempt starts with less than this left of the request's time, unless it is the first.
const LEAST_LEFT: Duration = Duration::from_secs(20);

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its answer goes down.
    Answer,
    /// Another endpoint is asked.
    Next,
}

/// One request in progress. Boxed wherever it goes: it is large.
pub(super) struct Run<'a> {
    worker: &'a Worker,
    snapshot: Arc<Snapshot>,
    call: Box<Call>,
    asker: Asker,
    plan: Plan,
    journal: Journal,
    attempts: u32,
    began: Instant,
    /// When the endpoint at hand was asked.
    asked: Instant,
    /// Where the conversation's thinking was signed, to be asked if another endpoint refuses the signature.
    signer: Option<EndpointId>,
    last: Option<Attempted>,
    /// Endpoints that failed it, and their era then.
    failed: SmallVec<[(Arc<EndpointState>, u32); 4]>,
    /// Leave to ask, taken after a wait.
    leave: Option<Flight>,
    /// How often nobody was left to ask.
    rounds: u32,
    /// Some endpoint that was asked admitted it as one that is not in doubt.
    is_tried: bool,
    /// The endpoint that was asked last was sent the client's own credential.
    is_theirs: bool,
    /// The better profile this request is the trial of.
    trial: Option<Arc<str>>,
}

impl<'a> Run<'a> {
    /// Begins with a request that was let in.
    pub(super) fn new(worker: &'a Worker, snapshot: Arc<Snapshot>, call: Box<Call>, journal: Journal) -> Self {
        let shared = &worker.shared;
        let began = Instant::now();
        let now = Moment::at(began);
        shared.budget.request(now);
        let asker = Asker {
            model: call.facts.model.as_deref().map(Arc::from),
            credential: credential(&call.headers, &snapshot),
            session: call.session.clone(),
        };
        let bound = call.stored || is_confined(&snapshot, &call);
        let trial = if bound { None } else { shared.reports.take_trial(snapshot.epoch) };
        let (plan, signer) = plan(shared, &snapshot, &call, trial, now);
        let trial = trial.and_then(|index| snapshot.chain.get(index)).map(|profile| Arc::clone(&profile.name));
        Self {
            worker,
            snapshot,
            call,
            asker,
            plan,
            journal,
            attempts: 0,
            began,
            asked: began,
            signer,
            last: None,
            failed: SmallVec::new(),
            leave: None,
            rounds: 0,
            is_tried: false,
            is_theirs: false,
            trial,
        }
    }

    /// Where it runs.
    pub(super) fn worker(&self) -> &'a Worker {
        self.worker
    }

    /// What is recorded of it.
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Who asks.
    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Every endpoint it may use.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.plan.endpoints()
    }

    /// When the endpoint at hand was asked.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// The request.
    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// The next try, if there is anyone left to ask and time for it.
    pub(super) async fn next(&mut self) -> Option<Flight> {
        let flight = self.find_next().await?;
        let EndpointId { profile, id } = &flight.endpoint().id;
        self.journal.asks([profile, "/", id].concat());
        Some(flight)
    }

    async fn find_next(&mut self) -> Option<Flight> {
        if let Some(flight) = self.leave.take() {
            return Some(flight);
        }
        if !self.may_go_on() {
            return None;
        }
        let share = self.snapshot.config.retry.budget.fraction();
        let now = Instant::now();
        let step = {
            let mut picker = self.worker.picker.borrow_mut();
            self.plan.next(&mut picker, &self.asker.ask(), &self.worker.shared.budget, share, Moment::at(now))
        };
        Some(match step? {
            Step::Ask(ticket) => self.flight(ticket, now),
            Step::Repeat(ticket) => {
                tokio::time::sleep(retry::pause(0, fastrand::f64())).await;
                self.flight(ticket, Instant::now())
            }
        })
    }

    /// What follows from an attempt.
    pub(super) fn judge(&mut self, flight: &Flight, attempted: &Attempted) -> Verdict {
        let endpoint = flight.endpoint();
        let theirs = is_passthrough(endpoint) && refuses_client(attempted);
        let answer = attempted.answer.is_some() && (theirs || !attempted.outcome.next_endpoint());
        if answer && !self.should_ask_signer(endpoint, attempted) { Verdict::Answer } else { Verdict::Next }
    }

    /// Notes a failed attempt.
    pub(super) fn failed(&mut self, mut flight: Flight, mut attempted: Attempted) {
        self.note(&attempted, Instant::now());
        // A failed stream has said what it had to say: its call ends now, not with the request.
        if let Some(held) = attempted.answer.as_mut().filter(|held| held.shape == Shape::Events) {
            held.rest = None;
        }
        if attempted.outcome.is_failure() {
            self.plan.may_repeat(flight.endpoint());
        }
        // A key's rest has an end, a dead one a revival: neither is a reason to hesitate then.
        if !matches!(attempted.outcome, Outcome::Rate(_) | Outcome::Auth) {
            let state = &flight.endpoint().state;
            self.failed.push((Arc::clone(state), state.era()));
        }
        let counts = self.call.kind == Kind::Messages || attempted.outcome == Outcome::Local;
        let outcome = if counts && !self.came_too_late() { &attempted.outcome } else { &Outcome::Cancelled };
        flight.finish(outcome, &attempted.detail);
        // The last answer is worth more than a later silence.
        if attempted.answer.is_some() || self.last.as_ref().is_none_or(|last| last.answer.is_none()) {
            self.last = Some(attempted);
        }
    }

    /// Plans anew after a wait, and takes leave to ask an endpoint that may have become able to answer; one that failed
    /// the request before and has not changed, or is ejected, only if it `may_repeat`. Says whether it has leave.
    pub(super) fn resume(&mut self, snapshot: Arc<Snapshot>, may_repeat: bool, now: Moment) -> bool {
        let shared = &self.worker.shared;
        self.asker.credential = credential(&self.call.headers, &snapshot);
        let (plan, signer) = plan(shared, &snapshot, &self.call, None, now);
        let failed = std::mem::take(&mut self.failed);
        (self.plan, self.signer) = (plan.without(|endpoint| is_worn(&failed, endpoint)), signer);
        (self.failed, self.snapshot) = (failed, snapshot);
        let share = self.snapshot.config.retry.budget.fraction();
        let ask = self.asker.ask();
        let first = self.plan.first_chance(&mut self.worker.picker.borrow_mut(), &ask, now);
        let second = || self.plan.second_chance(&ask, &shared.budget, share, now);
        let ticket = first.or_else(|| may_repeat.then(second).flatten());
        self.leave = ticket.map(|ticket| self.flight(ticket, Instant::now()));
        self.leave.is_some()
    }

    /// Whether `endpoint` failed this request and has not changed since.
    pub(super) fn is_worn(&self, endpoint: &Endpoint) -> bool {
        is_worn(&self.failed, endpoint)
    }

    /// Whether some endpoint that was not in doubt was asked.
    pub(super) fn is_tried(&self) -> bool {
        self.is_tried
    }

    /// Whether nobody could answer for reasons that are not the client's and may pass.
    pub(super) fn may_pass(&self) -> bool {
        let passing = self.last.as_ref().is_none_or(|last| !matches!(last.outcome, Outcome::Client | Outcome::Model));
        let (ask, now) = (self.asker.ask(), Moment::now());
        let hopeless = |why| matches!(why, Why::NoKey | Why::DeadKey | Why::Model);
        let hope = |endpoint: &Arc<Endpoint>| {
            !is_passthrough(endpoint) && !eligible(endpoint, &ask, now).is_err_and(|blocked| hopeless(blocked.why))
        };
        self.call.kind == Kind::Messages && passing && !self.is_theirs && self.endpoints().any(hope)
    }

    /// Whether there is time for another try, and the number of tries allows it.
    pub(super) fn may_go_on(&self) -> bool {
        let again = self.attempts < self.snapshot.config.retry.max_attempts && !self.is_delivered();
        self.attempts == 0 || (again && !self.time_to_start().is_zero())
    }

    /// How long from now another try may begin.
    pub(super) fn time_to_start(&self) -> Duration {
        let whole = self.call.deadline.saturating_duration_since(self.began);
        let left = self.call.deadline.saturating_duration_since(Instant::now());
        left.saturating_sub(LEAST_LEFT.min(whole / 4))
    }

    /// Whether the request had used up its time before the endpoint at hand could do much: a slow upload is not its fault.
    fn came_too_late(&self) -> bool {
        let fair = LEAST_LEFT.min(self.snapshot.config.timeouts.request.get() / 4);
        Instant::now() >= self.call.deadline && self.asked.elapsed() < fair
    }

    /// A request that is not known to be repeatable may have been carried out already.
    fn is_delivered(&self) -> bool {
        let delivered = |last: &Attempted| last.outcome != Outcome::Local;
        self.call.kind == Kind::Other && self.last.as_ref().is_some_and(delivered)
    }

    fn flight(&mut self, ticket: Ticket, now: Instant) -> Flight {
        self.attempts += 1;
        self.asked = now;
        self.is_tried |= ticket.is_regular();
        self.is_theirs = is_passthrough(ticket.endpoint());
        let own = ticket.endpoint().max_failures;
        let threshold = own.unwrap_or(self.snapshot.config.failover.failure_threshold);
        let policy = Policy { threshold, sole: self.snapshot.sole };
        Flight::new(ticket, self.asker.clone(), policy, Arc::clone(&self.worker.shared), now)
    }

    /// A refused signature of a thinking block is tried once where the conversation was last answered.
    fn should_ask_signer(&mut self, endpoint: &Endpoint, attempted: &Attempted) -> bool {
        if !attempted.answer.as_ref().is_some_and(|held| refuses_signature(held)) {
            return false;
        }
        let signer = self.signer.take().filter(|signer| *signer != endpoint.id);
        signer.is_some_and(|signer| self.plan.reserve(&signer, &self.asker.ask(), Moment::now()))
    }

    /// Records what an attempt came to. An answer that goes down has yet to become whole: its end is for the relay to record.
    fn note(&mut self, attempted: &Attempted, now: Instant) {
        self.journal.answered(attempted.answer.as_ref().map_or(0, |held| held.head.status.as_u16()), now);
        if attempted.outcome != Outcome::Success {
            self.journal.found(&attempted.outcome, &attempted.detail);
        }
    }

    fn shared(&self) -> &Shared {
        &self.worker.shared
    }
}

/// Whom a request asks, and who signed the thinking of its conversation.
fn plan(
    shared: &Shared,
    snapshot: &Snapshot,
    call: &Call,
    trial: Option<usize>,
    now: Moment,
) -> (Plan, Option<EndpointId>) {
    let recalled = call.session.as_deref().map(|session| shared.affinity.recall(session, now));
    let Recalled { sticky, avoided } = recalled.unwrap_or_default();
    let signer = sticky.as_ref().map(|sticky| sticky.endpoint.clone());
    let plan = Plan::new(snapshot, sticky, avoided.as_ref(), is_confined(snapshot, call), trial);
    let plan = if call.stored { plan.barring(is_passthrough) } else { plan };
    (plan, signer)
}

/// Whether the request stays in the active profile.
fn is_confined(snapshot: &Snapshot, call: &Call) -> bool {
    call.kind == Kind::Other || !snapshot.config.failover.auto_failover
}

fn is_passthrough(endpoint: &Endpoint) -> bool {
    matches!(endpoint.credential, Credential::Passthrough)
}

fn is_worn(failed: &[(Arc<EndpointState>, u32)], endpoint: &Endpoint) -> bool {
    failed.iter().any(|(state, era)| Arc::ptr_eq(state, &endpoint.state) && *era == state.era())
}

/// Whether an endpoint that was sent the client's own credential refused that: the client's affair.
fn refuses_client(attempted: &Attempted) -> bool {
    let status = attempted.answer.as_ref().map(|held| held.head.status.as_u16());
    attempted.outcome == Outcome::Auth || (attempted.outcome == Outcome::Model && status == Some(403))
}

fn refuses_signature(held: &Held) -> bool {
    let text = &held.gate.prefix;
    held.head.status == http::StatusCode::BAD_REQUEST
        && held.shape == Shape::Whole
        && memmem::find(text, b"signature").is_some()
        && memmem::find(text, b"thinking").is_some()
}

/// A hash of the client's own credential, where some endpoint passes it through.
fn credential(headers: &HeaderMap, snapshot: &Snapshot) -> Option<u64> {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    if !snapshot.passes_through {
        return None;
    }
    let mut found = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all("x-api-key")).peekable();
    found.peek()?;
    Some(HASHER.hash_one(found.map(HeaderValue::as_bytes).collect::<Vec<_>>()))
}
