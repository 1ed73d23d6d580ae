//! Claude Code's `settings.json`: an address and credentials in `env`, a program that prints a key, names of models.
//!
//! cc-switch keeps the same settings once for each provider.

use serde_json::{Map, Value, json};

use super::address::{self, ANTHROPIC, label};
use super::brought::{Brought, Endpoint, Left, Profile};
use super::fields::put;
use super::key::{self, Key};
use crate::config::model::Auth;
use crate::config::secret::PLACEHOLDER;

/// Variables that say how requests are sent, and have no place in a `qcc.yaml`, with what to do about them.
const ELSEWHERE: [(&str, &str); 7] = [
    ("ANTHROPIC_CUSTOM_HEADERS", "write what the endpoint needs of them under its `headers`"),
    ("API_TIMEOUT_MS", "it is how long the client waits; the proxy's waits are under `timeouts`"),
    ("CLAUDE_CODE_USE_BEDROCK", "Bedrock does not speak the Messages API under a key"),
    ("CLAUDE_CODE_USE_VERTEX", "Vertex does not speak the Messages API under a key"),
    ("HTTPS_PROXY", "set `proxy` at the endpoint, or the variable where the proxy runs"),
    ("HTTP_PROXY", "set `proxy` at the endpoint, or the variable where the proxy runs"),
    ("NODE_EXTRA_CA_CERTS", "set `ca_file` at the endpoint"),
];

/// Variables that name models, with the names that Claude Code sends without them.
const MODELS: [(&str, &[&str]); 5] = [
    ("ANTHROPIC_DEFAULT_HAIKU_MODEL", &["claude-haiku-*", "claude-3-5-haiku-*"]),
    ("ANTHROPIC_SMALL_FAST_MODEL", &["claude-haiku-*", "claude-3-5-haiku-*"]),
    ("ANTHROPIC_DEFAULT_OPUS_MODEL", &["claude-opus-*"]),
    ("ANTHROPIC_DEFAULT_SONNET_MODEL", &["claude-sonnet-*"]),
    ("ANTHROPIC_MODEL", &["claude-*"]),
];

/// A variable of the settings; blank is as good as not set.
pub fn variable(settings: &Value, name: &str) -> Option<String> {
    let text = settings.get("env").and_then(|env| env.get(name)).and_then(Value::as_str);
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The program that prints a key.
pub fn helper(settings: &Value) -> Option<String> {
    super::fields::text(settings, "apiKeyHelper").map(str::to_owned)
}

pub(super) fn read(settings: &Value) -> Brought {
    let mut brought = Brought::default();
    let found = endpoints(settings, None, &mut brought.left);
    if !found.is_empty() {
        brought.active = Some("claude".to_owned());
        let description = Some("what Claude Code was set up with".to_owned());
        brought.profiles.push(Profile {
            name: "claude".to_owned(),
            description,
            endpoints: found,
            ..Profile::default()
        });
    }
    brought
}

/// The endpoints of one set of settings; each takes over when those before it cannot serve. What is left is named as
/// belonging to `of`.
pub(super) fn endpoints(settings: &Value, of: Option<&str>, left: &mut Vec<Left>) -> Vec<Endpoint> {
    let name = |what: &str| of.map_or_else(|| format!("`{what}`"), |of| format!("`{what}` of {of}"));
    let mut leave = |what: &str, why: &str| left.push(Left { what: name(what), why: why.to_owned() });
    let models = models(settings, &mut leave);
    for (variable, why) in others(settings) {
        leave(&variable, why);
    }
    let url = variable(settings, "ANTHROPIC_BASE_URL");
    if url.as_deref().is_some_and(address::is_qcc) {
        leave("ANTHROPIC_BASE_URL", "it is qcc itself");
        return Vec::new();
    }
    let credentials = credentials(settings, &mut leave);
    let base_url = match url.as_deref().map_or(Ok(ANTHROPIC.to_owned()), address::base_url) {
        Ok(url) => url,
        Err(why) => {
            leave("ANTHROPIC_BASE_URL", why);
            return Vec::new();
        }
    };
    let label = label(&base_url);
    let endpoint = |(at, (key, auth)): (usize, (Key, Option<Auth>))| {
        let mut fields = Map::new();
        put(&mut fields, "priority", (at > 0).then(|| json!(at + 1)));
        put(&mut fields, "models", (!models.is_empty()).then(|| Value::Object(models.clone())));
        let id = if at == 0 { label.clone() } else { format!("{label}-{}", at + 1) };
        // A helper's key is sent both ways by Claude Code.
        let auth = auth.unwrap_or_else(|| address::usual_auth(&base_url));
        Endpoint { id, base_url: base_url.clone(), key, auth, fields }
    };
    credentials.into_iter().enumerate().map(endpoint).collect()
}

/// The credentials, as Claude Code prefers them.
fn credentials(settings: &Value, leave: &mut impl FnMut(&str, &str)) -> Vec<(Key, Option<Auth>)> {
    let literal = |name| variable(settings, name).filter(|text| text != PLACEHOLDER).map(|text| key::literal(&text));
    let token =
        literal("ANTHROPIC_AUTH_TOKEN").map(|key| ("ANTHROPIC_AUTH_TOKEN", key.map(Key::Literal), Some(Auth::Bearer)));
    let key = literal("ANTHROPIC_API_KEY").map(|key| ("ANTHROPIC_API_KEY", key.map(Key::Literal), Some(Auth::XApiKey)));
    let shell = helper(settings).map(|text| ("apiKeyHelper", key::helper(&text).map(Key::Shell), None));
    let mut found = Vec::new();
    for (name, key, auth) in [token, key, shell].into_iter().flatten() {
        match key {
            Ok(key) => found.push((key, auth)),
            Err(why) => leave(name, why),
        }
    }
    found
}

/// The names that the provider knows, for those that Claude Code sends by itself.
fn models(settings: &Value, leave: &mut impl FnMut(&str, &str)) -> Map<String, Value> {
    let mut models = Map::new();
    for (name, patterns) in MODELS {
        let Some(model) = variable(settings, name) else { continue };
        // A mark for the client alone.
        let model = model.strip_suffix("[1m]").unwrap_or(&model);
        if is_choice(model) {
            leave(name, "it is the client's choice among Anthropic's models, and stays in its settings");
            continue;
        }
        for pattern in patterns {
            models.entry(*pattern).or_insert_with(|| json!(model));
        }
    }
    models
}

/// Whether `model` is Anthropic's own.
fn is_choice(model: &str) -> bool {
    model.starts_with("claude-") || ["default", "best", "opus", "sonnet", "haiku", "opusplan"].contains(&model)
}

/// Variables that are not carried over.
fn others(settings: &Value) -> Vec<(String, &'static str)> {
    let handled = ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"];
    let known = |name: &str| handled.contains(&name) || MODELS.iter().any(|(model, _)| *model == name);
    let env = settings.get("env").and_then(Value::as_object);
    let names = env.into_iter().flat_map(Map::keys).filter(|name| !known(name));
    let why = |name: &String| {
        let listed = ELSEWHERE.iter().find(|(other, _)| other == name).map(|(_, why)| *why);
        listed.or_else(|| name.starts_with("ANTHROPIC_").then_some("it is the client's, and stays in its settings"))
    };
    names.filter_map(|name| Some((name.clone(), why(name)?))).collect()
}
