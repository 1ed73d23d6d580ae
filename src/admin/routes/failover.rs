//! `/v1/failover`: which profile is active, and switching by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::error::ApiError;
use crate::admin::extract::{Body, Params};
use crate::admin::view::Time;
use crate::admin::view::failover::{Candidate, FailOver, Failover, FailoverQuery, Steered, Switch, SwitchTo};
use crate::failover::steering::{Done, Refusal, Returning, Wish};
use crate::store::switches;
use crate::time::{Clocks, from_unix_ms};

/// Switches told without being asked for a number.
const TOLD: u32 = 20;
/// The most that are told.
const MOST: u32 = 1000;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    table
        .ask::<FailoverQuery, Failover, _, _>("/v1/failover", "Which profile is active, and what comes next.", show)
        .post::<SwitchTo, Steered, _, _>("/v1/failover/switch", "Makes a profile active and pins it.", switch)
        .order::<Steered, _, _>("/v1/failover/auto", "Lets the proxy decide again.", auto)
        .post::<FailOver, Steered, _, _>(
            "/v1/failover/failover",
            "Moves on to the next profile that is ready.",
            failover,
        )
}

async fn show(
    State(proxy): State<Arc<Proxy>>,
    Params(FailoverQuery { n }): Params<FailoverQuery>,
) -> Result<Json<Failover>, ApiError> {
    let count = n.unwrap_or(TOLD).min(MOST);
    // The switch that was just asked for is among them. A disk that cannot be written does not keep from reading.
    drop(proxy.store.flush().await);
    let switches = proxy.store.read(move |view| switches::last(view, count)).await;
    let switches = switches.map_err(|why| ApiError::unreadable(&why))?;
    let (snapshot, clocks) = (proxy.cell.load(), Clocks::now());
    let seen = proxy.steering.view().borrow().clone();
    let policy = &snapshot.config.failover;
    Ok(Json(Failover {
        active: snapshot.active_profile().map(|profile| profile.name.to_string()),
        pinned: snapshot.pinned,
        since: seen.memory.switched.map(|at| Time(clocks.time_at(at))),
        failures: seen.failures,
        failure_threshold: policy.failure_threshold,
        auto_failover: policy.auto_failover,
        auto_recovery: policy.auto_recovery,
        cooldown_s: policy.cooldown.get().as_secs_f64(),
        cooldown_until: seen.recovery_from.map(|at| Time(clocks.time_at(at))),
        candidate: seen.returning.filter(|_| policy.auto_recovery && !snapshot.pinned).map(Candidate::from),
        switches: switches.into_iter().map(Switch::from).collect(),
    }))
}

async fn switch(
    State(proxy): State<Arc<Proxy>>,
    Body(SwitchTo { to, reason }): Body<SwitchTo>,
) -> Result<Json<Steered>, ApiError> {
    ask(&proxy, Wish::Switch { to, reason }).await
}

async fn auto(State(proxy): State<Arc<Proxy>>) -> Result<Json<Steered>, ApiError> {
    ask(&proxy, Wish::Auto).await
}

async fn failover(
    State(proxy): State<Arc<Proxy>>,
    Body(FailOver { reason }): Body<FailOver>,
) -> Result<Json<Steered>, ApiError> {
    ask(&proxy, Wish::Failover { reason }).await
}

async fn ask(proxy: &Proxy, wish: Wish) -> Result<Json<Steered>, ApiError> {
    let done = proxy.steering.ask(wish).await.map_err(|refusal| refused(&refusal))?;
    let Done { active, from, pinned, released } = done;
    Ok(Json(Steered { active: active.to_string(), from: from.map(|from| from.to_string()), pinned, released }))
}

fn refused(refusal: &Refusal) -> ApiError {
    let (status, code) = match refusal {
        Refusal::Unknown { .. } => (StatusCode::NOT_FOUND, "not-found"),
        Refusal::Empty(_) | Refusal::NoChain => (StatusCode::CONFLICT, "nothing-to-switch-to"),
        Refusal::NoOther => (StatusCode::CONFLICT, "none-ready"),
        Refusal::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    ApiError::new(status, code, refusal.to_string())
}

impl From<Returning> for Candidate {
    fn from(of: Returning) -> Self {
        let Returning { profile, ready, good_probes, needed } = of;
        Self { profile: profile.to_string(), ready, good_checks: good_probes, needed }
    }
}

impl From<switches::Switch> for Switch {
    fn from(of: switches::Switch) -> Self {
        let switches::Switch { at, from, to, cause, reason } = of;
        Self { at: Time(from_unix_ms(at)), from, to, cause, reason }
    }
}
