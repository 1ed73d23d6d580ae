//! New values as text, in the style of the file.

use serde_json::{Map, Value};

use super::style::Style;
use crate::config::scalar;

/// Longest line that brackets may make.
const WIDTH: usize = 120;

/// Lines of a new value, relative to the column it will stand at.
pub(super) type Lines = Vec<String>;

impl Style {
    /// In one line.
    pub(super) fn inline(&self, value: &Value) -> String {
        match value {
            Value::Array(items) => {
                let nested = items.first().is_some_and(|item| item.is_object() || item.is_array());
                let items: Vec<String> = items.iter().map(|item| self.inline(item)).collect();
                bracketed('[', ']', if nested { self.boxes } else { self.brackets }, &items)
            }
            Value::Object(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| self.field(name, value)).collect();
                bracketed('{', '}', self.braces, &fields)
            }
            other => scalar(other, self.quote(), true),
        }
    }

    /// `key: value` in brackets.
    pub(super) fn field(&self, name: &str, value: &Value) -> String {
        format!("{}: {}", key(name, self.quote(), true), self.inline(value))
    }

    /// The quotes that everything in brackets has.
    fn quote(&self) -> Option<char> {
        self.json.then_some('"')
    }

    /// `key: value`.
    pub(super) fn entry(&self, name: &str, value: &Value, form: Form) -> Lines {
        let head = format!("{}:", key(name, None, false));
        match value {
            Value::Object(_) | Value::Array(_) if self.in_brackets(Some(name), value, form) => {
                vec![format!("{head} {}", self.inline(value))]
            }
            Value::Object(_) | Value::Array(_) => std::iter::once(head).chain(self.below(value, form)).collect(),
            Value::String(text) if is_literal(text) => self.literal(&head, text),
            other => vec![format!("{head} {}", scalar(other, None, false))],
        }
    }

    /// `- value`.
    pub(super) fn item(&self, value: &Value, form: Form) -> Lines {
        let pad = 1 + self.pad;
        let lines = match value {
            Value::Object(_) | Value::Array(_) if self.in_brackets(None, value, form) => vec![self.inline(value)],
            Value::Object(_) | Value::Array(_) => self.children(value, form.deeper(pad)),
            other => vec![scalar(other, None, false)],
        };
        let line = |(i, line): (usize, String)| match i {
            0 => format!("-{}{line}", " ".repeat(self.pad)),
            _ => indented(&line, pad),
        };
        lines.into_iter().enumerate().map(line).collect()
    }

    /// The lines below the key of a collection that is not in brackets.
    pub(super) fn below(&self, value: &Value, form: Form) -> Lines {
        let depth = if value.is_array() { self.dash } else { self.step };
        self.children(value, form.deeper(depth)).iter().map(|line| indented(line, depth)).collect()
    }

    /// The lines of the children of a collection.
    pub(super) fn children(&self, value: &Value, form: Form) -> Lines {
        match value {
            Value::Object(fields) => fields.iter().flat_map(|(name, value)| self.entry(name, value, form)).collect(),
            Value::Array(items) => items.iter().flat_map(|item| self.item(item, form)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a collection is written in brackets.
    pub(super) fn in_brackets(&self, name: Option<&str>, value: &Value, form: Form) -> bool {
        let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if empty || form.flow == Some(true) {
            return true;
        }
        if form.flow == Some(false) {
            return false;
        }
        let fits = form.column + name.map_or(0, |name| name.len() + 2) + self.inline(value).chars().count() <= WIDTH;
        match name.and_then(|name| self.seen(name)) {
            Some(flow) => flow && (fits || is_simple(value)),
            None if form.column == 0 => self.sections && fits,
            None => fits && name.is_some() && is_simple(value),
        }
    }

    fn literal(&self, head: &str, text: &str) -> Lines {
        let chomp = if text.ends_with('\n') { "" } else { "-" };
        let lines = text.lines().map(|line| indented(line, self.step));
        std::iter::once(format!("{head} |{chomp}")).chain(lines).collect()
    }
}

/// What is known of the place of a new value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Where it begins in its line.
    pub(super) column: usize,
    /// Whether it is in brackets; `None`: as the file does with such keys.
    pub(super) flow: Option<bool>,
}

impl Form {
    fn deeper(self, by: usize) -> Self {
        Self { column: self.column + by, flow: None }
    }
}

fn indented(line: &str, depth: usize) -> String {
    if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(depth)) }
}

fn bracketed(open: char, close: char, spaced: bool, items: &[String]) -> String {
    let space = if spaced && !items.is_empty() { " " } else { "" };
    format!("{open}{space}{}{space}{close}", items.join(", "))
}

/// A small collection, which people write in one line.
fn is_simple(value: &Value) -> bool {
    let plain = |value: &Value| !value.is_object() && !value.is_array();
    match value {
        Value::Array(items) => items.iter().all(plain),
        Value::Object(fields) => fields.values().all(|value| plain(value) || value.is_array() && is_simple(value)),
        _ => true,
    }
}

/// A key, quoted if needed. `quote`: how it was quoted before.
pub(super) fn key(name: &str, quote: Option<char>, flow: bool) -> String {
    // `on` is a key of ours, and reads as one.
    let plain = quote.is_none() && (is_plain(name, flow) || name == "on") && name != "<<";
    if plain { name.to_owned() } else { quoted(name, quote) }
}

/// A scalar in one line. `quote`: how it was quoted before.
pub(super) fn scalar(value: &Value, quote: Option<char>, flow: bool) -> String {
    match value {
        Value::String(text) if quote.is_none() && is_plain(text, flow) => text.clone(),
        Value::String(text) => quoted(text, quote),
        other => other.to_string(),
    }
}

/// Whether it is read back as the same text without quotes: here, and by readers that still follow YAML 1.1.
fn is_plain(text: &str, flow: bool) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let second = text.chars().nth(1).unwrap_or(' ');
    let opens = match first {
        '-' | '?' => second == ' ' || flow && "[]{},".contains(second),
        _ => ":[]{}#&*!|>'\"%@` ,".contains(first),
    };
    let reserved = ["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let digits = first.is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_digit() || b"_:-.".contains(&b))
        && !text.contains('.');
    let broken = text.contains(": ") || text.contains(" #") || text.ends_with(':') || text.ends_with(' ');
    let marks = text.starts_with("---") || text.starts_with("...");
    let brackets = flow && text.contains(['[', ']', '{', '}', ',']);
    let word = scalar::resolve(text).is_some();
    !(opens || reserved || digits || broken || marks || brackets || word || text.chars().any(is_special))
}

/// Characters that a text without quotes cannot hold, or that nobody can see.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

fn quoted(text: &str, quote: Option<char>) -> String {
    let special = text.chars().any(is_special);
    let single = quote == Some('\'') || quote.is_none() && text.contains(['"', '\\']) && !text.contains('\'');
    if single && !special {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escaped: String = text.chars().map(escape).collect();
    format!("\"{escaped}\"")
}

fn escape(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if is_special(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// Whether a text of several lines may stand under `|`.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.ends_with("\n\n")
        && !text.chars().any(|c| c != '\n' && is_special(c))
        && text.lines().all(|line| line.trim_end() == line)
}
