//! The Python qcc: profiles with their endpoints in `~/.fastcc/cache.json`, tiers and policy in `~/.qcc/priority.json`.

use serde_json::{Map, Value, json};

use super::address::{base_url, usual_auth};
use super::brought::{Brought, Endpoint, Profile};
use super::fields::{self, put, text};
use super::key::{self, Key};
use crate::config::model::Tier;

const TIERS: [(&str, Tier); 3] =
    [("primary", Tier::Primary), ("secondary", Tier::Secondary), ("fallback", Tier::Fallback)];

/// Fields of an endpoint that are carried over as they are.
const SAME: [&str; 4] = ["weight", "priority", "enabled", "max_failures"];

pub(super) fn read(files: &[Value]) -> Brought {
    let mut brought = files.iter().map(cache).fold(Brought::default(), Brought::and);
    for file in files {
        priority(file, &mut brought);
    }
    brought
}

fn cache(file: &Value) -> Brought {
    let mut brought = Brought::default();
    for (name, profile) in file.get("profiles").and_then(Value::as_object).into_iter().flatten() {
        let profile = self::profile(name, profile, &mut brought);
        if profile.endpoints.is_empty() {
            brought.leave(format!("profile `{name}`"), "it has no endpoint that can be carried over");
        } else {
            brought.profiles.push(profile);
        }
    }
    let default = file.pointer("/settings/default_profile").and_then(Value::as_str);
    let known = |name: &&str| brought.profiles.iter().any(|profile| profile.name == *name);
    brought.default = default.filter(known).map(str::to_owned);
    brought.active.clone_from(&brought.default);
    let kept = file.get("settings").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    for key in kept.filter(|key| *key != "default_profile") {
        brought.leave(format!("`settings.{key}`"), "qcc keeps nothing in a cloud: the file is for git");
    }
    brought
}

fn profile(name: &str, profile: &Value, brought: &mut Brought) -> Profile {
    let listed = profile.get("endpoints").and_then(Value::as_array).filter(|list| !list.is_empty());
    let single = [profile.clone()];
    let items = listed.map_or(&single[..], Vec::as_slice);
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let id = match listed {
            Some(_) => text(item, "id").map_or_else(|| format!("{name}-{}", at + 1), str::to_owned),
            None => name.to_owned(),
        };
        // Without an address of its own there is nothing to say.
        if listed.is_none() && text(item, "base_url").is_none() {
            continue;
        }
        match endpoint(&id, item, listed.is_some()) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => brought.leave(format!("endpoint `{name}/{id}`"), why),
        }
    }
    if items.iter().any(|item| item.get("timeout").is_some_and(|timeout| !timeout.is_null())) {
        brought.leave(format!("`timeout` in `{name}`"), "qcc has a wait for each phase, see `timeouts`");
    }
    let description = text(profile, "description").map(str::to_owned);
    Profile { name: name.to_owned(), description, endpoints, ..Profile::default() }
}

fn endpoint(id: &str, item: &Value, listed: bool) -> Result<Endpoint, &'static str> {
    let url = base_url(text(item, "base_url").unwrap_or_default())?;
    let key = key::literal(text(item, "api_key").unwrap_or_default()).map(Key::Literal)?;
    let mut fields = Map::new();
    for name in SAME.iter().filter(|_| listed) {
        put(&mut fields, name, item.get(*name).filter(|value| !is_default(name, value)).cloned());
    }
    Ok(Endpoint { id: id.to_owned(), auth: usual_auth(&url), base_url: url, key, fields })
}

/// What need not be written.
fn is_default(name: &str, value: &Value) -> bool {
    value.is_null()
        || match name {
            "weight" => value == 100,
            "priority" => value == 1,
            "enabled" => value == true,
            _ => value == 3,
        }
}

/// Tiers and policy, which are about the profiles of the other file.
fn priority(file: &Value, brought: &mut Brought) {
    let Some(map) = file.get("priority_map").and_then(Value::as_object) else { return };
    for (word, tier) in TIERS {
        let Some(name) = map.get(word).and_then(Value::as_str).filter(|name| !name.is_empty()) else { continue };
        match brought.profiles.iter_mut().find(|profile| profile.name == name) {
            Some(profile) => profile.tier = Some(tier),
            None => brought.leave(format!("`priority_map.{word}`"), format!("there is no profile `{name}`")),
        }
    }
    let policy = file.get("policy").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in policy {
        match key.as_str() {
            "auto_failover" | "auto_recovery" | "failure_threshold" => drop(brought.failover.insert(key, value)),
            "cooldown_period" => put(&mut brought.failover, "cooldown", fields::seconds(&value)),
            _ => brought.leave(format!("`policy.{key}`"), "qcc has no such policy"),
        }
    }
    let state = |key: &str| file.get(key).is_some_and(|value| *value != json!(null) && *value != json!([]));
    for key in ["active_profile", "switch_history"].into_iter().filter(|key| state(key)) {
        brought.leave(format!("`{key}`"), "it is state, not configuration: the running proxy keeps its own");
    }
}
