//! Profiles and their endpoints.

use serde_json::{Map, Value};

use super::edit::Path;
use super::editor::{Editor, endpoints};
use super::error::PatchError;
use super::render;
use super::set::is_list;

impl Editor {
    pub(super) fn add_profile(&mut self, name: &str, fields: &Map<String, Value>) -> Result<(), PatchError> {
        let path = Path::of(&["profiles", name]);
        let spot = self.tree.walk(&self.text, &path)?;
        let value = Value::Object(fields.clone());
        match spot.rest.len() {
            0 => Err(PatchError::Exists { path }),
            1 if self.tree.is_merged(&spot) => Err(PatchError::Exists { path }),
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

    pub(super) fn rename_profile(&mut self, from: &str, to: &str) -> Result<(), PatchError> {
        let (old, new) = (Path::of(&["profiles", from]), Path::of(&["profiles", to]));
        let taken = self.tree.walk(&self.text, &new)?;
        if from != to && (taken.rest.is_empty() || self.tree.is_merged(&taken)) {
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

    pub(super) fn remove_profile(&mut self, name: &str) -> Result<(), PatchError> {
        self.unset(&Path::of(&["profiles", name]))?;
        if self.is_default(name) { self.unset(&Path::of(&["default"])) } else { Ok(()) }
    }

    fn is_default(&self, name: &str) -> bool {
        let at = self.tree.root.position("default");
        at.is_some_and(|at| self.tree.root.children()[at].node.to_value() == name)
    }

    pub(super) fn add_endpoint(
        &mut self,
        profile: &str,
        fields: &Map<String, Value>,
        at: Option<usize>,
    ) -> Result<(), PatchError> {
        let path = endpoints(profile);
        let spot = self.tree.walk(&self.text, &path)?;
        if spot.rest.len() > 1 || self.tree.is_merged(&spot) {
            return Err(self.tree.missing(&self.text, &path, &spot));
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
