//! A text that is being edited: each change is spliced in, and the text is read again.
//!
//! What an edit makes of the text is compared with what it makes of the plain values ([`super::model`]); where they differ,
//! the edit is refused.

use std::ops::Range;

use serde_json::{Map, Value};

use super::edit::{Edit, Path, Step};
use super::error::PatchError;
use super::find;
use super::model;
use super::render;
use super::style::Style;
use super::tree::{self, Data, Node, Tree};

/// A replacement of a range of the text.
pub(super) type Splice = (Range<usize>, String);

pub(super) struct Editor {
    pub(super) text: String,
    pub(super) tree: Tree,
}

impl Editor {
    pub(super) fn new(text: &str) -> Result<Self, PatchError> {
        Ok(Self { text: text.to_owned(), tree: tree::parse(text)? })
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
            Edit::Set { path, value } => Edit::Set { path: self.position(path), value },
            Edit::Unset { path } => Edit::Unset { path: self.position(path) },
            Edit::RemoveEndpoint { profile, id } => Edit::Unset { path: self.position(endpoints(&profile).item(&id)) },
            edit => edit,
        }
    }

    fn position(&self, path: Path) -> Path {
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
        self.tree = tree::parse(&self.text)?;
        Ok(())
    }

    /// Whether something around the value at `trail` is in brackets.
    pub(super) fn in_flow(&self, trail: &[usize]) -> bool {
        (0..trail.len()).any(|depth| self.tree.node(&trail[..depth]).is_flow())
    }

    fn set(&mut self, path: &Path, value: &Value) -> Result<(), PatchError> {
        let spot = self.tree.walk(&self.text, path)?;
        self.tree.guard(&self.text, path, &spot.trail)?;
        let Some((first, deeper)) = spot.rest.split_first() else { return self.set_at(path, &spot.trail, value) };
        let Step::Key(key) = first else { return Err(self.tree.missing(&self.text, path, &spot)) };
        let Some(value) = nested(deeper, value) else { return Err(self.tree.missing(&self.text, path, &spot)) };
        self.enter(path, &spot.trail, key, &value, None)
    }

    /// Gives the mapping at `trail` one more key.
    pub(super) fn enter(
        &mut self,
        path: &Path,
        trail: &[usize],
        key: &str,
        value: &Value,
        flow: Option<bool>,
    ) -> Result<(), PatchError> {
        let node = self.tree.node(trail);
        let nothing = matches!(node.data, Data::Scalar { value: Value::Null, .. });
        if nothing || node.is_map() && node.children().is_empty() {
            return self.replace(trail, &Map::from_iter([(key.to_owned(), value.clone())]).into());
        }
        if node.is_map() {
            return self.insert(trail, None, Some(key), value, flow);
        }
        Err(PatchError::Refused(format!("`{path}` cannot be set: what is there is not a mapping, so it has no keys")))
    }

    /// Replaces the value at `trail`; of two collections, only what differs.
    pub(super) fn set_at(&mut self, path: &Path, trail: &[usize], value: &Value) -> Result<(), PatchError> {
        let node = self.tree.node(trail);
        if node.to_value() == *value {
            return Ok(());
        }
        match value {
            Value::Object(new) if node.is_map() && !new.is_empty() && !node.children().is_empty() => {
                self.merge(path, trail, new)
            }
            Value::Array(new) if is_list(node) && !new.is_empty() && !node.children().is_empty() => {
                self.align(path, trail, new)
            }
            _ => {
                self.tree.guard_inside(&self.text, path, trail)?;
                self.replace(trail, value)
            }
        }
    }

    fn merge(&mut self, path: &Path, trail: &[usize], new: &Map<String, Value>) -> Result<(), PatchError> {
        for (key, value) in new {
            match self.tree.node(trail).position(key) {
                Some(at) => self.set_child(path, &below(trail, at), value)?,
                None => self.insert(trail, None, Some(key), value, None)?,
            }
        }
        let gone = |node: &Node| {
            node.children().iter().position(|child| child.name().is_none_or(|name| !new.contains_key(name)))
        };
        while let Some(at) = gone(self.tree.node(trail)) {
            self.tree.guard_removal(&self.text, path, &below(trail, at))?;
            self.remove(&below(trail, at))?;
        }
        Ok(())
    }

    fn set_child(&mut self, path: &Path, trail: &[usize], value: &Value) -> Result<(), PatchError> {
        if self.tree.node(trail).to_value() != *value {
            self.tree.guard(&self.text, path, trail)?;
        }
        self.set_at(path, trail, value)
    }

    fn align(&mut self, path: &Path, trail: &[usize], new: &[Value]) -> Result<(), PatchError> {
        let old = self.tree.node(trail).children().len();
        for (at, value) in new.iter().enumerate().take(old) {
            self.set_child(path, &below(trail, at), value)?;
        }
        for value in new.iter().skip(old) {
            self.insert(trail, None, None, value, None)?;
        }
        for at in (new.len()..old).rev() {
            self.tree.guard_removal(&self.text, path, &below(trail, at))?;
            self.remove(&below(trail, at))?;
        }
        Ok(())
    }

    /// Removes what is at `path`; of a key that is given twice, both.
    pub(super) fn unset(&mut self, path: &Path) -> Result<(), PatchError> {
        let twice = matches!(path.0.last(), Some(Step::Key(_)));
        self.unset_one(path)?;
        while twice && self.tree.walk(&self.text, path)?.rest.is_empty() {
            self.unset_one(path)?;
        }
        Ok(())
    }

    fn unset_one(&mut self, path: &Path) -> Result<(), PatchError> {
        let spot = self.tree.walk(&self.text, path)?;
        if !spot.rest.is_empty() || spot.trail.is_empty() {
            return Err(self.tree.missing(&self.text, path, &spot));
        }
        self.tree.guard(&self.text, path, &spot.trail[..spot.trail.len() - 1])?;
        self.tree.guard_removal(&self.text, path, &spot.trail)?;
        self.remove(&spot.trail)
    }

    fn add_profile(&mut self, name: &str, fields: &Map<String, Value>) -> Result<(), PatchError> {
        let path = Path::of(&["profiles", name]);
        let spot = self.tree.walk(&self.text, &path)?;
        let value = Value::Object(fields.clone());
        match spot.rest.len() {
            0 => Err(PatchError::Exists { path }),
            1 => {
                let flow = self.like_the_last(&spot.trail, name, &value);
                self.enter(&path, &spot.trail, name, &value, flow)
            }
            _ => self.set(&path, &value),
        }
    }

    /// A neighbour in brackets wants brackets, if they fit.
    fn like_the_last(&self, trail: &[usize], name: &str, value: &Value) -> Option<bool> {
        let last = self.tree.node(trail).children().last()?;
        if last.node.children().is_empty() {
            return None;
        }
        let width = name.chars().count() + self.style().inline(value).chars().count();
        Some(last.node.is_flow() && width <= 110)
    }

    fn rename_profile(&mut self, from: &str, to: &str) -> Result<(), PatchError> {
        let (old, new) = (Path::of(&["profiles", from]), Path::of(&["profiles", to]));
        if from != to && self.tree.walk(&self.text, &new)?.rest.is_empty() {
            return Err(PatchError::Exists { path: new });
        }
        let spot = self.tree.walk(&self.text, &old)?;
        let Some(key) =
            self.tree.child(&spot.trail).filter(|_| spot.rest.is_empty()).and_then(|child| child.key.as_ref())
        else {
            return Err(self.tree.missing(&self.text, &old, &spot));
        };
        let quote = self.text[key.span.clone()].chars().next().filter(|c| "'\"".contains(*c));
        let key = (key.span.clone(), render::key(to, quote, self.in_flow(&spot.trail)));
        self.splice(vec![key])?;
        if self.is_default(from) { self.set(&Path::of(&["default"]), &to.into()) } else { Ok(()) }
    }

    fn remove_profile(&mut self, name: &str) -> Result<(), PatchError> {
        self.unset(&Path::of(&["profiles", name]))?;
        if self.is_default(name) { self.unset(&Path::of(&["default"])) } else { Ok(()) }
    }

    fn is_default(&self, name: &str) -> bool {
        let at = self.tree.root.position("default");
        at.is_some_and(|at| self.tree.root.children()[at].node.to_value() == name)
    }

    fn add_endpoint(
        &mut self,
        profile: &str,
        fields: &Map<String, Value>,
        at: Option<usize>,
    ) -> Result<(), PatchError> {
        let path = endpoints(profile);
        let spot = self.tree.walk(&self.text, &path)?;
        if spot.rest.len() > 1 {
            return Err(self.tree.missing(&self.text, &Path::of(&["profiles", profile]), &spot));
        }
        self.tree.guard(&self.text, &path, &spot.trail)?;
        let trail = spot.trail.clone();
        let absent = spot.rest.len() == 1;
        if absent && self.write_out(&path, &trail, profile)? {
            return self.add_endpoint(profile, fields, at);
        }
        self.append(&path, &trail, absent, &Value::Object(fields.clone()), at)
    }

    fn append(
        &mut self,
        path: &Path,
        trail: &[usize],
        absent: bool,
        value: &Value,
        at: Option<usize>,
    ) -> Result<(), PatchError> {
        let list = Value::Array(vec![value.clone()]);
        let node = self.tree.node(trail);
        if absent {
            return self.enter(path, trail, "endpoints", &list, None);
        }
        if node.children().is_empty() {
            return self.set_at(path, trail, &list);
        }
        if !is_list(node) {
            return Err(PatchError::Refused(format!("`{path}` is not a list")));
        }
        self.insert(trail, at, None, value, None)
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

fn is_list(node: &Node) -> bool {
    matches!(node.data, Data::Collection { map: false, .. })
}

/// `value` below the keys of `steps`; `None` if one of them is a list item.
fn nested(steps: &[Step], value: &Value) -> Option<Value> {
    steps.iter().rev().try_fold(value.clone(), |inner, step| match step {
        Step::Key(key) => Some(Map::from_iter([(key.clone(), inner)]).into()),
        _ => None,
    })
}
