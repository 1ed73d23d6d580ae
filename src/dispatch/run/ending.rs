//! How a request ends: with an endpoint's answer, or with a farewell; and what that says of the active profile.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::time::Instant;

use super::Run;
use crate::dispatch::attempt::{Attempted, Held};
use crate::dispatch::call::{Kind, downward};
use crate::dispatch::eligible;
use crate::dispatch::failure::{Farewell, farewell, queued};
use crate::dispatch::flight::Flight;
use crate::dispatch::relay::{Body, Parts, Relay, Shape};
use crate::failover::machine::Served;
use crate::time::Moment;
use crate::upstream::eligible::{Blocked, Why, soonest_return};
use crate::upstream::endpoint::{Credential, Endpoint, EndpointId, Signature};
use crate::upstream::outcome::Outcome;

/// A profile whose keys all rest no longer than this has not failed.
const SHORT_REST: Duration = Duration::from_mins(1);

const QCC_ENDPOINT: HeaderName = HeaderName::from_static("qcc-endpoint");
const QCC_PROFILE: HeaderName = HeaderName::from_static("qcc-profile");
const QCC_ATTEMPTS: HeaderName = HeaderName::from_static("qcc-attempts");
const QCC_QUEUED: HeaderName = HeaderName::from_static("qcc-queued");

impl Run<'_> {
    /// Sends an endpoint's answer down.
    pub(in crate::dispatch) fn relay(mut self: Box<Self>, mut flight: Flight, attempted: Attempted) -> Response<Body> {
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
    pub(in crate::dispatch) fn end_round(&mut self) -> u32 {
        if self.rounds == 0 {
            match self.trial.take() {
                Some(profile) => self.shared().reports.tried(&profile, false),
                None => self.report(Served::Not { short_rest: self.active_rests_shortly() }),
            }
        }
        self.rounds += 1;
        self.rounds - 1
    }

    /// Nobody could answer, and the request is kept under this name: what the client is told.
    pub(in crate::dispatch) fn farewell_queued(self: Box<Self>, id: &str) -> Response<Body> {
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
    pub(in crate::dispatch) fn farewell(mut self: Box<Self>) -> Response<Body> {
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

    fn report(&self, served: Served) {
        if let (Kind::Messages, Some(active)) = (self.call.kind, self.snapshot.active_profile()) {
            self.shared().reports.served(&active.name, served);
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
}
