//! A LiteLLM proxy's configuration: each deployment of `model_list` that speaks the Messages API is part of an endpoint.
//!
//! LiteLLM lists an account once for each model; an endpoint is an account with all its models. So deployments with the
//! same address and key are one endpoint.

use serde_json::{Map, Value, json};

use super::address::{self, ANTHROPIC, base_url};
use super::brought::{Brought, Endpoint, Profile};
use super::fields::{put, seconds, text};
use super::key::Key;
use super::names::free;
use crate::config::model::{Auth, Timeouts};

const PROFILE: &str = "litellm";
/// How it refers to variables.
const MARKS: [(&str, &str); 1] = [("os.environ/", "")];
/// The variable it takes a key from when none is given.
const USUAL: &str = "ANTHROPIC_API_KEY";
/// Before the name of a model: who serves it.
const PREFIX: &str = "anthropic/";

/// How long it waits, and what that is called at an endpoint.
const WAITS: [(&str, &str); 2] = [("stream_timeout", "first_byte"), ("timeout", "first_byte_unary")];

/// Parameters of a deployment that have a place at an endpoint, or need none.
const KNOWN: [&str; 9] =
    ["model", "api_base", "base_url", "api_key", "custom_llm_provider", "weight", "order", "timeout", "stream_timeout"];

pub(super) fn read(file: &Value) -> Brought {
    let mut brought = Brought::default();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for item in file.get("model_list").and_then(Value::as_array).into_iter().flatten() {
        let name = text(item, "model_name").unwrap_or("?");
        let params = item.get("litellm_params").unwrap_or(&Value::Null);
        match Deployment::of(name, params) {
            Ok(deployment) => deployment.enter(&mut endpoints, &mut brought),
            Err(why) => brought.leave(format!("model `{name}`"), why),
        }
    }
    if !endpoints.is_empty() {
        if endpoints.len() > 1 {
            let why = "an endpoint is asked for every model; its `models` says what it calls them";
            brought.leave("which account serves which model", why);
        }
        let strategy = strategy(file, &mut brought);
        brought.active = Some(PROFILE.to_owned());
        let name = PROFILE.to_owned();
        brought.profiles.push(Profile { name, strategy, endpoints, ..Profile::default() });
    }
    sections(file, &mut brought);
    brought
}

/// One item of `model_list`.
struct Deployment<'v> {
    /// What clients ask for.
    name: &'v str,
    /// What the provider calls it.
    model: &'v str,
    base_url: String,
    key: Key,
    params: &'v Value,
}

impl<'v> Deployment<'v> {
    fn of(name: &'v str, params: &'v Value) -> Result<Self, &'static str> {
        let model = model(params).ok_or("it does not speak the Messages API, and qcc does not translate")?;
        let base = text(params, "api_base").or_else(|| text(params, "base_url"));
        if base.is_some_and(|base| base.starts_with("os.environ/")) {
            return Err("its address is in a variable; a `base_url` is written out");
        }
        let base_url = base.map_or(Ok(ANTHROPIC.to_owned()), base_url)?;
        if params.get("litellm_credential_name").is_some() {
            return Err("its key is in a credential of LiteLLM's own");
        }
        let usual = || Ok(Key::Variable(USUAL.to_owned()));
        let key = text(params, "api_key").map_or_else(usual, |text| Key::marked(text, &MARKS))?;
        Ok(Self { name, model, base_url, key, params })
    }

    /// Adds it to the endpoint of its account.
    fn enter(self, endpoints: &mut Vec<Endpoint>, brought: &mut Brought) {
        let same = |endpoint: &&mut Endpoint| endpoint.base_url == self.base_url && endpoint.key == self.key;
        let fields = self.fields();
        for (key, value) in self.params.as_object().into_iter().flatten() {
            let why = match key.as_str() {
                key if WAITS.iter().any(|(wait, _)| *wait == key) && outlasts(value) => {
                    "it is longer than a request may wait here, see `timeouts.request`"
                }
                key if KNOWN.contains(&key) => continue,
                _ => "an endpoint has no such setting",
            };
            brought.leave(format!("`{key}` of model `{}`", self.name), why);
        }
        if let Some(endpoint) = endpoints.iter_mut().find(same) {
            let told = differs(&fields, endpoint);
            if let Some(key) = told {
                let what = format!("`{key}` of model `{}`", self.name);
                brought
                    .leave(what, "it differs from that of another model of the same account, and an endpoint has one");
            }
            return self.map(endpoint, brought);
        }
        let label = address::label(&self.base_url);
        let id = free(&label, "-", |id| endpoints.iter().all(|endpoint| endpoint.id != id));
        let (base_url, key) = (self.base_url.clone(), self.key.clone());
        let mut endpoint = Endpoint { id, base_url, key, auth: Auth::XApiKey, fields };
        self.map(&mut endpoint, brought);
        endpoints.push(endpoint);
    }

    /// What it says of its share and of waiting.
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let whole = |key: &str| self.params.get(key).and_then(Value::as_u64).map(Value::from);
        put(&mut fields, "weight", whole("weight"));
        put(&mut fields, "priority", whole("order"));
        let mut timeouts = Map::new();
        for (key, name) in WAITS {
            put(&mut timeouts, name, self.params.get(key).filter(|value| !outlasts(value)).and_then(seconds));
        }
        put(&mut fields, "timeouts", (!timeouts.is_empty()).then(|| timeouts.into()));
        fields
    }

    /// Enters the name that the provider has for the model.
    fn map(&self, endpoint: &mut Endpoint, brought: &mut Brought) {
        let (name, model) = (self.name.strip_prefix(PREFIX).unwrap_or(self.name), self.model);
        let what = || format!("model `{}`", self.name);
        if model.ends_with('*') {
            // Whatever fits is passed on under its own name.
            if model.trim_end_matches('*').is_empty() || name == model {
                return;
            }
            return brought.leave(what(), "a name with `*` can only be replaced by one without");
        }
        let models = endpoint.fields.entry("models").or_insert_with(|| json!({}));
        let Some(models) = models.as_object_mut() else { return };
        let before = models.get(self.name).cloned();
        if before.as_ref().is_some_and(|before| before != model) {
            brought.leave(what(), "the same account serves it by two names, and an endpoint replaces by one");
        } else if self.name != model {
            models.insert(self.name.to_owned(), json!(model));
        }
        if endpoint.fields.get("models") == Some(&json!({})) {
            endpoint.fields.shift_remove("models");
        }
    }
}

/// The first field that the endpoint has otherwise.
fn differs(fields: &Map<String, Value>, endpoint: &Endpoint) -> Option<&'static str> {
    ["weight", "priority", "timeouts"].into_iter().find(|key| fields.get(*key) != endpoint.fields.get(*key))
}

/// Whether a wait in seconds is longer than all waiting of a request.
fn outlasts(value: &Value) -> bool {
    let longest = Timeouts::default().request.get().as_secs_f64();
    value.as_f64().is_some_and(|seconds| seconds >= longest)
}

/// What Anthropic, or who is compatible with it, calls the model; `None`: another format.
fn model(params: &Value) -> Option<&str> {
    let model = text(params, "model")?;
    let named = model.strip_prefix(PREFIX);
    let told = || (text(params, "custom_llm_provider") == Some("anthropic")).then_some(model);
    let bare = || (model.starts_with("claude-") && !model.contains('/')).then_some(model);
    named.or_else(told).or_else(bare)
}

/// How deployments share.
fn strategy(file: &Value, brought: &mut Brought) -> Option<&'static str> {
    match file.pointer("/router_settings/routing_strategy").and_then(Value::as_str)? {
        "simple-shuffle" => None,
        "least-busy" => Some("least_requests"),
        "latency-based-routing" => Some("latency"),
        _ => {
            brought.leave("`router_settings.routing_strategy`", "qcc has no such strategy; see `strategy`");
            None
        }
    }
}

/// What is said outside of `model_list`.
fn sections(file: &Value, brought: &mut Brought) {
    for section in ["router_settings", "litellm_settings", "general_settings"] {
        let keys = file.get(section).and_then(Value::as_object).into_iter().flat_map(Map::keys);
        for key in keys.filter(|key| *key != "routing_strategy") {
            brought.leave(format!("`{section}.{key}`"), why(key));
        }
    }
    let others = ["environment_variables", "credential_list"];
    for key in others.into_iter().filter(|key| file.get(*key).is_some_and(|value| !value.is_null())) {
        brought.leave(format!("`{key}`"), "keys belong into the environment or the `.env` beside the file");
    }
}

fn why(key: &str) -> &'static str {
    match key {
        "fallbacks" | "default_fallbacks" | "context_window_fallbacks" => {
            "qcc fails over to the next endpoint and profile for every model; see `tier`"
        }
        "num_retries" => "see `retry.max_attempts`",
        "allowed_fails" => "see `failover.failure_threshold`",
        "timeout" | "request_timeout" | "stream_timeout" => "qcc has a wait for each phase, see `timeouts`",
        "master_key" => "who may call is said under `server.clients`",
        _ => "qcc has nothing of the kind",
    }
}
