//! Names of the variables that hold keys.

use crate::config::Secret;

/// Variable names that have a meaning already.
pub struct Names<'a> {
    /// Lines of the `.env` beside the file.
    pub stored: &'a [(String, Secret)],
    /// What the environment, which wins over `.env`, has in a variable.
    pub env: &'a dyn Fn(&str) -> Option<Secret>,
}

impl Names<'_> {
    /// The name under which `key` is found: one like `wanted` that has it already, or one of the `new` lines of `.env`.
    /// `taken` are names that mean something else.
    pub fn store(
        &self,
        wanted: &str,
        key: &Secret,
        taken: &dyn Fn(&str) -> bool,
        new: &mut Vec<(String, Secret)>,
    ) -> String {
        let held = self.stored.iter().chain(new.iter());
        let same = |(known, held): &&(String, Secret)| held == key && known.starts_with(wanted) && self.is_free(known);
        if let Some((known, _)) = held.clone().find(same) {
            return known.clone();
        }
        if (self.env)(wanted).as_ref() == Some(key) {
            return wanted.to_owned();
        }
        let unused = |name: &str| self.is_free(name) && !taken(name) && held.clone().all(|(known, _)| known != name);
        let name = free(wanted, "_", unused);
        new.push((name.clone(), key.clone()));
        name
    }

    /// What `name` holds, as the proxy would find it from here.
    pub(super) fn get(&self, name: &str) -> Option<Secret> {
        let stored = || self.stored.iter().find(|(known, _)| known == name).map(|(_, key)| key.clone());
        (self.env)(name).or_else(stored)
    }

    fn is_free(&self, name: &str) -> bool {
        (self.env)(name).is_none()
    }
}

/// `name`, or the first of `name-2`, `name-3` and so on that is free.
pub fn free(name: &str, dash: &str, mut is_free: impl FnMut(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|n| format!("{name}{dash}{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).expect("numbers do not run out")
}
