//! Values of other tools as values of a `qcc.yaml`.

use serde_json::{Map, Value, json};

/// The text at `key`, if there is one that is not blank.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// Seconds as a duration of the file; `None`: it is no positive number.
pub(super) fn seconds(value: &Value) -> Option<Value> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| *number > 0.0)?;
    let whole = number.fract() == 0.0;
    Some(if whole { json!(format!("{number}s")) } else { json!(format!("{:.0}ms", number * 1000.0)) })
}

/// `key: value`, if there is a value.
pub(super) fn put(fields: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        fields.insert(key.to_owned(), value);
    }
}

/// A name that a profile or an endpoint can have.
pub(super) fn name(text: &str) -> String {
    let parts = text.split(|c: char| c.is_whitespace() || "/[]".contains(c)).filter(|part| !part.is_empty());
    let name = parts.collect::<Vec<_>>().join("-");
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// The variable for the key of the endpoint `id` of `profile`.
pub fn variable(profile: &str, id: &str) -> String {
    let parts: Vec<String> = [profile, id].iter().map(|part| word(part)).filter(|part| !part.is_empty()).collect();
    let same = parts.len() == 2 && parts[0] == parts[1];
    let name = if same { parts[0].clone() } else { parts.join("_") };
    match name.bytes().next() {
        None => "QCC_KEY".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("QCC_{name}_KEY"),
        Some(_) => format!("{name}_KEY"),
    }
}

/// Capital letters, digits and single `_`.
fn word(text: &str) -> String {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_file_can_have() {
        for (text, expected) in [("work", "work"), ("My work / [eu]", "My-work-eu"), ("备用", "备用"), (" ", "unnamed")]
        {
            assert_eq!(name(text), expected);
        }
        for (profile, id, expected) in [
            ("production", "work", "PRODUCTION_WORK_KEY"),
            ("glm", "glm", "GLM_KEY"),
            ("备用", "z.ai", "Z_AI_KEY"),
            ("备用", "一", "QCC_KEY"),
            ("302", "302", "QCC_302_KEY"),
        ] {
            assert_eq!(variable(profile, id), expected);
        }
    }

    #[test]
    fn seconds_are_written_with_their_unit() {
        for (value, expected) in [(json!(600), Some("600s")), (json!("30"), Some("30s")), (json!(0.25), Some("250ms"))]
        {
            assert_eq!(seconds(&value), expected.map(Value::from));
        }
        assert_eq!((seconds(&json!(0)), seconds(&json!(null)), seconds(&json!("os.environ/T"))), (None, None, None));
    }
}
