//! What a new file changes, in words. Pure: two configurations in, sentences out; for the log, events and `qcc plan`.
//!
//! - No secret is in the words, nor what may hold one: header values, proxy addresses and notify targets are only
//!   said to have changed.
//! - An endpoint is known by its profile and id, whichever way it is written.

use indexmap::{IndexMap, IndexSet};
use std::hash::Hash;

use serde::Serialize;
use serde_json::{Map, Value};

use super::spec::endpoints;
use crate::config::model::{EndpointFields, ProfileSpec};
use crate::config::{Config, SecretSpec};

/// What differs between two files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What takes effect at once: `endpoint production/work: weight 100 -> 50`.
    pub words: Vec<String>,
    /// Keys whose new value waits for a restart: `server.listen`.
    pub restart_required: Vec<&'static str>,
    /// Endpoints, as `PROFILE/ID`, whose health starts anew: their address or their key is another one.
    pub endpoints_reset: Vec<String>,
    /// Endpoints that only the new file has.
    pub endpoints_added: Vec<String>,
    /// Endpoints that only the old file has.
    pub endpoints_removed: Vec<String>,
    /// Endpoints that both have, and not the same.
    pub endpoints_changed: Vec<String>,
}

impl Changes {
    /// Whether nothing that matters differs.
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty() && self.restart_required.is_empty()
    }
}

/// What `new` changes for a proxy that runs `old`.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let mut words =
        named("profile", &profiles(old), &profiles(new), |old, new| differences(&described(old), &described(new)));
    words.extend(order(old, new));
    let (before, after) = (by_name(old), by_name(new));
    words.extend(named("endpoint", &before, &after, endpoint));
    words.extend(clients(old, new));
    words.extend(differences(&hot(old), &hot(new)));
    words.extend((old.notify != new.notify).then(|| "notify changed".to_owned()));
    let both = || after.iter().filter_map(|(name, new)| Some((name, *before.get(name)?, *new)));
    let only = |these: &Named<'_, EndpointFields>, others: &Named<'_, EndpointFields>| {
        these.keys().filter(|name| !others.contains_key(*name)).cloned().collect()
    };
    let differing = |differ: fn(&EndpointFields, &EndpointFields) -> bool| {
        both().filter(|(_, old, new)| differ(old, new)).map(|(name, ..)| name.clone()).collect()
    };
    Changes {
        words,
        restart_required: cold(old, new),
        endpoints_reset: differing(resets),
        endpoints_added: only(&after, &before),
        endpoints_removed: only(&before, &after),
        endpoints_changed: differing(|old, new| old != new),
    }
}

/// Keys whose value in `new` needs a restart of a proxy that was started with `old`.
pub fn cold(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.tls", old.server.tls != new.server.tls),
        ("server.workers", old.server.workers != new.server.workers),
        ("admin.listen", old.admin != new.admin),
        ("state", old.state != new.state),
    ];
    keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

type Named<'a, T> = IndexMap<String, &'a T>;

/// What was added to, removed from and changed in a set of named things.
fn named<T: PartialEq>(
    what: &str,
    old: &Named<'_, T>,
    new: &Named<'_, T>,
    compare: fn(&T, &T) -> Vec<String>,
) -> Vec<String> {
    let removed = old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{what} {name} removed"));
    let kept = new.iter().filter_map(|(name, new)| match old.get(name) {
        None => Some(format!("{what} {name} added")),
        Some(old) if old == new => None,
        Some(old) => Some(compare(old, new).join(", "))
            .filter(|words| !words.is_empty())
            .map(|words| format!("{what} {name}: {words}")),
    });
    removed.chain(kept).collect()
}

fn profiles(config: &Config) -> Named<'_, ProfileSpec> {
    config.profiles.iter().map(|(name, profile)| (name.clone(), profile)).collect()
}

fn by_name(config: &Config) -> Named<'_, EndpointFields> {
    endpoints(config).map(|endpoint| (format!("{}/{}", endpoint.profile, endpoint.id), endpoint.fields)).collect()
}

/// A profile without its endpoints.
fn described(profile: &ProfileSpec) -> Value {
    let own = ProfileSpec { endpoints: Vec::new(), shorthand: None, ..profile.clone() };
    json(&own)
}

/// What differs between two versions of one endpoint.
fn endpoint(old: &EndpointFields, new: &EndpointFields) -> Vec<String> {
    let mut words = secret("key", old.api_key.as_ref(), new.api_key.as_ref());
    words.extend(differences(&shown(old), &shown(new)));
    let hidden = [
        ("headers", old.headers != new.headers),
        ("proxy", old.proxy != new.proxy),
        ("client_cert", old.client_cert != new.client_cert),
    ];
    words.extend(hidden.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| format!("{key} changed")));
    words
}

/// The fields of an endpoint whose values may be shown.
fn shown(fields: &EndpointFields) -> Value {
    let mut value = json(fields);
    for key in ["api_key", "headers", "proxy", "client_cert"] {
        remove(&mut value, key);
    }
    value
}

fn resets(old: &EndpointFields, new: &EndpointFields) -> bool {
    old.base_url != new.base_url || old.api_key != new.api_key || old.auth != new.auth
}

fn secret(what: &str, old: Option<&SecretSpec>, new: Option<&SecretSpec>) -> Vec<String> {
    let name = |spec: Option<&SecretSpec>| spec.map_or_else(|| "none".to_owned(), ToString::to_string);
    match (name(old), name(new)) {
        _ if old == new => Vec::new(),
        (old, new) if old == new => vec![format!("{what} changed")],
        (old, new) => vec![format!("{what} {old} -> {new}")],
    }
}

fn clients(old: &Config, new: &Config) -> Vec<String> {
    let known = |config: &Config| config.server.clients.is_some();
    let mut words = named("client", &tokens(old), &tokens(new), |old, new| secret("token", Some(old), Some(new)));
    match (known(old), known(new)) {
        (false, true) => words.insert(0, "server.clients: only known clients may call".to_owned()),
        (true, false) => words.insert(0, "server.clients: everyone may call".to_owned()),
        _ => {}
    }
    words
}

fn tokens(config: &Config) -> Named<'_, SecretSpec> {
    config.server.clients.iter().flatten().map(|client| (client.name.clone(), &client.token)).collect()
}

/// Profiles, and endpoints of a profile, that stand in another order than before.
fn order(old: &Config, new: &Config) -> Vec<String> {
    let all = moved(old.profiles.keys(), new.profiles.keys()).then(|| "profiles: another order".to_owned());
    let each =
        new.profiles.iter().filter(|(name, new)| old.profiles.get(*name).is_some_and(|old| moved(ids(old), ids(new))));
    all.into_iter().chain(each.map(|(name, _)| format!("profile {name}: endpoints in another order"))).collect()
}

fn ids(profile: &ProfileSpec) -> impl Iterator<Item = &str> {
    profile.endpoints.iter().map(|endpoint| endpoint.id.as_str())
}

/// Whether those that are in both lists stand in another order.
fn moved<T: Hash + Eq>(old: impl Iterator<Item = T>, new: impl Iterator<Item = T>) -> bool {
    let (old, new): (IndexSet<T>, IndexSet<T>) = (old.collect(), new.collect());
    !old.intersection(&new).eq(new.intersection(&old))
}

/// Everything else that takes effect at once and may be shown.
fn hot(config: &Config) -> Value {
    let mut value = json(config);
    for key in ["version", "profiles", "admin", "notify", "state"] {
        remove(&mut value, key);
    }
    for key in ["listen", "tls", "workers", "clients"] {
        remove(&mut value["server"], key);
    }
    value
}

/// The values that differ, with their path: `timeouts.connect 5s -> 10s`.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut words = Vec::new();
    walk("", old, new, &mut words);
    words
}

fn walk(path: &str, old: &Value, new: &Value, words: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            words.push(format!("{path} {} -> {}", plain(old), plain(new)));
        }
        return;
    };
    for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(&path, at(before, key), at(after, key), words);
    }
}

fn at<'a>(object: &'a Map<String, Value>, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn json(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("a configuration has only string keys and finite numbers")
}

fn remove(value: &mut Value, key: &str) {
    if let Value::Object(object) = value {
        object.shift_remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Value {
        json!({
            "server": { "clients": [{ "name": "alice", "token": { "env": "ALICE" } }] },
            "profiles": {
                "production": { "tier": "primary", "endpoints": [
                    { "id": "work", "base_url": "https://a.example", "api_key": { "env": "WORK" }, "weight": 100 },
                    { "id": "glm", "base_url": "https://b.example", "api_key": "sk-canary-1", "auth": "bearer",
                      "models": { "claude-*": "glm-5" }, "headers": { "x-team": "canary" } },
                ] },
                "emergency": { "tier": "fallback", "base_url": "https://c.example", "api_key": { "file": "/run/c" } },
            },
        })
    }

    /// The changes when the values at these pointers are replaced (`null`: removed).
    fn after(edits: &[(&str, Value)]) -> Changes {
        let mut new = base();
        for (pointer, value) in edits {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            match new.pointer_mut(parent).expect(parent) {
                Value::Array(list) => drop(list.remove(key.parse().expect("an index"))),
                parent if value.is_null() => remove(parent, key),
                parent => parent[key] = value.clone(),
            }
        }
        changes(&config(base()), &config(new))
    }

    fn config(value: Value) -> Config {
        serde_json::from_value(value).expect("a configuration")
    }

    const WORK: &str = "/profiles/production/endpoints/0";
    const GLM: &str = "/profiles/production/endpoints/1";

    #[test]
    fn every_change_is_said_in_words() {
        let work = |key: &str| format!("{WORK}/{key}");
        let glm = |key: &str| format!("{GLM}/{key}");
        for (pointer, value, expected) in [
            (work("weight"), json!(50), "endpoint production/work: weight 100 -> 50"),
            (work("max_in_flight"), json!(4), "endpoint production/work: max_in_flight none -> 4"),
            (
                work("timeouts"),
                json!({ "first_byte": "3m" }),
                "endpoint production/work: timeouts.first_byte none -> 3m",
            ),
            (work("enabled"), json!(false), "endpoint production/work: enabled true -> false"),
            (work("proxy"), json!("http://u:canary@p"), "endpoint production/work: proxy changed"),
            (glm("headers"), json!({ "x-team": "canary-2" }), "endpoint production/glm: headers changed"),
            (glm("models"), json!({ "claude-*": "glm-6" }), "endpoint production/glm: models.claude-* glm-5 -> glm-6"),
            (GLM.to_owned(), json!(null), "endpoint production/glm removed"),
            (
                "/profiles/production/tier".to_owned(),
                json!("secondary"),
                "profile production: tier primary -> secondary",
            ),
            (
                "/profiles/production/affinity".to_owned(),
                json!({ "by": "none" }),
                "profile production: affinity.by session -> none",
            ),
            ("/profiles/backup".to_owned(), json!({}), "profile backup added"),
            ("/profiles/emergency/weight".to_owned(), json!(7), "endpoint emergency/emergency: weight 100 -> 7"),
            ("/timeouts".to_owned(), json!({ "connect": "10s" }), "timeouts.connect 5s -> 10s"),
            ("/server/hosts".to_owned(), json!(["a", "b"]), r#"server.hosts none -> ["a","b"]"#),
            ("/server/clients/0".to_owned(), json!(null), "client alice removed"),
            (
                "/server/clients".to_owned(),
                json!([{ "name": "alice", "token": "canary" }]),
                "client alice: token env ALICE -> a literal",
            ),
            ("/log".to_owned(), json!({ "level": "debug" }), "log.level info -> debug"),
            ("/default".to_owned(), json!("production"), "default none -> production"),
            ("/notify".to_owned(), json!([{ "on": ["switch"], "webhook": "https://canary" }]), "notify changed"),
        ] {
            let changes = after(&[(&pointer, value)]);
            assert_eq!(changes.words, [expected], "{pointer}");
            assert!(changes.restart_required.is_empty() && changes.endpoints_reset.is_empty(), "{changes:?}");
        }
    }

    #[test]
    fn another_address_or_key_resets_and_is_named_without_the_key() {
        for (pointer, value, expected) in [
            (
                format!("{WORK}/base_url"),
                json!("https://z.example"),
                "production/work: base_url https://a.example -> https://z.example",
            ),
            (format!("{WORK}/api_key"), json!({ "env": "OTHER" }), "production/work: key env WORK -> env OTHER"),
            (format!("{WORK}/api_key"), json!("sk-canary-2"), "production/work: key env WORK -> a literal"),
            (format!("{GLM}/api_key"), json!("sk-canary-2"), "production/glm: key changed"),
            (format!("{GLM}/auth"), json!("x-api-key"), "production/glm: auth bearer -> x-api-key"),
            (
                "/profiles/emergency/api_key".to_owned(),
                json!({ "file": "/run/d" }),
                "emergency/emergency: key file /run/c -> file /run/d",
            ),
        ] {
            let changes = after(&[(&pointer, value)]);
            assert_eq!(changes.words, [format!("endpoint {expected}")]);
            assert_eq!(changes.endpoints_reset, [expected.split(':').next().expect("a name")]);
        }
    }

    #[test]
    fn what_needs_a_restart_is_named_and_not_said_to_have_changed() {
        let tls = json!({ "cert": "a.pem", "key": { "file": "a.key" } });
        for (pointer, value, expected) in [
            ("/server/listen", json!("127.0.0.1:1"), "server.listen"),
            ("/server/tls", tls, "server.tls"),
            ("/server/workers", json!(2), "server.workers"),
            ("/admin", json!({ "listen": "127.0.0.1:2" }), "admin.listen"),
            ("/state", json!({ "dir": "state" }), "state"),
        ] {
            let changes = after(&[(pointer, value)]);
            assert_eq!((changes.restart_required, changes.words), (vec![expected], vec![]));
        }
    }

    #[test]
    fn the_same_said_differently_is_no_change() {
        let short = json!({ "tier": "fallback", "endpoints": [
            { "id": "emergency", "base_url": "https://c.example", "api_key": { "file": "/run/c" }, "weight": 100 }
        ] });
        assert!(after(&[("/profiles/emergency", short), ("/timeouts", json!({ "connect": 5 }))]).is_empty());
    }

    #[test]
    fn several_changes_of_an_endpoint_are_one_sentence_and_an_order_is_a_change() {
        let changes = after(&[(&format!("{WORK}/weight"), json!(1)), (&format!("{WORK}/priority"), json!(2))]);
        assert_eq!(changes.words, ["endpoint production/work: weight 100 -> 1, priority 1 -> 2"]);
        let (mut endpoints, profiles) =
            (base()["profiles"]["production"]["endpoints"].clone(), base()["profiles"].clone());
        endpoints.as_array_mut().expect("a list").reverse();
        let swapped = json!({ "emergency": profiles["emergency"], "production": profiles["production"] });
        assert_eq!(after(&[("/profiles", swapped)]).words, ["profiles: another order"]);
        let reversed = after(&[("/profiles/production/endpoints", endpoints)]);
        assert_eq!(reversed.words, ["profile production: endpoints in another order"]);
    }

    #[test]
    fn who_may_call_is_said() {
        let everyone = after(&[("/server/clients", json!(null))]);
        assert_eq!(everyone.words, ["server.clients: everyone may call", "client alice removed"]);
    }
}
