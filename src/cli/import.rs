//! `qcc import`: takes over what another tool was set up with, as profiles of the file.
//!
//! - Keys become references by name. Their values go to the `.env` beside the file only with `--keys-to-env` or a yes,
//!   and are never printed.
//! - What cannot be carried over is said, each piece with the reason.
//! - Without a qcc.yaml a new one is made.

mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::{Map, Value, json};

use self::sources::{Around, Source};
use super::edit::{self, EditArgs, Failure, Sheet};
use super::files;
use crate::config::Secret;
use crate::import::{self, Arrival, Names, Plan, Tool};

/// What can be typed after `qcc import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Whose files they are. Default: told by what is in them, else by which tool has some.
    #[arg(long, value_name = "TOOL", value_parser = tools())]
    from: Option<Tool>,
    /// The tool's file. Default: where the tool keeps it.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    edit: EditArgs,
}

/// What becomes of keys that are found in clear.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// Write keys found in clear to the `.env` beside qcc.yaml (0600, git-ignored).
    #[arg(long)]
    keys_to_env: bool,
}

fn tools() -> impl clap::builder::TypedValueParser<Value = Tool> {
    let known = PossibleValuesParser::new(Tool::ALL.map(Tool::as_str));
    known.try_map(|word| Tool::ALL.into_iter().find(|tool| tool.as_str() == word).ok_or("no such tool"))
}

/// Runs the command.
pub(super) fn run(args: &ImportArgs, named: Option<&Path>) -> ExitCode {
    edit::end(import(args, named))
}

fn import(args: &ImportArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let sheet = Sheet::open_or_new(named, NEW)?;
    let env = |name: &str| std::env::var(name).ok();
    let Source { tool, files, brought } = sources::find(args.from, &args.files, &Around { env: &env })?;
    let plan = plan(&sheet, brought)?;
    say(tool, &files, &plan);
    if plan.arrivals.is_empty() {
        return Err(Failure::Refused(format!("there is nothing of {} that qcc can use", tool.title())));
    }
    edit::check(&sheet, &plan.edits)?;
    let stored = store(&args.keys, &args.edit, &plan.keys, &sheet)?;
    edit::apply_with(&sheet, &plan.edits, &args.edit, &facts(tool, &files, &plan, stored))
}

/// What a new file begins with.
const NEW: &str = "\
# Who may answer, and what happens when they fail. Made for git: it refers to keys and holds none.
# `qcc validate` says what is wrong with it; `qcc schema` prints every key with its default.
version: 1
";

/// The names and keys in the `.env` beside the file.
pub(super) fn names(sheet: &Sheet) -> Result<Vec<(String, Secret)>, Failure> {
    let path = sheet.directory().join(".env");
    let unreadable = |error| Failure::CouldNot(format!("`{}`: {error}", path.display()));
    files::env_lines(sheet.directory()).map_err(unreadable)
}

fn plan(sheet: &Sheet, brought: import::Brought) -> Result<Plan, Failure> {
    let stored = names(sheet)?;
    let env = |name: &str| std::env::var_os(name).map(|value| Secret::new(value.to_string_lossy()));
    Ok(import::plan(brought, sheet.get(&[]).unwrap_or(&Value::Null), &Names { stored: &stored, env: &env }))
}

/// Writes keys to `.env` if that was asked for. Whether they are, or would be, there.
pub(super) fn store(
    args: &KeysArgs,
    edit: &EditArgs,
    keys: &[(String, Secret)],
    sheet: &Sheet,
) -> Result<bool, Failure> {
    if keys.is_empty() {
        return Ok(false);
    }
    let directory = sheet.directory();
    let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
    let question = format!("Write {} key(s) to `.env` beside the file (0600, git-ignored)?", names.len());
    let wanted = args.keys_to_env || (!edit.dry_run && edit::agrees(&question));
    if !wanted {
        eprintln!("Set these where the proxy runs, or pass --keys-to-env: {}.", names.join(", "));
        return Ok(false);
    }
    if edit.dry_run {
        eprintln!("`.env` beside the file would get {}.", names.join(", "));
        return Ok(true);
    }
    super::keys::keep(directory, keys)?;
    Ok(true)
}

/// What becomes of everything.
fn say(tool: Tool, files: &[PathBuf], plan: &Plan) {
    eprintln!("From {}:", tool.title());
    for file in files {
        eprintln!("  {}", file.display());
    }
    for arrival in &plan.arrivals {
        eprintln!("{}", line(arrival));
    }
    if !plan.left.is_empty() {
        eprintln!("Not carried over:");
    }
    for left in &plan.left {
        eprintln!("  {}:\n    {}", left.what, left.why);
    }
}

fn line(arrival: &Arrival) -> String {
    let Arrival { from, name, endpoints, tier, present } = arrival;
    let renamed = if from == name { String::new() } else { format!(" (there: `{from}`)") };
    let place = match tier {
        _ if *present => "there already, left as it is".to_owned(),
        Some(tier) => format!("{endpoints} endpoint(s), {}", tier.as_str()),
        None => format!("{endpoints} endpoint(s), no traffic until `qcc priority set {name} TIER`"),
    };
    format!("Profile `{name}`{renamed}: {place}")
}

/// The same as JSON, for the document.
fn facts(tool: Tool, files: &[PathBuf], plan: &Plan, stored: bool) -> Map<String, Value> {
    let profile = |arrival: &Arrival| {
        let Arrival { from, name, endpoints, tier, present } = arrival;
        json!({ "name": name, "from": from, "endpoints": endpoints, "tier": tier, "present": present })
    };
    let key = |(name, _): &(String, Secret)| json!({ "env": name, "stored": stored });
    let left = plan.left.iter().map(|left| json!({ "what": left.what, "why": left.why }));
    Map::from_iter([
        ("tool".to_owned(), json!(tool.as_str())),
        ("from".to_owned(), json!(files)),
        ("profiles".to_owned(), plan.arrivals.iter().map(profile).collect()),
        ("keys".to_owned(), plan.keys.iter().map(key).collect()),
        ("left".to_owned(), left.collect()),
    ])
}
