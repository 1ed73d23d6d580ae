//! The numbers of `qcc.yaml` that steer decisions: limits, waits, thresholds. Part of [`super::model`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Dur, Percent, Size};

/// What callers may take of the proxy. Hit limits are reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body; larger ones are refused with 413.
    pub request_body: Size,
    /// Requests in progress at once, 1 to 1,000,000; one more waits up to 1 s, then gets 503.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub in_flight: u32,
    /// Open client connections, 1 to 1,000,000; beyond it no connection is accepted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: u32,
    /// Memory for request bodies, all requests together.
    pub buffered: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_body: Size::mib(32), in_flight: 1024, connections: 4096, buffered: Size::mib(256) }
    }
}

/// How long the proxy waits for a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTimeouts {
    /// From the first byte of a request to the end of its head.
    pub header: Dur,
    /// Between two pieces of a request body.
    pub body_idle: Dur,
    /// How long an unused connection stays open.
    pub keep_alive: Dur,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        Self { header: Dur::secs(10), body_idle: Dur::secs(30), keep_alive: Dur::secs(60) }
    }
}

/// How long the proxy waits for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Dur,
    /// Until a stream's answer begins.
    pub first_byte: Dur,
    /// Until the answer of a call without streaming begins; such calls are silent until done.
    pub first_byte_unary: Dur,
    /// Between two pieces of an answer.
    pub idle: Dur,
    /// From the acceptance of a request to the first byte sent to the client, all attempts and waiting together.
    pub request: Dur,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Dur::secs(5),
            first_byte: Dur::secs(60),
            first_byte_unary: Dur::secs(280),
            idle: Dur::secs(240),
            request: Dur::secs(285),
        }
    }
}

/// Waits of one endpoint that differ from the global ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsOverride {
    /// Until a connection stands, TLS included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Dur>,
    /// Until a stream's answer begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Dur>,
    /// Until the answer of a call without streaming begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_unary: Option<Dur>,
    /// Between two pieces of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Dur>,
}

/// Whether a conversation stays on its endpoint, where its prompt cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// What makes two requests one conversation.
    pub by: AffinityBy,
    /// How long after its last request a conversation is remembered.
    pub ttl: Dur,
}

impl Default for Affinity {
    fn default() -> Self {
        Self { by: AffinityBy::Session, ttl: Dur::secs(300) }
    }
}

/// What makes two requests one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AffinityBy {
    /// The session id the client sends.
    #[default]
    Session,
    /// Nothing: every request is picked anew.
    None,
}

/// When another profile becomes the active one, and when the better one returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Failover {
    /// Whether requests spill to other profiles of the chain and the active profile changes by itself.
    pub auto_failover: bool,
    /// Whether the better profile becomes active again by itself.
    pub auto_recovery: bool,
    /// Failures in a row that eject an endpoint, and failed or spilled requests in a row that switch the profile. 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: u32,
    /// Least time between a switch and the next recovery.
    pub cooldown: Dur,
}

impl Default for Failover {
    fn default() -> Self {
        Self { auto_failover: true, auto_recovery: true, failure_threshold: 3, cooldown: Dur::secs(300) }
    }
}

/// How often one request may be tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts of one request, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: u32,
    /// Repeats on endpoints already tried, as a share of the requests of the last 10 s (at least 3 at once).
    pub budget: Percent,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 16, budget: Percent(20.0) }
    }
}

/// Active checks of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Whether endpoints are checked at all.
    pub enabled: bool,
    /// Time between checks of an endpoint that admits, at least 50ms. Conversations below 10s draw a warning.
    pub interval: Dur,
    /// Time between checks of an endpoint that is to come back, at least 50ms. Conversations below 10s draw a warning.
    pub recovery_interval: Dur,
    /// How long a check may take.
    pub timeout: Dur,
    /// What a check does.
    pub probe: ProbeKind,
    /// Model asked by a conversation check, before the endpoint's `models` map.
    #[schemars(length(min = 1))]
    pub model: String,
    /// Prompt of a conversation check; `{nonce}` stands for the code to repeat. Default: a short one of qcc's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Whether the health score lowers an endpoint's effective weight.
    pub adjust_weights: bool,
    /// Checks before the score counts, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub min_checks: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Dur::secs(60),
            recovery_interval: Dur::secs(10),
            timeout: Dur::secs(30),
            probe: ProbeKind::Auto,
            model: "claude-haiku-4-5".to_owned(),
            prompt: None,
            adjust_weights: true,
            min_checks: 3,
        }
    }
}

impl Health {
    /// What a check of an endpoint with these settings of its own does; `off` where it is not checked.
    pub fn kind_for(&self, own: &HealthOverride) -> ProbeKind {
        if own.enabled.unwrap_or(self.enabled) { own.probe.unwrap_or(self.probe) } else { ProbeKind::Off }
    }
}

/// Checks of one endpoint that differ from the global ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOverride {
    /// Whether the endpoint is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between checks while it admits, at least 50ms. Conversations below 10s draw a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Dur>,
    /// How long a check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Dur>,
    /// What a check does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeKind>,
    /// Model asked by a conversation check.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
}

/// What a check does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Nothing while traffic tells; reachability when idle; a conversation when ejected or coming back.
    #[default]
    Auto,
    /// Always a small conversation with a code to repeat.
    Messages,
    /// The list of models.
    Models,
    /// Whether a connection can be made.
    Reachability,
    /// No checks.
    Off,
}

/// What happens to requests while nothing can serve them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Whether requests that still failed are stored and tried again.
    pub enabled: bool,
    /// How long a request waits for an endpoint that is expected back; `0s` does not wait.
    pub hold: Dur,
    /// Open held streams with `200` and pings after 25 s, for networks whose middle boxes time out.
    pub hold_pings: bool,
    /// When a stored request is tried again.
    pub strategy: QueueStrategy,
    /// First (exponential) or every (fixed) pause.
    pub base: Dur,
    /// Longest pause.
    pub max_delay: Dur,
    /// Retries before a stored request is given up, 0 to 1000.
    #[schemars(range(min = 0, max = 1000))]
    pub max_retries: u32,
    /// Stored requests, 1 to 1,000,000; more are refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_entries: u32,
    /// Bytes of stored requests; more are refused.
    pub max_bytes: Size,
    /// How long answers and given-up requests are kept.
    pub keep: Dur,
    /// Whether a re-sent request gets the answer of its stored twin.
    pub reuse: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            enabled: true,
            hold: Dur::secs(30),
            hold_pings: false,
            strategy: QueueStrategy::Exponential,
            base: Dur::secs(5),
            max_delay: Dur::secs(300),
            max_retries: 5,
            max_entries: 1000,
            max_bytes: Size::mib(256),
            keep: Dur::secs(24 * 3600),
            reuse: true,
        }
    }
}

/// When a stored request is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueStrategy {
    /// After `base`, then twice as long each time, up to `max_delay`.
    #[default]
    Exponential,
    /// Every `base`.
    Fixed,
    /// At once.
    Immediate,
}

/// What the proxy logs, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least level that is logged.
    pub level: LogLevel,
    /// How lines are written.
    pub format: LogFormat,
    /// Size at which the log file of a proxy in the background is put aside and a new one begun.
    pub max_bytes: Size,
    /// How many files put aside are kept, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_files: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::default(), format: LogFormat::default(), max_bytes: Size::mib(10), max_files: 5 }
    }
}

/// Level of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may soon fail.
    Warn,
    /// Requests, reloads, switches.
    #[default]
    Info,
    /// Attempts and connections.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word used in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
