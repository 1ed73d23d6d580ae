//! `qcc validate`: what the proxy would say about a file, without a proxy.
//!
//! Exit codes: 0 valid, 1 invalid (with `--deny-warnings` also for a warning), 2 a file could not be read.

mod github;
mod human;
mod json;
mod sarif;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::stdout;
use crate::config::{self, Loaded, MAX_BYTES};

/// What can be typed after `qcc validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Files to check; `-` reads standard input. Default: the file that qcc would use.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Warnings make a file invalid, too.
    #[arg(long)]
    deny_warnings: bool,
    /// Also check that the variables and files it refers to are there. Runs no command.
    #[arg(long)]
    resolve: bool,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With excerpts, for people.
    Human,
    /// One JSON document.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// Checks the files and prints what was found.
pub(super) fn run(args: &ValidateArgs, named: Option<&Path>) -> ExitCode {
    match files(args, named) {
        Ok(files) => {
            let loaded: Vec<Loaded> = files.iter().map(|file| check(file, args.resolve)).collect();
            stdout::print(&render(args, &loaded), verdict(&loaded, args.deny_warnings))
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn files(args: &ValidateArgs, named: Option<&Path>) -> Result<Vec<PathBuf>, String> {
    if !args.files.is_empty() {
        return Ok(args.files.clone());
    }
    let cwd = std::env::current_dir().map_err(|error| format!("the current directory is gone: {error}"))?;
    let found = config::locate(named, &|name| std::env::var_os(name), &cwd);
    found.map(|file| vec![file]).map_err(|error| error.to_string())
}

fn check(file: &Path, resolve: bool) -> Loaded {
    let loaded = if file == Path::new("-") { stdin() } else { config::load(file) };
    if resolve { config::resolve(loaded, &|name| std::env::var_os(name)) } else { loaded }
}

/// Relative paths of a text from standard input start at the current directory.
fn stdin() -> Loaded {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) => config::load_bytes(Path::new("<stdin>"), &bytes),
        // Whatever it is, it is said as of a file.
        Err(_) => config::load(Path::new("/dev/stdin")),
    }
}

fn render(args: &ValidateArgs, loaded: &[Loaded]) -> String {
    match args.format {
        Format::Human => human::render(loaded, args.deny_warnings, stdout::color()),
        Format::Json => json::render(loaded, args.deny_warnings),
        Format::Github => github::render(loaded),
        Format::Sarif => sarif::render(loaded),
    }
}

fn is_valid(loaded: &Loaded, deny_warnings: bool) -> bool {
    loaded.errors() == 0 && !(deny_warnings && loaded.warnings() > 0)
}

fn verdict(loaded: &[Loaded], deny_warnings: bool) -> ExitCode {
    if loaded.iter().any(Loaded::unread) {
        ExitCode::from(2)
    } else {
        ExitCode::from(u8::from(!loaded.iter().all(|loaded| is_valid(loaded, deny_warnings))))
    }
}
