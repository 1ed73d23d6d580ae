//! A change as a unified diff, for `git apply`, `patch -p1` and people.
//!
//! - lines end where a newline is, as git sees it: a CR belongs to its line;
//! - a line of context that holds a secret ends the context: the patch still applies, because what is left is contiguous;
//! - a changed line that holds one is shown blanked, and then the patch does not apply.

use std::fmt::Write as _;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::config;

/// Lines of context.
const CONTEXT: usize = 3;

/// A text in lines, and which of them hold secrets.
struct Side<'t> {
    lines: Vec<&'t str>,
    starts: Vec<usize>,
    secrets: Vec<Range<usize>>,
}

impl<'t> Side<'t> {
    fn new(text: &'t str, hide: bool) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let starts = lines.iter().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len()))).collect();
        let secrets = if hide { secrets(text) } else { Vec::new() };
        Self { lines, starts, secrets }
    }

    fn span(&self, line: usize) -> Range<usize> {
        self.starts[line]..self.starts[line] + self.lines[line].len()
    }

    fn is_secret(&self, line: usize) -> bool {
        let span = self.span(line);
        let next = self.secrets.partition_point(|secret| secret.end <= span.start);
        self.secrets.get(next).is_some_and(|secret| secret.start < span.end)
    }

    /// The line with its secrets as `*`.
    fn shown(&self, line: usize) -> String {
        let (start, text) = (self.starts[line], self.lines[line]);
        let hidden = |at: usize| self.secrets.iter().any(|secret| secret.contains(&at));
        if !self.is_secret(line) {
            return text.to_owned();
        }
        text.char_indices().map(|(at, c)| if !"\r\n".contains(c) && hidden(start + at) { '*' } else { c }).collect()
    }
}

/// Where secrets stand in a text with or without a byte order mark.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let plain = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mark = text.len() - plain.len();
    config::secrets(plain).into_iter().map(|span| span.start + mark..span.end + mark).collect()
}

/// A run of changes with the context around it, as line numbers from 0.
#[derive(Debug, PartialEq, Eq)]
struct Hunk {
    old: Range<usize>,
    new: Range<usize>,
    changes: Vec<(Range<usize>, Range<usize>)>,
}

/// What is shown of a change.
pub(super) struct Diff<'t> {
    old: Side<'t>,
    new: Side<'t>,
    hunks: Vec<Hunk>,
}

impl<'t> Diff<'t> {
    /// `hide`: without secrets.
    pub(super) fn new(before: &'t str, after: &'t str, hide: bool) -> Self {
        let (old, new) = (Side::new(before, hide), Side::new(after, hide));
        let changes = capture_diff_slices(Algorithm::Myers, &old.lines, &new.lines).into_iter().filter_map(change);
        let mut hunks: Vec<Hunk> = Vec::new();
        for change in changes {
            enter(&mut hunks, &old, change);
        }
        Self { old, new, hunks }
    }

    /// Whether what is shown cannot be applied: it has blanked lines, or a change without the line behind it, which
    /// `git apply` takes for the end of the file.
    pub(super) fn withholds(&self) -> bool {
        self.hunks.iter().any(|hunk| {
            let blanked = hunk.changes.iter().any(|(old, new)| {
                old.clone().any(|line| self.old.is_secret(line)) || new.clone().any(|line| self.new.is_secret(line))
            });
            let cut = hunk.changes.last().is_some_and(|(old, _)| old.end == hunk.old.end)
                && hunk.old.end < self.old.lines.len();
            blanked || cut
        })
    }

    /// The text of the diff of the file `name`.
    pub(super) fn render(&self, name: &str) -> String {
        if self.hunks.is_empty() {
            return String::new();
        }
        let mut text = format!("--- {}\n+++ {}\n", file("a", name), file("b", name));
        self.hunks.iter().for_each(|hunk| self.hunk(&mut text, hunk));
        text
    }

    fn hunk(&self, text: &mut String, hunk: &Hunk) {
        let _ = writeln!(text, "@@ -{} +{} @@", range(&hunk.old), range(&hunk.new));
        let mut at = hunk.old.start;
        for (old, new) in &hunk.changes {
            (at..old.start).for_each(|line| push(text, ' ', self.old.lines[line]));
            old.clone().for_each(|line| push(text, '-', &self.old.shown(line)));
            new.clone().for_each(|line| push(text, '+', &self.new.shown(line)));
            at = old.end;
        }
        (at..hunk.old.end).for_each(|line| push(text, ' ', self.old.lines[line]));
    }
}

fn change(op: DiffOp) -> Option<(Range<usize>, Range<usize>)> {
    (!matches!(op, DiffOp::Equal { .. })).then(|| (op.old_range(), op.new_range()))
}

/// Adds a change to the last hunk if their contexts meet, else as a new one.
fn enter(hunks: &mut Vec<Hunk>, old: &Side<'_>, change: (Range<usize>, Range<usize>)) {
    let clear = |line: &usize| !old.is_secret(*line);
    let above = hunks.last().map_or(0, |hunk| hunk.changes.last().map_or(0, |(old, _)| old.end));
    let lead = (above..change.0.start).rev().take(CONTEXT).take_while(clear).count();
    let trail = (change.0.end..old.lines.len()).take(CONTEXT).take_while(clear).count();
    let (start, end) = (change.0.start - lead, change.0.end + trail);
    let new = change.1.start - lead..change.1.end + trail;
    match hunks.last_mut().filter(|hunk| hunk.old.end >= start) {
        Some(hunk) => {
            (hunk.old.end, hunk.new.end) = (end, new.end);
            hunk.changes.push(change);
        }
        None => hunks.push(Hunk { old: start..end, new, changes: vec![change] }),
    }
}

/// `first,count`; an empty range is named by the line before it.
fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        count => format!("{},{count}", lines.start + 1),
    }
}

fn push(text: &mut String, sign: char, line: &str) {
    text.push(sign);
    text.push_str(line);
    if !line.ends_with('\n') {
        text.push_str("\n\\ No newline at end of file\n");
    }
}

/// A name as git writes it: quoted if it has a character that would end it.
fn file(side: &str, name: &str) -> String {
    let name = format!("{side}/{name}");
    let special = name.contains(|c: char| c.is_control() || c == '"' || c == '\\');
    if special {
        serde_json::Value::from(name).to_string()
    } else if name.contains(' ') {
        format!("{name}\t")
    } else {
        name
    }
}
