//! One key of a JSON text is set or removed; nothing else of the text changes.
//!
//! A new key takes the style of its neighbour: what stands between the one before and it, and around its colon. So lines
//! stay lines, one line stays one line, and indentation and line ends are those of the file.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Value, json};

/// What stands before the first key of a file that has none.
const LEAD: &str = "\n  ";

/// `text` with `value` at `path`, or with nothing there. An object on the way is made where it is missing, and goes when it
/// becomes empty. `text` is JSON; the errors are about what it says.
pub(super) fn set(text: &str, path: &[&str], value: Option<&Value>) -> Result<String, String> {
    let Some((key, above)) = path.split_last() else { return Ok(text.to_owned()) };
    let Some(object) = Spot::find(text, above)? else {
        return match value {
            Some(_) => set(&set(text, above, Some(&json!({})))?, path, value),
            None => Ok(text.to_owned()),
        };
    };
    match (object.position(key), value) {
        (None, None) => Ok(text.to_owned()),
        (Some(_), None) if object.node.properties.len() == 1 && !above.is_empty() => set(text, above, None),
        (Some(at), None) => Ok(spliced(text, object.removal(at), "")),
        (Some(at), Some(value)) => {
            let old = object.node.properties[at].value.range();
            Ok(spliced(text, old.start..old.end, &value.to_string()))
        }
        (None, Some(value)) => {
            let (range, new) = object.addition(key, value);
            Ok(spliced(text, range, &new))
        }
    }
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    [&text[..range.start], new, &text[range.end..]].concat()
}

/// An object in a text.
struct Spot<'t> {
    text: &'t str,
    node: Object<'t>,
    /// What stands before the first key of each object around it, outermost first.
    leads: Vec<&'t str>,
}

impl<'t> Spot<'t> {
    /// The object at `path`; `None` if there is none.
    fn find(text: &'t str, path: &[&str]) -> Result<Option<Self>, String> {
        let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
        let Some(Node::Object(node)) = parsed.ok().and_then(|parsed| parsed.value) else {
            return Err("it is not a JSON object".to_owned());
        };
        let mut spot = Self { text, node, leads: Vec::new() };
        for key in path {
            let Some(at) = spot.position(key) else { return Ok(None) };
            let property = spot.node.properties.swap_remove(at);
            let lead = before(text, &property);
            let Node::Object(node) = property.value else { return Err(format!("its `{key}` is not an object")) };
            spot.leads.push(lead);
            spot.node = node;
        }
        Ok(Some(spot))
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.node.properties.iter().position(|property| property.name.as_str() == key)
    }

    /// What goes with the key at `at`: its comma, and the white space on one side.
    fn removal(&self, at: usize) -> Range<usize> {
        let properties = &self.node.properties;
        match (at.checked_sub(1), properties.get(at + 1)) {
            (_, Some(next)) => properties[at].start()..next.start(),
            (Some(above), None) => properties[above].end()..properties[at].end(),
            (None, None) => self.node.range.start + 1..self.node.range.end - 1,
        }
    }

    /// A new key behind the last.
    fn addition(&self, key: &str, value: &Value) -> (Range<usize>, String) {
        let key = Value::from(key);
        let Some(last) = self.node.properties.last() else {
            let (lead, end) = self.inside();
            return (self.node.range.start + 1..self.node.range.end - 1, format!("{lead}{key}: {value}{end}"));
        };
        let colon = &self.text[last.name.end()..last.value.start()];
        let lead = match before(self.text, last) {
            "" if colon.ends_with(' ') => " ",
            lead => lead,
        };
        (last.end()..last.end(), format!(",{lead}{key}{colon}{value}"))
    }

    /// What stands before the first key and behind the last of an object that has none yet.
    fn inside(&self) -> (String, String) {
        match (self.leads.first(), self.leads.last()) {
            (Some(outer), Some(own)) if own.contains('\n') => {
                let indent = outer.rsplit('\n').next().unwrap_or_default();
                (format!("{own}{indent}"), (*own).to_owned())
            }
            (Some(_), _) => Default::default(),
            (None, _) => (LEAD.to_owned(), "\n".to_owned()),
        }
    }
}

/// The white space before `property`.
fn before<'t>(text: &'t str, property: &ObjectProp<'_>) -> &'t str {
    let above = &text[..property.start()];
    &above[above.trim_end().len()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_set_and_removed_in_the_style_of_its_neighbours() {
        for (before, path, after) in [
            ("{}", ["e", "k"].as_slice(), "{\n  \"e\": {\n    \"k\": 1\n  }\n}"),
            ("{\r\n\t\"a\": 0\r\n}\r\n", &["e", "k"], "{\r\n\t\"a\": 0,\r\n\t\"e\": {\r\n\t\t\"k\": 1\r\n\t}\r\n}\r\n"),
            ("{\n    \"e\": {}\n}", &["e", "k"], "{\n    \"e\": {\n        \"k\": 1\n    }\n}"),
            ("{ \"e\" : { \"a\" : [ 0 ] } }", &["e", "k"], "{ \"e\" : { \"a\" : [ 0 ], \"k\" : 1 } }"),
            ("{\"e\":{\"a\":0},\"b\":2}", &["e", "k"], "{\"e\":{\"a\":0,\"k\":1},\"b\":2}"),
            ("{\"a\": 0}", &["k"], "{\"a\": 0, \"k\": 1}"),
            ("{\"e\":{}}", &["e", "k"], "{\"e\":{\"k\": 1}}"),
        ] {
            assert_eq!(set(before, path, Some(&json!(1))).as_deref(), Ok(after), "{before}");
        }
        for (before, path, after) in [
            ("{\n  \"k\": 1,\n  \"a\": 0\n}", ["k"].as_slice(), "{\n  \"a\": 0\n}"),
            ("{\n  \"a\": 0,\n  \"k\": 1\n}", &["k"], "{\n  \"a\": 0\n}"),
            ("{ \"a\": 0, \"e\": { \"k\": 1 } }", &["e", "k"], "{ \"a\": 0 }"),
            ("{\n  \"k\": 1\n}\n", &["k"], "{}\n"),
            ("{ \"a\": 0 }", &["e", "k"], "{ \"a\": 0 }"),
        ] {
            assert_eq!(set(before, path, None).as_deref(), Ok(after), "{before}");
        }
    }

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        assert_eq!(
            set("{ \"k\" :\"old\", \"a\": 0 }", &["k"], Some(&json!(1))).as_deref(),
            Ok("{ \"k\" :1, \"a\": 0 }")
        );
        assert_eq!(set("{\"k\": \"x\"}", &["k", "l"], Some(&json!(1))), Err("its `k` is not an object".to_owned()));
    }
}
