//! Setting and unsetting by path.

use serde_json::{Map, Value};

use super::edit::{Path, Step};
use super::editor::{Editor, below};
use super::error::PatchError;
use super::tree::{Data, Node};

impl Editor {
    /// Gives `path` a value.
    pub(super) fn set(&mut self, path: &Path, value: &Value) -> Result<(), PatchError> {
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
}

/// Whether this is a list, and not an alias of one.
pub(super) fn is_list(node: &Node) -> bool {
    matches!(node.data, Data::Collection { map: false, .. })
}

/// `value` below the keys of `steps`; `None` if one of them is a list item.
fn nested(steps: &[Step], value: &Value) -> Option<Value> {
    steps.iter().rev().try_fold(value.clone(), |inner, step| match step {
        Step::Key(key) => Some(Map::from_iter([(key.clone(), inner)]).into()),
        _ => None,
    })
}
