//! Rules over a file whose shape is right: what its values mean together.
//!
//! Each rule is a small function that looks at one thing; [`RULES`] is the list of them. They see what is left of a file after
//! `salvage`, so a rule about something missing asks [`Scope::intact`] whether it may have been written wrongly.

mod address;
mod endpoint;
mod numbers;
mod profile;
mod references;
mod server;
mod url;

use std::path::{Path, PathBuf};

use super::diagnostic::Finding;
use super::document::Document;
use super::model::{Config, EndpointFields, ProfileSpec};
use super::place::Place;
use super::salvage::Cuts;
use super::secret::SecretSpec;

pub(super) use references::resolve;

/// What the rules look at.
pub(super) struct Scope<'a> {
    pub(super) config: &'a Config,
    pub(super) document: &'a Document<'a>,
    cuts: &'a Cuts,
    path: &'a Path,
}

/// A profile and where it stands.
pub(super) struct Profile<'a> {
    pub(super) name: &'a str,
    pub(super) spec: &'a ProfileSpec,
    pub(super) place: Place,
}

/// An endpoint and where it stands; of a shorthand, where its profile stands.
pub(super) struct Endpoint<'a> {
    pub(super) id: &'a str,
    pub(super) fields: &'a EndpointFields,
    pub(super) place: Place,
}

/// A secret, what it is for, and where it stands.
pub(super) struct SecretUse<'a> {
    pub(super) spec: &'a SecretSpec,
    pub(super) what: &'static str,
    pub(super) place: Place,
}

impl<'a> Scope<'a> {
    pub(super) fn new(config: &'a Config, document: &'a Document<'a>, cuts: &'a Cuts, path: &'a Path) -> Self {
        Self { config, document, cuts, path }
    }

    /// Whether nothing at or below `place` was refused by the schema.
    fn intact(&self, place: &Place) -> bool {
        !self.cuts.touch(place)
    }

    /// A path of the file, from the directory of the file.
    fn file(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn profiles(&self) -> impl Iterator<Item = Profile<'a>> {
        let place = Place::of(&["profiles"]);
        self.config.profiles.iter().map(move |(name, spec)| Profile { name, spec, place: place.key(name) })
    }

    fn endpoints_of(&self, profile: &Profile<'a>) -> Vec<Endpoint<'a>> {
        let list = profile.place.key("endpoints");
        let listed = profile.spec.endpoints.iter().enumerate().map(|(index, spec)| Endpoint {
            id: &spec.id,
            fields: &spec.fields,
            place: self.cuts.original(&list.index(index)),
        });
        let short = profile.spec.shorthand.as_deref();
        let short = short.map(|fields| Endpoint { id: profile.name, fields, place: profile.place.clone() });
        listed.chain(short).collect()
    }

    fn endpoints(&self) -> impl Iterator<Item = Endpoint<'a>> {
        self.profiles().flat_map(|profile| self.endpoints_of(&profile))
    }

    fn clients(&self) -> impl Iterator<Item = (&'a super::model::ClientSpec, Place)> {
        let list = Place::of(&["server", "clients"]);
        let clients = self.config.server.clients.as_deref().unwrap_or_default();
        clients.iter().enumerate().map(move |(index, client)| (client, self.cuts.original(&list.index(index))))
    }

    /// Every secret of the file.
    fn secrets(&self) -> Vec<SecretUse<'a>> {
        let mut secrets = Vec::new();
        let mut add = |spec, what, place| secrets.push(SecretUse { spec, what, place });
        if let Some(tls) = &self.config.server.tls {
            add(&tls.key, "private key", Place::of(&["server", "tls", "key"]));
        }
        self.clients().for_each(|(client, place)| add(&client.token, "token", place.key("token")));
        for Endpoint { fields, place, .. } in self.endpoints() {
            fields.api_key.iter().for_each(|key| add(key, "key", place.key("api_key")));
            let client_cert = fields.client_cert.iter();
            client_cert.for_each(|cert| add(&cert.key, "private key", place.key("client_cert").key("key")));
        }
        secrets
    }
}

type Rule = fn(&Scope<'_>, &mut Vec<Finding>);

const RULES: &[Rule] = &[
    server::listen_addresses_parse,
    server::listen_addresses_differ,
    server::network_listeners_have_clients,
    server::clients_are_not_empty,
    server::clients_differ,
    server::hosts_are_names,
    profile::endpoint_ids_differ,
    profile::shorthand_is_whole,
    profile::profiles_have_endpoints,
    profile::something_serves,
    profile::weights_are_not_all_zero,
    profile::weights_are_used,
    profile::profiles_can_become_active,
    profile::default_exists,
    endpoint::base_urls_are_sane,
    endpoint::base_urls_are_not_the_proxy_itself,
    endpoint::plaintext_is_allowed,
    endpoint::keys_fit_auth,
    endpoint::headers_are_harmless,
    endpoint::model_patterns_end_in_stars,
    endpoint::proxies_parse,
    references::literals_are_warned_about,
    references::literals_can_be_sent,
    references::secret_files_are_private,
    numbers::waits_are_not_zero,
    numbers::sizes_are_not_zero,
    numbers::waits_end_before_the_request,
    numbers::bodies_fit_the_buffer,
    numbers::delays_are_in_order,
    numbers::notify_has_one_target,
];

/// Everything the rules find.
pub(super) fn check(scope: &Scope<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule(scope, &mut findings);
    }
    findings
}

/// The schema accepted what the types do not: a mistake of ours, never of the file. The cause is left out, it may quote values.
pub(super) fn unreadable_shape() -> Finding {
    Finding::error("unreadable-shape", &Place::root(), "this configuration cannot be read, although it fits the schema")
        .help("please report this as a bug")
}
