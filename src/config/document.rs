//! A parsed file: the plain value for the schema and the types, and the tree for positions.

use std::ops::Range;
use std::rc::Rc;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Finding, LineIndex, Point};
use super::node::{Data, Node};
use super::place::{Place, Step};

/// A text and what it says.
#[derive(Debug)]
pub(super) struct Document<'t> {
    root: Rc<Node>,
    lines: LineIndex<'t>,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str, root: Rc<Node>) -> Self {
        Self { root, lines: LineIndex::new(text) }
    }

    /// What the file says, without positions.
    pub(super) fn to_value(&self) -> Value {
        self.root.to_value()
    }

    /// Whether there is nothing but comments.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.root.data, Data::Scalar(_, Some(Value::Null)))
    }

    /// Whether something stands at `place`.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.root.find(place).is_some()
    }

    /// The scalar at `place`, as written.
    pub(super) fn text(&self, place: &Place) -> Option<&str> {
        match &self.root.find(place)?.1.data {
            Data::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The keys of the mapping at `place`.
    pub(super) fn keys(&self, place: &Place) -> Vec<&str> {
        match self.root.find(place).map(|(_, node)| &node.data) {
            Some(Data::Map(entries)) => entries.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Puts a finding at its position; at the nearest thing above it where nothing stands there.
    pub(super) fn diagnostic(&self, finding: Finding) -> Diagnostic {
        let span = self.locate(&finding.place, finding.point);
        let (line, column) = self.lines.position(span.start);
        let Finding { severity, code, message, help, place, .. } = finding;
        Diagnostic { severity, code, message, help, path: self.path(&place), span: Some(span), line, column }
    }

    fn locate(&self, place: &Place, point: Point) -> Range<usize> {
        let mut place = place.clone();
        loop {
            if let Some((key, node)) = self.root.find(&place) {
                return self.first_line(span_of(key, node, point));
            }
            match place.parent() {
                Some(above) => place = above,
                None => return 0..0,
            }
        }
    }

    fn first_line(&self, span: Range<usize>) -> Range<usize> {
        let end = self.lines.line(span.start).end;
        span.start..span.end.min(end).max(span.start)
    }

    /// `profiles.production.endpoints[work].weight`: list items by their id or name.
    fn path(&self, place: &Place) -> String {
        let mut path = String::new();
        let mut above = Vec::new();
        for step in place.steps() {
            above.push(step.clone());
            match step {
                Step::Key(key) => push_key(&mut path, key),
                Step::Index(index) => {
                    let item = above.iter().cloned().collect();
                    let name = self.name(&item).unwrap_or_else(|| index.to_string());
                    path.extend(["[", &name, "]"]);
                }
            }
        }
        path
    }

    fn name(&self, item: &Place) -> Option<String> {
        let text = self.text(&item.key("id")).or_else(|| self.text(&item.key("name")))?;
        Some(text.to_owned()).filter(|name| !name.is_empty())
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    if key.is_empty() || key.contains(['.', '[', ']', '"', ' ']) {
        path.push_str(&Value::from(key).to_string());
    } else {
        path.push_str(key);
    }
}

fn span_of(key: Option<Range<usize>>, node: &Node, point: Point) -> Range<usize> {
    match (key, &node.data) {
        (Some(key), Data::List(_) | Data::Map(_)) => key,
        (Some(key), _) if point == Point::Key || node.span.is_empty() => key,
        _ => node.first_span(),
    }
}
