//! What the API says and takes, for those who serve it and those who ask it.
//!
//! Times are RFC 3339 in UTC, durations and counts are numbers with their unit in the name. What is not known is `null`.

pub mod explain;
pub mod failover;
pub mod health;
pub mod queue;

use std::borrow::Cow;
use std::time::SystemTime;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::model::{Strategy, Tier};
use crate::snapshot::reload;
use crate::upstream::reset::Forgotten;

/// A point in time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// An error of any route.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of qcc.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started to serve.
    pub started: Time,
    /// The file.
    pub config: String,
    /// The id of its instance.
    pub instance: String,
    /// The directory of its state.
    pub state_dir: String,
    /// Its log file, if it logs to one.
    pub log: Option<String>,
    /// Where it listens.
    pub listen: Vec<String>,
    /// The admin listener, if there is one.
    pub admin: Option<AdminListener>,
    /// What it is doing.
    pub phase: Phase,
    /// The running configuration.
    pub reload: Reload,
    /// The profile asked first.
    pub active: Option<String>,
    /// The chain: by tier, then in file order.
    pub profiles: Vec<Profile>,
    /// Profiles without a tier, which take no traffic, in file order.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Client connections.
    pub connections: u64,
    /// Whether state lasts.
    pub state: StoreState,
}

/// The admin listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdminListener {
    /// Where it listens, such as `http://127.0.0.1:7861`.
    pub listen: String,
    /// The file that holds its token.
    pub token_file: String,
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Serving.
    Serving,
    /// Finishing what is in progress.
    Draining,
}

/// The running configuration, and how the last save went.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reload {
    /// Counts accepted files, from 1.
    pub generation: u64,
    /// Counts publications: files, switches, keys that changed.
    pub epoch: u64,
    /// SHA-256 of the file that runs, in hex.
    pub sha256: String,
    /// When it was accepted.
    pub accepted: Time,
    /// How changes are noticed: `events` or `polling`.
    pub source: String,
    /// Keys whose new value waits for a restart.
    pub restart_required: Vec<String>,
    /// The last save, if it was not accepted.
    pub rejected: Option<Rejection>,
    /// The kept revision that runs because the file was not valid at the start.
    pub last_good: Option<u64>,
}

/// A save that was not accepted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// When it was read.
    pub at: Time,
    /// How many of the diagnostics are errors.
    pub errors: usize,
    /// Everything wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// The same as `qcc validate` prints it.
    pub report: String,
}

/// One thing wrong with a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// Stable name of the rule.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the document; empty for the whole file.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl From<&reload::Rejection> for Rejection {
    fn from(rejection: &reload::Rejection) -> Self {
        let diagnostics = rejection.diagnostics.iter().map(|diagnostic| Diagnostic {
            severity: diagnostic.severity.as_str().to_owned(),
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            path: diagnostic.path.clone(),
            line: diagnostic.line,
            column: diagnostic.column,
        });
        let (at, report) = (Time(rejection.at), rejection.report.clone());
        Self { at, errors: rejection.errors, diagnostics: diagnostics.collect(), report }
    }
}

/// A profile of the chain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its place in the chain.
    pub tier: Tier,
    /// Whether it is asked first.
    pub active: bool,
    /// How endpoints of one priority share requests.
    pub strategy: Strategy,
    /// Its enabled endpoints, best priority first.
    pub endpoints: Vec<Endpoint>,
    /// Ids of those that are disabled in the file.
    #[serde(default)]
    pub disabled: Vec<String>,
}

/// A profile that takes no traffic.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Ids of its endpoints.
    pub endpoints: Vec<String>,
}

/// An endpoint, and how it is doing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Its id in the profile.
    pub id: String,
    /// Its address.
    pub base_url: String,
    /// Lower is asked first.
    pub priority: u32,
    /// Configured weight.
    pub weight: u32,
    /// Weight after health and ramp.
    pub effective_weight: f64,
    /// What it does with requests.
    pub standing: Standing,
    /// When that ends by itself, as far as that is known.
    pub until: Option<Time>,
    /// Why it does not simply admit.
    pub reason: Option<String>,
    /// Models it takes no requests for now.
    pub resting_models: Vec<RestingModel>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Requests of the last minute.
    pub last_minute: LastMinute,
    /// Requests since it is known.
    pub total: Totals,
    /// What went wrong last.
    pub last_error: Option<LastError>,
}

/// What an endpoint does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes them.
    Admitting,
    /// It, or its key, asked to be left alone for a time.
    Resting,
    /// One at a time decides whether it comes back.
    OnProbation,
    /// It is out of rotation.
    Ejected,
}

impl Standing {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitting => "admitting",
            Self::Resting => "resting",
            Self::OnProbation => "on_probation",
            Self::Ejected => "ejected",
        }
    }
}

/// A model an endpoint takes no requests for now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RestingModel {
    /// The model, as the endpoint knows it.
    pub model: String,
    /// Until when.
    pub until: Time,
}

/// Requests of the last minute.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LastMinute {
    /// Answered well.
    pub succeeded: u64,
    /// Failed by the endpoint.
    pub failed: u64,
}

/// Requests since an endpoint is known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Answered well.
    pub succeeded: u64,
    /// Failed by the endpoint.
    pub failed: u64,
    /// Met a 429.
    pub rate_limited: u64,
    /// Met a refused key.
    pub refused: u64,
    /// Tokens read, those of the prompt cache included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// What went wrong at an endpoint last.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LastError {
    /// What.
    pub message: String,
    /// When.
    pub at: Time,
}

/// Whether state lasts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoreState {
    /// Where it is kept.
    pub standing: StoreStanding,
    /// Why it does not last.
    pub reason: Option<String>,
    /// Since when it is read-only.
    pub since: Option<Time>,
    /// Records that were lost.
    pub lost: u64,
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreStanding {
    /// On disk.
    Good,
    /// In memory: it ends with the process.
    Memory,
    /// On disk, and can no longer be written.
    ReadOnly,
}

/// Query of `GET /v1/verdict`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerdictQuery {
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// How many seconds to wait for it, at most 60. Default: 0.
    #[serde(default)]
    pub wait: f64,
    /// Milliseconds since 1970: what became of it before does not count, unless it still runs. Default: 0.
    #[serde(default)]
    pub since: u64,
}

/// `GET /v1/verdict`: what became of a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is, or was, live.
    Accepted {
        /// The generation it became.
        generation: u64,
        /// Keys whose new value waits for a restart.
        restart_required: Vec<String>,
    },
    /// It was not taken; the file before it goes on serving.
    Rejected {
        /// Why.
        rejection: Rejection,
    },
    /// It was not read yet, or long ago.
    Pending,
}

/// `POST /v1/stop`: it stops.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stopping {
    /// Requests that are finished first.
    pub in_flight: u64,
}

/// Body of `POST /v1/endpoints/reset`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// `PROFILE/ID`, or `ID` where only one is called so.
    pub endpoint: String,
}

/// An endpoint about which everything bad was forgotten.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WasReset {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// Whether it was out of rotation or on probation.
    pub was_out: bool,
    /// Whether its key was refused before.
    pub key_was_dead: bool,
    /// Whether its key, or a client at it, rested.
    #[serde(default)]
    pub key_rested: bool,
    /// Models it took no requests for.
    #[serde(default)]
    pub models: Vec<String>,
}

impl WasReset {
    /// What was forgotten of `endpoint`.
    pub fn of(endpoint: String, forgotten: Forgotten) -> Self {
        let Forgotten { was_out, key_was_dead, key_rested, models } = forgotten;
        Self { endpoint, was_out, key_was_dead, key_rested, models }
    }
}
