//! `qcc config`: single values of the file, by their path: `profiles.production.endpoints[work].weight`.
//!
//! What is shown is what holds, defaults filled in and keys blanked; what is changed is the file.

mod export;
mod history;
mod merge;
mod reset;

use std::path::Path as File;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use serde_json::{Value, json};

use self::export::ExportArgs;
use self::history::{DiffArgs, HistoryArgs, RollbackArgs, ShowArgs};
use self::merge::ImportArgs;
use self::reset::ResetArgs;
use super::edit::{self, EditArgs, Failure, Sheet};
use super::{complete, paths, stdout};
use crate::config::effective;
use crate::patch::{Edit, Path};

/// What can be done with values.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the value at a path, defaults included.
    Get(GetArgs),
    /// Give a path a value, in YAML: 5, true, 30s, [a, b], '{ env: NAME }'.
    Set(SetArgs),
    /// Remove what the file says at a path, so that the default holds.
    Unset(UnsetArgs),
    /// List all values with their paths, defaults included.
    List(ListArgs),
    /// Print the whole configuration that holds, defaults filled in, keys as references.
    Export(ExportArgs),
    /// Merge the profiles of another qcc.yaml into this one.
    Import(ImportArgs),
    /// Go back to the defaults, at a path or everywhere but in the profiles.
    Reset(ResetArgs),
    /// List the files that the proxy has accepted.
    History(HistoryArgs),
    /// Print an accepted file, keys blanked.
    Show(ShowArgs),
    /// Print what differs between two accepted files; exit code 1 if something does.
    Diff(DiffArgs),
    /// Make the file say again what an accepted one said.
    Rollback(RollbackArgs),
}

/// What can be typed after `qcc config get`.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// For example `profiles.production.endpoints[work].weight`.
    #[arg(add = ArgValueCompleter::new(complete::config_paths))]
    path: String,
    /// Print it as JSON; a text gets quotes.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc config set`.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// For example `profiles.production.endpoints[work].weight`.
    #[arg(add = ArgValueCompleter::new(complete::config_paths))]
    path: String,
    /// The value, in YAML. A key is given as a reference, never in clear.
    #[arg(add = ArgValueCandidates::new(complete::config_values))]
    value: String,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc config unset`.
#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// For example `profiles.production.endpoints[work].weight`.
    #[arg(add = ArgValueCompleter::new(complete::config_paths))]
    path: String,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc config list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only what is below this path.
    #[arg(add = ArgValueCompleter::new(complete::config_paths))]
    path: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `qcc config ...`.
pub(super) fn run(command: &ConfigCommand, named: Option<&File>) -> ExitCode {
    match command {
        ConfigCommand::Get(args) => show(named, Some(&args.path), |_, value| match value {
            Value::String(text) if !args.json => format!("{text}\n"),
            value => format!("{value:#}\n"),
        }),
        ConfigCommand::List(args) => {
            show(
                named,
                args.path.as_deref(),
                |path, value| {
                    if args.json { format!("{value:#}\n") } else { lines(path, value) }
                },
            )
        }
        ConfigCommand::Set(args) => edit::run(named, &args.edit, |sheet| set(sheet, args)),
        ConfigCommand::Unset(args) => edit::run(named, &args.edit, |sheet| unset(sheet, args)),
        ConfigCommand::History(args) => history::history(args, named),
        ConfigCommand::Show(args) => history::show(args, named),
        ConfigCommand::Diff(args) => history::diff(args, named),
        ConfigCommand::Rollback(args) => history::rollback(args, named),
        ConfigCommand::Export(args) => export::run(args, named),
        ConfigCommand::Import(args) => merge::run(args, named),
        ConfigCommand::Reset(args) => edit::run(named, &args.edit, |sheet| reset::edits(sheet, args)),
    }
}

fn show(named: Option<&File>, path: Option<&str>, text: impl FnOnce(&Path, &Value) -> String) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let path: Path = path.map_or_else(|| Ok(Path::default()), str::parse)?;
        let all = effective(sheet.config()?);
        let missing =
            || Failure::Refused(format!("nothing is set at `{path}`, and it has no default{}", meant(&all, &path)));
        let value = paths::get(&all, &path.0).ok_or_else(missing)?;
        Ok(stdout::print(&text(&path, value), ExitCode::SUCCESS))
    }))
}

/// What was probably meant by a path that leads nowhere.
fn meant(all: &Value, path: &Path) -> String {
    paths::nearest(all, path).map(|path| format!("; did you mean `{path}`?")).unwrap_or_default()
}

/// One line for each value that has no further ones below it.
fn lines(path: &Path, value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().map(|(key, value)| lines(&path.clone().key(key), value)).collect()
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().map(|(at, item)| lines(&named(path, at, item), item)).collect()
        }
        value => format!("{path} = {value}\n"),
    }
}

fn named(path: &Path, at: usize, item: &Value) -> Path {
    paths::called(item).map_or_else(|| path.clone().index(at), |name| path.clone().item(name))
}

fn unset(sheet: &Sheet, args: &UnsetArgs) -> Result<Vec<Edit>, Failure> {
    let path: Path = args.path.parse()?;
    if paths::get(sheet.value(), &path.0).is_some() {
        return Ok(vec![Edit::Unset { path }]);
    }
    let all = sheet.config().map_or_else(|_| sheet.value().clone(), effective);
    let holds = if paths::get(&all, &path.0).is_some() { ": its default holds already" } else { "" };
    Err(Failure::Refused(format!("the file sets nothing at `{path}`{holds}{}", meant(&all, &path))))
}

fn set(sheet: &Sheet, args: &SetArgs) -> Result<Vec<Edit>, Failure> {
    let path: Path = args.path.parse()?;
    let read = serde_yaml::from_str(&args.value);
    let value = read.map_err(|error| Failure::CouldNot(format!("the value is not YAML: {error}")))?;
    // A text that looks like a number stays a text where only a text can be.
    let as_text = Edit::Set { path: path.clone(), value: json!(args.value) };
    let as_read = Edit::Set { path, value };
    let edit = if sheet.accepts(&as_read) || !sheet.accepts(&as_text) { as_read } else { as_text };
    if Sheet::brings_a_secret(&edit) {
        let why = "a key in clear is not taken from the command line, where others can read it; write a reference";
        return Err(Failure::Refused(format!(
            "{why}: '{{ env: NAME }}', '{{ file: PATH }}' or '{{ command: [PROGRAM] }}'"
        )));
    }
    Ok(vec![edit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_listed_under_the_path_that_gets_it() {
        let value = json!({ "a": { "b.c": 1, "d": [] }, "l": [{ "id": "x", "w": "5m" }, { "w": 2 }], "s": ["p", "q"] });
        let text = lines(&Path::default(), &value);
        let expected = "a.\"b.c\" = 1\na.d = []\nl[x].id = \"x\"\nl[x].w = \"5m\"\nl[1].w = 2\ns = [\"p\",\"q\"]\n";
        assert_eq!(text, expected);
        for line in text.lines() {
            let (path, shown) = line.split_once(" = ").expect("a path and a value");
            let path: Path = path.parse().expect("a path");
            let found = paths::get(&value, &path.0).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(shown), "{line}");
        }
    }
}
