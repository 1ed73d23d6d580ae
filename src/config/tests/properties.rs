//! Whatever the bytes: an answer, and one that makes sense.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::{ValidationError, Validator};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::golden::fixtures;
use crate::config::document::Document;
use crate::config::schema::Checks;
use crate::config::units::{Dur, Percent, Size};
use crate::config::{Loaded, load_bytes, parse, schema};

fn check(bytes: &[u8]) -> Loaded {
    let loaded = load_bytes(Path::new("qcc.yaml"), bytes);
    assert_eq!(loaded.config.is_some(), loaded.errors() == 0);
    for diagnostic in &loaded.diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
        if let Some(span) = &diagnostic.span {
            assert!(loaded.text.get(span.clone()).is_some(), "{diagnostic:?} is not a part of the text");
        }
    }
    let _ = loaded.report(false);
    loaded
}

fn corpus() -> Vec<Vec<u8>> {
    let files = ["valid", "invalid", "warning"].into_iter().flat_map(fixtures);
    files.map(|file| std::fs::read(file).expect("a readable fixture")).filter(|bytes| bytes.len() < 4096).collect()
}

/// Pieces that change what a YAML text means.
const PIECES: &[&str] = &[
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "|",
    ">",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "#",
    "---\n",
    "...",
    "%",
    "@",
    "`",
    "?",
    "null",
    "~",
    "0x1",
    "1e9",
    "中",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "\u{2028}",
    "\r",
    "sk-ant-x",
    "api_key: ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_never_panic(which: Index, edits in proptest::collection::vec((any::<Index>(), any::<Index>(), 0_usize..12), 1..6)) {
        let corpus = corpus();
        let mut bytes = which.get(&corpus).clone();
        for (at, piece, cut) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.get(PIECES).bytes());
        }
        check(&bytes);
    }

    /// Values take each other's places, keys too, and become others.
    #[test]
    fn the_checks_that_are_compiled_in_find_what_the_schema_finds(
        which: Index, edits in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<Index>(), value()), 0..4),
    ) {
        let values: Vec<_> = corpus().iter().filter_map(|bytes| read(&String::from_utf8_lossy(bytes))).collect();
        let mut mutant = which.get(&values).clone();
        for (at, from, of, other) in edits {
            let given = from.get(&values);
            let places = places(given);
            let new = if of.index(4) == 0 { other } else { given.pointer(of.get::<String>(&places)).cloned().unwrap_or(other) };
            let own = self::places(&mutant);
            *mutant.pointer_mut(at.get::<String>(&own)).expect("one of its own") = new;
        }
        let found = |errors: &mut dyn Iterator<Item = ValidationError<'_>>| {
            let mut found: Vec<_> = errors.map(|error| error.instance_path().to_string()).collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        let compiled = found(&mut Checks::iter_errors(&mutant));
        prop_assert_eq!(compiled, found(&mut interpreted().iter_errors(&mutant)), "{:#}", mutant);
    }

    #[test]
    fn random_texts_never_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn what_is_written_is_read_back(value in value()) {
        let text = serde_yaml::to_string(&value).expect("every value can be written");
        prop_assert_eq!(read(&text), Some(value));
    }
}

/// Where each value in it stands.
fn places(value: &Value) -> Vec<String> {
    let mut places = vec![String::new()];
    let below: Vec<(String, &Value)> = match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(nth, value)| (nth.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in below {
        places.extend(self::places(value).into_iter().map(|place| format!("/{step}{place}")));
    }
    places
}

/// The same schema, read when the test runs.
fn interpreted() -> &'static Validator {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .with_format("qcc-duration", |text: &str| text.parse::<Dur>().is_ok())
            .with_format("qcc-size", |text: &str| text.parse::<Size>().is_ok())
            .with_format("qcc-percent", |text: &str| text.parse::<Percent>().is_ok())
            .build(schema())
            .expect("it is a schema")
    });
    &VALIDATOR
}

/// JSON values whose keys mean nothing to YAML.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[ -~\n中文]{0,20}".prop_map(Into::into),
        prop::sample::select(vec!["yes", "0x1f", "1e3", "null", "~", "1:30", "- a", "a: b", "#", "'", "<<"])
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::hash_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn read(text: &str) -> Option<Value> {
    let parsed = parse::parse(text);
    let root = parsed.root.filter(|_| parsed.complete && parsed.problems.is_empty())?;
    Some(Document::new(text, root).to_value())
}

/// Another reader of YAML sees the same in every valid file (that needs no merge keys, which it does not know).
#[test]
fn another_reader_sees_the_same() {
    let mut compared = 0;
    for file in ["valid", "warning"].into_iter().flat_map(fixtures) {
        let bytes = std::fs::read_to_string(&file).expect("a readable fixture");
        let text = bytes.strip_prefix('\u{feff}').unwrap_or(&bytes);
        if text.contains("<<") || text.contains("1e3") {
            continue;
        }
        let theirs: Value = serde_yaml::from_str(text).expect("valid YAML");
        assert_eq!(read(text), Some(theirs), "{}", file.display());
        compared += 1;
    }
    assert!(compared >= 8);
}
