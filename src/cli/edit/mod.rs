//! What every editing command does: find the file, plan the change, print it as a patch, write it.
//!
//! - A command says what is to change as [`Edit`]s; nothing here writes YAML.
//! - The patch goes to stdout, what is said about it to stderr.
//! - A running proxy notices the save by itself; what it says to it is waited for, a few seconds.
//! - No key is taken from the command line, and none is printed unless `--show-secrets` asks for those in the file.

mod consent;
mod endpoint;
mod failure;
mod fields;
mod report;
mod section;
mod sheet;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Map, Value};

use super::files;
use crate::app::search::{self, Found};
use crate::config::{Loaded, NotFound, locate};
use crate::patch::{self, Edit, Patch};

pub(super) use consent::{agrees, confirm};
pub(super) use endpoint::Endpoint;
pub(super) use failure::{Failure, end};
pub(super) use fields::{AccessArgs, ShareArgs, Tier};
pub(super) use report::name as name_in_patch;
pub(super) use section::{Wishes, section, shown};
pub(super) use sheet::Sheet;

/// What can be said to every editing command.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct EditArgs {
    /// Print the change as a patch for `git apply`, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write the patch to this file.
    #[arg(long, value_name = "FILE")]
    patch_out: Option<PathBuf>,
    /// Do not wait for what a running proxy says to the change.
    #[arg(long)]
    no_wait: bool,
    /// Print one JSON document: file, changed, written, diff, warnings, errors (how many the file still has), proxy.
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
    apply_with(sheet, edits, args, &Map::new())
}

/// The same; the document of `--json` also says `facts`.
pub(super) fn apply_with(
    sheet: &Sheet,
    edits: &[Edit],
    args: &EditArgs,
    facts: &Map<String, Value>,
) -> Result<ExitCode, Failure> {
    carry_out(sheet, edits, args, facts, || Ok(()))
}

/// The same, with something that has to be done right before the result is written, and only then.
pub(super) fn apply_after(
    sheet: &Sheet,
    edits: &[Edit],
    args: &EditArgs,
    first: impl FnOnce() -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    carry_out(sheet, edits, args, &Map::new(), first)
}

fn carry_out(
    sheet: &Sheet,
    edits: &[Edit],
    args: &EditArgs,
    facts: &Map<String, Value>,
    first: impl FnOnce() -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    finish(sheet, &sheet.plan(edits)?, args, facts, first)
}

/// Makes the file say `text`, as an edit does.
pub(super) fn become_text(
    sheet: &Sheet,
    text: &str,
    args: &EditArgs,
    facts: &Map<String, Value>,
) -> Result<ExitCode, Failure> {
    finish(sheet, &sheet.becoming(text)?, args, facts, || Ok(()))
}

/// What differs between two texts of the file, as a patch that names it.
pub(super) fn difference(sheet: &Sheet, before: &str, after: &str) -> String {
    let patch = Patch { before: before.into(), after: after.to_owned(), diagnostics: Vec::new() };
    patch.diff(&report::name(sheet.path()), true)
}

fn finish(
    sheet: &Sheet,
    patch: &Patch,
    args: &EditArgs,
    facts: &Map<String, Value>,
    first: impl FnOnce() -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let withheld = !args.show_secrets && patch.withholds();
    let diff = report::diff(sheet, patch, args.show_secrets);
    if let Some(path) = &args.patch_out {
        save(path, &diff, withheld)?;
    }
    let begun = SystemTime::now();
    if !args.dry_run {
        first()?;
        write(sheet, patch)?;
    }
    let report = report::Report { sheet, patch, diff: &diff, written: !args.dry_run, withheld };
    let wait = !(args.dry_run || args.no_wait || patch.is_empty());
    let hear = || if wait { verdict::hear(sheet, patch, begun) } else { None };
    Ok(if args.json { report.json(facts, hear()) } else { report.print(hear) })
}

/// That `edits` can be done.
pub(super) fn check(sheet: &Sheet, edits: &[Edit]) -> Result<(), Failure> {
    Ok(sheet.plan(edits).map(drop)?)
}

fn write(sheet: &Sheet, patch: &Patch) -> Result<(), Failure> {
    let file = sheet.path();
    if !sheet.new {
        return Ok(patch::write(file, patch)?);
    }
    files::create(file, &patch.after).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::Refused(format!("`{}` appeared meanwhile; nothing was written, try again", file.display()))
        }
        _ => Failure::CouldNot(format!("`{}`: {error}", file.display())),
    })
}

fn save(path: &Path, diff: &str, withheld: bool) -> Result<(), Failure> {
    if withheld {
        let why = "a key in clear is part of the change, and without it the patch would not apply; nothing was written";
        return Err(Failure::Refused(format!("{why}. Pass --show-secrets to write the key into the patch")));
    }
    std::fs::write(path, diff).map_err(|error| Failure::CouldNot(format!("`{}`: {error}", path.display())))
}

/// Who runs the file, and its places as its proxy has them.
pub(super) fn find_proxy(loaded: &Loaded) -> Result<Found, Failure> {
    let path = loaded.path.display();
    let unknown = |error| Failure::CouldNot(format!("whether a proxy runs on `{path}` cannot be known: {error}"));
    search::find(&loaded.path, loaded.state_dir().as_deref()).map_err(unknown)
}

/// The file that is meant. One that is gone is found as long as its proxy runs.
pub(super) fn find_or_gone(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let cwd = cwd()?;
    let runs = |path: &&PathBuf| search::find(path, None).is_ok_and(|found| found.holder.is_some());
    let located = locate(named, &|name| std::env::var_os(name), &cwd);
    located.or_else(|lost| lost.looked().iter().find(runs).cloned().ok_or(lost)).map_err(lost)
}

pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    locate(named, &|name| std::env::var_os(name), &cwd()?).map_err(lost)
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn lost(error: NotFound) -> Failure {
    Failure::CouldNot(error.to_string())
}

fn cwd() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::CouldNot(format!("the current directory is gone: {error}")))
}
