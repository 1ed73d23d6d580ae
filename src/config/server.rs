//! The downstream side of `qcc.yaml`: where qcc listens, who may call. Part of [`super::model`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{Limits, ServerTimeouts};
use super::secret::SecretSpec;
use super::units::Dur;

/// Shape of a listening address.
const ADDRESS: &str = r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+|localhost):[0-9]{1,5}$";
/// The same in words.
const ADDRESS_HELP: &str = "write `IP:PORT` or `localhost:PORT`, for example `127.0.0.1:7860` or `[::1]:7860`";

/// The downstream side: listeners, clients, limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address or list of addresses, `IP:PORT` or `localhost:PORT`. A change needs a restart.
    pub listen: Listen,
    /// Serve HTTPS with this certificate. A change of the paths needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Further names accepted in the `Host` header, besides loopback names and the listening addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Who may call. Without it, anyone who reaches a loopback listener may, with any credential; other listeners need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Vec<ClientSpec>>,
    /// What callers may take of the proxy.
    pub limits: Limits,
    /// How long the proxy waits for a caller.
    pub timeouts: ServerTimeouts,
    /// How long running requests may take to finish when the proxy is told to stop.
    pub drain: Dur,
    /// Worker threads, 1 to 64. Default: one per core, at most 4. A change needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: Option<u32>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            tls: None,
            hosts: Vec::new(),
            clients: None,
            limits: Limits::default(),
            timeouts: ServerTimeouts::default(),
            drain: Dur::secs(300),
            workers: None,
        }
    }
}

/// One listening address, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Listen {
    /// `127.0.0.1:7860`
    One(#[schemars(regex(pattern = ADDRESS), extend("patternErrorMessage" = ADDRESS_HELP))] String),
    /// `[127.0.0.1:7860, "[::1]:7860"]`
    Many(
        #[schemars(
            length(min = 1),
            extend("items" = { "type": "string", "pattern": ADDRESS, "patternErrorMessage": ADDRESS_HELP })
        )]
        Vec<String>,
    ),
}

impl Listen {
    /// The addresses as written.
    pub fn addresses(&self) -> &[String] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::One("127.0.0.1:7860".to_owned())
    }
}

/// Certificate and key of the listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate chain, relative to qcc.yaml.
    #[schemars(length(min = 1))]
    pub cert: PathBuf,
    /// The private key in PEM, usually `{ file: server.key }`.
    pub key: SecretSpec,
}

/// Someone who may call, known by a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSpec {
    /// Name shown in the log and in statistics; unique.
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        extend("patternErrorMessage" = "use ASCII letters, digits, `.`, `_` and `-`; begin with a letter or digit")
    )]
    pub name: String,
    /// Token the client sends as `x-api-key`, `Authorization: Bearer`, or `qcc-token`.
    pub token: SecretSpec,
}

/// The optional admin listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address of the admin listener on this machine, `127.0.0.1:PORT`. A change needs a restart.
    #[schemars(regex(pattern = ADDRESS), extend("patternErrorMessage" = ADDRESS_HELP, "examples" = ["127.0.0.1:7861"]))]
    pub listen: String,
}
