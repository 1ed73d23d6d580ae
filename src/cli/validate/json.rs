//! One JSON document: `{ valid, files: [{ file, valid, sha256, errors, warnings, diagnostics: [...] }] }`.

use serde_json::{Value, json};

use crate::config::{Diagnostic, Loaded};

pub(super) fn render(loaded: &[Loaded]) -> String {
    let valid = loaded.iter().all(|loaded| loaded.errors() == 0);
    format!("{:#}\n", json!({ "valid": valid, "files": loaded.iter().map(file).collect::<Vec<_>>() }))
}

fn file(loaded: &Loaded) -> Value {
    json!({
        "file": loaded.path.display().to_string(),
        "valid": loaded.errors() == 0,
        "sha256": loaded.sha256,
        "errors": loaded.errors(),
        "warnings": loaded.warnings(),
        "diagnostics": loaded.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
    })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": diagnostic.severity.as_str(),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "span": diagnostic.span.as_ref().map(|span| [span.start, span.end]),
    })
}
