//! What an unquoted word of YAML means: the core schema of YAML 1.2.2, section 10.3.2. `yes`, `on`, `1_000`, `1:30` and dates are plain text.

use granit_parser::Tag;
use serde_json::{Number, Value};

/// What a scalar of the file means, `plain` if it is not quoted; `None`: it is text.
pub(crate) fn meaning(text: &str, plain: bool, tag: Option<&Tag>) -> Option<Value> {
    let word = match tag.and_then(Tag::core_suffix) {
        Some(name) => name != "str",
        None => plain && !tag.is_some_and(is_non_specific),
    };
    if word { resolve(text) } else { None }
}

/// `!`: read it as text.
pub(super) fn is_non_specific(tag: &Tag) -> bool {
    tag.parts() == ("", "!")
}

/// The null, boolean or number that `word` stands for; `None`: it is text.
///
/// `.inf` and `.nan` stay text: no key of ours takes them, and JSON has no such numbers.
pub(crate) fn resolve(word: &str) -> Option<Value> {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => Some(Value::Bool(false)),
        _ => number(word).map(Value::Number),
    }
}

fn number(word: &str) -> Option<Number> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    radix(word, "0o", 8)
        .or_else(|| radix(word, "0x", 16))
        .or_else(|| integer(word, digits))
        .or_else(|| decimal(word, digits))
}

fn radix(word: &str, prefix: &str, radix: u32) -> Option<Number> {
    let digits = word.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
    u64::from_str_radix(digits, radix).ok().map(Number::from)
}

fn integer(word: &str, digits: &str) -> Option<Number> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let unsigned = word.parse::<u64>().ok().map(Number::from);
    unsigned.or_else(|| word.parse::<i64>().ok().map(Number::from))
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn decimal(word: &str, digits: &str) -> Option<Number> {
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let well_formed = mantissa.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    well_formed.then(|| word.parse().ok()).flatten().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::resolve;

    #[test]
    fn words_mean_what_the_core_schema_says() {
        for (word, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("TRUE", json!(true)),
            ("false", json!(false)),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("007", json!(7)),
            ("0o17", json!(15)),
            ("0xfF", json!(255)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(resolve(word), Some(value), "{word}");
        }
        for text in
            ["yes", "on", "1_000", "1:30", "2026-11-23", "-", "+", ".", "e3", "0x", "0xg", ".inf", "1e", "5m", "1.2.3"]
        {
            let resolved = resolve(text);
            assert!(resolved.is_none(), "{text}: {resolved:?}");
        }
    }
}
