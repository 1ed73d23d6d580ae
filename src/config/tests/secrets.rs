//! No secret of a file is ever shown, however broken the file is.

use std::path::Path;

use super::golden::fixtures;
use crate::config::{Loaded, load_bytes};

/// Everything of a loaded file that anyone shows.
fn shown(loaded: &Loaded) -> String {
    format!("{}{}{:?}", loaded.report(false), loaded.report(true), loaded.diagnostics)
}

/// An error on every line, so that every line is shown.
fn check(text: &str) {
    let loaded = load_bytes(Path::new("qcc.yaml"), text.as_bytes());
    assert!(!loaded.diagnostics.is_empty(), "nothing is shown of\n{text}");
    let shown = shown(&loaded);
    assert!(!shown.contains("canary"), "{text}\n{shown}");
}

/// Places where a secret may stand, `S` in its place.
const PLACES: &[&str] = &[
    "    api_key: S",
    "    api_key: 'S'",
    "    api_key: \"S\"",
    "    api_key:\n      S",
    "    api_key: |\n      S\n      S",
    "    api_key: >-\n      S",
    "    api_key: &k S",
    "    api_key: !!str S",
    "    \"api_key\": S",
    "    ? api_key\n    : S",
    "    api_key: [S]",
    "    api_key: { key: S }",
    "    api_key: { env: S-x }",
    "    api_key: { env: A, extra: S }",
    "    api_kye: S",
    "    apiKey: S",
    "    api-key: S",
    "    token: S",
    "    password: S",
    "    headers: { x-a: S }",
    "    headers:\n      x-a: S\n      x-b: 5",
    "    headers: S",
    "    client_cert: { cert: a, key: S }",
    "    base_url: https://S@host.example",
    "    base_url: https://user:S@host.example/x",
    "    base_url: https://host.example/x?key=S",
    "    proxy: http://u:S@proxy.example",
    "    api_key: a\n    api_key: S",
    "    # api_key: S",
    "    # ANTHROPIC_API_KEY=S",
    "    description: sk-ant-S-0123456789",
    "    description: 'no #1' # api_key: S",
    "    description: |\n      # no comment\n    # api_key: S",
];

/// The same, where the `:` is not where it belongs: such a text does not parse.
const BROKEN: &[&str] = &["    api_key S", "    token \"S\"", "    api_key:\n    S", "    api_key\n    : S"];

#[test]
fn secrets_are_blanked_where_the_colon_is_missing() {
    for place in BROKEN {
        let line = place.replace('S', "canary0123");
        for text in [
            format!("version: 1\nprofiles:\n  p:\n    tier: primary\n{line}\n    a: b: c\n"),
            format!("version: 1\nprofiles:\n  p:\n    tier: primary\n{line}\n    weight: 5\n"),
            format!("version: 1\nprofiles:\n  p:\n{line}\n"),
        ] {
            check(&text);
        }
    }
}

#[test]
fn secrets_are_blanked_wherever_they_stand() {
    for place in PLACES {
        let line = place.replace('S', "canary0123");
        for text in [
            format!("version: 1\nprofiles:\n  p:\n    bogus1: 1\n{line}\n    bogus2: 1\n"),
            format!("version: 1\nbogus0: 1\nx-anchors:\n  p:\n{line}\nbogus1: 1\n"),
            // The same in a text that does not parse.
            format!("version: 1\nprofiles:\n  p:\n{line}\n    a: b: c\n"),
            format!("version: 1\nprofiles:\n  p:\n    a: b: c\n{line}\n"),
            format!("version: 1\r\nprofiles:\r\n  p:\r\n{}\r\n    \"x\r\n", line.replace('\n', "\r\n")),
        ] {
            check(&text);
        }
    }
}

#[test]
fn secrets_beside_a_problem_in_one_line_are_blanked() {
    for text in [
        "profiles: { p: { api_key: canary0123, weigth: 1, base_url: 'https://canary0123@h' } }",
        "profiles: { p: { 中文: 中文, api_key: canary0123, weigth: 1 } }",
        "server: { clients: [ { nme: a, token: canary0123 } ], tls: { cert: a, key: canary0123, x: 1 } }",
        "notify: [ { on: [switch], webhook: 'https://hooks.example/canary0123', x: 1 } ]",
        "profiles: { p: { api_key: canary0123, weigth: 1 ",
        "profiles: { p: { api_key: \"canary0123",
        "profiles: { p: { api_key: canary0123: x } }",
        "canary-of-a-key: { sk-canary-0123456: 1 }",
    ] {
        let text = text.replace("canary-of-a-key", "bogus");
        check(&format!("{text}\n"));
    }
}

#[test]
fn a_blanked_secret_does_not_move_what_stands_behind_it() {
    let text = "profiles: { p: { tier: primary, api_key: 秘密秘密秘密, weigth: 1 } }\n";
    let loaded = load_bytes(Path::new("qcc.yaml"), text.as_bytes());
    let report = loaded.report(false);
    let found = loaded.diagnostics.iter().find(|d| d.code == "unknown-key").expect("the misspelt key is found");
    assert_eq!(found.column, 50);
    assert!(report.contains("qcc.yaml:1:50\n") && report.contains("api_key: ******, weigth"), "{report}");
}

#[test]
fn no_fixture_shows_a_canary() {
    for file in ["valid", "invalid", "warning"].into_iter().flat_map(fixtures) {
        let loaded = crate::config::load(&file);
        assert!(!shown(&loaded).contains("canary"), "{}", loaded.report(false));
    }
}

#[test]
fn references_stay_readable() {
    let text =
        "profiles:\n  p:\n    bogus: 1\n    api_key: { env: WORK_KEY }\n    base_url: https://a.example/x\n    x: 1\n";
    let report = load_bytes(Path::new("qcc.yaml"), text.as_bytes()).report(false);
    assert!(report.contains("env: WORK_KEY") && report.contains("https://a.example/x"), "{report}");
}
