//! cc-switch: for each provider the settings that Claude Code is to have, in `config.json` or in the SQL it exports.

use serde_json::{Map, Value};

use super::brought::{Brought, Profile};
use super::claude;
use super::fields::text;

/// One provider, wherever it stood.
struct Provider<'v> {
    name: String,
    settings: Value,
    format: Option<&'v str>,
    current: bool,
}

pub(super) fn read(file: &Value) -> Brought {
    let mut brought = Brought::default();
    let found = match file.get("export").and_then(Value::as_array) {
        Some(rows) => exported(rows, &mut brought),
        None => configured(file, &mut brought),
    };
    for provider in found {
        enter(provider, &mut brought);
    }
    brought
}

fn enter(provider: Provider<'_>, brought: &mut Brought) {
    let Provider { name, settings, format, current } = provider;
    let of = format!("provider `{name}`");
    if let Some(format) = format.filter(|format| *format != "anthropic") {
        return brought.leave(of, format!("it speaks `{format}`, not the Messages API"));
    }
    let endpoints = claude::endpoints(&settings, Some(&of), &mut brought.left);
    if endpoints.is_empty() {
        return brought.leave(of, "it has no key of its own; a Claude login stays with Claude Code");
    }
    let endpoints = match endpoints.len() {
        1 => endpoints.into_iter().map(|endpoint| super::Endpoint { id: name.clone(), ..endpoint }).collect(),
        _ => endpoints,
    };
    if current {
        brought.active = Some(name.clone());
    }
    brought.profiles.push(Profile { name, endpoints, ..Profile::default() });
}

/// `{ claude: { providers: { ID: {...} }, current: ID } }`; at first there was only that inner object.
fn configured<'v>(file: &'v Value, brought: &mut Brought) -> Vec<Provider<'v>> {
    let apps = file.as_object().into_iter().flatten();
    for (app, value) in apps.filter(|(app, _)| *app != "claude") {
        let count = value.get("providers").and_then(Value::as_object).map_or(0, Map::len);
        if count > 0 {
            brought.leave(format!("{count} provider(s) of `{app}`"), "they are not for Claude Code");
        }
    }
    let section = file.get("claude").unwrap_or(file);
    let current = section.get("current").and_then(Value::as_str);
    let providers = section.get("providers").and_then(Value::as_object).into_iter().flatten();
    let provider = |(id, value): (&String, &'v Value)| Provider {
        name: text(value, "name").unwrap_or(id).to_owned(),
        settings: value.get("settingsConfig").cloned().unwrap_or_default(),
        format: value.pointer("/meta/apiFormat").and_then(Value::as_str),
        current: current == Some(id),
    };
    let mut found: Vec<(&'v Value, Provider<'v>)> =
        providers.map(|(id, value)| (value, provider((id, value)))).collect();
    found.sort_by_key(|(value, _)| value.get("sortIndex").and_then(Value::as_u64).unwrap_or(u64::MAX));
    found.into_iter().map(|(_, provider)| provider).collect()
}

/// Rows of the table.
fn exported<'v>(rows: &'v [Value], brought: &mut Brought) -> Vec<Provider<'v>> {
    let (ours, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| text(row, "app_type") == Some("claude"));
    if !others.is_empty() {
        brought.leave(format!("{} provider(s) of other programs", others.len()), "they are not for Claude Code");
    }
    let mut found: Vec<(u64, Provider<'v>)> = Vec::new();
    for row in ours {
        let name = text(row, "name").or_else(|| text(row, "id")).unwrap_or("provider").to_owned();
        let parsed = |column: &str| text(row, column).and_then(|json| serde_json::from_str::<Value>(json).ok());
        let Some(settings) = parsed("settings_config") else {
            brought.leave(format!("provider `{name}`"), "its settings are not JSON");
            continue;
        };
        let meta = parsed("meta").unwrap_or_default();
        // The word outlives the parsed text only as one of those that are known.
        let format = ["anthropic", "openai_chat", "openai_responses", "gemini_native"];
        let said = text(&meta, "apiFormat");
        let format = said.map(|said| format.into_iter().find(|known| *known == said).unwrap_or("another format"));
        let current = row.get("is_current").and_then(Value::as_i64) == Some(1);
        let at = row.get("sort_index").and_then(Value::as_u64).unwrap_or(u64::MAX);
        found.push((at, Provider { name, settings, format, current }));
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, provider)| provider).collect()
}
