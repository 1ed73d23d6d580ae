//! How the author of a file writes, read off what is there.

use std::collections::HashMap;

use super::scan;
use super::tree::{Child, Node, Tree};

/// Habits of one file. What cannot be seen is what most people do.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(super) struct Style {
    /// How lines end.
    pub(super) eol: &'static str,
    /// How much deeper the keys of an inner mapping stand.
    pub(super) step: usize,
    /// How much deeper the dashes of a list stand than its key.
    pub(super) dash: usize,
    /// Spaces behind a dash.
    pub(super) pad: usize,
    /// Whether it is `{ a: b }` rather than `{a: b}`.
    pub(super) braces: bool,
    /// Whether it is `[ a ]` rather than `[a]`.
    pub(super) brackets: bool,
    /// The same for a list of collections: `[ { a: b } ]` rather than `[{ a: b }]`.
    pub(super) boxes: bool,
    /// Whether keys in brackets are quoted, as in JSON.
    pub(super) json: bool,
    /// Whether a section at the top of the file may be `{ ... }`.
    pub(super) sections: bool,
    /// Whether the value of a key was last written in brackets.
    keys: HashMap<String, bool>,
}

impl Style {
    pub(super) fn of(text: &str, tree: &Tree) -> Self {
        let mut search = Search { text, ..Search::default() };
        search.node(&tree.root, 0);
        let flow_section = |child: &Child| child.node.is_flow() && !child.node.children().is_empty();
        Self {
            eol: if text.find('\n').is_some_and(|at| text[..at].ends_with('\r')) { "\r\n" } else { "\n" },
            step: search.step.unwrap_or(2),
            dash: search.dash.unwrap_or_else(|| search.step.unwrap_or(2)),
            pad: search.pad.unwrap_or(1),
            braces: search.braces.unwrap_or(true),
            brackets: search.brackets.unwrap_or(false),
            boxes: search.boxes.unwrap_or(false),
            json: search.json.unwrap_or(false),
            sections: tree.root.children().iter().any(flow_section),
            keys: search.keys,
        }
    }

    /// Whether `key` was last given a value in brackets; `None`: it had none yet.
    pub(super) fn seen(&self, key: &str) -> Option<bool> {
        self.keys.get(key).copied()
    }
}

#[derive(Default)]
struct Search<'t> {
    text: &'t str,
    step: Option<usize>,
    dash: Option<usize>,
    pad: Option<usize>,
    braces: Option<bool>,
    brackets: Option<bool>,
    boxes: Option<bool>,
    json: Option<bool>,
    keys: HashMap<String, bool>,
}

impl Search<'_> {
    fn node(&mut self, node: &Node, column: usize) {
        if node.is_flow() && !node.children().is_empty() {
            let spaced = self.text[node.span.start + 1..].starts_with(' ');
            let seen = match node.children()[0].node.children() {
                _ if node.is_map() => &mut self.braces,
                [] => &mut self.brackets,
                _ => &mut self.boxes,
            };
            seen.get_or_insert(spaced);
            if let Some(key) = &node.children()[0].key {
                let quoted = self.text[key.span.clone()].starts_with('"');
                self.json = Some(quoted && self.json.unwrap_or(true));
            }
        }
        for child in node.children() {
            self.child(node, child, column);
        }
    }

    fn child(&mut self, parent: &Node, child: &Child, column: usize) {
        let here = scan::column(self.text, child.head);
        if parent.is_block() {
            match child.name() {
                Some(name) => self.entry(name, child, here),
                None => self.item(child),
            }
        }
        self.node(&child.node, if parent.is_block() { here } else { column });
    }

    fn entry(&mut self, name: &str, child: &Child, column: usize) {
        let Some(first) = child.node.children().first() else { return };
        self.keys.insert(name.to_owned(), child.node.is_flow());
        if child.node.is_block() {
            let deeper = scan::column(self.text, first.head).saturating_sub(column);
            let seen = if child.node.is_map() { &mut self.step } else { &mut self.dash };
            seen.get_or_insert(deeper);
        }
    }

    fn item(&mut self, child: &Child) {
        let between = &self.text[child.value_at..child.node.span.start.max(child.value_at)];
        if !between.is_empty() && between.bytes().all(|b| b == b' ') {
            self.pad.get_or_insert(between.len());
        }
    }
}
