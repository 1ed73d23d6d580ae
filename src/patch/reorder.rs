//! A list item elsewhere in its list.

use super::edit::Path;
use super::editor::Editor;
use super::error::PatchError;
use super::tree::Node;

impl Editor {
    /// Moves the item at `path` to position `to` of its list. What stands between the items stays between them.
    pub(super) fn reorder(&mut self, path: &Path, to: usize) -> Result<(), PatchError> {
        let spot = self.tree.walk(&self.text, path)?;
        let Some((from, above)) = spot.trail.split_last().filter(|_| spot.rest.is_empty()) else {
            return Err(self.tree.missing(&self.text, path, &spot));
        };
        self.tree.guard(&self.text, path, above)?;
        let node = self.tree.node(above);
        let to = to.min(node.children().len() - 1);
        let (first, last) = (to.min(*from), to.max(*from));
        if first == last {
            return Ok(());
        }
        let pieces: Vec<_> = (first..=last).map(|at| self.piece(node, at)).collect();
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        let steps = if *from < to { 1 } else { order.len() - 1 };
        order.rotate_left(steps);
        let splices =
            pieces.iter().zip(order).map(|(place, from)| (place.clone(), self.text[pieces[from].clone()].to_owned()));
        self.splice(splices.collect())
    }

    fn piece(&self, node: &Node, at: usize) -> std::ops::Range<usize> {
        let child = &node.children()[at];
        if node.is_flow() { child.head..child.end() } else { self.region(node, at) }
    }
}
