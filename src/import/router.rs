//! claude-code-router's `config.json`: providers, and which of them answers what.
//!
//! Most of its providers speak OpenAI's format, which it translates and qcc does not. One speaks the Messages API if it
//! says so by its transformer, or by the path of its address.

use serde_json::{Map, Value, json};

use super::address::{base_url, usual_auth};
use super::brought::{Brought, Endpoint, Profile};
use super::fields::text;
use super::key::Key;

/// How it refers to variables.
const MARKS: [(&str, &str); 2] = [("${", "}"), ("$", "")];

/// Keys at the top that are about something qcc does otherwise, with what to do.
const TOP: [(&str, &str); 7] = [
    ("APIKEY", "who may call is said under `server.clients`"),
    ("HOST", "the address is `server.listen`"),
    ("PORT", "the address is `server.listen`"),
    ("PROXY_URL", "set `proxy` at the endpoints, or the variable where the proxy runs"),
    ("API_TIMEOUT_MS", "qcc has a wait for each phase, see `timeouts`"),
    ("CUSTOM_ROUTER_PATH", "qcc runs no code to choose an endpoint"),
    ("transformers", "qcc passes bodies on as they are"),
];

pub(super) fn read(file: &Value) -> Brought {
    let mut brought = Brought::default();
    let routes = file.get("Router").and_then(Value::as_object).cloned().unwrap_or_default();
    for provider in file.get("Providers").and_then(Value::as_array).into_iter().flatten() {
        let name = text(provider, "name").unwrap_or("provider");
        match endpoint(name, provider, &routes) {
            Ok(endpoint) => {
                let endpoints = vec![endpoint];
                brought.profiles.push(Profile { name: name.to_owned(), endpoints, ..Profile::default() });
            }
            Err(why) => brought.leave(format!("provider `{name}`"), why),
        }
    }
    active(&routes, &mut brought);
    let said = |key: &str| file.get(key).is_some_and(|value| !value.is_null() && *value != "" && *value != json!([]));
    for (key, why) in TOP.into_iter().filter(|(key, _)| said(key)) {
        brought.leave(format!("`{key}`"), why);
    }
    brought
}

fn endpoint(name: &str, provider: &Value, routes: &Map<String, Value>) -> Result<Endpoint, &'static str> {
    let url = text(provider, "api_base_url").unwrap_or_default();
    let others = transformers(provider);
    if !others.iter().any(|name| name.eq_ignore_ascii_case("anthropic"))
        && !url.trim_end_matches('/').ends_with("/v1/messages")
    {
        return Err("it does not speak the Messages API, and qcc does not translate");
    }
    let base_url = base_url(url)?;
    let key = Key::marked(text(provider, "api_key").unwrap_or_default(), &MARKS)?;
    let mut models = Map::new();
    for (route, pattern) in [("background", "claude-haiku-*"), ("default", "claude-*")] {
        if let Some((_, model)) = target(routes, route).filter(|(provider, _)| provider == name) {
            models.insert(pattern.to_owned(), json!(model));
        }
    }
    let same = |(pattern, model): (&String, &Value)| model.as_str().is_some_and(|model| matches(pattern, model));
    if models.iter().all(same) {
        models.clear();
    }
    let fields = if models.is_empty() { Map::new() } else { Map::from_iter([("models".to_owned(), models.into())]) };
    Ok(Endpoint { id: name.to_owned(), auth: usual_auth(&base_url), base_url, key, fields })
}

/// Whether a model that is asked for by `pattern` may stay as it is.
fn matches(pattern: &str, model: &str) -> bool {
    model.starts_with(pattern.trim_end_matches('*'))
}

/// The names of its transformers.
fn transformers(provider: &Value) -> Vec<&str> {
    let used = provider.pointer("/transformer/use").and_then(Value::as_array).into_iter().flatten();
    used.filter_map(|item| item.as_str().or_else(|| item.get(0)?.as_str())).collect()
}

/// The provider and the model of a route: `PROVIDER,MODEL`.
fn target(routes: &Map<String, Value>, route: &str) -> Option<(String, String)> {
    let (provider, model) = routes.get(route)?.as_str()?.split_once(',')?;
    Some((provider.trim().to_owned(), model.trim().to_owned()))
}

/// The provider of the usual route is the one in use; what other routes say is left.
fn active(routes: &Map<String, Value>, brought: &mut Brought) {
    let known = |name: &str, brought: &Brought| brought.profiles.iter().any(|profile| profile.name == name);
    let default = target(routes, "default").map(|(provider, _)| provider);
    brought.active = default.clone().filter(|name| known(name, brought));
    for (route, value) in routes.iter().filter(|(_, value)| value.as_str().is_none_or(|value| !value.is_empty())) {
        let provider = target(routes, route).map(|(provider, _)| provider);
        let why = match route.as_str() {
            "default" if brought.active.is_some() => continue,
            "background" if brought.active.is_some() && provider == default => continue,
            "default" => "its provider is not carried over",
            "background" => "it leads to another provider; qcc chooses by what admits, not by the model",
            _ if value.is_string() => "qcc does not choose by what a request is about",
            _ => continue,
        };
        brought.leave(format!("`Router.{route}`"), why);
    }
}
