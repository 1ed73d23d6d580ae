//! The shape of `qcc.yaml`: what a person writes. Names, defaults, units and ranges live here and nowhere else;
//! `schema/qcc.schema.json` is generated from these types.
//!
//! What the proxy runs is another shape (`snapshot`), built from this one by `snapshot::build`.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::policy::{Affinity, AffinityBy, Failover, Health, HealthOverride, Limits, Log, LogFormat, LogLevel};
pub use super::policy::{ProbeKind, Queue, QueueStrategy, Retry, ServerTimeouts, Timeouts, TimeoutsOverride};
use super::secret::SecretSpec;
pub use super::server::{Admin, ClientSpec, Listen, Server, ServerTls};

/// A whole `qcc.yaml`: who may answer, and what happens when they fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "qcc.yaml")]
pub struct Config {
    /// Version of the format; 1 is the only one so far.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Where qcc listens, who may call, and what a caller may take.
    pub server: Server,
    /// The JSON API and `/metrics` over TCP, guarded by a token. Without it there is only the private control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// Named sets of endpoints. Profiles with a tier form the chain that serves traffic: by tier, then in file order.
    #[schemars(extend("propertyNames" = {
        "pattern": r"^[^\s/\[\]]+$",
        "patternErrorMessage": "a name has no spaces, `/`, `[` or `]`"
    }))]
    pub profiles: IndexMap<String, ProfileSpec>,
    /// Profile that `qcc use` and `qcc run` take when none is named. Never a rule for traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// When another profile becomes the active one, and when the better one returns.
    pub failover: Failover,
    /// How often one request may be tried.
    pub retry: Retry,
    /// How long the proxy waits for an endpoint.
    pub timeouts: Timeouts,
    /// Active checks of the endpoints.
    pub health: Health,
    /// What happens to requests while nothing can serve them.
    pub queue: Queue,
    /// What the proxy logs, and how.
    pub log: Log,
    /// Who is told about events, by webhook or command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    /// Where runtime state is kept.
    pub state: State,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: 1,
            server: Server::default(),
            admin: None,
            profiles: IndexMap::new(),
            default: None,
            failover: Failover::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            health: Health::default(),
            queue: Queue::default(),
            log: Log::default(),
            notify: Vec::new(),
            state: State::default(),
        }
    }
}

/// Position of a profile in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Serves traffic while it can.
    Primary,
    /// Serves what primary cannot.
    Secondary,
    /// Serves what neither of the others can.
    Fallback,
}

impl Tier {
    /// The word used in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Fallback => "fallback",
        }
    }
}

/// How a profile picks among the endpoints of its best priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// In proportion to the effective weights, evenly interleaved.
    #[default]
    Weighted,
    /// Each in turn, whatever the weights.
    RoundRobin,
    /// At random, in proportion to the effective weights.
    Random,
    /// Of two at random, the one with fewer requests in flight for its weight.
    LeastRequests,
    /// Of two at random, the one expected to answer sooner.
    Latency,
    /// Always the first that admits, in the order of priority and then of the file; never shares.
    Priority,
}

/// A named set of endpoints. Give `endpoints`, or `base_url` and `api_key` directly for a single endpoint named like the profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSpec {
    /// What the profile is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Place in the chain. Without a tier the profile takes no traffic; it is a source for `endpoint add -f` and `qcc use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// How endpoints of the best priority share requests.
    #[serde(default)]
    pub strategy: Strategy,
    /// Whether a conversation stays on its endpoint.
    #[serde(default)]
    pub affinity: Affinity,
    /// Who can answer for this profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointSpec>,
    /// The shorthand: the fields of one endpoint, written at the profile itself.
    #[serde(flatten)]
    pub shorthand: Option<Box<EndpointFields>>,
}

/// One place that can answer: an address, a credential, and how much it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSpec {
    /// Name, unique in its profile; elsewhere written `PROFILE/ID`, or `ID` where that is unambiguous.
    #[schemars(
        regex(pattern = r"^[^\s/\[\]]+$"),
        extend("patternErrorMessage" = "a name has no spaces, `/`, `[` or `]`", "examples" = ["work"])
    )]
    pub id: String,
    /// Everything else.
    #[serde(flatten)]
    pub fields: EndpointFields,
}

/// What is said of an endpoint besides its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointFields {
    /// Address of the API without `/v1`, for example `https://api.anthropic.com`. A path prefix is kept.
    #[schemars(length(min = 1), example = "https://api.anthropic.com")]
    pub base_url: String,
    /// The credential sent upstream: a reference (`env`, `file`, `command`), or a literal, which is warned about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSpec>,
    /// The header that carries the credential.
    #[serde(default)]
    pub auth: Auth,
    /// Share of requests relative to the other endpoints of the same priority, 0 to 1,000,000. 0: only when no other admits.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: u32,
    /// Lower first: a strategy works within the best priority that admits. 0 to 1000.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u32,
    /// Model names to replace: exact name or prefix with a final `*`, to the name this endpoint knows. An exact name wins, then the longest prefix.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{ "claude-haiku-*": "glm-4.5-air", "claude-*": "glm-5.1" }]))]
    pub models: IndexMap<String, String>,
    /// Waits that differ from the global `timeouts`.
    #[serde(default)]
    pub timeouts: TimeoutsOverride,
    /// Whether it takes part at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// PEM file with the certificates to trust for this endpoint instead of the system's, relative to qcc.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Certificate and key shown to the endpoint (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<ServerTls>,
    /// Proxy to reach it through: `http://HOST:PORT`, `socks5://HOST:PORT`, or `none` to ignore the proxy variables of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^(none|(https?|socks5h?)://.+)$"),
        extend("patternErrorMessage" = "write `http://HOST:PORT`, `socks5://HOST:PORT` or `none`")
    )]
    pub proxy: Option<String>,
    /// Headers added to every request, replacing the client's header of the same name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Allow `http://` to an address that is not loopback: key and prompts travel in clear.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Requests it may have in flight at once; more go to the next endpoint. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_in_flight: Option<u32>,
    /// Active checks that differ from the global `health`.
    #[serde(default)]
    pub health: HealthOverride,
    /// Overrides `failover.failure_threshold` for this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_failures: Option<u32>,
    /// Provider group: a conversation changes group only when its group cannot serve. Default: the host of `base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub group: Option<String>,
}

/// The header that carries an endpoint's credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Auth {
    /// `x-api-key: KEY`.
    #[default]
    #[serde(rename = "x-api-key")]
    XApiKey,
    /// `Authorization: Bearer KEY`.
    #[serde(rename = "bearer")]
    Bearer,
    /// The client's own credential, untouched. Clients then authenticate to qcc by `qcc-token`.
    #[serde(rename = "passthrough")]
    Passthrough,
}

/// Who is told about what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The events to tell about.
    #[schemars(length(min = 1))]
    pub on: Vec<NotifyEvent>,
    /// URL that receives the event as JSON by POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://.+$"), extend("patternErrorMessage" = "write a URL that begins with https://"))]
    pub webhook: Option<String>,
    /// Headers sent with a webhook, each a reference to a secret or a text: `Authorization: { env: HOOK_AUTHORIZATION }`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, SecretSpec>,
    /// Program and arguments; receives the event as JSON on standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
}

/// An event that can be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// Another profile became active.
    Switch,
    /// An endpoint was taken out.
    Ejection,
    /// A key was refused.
    DeadKey,
    /// An endpoint came back.
    Recovery,
    /// A saved file was not accepted.
    RejectedReload,
    /// A queued request was answered.
    QueueDone,
    /// A queued request was given up.
    QueueDead,
}

impl NotifyEvent {
    /// The word used in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Ejection => "ejection",
            Self::DeadKey => "dead_key",
            Self::Recovery => "recovery",
            Self::RejectedReload => "rejected_reload",
            Self::QueueDone => "queue_done",
            Self::QueueDead => "queue_dead",
        }
    }
}

/// Where runtime state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the state, relative to qcc.yaml. Default: `QCC_STATE_DIR`, else `$XDG_STATE_HOME/qcc/<id>/`. A change needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

const fn default_weight() -> u32 {
    100
}

const fn default_priority() -> u32 {
    1
}

const fn yes() -> bool {
    true
}
