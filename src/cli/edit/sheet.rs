//! The file as an editing command sees it.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Endpoint, Failure, cwd, find, find_proxy};
use crate::app::search::Found;
use crate::config::{Config, Loaded, Severity, load, load_bytes, secrets};
use crate::patch::{self, Edit, Patch, PatchError, Step};

/// A file that was read, and what it says as written. A file with errors can be repaired by edits, so none is refused here.
pub(in crate::cli) struct Sheet {
    pub(super) loaded: Loaded,
    /// Whether there is no file yet; what was loaded is what a new one begins with.
    pub(super) new: bool,
    value: Value,
}

impl Sheet {
    /// Reads the file that is meant.
    pub(in crate::cli) fn open(named: Option<&Path>) -> Result<Self, Failure> {
        Self::read(&find(named)?)
    }

    /// Reads the file that is meant; where there is none, begins one with `text`.
    pub(in crate::cli) fn open_or_new(named: Option<&Path>, text: &str) -> Result<Self, Failure> {
        let path = find(named).or_else(|_| cwd().map(|cwd| cwd.join("qcc.yaml")))?;
        if path.symlink_metadata().is_ok() {
            return Self::read(&path);
        }
        let loaded = load_bytes(&path, text.as_bytes());
        Ok(Self { value: loaded.to_value(), loaded, new: true })
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let loaded = load(path);
        if loaded.unread() {
            let why = loaded.diagnostics.first().map_or("unreadable", |diagnostic| &diagnostic.message);
            return Err(Failure::CouldNot(format!("`{}`: {why}", loaded.path.display())));
        }
        Ok(Self { value: loaded.to_value(), loaded, new: false })
    }

    /// The file.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.loaded.path
    }

    /// What the file says, with defaults. A file with errors says nothing for certain.
    pub(in crate::cli) fn config(&self) -> Result<&Config, Failure> {
        let path = self.loaded.path.display();
        let errors = self.loaded.errors();
        let why = || Failure::Refused(format!("{path} has {errors} error(s); `qcc validate` tells them"));
        self.loaded.config.as_ref().ok_or_else(why)
    }

    /// What the file says as written, without defaults.
    pub(in crate::cli) fn value(&self) -> &Value {
        &self.value
    }

    /// What is written at `keys`; `None` if nothing is.
    pub(in crate::cli) fn get(&self, keys: &[&str]) -> Option<&Value> {
        keys.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    /// The proxy that runs it, and its places.
    pub(in crate::cli) fn found(&self) -> Result<Found, Failure> {
        find_proxy(&self.loaded)
    }

    /// The directory where its relative paths start.
    pub(in crate::cli) fn directory(&self) -> &Path {
        self.loaded.path.parent().unwrap_or(Path::new("/"))
    }

    /// Its text.
    pub(in crate::cli) fn text(&self) -> &str {
        &self.loaded.text
    }

    /// SHA-256 of its bytes, in hex.
    pub(in crate::cli) fn sha256(&self) -> &str {
        &self.loaded.sha256
    }

    /// The change that makes it say `text`, which has to be valid.
    pub(super) fn becoming(&self, text: &str) -> Result<Patch, Failure> {
        let mark = if self.loaded.bom { "\u{FEFF}" } else { "" };
        let after = format!("{mark}{text}");
        let result = load_bytes(&self.loaded.path, after.as_bytes());
        if result.config.is_none() {
            let errors: Vec<_> =
                result.diagnostics.into_iter().filter(|each| each.severity == Severity::Error).collect();
            return Err(PatchError::Invalid(errors).into());
        }
        let before = format!("{mark}{}", self.loaded.text).into();
        Ok(Patch { before, after, diagnostics: result.diagnostics })
    }

    /// Whether something in it refers to the variable `name`.
    pub(in crate::cli) fn refers(&self, name: &str) -> bool {
        crate::import::refers(&self.value, name)
    }

    /// What `edits` make of the file.
    pub(super) fn plan(&self, edits: &[Edit]) -> Result<Patch, PatchError> {
        let patch = patch::plan(&self.loaded, edits)?;
        Ok(if self.new { Patch { before: "".into(), ..patch } } else { patch })
    }

    /// Whether `edit` makes a file without further errors.
    pub(in crate::cli) fn accepts(&self, edit: &Edit) -> bool {
        self.plan(std::slice::from_ref(edit)).is_ok()
    }

    /// Whether `edit` puts a key in clear into the file.
    pub(in crate::cli) fn brings_a_secret(edit: &Edit) -> bool {
        let Edit::Set { path, value } = edit else { return false };
        let document = path.0.iter().rev().fold(value.clone(), |inner, step| match step {
            Step::Key(key) => serde_json::json!({ key: inner }),
            Step::Index(_) | Step::Item(_) => serde_json::json!([inner]),
        });
        !secrets(&document.to_string()).is_empty()
    }

    /// The names of the profiles, in the order of the file.
    pub(in crate::cli) fn profiles(&self) -> Vec<&str> {
        let profiles = self.get(&["profiles"]).and_then(Value::as_object);
        profiles.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// Whether a reference of the file names the variable `name`.
    pub(in crate::cli) fn refers_to(&self, name: &str) -> bool {
        fn named(value: &Value, name: &str) -> bool {
            match value {
                Value::Object(fields) => {
                    fields.iter().any(|(key, value)| key == "env" && value == name || named(value, name))
                }
                Value::Array(items) => items.iter().any(|item| named(item, name)),
                _ => false,
            }
        }
        named(&self.value, name)
    }

    /// That there is such a profile.
    pub(in crate::cli) fn has_profile(&self, name: &str) -> Result<(), Failure> {
        let profiles = self.profiles();
        if profiles.contains(&name) {
            return Ok(());
        }
        let known = if profiles.is_empty() { "there is none yet".into() } else { profiles.join(", ") };
        Err(Failure::Refused(format!("there is no profile `{name}`; profiles: {known}")))
    }

    /// The endpoints of a profile; none if there is no such profile.
    pub(in crate::cli) fn endpoints(&self, profile: &str) -> Vec<Endpoint> {
        self.get(&["profiles", profile]).map(|value| Endpoint::of(profile, value)).unwrap_or_default()
    }

    /// The endpoint called `PROFILE/ID`, or `ID` where only one is.
    pub(in crate::cli) fn endpoint(&self, name: &str) -> Result<Endpoint, Failure> {
        let all = || self.profiles().into_iter().flat_map(|profile| self.endpoints(profile));
        let named = all().filter(|endpoint| endpoint.id == name || endpoint.name() == name);
        let mut named: Vec<Endpoint> = named.collect();
        match named.len() {
            1 => Ok(named.remove(0)),
            0 => Err(Failure::Refused(format!("there is no endpoint `{name}`; endpoints: {}", names(all())))),
            _ => Err(Failure::Refused(format!("`{name}` could be one of {}", names(named.into_iter())))),
        }
    }
}

fn names(endpoints: impl Iterator<Item = Endpoint>) -> String {
    let names: Vec<String> = endpoints.map(|endpoint| endpoint.name()).collect();
    if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") }
}
