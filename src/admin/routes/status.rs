//! `GET /v1/status`: everything at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::standing::{Place, place};
use crate::admin::view::{
    AdminListener, Endpoint, LastError, LastMinute, Phase, Profile, Source, Status, StoreStanding, StoreState,
};
use crate::admin::view::{Time, Totals};
use crate::config::model::{EndpointFields, ProfileSpec};
use crate::proxy::serve;
use crate::snapshot::Snapshot;
use crate::store::{Standing, Store};
use crate::time::{Clocks, Moment};
use crate::upstream::endpoint;
use crate::upstream::profile;
use crate::upstream::tally::Counts;
use crate::upstream::weight::effective_weight;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    table.get::<Status, _, _>("/v1/status", "Everything at once.", status)
}

async fn status(State(proxy): State<Arc<Proxy>>) -> Json<Status> {
    Json(view(&proxy))
}

/// Everything at once.
pub(super) fn view(proxy: &Proxy) -> Status {
    let (snapshot, clocks) = (proxy.cell.load(), Clocks::now());
    let active = snapshot.active_profile().map(|profile| profile.name.to_string());
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: Time(proxy.started),
        config: proxy.config.display().to_string(),
        instance: proxy.instance.clone(),
        state_dir: proxy.state_dir.display().to_string(),
        log: proxy.log.as_ref().map(|path| path.display().to_string()),
        listen: proxy.listen.clone(),
        admin: proxy
            .admin
            .as_ref()
            .map(|(listen, file)| AdminListener { listen: listen.clone(), token_file: file.display().to_string() }),
        phase: if *proxy.phase.borrow() == serve::Phase::Serving { Phase::Serving } else { Phase::Draining },
        reload: super::reload::view(proxy),
        profiles: profiles(&snapshot, clocks),
        sources: sources(&snapshot),
        active,
        in_flight: proxy.in_flight.used(),
        connections: proxy.connections.used(),
        state: state(&proxy.store),
    }
}

/// The chain, and how its endpoints stand.
pub(in crate::admin) fn profiles(snapshot: &Snapshot, clocks: Clocks) -> Vec<Profile> {
    let active = snapshot.active_profile().map(|profile| &profile.name);
    let profile = |entry: &Arc<profile::Profile>| {
        let spec = snapshot.config.profiles.get(&*entry.name);
        let disabled = spec.map(|spec| ids(&entry.name, spec, |fields| !fields.enabled)).unwrap_or_default();
        Profile { disabled, ..profile(entry, Some(&entry.name) == active, clocks) }
    };
    snapshot.chain.iter().map(profile).collect()
}

/// The profiles that take no traffic.
pub(in crate::admin) fn sources(snapshot: &Snapshot) -> Vec<Source> {
    let all = snapshot.config.profiles.iter().filter(|(_, spec)| spec.tier.is_none());
    all.map(|(name, spec)| Source { name: name.clone(), endpoints: ids(name, spec, |_| true) }).collect()
}

/// Ids of the endpoints of the profile `name` that are `wanted`.
fn ids(name: &str, spec: &ProfileSpec, wanted: impl Fn(&EndpointFields) -> bool) -> Vec<String> {
    let short = spec.shorthand.as_deref().map(|fields| (name, fields));
    let all = short.into_iter().chain(spec.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields)));
    all.filter(|(_, fields)| wanted(fields)).map(|(id, _)| id.to_owned()).collect()
}

fn profile(profile: &profile::Profile, active: bool, clocks: Clocks) -> Profile {
    Profile {
        disabled: Vec::new(),
        name: profile.name.to_string(),
        tier: profile.tier,
        active,
        strategy: profile.strategy,
        endpoints: profile.endpoints.iter().map(|entry| endpoint(entry, clocks)).collect(),
    }
}

fn endpoint(endpoint: &endpoint::Endpoint, clocks: Clocks) -> Endpoint {
    let Place { standing, until, reason, resting_models } = place(endpoint, clocks);
    let seen = endpoint.state.snapshot(clocks.moment);
    let (succeeded, failed) = seen.last_minute;
    let error =
        |(message, at): (Arc<str>, Moment)| LastError { message: message.to_string(), at: Time(clocks.time_at(at)) };
    Endpoint {
        id: endpoint.id.id.to_string(),
        base_url: endpoint.base_url.to_string(),
        priority: endpoint.priority,
        weight: endpoint.weight,
        effective_weight: effective_weight(endpoint, clocks.moment),
        standing,
        until,
        reason,
        resting_models,
        in_flight: seen.in_flight,
        consecutive_failures: seen.consecutive,
        last_minute: LastMinute { succeeded, failed },
        total: totals(seen.counts),
        last_error: seen.last_error.map(error),
    }
}

fn totals(counts: Counts) -> Totals {
    let Counts { succeeded, failed, rate_limited, refused, input_tokens, output_tokens, .. } = counts;
    Totals { succeeded, failed, rate_limited, refused, input_tokens, output_tokens }
}

/// Whether state lasts.
pub(super) fn state(store: &Store) -> StoreState {
    let (standing, reason, since) = match &*store.standing().borrow() {
        Standing::Good => (StoreStanding::Good, None, None),
        Standing::Memory { why } => (StoreStanding::Memory, Some(why.to_string()), None),
        Standing::ReadOnly { why, since } => (StoreStanding::ReadOnly, Some(why.to_string()), Some(Time(*since))),
    };
    StoreState { standing, reason, since, lost: store.lost() }
}
