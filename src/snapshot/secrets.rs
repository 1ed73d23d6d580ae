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
mod lookup;
mod reference;
mod resolved;
mod unresolved;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::lookup::Place;
pub use self::lookup::{check, check_pem, find, glance};
use self::reference::Use;
use self::resolved::Answer;
pub use self::resolved::Resolved;
pub use self::unresolved::{Failure, Fault, Unresolved};
use crate::config::secret::CommandRef;
use crate::config::{Config, SecretSpec};

/// Programs run at once.
const AT_ONCE: usize = 8;
/// No program is run again sooner.
const LEAST: Duration = Duration::from_secs(1);
/// How soon a program that failed is run again.
const RETRY: Duration = Duration::from_mins(1);

/// Program and arguments.
type Argv = Vec<String>;

/// The secrets of one file. Its programs end with it.
pub struct Secrets {
    place: Place,
    programs: HashMap<Argv, Program>,
    running: JoinSet<(Argv, Answer)>,
    slots: Arc<Semaphore>,
}

/// A program that prints a secret.
struct Program {
    spec: CommandRef,
    /// Its last good answer, else why there is none.
    answer: Answer,
    running: bool,
    /// When it is to be run again.
    due: Instant,
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

    /// Resolves every reference of `config` and reads its certificates, waiting for programs that are run for the first time until they answer or
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
        let certificates = reference::certificates(config).map(Path::to_owned).collect();
        let found = tokio::task::spawn_blocking(move || {
            let mut found = place.look_up(&wanted);
            place.read_certificates(certificates, &mut found);
            found
        });
        // What does not answer in time is told as running.
        drop(timeout(patience, self.first_answers()).await);
        let mut resolved = found.await.unwrap_or_default();
        for (spec, kind) in &specs {
            if let Some(program) = self.program(spec) {
                resolved.insert(spec, *kind, program.answer.clone());
            }
        }
        resolved.register();
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
        program.map(Program::hurry).is_some()
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
            program.due = later(now, program.refresh().saturating_add(program.spec.timeout.get()));
            program.running = true;
            let (argv, spec) = (argv.clone(), program.spec.clone());
            let (dir, slots) = (Arc::clone(&self.place.dir), Arc::clone(&self.slots));
            self.running.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let answer = command::run(&spec, &dir).await;
                (argv, answer.map_err(|why| failed(&spec, why)))
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
        program.running = false;
        let again = if answer.is_ok() { program.refresh() } else { program.refresh().min(RETRY) };
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
        Self { answer: Err(failed(&spec, Failure::Running)), running: false, due: Instant::now(), spec }
    }

    fn refresh(&self) -> Duration {
        self.spec.refresh.get().max(LEAST)
    }

    /// Makes it due, unless it is on its way.
    fn hurry(&mut self) {
        if !self.running {
            self.due = Instant::now();
        }
    }

    /// The program again, with the times of `spec`.
    fn retimed(self, spec: &CommandRef) -> Self {
        let renewed = Self { spec: spec.clone(), ..self };
        Self { due: renewed.due.min(later(Instant::now(), renewed.refresh())), ..renewed }
    }

    /// Whether it has never answered.
    fn fresh(&self) -> bool {
        matches!(self.answer, Err(Unresolved::Command { why: Failure::Running, .. }))
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
