//! What the rules look at: the configuration, and where each thing of it stands in the file.

use std::path::{Path, PathBuf};

use crate::config::document::Document;
use crate::config::model::{ClientSpec, Config, EndpointFields, ProfileSpec};
use crate::config::place::Place;
use crate::config::salvage::Cuts;
use crate::config::secret::SecretSpec;

/// A configuration with its places, each worked out once.
pub(in crate::config) struct Scope<'a> {
    pub(super) config: &'a Config,
    pub(super) document: &'a Document<'a>,
    pub(super) cuts: &'a Cuts,
    pub(super) profiles: Vec<Profile<'a>>,
    pub(super) clients: Vec<Client<'a>>,
    /// Every secret of the file.
    pub(super) secrets: Vec<SecretUse<'a>>,
    path: &'a Path,
}

/// A profile and where it stands.
pub(super) struct Profile<'a> {
    pub(super) name: &'a str,
    pub(super) spec: &'a ProfileSpec,
    pub(super) place: Place,
    pub(super) endpoints: Vec<Endpoint<'a>>,
}

/// An endpoint and where it stands; of a shorthand, where its profile stands.
pub(super) struct Endpoint<'a> {
    pub(super) id: &'a str,
    pub(super) fields: &'a EndpointFields,
    pub(super) place: Place,
}

/// A client and where it stands.
pub(super) struct Client<'a> {
    pub(super) spec: &'a ClientSpec,
    pub(super) place: Place,
}

/// A secret, what it is for, and where it stands.
pub(super) struct SecretUse<'a> {
    pub(super) spec: &'a SecretSpec,
    pub(super) what: &'static str,
    pub(super) place: Place,
}

impl<'a> Scope<'a> {
    /// `cuts` is what `config` lacks of `document`; `path` is the file.
    pub(in crate::config) fn new(
        config: &'a Config,
        document: &'a Document<'a>,
        cuts: &'a Cuts,
        path: &'a Path,
    ) -> Self {
        let profiles = profiles(config, cuts);
        let clients = clients(config, cuts);
        let mut secrets = secrets(config, &profiles, &clients);
        secrets.extend(headers(config, cuts));
        Self { config, document, cuts, profiles, clients, secrets, path }
    }

    /// The endpoints of all profiles.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint<'a>> {
        self.profiles.iter().flat_map(|profile| &profile.endpoints)
    }

    /// Whether nothing at or below `place` was refused by the schema.
    pub(super) fn intact(&self, place: &Place) -> bool {
        !self.cuts.touch(place)
    }

    /// A path of the file, from the directory of the file.
    pub(super) fn file(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn profiles<'a>(config: &'a Config, cuts: &Cuts) -> Vec<Profile<'a>> {
    let place = Place::of(&["profiles"]);
    let profile = |(name, spec): (&'a String, &'a ProfileSpec)| {
        let place = place.key(name);
        let endpoints = endpoints(name, spec, &place, cuts);
        Profile { name, spec, place, endpoints }
    };
    config.profiles.iter().map(profile).collect()
}

fn endpoints<'a>(name: &'a str, spec: &'a ProfileSpec, profile: &Place, cuts: &Cuts) -> Vec<Endpoint<'a>> {
    let list = profile.key("endpoints");
    let listed = spec.endpoints.iter().enumerate().map(|(index, spec)| Endpoint {
        id: &spec.id,
        fields: &spec.fields,
        place: cuts.original(list.index(index)),
    });
    let short = spec.shorthand.as_deref();
    let short = short.map(|fields| Endpoint { id: name, fields, place: profile.clone() });
    listed.chain(short).collect()
}

fn clients<'a>(config: &'a Config, cuts: &Cuts) -> Vec<Client<'a>> {
    let list = Place::of(&["server", "clients"]);
    let clients = config.server.clients.iter().flatten().enumerate();
    clients.map(|(index, spec)| Client { spec, place: cuts.original(list.index(index)) }).collect()
}

/// The headers of webhooks.
fn headers<'a>(config: &'a Config, cuts: &Cuts) -> Vec<SecretUse<'a>> {
    let list = Place::of(&["notify"]);
    let items = config.notify.iter().enumerate();
    let all = items.flat_map(|(index, item)| {
        let place = cuts.original(list.index(index)).key("headers");
        item.headers.iter().map(move |(name, spec)| SecretUse { spec, what: "header", place: place.key(name) })
    });
    all.collect()
}

fn secrets<'a>(config: &'a Config, profiles: &[Profile<'a>], clients: &[Client<'a>]) -> Vec<SecretUse<'a>> {
    let mut secrets = Vec::new();
    let mut add = |spec, what, place| secrets.push(SecretUse { spec, what, place });
    if let Some(tls) = &config.server.tls {
        add(&tls.key, "private key", Place::of(&["server", "tls", "key"]));
    }
    for Client { spec, place } in clients {
        add(&spec.token, "token", place.key("token"));
    }
    for Endpoint { fields, place, .. } in profiles.iter().flat_map(|profile| &profile.endpoints) {
        if let Some(key) = &fields.api_key {
            add(key, "key", place.key("api_key"));
        }
        if let Some(certificate) = &fields.client_cert {
            add(&certificate.key, "private key", place.key("client_cert").key("key"));
        }
    }
    secrets
}
