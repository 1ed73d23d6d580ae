//! `qcc config reset`: back to the defaults, by taking out what the file says.

use clap::{ArgGroup, Args};
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;

use crate::cli::edit::{self, EditArgs, Failure, Sheet};
use crate::cli::{complete, paths};
use crate::config::effective;
use crate::patch::{Edit, Path};

/// Sections that have no defaults to go back to.
const KEPT: [&str; 2] = ["version", "profiles"];

/// What can be typed after `qcc config reset`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(in crate::cli) struct ResetArgs {
    /// For example `failover` or `profiles.production.endpoints[work].weight`.
    #[arg(group = "what", add = ArgValueCompleter::new(complete::config_paths))]
    path: Option<String>,
    /// Everything but `version`, the profiles and the `x-` sections.
    #[arg(long, group = "what")]
    all: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(super) edit: EditArgs,
}

/// What is to be taken out, after asking.
pub(super) fn edits(sheet: &Sheet, args: &ResetArgs) -> Result<Vec<Edit>, Failure> {
    let paths = match &args.path {
        Some(path) => one(sheet, path.parse()?)?,
        None => sections(sheet),
    };
    if let Some(named) = words(&paths) {
        edit::confirm(&format!("Go back to the defaults of {named}?"), args.yes, &args.edit)?;
    }
    Ok(paths.into_iter().map(|path| Edit::Unset { path }).collect())
}

/// `path`, if the file says something there; nothing where the default holds anyway.
fn one(sheet: &Sheet, path: Path) -> Result<Vec<Path>, Failure> {
    let written = sheet.get(&[]).and_then(|value| paths::get(value, &path.0)).is_some();
    if !written && paths::get(&effective(sheet.config()?), &path.0).is_some() {
        return Ok(Vec::new());
    }
    // What is not there at all is named by the edit, with what may have been meant.
    Ok(vec![path])
}

fn sections(sheet: &Sheet) -> Vec<Path> {
    let written = sheet.get(&[]).and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    let named = written.filter(|key| !KEPT.contains(&key.as_str()) && !key.starts_with("x-"));
    named.map(|key| Path::of(&[key])).collect()
}

fn words(paths: &[Path]) -> Option<String> {
    let names: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
