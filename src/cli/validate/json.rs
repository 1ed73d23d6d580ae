//! One JSON document: `{ valid, files: [{ file, valid, sha256, errors, warnings, diagnostics: [...] }] }`.

use serde_json::{Value, json};

use super::is_valid;
use crate::config::{Diagnostic, Loaded};

pub(super) fn render(loaded: &[Loaded], deny_warnings: bool) -> String {
    let valid = loaded.iter().all(|loaded| is_valid(loaded, deny_warnings));
    let files: Vec<Value> = loaded.iter().map(|loaded| file(loaded, deny_warnings)).collect();
    format!("{:#}\n", json!({ "valid": valid, "files": files }))
}

fn file(loaded: &Loaded, deny_warnings: bool) -> Value {
    json!({
        "file": loaded.path.display().to_string(),
        "valid": is_valid(loaded, deny_warnings),
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
