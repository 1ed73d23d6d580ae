//! The JSON Schema of `qcc.yaml`: `schema/qcc.schema.json`, generated from the types of [`super::model`].
//!
//! It serves editors (`qcc schema`) and is what [`super::load()`] checks a file against, so the two cannot disagree; a test
//! keeps it what the types say. Its checks are compiled in: a proxy that starts neither generates nor compiles a schema.

#[cfg(test)]
pub(crate) mod generated;

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::units::{Dur, Percent, Size};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../schema/qcc.schema.json")).expect("a test compares it with the types")
});

/// The checks of the schema, compiled in.
#[jsonschema::validator(
    path = "schema/qcc.schema.json",
    draft = Draft202012,
    validate_formats = true,
    pattern_options = { engine = regex },
    formats = {
        "qcc-duration" => crate::config::schema::is_duration,
        "qcc-size" => crate::config::schema::is_size,
        "qcc-percent" => crate::config::schema::is_percent,
    },
    methods = { is_valid = false, validate = false, iter_errors = true },
)]
pub(super) struct Checks;

fn is_duration(text: &str) -> bool {
    text.parse::<Dur>().is_ok()
}

fn is_size(text: &str) -> bool {
    text.parse::<Size>().is_ok()
}

fn is_percent(text: &str) -> bool {
    text.parse::<Percent>().is_ok()
}

/// The schema of the whole file, draft 2020-12.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The subschema at a JSON pointer of the schema, `$ref` resolved.
pub(super) fn subschema(pointer: &str) -> Option<&'static Value> {
    resolve(SCHEMA.pointer(pointer)?)
}

/// Follows `$ref`.
pub(super) fn resolve(schema: &'static Value) -> Option<&'static Value> {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => resolve(SCHEMA.pointer(reference.strip_prefix('#')?)?),
        None => Some(schema),
    }
}

/// A key without a value stands for an empty section where one may be empty: `server:` is `server: {}`.
///
/// Not so for `clients`: a list whose entries were all commented out must not open the proxy.
pub(super) fn fill_blank_sections(value: &mut Value) {
    fill(value, &SCHEMA);
}

fn fill(value: &mut Value, schema: &'static Value) {
    let Some(schema) = resolve(schema) else { return };
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if let Some(schema) = property(schema, key) {
                    fill(value, schema);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    fill(item, schema);
                }
            }
        }
        Value::Null => *value = blank(schema).unwrap_or(Value::Null),
        _ => {}
    }
}

fn property(schema: &'static Value, key: &str) -> Option<&'static Value> {
    let known = schema.get("properties").and_then(|properties| properties.get(key));
    known.or_else(|| schema.get("additionalProperties").filter(|open| open.is_object()))
}

fn blank(schema: &Value) -> Option<Value> {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Some(json!({})),
        Some("array") if schema.get("minItems").is_none() => Some(json!([])),
        _ => None,
    }
}
