//! One child less.

use std::ops::Range;

use super::editor::{Editor, Splice};
use super::error::PatchError;
use super::replace::value_from;
use super::scan;
use super::tree::{Child, Node};

impl Editor {
    /// Removes the value at `trail` with the comment block right above it, and what hangs below it.
    pub(super) fn remove(&mut self, trail: &[usize]) -> Result<(), PatchError> {
        let Some((at, above)) = trail.split_last() else { return Ok(()) };
        let node = self.tree.node(above);
        let splices = match (node.children().len(), node.is_flow()) {
            (1, _) => self.last_one(above, node)?,
            (_, true) => self.bracketed(node, *at),
            (_, false) => vec![(self.lines_of(node, *at)?, String::new())],
        };
        self.splice(splices)
    }

    /// The lines of a child of a block collection: its comments above, itself, deeper comments below; without the last
    /// line end. If it shares its first line with a dash, from its head.
    pub(super) fn region(&self, node: &Node, at: usize) -> Range<usize> {
        let child = &node.children()[at];
        let depth = scan::column(&self.text, child.head);
        let below = scan::next_line(&self.text, child.end());
        let end = scan::comments_below(&self.text, below, depth + 1, false);
        let end =
            if end > below { scan::line_end_above(&self.text, end) } else { scan::line_end(&self.text, child.end()) };
        if !scan::is_first(&self.text, child.head) {
            return child.head..end;
        }
        let line = scan::line_start(&self.text, child.head);
        let start = scan::comments_above(&self.text, line, if at == 0 { usize::MAX } else { depth });
        // The comment at the top of the file is about the file.
        if start == 0 { line..end } else { start..end }
    }

    fn lines_of(&self, node: &Node, at: usize) -> Result<Range<usize>, PatchError> {
        let region = self.region(node, at);
        if !scan::is_first(&self.text, region.start) {
            return self.after_the_dash(node, at, region);
        }
        let (mut start, mut end) = (region.start, scan::next_line(&self.text, region.end));
        let blank = |at: usize| scan::is_blank(scan::line(&self.text, at));
        let before = |at: usize| scan::line_start(&self.text, at - 1);
        if end == self.text.len() || blank(end) {
            while start > 0 && blank(before(start)) {
                start = before(start);
            }
        }
        if end == self.text.len() && !self.text.ends_with('\n') && start > 0 {
            // The last line had no line end; the one that becomes the last has none either.
            end = self.text.len();
            start = scan::line_end(&self.text, before(start));
        }
        Ok(start..end)
    }

    /// `- first: 1`: the next key takes its place. Anything else before a key (`? key`) is for people.
    fn after_the_dash(&self, node: &Node, at: usize, region: Range<usize>) -> Result<Range<usize>, PatchError> {
        let before = self.text[scan::line_start(&self.text, region.start)..region.start].trim_end();
        let next = node.children().get(1).map(|next| next.head).filter(|_| at == 0 && !before.ends_with('?'));
        let Some(next) = next.filter(|next| *next >= region.end) else {
            let line = scan::line_number(&self.text, region.start);
            let reason = format!("what stands on line {line} does not begin its line; edit it by hand");
            return Err(PatchError::Refused(reason));
        };
        let close = self.text[region.end..next].trim_start_matches(['\r', '\n', ' ']).is_empty();
        if close {
            return Ok(region.start..next);
        }
        let start = self.text[..region.start].trim_end_matches(' ').len();
        Ok(start..region.end)
    }

    /// An empty collection stays.
    fn last_one(&self, above: &[usize], node: &Node) -> Result<Vec<Splice>, PatchError> {
        let child = &node.children()[0];
        let empty = if node.is_map() { "{}" } else { "[]" };
        if node.is_flow() {
            return Ok(vec![(self.emptied(node, child), String::new())]);
        }
        let region = self.region(node, 0);
        let parent = self.tree.child(above).filter(|_| scan::is_first(&self.text, child.head));
        let Some(parent) = parent else {
            return Ok(vec![(region.start..region.end.max(node.span.end), empty.to_owned())]);
        };
        let from = value_from(parent);
        let lines = self.lines_of(node, 0)?;
        // Only its own lines: blank ones around it stay.
        let lines = lines.start.max(scan::line_end(&self.text, from))..lines.end;
        Ok(vec![(from..from, format!(" {empty}")), (lines, String::new())])
    }

    fn emptied(&self, node: &Node, child: &Child) -> Range<usize> {
        let inside = node.span.start + 1..node.span.end - 1;
        if !scan::has_comment(&self.text, inside.clone()) {
            return inside;
        }
        child.head..scan::comma(&self.text, child.end()).map_or(child.end(), |comma| comma + 1)
    }

    fn bracketed(&self, node: &Node, at: usize) -> Vec<Splice> {
        let children = node.children();
        let child = &children[at];
        let comma = scan::comma(&self.text, child.end()).filter(|comma| *comma < node.span.end);
        let behind = comma.map_or(child.end(), |comma| comma + 1);
        let tail = &self.text[behind..scan::line_end(&self.text, behind)];
        if scan::is_first(&self.text, child.head) && (scan::is_blank(tail) || scan::is_comment(tail)) {
            return self.own_line(children, at, comma, behind);
        }
        match children.get(at + 1) {
            Some(next) if !self.text[behind..next.head].contains('\n') => vec![(child.head..next.head, String::new())],
            Some(_) => vec![(child.head..behind, String::new())],
            None => {
                let before = children[at - 1].end();
                let start = if scan::has_comment(&self.text, before..child.head) { child.head } else { before };
                vec![(start..child.end(), String::new())]
            }
        }
    }

    fn own_line(&self, children: &[Child], at: usize, comma: Option<usize>, behind: usize) -> Vec<Splice> {
        let start = scan::line_start(&self.text, children[at].head);
        let start = scan::comments_above(&self.text, start, scan::column(&self.text, children[at].head));
        let mut splices = vec![(start..scan::next_line(&self.text, behind), String::new())];
        if at + 1 == children.len() && comma.is_none() {
            let before = scan::comma(&self.text, children[at - 1].end());
            splices.extend(before.map(|comma| (comma..comma + 1, String::new())));
        }
        splices
    }
}
