//! What is said about the health of endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RestingModel, Standing, Time};
use crate::store::endpoints;
use crate::time::from_unix_ms;

/// `GET /v1/health`: how every endpoint of the chain does, by its requests and by its checks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether endpoints are checked at all.
    pub enabled: bool,
    /// Whether health lowers weights.
    pub adjust_weights: bool,
    /// In the order of the chain.
    pub endpoints: Vec<EndpointHealth>,
}

/// How one endpoint does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointHealth {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// In one word.
    pub health: Word,
    /// What it does with requests.
    pub standing: Standing,
    /// When that ends by itself, as far as that is known.
    pub until: Option<Time>,
    /// Why it does not simply admit.
    pub reason: Option<String>,
    /// Models for which its key rests.
    #[serde(default)]
    pub resting_models: Vec<RestingModel>,
    /// What a check does: `auto`, `messages`, `models`, `reachability` or `off`.
    pub probe: String,
    /// Share of its weight that its health leaves it, 0.1 to 1.
    pub factor: f64,
    /// Weight after health and ramp.
    pub effective_weight: f64,
    /// By requests.
    pub requests: Requests,
    /// By checks.
    pub checks: Checks,
}

/// Health in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It admits, and at least 95 of 100 succeed.
    Healthy,
    /// It admits and does worse, has just come back, rests, also for a single model, or is on probation.
    Warning,
    /// It is ejected.
    Unhealthy,
}

/// How its requests went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// Answered well, since it is known.
    pub succeeded: u64,
    /// Failed by the endpoint, since it is known.
    pub failed: u64,
    /// Met a 429.
    pub rate_limited: u64,
    /// Met a refused key.
    pub refused: u64,
    /// Figures of the last hundred; null without any.
    pub recent: Option<Figures>,
}

/// How its checks went.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// All, since it is known.
    pub total: u64,
    /// It did what was asked.
    pub succeeded: u64,
    /// It did not, or could not be reached.
    pub failed: u64,
    /// It took too long.
    pub timed_out: u64,
    /// It answered 429.
    pub rate_limited: u64,
    /// It refused the key.
    pub invalid_key: u64,
    /// It does not serve the model.
    pub model_error: u64,
    /// It said that it has too much to do.
    pub overloaded: u64,
    /// Tokens that checks read.
    pub input_tokens: u64,
    /// Tokens that checks wrote.
    pub output_tokens: u64,
    /// Percent of conversations whose answer held the code it was to repeat.
    pub validity: Option<f64>,
    /// Mean quality of conversations, 0 to 100.
    pub quality: Option<f64>,
    /// Figures of the last hundred; null without any.
    pub recent: Option<Figures>,
    /// The last one.
    pub last: Option<Check>,
}

/// Figures of the last hundred requests or checks; rate, scores and mean of the last twenty.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Percent that went well.
    pub success_rate: f64,
    /// Health score, 0 to 100; from 70 on the endpoint has its whole weight.
    pub score: f64,
    /// How steadily it answers, 0 to 100.
    pub stability: f64,
    /// Good ones in a row, up to now.
    pub consecutive_successes: u32,
    /// Bad ones in a row, up to now.
    pub consecutive_failures: u32,
    /// Mean time of the good ones, in milliseconds. Of requests: to their first byte.
    pub average_ms: Option<u64>,
    /// Half took no longer.
    pub p50_ms: Option<u64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<u64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<u64>,
}

/// One check.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// When it ended.
    pub at: Time,
    /// `messages`, `models` or `reachability`.
    pub kind: String,
    /// `success`, `failure`, `timeout`, `rate_limited`, `invalid_key`, `model_error` or `overloaded`.
    pub result: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Quality of the answer of a conversation, 0 to 100.
    pub quality: Option<u8>,
    /// Whether the answer held the code it was to repeat.
    pub valid: Option<bool>,
    /// What went wrong; empty if nothing did.
    pub detail: String,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Query of `GET /v1/health/days`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DaysQuery {
    /// `PROFILE/ID`, or `ID` where only one is called so. Default: all that there is something of.
    pub endpoint: Option<String>,
    /// How many days, today included, at most 400. Default: 7.
    pub n: Option<u32>,
}

/// `GET /v1/health/days`: what endpoints did, by the day.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Days {
    /// By day and name, the oldest first; what was done within the last ten seconds may be missing.
    pub days: Vec<Day>,
}

/// What one endpoint did on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Day {
    /// Such as `2026-07-01`, in UTC.
    pub day: String,
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// Requests answered well.
    pub succeeded: u64,
    /// Requests failed by the endpoint.
    pub failed: u64,
    /// Requests that met a 429.
    pub rate_limited: u64,
    /// Requests that met a refused key.
    pub refused: u64,
    /// Mean time to the first byte of those answered well, in milliseconds; null without any.
    pub average_ms: Option<u64>,
    /// Tokens that requests read.
    pub input_tokens: u64,
    /// Tokens that requests wrote.
    pub output_tokens: u64,
    /// Checks.
    pub checks: u64,
    /// Those that went well.
    pub checks_succeeded: u64,
    /// Tokens that checks read.
    pub check_input_tokens: u64,
    /// Tokens that checks wrote.
    pub check_output_tokens: u64,
}

impl From<endpoints::Day> for Day {
    fn from(of: endpoints::Day) -> Self {
        let endpoints::Day { endpoint, day, numbers } = of;
        let midnight = humantime::format_rfc3339_seconds(from_unix_ms(day * 86_400_000)).to_string();
        Self {
            day: midnight.split('T').next().unwrap_or_default().to_owned(),
            endpoint,
            succeeded: numbers.succeeded,
            failed: numbers.failed,
            rate_limited: numbers.rate_limited,
            refused: numbers.refused,
            average_ms: numbers.first_byte_ms.checked_div(numbers.succeeded),
            input_tokens: numbers.input_tokens,
            output_tokens: numbers.output_tokens,
            checks: numbers.checks.iter().sum(),
            checks_succeeded: numbers.checks[0],
            check_input_tokens: numbers.check_input_tokens,
            check_output_tokens: numbers.check_output_tokens,
        }
    }
}

/// Query of `GET /v1/health/history`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HistoryQuery {
    /// `PROFILE/ID`, or `ID` where only one is called so.
    pub endpoint: String,
    /// How many checks to tell, at most 100. Default: 20.
    pub n: Option<u32>,
}

/// `GET /v1/health/history`: the last checks of an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// The newest first.
    pub checks: Vec<Check>,
}

/// Body of `POST /v1/health/check`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckNow {
    /// `PROFILE/ID`, or `ID` where only one is called so. Default: all of the chain.
    pub endpoint: Option<String>,
}

/// What came of the checks that were asked for, by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckedNow {
    /// One for every endpoint.
    pub results: Vec<CheckedEndpoint>,
}

/// What came of one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckedEndpoint {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// The check; null if there was none.
    pub check: Option<Check>,
    /// Why there was none.
    pub skipped: Option<String>,
}
