//! Finds the secrets that `qcc.yaml` refers to, for the running proxy.
//!
//! - A reference that does not resolve is no error of the file: it is told in words, and its endpoint is out until then.
//! - Environment, `.env` and files are read anew at every [`Secrets::resolve`]; programs are run when first needed, every
//!   `refresh`, and when a key was refused. A program that fails keeps its last answer and is tried again soon.
//! - No secret is in an error, a warning or a `Debug` of this module.
//!
//! It does not watch anything: [`Secrets::files`] says what to watch, [`Secrets::refreshed`] tells of programs.

mod command;
mod dotenv;
mod reference;
mod unresolved;

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::Zeroizing;

use self::dotenv::Dotenv;
use self::reference::Use;
pub use self::unresolved::{Failure, Fault, Unresolved};
use super::read;
use crate::config::secret::CommandRef;
use crate::config::units::Size;
use crate::config::{Config, Secret, SecretSpec};
use crate::telemetry::redact;

/// Programs run at once.
const AT_ONCE: usize = 8;
/// The largest file that can be a secret; a private key with its chain fits.
const CAP: Size = Size(256 << 10);
/// How soon a program that failed is run again.
const RETRY: Duration = Duration::from_mins(1);

/// What a reference came to.
type Answer = Result<Secret, Unresolved>;

/// Program and arguments.
type Argv = Vec<String>;

/// The secrets of one file. Its programs end with it.
pub struct Secrets {
    place: Place,
    programs: HashMap<Argv, Program>,
    running: JoinSet<(Argv, Answer)>,
    slots: Arc<Semaphore>,
}

/// Where references are looked up.
#[derive(Clone)]
struct Place {
    /// The directory of the file.
    dir: Arc<Path>,
    env: fn(&str) -> Option<OsString>,
}

/// A program that prints a secret.
struct Program {
    spec: CommandRef,
    answer: Answer,
    /// When it is to be run again.
    due: Instant,
}

/// A reference, as far as it decides about the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Literal(Literal),
    Env(String),
    File(PathBuf),
    Command(Argv),
}

/// A secret that can be looked up by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal(Secret);

/// Every reference of a file, and what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    answers: HashMap<Key, Answer>,
    /// What is to be said about the sources, in words.
    pub warnings: Vec<String>,
}

impl Secrets {
    /// For the file at `path`; nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self::with_env(path, |name| std::env::var_os(name))
    }

    fn with_env(path: &Path, env: fn(&str) -> Option<OsString>) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let dir = path.parent().unwrap_or(&path).into();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self { place: Place { dir, env }, programs: HashMap::new(), running: JoinSet::new(), slots }
    }

    /// The files to watch for `config`: `.env`, every secret file, and the certificates beside them.
    pub fn files(&self, config: &Config) -> Vec<PathBuf> {
        let env = std::iter::once(Path::new(".env"));
        env.chain(reference::files(config)).map(|path| self.place.dir.join(path)).collect()
    }

    /// Resolves every reference of `config`, waiting for programs that are run for the first time until they answer or
    /// time out.
    pub async fn resolve(&mut self, config: &Config) -> Resolved {
        self.resolve_within(config, Duration::MAX).await
    }

    /// Like [`Self::resolve`], but waits at most `patience` for programs. [`Self::refreshed`] tells when the others
    /// have answered.
    pub async fn resolve_within(&mut self, config: &Config, patience: Duration) -> Resolved {
        let specs: Vec<_> = reference::secrets(config).map(|(spec, kind)| (spec.clone(), kind)).collect();
        self.want(&specs);
        let (place, wanted) = (self.place.clone(), specs.clone());
        let found = tokio::task::spawn_blocking(move || place.look_up(&wanted));
        // What does not answer in time is told as running.
        drop(timeout(patience, self.first_answers()).await);
        let mut resolved = found.await.unwrap_or_default();
        for (spec, kind) in &specs {
            if let Some(program) = self.program(spec) {
                resolved.insert(spec, *kind, program.answer.clone());
            }
        }
        resolved.answers.values().flatten().for_each(redact::register);
        resolved
    }

    /// Runs programs again when they are due, and returns when one of them gave another answer than before. May be
    /// dropped at any time.
    pub async fn refreshed(&mut self) {
        loop {
            self.start_due();
            let due = self.programs.values().map(|program| program.due).min();
            let rest = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = self.running.join_next() => {
                    if done.is_ok_and(|(argv, answer)| self.store(&argv, answer)) {
                        return;
                    }
                }
                () = rest => {}
            }
        }
    }

    /// Has the program of `spec` run again at once, because its key was refused. `false` if it is no program.
    pub fn refresh_now(&mut self, spec: &SecretSpec) -> bool {
        let SecretSpec::Command(spec) = spec else { return false };
        let program = self.programs.get_mut(&spec.command);
        program.map(|program| program.due = Instant::now()).is_some()
    }

    fn program(&self, spec: &SecretSpec) -> Option<&Program> {
        let SecretSpec::Command(spec) = spec else { return None };
        self.programs.get(&spec.command)
    }

    /// Starts the programs that are new among `specs`, forgets those that are not among them.
    fn want(&mut self, specs: &[(SecretSpec, Use)]) {
        let mut before = std::mem::take(&mut self.programs);
        for (spec, _) in specs {
            let SecretSpec::Command(spec) = spec else { continue };
            let known = before.remove(&spec.command).map(|program| program.retimed(spec));
            let program = known.unwrap_or_else(|| Program::new(spec.clone()));
            self.programs.entry(spec.command.clone()).or_insert(program);
        }
        self.start_due();
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (argv, program) in self.programs.iter_mut().filter(|(_, program)| program.due <= now) {
            // Should it never be heard of again, it is run again.
            program.due = later(now, program.spec.refresh.get().saturating_add(program.spec.timeout.get()));
            let (argv, spec) = (argv.clone(), program.spec.clone());
            let (dir, slots) = (Arc::clone(&self.place.dir), Arc::clone(&self.slots));
            self.running.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let answer = command::run(&spec, &dir).await.map_err(|why| failed(&spec, why));
                (argv, answer)
            });
        }
    }

    async fn first_answers(&mut self) {
        while self.programs.values().any(Program::fresh) {
            match self.running.join_next().await {
                Some(Ok((argv, answer))) => drop(self.store(&argv, answer)),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// Takes in an answer. Whether it is another than before.
    fn store(&mut self, argv: &Argv, answer: Answer) -> bool {
        let Some(program) = self.programs.get_mut(argv) else { return false };
        let refresh = program.spec.refresh.get();
        let again = if answer.is_ok() { refresh } else { refresh.min(RETRY) };
        program.due = later(Instant::now(), again);
        let news = answer != program.answer && (answer.is_ok() || program.answer.is_err());
        if news {
            program.answer = answer;
        }
        news
    }
}

impl Program {
    /// A program that is due now.
    fn new(spec: CommandRef) -> Self {
        Self { answer: Err(failed(&spec, Failure::Running)), due: Instant::now(), spec }
    }

    /// The program again, with the times of `spec`.
    fn retimed(self, spec: &CommandRef) -> Self {
        let due = self.due.min(later(Instant::now(), spec.refresh.get()));
        Self { spec: spec.clone(), due, ..self }
    }

    /// Whether it has never answered.
    fn fresh(&self) -> bool {
        matches!(self.answer, Err(Unresolved::Command { why: Failure::Running, .. }))
    }
}

impl Place {
    /// Looks up everything that needs no program.
    fn look_up(&self, specs: &[(SecretSpec, Use)]) -> Resolved {
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

    fn variable(&self, name: &str, dotenv: &Dotenv) -> Answer {
        let set = (self.env)(name);
        let own = set.as_ref().filter(|value| !value.is_empty());
        if let Some(value) = own {
            let text = value.to_str().ok_or_else(|| Unresolved::unfit(name, Fault::Invisible))?;
            return Ok(Secret::new(text));
        }
        let empty = set.map(|_| Secret::new(""));
        dotenv.get(name).cloned().or(empty).ok_or_else(|| Unresolved::NotSet(name.to_owned()))
    }

    fn contents(&self, path: &Path) -> Answer {
        let unreadable = |error| Unresolved::Unreadable { path: path.to_owned(), why: read::words(&error) };
        let bytes = Zeroizing::new(read::bounded(&self.dir.join(path), CAP).map_err(unreadable)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| Unresolved::unfit(path.display(), Fault::Invisible))?;
        Ok(Secret::new(text.trim()))
    }

    fn needs_dotenv(&self, specs: &[(SecretSpec, Use)]) -> bool {
        let unset = |name: &str| (self.env)(name).is_none_or(|value| value.is_empty());
        specs.iter().any(|(spec, _)| matches!(spec, SecretSpec::Env(env) if unset(&env.env)))
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

    fn insert(&mut self, spec: &SecretSpec, kind: Use, answer: Answer) {
        let fit = answer.and_then(|secret| match Fault::of(&secret, kind) {
            Some(why) => Err(Unresolved::unfit(source(spec), why)),
            None => Ok(secret),
        });
        self.answers.insert(Key::of(spec), fit);
    }
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

fn source(spec: &SecretSpec) -> String {
    match spec {
        SecretSpec::Literal(_) => "the literal".to_owned(),
        SecretSpec::Env(env) => env.env.clone(),
        SecretSpec::File(file) => file.file.display().to_string(),
        SecretSpec::Command(_) => spec.to_string(),
    }
}

fn failed(spec: &CommandRef, why: Failure) -> Unresolved {
    Unresolved::Command { program: spec.command.first().cloned().unwrap_or_default(), why }
}

/// `after` from `now`; far away where that cannot be told.
fn later(now: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    now + after.min(FAR)
}

#[cfg(test)]
mod tests;
