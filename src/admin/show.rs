//! What runs, in the words of the API: for its routes, and for commands that look at a file which no proxy runs. Pure.

use super::routes;
use super::view::explain::{Candidate, ExplainQuery, Explanation};
use super::view::health::Health;
use super::view::{Profile, RestingModel, Source, Time};
use crate::config::model::{EndpointFields, ProfileSpec};
use crate::dispatch::explain::{self, Because, Place, Request};
use crate::health::records::Records;
use crate::snapshot::Snapshot;
use crate::time::Clocks;
use crate::upstream::affinity::{Affinity, Recalled};
use crate::upstream::eligible::{Ask, Blocked, Why};
use crate::upstream::endpoint::{Credential, Endpoint};

/// The chain, and how its endpoints stand.
pub fn profiles(snapshot: &Snapshot, clocks: Clocks) -> Vec<Profile> {
    routes::status::profiles(snapshot, clocks)
}

/// The profiles that take no traffic.
pub fn sources(snapshot: &Snapshot) -> Vec<Source> {
    routes::status::sources(snapshot)
}

/// How the endpoints do, by their requests and by their checks.
pub fn health(snapshot: &Snapshot, records: &Records, clocks: Clocks) -> Health {
    routes::health::of_all(snapshot, records, clocks)
}

/// The first of the last `count` days, today included, in days since 1970.
pub fn first_day(count: u32) -> i64 {
    routes::health::first_day(count)
}

/// Who would serve such a request. Where conversations belong is looked up in `affinity`, if that is known.
pub fn explanation(
    snapshot: &Snapshot,
    query: ExplainQuery,
    affinity: Option<&Affinity>,
    clocks: Clocks,
) -> Explanation {
    let ExplainQuery { model, session } = query;
    let remembered = affinity.zip(session.as_deref());
    let recalled = remembered.map(|(affinity, session)| affinity.recall(session, clocks.moment));
    let Recalled { sticky, avoided } = recalled.unwrap_or_default();
    let request = Request { ask: Ask::model(model.as_deref()), sticky, avoided };
    let found = explain::explain(snapshot, &request, clocks.moment);
    let candidates = found.iter().map(|found| candidate(found, snapshot, model.as_deref(), clocks));
    Explanation {
        candidates: candidates.chain(kept_out(snapshot)).collect(),
        last_served_by: request.sticky.as_ref().map(|sticky| sticky.endpoint.to_string()),
        active: snapshot.active_profile().map(|profile| profile.name.to_string()),
        pinned: snapshot.pinned,
        confined: !snapshot.config.failover.auto_failover,
        model,
        session,
    }
}

fn candidate(found: &explain::Candidate<'_>, snapshot: &Snapshot, model: Option<&str>, clocks: Clocks) -> Candidate {
    let endpoint = found.endpoint;
    let (turn, share) = match found.place {
        Place::Asked { turn, share, .. } => (Some(turn), share.map(|share| 100.0 * share)),
        _ => (None, None),
    };
    let (code, why, until) = reason(found, clocks);
    let profile = snapshot.chain.iter().find(|profile| profile.name == endpoint.id.profile);
    let (resting_models, missing_models) = if model.is_none() { models(endpoint, clocks) } else { Default::default() };
    Candidate {
        endpoint: endpoint.id.to_string(),
        tier: profile.map(|profile| profile.tier),
        strategy: profile.map(|profile| profile.strategy).unwrap_or_default(),
        turn,
        share,
        code: code.to_owned(),
        why,
        until,
        sent_model: model.and_then(|model| endpoint.models.get(model)).map(str::to_owned),
        resting_models,
        missing_models,
    }
}

/// Models for which its key rests, and those it does not have.
fn models(endpoint: &Endpoint, clocks: Clocks) -> (Vec<RestingModel>, Vec<RestingModel>) {
    let missing = endpoint.state.models_blocked(clocks.moment).into_iter();
    let missing = missing.map(|(model, until)| RestingModel { model, until: Time(clocks.time_at(until)) });
    (super::standing::place(endpoint, clocks).resting_models, missing.collect())
}

fn reason(found: &explain::Candidate<'_>, clocks: Clocks) -> (&'static str, String, Option<Time>) {
    match found.place {
        Place::Asked { because, .. } => {
            let (code, why) = because_of(because);
            (code, why.to_owned(), None)
        }
        Place::Blocked(Blocked { why, until }) => {
            let until = until.map(|until| Time(clocks.time_at(until)));
            (why.word(), blocked(why, found.endpoint, clocks), until)
        }
        Place::Confined => ("confined", "`auto_failover` is off: requests stay in the active profile".to_owned(), None),
    }
}

const fn because_of(because: Because) -> (&'static str, &'static str) {
    match because {
        Because::Conversation => ("conversation", "the conversation stays on it"),
        Because::Group => ("group", "its provider group served the conversation"),
        Because::Strategy => ("strategy", "it admits"),
        Because::Avoided => ("avoided", "it just broke this conversation: after all others"),
        Because::LastResort => ("last_resort", "nobody admits, and it returns first"),
    }
}

/// With what is known beyond the bare reason.
fn blocked(why: Why, endpoint: &Endpoint, clocks: Clocks) -> String {
    match (why, &endpoint.credential) {
        (Why::NoKey, Credential::Missing(missing)) => missing.clone(),
        (Why::Ejected | Why::DeadKey, _) => {
            let place = super::standing::place(endpoint, clocks);
            place.reason.map_or_else(|| why.as_str().to_owned(), |reason| format!("ejected: {reason}"))
        }
        _ => why.as_str().to_owned(),
    }
}

/// The endpoints of the file that take no traffic, whoever asks.
fn kept_out(snapshot: &Snapshot) -> Vec<Candidate> {
    let profiles = snapshot.config.profiles.iter();
    profiles
        .flat_map(|(name, spec)| endpoints(name, spec).filter_map(move |(id, fields)| out(name, spec, id, fields)))
        .collect()
}

fn endpoints<'c>(name: &'c str, spec: &'c ProfileSpec) -> impl Iterator<Item = (&'c str, &'c EndpointFields)> {
    let short = spec.shorthand.iter().map(move |fields| (name, &**fields));
    short.chain(spec.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields)))
}

fn out(name: &str, spec: &ProfileSpec, id: &str, fields: &EndpointFields) -> Option<Candidate> {
    let (code, why) = match (fields.enabled, spec.tier) {
        (false, _) => ("disabled", "disabled in the file"),
        (true, None) => ("no_tier", "its profile has no tier: it takes no traffic"),
        (true, Some(_)) => return None,
    };
    Some(Candidate {
        endpoint: format!("{name}/{id}"),
        tier: spec.tier,
        strategy: spec.strategy,
        turn: None,
        share: None,
        code: code.to_owned(),
        why: why.to_owned(),
        until: None,
        sent_model: None,
        resting_models: Vec::new(),
        missing_models: Vec::new(),
    })
}
