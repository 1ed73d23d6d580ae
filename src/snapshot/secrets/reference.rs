//! What a file refers to: only what serves, so that no program runs for an endpoint that is switched off.

use std::path::Path;

use crate::config::model::{Auth, ServerTls};
use crate::config::{Config, SecretSpec};
use crate::snapshot::spec::{EndpointRef, endpoints};

/// Every place of `config` that needs a secret: keys of serving endpoints, tokens of clients, private keys.
pub(super) fn secrets(config: &Config) -> impl Iterator<Item = &SecretSpec> {
    let keys = serving(config).filter(|endpoint| endpoint.fields.auth != Auth::Passthrough);
    let keys = keys.filter_map(|endpoint| endpoint.fields.api_key.as_ref());
    let tokens = config.server.clients.iter().flatten().map(|client| &client.token);
    keys.chain(tokens).chain(identities(config).map(|tls| &tls.key))
}

/// Every file that `config` refers to: secrets and certificates, as written.
pub(super) fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let secrets = secrets(config).filter_map(|spec| match spec {
        SecretSpec::File(file) => Some(file.file.as_path()),
        _ => None,
    });
    let trusted = serving(config).filter_map(|endpoint| endpoint.fields.ca_file.as_deref());
    secrets.chain(trusted).chain(identities(config).map(|tls| tls.cert.as_path()))
}

fn serving(config: &Config) -> impl Iterator<Item = EndpointRef<'_>> {
    endpoints(config).filter(EndpointRef::serves)
}

fn identities(config: &Config) -> impl Iterator<Item = &ServerTls> {
    config.server.tls.iter().chain(serving(config).filter_map(|endpoint| endpoint.fields.client_cert.as_ref()))
}
