//! What can be wished for: edits as values, and the paths they speak of.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// One change of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Gives `path` a value; makes the mappings above it where they are missing. An anchor or a comment beside an old
    /// value stays. Of a mapping or list that is replaced by another, what is equal in both is not touched.
    Set {
        /// Where.
        path: Path,
        /// What is to stand there.
        value: Value,
    },
    /// Removes a key or a list item, with the comment block right above it.
    Unset {
        /// What goes.
        path: Path,
    },
    /// Adds a profile after the last one, in the style of its neighbours.
    AddProfile {
        /// Its name, not in use yet.
        name: String,
        /// Its fields, in the order in which they are to be written.
        fields: Map<String, Value>,
    },
    /// Renames a profile where it stands, and in `default` if that names it.
    RenameProfile {
        /// The name so far.
        from: String,
        /// The new name, not in use yet.
        to: String,
    },
    /// Removes a profile, and `default` if that names it.
    RemoveProfile {
        /// Its name.
        name: String,
    },
    /// Adds an endpoint in the style of its neighbours. A profile in shorthand becomes one with a list first.
    AddEndpoint {
        /// The profile that gets it.
        profile: String,
        /// Its fields in the order in which they are to be written, `id` among them.
        fields: Map<String, Value>,
        /// Position in the list from 0; `None`, or more than there are: last.
        at: Option<usize>,
    },
    /// Moves an endpoint within its profile, with the comment block right above it.
    MoveEndpoint {
        /// The profile.
        profile: String,
        /// The endpoint.
        id: String,
        /// Its position from 0 after the move; more than there are: last.
        to: usize,
    },
    /// Removes an endpoint, with the comment block right above it.
    RemoveEndpoint {
        /// The profile.
        profile: String,
        /// The endpoint.
        id: String,
    },
}

/// The way from the top of the file to a value: `profiles.production.endpoints[work].weight`.
///
/// Keys with dots, brackets, quotes or spaces are quoted as in JSON: `profiles."a.b".tier`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into a mapping, by key.
    Key(String),
    /// Into a list, by the `id` or `name` of an item; else by its position in digits.
    Item(String),
    /// Into a list, by position from 0.
    Index(usize),
}

impl Path {
    /// From the top along `keys`.
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// One step further.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// The value of `key` in this mapping.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// The item of this list with that id or name.
    #[must_use]
    pub fn item(self, name: &str) -> Self {
        self.then(Step::Item(name.to_owned()))
    }

    /// The item at `index` of this list.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.then(Step::Index(index))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(&word(key))?,
                Step::Key(key) => write!(f, ".{}", word(key))?,
                Step::Item(name) => write!(f, "[{}]", word(name))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Quoted where it would not be read back.
fn word(text: &str) -> String {
    if text.is_empty() || text.contains(['.', '[', ']', '"', ' ']) {
        Value::from(text).to_string()
    } else {
        text.to_owned()
    }
}

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPath {
    text: String,
    reason: &'static str,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(f, "`{text}` is not a path: {reason}; write for example `profiles.production.endpoints[work].weight`")
    }
}

impl std::error::Error for BadPath {}

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() || steps.is_empty() {
            let (step, after) =
                step(rest, steps.is_empty()).map_err(|reason| BadPath { text: text.to_owned(), reason })?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }
}

fn step(text: &str, first: bool) -> Result<(Step, &str), &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        let (name, rest) = name(inner)?;
        let rest = rest.strip_prefix(']').ok_or("a `[` without its `]`")?;
        return Ok((Step::Item(name), rest));
    }
    let text = if first { text } else { text.strip_prefix('.').ok_or("a `.` is missing")? };
    name(text).map(|(key, rest)| (Step::Key(key), rest))
}

/// A bare or quoted word, and what follows it.
fn name(text: &str) -> Result<(String, &str), &'static str> {
    if text.starts_with('"') {
        let mut words = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let word = words.next().and_then(Result::ok).ok_or("a quote is not closed")?;
        return Ok((word, &text[words.byte_offset()..]));
    }
    let end = text.find(['.', '[', ']', '"']).unwrap_or(text.len());
    if end == 0 { Err("a name is missing") } else { Ok((text[..end].to_owned(), &text[end..])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        let work = Path::of(&["profiles", "production", "endpoints"]).item("work").key("weight");
        for (text, path) in [
            ("version", Path::of(&["version"])),
            ("profiles.production.endpoints[work].weight", work),
            ("profiles.\"a.b\".tier", Path::of(&["profiles", "a.b", "tier"])),
            ("profiles.备用.tier", Path::of(&["profiles", "备用", "tier"])),
            ("notify[0].on", Path::of(&["notify"]).item("0").key("on")),
            ("a[\"b]c\"][x]", Path::of(&["a"]).item("b]c").item("x")),
        ] {
            assert_eq!(text.parse(), Ok(path.clone()), "{text}");
            assert_eq!(path.to_string(), text);
        }
        assert_eq!(Path::of(&["notify"]).index(0).to_string(), "notify[0]");
    }

    #[test]
    fn what_is_no_path_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "a name is missing"),
            ("a..b", "a name is missing"),
            ("a[b", "a `[` without its `]`"),
            ("a[b]c", "a `.` is missing"),
            ("a.\"b", "a quote is not closed"),
            ("a]", "a `.` is missing"),
        ] {
            let error = text.parse::<Path>().expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
