//! One more child.

use serde_json::Value;

use super::editor::{Editor, Splice};
use super::error::PatchError;
use super::render::Form;
use super::replace::pad;
use super::scan;
use super::tree::{Child, Node};

impl Editor {
    /// Adds a child to the collection at `trail`, which has some: at position `at`, else where a person would put it.
    /// `flow`: whether in brackets; `None`: like its neighbours.
    pub(super) fn insert(
        &mut self,
        trail: &[usize],
        at: Option<usize>,
        key: Option<&str>,
        value: &Value,
        flow: Option<bool>,
    ) -> Result<(), PatchError> {
        let node = self.tree.node(trail);
        let at = at.unwrap_or(usize::MAX).min(node.children().len());
        let splice = if node.is_flow() || self.in_flow(trail) {
            let style = self.style();
            let text = key.map_or_else(|| style.inline(value), |key| style.field(key, value));
            self.between_brackets(node, at, &text)
        } else {
            self.between_lines(node, at, key, value, flow)
        };
        self.splice(splice)
    }

    fn between_lines(
        &self,
        node: &Node,
        at: usize,
        key: Option<&str>,
        value: &Value,
        flow: Option<bool>,
    ) -> Vec<Splice> {
        let (style, children) = (self.style(), node.children());
        let column = scan::column(&self.text, children[0].head);
        let lines = match key {
            Some(key) => style.entry(key, value, Form { column, flow }),
            None => style.item(value, Form { column, flow: flow.or_else(|| neighbour(children, at)) }),
        };
        let at = if key.is_some() && lines.len() == 1 { self.after_short_ones(children) } else { at };
        let block = lines.iter().map(|line| pad(line, column)).collect::<Vec<_>>().join(style.eol);
        if at == 0 && !scan::is_first(&self.text, children[0].head) {
            let head = children[0].head;
            return vec![(head..head, format!("{}{}{}", block.trim_start(), style.eol, " ".repeat(column)))];
        }
        vec![self.whole_lines(node, at, key.is_some(), &block, style.eol)]
    }

    fn whole_lines(&self, node: &Node, at: usize, map: bool, block: &str, eol: &str) -> Splice {
        let children = node.children();
        let gap = if self.has_gaps(node) { eol } else { "" };
        if at == children.len() {
            let last = &children[at - 1];
            let next = scan::next_line(&self.text, last.end());
            let position = scan::comments_below(&self.text, next, scan::column(&self.text, last.head), true);
            // What is commented out below the last one is set apart from it, and so is what comes behind.
            let apart = self.text[next.min(position)..position].lines().any(scan::is_blank);
            let gap = if apart { eol } else { gap };
            let open = position == self.text.len() && !self.text.ends_with('\n');
            let text = if open { format!("{eol}{gap}{block}") } else { format!("{gap}{block}{eol}") };
            return (position..position, text);
        }
        if map {
            let position = scan::next_line(&self.text, children[at - 1].end());
            return (position..position, format!("{block}{eol}"));
        }
        let position = self.region(node, at).start;
        (position..position, format!("{block}{eol}{gap}"))
    }

    /// A key of one line goes behind the last one of its kind, not behind the long lists below.
    fn after_short_ones(&self, children: &[Child]) -> usize {
        let short = |child: &Child| !self.text[child.head..child.end()].contains('\n') && !child.node.is_block();
        children.iter().rposition(short).map_or(children.len(), |at| at + 1)
    }

    /// Whether the children are set apart by blank lines.
    fn has_gaps(&self, node: &Node) -> bool {
        let count = node.children().len();
        let start = self.region(node, count - 1).start;
        count > 1 && start > 0 && scan::is_blank(scan::line(&self.text, scan::line_start(&self.text, start - 1)))
    }

    fn between_brackets(&self, node: &Node, at: usize, text: &str) -> Vec<Splice> {
        let children = node.children();
        if at < children.len() {
            let head = children[at].head;
            let start = scan::line_start(&self.text, head);
            let glue = if scan::is_first(&self.text, head) {
                format!("{}{}", self.style().eol, &self.text[start..head])
            } else {
                " ".to_owned()
            };
            return vec![(head..head, format!("{text},{glue}"))];
        }
        let (head, end) = (children[at - 1].head, children[at - 1].end());
        let comma = scan::comma(&self.text, end).filter(|comma| *comma < node.span.end);
        let behind = comma.map_or(end, |comma| comma + 1);
        let trailing = if comma.is_some() { "," } else { "" };
        if !scan::is_first(&self.text, head) || scan::line_end(&self.text, behind) >= node.span.end {
            let glue = if comma.is_some() { " " } else { ", " };
            return vec![(behind..behind, format!("{glue}{text}{trailing}"))];
        }
        // One to a line: a comment beside the last one stays beside it.
        let mut splices = Vec::new();
        if comma.is_none() {
            splices.push((end..end, ",".to_owned()));
        }
        let indent = &self.text[scan::line_start(&self.text, head)..head];
        let line = scan::line_end(&self.text, behind);
        splices.push((line..line, format!("{}{indent}{text}{trailing}", self.style().eol)));
        splices
    }
}

/// How the items beside position `at` are written.
fn neighbour(children: &[Child], at: usize) -> Option<bool> {
    let beside = children.get(at.saturating_sub(1))?;
    (!beside.node.children().is_empty()).then(|| beside.node.is_flow())
}
