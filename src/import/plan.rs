//! From what was brought to the edits of a `qcc.yaml`.
//!
//! - A profile that is there already, with the same endpoints and keys, is left as it is: importing twice is importing once.
//! - A name that something else has is given a number: `work-2`.
//! - A profile takes traffic only if its tool said so, or if nothing serves in the file yet.

use serde_json::{Map, Value, json};

use super::brought::{Brought, Endpoint, Left, Profile};
use super::fields;
use super::key::Key;
use super::names::{Names, free};
use crate::config::Secret;
use crate::config::model::{Auth, Tier};
use crate::patch::{Edit, Path};

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes of the file.
    pub edits: Vec<Edit>,
    /// Lines for the `.env` beside it: keys that were found in clear, under the names by which the file refers to them.
    pub keys: Vec<(String, Secret)>,
    /// What becomes of each profile.
    pub arrivals: Vec<Arrival>,
    /// What could not be carried over.
    pub left: Vec<Left>,
}

/// A profile that was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name in the tool.
    pub from: String,
    /// Its name in the file.
    pub name: String,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Its place in the chain.
    pub tier: Option<Tier>,
    /// Whether it was there already.
    pub present: bool,
}

/// Plans to bring `brought` into a file that says `file` (as written; null for a new one).
pub fn plan(brought: Brought, file: &Value, names: &Names<'_>) -> Plan {
    let Brought { mut profiles, active, default, failover, left } = brought;
    if !serves(file) && profiles.iter().all(|profile| profile.tier.is_none()) {
        let lead = profiles.iter().position(|profile| Some(&profile.name) == active.as_ref()).unwrap_or_default();
        profiles.iter_mut().skip(lead).take(1).for_each(|profile| profile.tier = Some(Tier::Primary));
    }
    let mut planner = Planner { file, names, plan: Plan { left, ..Plan::default() } };
    for profile in &profiles {
        planner.profile(profile);
    }
    planner.failover(failover);
    planner.default(default.as_deref());
    planner.plan
}

/// Whether a profile of the file has a tier.
fn serves(file: &Value) -> bool {
    let profiles = file.get("profiles").and_then(Value::as_object);
    profiles.into_iter().flatten().any(|(_, profile)| profile.get("tier").is_some_and(|tier| !tier.is_null()))
}

struct Planner<'a> {
    file: &'a Value,
    names: &'a Names<'a>,
    plan: Plan,
}

impl Planner<'_> {
    fn profile(&mut self, profile: &Profile) {
        let wanted = fields::name(&profile.name);
        let mut present = false;
        let name = free(&wanted, "-", |name| {
            let there = self.existing(name);
            present = there.is_some_and(|there| self.is_same(name, profile, there));
            present || (there.is_none() && self.plan.arrivals.iter().all(|arrival| arrival.name != name))
        });
        let tier = profile.tier;
        let (from, endpoints) = (profile.name.clone(), profile.endpoints.len());
        self.plan.arrivals.push(Arrival { from, name: name.clone(), endpoints, tier, present });
        if !present {
            let fields = self.fields(&name, profile);
            self.plan.edits.push(Edit::AddProfile { name, fields });
        }
    }

    fn existing(&self, name: &str) -> Option<&Value> {
        self.file.get("profiles")?.get(name)
    }

    /// Whether the file has the profile already, under `name`.
    fn is_same(&self, name: &str, profile: &Profile, there: &Value) -> bool {
        let single = [there.clone()];
        let listed = there.get("endpoints").and_then(Value::as_array).map_or(&single[..], Vec::as_slice);
        let ids = ids(&profile.endpoints);
        listed.len() == ids.len()
            && listed.iter().zip(&profile.endpoints).zip(ids).all(|((old, new), id)| {
                let same_id = old.get("id").is_none_or(|old| *old == *id);
                same_id && old["base_url"] == *new.base_url && self.same_key(&old["api_key"], &new.key, name, &id)
            })
    }

    /// Whether the key that the file refers to is `key`, as far as that can be known.
    fn same_key(&self, old: &Value, key: &Key, profile: &str, id: &str) -> bool {
        match key {
            Key::Literal(secret) => {
                let variable = old.get("env").and_then(Value::as_str).unwrap_or_default();
                match self.names.get(variable) {
                    Some(held) => held == *secret,
                    None => variable == fields::variable(profile, id),
                }
            }
            reference => *old == self::reference(reference, None),
        }
    }

    fn fields(&mut self, name: &str, profile: &Profile) -> Map<String, Value> {
        let mut fields = Map::new();
        fields::put(&mut fields, "description", profile.description.as_deref().map(Value::from));
        fields::put(&mut fields, "tier", profile.tier.map(|tier| json!(tier.as_str())));
        fields::put(&mut fields, "strategy", profile.strategy.map(Value::from));
        let ids = ids(&profile.endpoints);
        let short = ids.len() == 1 && profile.endpoints[0].id == profile.name;
        let mut endpoints = profile.endpoints.iter().zip(&ids).map(|(endpoint, id)| self.endpoint(name, endpoint, id));
        if short {
            let single = endpoints.next().into_iter().flatten().filter(|(key, _)| key != "id");
            fields.extend(single);
        } else {
            let list: Vec<Value> = endpoints.map(Value::Object).collect();
            fields::put(&mut fields, "endpoints", (!list.is_empty()).then(|| list.into()));
        }
        fields
    }

    fn endpoint(&mut self, profile: &str, endpoint: &Endpoint, id: &str) -> Map<String, Value> {
        let Endpoint { base_url, key, auth, fields, .. } = endpoint;
        let variable = match key {
            Key::Literal(secret) => {
                let wanted = fields::variable(profile, id);
                let taken = |name: &str| refers(self.file, name);
                Some(self.names.store(&wanted, secret, &taken, &mut self.plan.keys))
            }
            _ => None,
        };
        let mut all = Map::new();
        fields::put(&mut all, "id", Some(json!(id)));
        fields::put(&mut all, "base_url", Some(json!(base_url)));
        fields::put(&mut all, "api_key", Some(reference(key, variable)));
        fields::put(&mut all, "auth", (*auth == Auth::Bearer).then(|| json!("bearer")));
        all.extend(fields.clone());
        all
    }

    /// Only where the file says nothing, and only what differs from the defaults.
    fn failover(&mut self, failover: Map<String, Value>) {
        let defaults = json!(crate::config::model::Failover::default());
        for (key, value) in failover {
            let path = Path::of(&["failover", &key]);
            match self.file.get("failover").and_then(|failover| failover.get(&key)) {
                Some(old) if !same(old, &value) => {
                    let why = format!("the file says {old} already, and the tool said {value}");
                    self.plan.left.push(Left { what: format!("`{path}`"), why });
                }
                None if !same(&defaults[&key], &value) => self.plan.edits.push(Edit::Set { path, value }),
                _ => {}
            }
        }
    }

    fn default(&mut self, default: Option<&str>) {
        let arrival = self.plan.arrivals.iter().find(|arrival| Some(arrival.from.as_str()) == default);
        let Some(name) = arrival.map(|arrival| arrival.name.clone()) else { return };
        match self.file.get("default").and_then(Value::as_str) {
            Some(old) if old != name => {
                let why = format!("the file says `{old}` already; `qcc default {name}` changes it");
                self.plan.left.push(Left { what: "the default profile".to_owned(), why });
            }
            Some(_) => {}
            None => self.plan.edits.push(Edit::Set { path: Path::of(&["default"]), value: json!(name) }),
        }
    }
}

/// Ids that a profile can have, each once.
fn ids(endpoints: &[Endpoint]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for endpoint in endpoints {
        let id = free(&fields::name(&endpoint.id), "-", |id| !ids.iter().any(|known| known == id));
        ids.push(id);
    }
    ids
}

/// How the file refers to `key`, which is in `variable` if it was found in clear.
fn reference(key: &Key, variable: Option<String>) -> Value {
    match key {
        Key::Variable(name) => json!({ "env": name }),
        Key::Literal(_) => json!({ "env": variable.unwrap_or_default() }),
        // Claude Code runs it by a shell, and again after five minutes.
        Key::Shell(text) => json!({ "command": ["/bin/sh", "-c", text], "refresh": "5m" }),
    }
}

/// Whether two values are the same duration, or the same otherwise.
fn same(old: &Value, new: &Value) -> bool {
    let duration = |value: &Value| serde_json::from_value::<crate::config::units::Dur>(value.clone()).ok();
    old == new || (duration(old).is_some() && duration(old) == duration(new))
}

/// Whether something in the file refers to the variable `name`.
pub fn refers(file: &Value, name: &str) -> bool {
    match file {
        Value::Object(fields) => {
            fields.iter().any(|(key, value)| (key == "env" && value == name) || refers(value, name))
        }
        Value::Array(items) => items.iter().any(|item| refers(item, name)),
        _ => false,
    }
}
