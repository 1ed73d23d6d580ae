//! `tests/fixtures/import/NAME/`: a tool's files, the `golden.yaml` they become, and in `left.txt` what is left.
//! `QCC_BLESS=1` rewrites the expectations.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Brought, Names, Plan, Tool, detect, plan, read, read_text};
use crate::config::{Secret, load_bytes};
use crate::patch;

const NOTHING: Names<'static> = Names { stored: &[], env: &|_| None };

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
    let entries = std::fs::read_dir(&dir).expect("the fixtures");
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    dirs.sort();
    assert!(dirs.len() >= 6, "only {dirs:?}");
    dirs
}

/// What the files of a case say, and the tool they are of.
fn bring(dir: &Path) -> (Tool, Brought) {
    let entries = std::fs::read_dir(dir).expect("a case").map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| !["golden.yaml", "left.txt"].iter().any(|own| path.ends_with(own))).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("text"));
    let values: Vec<Value> = texts.map(|text| read_text(&text).expect("it can be read")).collect();
    let tools: Vec<Tool> = values.iter().map(|value| detect(value).expect("a known tool")).collect();
    assert!(!tools.is_empty() && tools.iter().all(|tool| *tool == tools[0]), "{tools:?}");
    (tools[0], read(tools[0], &values))
}

/// The file that a plan makes of `text`.
fn written(text: &str, plan: &Plan) -> String {
    let loaded = load_bytes(Path::new("/nowhere/qcc.yaml"), text.as_bytes());
    let patch = patch::plan(&loaded, &plan.edits).expect("the edits can be done");
    assert!(patch.diagnostics.is_empty(), "{:?}\n{}", patch.diagnostics, patch.after);
    patch.after
}

fn value(text: &str) -> Value {
    load_bytes(Path::new("/nowhere/qcc.yaml"), text.as_bytes()).to_value()
}

#[test]
fn every_tool_becomes_the_file_a_person_would_have_written() {
    let bless = std::env::var_os("QCC_BLESS").is_some();
    for dir in cases() {
        let (_, brought) = bring(&dir);
        let plan = plan(brought, &Value::Null, &NOTHING);
        let left = plan.left.iter().map(|left| format!("{left}\n")).collect::<Vec<_>>().concat();
        for (name, found) in [("golden.yaml", written("version: 1\n", &plan)), ("left.txt", left)] {
            assert!(!found.contains("canary"), "{}: {found}", dir.display());
            if bless {
                std::fs::write(dir.join(name), &found).expect("the expectation can be written");
            }
            let expected = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            assert_eq!(found, expected, "{}/{name}", dir.display());
        }
        assert!(!format!("{plan:?}").contains("canary"));
    }
}

#[test]
fn importing_twice_is_importing_once() {
    for dir in cases() {
        let (_, brought) = bring(&dir);
        let first = plan(brought.clone(), &Value::Null, &NOTHING);
        let text = written("version: 1\n", &first);
        let again = plan(brought.clone(), &value(&text), &NOTHING);
        assert_eq!((written(&text, &again), again.keys), (text.clone(), vec![]), "{}", dir.display());
        let stored = plan(brought, &value(&text), &Names { stored: &first.keys, env: &|_| None });
        assert_eq!((written(&text, &stored), stored.keys), (text, vec![]), "{}", dir.display());
    }
}

#[test]
fn a_name_that_means_something_else_gets_a_number_and_no_traffic() {
    let text = "version: 1\nprofiles:\n  claude:\n    tier: primary\n    base_url: https://x.example\n    api_key: { env: \
                CLAUDE_BIGMODEL_CN_KEY }\n";
    let claude = cases().into_iter().find(|dir| dir.ends_with("claude")).expect("it is there");
    let plan = plan(bring(&claude).1, &value(text), &NOTHING);
    assert_eq!((plan.arrivals[0].name.as_str(), plan.arrivals[0].tier), ("claude-2", None));
    let text = written(text, &plan);
    assert!(text.contains("claude-2:\n    description:"), "{text}");
    assert_eq!(value(&text)["profiles"]["claude-2"]["tier"], Value::Null);
}

#[test]
fn the_same_address_with_another_key_is_something_else() {
    let settings = |key: &str| json!({ "env": { "ANTHROPIC_API_KEY": key } });
    let text = written("version: 1\n", &plan(read(Tool::Claude, &[settings("one")]), &Value::Null, &NOTHING));
    let held = [("CLAUDE_ANTHROPIC_KEY".to_owned(), Secret::new("one"))];
    for (key, name) in [("one", "claude"), ("two", "claude-2")] {
        let names = Names { stored: &held, env: &|_| None };
        let plan = plan(read(Tool::Claude, &[settings(key)]), &value(&text), &names);
        assert_eq!((plan.arrivals[0].name.as_str(), plan.arrivals[0].present), (name, key == "one"));
    }
}

#[test]
fn what_the_file_says_of_failover_stays() {
    let brought = || Brought {
        failover: serde_json::from_value(json!({ "failure_threshold": 2, "cooldown": "120s", "auto_recovery": true }))
            .expect("an object"),
        ..Brought::default()
    };
    let text = "version: 1\nfailover: { cooldown: 2m, failure_threshold: 9 }\n";
    let kept = plan(brought(), &value(text), &NOTHING);
    assert!(kept.edits.is_empty(), "{:?}", kept.edits);
    let left: Vec<&str> = kept.left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(left, ["`failover.failure_threshold`"]);
    assert_eq!(plan(brought(), &Value::Null, &NOTHING).edits.len(), 2, "a default need not be written");
}

#[test]
fn a_tool_is_told_by_what_its_files_say() {
    for (text, tool) in [
        (json!({ "Providers": [] }), Some(Tool::Router)),
        (json!({ "model_list": [] }), Some(Tool::LiteLlm)),
        (json!({ "priority_map": {} }), Some(Tool::Qcc)),
        (json!({ "profiles": {}, "user_id": "x" }), Some(Tool::Qcc)),
        (json!({ "claude": { "providers": {} } }), Some(Tool::Switch)),
        (json!({ "providers": {}, "current": "" }), Some(Tool::Switch)),
        (json!({ "export": [] }), Some(Tool::Switch)),
        (json!({ "env": {} }), Some(Tool::Claude)),
        (json!({ "version": 1, "profiles": {} }), None),
        (json!({}), None),
        (json!([1]), None),
    ] {
        assert_eq!(detect(&text), tool, "{text}");
    }
}

#[test]
fn files_of_another_shape_say_nothing_and_break_nothing() {
    let odd = json!({
        "profiles": { "a": 1, "b": { "endpoints": [1, { "id": [] }] } }, "priority_map": { "primary": 5 }, "policy": [],
        "Providers": [1, { "name": 2 }], "Router": { "default": "no comma", "think": 1 },
        "model_list": [1, { "model_name": "x", "litellm_params": { "model": 1 } }], "router_settings": 1,
        "claude": { "providers": { "a": 1, "b": { "settingsConfig": { "env": [] } } } }, "env": 1, "apiKeyHelper": 1,
    });
    for tool in Tool::ALL {
        for value in [&odd, &Value::Null, &json!([]), &json!("x"), &json!({ "export": [1, {}] })] {
            let brought = read(tool, std::slice::from_ref(value));
            assert!(brought.profiles.iter().all(|profile| profile.endpoints.is_empty()), "{tool:?} {value}");
        }
    }
}
