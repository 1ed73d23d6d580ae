//! Completion: what a shell is told when Tab is pressed. The binary answers by itself, so that names come from the file at
//! hand and values from the schema; the script of `qcc completions` only asks it.
//!
//! Nothing is ever said about a file that cannot be read: there is just nothing to complete.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate as Candidate;
use clap_complete::env::Shells;
use serde_json::{Value, json};

use super::args::Args;
use super::edit::Sheet;
use super::{later, paths, stdout};

/// Set by the script when it asks.
const VARIABLE: &str = "COMPLETE";
/// The name everything goes by.
const NAME: &str = "qcc";

/// What can be typed after `qcc completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

/// Answers a shell that asks, and ends the process; goes on if none does.
pub(super) fn answer() {
    if std::env::var_os(VARIABLE).is_some() {
        later::at_once();
    }
    CompleteEnv::with_factory(Args::command).var(VARIABLE).complete();
}

/// Prints the script that makes a shell ask.
pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&args.shell) else { return ExitCode::from(2) };
    match shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script) {
        Ok(()) => stdout::print(&String::from_utf8_lossy(&script), ExitCode::SUCCESS),
        Err(_) => ExitCode::from(2),
    }
}

/// The profiles of the file.
pub(super) fn profiles() -> Vec<Candidate> {
    let sheet = sheet();
    sheet.iter().flat_map(Sheet::profiles).map(Candidate::new).collect()
}

/// The endpoints of the file, as `PROFILE/ID`.
pub(super) fn endpoints() -> Vec<Candidate> {
    let Some(sheet) = sheet() else { return Vec::new() };
    let all = sheet.profiles().into_iter().flat_map(|profile| sheet.endpoints(profile));
    all.map(|endpoint| Candidate::new(endpoint.name())).collect()
}

/// Paths of values.
pub(super) fn config_paths(current: &OsStr) -> Vec<Candidate> {
    let file = sheet().and_then(|sheet| sheet.config().ok().map(|config| json!(config)));
    let paths = paths::complete(&file.unwrap_or(Value::Null), &current.to_string_lossy());
    paths.into_iter().filter(|path| path.starts_with(&*current.to_string_lossy())).map(Candidate::new).collect()
}

/// Values of the path that was typed before.
pub(super) fn config_values() -> Vec<Candidate> {
    let words = words();
    let typed =
        words.iter().skip_while(|word| *word != "set").skip(1).find(|word| !word.to_string_lossy().starts_with('-'));
    let path = typed.and_then(|word| word.to_str()?.parse().ok());
    path.iter().flat_map(paths::values).map(Candidate::new).collect()
}

/// The file that the command line at hand is about.
fn sheet() -> Option<Sheet> {
    let words = words();
    let flag = words.iter().position(|word| word == "-c" || word == "--config");
    let named = flag.and_then(|at| words.get(at + 1)).cloned().or_else(|| std::env::var_os("QCC_CONFIG"));
    let named = named.filter(|name| !name.is_empty()).map(PathBuf::from);
    Sheet::open(named.as_deref()).ok()
}

/// The words of the command line that is being completed: those behind `--`.
fn words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}
