//! One endpoint as the proxy runs it: an immutable description, bound to the live state it was given at the last build.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::key::KeyState;
use super::state::EndpointState;
use crate::config::model::HealthOverride;
use crate::net::Target;

/// Identity of an endpoint across reloads: never contains anything tunable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId {
    /// Name of its profile.
    pub profile: Arc<str>,
    /// Its id in that profile.
    pub id: Arc<str>,
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.profile, self.id)
    }
}

/// Its names as they stand in the headers of an answer; `None` where one cannot.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Name of its profile.
    pub profile: Option<HeaderValue>,
    /// Its id in that profile.
    pub id: Option<HeaderValue>,
}

impl From<&EndpointId> for Signature {
    fn from(id: &EndpointId) -> Self {
        Self { profile: HeaderValue::from_str(&id.profile).ok(), id: HeaderValue::from_str(&id.id).ok() }
    }
}

/// One place that can answer. A clone shares its live state.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Who it is.
    pub id: EndpointId,
    /// How its answers say so.
    pub signature: Signature,
    /// Its address as written, for people.
    pub base_url: Arc<str>,
    /// Path prefix of its address without a trailing slash; often empty.
    pub prefix: Arc<str>,
    /// How it is reached; `None` only where the credential is missing too.
    pub target: Option<Arc<Target>>,
    /// How requests authenticate to it.
    pub credential: Credential,
    /// Configured weight, before health and ramp.
    pub weight: u32,
    /// Lower is better.
    pub priority: u32,
    /// Provider group.
    pub group: Arc<str>,
    /// Requests it may have in flight at once.
    pub max_in_flight: Option<u32>,
    /// Failures in a row that eject it, where that differs from the policy.
    pub max_failures: Option<u32>,
    /// Model names it knows under another name.
    pub models: ModelMap,
    /// Headers put on every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Checks of it that differ from the global ones.
    pub health: HealthOverride,
    /// Changes with its address or its credential: live state is kept across reloads only while it is the same.
    pub identity: u64,
    /// The same for endpoints with the same origin and key.
    pub key_identity: u64,
    /// Live state, kept across reloads by id, also while the endpoint takes no traffic.
    pub state: Arc<EndpointState>,
    /// Live state of its key, shared by every endpoint with the same origin and key.
    pub key: Arc<KeyState>,
}

/// How requests authenticate to an endpoint. Bound to the endpoint, hence to its origin.
#[derive(Clone, Debug)]
pub enum Credential {
    /// This header and value, in place of any the client sent. The value is marked sensitive.
    Header(HeaderName, HeaderValue),
    /// The client's own headers go through.
    Passthrough,
    /// The secret does not resolve; why, without the secret.
    Missing(String),
}

/// Waits that concern one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until a stream's answer begins.
    pub first_byte: Duration,
    /// Until another answer begins.
    pub first_byte_unary: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

/// Model names to replace: exact name first, then the longest prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelMap {
    exact: Vec<(String, String)>,
    /// Longest first.
    prefixes: Vec<(String, String)>,
}

impl ModelMap {
    /// From the pairs of the file; a pattern is an exact name, or a prefix with a final `*`.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut map = Self::default();
        for (from, to) in pairs {
            match from.strip_suffix('*') {
                Some(prefix) => map.prefixes.push((prefix.to_owned(), to.to_owned())),
                None => map.exact.push((from.to_owned(), to.to_owned())),
            }
        }
        map.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        map
    }

    /// The endpoint's name for `model`, if it has another one.
    pub fn get(&self, model: &str) -> Option<&str> {
        let exact = self.exact.iter().find(|(from, _)| from == model);
        let found = exact.or_else(|| self.prefixes.iter().find(|(prefix, _)| model.starts_with(prefix.as_str())));
        found.map(|(_, to)| to.as_str()).filter(|to| *to != model)
    }

    /// Whether nothing is replaced.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_model_name_wins_then_the_longest_prefix_whatever_the_order() {
        let pairs =
            [("claude-*", "glm-5.1"), ("claude-haiku-*", "air"), ("claude-haiku-4-5", "flash"), ("same", "same")];
        for pairs in [pairs, [pairs[3], pairs[2], pairs[1], pairs[0]]] {
            let map = ModelMap::new(pairs);
            assert_eq!(map.get("claude-haiku-4-5"), Some("flash"));
            assert_eq!(map.get("claude-haiku-3"), Some("air"));
            assert_eq!(map.get("claude-opus-4"), Some("glm-5.1"));
            assert_eq!((map.get("gpt"), map.get("same")), (None, None));
        }
    }
}
