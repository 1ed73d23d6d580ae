//! Another value in the place of one.

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::editor::{Editor, Splice};
use super::error::PatchError;
use super::render::{self, Form};
use super::scan;
use super::tree::{Child, Data, Node};

impl Editor {
    /// Writes `value` where another one stands, an empty one too. What stands behind it in its line stays.
    pub(super) fn replace(&mut self, trail: &[usize], value: &Value) -> Result<(), PatchError> {
        let form = self.tree.child(trail).and_then(|child| same_form(&child.node, value));
        self.replace_as(trail, value, form)
    }

    /// The same, in brackets or not.
    pub(super) fn replace_as(&mut self, trail: &[usize], value: &Value, flow: Option<bool>) -> Result<(), PatchError> {
        let Some(child) = self.tree.child(trail) else { return self.replace_root(value) };
        let form = Form { column: scan::column(&self.text, child.head), flow };
        let inside = self.in_flow(trail);
        let splices = match &child.key {
            Some(key) if !inside => self.entry(child, &key.text, value, form),
            _ => self.in_line(child, value, inside, form),
        };
        let splices = self.aligned(splices);
        self.splice(splices)
    }

    /// Keeps a comment behind a new value in its column, if it is in one with others.
    fn aligned(&self, mut splices: Vec<Splice>) -> Vec<Splice> {
        let [(range, new)] = splices.as_slice() else { return splices };
        let old = &self.text[range.clone()];
        let Some(gap) = scan::aligned_gap(&self.text, range.end).filter(|_| !new.contains('\n') && !old.contains('\n'))
        else {
            return splices;
        };
        let width = (gap.len() + old.chars().count()).saturating_sub(new.chars().count()).max(1);
        splices.push((gap, " ".repeat(width)));
        splices
    }

    fn replace_root(&mut self, value: &Value) -> Result<(), PatchError> {
        let style = self.style();
        let lines = style.children(value, Form { column: 0, flow: None });
        let span = self.tree.root.span.clone();
        if !span.is_empty() {
            return self.splice(vec![(span, lines.join(style.eol))]);
        }
        let end = self.text.len();
        let glue = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { style.eol };
        self.splice(vec![(end..end, format!("{glue}{}{}", lines.join(style.eol), style.eol))])
    }

    /// The value of a key on lines of its own: it may take more lines, or fewer.
    fn entry(&self, child: &Child, key: &str, value: &Value, form: Form) -> Vec<Splice> {
        let (style, column) = (self.style(), form.column);
        let lines = match value {
            Value::String(text) if !text.contains('\n') => {
                vec![render::scalar(value, quote(&self.text, &child.node), false)]
            }
            _ => style
                .entry(key, value, form)
                .into_iter()
                .enumerate()
                .map(|(i, line)| if i == 0 { after_key(&line, key) } else { line })
                .collect(),
        };
        let mut splices = self.clear(child);
        let first = lines[0].trim_start();
        if !first.is_empty() {
            let space =
                if splices[0].0.start == child.node.span.start && !child.node.span.is_empty() { "" } else { " " };
            splices[0].1 = format!("{space}{first}");
        } else if let Some(from) = self.text[..splices[0].0.start].rfind(|c: char| c != ' ') {
            // No space before the line end.
            splices[0].0.start = splices[0].0.start.min((from + 1).max(child.value_at));
        }
        if lines.len() > 1 {
            let rest = lines[1..].iter().map(|line| pad(line, column)).collect::<Vec<_>>().join(style.eol);
            splices.push(self.below(child, column, &rest, style.eol));
        }
        splices
    }

    /// Takes the old value away; the first splice is where a new one begins.
    fn clear(&self, child: &Child) -> Vec<Splice> {
        let (span, from) = (child.node.span.clone(), value_from(child));
        let later = span.start > scan::line_end(&self.text, from);
        if span.is_empty() {
            return vec![(from..from, String::new())];
        }
        if !later {
            return vec![(span, String::new())];
        }
        // A collection on the lines below: the comment beside its key stays.
        let start = scan::line_end(&self.text, from);
        vec![(from..from, String::new()), (start..scan::line_end(&self.text, span.end), String::new())]
    }

    /// New lines right below an entry.
    fn below(&self, child: &Child, column: usize, lines: &str, eol: &str) -> Splice {
        let next = scan::next_line(&self.text, child.end());
        let nothing = child.node.span.is_empty();
        let at = if nothing { scan::comments_below(&self.text, next, column + 1, false) } else { next };
        if at == self.text.len() && !self.text.ends_with('\n') {
            return (at..at, format!("{eol}{lines}"));
        }
        (at..at, format!("{lines}{eol}"))
    }

    /// A list item, or anything in brackets.
    fn in_line(&self, child: &Child, value: &Value, flow: bool, form: Form) -> Vec<Splice> {
        let style = self.style();
        let span = child.node.span.clone();
        let text = match value {
            Value::Array(_) | Value::Object(_) if flow => style.inline(value),
            Value::Array(_) | Value::Object(_) => {
                let lines = style.item(value, form).into_iter().enumerate();
                let lines = lines
                    .map(|(i, line)| if i == 0 { line[1..].trim_start().to_owned() } else { pad(&line, form.column) });
                lines.collect::<Vec<_>>().join(style.eol)
            }
            _ => render::scalar(value, quote(&self.text, &child.node).filter(|_| value.is_string()), flow),
        };
        if !span.is_empty() {
            return vec![(span, text)];
        }
        let from = value_from(child);
        let colon = child.key.is_some() && !self.text[..child.value_at].ends_with(':');
        vec![(from..from, format!("{} {text}", if colon { ":" } else { "" }))]
    }
}

/// Brackets for what was in brackets, lines for what had lines of its own.
fn same_form(old: &Node, value: &Value) -> Option<bool> {
    let collection = (value.is_object() || value.is_array()) && !old.children().is_empty();
    collection.then(|| old.is_flow())
}

/// Behind the `:` or `-`, and behind the anchor if there is one.
pub(super) fn value_from(child: &Child) -> usize {
    child.node.anchor.as_ref().map_or(child.value_at, |anchor| anchor.span.end.max(child.value_at))
}

/// How a scalar is quoted.
fn quote(text: &str, node: &Node) -> Option<char> {
    match node.data {
        Data::Scalar { style: ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, .. } => {
            text[node.span.clone()].chars().next()
        }
        _ => None,
    }
}

fn after_key(line: &str, key: &str) -> String {
    let head = render::key(key, None, false).len() + 1;
    line[head..].to_owned()
}

/// `line` at `column`; an empty one stays empty.
pub(super) fn pad(line: &str, column: usize) -> String {
    if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(column)) }
}
