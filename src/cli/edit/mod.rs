//! What every editing command does: find the file, plan the change, print it as a patch, write it.
//!
//! - A command says what is to change as [`Edit`]s; nothing here writes YAML.
//! - The patch goes to stdout, what is said about it to stderr.
//! - A running proxy notices the save by itself.
//! - No key is taken from the command line, and none is printed unless `--show-secrets` asks for those in the file.

mod consent;
mod endpoint;
mod failure;
mod fields;
mod report;
mod section;
mod sheet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::config::locate;
use crate::patch::{self, Edit};

pub(super) use consent::confirm;
pub(super) use endpoint::Endpoint;
pub(super) use failure::{Failure, end};
pub(super) use fields::{AccessArgs, ShareArgs, Tier};
pub(super) use report::name as name_in_patch;
pub(super) use section::{Wishes, section, shown};
pub(super) use sheet::Sheet;

/// What can be said to every editing command.
#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// Print the change as a patch for `git apply`, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write the patch to this file.
    #[arg(long, value_name = "FILE")]
    patch_out: Option<PathBuf>,
    /// Print one JSON document: file, changed, written, diff, warnings.
    #[arg(long)]
    pub(super) json: bool,
    /// Print keys that stand in clear in the file; without it they are blanked.
    #[arg(long)]
    show_secrets: bool,
}

/// Opens the file, lets `edits` say what is to change, and does it. `named` is what `--config` or `QCC_CONFIG` names.
pub(super) fn run(
    named: Option<&Path>,
    args: &EditArgs,
    edits: impl FnOnce(&Sheet) -> Result<Vec<Edit>, Failure>,
) -> ExitCode {
    end(Sheet::open(named).and_then(|sheet| apply(&sheet, &edits(&sheet)?, args)))
}

/// Plans `edits`, writes the result unless it is a rehearsal, and prints the change.
pub(super) fn apply(sheet: &Sheet, edits: &[Edit], args: &EditArgs) -> Result<ExitCode, Failure> {
    let patch = patch::plan(&sheet.loaded, edits)?;
    let withheld = !args.show_secrets && patch.withholds();
    let diff = patch.diff(&report::name(&sheet.loaded.path), args.show_secrets);
    if let Some(path) = &args.patch_out {
        save(path, &diff, withheld)?;
    }
    if !args.dry_run {
        patch::write(&sheet.loaded.path, &patch)?;
    }
    let report = report::Report { loaded: &sheet.loaded, patch: &patch, diff: &diff, written: !args.dry_run, withheld };
    Ok(if args.json { report.json() } else { report.print() })
}

fn save(path: &Path, diff: &str, withheld: bool) -> Result<(), Failure> {
    if withheld {
        let why = "a key in clear is part of the change, and without it the patch would not apply; nothing was written";
        return Err(Failure::Refused(format!("{why}. Pass --show-secrets to write the key into the patch")));
    }
    std::fs::write(path, diff).map_err(|error| Failure::CouldNot(format!("`{}`: {error}", path.display())))
}

fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::CouldNot(format!("the current directory is gone: {error}")))?;
    locate(named, &|name| std::env::var_os(name), &cwd).map_err(|error| Failure::CouldNot(error.to_string()))
}
