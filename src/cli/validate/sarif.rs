//! SARIF 2.1.0, which code scanning services take.
//!
//! Specification: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>. Columns count characters, which
//! `columnKind` says.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{Diagnostic, Loaded};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn render(loaded: &[Loaded]) -> String {
    let rules = rules(loaded);
    let results: Vec<Value> = loaded
        .iter()
        .flat_map(|loaded| loaded.diagnostics.iter().map(|diagnostic| result(loaded, diagnostic, &rules)))
        .collect();
    let rules: Vec<Value> = rules.iter().map(|code| json!({ "id": code })).collect();
    let driver = json!({ "name": "qcc", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    let run = json!({ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results });
    format!("{:#}\n", json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] }))
}

/// Each code once, in the order of appearance.
fn rules(loaded: &[Loaded]) -> Vec<&'static str> {
    let codes = loaded.iter().flat_map(|loaded| &loaded.diagnostics).map(|diagnostic| diagnostic.code);
    codes.fold(Vec::new(), |mut seen, code| {
        if !seen.contains(&code) {
            seen.push(code);
        }
        seen
    })
}

fn result(loaded: &Loaded, diagnostic: &Diagnostic, rules: &[&str]) -> Value {
    let text = match &diagnostic.help {
        Some(help) => format!("{}\n{help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rules.iter().position(|code| *code == diagnostic.code),
        "level": diagnostic.severity.as_str(),
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&loaded.path) },
            "region": region(loaded, diagnostic),
        } }],
    })
}

/// The end is exclusive, as in our spans.
fn region(loaded: &Loaded, diagnostic: &Diagnostic) -> Value {
    let start = diagnostic.column;
    let text = diagnostic.span.clone().and_then(|span| loaded.text.get(span)).unwrap_or_default();
    let length = u32::try_from(text.chars().count()).unwrap_or_default();
    json!({ "startLine": diagnostic.line, "startColumn": start, "endColumn": start.saturating_add(length) })
}

/// A relative reference of RFC 3986, or `file:` for an absolute path.
fn uri(path: &Path) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let bytes = path.as_os_str().as_encoded_bytes();
    let escaped: String =
        bytes.iter().map(|b| if plain(*b) { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect();
    if path.is_absolute() { format!("file://{escaped}") } else { escaped }
}
