//! One thing wrong with a file, or worth a second look.

use std::ops::Range;

use super::place::Place;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is not accepted.
    Error,
    /// The file is accepted, and probably does not do what is meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem. No part of it contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable name of the rule, for example `unknown-key`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the document: `profiles.production.endpoints[work].weight`; empty for the whole file.
    pub path: String,
    /// Where in the text, in bytes; `None`: the file as a whole.
    pub span: Option<Range<usize>>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Where on a place the finger is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// The value; of a collection, its key.
    Value,
    /// The key.
    Key,
}

/// A problem before its position in the text is known.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) place: Place,
    pub(super) point: Point,
}

impl Finding {
    /// An error at `place`.
    pub(super) fn error(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, place, message.into())
    }

    /// A warning at `place`.
    pub(super) fn warning(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, place, message.into())
    }

    fn new(severity: Severity, code: &'static str, place: &Place, message: String) -> Self {
        Self { severity, code, message, help: None, place: place.clone(), point: Point::Value }
    }

    /// Says what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at the key, not at the value.
    pub(super) fn at_key(mut self) -> Self {
        self.point = Point::Key;
        self
    }
}

/// Turns byte offsets of a text into lines and columns.
#[derive(Debug)]
pub(super) struct LineIndex<'t> {
    text: &'t str,
    /// Where each line starts.
    starts: Vec<usize>,
}

impl<'t> LineIndex<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes());
        Self { text, starts: std::iter::once(0).chain(newlines.map(|at| at + 1)).collect() }
    }

    /// Line and column, both from 1, the column in characters.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let before = self.text.get(self.starts[line]..offset).unwrap_or_default();
        (from_one(line), from_one(before.chars().count()))
    }

    /// The bytes of the line of `offset`, without its line end.
    pub(super) fn line(&self, offset: usize) -> Range<usize> {
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let end = self.starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let start = self.starts[line];
        let end = if end > start && self.text.as_bytes().get(end - 1) == Some(&b'\r') { end - 1 } else { end };
        start..end
    }
}

fn from_one(zero_based: usize) -> u32 {
    u32::try_from(zero_based).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let index = LineIndex::new("a: 1\r\n中文: 坏 x\n");
        let x = "a: 1\r\n中文: 坏 ".len();
        assert_eq!(index.position(0), (1, 1));
        assert_eq!(index.position(x), (2, 7));
        assert_eq!(index.line(2), 0..4);
        assert_eq!(index.position(x + 2), (3, 1));
        assert_eq!(index.position(usize::MAX), (3, 1));
    }
}
