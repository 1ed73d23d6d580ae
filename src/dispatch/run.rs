//! A request in progress: what has been tried, and what follows from it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use memchr::memmem;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::attempt::{Attempted, Held};
use super::call::{Call, Kind, downward};
use super::failure::{Farewell, farewell, queued};
use super::flight::{Asker, Flight};
use super::journal::Journal;
use super::plan::{Plan, Step};
use super::relay::{Body, Parts, Relay, Shape};
use super::{Shared, Worker, eligible, retry};
use crate::failover::machine::Served;
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::affinity::Recalled;
use crate::upstream::attempt::Ticket;
use crate::upstream::breaker::Policy;
use crate::upstream::eligible::{Blocked, Why, soonest_return};
use crate::upstream::endpoint::{Credential, Endpoint, EndpointId, Signature};
use crate::upstream::outcome::Outcome;
use crate::upstream::state::EndpointState;

/// No attempt starts with less than this left of the request's time, unless it is the first.
const LEAST_LEFT: Duration = Duration::from_secs(20);
/// A profile whose keys all rest no longer than this has not failed.
const SHORT_REST: Duration = Duration::from_mins(1);

const QCC_ENDPOINT: HeaderName = HeaderName::from_static("qcc-endpoint");
const QCC_PROFILE: HeaderName = HeaderName::from_static("qcc-profile");
const QCC_ATTEMPTS: HeaderName = HeaderName::from_static("qcc-attempts");
const QCC_QUEUED: HeaderName = HeaderName::from_static("qcc-queued");

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

    /// Sends an endpoint's answer down.
    pub(super) fn relay(mut self: Box<Self>, mut flight: Flight, attempted: Attempted) -> Response<Body> {
        let now = Instant::now();
        self.note(&attempted, now);
        if let Some(profile) = &self.trial {
            self.shared().reports.tried(profile, *profile == flight.endpoint().id.profile);
        } else if self.is_active(&flight.endpoint().id) {
            self.report(Served::Itself);
        } else if !self.active_was_passed_over() {
            self.report(Served::Not { short_rest: self.active_rests_shortly() });
        }
        let counts = self.call.kind == Kind::Messages && attempted.outcome == Outcome::Success;
        flight.answering(if counts { Outcome::Success } else { Outcome::Client }, Moment::at(now));
        match attempted.answer {
            Some(held) => self.down(held, flight, now),
            None => self.farewell(),
        }
    }

    /// Nobody is left to ask, for the time being; the first time that is told. How often that has been so before.
    pub(super) fn end_round(&mut self) -> u32 {
        if self.rounds == 0 {
            match self.trial.take() {
                Some(profile) => self.shared().reports.tried(&profile, false),
                None => self.report(Served::Not { short_rest: self.active_rests_shortly() }),
            }
        }
        self.rounds += 1;
        self.rounds - 1
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

    /// Nobody could answer, and the request is kept under this name: what the client is told.
    pub(super) fn farewell_queued(self: Box<Self>, id: &str) -> Response<Body> {
        let now = Moment::now();
        let soonest = soonest_return(self.plan.endpoints(), &self.asker.ask(), now).map(|at| at.since(now));
        let refusal = queued(self.last.as_ref(), soonest, id);
        let mut response = refusal.response();
        self.sign(response.headers_mut(), None);
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(QCC_QUEUED, id);
        }
        self.journal.close(response, refusal.reason)
    }

    /// Nobody could answer: what the client is told.
    pub(super) fn farewell(mut self: Box<Self>) -> Response<Body> {
        let now = Moment::now();
        let soonest = soonest_return(self.plan.endpoints(), &self.asker.ask(), now).map(|at| at.since(now));
        let dead = self.dead_endpoints(now);
        let configured = self.plan.endpoints().next().is_some();
        match farewell(self.last.take(), soonest, dead, configured) {
            Farewell::HandOn(held) => self.hand_on(held),
            Farewell::Refuse(refusal) => {
                let mut response = refusal.response();
                self.sign(response.headers_mut(), None);
                self.journal.close(response, refusal.reason)
            }
        }
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

    fn is_active(&self, id: &EndpointId) -> bool {
        self.snapshot.active_profile().is_some_and(|active| active.name == id.profile)
    }

    /// Whether the active profile could have answered and was not asked, because the conversation belongs elsewhere.
    fn active_was_passed_over(&self) -> bool {
        let now = Moment::now();
        let idle = |endpoint: &Arc<Endpoint>| {
            !self.plan.has_asked(endpoint) && eligible(endpoint, &self.asker.ask(), now).is_ok()
        };
        self.snapshot.active_profile().is_some_and(|active| active.endpoints.iter().any(idle))
    }

    fn report(&self, served: Served) {
        if let (Kind::Messages, Some(active)) = (self.call.kind, self.snapshot.active_profile()) {
            self.shared().reports.served(&active.name, served);
        }
    }

    fn shared(&self) -> &Shared {
        &self.worker.shared
    }

    /// Whether all that keeps the active profile from serving is a short rest of its keys.
    fn active_rests_shortly(&self) -> bool {
        let Some(active) = self.snapshot.active_profile() else { return false };
        let now = Moment::now();
        let soon = now.after(SHORT_REST);
        active.endpoints.iter().all(|endpoint| match eligible(endpoint, &self.asker.ask(), now) {
            Err(Blocked { why: Why::Rate { .. } | Why::Resting, until: Some(until) }) => until <= soon,
            _ => false,
        })
    }

    /// The endpoints, if not one of them has a working key.
    fn dead_endpoints(&self, now: Moment) -> Option<String> {
        let mut names = Vec::new();
        for endpoint in self.plan.endpoints() {
            let Err(Blocked { why, .. }) = eligible(endpoint, &self.asker.ask(), now) else { return None };
            let detail = match (why, &endpoint.credential) {
                (Why::NoKey, Credential::Missing(why)) => why.clone(),
                (Why::DeadKey, _) => why.as_str().to_owned(),
                _ => return None,
            };
            names.push(format!("{} ({detail})", endpoint.id));
        }
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn down(mut self: Box<Self>, held: Box<Held>, flight: Flight, now: Instant) -> Response<Body> {
        let endpoint = Arc::clone(flight.endpoint());
        self.journal.record.profile = Some(Arc::clone(&endpoint.id.profile));
        self.journal.record.endpoint = Some(Arc::clone(&endpoint.id.id));
        self.send_down(held, Some(flight), Some(&endpoint), now)
    }

    /// Passes on the answer of an endpoint that failed.
    fn hand_on(self: Box<Self>, mut held: Box<Held>) -> Response<Body> {
        held.shape = Shape::Opaque;
        self.send_down(held, None, None, Instant::now())
    }

    fn send_down(
        mut self: Box<Self>,
        held: Box<Held>,
        flight: Option<Flight>,
        endpoint: Option<&Endpoint>,
        now: Instant,
    ) -> Response<Body> {
        let idle = endpoint.map_or(self.snapshot.config.timeouts.idle.get(), |endpoint| endpoint.timeouts.idle);
        let appendable = held.is_appendable();
        let Held { mut head, pieces, rest, gate, shape } = *held;
        head.headers = downward(head.headers);
        self.sign(&mut head.headers, endpoint);
        self.journal.head(head.status.as_u16(), now);
        let parts = Parts { held: pieces, rest, gate, shape, appendable };
        let relay = Relay::new(parts, self.journal, flight, idle);
        Response::from_parts(head, Body::Relay(Box::new(relay)))
    }

    /// Says who answered, and how many tries it took.
    fn sign(&self, headers: &mut HeaderMap, endpoint: Option<&Endpoint>) {
        let attempts = if self.attempts == 1 { HeaderValue::from_static("1") } else { self.attempts.into() };
        headers.insert(QCC_ATTEMPTS, attempts);
        let Some(Signature { profile, id }) = endpoint.map(|endpoint| &endpoint.signature) else { return };
        for (name, value) in [(QCC_ENDPOINT, id), (QCC_PROFILE, profile)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
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
