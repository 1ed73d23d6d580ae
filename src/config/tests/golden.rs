//! `tests/fixtures/config/{valid,invalid,warning}/*.yaml`, each beside what is said about it. `QCC_BLESS=1` rewrites the
//! expectations.

use std::path::{Path, PathBuf};

use crate::config::{Loaded, load};

pub(super) fn fixtures(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(kind);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 5, "only {} fixtures in {}", files.len(), dir.display());
    files
}

fn lines(loaded: &Loaded) -> String {
    let line = |d: &crate::config::Diagnostic| format!("{} {}:{} {}\n", d.code, d.line, d.column, d.path);
    loaded.diagnostics.iter().map(line).collect()
}

fn compare(kind: &str, check: impl Fn(&Loaded) -> bool) {
    let mut wrong = Vec::new();
    for file in fixtures(kind) {
        let loaded = load(&file);
        let expected = file.with_extension("expected");
        if std::env::var_os("QCC_BLESS").is_some() {
            std::fs::write(&expected, lines(&loaded)).expect("the expectation can be written");
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        let found = lines(&loaded);
        if expected != found || !check(&loaded) {
            let report = loaded.report(false);
            wrong.push(format!("== {}\nexpected:\n{expected}found:\n{found}{report}\n", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn valid_files_say_nothing() {
    compare("valid", |loaded| {
        loaded.config.is_some() && loaded.diagnostics.is_empty() && loaded.report(false).is_empty()
    });
}

#[test]
fn invalid_files_say_everything_that_is_wrong() {
    compare("invalid", |loaded| loaded.config.is_none() && loaded.errors() > 0);
}

#[test]
fn doubtful_files_are_accepted_with_warnings() {
    compare("warning", |loaded| loaded.config.is_some() && loaded.errors() == 0 && loaded.warnings() > 0);
}

#[test]
fn every_diagnostic_has_an_excerpt_of_its_line() {
    for file in fixtures("invalid").into_iter().chain(fixtures("warning")) {
        let loaded = load(&file);
        let report = loaded.report(false);
        for diagnostic in &loaded.diagnostics {
            let place = format!("{}:{}:{}\n", file.display(), diagnostic.line, diagnostic.column);
            assert!(report.contains(&place), "{place}{report}");
        }
    }
}
