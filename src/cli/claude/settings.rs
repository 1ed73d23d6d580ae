//! Claude Code's settings as a text in which a few keys are ours.
//!
//! - Only [`KEYS`] change; other keys, their order, indentation and line ends stay.
//! - The result is read again, and must be the old value with those keys changed: else nothing is done.
//! - A text that is not JSON is not touched, and errors quote nothing of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::target::{Credential, PLACEHOLDER, Target};
use super::{json, shell};
use crate::cli::edit::Failure;

/// The keys that `qcc use` sets and removes, as JSON pointers.
pub(super) const KEYS: [&str; 4] =
    ["/env/ANTHROPIC_BASE_URL", "/env/ANTHROPIC_API_KEY", "/env/ANTHROPIC_AUTH_TOKEN", "/apiKeyHelper"];

/// More than any settings file has.
const CAP: u64 = 1 << 20;

/// What [`KEYS`] say, in their order; `None` is not there.
#[derive(Clone, Debug, PartialEq)]
struct Own([Option<Value>; 4]);

impl Own {
    /// What points Claude Code at `target`, where `before` stands now. A secret is asked for by a command, so that it is
    /// not in the file.
    fn of(target: &Target, before: &Value) -> Self {
        let url = Some(json!(target.base_url));
        let helper = target.helper().map(|words| json!(shell::line(&words)));
        match target.credential {
            Credential::Placeholder => Self([url, Some(json!(PLACEHOLDER)), None, None]),
            Credential::Secret { .. } => Self([url, None, None, helper]),
            Credential::Own => {
                let Self([_, key, token, helper]) = Self::in_value(before);
                Self([url, key.filter(|key| key != PLACEHOLDER), token, helper.filter(|helper| !is_ours(helper))])
            }
        }
    }

    fn in_value(value: &Value) -> Self {
        Self(KEYS.map(|key| value.pointer(key).cloned()))
    }
}

/// Whether an `apiKeyHelper` is one that [`Own::of`] writes.
fn is_ours(helper: &Value) -> bool {
    helper.as_str().is_some_and(|line| line.contains("qcc") && line.contains(" key "))
}

/// `CLAUDE_CONFIG_DIR`, else `~/.claude`, and in it the user's settings.
pub(super) fn path() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("CLAUDE_CONFIG_DIR").or_else(|| set("HOME").map(|home| home.join(".claude")));
    let homeless =
        || Failure::CouldNot("neither CLAUDE_CONFIG_DIR nor HOME says where Claude Code's settings are".into());
    directory.map(|directory| directory.join("settings.json")).ok_or_else(homeless)
}

/// The text of the settings at `path`; `None` if there are none yet.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let failed = |why: String| Failure::CouldNot(format!("`{}`: {why}", path.display()));
    match fs::metadata(path) {
        // Asked before reading: a pipe would wait for a writer.
        Ok(found) if !found.is_file() => Err(failed("it is not a regular file".to_owned())),
        Ok(found) if found.len() > CAP => Err(failed("it is larger than 1 MiB".to_owned())),
        Ok(_) => fs::read_to_string(path).map(Some).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `text` with what points Claude Code at `target`. Errors say what is wrong with the text.
pub(super) fn point(text: &str, target: &Target) -> Result<String, String> {
    edit(text, &Own::of(target, &value(text)?))
}

/// `text` with our keys as in `own`.
fn edit(text: &str, own: &Own) -> Result<String, String> {
    let before = value(text)?;
    let (mark, plain) = text.strip_prefix('\u{FEFF}').map_or(("", text), |plain| ("\u{FEFF}", plain));
    let plain = if plain.trim().is_empty() { "{}\n" } else { plain };
    let change = |text: String, (key, value): (&&str, &Option<Value>)| {
        let path: Vec<&str> = key.split('/').skip(1).collect();
        json::set(&text, &path, value.as_ref())
    };
    let after = KEYS.iter().zip(&own.0).try_fold(plain.to_owned(), change)?;
    let after = format!("{mark}{after}");
    if value(&after)? == expected(before, own) {
        return Ok(after);
    }
    Err("it cannot be changed without changing more than was asked; perhaps it has a key twice".to_owned())
}

/// `text` with our keys as in `previous`; where that makes the two mean the same, it is `previous` to the byte.
pub(super) fn restore(text: &str, previous: &str) -> Result<String, String> {
    let own = Own::in_value(&value(previous)?);
    let restored = edit(text, &own)?;
    let same = without_empty_env(value(&restored)?) == without_empty_env(value(previous)?);
    Ok(if same { previous.to_owned() } else { restored })
}

/// What our key at `pointer` says in `text`.
pub(super) fn base_url(text: &str) -> Option<String> {
    value(text).ok()?.pointer(KEYS[0])?.as_str().map(str::to_owned)
}

/// The meaning of `text`; of an empty one, nothing is set.
fn value(text: &str) -> Result<Value, String> {
    let plain = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if plain.trim().is_empty() {
        return Ok(json!({}));
    }
    // The parser's message names a position, never the text there.
    serde_json::from_str(plain).map_err(|error| {
        format!("it is not JSON (line {}, column {}); nothing was changed", error.line(), error.column())
    })
}

/// What the edit makes of the plain value.
fn expected(mut before: Value, own: &Own) -> Value {
    let Some(top) = before.as_object_mut() else { return before };
    let had = top.get("env").and_then(Value::as_object).map(Map::len);
    let mut env = top.get("env").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in KEYS.iter().zip(&own.0) {
        let (place, name) = match key.strip_prefix("/env/") {
            Some(name) => (&mut env, name),
            None => (&mut *top, &key[1..]),
        };
        match value {
            Some(value) => drop(place.insert(name.to_owned(), value.clone())),
            None => drop(place.shift_remove(name)),
        }
    }
    match had {
        None if env.is_empty() => {}
        Some(1..) if env.is_empty() => drop(top.shift_remove("env")),
        _ => drop(top.insert("env".to_owned(), Value::Object(env))),
    }
    before
}

fn without_empty_env(mut value: Value) -> Value {
    if let Some(top) = value.as_object_mut().filter(|top| top.get("env") == Some(&json!({}))) {
        top.shift_remove("env");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Auth;

    fn proxy() -> Own {
        Own([Some(json!("http://127.0.0.1:7860")), Some(json!("proxy-managed")), None, None])
    }

    #[test]
    fn other_keys_keep_their_order_their_layout_and_their_line_ends() {
        let text = "{\r\n\t\"model\": \"opus\",\r\n\t\"env\": { \"A\": \"备用\" },\r\n\t\"apiKeyHelper\": \"old\",\r\n\t\"permissions\": {\"allow\": [ 1,2 ]}\r\n}";
        let after = edit(text, &proxy()).expect("JSON");
        let expected = "{\r\n\t\"model\": \"opus\",\r\n\t\"env\": { \"A\": \"备用\", \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:7860\", \"ANTHROPIC_API_KEY\": \"proxy-managed\" },\r\n\t\"permissions\": {\"allow\": [ 1,2 ]}\r\n}";
        assert_eq!(after, expected);
        assert_eq!(restore(&after, text).expect("JSON"), text, "back to the byte");
    }

    #[test]
    fn nothing_at_all_becomes_a_small_file_and_back() {
        for text in ["", "{}", "{\n}\n", "\u{FEFF}{}"] {
            let after = edit(text, &proxy()).expect("JSON");
            assert!(after.contains("  \"env\": {\n    \"ANTHROPIC_BASE_URL\""), "{after}");
            assert_eq!(restore(&after, text).expect("JSON"), text);
        }
    }

    #[test]
    fn a_credential_of_its_own_stays_and_what_stood_in_its_place_goes() {
        let target = Target {
            base_url: "https://a.example".to_owned(),
            auth: Auth::Passthrough,
            credential: Credential::Own,
            renames: false,
            file: PathBuf::from("/qcc.yaml"),
        };
        for (before, after) in [
            (json!({ "apiKeyHelper": "/bin/mine" }), json!({ "apiKeyHelper": "/bin/mine" })),
            (json!({ "apiKeyHelper": "/bin/qcc -c /qcc.yaml key a/b" }), json!({})),
            (json!({ "env": { "ANTHROPIC_API_KEY": "proxy-managed" } }), json!({})),
        ] {
            let made = point(&before.to_string(), &target).and_then(|text| value(&text));
            let mut expected = after;
            expected["env"] = json!({ "ANTHROPIC_BASE_URL": "https://a.example" });
            assert_eq!(made, Ok(expected), "{before}");
        }
    }

    #[test]
    fn what_was_changed_since_stays_when_our_keys_go_back() {
        let before = "{\n  \"env\": {\n    \"ANTHROPIC_AUTH_TOKEN\": \"old\"\n  }\n}\n";
        let after = edit(before, &proxy()).expect("JSON");
        assert!(!after.contains("AUTH_TOKEN"), "{after}");
        let since = after.replacen('{', "{\n  \"model\": \"opus\",", 1);
        let back = restore(&since, before).expect("JSON");
        assert_eq!(value(&back), Ok(json!({ "model": "opus", "env": { "ANTHROPIC_AUTH_TOKEN": "old" } })));
        assert!(back.starts_with("{\n  \"model\": \"opus\","), "{back}");
    }

    #[test]
    fn what_is_not_understood_is_not_touched_and_not_quoted() {
        for text in [
            "{\"env\": canary}",
            "[]",
            "{\"env\": \"canary\"}",
            "{\"apiKeyHelper\": 1, \"apiKeyHelper\": 2}",
            "{ // canary\n}",
        ] {
            let why = edit(text, &proxy()).expect_err(text);
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn an_edit_that_changes_nothing_keeps_every_byte() {
        let text =
            "{\"env\":{\"ANTHROPIC_API_KEY\":\"proxy-managed\",   \"ANTHROPIC_BASE_URL\":\"http://127.0.0.1:7860\"}}";
        assert_eq!(edit(text, &proxy()).as_deref(), Ok(text));
    }
}
