//! `qcc init`: a first qcc.yaml, commented, valid, and ready to run.
//!
//! It takes over what Claude Code is set up with, as references, after asking. Keys found in clear in a settings file
//! move into the `.env` beside the new file, because no reference reaches them where they are.
//!
//! - Nothing that exists is overwritten.
//! - No key is printed, and none is written into qcc.yaml.
//! - What is written has passed the same [`load_bytes`] as the proxy's own file.

mod consent;
mod found;
mod layer;
mod plan;
mod starter;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::consent::Consent;
use self::found::Found;
use self::layer::Surroundings;
use self::plan::Plan;
use self::starter::SCHEMA;
use super::files;
use crate::config::secret::PLACEHOLDER;
use crate::config::{Secret, Severity, load_bytes, schema};
use crate::import::Names;

/// The variable that a new file refers to when nothing else is taken over.
const USUAL: &str = "ANTHROPIC_API_KEY";

/// What can be typed after `qcc init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to write it. Default: --config, else ./qcc.yaml.
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Take over what is found without asking.
    #[arg(short, long)]
    yes: bool,
}

/// Why nothing was written, or not all.
#[derive(Debug)]
enum InitError {
    /// The file is there already.
    Exists(PathBuf),
    /// The file would lie in a directory that is not there.
    NoDirectory(PathBuf),
    /// What was found makes no valid file.
    Invalid(String),
    /// Whoever was asked left.
    Stopped,
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                let path = path.display();
                write!(f, "`{path}` exists and stays as it is; edit it, or name another file: `qcc init other.yaml`")
            }
            Self::NoDirectory(path) => write!(f, "there is no directory `{}`; make it first", path.display()),
            Self::Invalid(why) => write!(f, "what was found makes no valid file, so nothing was written: {why}"),
            Self::Stopped => f.write_str("nothing was written"),
            Self::Io(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

impl Error for InitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Exists(_) | Self::NoDirectory(_) | Self::Invalid(_) | Self::Stopped => None,
        }
    }
}

/// Runs the command. `config` is what `--config` or `QCC_CONFIG` names.
pub(super) fn run(args: &InitArgs, config: Option<&Path>) -> ExitCode {
    match init(args, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qcc init: {error}");
            ExitCode::from(if matches!(error, InitError::Exists(_) | InitError::Stopped) { 1 } else { 2 })
        }
    }
}

fn init(args: &InitArgs, config: Option<&Path>) -> Result<(), InitError> {
    let path = target(args.path.as_deref().or(config))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    if path.symlink_metadata().is_ok() {
        return Err(InitError::Exists(path));
    }
    if !directory.is_dir() {
        return Err(InitError::NoDirectory(directory.to_path_buf()));
    }
    let found = found::look(&Surroundings { env: &|name| std::env::var(name).ok(), directory });
    found.notes.iter().for_each(|note| eprintln!("{note}"));
    let consent = Consent::of(args.yes);
    let mut chosen = consent.choose(&found.findings);
    let stored = files::env_lines(directory).map_err(|e| InitError::Io(directory.join(".env"), e))?;
    let lacks = chosen.is_empty() && !has_usual_key(&stored);
    let typed = if lacks { consent.key().map_err(|_| InitError::Stopped)? } else { None };
    chosen.extend(&typed);
    let env = |name: &str| std::env::var_os(name).map(|value| Secret::new(value.to_string_lossy()));
    let names = Names { stored: &stored, env: &env };
    let plan = Plan::new(&chosen, &names);
    check(&path, &plan.text)?;
    write(&path, directory, &plan)?;
    let has_key = !chosen.is_empty() || has_usual_key(&stored);
    say_what_next(&path, has_key, &found);
    Ok(())
}

/// The absolute path to write: a directory stands for the qcc.yaml in it.
fn target(named: Option<&Path>) -> Result<PathBuf, InitError> {
    let named = named.unwrap_or(Path::new("qcc.yaml"));
    let named = if named.is_dir() { named.join("qcc.yaml") } else { named.to_path_buf() };
    std::path::absolute(&named).map_err(|e| InitError::Io(named, e))
}

/// Refuses a text that the proxy would refuse.
fn check(path: &Path, text: &str) -> Result<(), InitError> {
    let loaded = load_bytes(path, text.as_bytes());
    let first = loaded.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
    first.map_or(Ok(()), |diagnostic| Err(InitError::Invalid(diagnostic.message.clone())))
}

/// Keys first, the file that refers to them last.
fn write(path: &Path, directory: &Path, plan: &Plan) -> Result<(), InitError> {
    let at = |path: PathBuf| move |error| InitError::Io(path, error);
    if !plan.keys.is_empty() {
        files::keep_from_git(directory).map_err(at(directory.join(".gitignore")))?;
        files::add_keys(directory, &plan.keys).map_err(at(directory.join(".env")))?;
    }
    let beside = directory.join(SCHEMA);
    match files::create(&beside, &format!("{:#}\n", schema())) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(InitError::Io(beside, error)),
        _ => {}
    }
    match files::create(path, &plan.text) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(InitError::Exists(path.to_path_buf())),
        other => other.map_err(at(path.to_path_buf())),
    }
}

/// Whether the variable that a new file refers to has a key, here or in `.env`.
fn has_usual_key(stored: &[(String, Secret)]) -> bool {
    let here = std::env::var(USUAL).is_ok_and(|key| !key.is_empty() && key != PLACEHOLDER);
    here || stored.iter().any(|(name, _)| name == USUAL)
}

fn say_what_next(path: &Path, has_key: bool, found: &Found) {
    eprintln!("Wrote {}\nand, for editors, {SCHEMA} beside it. Next:\n", path.display());
    if !has_key {
        eprintln!("  export {USUAL}=...  # your key; or a line in `.env` beside the file");
    }
    eprintln!("  qcc proxy start -c {}\n\nand where Claude Code runs:\n", path.display());
    eprintln!("  export ANTHROPIC_BASE_URL=http://127.0.0.1:7860");
    eprintln!("  export ANTHROPIC_API_KEY={PLACEHOLDER}");
    for settings in &found.addressed {
        let settings = settings.display();
        eprintln!("\nClaude Code prefers the ANTHROPIC_BASE_URL in {settings}\nto that one; change it there.");
    }
}
