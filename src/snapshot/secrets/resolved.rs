//! What the references of a file came to.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use super::reference::Use;
use super::unresolved::{Fault, Unresolved};
use crate::config::{Secret, SecretSpec};
use crate::telemetry::redact;

/// What one reference came to.
pub(super) type Answer = Result<Secret, Unresolved>;

/// A reference, as far as it decides about the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Literal(Literal),
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

/// A secret that can be looked up by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal(Secret);

/// Every reference of a file, and what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    answers: HashMap<Key, Answer>,
    /// Files with certificates, by their path as written.
    certificates: HashMap<PathBuf, Result<Contents, Unresolved>>,
    /// What is to be said about the sources, in words.
    pub warnings: Vec<String>,
}

/// What a file holds; not shown, a private key may stand beside the certificates.
#[derive(Clone, PartialEq, Eq)]
struct Contents(Vec<u8>);

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Key {
    fn of(spec: &SecretSpec) -> Self {
        match spec {
            SecretSpec::Literal(secret) => Self::Literal(Literal(secret.clone())),
            SecretSpec::Env(env) => Self::Env(env.env.clone()),
            SecretSpec::File(file) => Self::File(file.file.clone()),
            SecretSpec::Command(command) => Self::Command(command.command.clone()),
        }
    }
}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.expose().hash(state);
    }
}

impl Resolved {
    /// The secret that `spec` refers to: a key or token of visible ASCII (at most 16 KiB), or a private key; never empty.
    pub fn get(&self, spec: &SecretSpec) -> Result<&Secret, &Unresolved> {
        self.answers.get(&Key::of(spec)).map_or(Err(&Unresolved::Unused), Result::as_ref)
    }

    /// The contents of a certificate file, `path` as written in the file.
    pub fn certificate(&self, path: &Path) -> Result<&[u8], &Unresolved> {
        self.certificates
            .get(path)
            .map_or(Err(&Unresolved::Unused), |found| found.as_ref().map(|contents| contents.0.as_slice()))
    }

    /// Takes in the contents of a certificate file.
    pub(super) fn insert_certificate(&mut self, path: PathBuf, found: Result<Vec<u8>, Unresolved>) {
        self.certificates.insert(path, found.map(Contents));
    }

    /// Makes every secret unable to leave through a log.
    pub(super) fn register(&self) {
        self.answers.values().flatten().for_each(redact::register);
    }

    /// Takes in the answer to `spec`, if it is fit for its use.
    pub(super) fn insert(&mut self, spec: &SecretSpec, kind: Use, answer: Answer) {
        let fit = answer.and_then(|secret| match Fault::of(&secret, kind) {
            Some(why) => Err(Unresolved::unfit(source(spec), why)),
            None => Ok(secret),
        });
        self.answers.insert(Key::of(spec), fit);
    }
}

fn source(spec: &SecretSpec) -> String {
    match spec {
        SecretSpec::Literal(_) => "the literal".to_owned(),
        SecretSpec::Env(env) => env.env.clone(),
        SecretSpec::File(file) => file.file.display().to_string(),
        SecretSpec::Command(_) => spec.to_string(),
    }
}
