//! A text that is being edited: each change is spliced in, and the text is read again.
//!
//! What an edit makes of the text is compared with what it makes of the plain values ([`super::model`]); where they differ,
//! the edit is refused.

use std::ops::Range;

use super::edit::{Edit, Path, Step};
use super::error::PatchError;
use super::find;
use super::model;
use super::read;
use super::style::Style;
use super::tree::Tree;

/// A replacement of a range of the text.
pub(super) type Splice = (Range<usize>, String);

pub(super) struct Editor {
    pub(super) text: String,
    pub(super) tree: Tree,
}

impl Editor {
    pub(super) fn new(text: &str) -> Result<Self, PatchError> {
        if text.replace("\r\n", "").contains('\r') {
            let reason = "the file has line ends that are a bare carriage return; write `\\n` for them first";
            return Err(PatchError::Refused(reason.to_owned()));
        }
        Ok(Self { text: text.to_owned(), tree: read::parse(text)? })
    }

    /// Applies one edit, and checks that it did what it says.
    pub(super) fn apply(&mut self, edit: &Edit) -> Result<(), PatchError> {
        let plain = self.positions(edit);
        let mut expected = self.tree.root.to_value();
        self.dispatch(edit)?;
        let understood = model::apply(&mut expected, &plain);
        if understood && self.tree.root.to_value() == expected {
            return Ok(());
        }
        Err(PatchError::Refused(
            "this cannot be done without changing more than was asked; edit the file by hand".to_owned(),
        ))
    }

    fn dispatch(&mut self, edit: &Edit) -> Result<(), PatchError> {
        match edit {
            Edit::Set { path, value } => self.set(path, value),
            Edit::Unset { path } => self.unset(path),
            Edit::AddProfile { name, fields } => self.add_profile(name, fields),
            Edit::RenameProfile { from, to } => self.rename_profile(from, to),
            Edit::RemoveProfile { name } => self.remove_profile(name),
            Edit::AddEndpoint { profile, fields, at } => self.add_endpoint(profile, fields, *at),
            Edit::MoveEndpoint { profile, id, to } => self.reorder(&endpoints(profile).item(id), *to),
            Edit::RemoveEndpoint { profile, id } => self.unset(&endpoints(profile).item(id)),
        }
    }

    /// The same with list items named by their position, which is all that plain values know.
    fn positions(&self, edit: &Edit) -> Edit {
        match edit.clone() {
            Edit::Set { path, value } => Edit::Set { path: self.position(&path), value },
            Edit::Unset { path } => Edit::Unset { path: self.position(&path) },
            Edit::RemoveEndpoint { profile, id } => Edit::Unset { path: self.position(&endpoints(&profile).item(&id)) },
            edit => edit,
        }
    }

    fn position(&self, path: &Path) -> Path {
        let mut node = &*self.tree.root;
        let mut steps = Vec::with_capacity(path.0.len());
        for (depth, step) in path.0.iter().enumerate() {
            let found = match step {
                Step::Key(key) => node.position(key),
                Step::Item(name) => find::item(node, name),
                Step::Index(index) => Some(*index).filter(|index| *index < node.children().len()),
            };
            let Some(at) = found else {
                steps.extend_from_slice(&path.0[depth..]);
                break;
            };
            steps.push(if node.is_map() { step.clone() } else { Step::Index(at) });
            node = &node.children()[at].node;
        }
        Path(steps)
    }

    pub(super) fn style(&self) -> Style {
        Style::of(&self.text, &self.tree)
    }

    /// Replaces ranges that do not overlap, and reads the text again.
    pub(super) fn splice(&mut self, mut splices: Vec<Splice>) -> Result<(), PatchError> {
        splices.sort_by_key(|(range, _)| (range.start, range.end));
        for (range, new) in splices.into_iter().rev() {
            self.text.replace_range(range, &new);
        }
        self.tree = read::parse(&self.text)?;
        Ok(())
    }

    /// Whether something around the value at `trail` is in brackets.
    pub(super) fn in_flow(&self, trail: &[usize]) -> bool {
        (0..trail.len()).any(|depth| self.tree.node(&trail[..depth]).is_flow())
    }
}

/// Where the endpoints of a profile are.
pub(super) fn endpoints(profile: &str) -> Path {
    Path::of(&["profiles", profile, "endpoints"])
}

/// The way to a child.
pub(super) fn below(trail: &[usize], at: usize) -> Vec<usize> {
    trail.iter().copied().chain(std::iter::once(at)).collect()
}
