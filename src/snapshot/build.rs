//! From the file's shape to the shape that runs: the only place that knows both.
//!
//! Building never fails: an endpoint whose key or certificate is missing is built without a way to reach it, says why, and
//! comes in when the next build finds what was missing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Uri};
use sha2::{Digest as _, Sha256};

use super::Snapshot;
use super::clients::Clients;
use super::secrets::Resolved;
use super::spec::endpoints;
use crate::config::Config;
use crate::config::model::{Affinity, AffinityBy, Auth, EndpointFields, ProfileSpec, ServerTls, Timeouts};
use crate::config::secret::{Secret, SecretSpec};
use crate::net::target::TargetSpec;
use crate::net::tls::ClientTls;
use crate::net::{Proxy, Target};
use crate::time::Moment;
use crate::upstream::bell::Bell;
use crate::upstream::breaker::SOLE_EJECTION;
use crate::upstream::eligible::{Ask, can_take};
use crate::upstream::endpoint::{self, Credential, Endpoint, EndpointId, ModelMap, Signature};
use crate::upstream::key::KeyState;
use crate::upstream::profile::Profile;
use crate::upstream::state::EndpointState;

/// What a snapshot is built from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The file.
    pub config: Arc<Config>,
    /// Its secrets.
    pub resolved: &'a Resolved,
    /// SHA-256 of the file, in hex.
    pub sha256: &'a str,
    /// Counts accepted files.
    pub generation: u64,
    /// What hashes of secrets are salted with.
    pub salt: [u8; 32],
}

/// Builds what runs next. Endpoints that are the same as in `previous` keep their live state, also those that take no traffic
/// for a while.
pub fn build(inputs: &Inputs<'_>, previous: Option<&Snapshot>) -> Snapshot {
    let config = &inputs.config;
    let bell = previous.map(|previous| previous.bell.clone()).unwrap_or_default();
    let mut builder = Builder { inputs, adopted: Adopted::of(previous), bell: bell.clone() };
    let mut chain: Vec<_> = config.profiles.iter().filter_map(|(name, spec)| builder.profile(name, spec)).collect();
    chain.sort_by_key(|profile| profile.tier);
    let (endpoints, groups) = count(&chain);
    if endpoints == 1 {
        spare(&chain);
    }
    let active = active(&chain, previous, Moment::now());
    Snapshot {
        generation: inputs.generation,
        epoch: previous.map_or(1, |previous| previous.epoch + 1),
        sha256: inputs.sha256.into(),
        config: Arc::clone(config),
        clients: clients(inputs).map(Arc::new),
        hooks: super::hooks::headers(config, inputs.resolved),
        pinned: previous
            .is_some_and(|previous| previous.pinned && is_active_in(previous, chain.get(active..).unwrap_or_default())),
        active,
        passes_through: passes_through(&chain),
        chain: chain.into(),
        aside: aside(config, previous),
        sole: endpoints == 1,
        several_groups: groups > 1,
        bell,
    }
}

/// The endpoints of the file that take no traffic, of those that `previous` knows.
fn aside(config: &Config, previous: Option<&Snapshot>) -> Arc<[Arc<Endpoint>]> {
    let before: HashMap<_, _> = previous.into_iter().flat_map(Snapshot::known).map(by_name).collect();
    let idle = endpoints(config).filter(|endpoint| !endpoint.serves());
    let known = idle.filter_map(|endpoint| before.get(&(endpoint.profile, endpoint.id)));
    known.map(|endpoint| Arc::new(out_of_service(endpoint))).collect()
}

fn by_name(endpoint: &Arc<Endpoint>) -> ((&str, &str), &Arc<Endpoint>) {
    ((&endpoint.id.profile, &endpoint.id.id), endpoint)
}

/// The same endpoint without its key and without a way to reach it.
fn out_of_service(endpoint: &Endpoint) -> Endpoint {
    let credential = Credential::Missing("it takes no traffic".to_owned());
    Endpoint { target: None, credential, headers: Vec::new(), ..endpoint.clone() }
}

/// Number of endpoints and of provider groups.
fn count(chain: &[Arc<Profile>]) -> (usize, usize) {
    let endpoints = || chain.iter().flat_map(|profile| &profile.endpoints);
    let groups: std::collections::HashSet<_> = endpoints().map(|endpoint| &endpoint.group).collect();
    (endpoints().count(), groups.len())
}

/// An endpoint that has become the only one does not stay out as long as it would beside others.
fn spare(chain: &[Arc<Profile>]) {
    let now = Moment::now();
    for endpoint in chain.iter().flat_map(|profile| &profile.endpoints) {
        endpoint.state.cap_ejection(SOLE_EJECTION, now);
    }
}

fn passes_through(chain: &[Arc<Profile>]) -> bool {
    let mut endpoints = chain.iter().flat_map(|profile| &profile.endpoints);
    endpoints.any(|endpoint| matches!(endpoint.credential, Credential::Passthrough))
}

/// The active profile of a new chain. Who led the old chain leads the new one; after a switch, or pinned, the active
/// profile stays as long as it is there. If it left, the first that admits takes its place.
fn active(chain: &[Arc<Profile>], previous: Option<&Snapshot>, now: Moment) -> usize {
    let first = first_serving(chain);
    let Some(previous) = previous else { return first };
    let led = previous.active == first_serving(&previous.chain) && !previous.pinned;
    let name = previous.active_profile().map(|profile| &profile.name);
    let stays = chain.iter().position(|profile| Some(&profile.name) == name && !profile.endpoints.is_empty());
    match stays {
        Some(_) if led => first,
        Some(stays) => stays,
        None => first_admitting(chain, now).unwrap_or(first),
    }
}

fn first_admitting(chain: &[Arc<Profile>], now: Moment) -> Option<usize> {
    let admits = |endpoint: &Arc<Endpoint>| can_take(endpoint, &Ask::default(), now).is_ok();
    chain.iter().position(|profile| profile.endpoints.iter().any(admits))
}

/// Whether the profile that was active before is the first of `rest`.
fn is_active_in(previous: &Snapshot, rest: &[Arc<Profile>]) -> bool {
    let before = previous.active_profile().map(|profile| &profile.name);
    before.is_some() && rest.first().map(|profile| &profile.name) == before
}

fn first_serving(chain: &[Arc<Profile>]) -> usize {
    chain.iter().position(|profile| !profile.endpoints.is_empty()).unwrap_or_default()
}

fn clients(inputs: &Inputs<'_>) -> Option<Clients> {
    let specs = inputs.config.server.clients.as_ref()?;
    let known = specs.iter().filter_map(|client| {
        let token = inputs.resolved.get(&client.token);
        token.ok().map(|token| (client.name.as_str(), token))
    });
    Some(Clients::new(known))
}

/// Live state by what it belongs to.
#[derive(Default)]
struct Adopted {
    states: HashMap<(EndpointId, u64), Arc<EndpointState>>,
    keys: HashMap<u64, Arc<KeyState>>,
}

impl Adopted {
    fn of(previous: Option<&Snapshot>) -> Self {
        let mut adopted = Self::default();
        for endpoint in previous.into_iter().flat_map(Snapshot::known) {
            let of = (endpoint.id.clone(), endpoint.identity);
            adopted.states.insert(of, Arc::clone(&endpoint.state));
            adopted.keys.insert(endpoint.key_identity, Arc::clone(&endpoint.key));
        }
        adopted
    }
}

/// A hash that is the same in every process of an instance. Salted, so that it says nothing about the secret in it.
fn identity(salt: &[u8; 32], parts: &[&str]) -> u64 {
    let mut hash = Sha256::new_with_prefix(salt);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

struct Builder<'a> {
    inputs: &'a Inputs<'a>,
    adopted: Adopted,
    bell: Bell,
}

impl Builder<'_> {
    fn profile(&mut self, name: &str, spec: &ProfileSpec) -> Option<Arc<Profile>> {
        let name: Arc<str> = name.into();
        let listed = spec.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields));
        let single = spec.shorthand.as_deref().map(|fields| (&*name, fields));
        let enabled = listed.chain(single).filter(|(_, fields)| fields.enabled);
        let mut endpoints: Vec<_> = enabled.map(|(id, fields)| Arc::new(self.endpoint(&name, id, fields))).collect();
        endpoints.sort_by_key(|endpoint| endpoint.priority);
        let affinity = affinity(&spec.affinity);
        Some(Arc::new(Profile { tier: spec.tier?, name, strategy: spec.strategy, affinity, endpoints }))
    }

    fn endpoint(&mut self, profile: &Arc<str>, id: &str, fields: &EndpointFields) -> Endpoint {
        let id = EndpointId { profile: Arc::clone(profile), id: id.into() };
        let (target, credential) = match self.access(fields) {
            Ok((target, credential)) => (Some(target), credential),
            Err(why) => (None, Credential::Missing(why)),
        };
        let secret = fields.api_key.as_ref().and_then(|spec| self.inputs.resolved.get(spec).ok());
        let secret = secret.map(Secret::expose);
        let Address { origin, host, prefix } = Address::of(&fields.base_url);
        let (salt, auth) = (&self.inputs.salt, format!("{:?}", fields.auth));
        let identity_of_endpoint = identity(salt, &["endpoint", &fields.base_url, secret.unwrap_or_default(), &auth]);
        let key_identity = match secret {
            Some(secret) => identity(salt, &["key", origin, secret]),
            None => identity(salt, &["no key", &id.profile, &id.id, origin]),
        };
        let bell = || self.bell.clone();
        let state = self.adopted.states.entry((id.clone(), identity_of_endpoint));
        let state = state.or_insert_with(|| EndpointState::with_bell(bell()));
        let key = self.adopted.keys.entry(key_identity).or_insert_with(|| KeyState::with_bell(bell()));
        Endpoint {
            base_url: fields.base_url.as_str().into(),
            prefix: prefix.into(),
            target,
            credential,
            weight: fields.weight,
            priority: fields.priority,
            group: fields.group.as_deref().unwrap_or(host).into(),
            max_in_flight: fields.max_in_flight,
            max_failures: fields.max_failures,
            models: ModelMap::new(fields.models.iter().map(|(from, to)| (from.as_str(), to.as_str()))),
            headers: fields.headers.iter().filter_map(|(name, value)| header(name, value)).collect(),
            timeouts: timeouts(&self.inputs.config.timeouts, fields),
            health: fields.health.clone(),
            identity: identity_of_endpoint,
            key_identity,
            state: Arc::clone(state),
            key: Arc::clone(key),
            signature: Signature::from(&id),
            id,
        }
    }

    /// How the endpoint is reached and with which credential, or what is missing for it.
    fn access(&self, fields: &EndpointFields) -> Result<(Arc<Target>, Credential), String> {
        Ok((Arc::new(self.target(fields)?), self.credential(fields)?))
    }

    fn credential(&self, fields: &EndpointFields) -> Result<Credential, String> {
        if fields.auth == Auth::Passthrough {
            return Ok(Credential::Passthrough);
        }
        let spec = fields.api_key.as_ref().ok_or("no key: api_key is not given")?;
        let secret = self.secret(spec)?;
        let (name, value) = match fields.auth {
            Auth::Bearer => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", secret.expose()))),
            Auth::XApiKey | Auth::Passthrough => {
                (HeaderName::from_static("x-api-key"), HeaderValue::try_from(secret.expose()))
            }
        };
        let mut value = value.map_err(|_| "no key: it holds characters that cannot be sent")?;
        value.set_sensitive(true);
        Ok(Credential::Header(name, value))
    }

    fn secret(&self, spec: &SecretSpec) -> Result<&Secret, String> {
        self.inputs.resolved.get(spec).map_err(|why| format!("no key: {why}"))
    }

    fn target(&self, fields: &EndpointFields) -> Result<Target, String> {
        let base: Uri = fields.base_url.parse().map_err(|_| "base_url is not an address")?;
        let ca_pem = fields.ca_file.as_deref().map(|path| self.certificate(path)).transpose()?;
        let client_cert = fields.client_cert.as_ref().map(|tls| self.client_cert(tls)).transpose()?;
        let proxy = fields.proxy.as_deref().map_or(Ok(Proxy::FromEnvironment), str::parse::<Proxy>);
        let tls = ClientTls { ca_pem, client_cert };
        let proxy = proxy.map_err(|why| why.to_string())?;
        let connect_timeout = timeouts(&self.inputs.config.timeouts, fields).connect;
        Target::new(TargetSpec { base: &base, tls, proxy, connect_timeout }).map_err(|why| why.to_string())
    }

    fn client_cert(&self, tls: &ServerTls) -> Result<(&[u8], &Secret), String> {
        Ok((self.certificate(&tls.cert)?, self.secret(&tls.key)?))
    }

    fn certificate(&self, path: &Path) -> Result<&[u8], String> {
        self.inputs.resolved.certificate(path).map_err(ToString::to_string)
    }
}

fn affinity(spec: &Affinity) -> Option<std::time::Duration> {
    (spec.by == AffinityBy::Session).then(|| spec.ttl.get())
}

/// Validation has refused names and values that cannot be sent.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

fn timeouts(global: &Timeouts, fields: &EndpointFields) -> endpoint::Timeouts {
    let own = &fields.timeouts;
    endpoint::Timeouts {
        connect: own.connect.unwrap_or(global.connect).get(),
        first_byte: own.first_byte.unwrap_or(global.first_byte).get(),
        first_byte_unary: own.first_byte_unary.unwrap_or(global.first_byte_unary).get(),
        idle: own.idle.unwrap_or(global.idle).get(),
    }
}

/// The parts of a `base_url`.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    /// Scheme, host and port as written.
    origin: &'a str,
    /// Without the port.
    host: &'a str,
    /// The path without a trailing slash.
    prefix: &'a str,
}

impl<'a> Address<'a> {
    fn of(base_url: &'a str) -> Self {
        let from = base_url.find("://").map_or(0, |at| at + 3);
        let path = base_url[from..].find('/').map_or(base_url.len(), |at| from + at);
        let (origin, prefix) = base_url.split_at(path);
        let authority = &origin[from..];
        let host = match authority.rfind(':') {
            Some(colon) if !authority.ends_with(']') => &authority[..colon],
            _ => authority,
        };
        // Validation warns of `/v1` at the end; the client says it again.
        let prefix = prefix.trim_end_matches('/');
        let prefix = prefix.strip_suffix("/v1/messages").or_else(|| prefix.strip_suffix("/v1")).unwrap_or(prefix);
        Self { origin, host, prefix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_origin_a_host_and_a_prefix_without_its_last_slash() {
        for (base_url, origin, host, prefix) in [
            ("https://api.anthropic.com", "https://api.anthropic.com", "api.anthropic.com", ""),
            ("https://api.z.ai/api/anthropic", "https://api.z.ai", "api.z.ai", "/api/anthropic"),
            ("http://127.0.0.1:8080/a/", "http://127.0.0.1:8080", "127.0.0.1", "/a"),
            ("http://h/a/v1", "http://h", "h", "/a"),
            ("http://h/v1/messages/", "http://h", "h", ""),
            ("http://[::1]:8080/", "http://[::1]:8080", "[::1]", ""),
            ("http://[::1]", "http://[::1]", "[::1]", ""),
        ] {
            assert_eq!(Address::of(base_url), Address { origin, host, prefix }, "{base_url}");
        }
    }
}
