//! Finds the secrets that need no program: literals, variables, files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::command;
use super::dotenv::Dotenv;
use super::reference::{self, Use};
use super::resolved::{Answer, Resolved};
use super::unresolved::{Failure, Fault, Unresolved};
use crate::config::secret::PLACEHOLDER;
use crate::config::units::Size;
use crate::config::{Config, Secret, SecretSpec};
use crate::snapshot::read;

/// The largest file with a secret or certificates; the system's whole collection has about 256 KiB.
const CAP: Size = Size::mib(1);
/// Where references are looked up.
#[derive(Clone)]
pub(super) struct Place {
    /// The directory of the file.
    pub(super) dir: Arc<Path>,
    /// The process environment.
    pub(super) env: fn(&str) -> Option<OsString>,
}

impl Place {
    /// Looks up everything that needs no program.
    pub(super) fn look_up(&self, specs: &[(SecretSpec, Use)]) -> Resolved {
        let dotenv = Dotenv::read(&self.dir.join(".env"));
        let mut found = Resolved::default();
        for (spec, kind) in specs {
            let answer = match spec {
                SecretSpec::Literal(secret) => Ok(secret.clone()),
                SecretSpec::Env(env) => self.variable(&env.env, &dotenv),
                SecretSpec::File(file) => self.contents(&file.file),
                SecretSpec::Command(_) => continue,
            };
            found.insert(spec, *kind, answer);
        }
        found.warnings.extend(dotenv.warning.filter(|_| self.needs_dotenv(specs)));
        found
    }

    /// Reads files with certificates.
    pub(super) fn read_certificates(&self, paths: Vec<PathBuf>, found: &mut Resolved) {
        for path in paths {
            let contents = self.read(&path);
            found.insert_certificate(path, contents);
        }
    }

    fn variable(&self, name: &str, dotenv: &Dotenv) -> Answer {
        let set = (self.env)(name);
        let set = set.filter(|value| value != PLACEHOLDER);
        let own = set.as_ref().filter(|value| !value.is_empty());
        if let Some(value) = own {
            let text = value.to_str().ok_or_else(|| Unresolved::unfit(name, Fault::Invisible))?;
            return Ok(Secret::new(text));
        }
        let empty = set.map(|_| Secret::new(""));
        dotenv.get(name).cloned().or(empty).ok_or_else(|| Unresolved::NotSet(name.to_owned()))
    }

    fn contents(&self, path: &Path) -> Answer {
        let bytes = Zeroizing::new(self.read(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| Unresolved::unfit(path.display(), Fault::Invisible))?;
        Ok(Secret::new(text.trim()))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Unresolved> {
        let unreadable = |error| Unresolved::Unreadable { path: path.to_owned(), why: read::words(&error) };
        read::bounded(&self.dir.join(path), CAP).map_err(unreadable)
    }

    fn needs_dotenv(&self, specs: &[(SecretSpec, Use)]) -> bool {
        let unset = |name: &str| (self.env)(name).is_none_or(|value| value.is_empty() || value == PLACEHOLDER);
        specs.iter().any(|(spec, _)| matches!(spec, SecretSpec::Env(env) if unset(&env.env)))
    }
}

/// The key or token that `spec` of a file in `dir` refers to, for a client that talks to its endpoint without the proxy. A
/// program that prints it is run.
pub async fn find(spec: &SecretSpec, dir: &Path) -> Answer {
    let place = Place { dir: dir.into(), env: |name| std::env::var_os(name) };
    let mut found = place.look_up(&[(spec.clone(), Use::Token)]);
    if let SecretSpec::Command(program) = spec {
        let answer = command::run(program, dir).await;
        found.insert(spec, Use::Token, answer.map_err(|why| super::failed(program, why)));
    }
    found.register();
    found.get(spec).cloned().map_err(Unresolved::clone)
}

/// Everything that `config` of a file in `dir` refers to, for somebody who only looks. Runs no program: what one would print
/// is `stand_in`, without which its secret is missing.
pub fn glance(config: &Config, dir: &Path, stand_in: Option<&Secret>) -> Resolved {
    let place = Place { dir: dir.into(), env: |name| std::env::var_os(name) };
    let specs: Vec<_> = reference::secrets(config).map(|(spec, kind)| (spec.clone(), kind)).collect();
    let mut found = place.look_up(&specs);
    place.read_certificates(reference::certificates(config).map(Path::to_owned).collect(), &mut found);
    for (spec, kind) in &specs {
        if let SecretSpec::Command(program) = spec {
            let answer = stand_in.cloned().ok_or_else(|| super::failed(program, Failure::Foreign));
            found.insert(spec, *kind, answer);
        }
    }
    found.register();
    found
}

/// Whether the key or token that `spec` of a file in `dir` refers to can be found right now. Runs no program: those
/// are taken to answer.
pub fn check(spec: &SecretSpec, dir: &Path) -> Result<(), Unresolved> {
    checked(spec, dir, Use::Token)
}

/// Like [`check`], for a private key in PEM.
pub fn check_pem(spec: &SecretSpec, dir: &Path) -> Result<(), Unresolved> {
    checked(spec, dir, Use::Pem)
}

fn checked(spec: &SecretSpec, dir: &Path, kind: Use) -> Result<(), Unresolved> {
    if matches!(spec, SecretSpec::Command(_)) {
        return Ok(());
    }
    let place = Place { dir: dir.into(), env: |name| std::env::var_os(name) };
    let found = place.look_up(&[(spec.clone(), kind)]);
    found.get(spec).map(drop).map_err(Unresolved::clone)
}
