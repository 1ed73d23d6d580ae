//! The schema as the types give it, compared with the one that is checked in. What serde cannot express is added by transforms:
//!
//! - optional values lose their `null` branch: an absent key is written by leaving it out;
//! - every object is closed; only top-level `x-...` keys are free;
//! - `patternErrorMessage` says in words what a pattern wants (editors know this key too).

use std::path::Path;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::{Map, Value, json};

use super::schema;
use crate::config::model::Config;

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

/// `schema/<name>` is `text`; with `QCC_BLESS` set it is made so.
pub(crate) fn assert_checked_in(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    if std::env::var_os("QCC_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "schema/{name} is stale; run the tests with QCC_BLESS=1, then again without");
}

#[test]
fn the_checked_in_schema_is_what_the_types_say() {
    assert_checked_in("qcc.schema.json", &format!("{:#}\n", generate()));
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
