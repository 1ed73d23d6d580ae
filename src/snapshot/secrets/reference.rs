//! What a file refers to: only what serves, so that no program runs for an endpoint that is switched off.

use std::path::Path;

use crate::config::model::{Auth, ServerTls};
use crate::config::{Config, SecretSpec};
use crate::snapshot::spec::{EndpointRef, endpoints};

/// What a secret is for, hence what it may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Goes into a header, or is compared with one.
    Token,
    /// The whole value of a header, which may hold a space.
    Header,
    /// A private key in PEM.
    Pem,
}

/// Every place of `config` that needs a secret: keys of serving endpoints, tokens of clients, headers of
/// webhooks, private keys.
pub(super) fn secrets(config: &Config) -> impl Iterator<Item = (&SecretSpec, Use)> {
    let keys = serving(config).filter(|endpoint| endpoint.fields.auth != Auth::Passthrough);
    let keys = keys.filter_map(|endpoint| endpoint.fields.api_key.as_ref());
    let tokens = config.server.clients.iter().flatten().map(|client| &client.token);
    let headers = config.notify.iter().flat_map(|item| item.headers.values());
    let headers = headers.map(|spec| (spec, Use::Header));
    let tokens = headers.chain(keys.chain(tokens).map(|spec| (spec, Use::Token)));
    // Last: a reference used for both may look like a private key.
    tokens.chain(identities(config).map(|tls| (&tls.key, Use::Pem)))
}

/// Every file that `config` refers to: secrets and certificates, as written.
pub(super) fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let secrets = secrets(config).filter_map(|(spec, _)| match spec {
        SecretSpec::File(file) => Some(file.file.as_path()),
        _ => None,
    });
    secrets.chain(certificates(config))
}

/// Every file with certificates.
pub(super) fn certificates(config: &Config) -> impl Iterator<Item = &Path> {
    let trusted = serving(config).filter_map(|endpoint| endpoint.fields.ca_file.as_deref());
    trusted.chain(identities(config).map(|tls| tls.cert.as_path()))
}

fn serving(config: &Config) -> impl Iterator<Item = EndpointRef<'_>> {
    endpoints(config).filter(EndpointRef::serves)
}

fn identities(config: &Config) -> impl Iterator<Item = &ServerTls> {
    config.server.tls.iter().chain(serving(config).filter_map(|endpoint| endpoint.fields.client_cert.as_ref()))
}
