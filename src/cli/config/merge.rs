//! `qcc config import`: the profiles of another `qcc.yaml` are merged into this one.
//!
//! - A profile that says the same is there already; a name that something else has gets a number.
//! - References to files are made to lead to the same files from here.
//! - A key in clear becomes a reference; its value goes to `.env` only with `--keys-to-env`.

use std::path::{Path as File, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::edit::{self, EditArgs, Failure, Sheet};
use crate::cli::import::{KeysArgs, names, store};
use crate::config::{Secret, lexical, load};
use crate::import::{self, Names, free};
use crate::patch::Edit;

/// What can be typed after `qcc config import`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// Another qcc.yaml.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    edit: EditArgs,
}

/// Runs the command.
pub(super) fn run(args: &ImportArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| merge(&sheet, args)))
}

fn merge(sheet: &Sheet, args: &ImportArgs) -> Result<ExitCode, Failure> {
    let other = load(&args.file);
    if other.config.is_none() {
        let (path, errors) = (args.file.display(), other.errors());
        return Err(Failure::Refused(format!("`{path}` has {errors} error(s); `qcc validate {path}` tells them")));
    }
    let value = other.to_value();
    let stored = names(sheet)?;
    let here =
        Names { stored: &stored, env: &|name| std::env::var_os(name).map(|key| Secret::new(key.to_string_lossy())) };
    let mut merge =
        Merge { sheet, names: here, bridge: Bridge::new(&args.file, sheet.path()), keys: Vec::new(), said: Vec::new() };
    let mut edits = Vec::new();
    for (name, fields) in value.get("profiles").and_then(Value::as_object).into_iter().flatten() {
        edits.extend(merge.profile(name, fields)?);
    }
    let left: Vec<&String> = value.as_object().into_iter().flat_map(Map::keys).filter(|key| is_left(key)).collect();
    for key in &left {
        eprintln!("Not merged, only profiles are: `{key}`.");
    }
    edit::check(sheet, &edits)?;
    let stored = store(&args.keys, &args.edit, &merge.keys, sheet)?;
    let keys = merge.keys.iter().map(|(name, _)| json!({ "env": name, "stored": stored }));
    let left = left.iter().map(|key| json!({ "what": key, "why": "only profiles are merged" }));
    let facts = [("profiles", Value::Array(merge.said.clone())), ("keys", keys.collect()), ("left", left.collect())];
    let facts = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    edit::apply_with(sheet, &edits, &args.edit, &facts)
}

fn is_left(key: &str) -> bool {
    !["version", "profiles"].contains(&key) && !key.starts_with("x-")
}

struct Merge<'a> {
    sheet: &'a Sheet,
    names: Names<'a>,
    bridge: Bridge,
    keys: Vec<(String, Secret)>,
    said: Vec<Value>,
}

impl Merge<'_> {
    /// Adds a profile, unless it is there already.
    fn profile(&mut self, wanted: &str, fields: &Value) -> Result<Option<Edit>, Failure> {
        let existing = |name: &str| self.sheet.get(&["profiles", name]);
        // Judged under the names that an import before would have given.
        let mut trial = Vec::new();
        let like = self.here(wanted, fields, &|_| false, &mut trial)?;
        let mut present = false;
        let name = free(wanted, "-", |name| {
            present = existing(name) == Some(&like);
            present || existing(name).is_none()
        });
        self.said.push(json!({ "name": name, "from": wanted, "present": present }));
        if present {
            eprintln!("Profile `{name}`: there already, left as it is");
            return Ok(None);
        }
        if name != wanted {
            eprintln!("Profile `{name}` (there: `{wanted}`)");
        }
        let mut keys = std::mem::take(&mut self.keys);
        let fields = self.here(&name, fields, &|variable| self.sheet.refers(variable), &mut keys);
        self.keys = keys;
        let fields = fields?.as_object().cloned().unwrap_or_default();
        Ok(Some(Edit::AddProfile { name, fields }))
    }

    /// What is said of a profile there, as it is said here.
    fn here(
        &self,
        profile: &str,
        fields: &Value,
        taken: &dyn Fn(&str) -> bool,
        keys: &mut Vec<(String, Secret)>,
    ) -> Result<Value, Failure> {
        let mut fields = fields.clone();
        self.bridge.rebase(&mut fields);
        let mut entries: Vec<&mut Value> = if fields.get("endpoints").is_some() {
            fields.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten().collect()
        } else {
            vec![&mut fields]
        };
        for entry in &mut entries {
            let id = entry.get("id").and_then(Value::as_str).unwrap_or(profile).to_owned();
            if entry.pointer("/client_cert/key").is_some_and(Value::is_string) {
                let why =
                    format!("`{profile}/{id}` has the key of its certificate in clear; write a reference there first");
                return Err(Failure::Refused(why));
            }
            let Some(key) = entry.get("api_key").and_then(Value::as_str) else { continue };
            let key = import::key::literal(key).map_err(|why| Failure::Refused(format!("`{profile}/{id}`: {why}")))?;
            let name = self.names.store(&import::variable(profile, &id), &key, taken, keys);
            entry["api_key"] = json!({ "env": name });
        }
        Ok(fields)
    }
}

/// From relative paths in one file to those in another.
struct Bridge {
    from: PathBuf,
    to: PathBuf,
}

impl Bridge {
    fn new(from: &File, to: &File) -> Self {
        let directory = |file: &File| {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            file.parent().map(lexical).unwrap_or_default()
        };
        Self { from: directory(from), to: directory(to) }
    }

    /// Every path to a file in the fields of a profile.
    fn rebase(&self, value: &mut Value) {
        if self.from == self.to {
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rebase(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("models" | "headers", _) => {}
                        ("file" | "ca_file" | "cert", Value::String(path)) => *path = self.path(path),
                        (_, value) => self.rebase(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn path(&self, path: &str) -> String {
        if File::new(path).is_absolute() {
            return path.to_owned();
        }
        let target = lexical(&self.from.join(path));
        target.strip_prefix(&self.to).unwrap_or(&target).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_same_files_from_elsewhere() {
        let bridge = Bridge { from: "/a/b".into(), to: "/a".into() };
        for (path, expected) in [("k", "b/k"), ("../k", "k"), ("../../k", "/k"), ("/run/k", "/run/k")] {
            assert_eq!(bridge.path(path), expected);
        }
        let mut fields =
            json!({ "ca_file": "c", "models": { "file": "m" }, "endpoints": [{ "api_key": { "file": "k" } }] });
        bridge.rebase(&mut fields);
        let expected =
            json!({ "ca_file": "b/c", "models": { "file": "m" }, "endpoints": [{ "api_key": { "file": "b/k" } }] });
        assert_eq!(fields, expected);
    }
}
