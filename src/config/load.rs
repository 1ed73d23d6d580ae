//! The one function that reads a `qcc.yaml`: for the proxy, `validate`, `plan` and every edit alike.
//!
//! - everything wrong with the file is said at once, in the order of the file;
//! - [`Loaded::config`] is there exactly when there is no error;
//! - no secret is resolved, no command is run, nothing is written;
//! - whatever stands at the path, it answers soon: the kind and size of the file are looked at before it is read.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostic::{Diagnostic, LineIndex, Severity};
use super::document::Document;
use super::mask::Mask;
use super::model::Config;
use super::parse::{self, Parsed, Problem};
use super::report;
use super::salvage::{Cuts, salvage};
use super::schema;
use super::source::{self, Refusal, UNREAD};
use super::validate::{self, Scope};
use super::violation;

/// A file that was read: what it says, and everything wrong with it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its text without a byte order mark; empty if it could not be read.
    pub text: Arc<str>,
    /// Whether a byte order mark stood before the text.
    pub bom: bool,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// What it says; `None` if it has an error.
    pub config: Option<Config>,
    /// Everything wrong with it, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the text is YAML to its end.
    pub(crate) parsed: bool,
    mask: Arc<Mask>,
}

impl Loaded {
    /// How many errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether the file could not be read at all, so that nothing is known of its content.
    pub fn unread(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| UNREAD.contains(&diagnostic.code))
    }

    /// The diagnostics with excerpts, for people; at most 50 of them. Secrets are blanked.
    pub fn report(&self, color: bool) -> String {
        report::render(self, &self.mask, color)
    }

    /// What the text says, anchors followed and merges applied, without defaults; null if nothing can be read.
    ///
    /// Unlike [`Self::config`] it is there for a file with errors too. Literal secrets are in it.
    pub(crate) fn to_value(&self) -> Value {
        parse::parse(&self.text).root.map_or(Value::Null, |root| Document::new(&self.text, root).to_value())
    }

    /// Where the file says its state is, also if it has errors elsewhere.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let known = self.config.as_ref().map(|config| config.state.dir.clone());
        known.unwrap_or_else(|| self.to_value().pointer("/state/dir").and_then(Value::as_str).map(PathBuf::from))
    }

    /// In the order of the file, and without a configuration if there is an error.
    ///
    /// What is wrong with an anchored value is found at each alias; it is said once.
    fn settled(mut self) -> Self {
        let diagnostics = &mut self.diagnostics;
        diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column, diagnostic.code));
        diagnostics.dedup_by(|b, a| a.span.is_some() && (&a.span, a.code, &a.message) == (&b.span, b.code, &b.message));
        if self.errors() > 0 {
            self.config = None;
        }
        self
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

/// Reads the file at `path`.
pub fn load(path: &Path) -> Loaded {
    match source::read(path) {
        Ok(bytes) => load_bytes(path, &bytes),
        Err(refusal) => refused(path, &[], refusal),
    }
}

/// Reads a text at hand. `path` names it, and its directory is where relative paths start.
pub fn load_bytes(path: &Path, bytes: &[u8]) -> Loaded {
    match source::decode(bytes) {
        Ok(text) => load_text(path, bytes, text),
        Err(refusal) => refused(path, bytes, refusal),
    }
}

/// Also looks whether every secret and certificate that a valid file refers to is there: in `env`, in the `.env` beside the
/// file, in the files it names. Runs no command.
pub fn resolve(mut loaded: Loaded, env: &dyn Fn(&str) -> Option<OsString>) -> Loaded {
    let text = Arc::clone(&loaded.text);
    let parsed = parse::parse(&text);
    let (Some(config), Some(root)) = (loaded.config.take(), parsed.root.clone()) else { return loaded };
    let (document, cuts) = (Document::new(&text, root), Cuts::default());
    let findings = validate::resolve(&Scope::new(&config, &document, &cuts, &loaded.path), env);
    let mut diagnostics = std::mem::take(&mut loaded.diagnostics);
    diagnostics.extend(findings.into_iter().map(|finding| document.diagnostic(finding)));
    loaded.mask = Arc::new(masked(&text, &parsed, &mut diagnostics));
    Loaded { diagnostics, config: Some(config), ..loaded }.settled()
}

fn refused(path: &Path, bytes: &[u8], refusal: Refusal) -> Loaded {
    finish(path, bytes, "", None, vec![refusal.diagnostic()], Mask::default())
}

fn load_text(path: &Path, bytes: &[u8], text: &str) -> Loaded {
    let mut parsed = parse::parse(text);
    let problems = std::mem::take(&mut parsed.problems);
    let lines = LineIndex::new(text);
    let mut diagnostics: Vec<Diagnostic> = problems.into_iter().map(|problem| syntax(&lines, problem)).collect();
    let mut config = None;
    if parsed.complete {
        match parsed.root.clone().map(|root| Document::new(text, root)).filter(|document| !document.is_blank()) {
            Some(document) => config = check(path, &document, &mut diagnostics),
            None => diagnostics.push(syntax(&lines, empty())),
        }
    }
    let mask = masked(text, &parsed, &mut diagnostics);
    Loaded { parsed: parsed.complete, ..finish(path, bytes, text, config, diagnostics, mask) }
}

fn empty() -> Problem {
    Problem::new("empty-file", 0..0, "the file is empty")
        .help("`qcc init` writes a first one; `version: 1` is the least")
}

fn syntax(lines: &LineIndex<'_>, problem: Problem) -> Diagnostic {
    let Problem { code, message, help, span, first } = problem;
    let first = first.map(|first| lines.position(first.start));
    let message = match first {
        Some((line, column)) => format!("{message}; the first is at {line}:{column}"),
        None => message,
    };
    let (line, column) = lines.position(span.start);
    let span = Some(one_line(lines, span));
    Diagnostic { severity: Severity::Error, code, message, help, path: String::new(), span, line, column }
}

fn one_line(lines: &LineIndex<'_>, span: Range<usize>) -> Range<usize> {
    let end = lines.line(span.start).end;
    span.start..span.end.min(end).max(span.start)
}

/// Schema, types, rules.
fn check(path: &Path, document: &Document<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Config> {
    let mut value = document.to_value();
    schema::fill_blank_sections(&mut value);
    let mut findings = violation::violations(&value);
    let rest = if findings.is_empty() { Some((value, Cuts::default())) } else { salvage(&value) };
    let config = rest.and_then(|(rest, cuts)| {
        let config = typed(rest);
        match &config {
            Some(config) => findings.extend(validate::check(&Scope::new(config, document, &cuts, path))),
            None => findings.push(validate::unreadable_shape()),
        }
        config
    });
    diagnostics.extend(findings.into_iter().map(|finding| document.diagnostic(finding)));
    config
}

fn typed(mut value: Value) -> Option<Config> {
    if let Value::Object(object) = &mut value {
        object.retain(|key, _| !key.starts_with("x-"));
    }
    serde_json::from_value(value).ok()
}

/// Looks for secrets only when something is going to be shown.
fn masked(text: &str, parsed: &Parsed, diagnostics: &mut [Diagnostic]) -> Mask {
    if diagnostics.is_empty() {
        return Mask::default();
    }
    let mask = Mask::new(text, parsed);
    for diagnostic in diagnostics {
        mask.scrub(&mut diagnostic.message);
        mask.scrub(&mut diagnostic.path);
        diagnostic.help.iter_mut().for_each(|help| mask.scrub(help));
    }
    mask
}

fn finish(
    path: &Path,
    bytes: &[u8],
    text: &str,
    config: Option<Config>,
    diagnostics: Vec<Diagnostic>,
    mask: Mask,
) -> Loaded {
    let (path, text, sha256, mask) = (path.to_owned(), Arc::from(text), sha256(bytes), Arc::new(mask));
    let (parsed, bom) = (true, bytes.starts_with("\u{FEFF}".as_bytes()));
    Loaded { path, text, bom, sha256, config, diagnostics, parsed, mask }.settled()
}

/// Two lower-case digits a byte.
/// SHA-256 in hexadecimal, by which a file is known.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_design_is_valid_without_any_of_its_variables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/valid/design.yaml");
        let loaded = load(&path);
        assert!(loaded.config.is_some(), "{}", loaded.report(false));
    }
}
