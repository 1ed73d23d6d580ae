//! What is said about a change.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::Sheet;
use super::verdict::Heard;
use crate::cli::stdout;
use crate::config::{Diagnostic, Severity};
use crate::patch::Patch;

/// A change that was planned, and perhaps written.
pub(super) struct Report<'r> {
    pub(super) sheet: &'r Sheet,
    pub(super) patch: &'r Patch,
    pub(super) diff: &'r str,
    pub(super) written: bool,
    /// Whether keys are blanked in the diff, so that it does not apply.
    pub(super) withheld: bool,
}

impl Report<'_> {
    /// The patch, or the whole of a new file, to stdout; the rest to stderr, at last what is heard of a running proxy.
    pub(super) fn print(&self, hear: impl FnOnce() -> Option<Heard>) -> ExitCode {
        let path = self.sheet.path().display();
        if self.patch.is_empty() {
            eprintln!("Nothing to change: {path} says so already.");
            return ExitCode::SUCCESS;
        }
        let shown = if self.sheet.new { &self.patch.after } else { self.diff };
        let code = stdout::print(shown, ExitCode::SUCCESS);
        if self.withheld {
            eprintln!("A key in clear is blanked, so this patch does not apply; --show-secrets prints it.");
        }
        for Diagnostic { path, message, .. } in self.warnings() {
            eprintln!("warning: {}{message}", if path.is_empty() { String::new() } else { format!("`{path}`: ") });
        }
        if self.written {
            eprintln!("Wrote {path}.");
        }
        if let errors @ 1.. = self.errors() {
            let s = if errors == 1 { "" } else { "s" };
            eprintln!("The file still has {errors} error{s}, as it had before; `qcc validate` lists what is left.");
        }
        match hear() {
            None => code,
            Some(heard) => {
                eprintln!("{}", heard.words().trim_end());
                if code == ExitCode::SUCCESS { heard.code() } else { code }
            }
        }
    }

    /// One JSON document, `facts` among the rest.
    pub(super) fn json(&self, facts: &Map<String, Value>, heard: Option<Heard>) -> ExitCode {
        let warnings = self.warnings().into_iter();
        let warnings = warnings.map(|warning| {
            json!({ "code": warning.code, "path": warning.path, "message": warning.message, "help": warning.help })
        });
        let changed = !self.patch.is_empty();
        let mut document = json!({
            "file": self.sheet.path(),
            "changed": changed,
            "written": changed && self.written,
            "diff": self.diff,
            "withheld": self.withheld,
            "errors": self.errors(),
            "warnings": warnings.collect::<Vec<_>>(),
            "proxy": heard.as_ref().map(Heard::json),
        });
        document.as_object_mut().into_iter().for_each(|document| document.extend(facts.clone()));
        stdout::print(&format!("{document:#}\n"), heard.map_or(ExitCode::SUCCESS, |heard| heard.code()))
    }

    /// How much is still wrong with a file that was not valid before.
    fn errors(&self) -> usize {
        self.patch.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// The warnings that the change brings.
    fn warnings(&self) -> Vec<&Diagnostic> {
        let known = |new: &Diagnostic| {
            self.sheet.loaded.diagnostics.iter().any(|old| (old.code, &old.path) == (new.code, &new.path))
        };
        let new = self.patch.diagnostics.iter();
        new.filter(|new| new.severity == Severity::Warning && !known(new)).collect()
    }
}

/// The change as a patch.
pub(super) fn diff(sheet: &Sheet, patch: &Patch, show_secrets: bool) -> String {
    let diff = patch.diff(&name(sheet.path()), show_secrets);
    match diff.split_once('\n') {
        Some((_, rest)) if sheet.new => format!("--- /dev/null\n{rest}"),
        _ => diff,
    }
}

/// The path of the file in a patch: from the root of its repository, else from the current directory, else from `/`.
///
/// Links are followed, because it is their target that is written.
pub(in crate::cli) fn name(path: &Path) -> String {
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let repository = file.ancestors().skip(1).find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    let cwd = || std::env::current_dir().and_then(|cwd| cwd.canonicalize()).ok();
    relative(&file, repository.or_else(cwd)).display().to_string()
}

/// `file` as it is called in `root`. Patches take no path that leads upwards: one outside starts at `/`.
fn relative(file: &Path, root: Option<PathBuf>) -> PathBuf {
    let inside = root.and_then(|root| file.strip_prefix(root).ok().map(Path::to_owned));
    inside.unwrap_or_else(|| file.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_the_file_from_the_root_of_its_repository() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let deep = root.path().join("deploy/eu");
        std::fs::create_dir_all(&deep).expect("creates");
        std::fs::write(deep.join("qcc.yaml"), "version: 1\n").expect("writes");
        std::fs::create_dir(root.path().join(".git")).expect("creates");
        assert_eq!(name(&deep.join("qcc.yaml")), "deploy/eu/qcc.yaml");
    }

    #[test]
    fn without_a_repository_the_directory_counts_and_outside_of_it_the_whole_path() {
        let file = Path::new("/home/me/qcc.yaml");
        assert_eq!(relative(file, Some("/home".into())), Path::new("me/qcc.yaml"));
        assert_eq!(relative(file, Some("/elsewhere".into())), Path::new("home/me/qcc.yaml"));
    }
}
