//! `/v1/health`: how endpoints do by their requests and checks, and checks by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;

use super::endpoints::find;
use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::error::ApiError;
use crate::admin::extract::{Body, Params};
use crate::admin::standing::{Place, place};
use crate::admin::view::health::{
    Check, CheckNow, CheckedEndpoint, CheckedNow, Checks, Day, Days, DaysQuery, EndpointHealth, Figures, Health,
    History, HistoryQuery, Requests, Word,
};
use crate::admin::view::{Standing, Time};
use crate::health::check::{self, Class, kind_word};
use crate::health::record::{Record, Times};
use crate::health::records::Records;
use crate::health::request::Checked;
use crate::health::score::{Score, current};
use crate::snapshot::Snapshot;
use crate::store::endpoints;
use crate::time::{Clocks, unix_ms};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::sample::Sample;
use crate::upstream::weight::effective_weight;

/// Checks told without being asked for a number.
const TOLD: u32 = 20;
/// Days told without being asked for a number.
const DAYS_TOLD: u32 = 7;
/// As many as are kept.
const DAYS_MOST: u32 = 400;
/// At least so many percent succeed where all is well.
const WELL: f64 = 95.0;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    table
        .get::<Health, _, _>("/v1/health", "How every endpoint does, by requests and by checks.", show)
        .ask::<DaysQuery, Days, _, _>("/v1/health/days", "What endpoints did, by the day.", days)
        .ask::<HistoryQuery, History, _, _>("/v1/health/history", "The last checks of an endpoint.", history)
        .post::<CheckNow, CheckedNow, _, _>("/v1/health/check", "Checks endpoints now, and waits for it.", check_now)
}

async fn show(State(proxy): State<Arc<Proxy>>) -> Json<Health> {
    Json(of_all(&proxy.cell.load(), &proxy.records, Clocks::now()))
}

/// How all endpoints do.
pub(in crate::admin) fn of_all(snapshot: &Snapshot, records: &Records, clocks: Clocks) -> Health {
    let health = |endpoint: &Arc<Endpoint>| {
        let record = records.of(&endpoint.id).unwrap_or_default();
        of(endpoint, &record, snapshot, clocks)
    };
    Health {
        enabled: snapshot.config.health.enabled,
        adjust_weights: snapshot.config.health.adjust_weights,
        endpoints: snapshot.endpoints().map(health).collect(),
    }
}

fn of(endpoint: &Endpoint, record: &Record, snapshot: &Snapshot, clocks: Clocks) -> EndpointHealth {
    let Place { standing, until, reason, resting_models } = place(endpoint, clocks);
    let (samples, checked) = (endpoint.state.samples(), record.samples(clocks));
    let (requests, checks) = (figures(&samples), figures(&checked));
    let rate = Score::of(current(&samples, &checked, clocks.moment)).map(|score| score.success);
    let partly = endpoint.state.ramp(clocks.moment) < 1.0 || !resting_models.is_empty();
    EndpointHealth {
        endpoint: endpoint.id.to_string(),
        health: word(standing, partly, rate),
        standing,
        until,
        reason,
        resting_models,
        probe: kind_word(snapshot.config.health.kind_for(&endpoint.health)).to_owned(),
        factor: endpoint.state.health().into(),
        effective_weight: effective_weight(endpoint, clocks.moment),
        requests: by_requests(endpoint, requests),
        checks: by_checks(record, checks),
    }
}

/// Health in one word; `rate` is the percentage that succeeds. It may serve `partly`: while its weight ramps up, or a model
/// rests.
fn word(standing: Standing, partly: bool, rate: Option<f64>) -> Word {
    match standing {
        Standing::Ejected => Word::Unhealthy,
        Standing::Admitting if !partly && rate.is_none_or(|rate| rate >= WELL) => Word::Healthy,
        _ => Word::Warning,
    }
}

fn by_requests(endpoint: &Endpoint, recent: Option<Figures>) -> Requests {
    let counts = endpoint.state.counts();
    Requests {
        succeeded: counts.succeeded,
        failed: counts.failed,
        rate_limited: counts.rate_limited,
        refused: counts.refused,
        recent,
    }
}

fn by_checks(record: &Record, recent: Option<Figures>) -> Checks {
    let totals = record.totals();
    Checks {
        total: totals.all(),
        succeeded: totals.of(Class::Success),
        failed: totals.of(Class::Failure),
        timed_out: totals.of(Class::Timeout),
        rate_limited: totals.of(Class::RateLimited),
        invalid_key: totals.of(Class::InvalidKey),
        model_error: totals.of(Class::ModelError),
        overloaded: totals.of(Class::Overloaded),
        input_tokens: totals.tokens.input + totals.tokens.cache_read + totals.tokens.cache_write,
        output_tokens: totals.tokens.output,
        validity: record.validity(),
        quality: record.quality(),
        recent,
        last: record.last().map(Check::from),
    }
}

fn figures(samples: &[Sample]) -> Option<Figures> {
    let score = Score::of(samples)?;
    let times = Times::of(samples.iter().filter(|sample| sample.good).map(|sample| sample.took));
    Some(Figures {
        success_rate: score.success,
        score: score.health,
        stability: score.stability,
        consecutive_successes: score.successes,
        consecutive_failures: score.failures,
        average_ms: times.map(|_| millis(Duration::from_secs_f64(score.mean_ms / 1000.0))),
        p50_ms: times.map(|times| times.p50),
        p95_ms: times.map(|times| times.p95),
        p99_ms: times.map(|times| times.p99),
    })
}

async fn history(
    State(proxy): State<Arc<Proxy>>,
    Params(HistoryQuery { endpoint, n }): Params<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let snapshot = proxy.cell.load();
    let found = find(&snapshot, &endpoint)?;
    let record = proxy.records.of(&found.id).unwrap_or_default();
    let count = usize::try_from(n.unwrap_or(TOLD)).unwrap_or(usize::MAX);
    let checks = record.checks().rev().take(count).map(Check::from).collect();
    Ok(Json(History { endpoint: found.id.to_string(), checks }))
}

/// Endpoints that are gone are found by their whole name.
async fn days(
    State(proxy): State<Arc<Proxy>>,
    Params(DaysQuery { endpoint, n }): Params<DaysQuery>,
) -> Result<Json<Days>, ApiError> {
    let snapshot = proxy.cell.load();
    let name = endpoint.map(|name| find(&snapshot, &name).map_or(name, |found| found.id.to_string()));
    let from = first_day(n.unwrap_or(DAYS_TOLD));
    let found = proxy.store.read(move |view| endpoints::days(view, from)).await;
    let found = found.map_err(|why| ApiError::unreadable(&why))?.into_iter();
    let wanted = found.filter(|day| name.as_ref().is_none_or(|name| day.endpoint == *name));
    Ok(Json(Days { days: wanted.map(Day::from).collect() }))
}

/// The first of the last `count` days, today included.
pub(in crate::admin) fn first_day(count: u32) -> i64 {
    endpoints::day(unix_ms(SystemTime::now())) - i64::from(count.clamp(1, DAYS_MOST)) + 1
}

/// Waits for the checks, which end by themselves.
async fn check_now(
    State(proxy): State<Arc<Proxy>>,
    Body(CheckNow { endpoint }): Body<CheckNow>,
) -> Result<Json<CheckedNow>, ApiError> {
    let snapshot = proxy.cell.load();
    let ids: Vec<EndpointId> = match endpoint {
        Some(name) => vec![find(&snapshot, &name)?.id.clone()],
        None => snapshot.endpoints().map(|endpoint| endpoint.id.clone()).collect(),
    };
    let mut results = proxy.checks.check(ids).await;
    results.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    Ok(Json(CheckedNow { results: results.into_iter().map(CheckedEndpoint::from).collect() }))
}

impl From<Checked> for CheckedEndpoint {
    fn from(Checked { endpoint, result }: Checked) -> Self {
        let (check, skipped) = match &result {
            Ok(check) => (Some(Check::from(check)), None),
            Err(why) => (None, Some((*why).to_owned())),
        };
        Self { endpoint: endpoint.to_string(), check, skipped }
    }
}

impl From<&check::Check> for Check {
    fn from(of: &check::Check) -> Self {
        Self {
            at: Time(of.at),
            kind: kind_word(of.kind).to_owned(),
            result: of.class.as_str().to_owned(),
            took_ms: millis(of.took),
            quality: of.quality,
            valid: of.valid,
            detail: of.detail.to_string(),
            input_tokens: of.tokens.input + of.tokens.cache_read + of.tokens.cache_write,
            output_tokens: of.tokens.output,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_one_of_three_words() {
        for (standing, partly, rate, expected) in [
            (Standing::Admitting, false, None, Word::Healthy),
            (Standing::Admitting, false, Some(95.0), Word::Healthy),
            (Standing::Admitting, false, Some(94.9), Word::Warning),
            (Standing::Admitting, true, Some(100.0), Word::Warning),
            (Standing::Resting, false, None, Word::Warning),
            (Standing::OnProbation, false, None, Word::Warning),
            (Standing::Ejected, false, Some(100.0), Word::Unhealthy),
        ] {
            assert_eq!(word(standing, partly, rate), expected);
        }
    }
}
