//! The JSON Schema of `qcc.yaml`, generated from the types of [`super::model`].
//!
//! It serves editors (`qcc schema`, `schema/qcc.schema.json`) and is what [`super::load()`] checks a file against, so the two
//! cannot disagree. What serde cannot express is added by transforms:
//!
//! - optional values lose their `null` branch: an absent key is written by leaving it out;
//! - every object is closed; only top-level `x-...` keys are free;
//! - `patternErrorMessage` says in words what a pattern wants (editors know this key too).

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::{Map, Value, json};

use super::model::Config;
use super::units::{Dur, Percent, Size};

static SCHEMA: LazyLock<Value> = LazyLock::new(generate);
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .with_format("qcc-duration", |text: &str| text.parse::<Dur>().is_ok())
        .with_format("qcc-size", |text: &str| text.parse::<Size>().is_ok())
        .with_format("qcc-percent", |text: &str| text.parse::<Percent>().is_ok())
        .build(&SCHEMA)
        .expect("the schema is generated from our own types, the same every time")
});

/// The schema of the whole file, draft 2020-12.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The compiled schema.
pub(super) fn validator() -> &'static Validator {
    &VALIDATOR
}

fn generate() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(strip_null).with_transform(close_objects);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("$id".to_owned(), json!("urn:qcc:config:1"));
    let free = json!({ "^x-": { "description": "Free for your own use, for example as a place for YAML anchors." } });
    schema.insert("patternProperties".to_owned(), free);
    schema.to_value()
}

/// `Option<T>` -> `T`.
fn strip_null(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        strip_null_type(object);
        strip_null_branch(object);
    }
    transform_subschemas(&mut strip_null, schema);
}

fn strip_null_type(object: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = object.get_mut("type") else { return };
    types.retain(|name| name != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        object.insert("type".to_owned(), only);
    }
}

fn strip_null_branch(object: &mut Map<String, Value>) {
    let null = json!({ "type": "null" });
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else { return };
    branches.retain(|branch| *branch != null);
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// No object takes keys it does not know.
fn close_objects(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut().filter(|object| object.contains_key("properties")) {
        object.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    transform_subschemas(&mut close_objects, schema);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_checked_in_schema_is_what_the_types_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/qcc.schema.json");
        let text = format!("{:#}\n", schema());
        if std::env::var_os("QCC_BLESS").is_some() {
            std::fs::write(&path, &text).expect("the schema can be written");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == text, "schema/qcc.schema.json is stale; run the tests with QCC_BLESS=1");
    }

    #[test]
    fn the_schema_is_a_schema() {
        jsonschema::draft202012::meta::validate(schema()).expect("draft 2020-12 accepts it");
    }

    fn walk(at: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(at, schema);
        let children = schema.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value));
        let items = schema.as_array().into_iter().flatten().enumerate().map(|(i, value)| (i.to_string(), value));
        for (key, value) in children.chain(items) {
            walk(&format!("{at}/{key}"), value, visit);
        }
    }

    #[test]
    fn every_property_is_described_and_every_object_closed() {
        let mut properties = 0;
        walk("", schema(), &mut |at, schema| {
            let Some(found) = schema.get("properties").and_then(Value::as_object) else { return };
            assert_eq!(schema.get("additionalProperties"), Some(&Value::Bool(false)), "{at} is open");
            for (name, property) in found {
                properties += 1;
                let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(text.len() > 10, "{at}/properties/{name} has no description");
                assert!(!property.to_string().contains("null"), "{at}/properties/{name} takes null: {property}");
            }
        });
        assert!(properties > 80, "only {properties} properties were seen");
    }
}
