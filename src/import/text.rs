//! From the text of a file to plain values: JSON, YAML, or the SQL that cc-switch exports.

use std::fmt;

use serde_json::Value;

use super::sql;

/// Why a text says nothing. Names places, never what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRead(String);

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRead {}

/// What `text` says.
pub fn read_text(text: &str) -> Result<Value, NotRead> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if sql::is_export(text) {
        return Ok(sql::providers(text));
    }
    let json = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if text.trim_start().starts_with('{') && serde_yaml::from_str::<Value>(text).is_err() {
        return Err(NotRead(format!("it is not JSON (line {}, column {})", json.line(), json.column())));
    }
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        NotRead(format!("it is neither JSON nor YAML{}", place.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_yaml_and_what_is_nearly_json_are_read() {
        for text in ["{\"a\": [1]}", "a: [1]\n", "{'a': [1,],}", "\u{FEFF}{\"a\":[1]}"] {
            assert_eq!(read_text(text), Ok(json!({ "a": [1] })), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        for text in ["{\"key\": \"sk-canary\" \"x\"}", "a: [sk-canary\nb: }"] {
            let why = read_text(text).expect_err(text).to_string();
            assert!(why.contains("line") && !why.contains("canary"), "{why}");
        }
    }
}
