//! Rules about secrets and the files they are in, and, on demand, whether they are there.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::endpoint::is_plain;
use super::scope::{Endpoint, Scope, SecretUse};
use super::{Finding, Place};
use crate::config::secret::SecretSpec;

pub(super) fn literals_are_warned_about(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for SecretUse { spec, what, place } in &scope.secrets {
        let SecretSpec::Literal(secret) = spec else { continue };
        if secret.expose().trim().is_empty() {
            let message = format!("the {what} is empty");
            findings.push(Finding::error("empty-secret", place, message).help("for example `{ env: MY_KEY }`"));
        } else {
            let message = format!("the {what} stands in the file, in clear, and the file is meant for git");
            let help = "write `{ env: NAME }`, `{ file: PATH }` or `{ command: [...] }` instead";
            findings.push(Finding::warning("literal-secret", place, message).help(help));
        }
    }
}

/// Keys and tokens travel in a header. (A private key does not.)
pub(super) fn literals_can_be_sent(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for SecretUse { spec, what, place } in &scope.secrets {
        let SecretSpec::Literal(secret) = spec else { continue };
        if *what != "private key" && !is_plain(secret.expose().trim()) {
            let message = format!("the {what} holds characters that cannot be sent in a header");
            findings.push(Finding::error("secret-characters", place, message));
        }
    }
}

pub(super) fn secret_files_are_private(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for SecretUse { spec, place, .. } in &scope.secrets {
        let SecretSpec::File(reference) = spec else { continue };
        let metadata = std::fs::metadata(scope.file(&reference.file));
        let mode = metadata.ok().filter(std::fs::Metadata::is_file).map_or(0, |found| found.mode());
        if mode & 0o044 != 0 {
            let message = format!("others on this machine can read this secret file (mode {:o})", mode & 0o777);
            let finding = Finding::warning("open-secret-file", &place.key("file"), message);
            findings.push(finding.help(format!("chmod 600 {}", reference.file.display())));
        }
    }
}

/// Whether every reference leads somewhere, in this environment. Commands are not run.
pub(in crate::config) fn resolve(scope: &Scope<'_>, env: &dyn Fn(&str) -> Option<OsString>) -> Vec<Finding> {
    let dotenv = dotenv_names(&scope.file(Path::new(".env")));
    let mut findings = Vec::new();
    for SecretUse { spec, what, place } in &scope.secrets {
        match spec {
            SecretSpec::Env(reference) => {
                let name = &reference.env;
                let set = env(name).is_some_and(|value| !value.is_empty()) || dotenv.contains(name);
                if !set {
                    let message = format!("no {what}: {name} is not set");
                    let help = format!("set it, or put `{name}=...` into the `.env` beside the file");
                    findings.push(Finding::error("unresolved", &place.key("env"), message).help(help));
                }
            }
            SecretSpec::File(reference) => findings.extend(readable(scope, &reference.file, &place.key("file"))),
            SecretSpec::Literal(_) | SecretSpec::Command(_) => {}
        }
    }
    for (path, place) in certificates(scope) {
        findings.extend(readable(scope, path, &place));
    }
    findings
}

fn certificates<'a>(scope: &Scope<'a>) -> Vec<(&'a Path, Place)> {
    let tls = scope.config.server.tls.iter();
    let mut files: Vec<(&Path, Place)> = tls.map(|tls| (&*tls.cert, Place::of(&["server", "tls", "cert"]))).collect();
    for Endpoint { fields, place, .. } in scope.endpoints() {
        files.extend(fields.ca_file.iter().map(|path| (&**path, place.key("ca_file"))));
        files.extend(fields.client_cert.iter().map(|cert| (&*cert.cert, place.key("client_cert").key("cert"))));
    }
    files
}

fn readable(scope: &Scope<'_>, path: &Path, place: &Place) -> Option<Finding> {
    let full = scope.file(path);
    let problem = match std::fs::metadata(&full) {
        Err(error) => error.to_string(),
        Ok(found) if !found.is_file() => "not a file".to_owned(),
        Ok(found) if found.len() == 0 => "the file is empty".to_owned(),
        Ok(_) => std::fs::File::open(&full).err()?.to_string(),
    };
    let help = format!("put it there, readable by the proxy; relative paths start at the file: `{}`", path.display());
    Some(Finding::error("unresolved", place, format!("{}: {problem}", full.display())).help(help))
}

/// Names that a `.env` file gives a value.
fn dotenv_names(path: &Path) -> HashSet<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
    let set = pairs.filter(|(_, value)| !value.trim().trim_matches(['"', '\'']).is_empty());
    set.map(|(name, _)| name.trim().to_owned()).collect()
}
