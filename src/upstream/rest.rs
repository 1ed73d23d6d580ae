//! How long a key rests after a 429, and for whom. Pure.
//!
//! A rest is about one model, about the whole key, or (where clients bring their own credentials) about one client.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::outcome::RateLimit;
use super::recent::Recent;
use crate::time::Moment;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(30);
/// First rest when nothing was announced; doubles up to `LONGEST_GUESS`.
const FIRST_GUESS: Duration = Duration::from_secs(5);
const LONGEST_GUESS: Duration = Duration::from_mins(1);
/// How long after its end a rest still makes the next guess longer, if no success comes before.
const REMEMBERED: Duration = Duration::from_mins(10);
const SWEEP_EVERY: Duration = Duration::from_mins(1);
const MODELS: usize = 256;
const CLIENTS: usize = 10_000;

/// Whom a request's 429 concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The endpoint's own key, asked for this model.
    Own {
        /// The model, under the client's name for it.
        model: Option<&'a str>,
    },
    /// A credential that belongs to a client.
    Client {
        /// A hash of it.
        credential: u64,
        /// The model, under the client's name for it.
        model: Option<&'a str>,
    },
}

/// All rests of one key.
#[derive(Debug)]
pub(super) struct Rests {
    whole: Option<Rest>,
    models: Recent<Box<str>, Rest>,
    clients: Recent<u64, Rest>,
    swept: Moment,
}

/// One rest, kept after its end until a success or for a while, for the length of the next.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Moment,
    /// Rests in a row whose length was a guess.
    guesses: u32,
}

impl Default for Rests {
    fn default() -> Self {
        Self { whole: None, models: Recent::new(MODELS), clients: Recent::new(CLIENTS), swept: Moment(0) }
    }
}

impl Rests {
    /// Until when requests of `scope` rest, and whether that holds for whatever is asked.
    pub(super) fn until(&self, scope: Scope<'_>, now: Moment) -> Option<(Moment, bool)> {
        let resting = |rest: &&Rest| now < rest.until;
        match scope {
            Scope::Own { model } => {
                let whole = self.whole.as_ref().filter(resting).map(|rest| (rest.until, true));
                let part = model.and_then(|model| self.models.peek(model)).filter(resting);
                whole.or(part.map(|rest| (rest.until, false)))
            }
            Scope::Client { credential, model } => {
                let places = [place(credential, None), place(credential, model)];
                let rests = places.iter().filter_map(|place| self.clients.peek(place)).filter(resting);
                rests.map(|rest| rest.until).max().map(|until| (until, false))
            }
        }
    }

    /// Starts or extends a rest; returns its end if that is later than before.
    pub(super) fn rest(&mut self, scope: Scope<'_>, limit: RateLimit, now: Moment) -> Option<Moment> {
        let before = self.find(scope, limit.whole_key);
        let rest = next(before, limit.wait, now);
        let news = before.is_none_or(|before| before.until < rest.until);
        match scope {
            Scope::Own { model: Some(model) } if !limit.whole_key => self.models.insert(model.into(), rest),
            Scope::Own { .. } => self.whole = Some(rest),
            Scope::Client { credential, model } => {
                self.clients.insert(place(credential, model.filter(|_| !limit.whole_key)), rest);
            }
        }
        news.then_some(rest.until)
    }

    /// A request of `scope` succeeded: the next rest starts small again. Rests that still run stay.
    pub(super) fn forget(&mut self, scope: Scope<'_>, now: Moment) {
        self.sweep(now);
        let over = |rest: &Rest| rest.until <= now;
        self.whole = self.whole.filter(|rest| !over(rest));
        match scope {
            Scope::Own { model } => drop(model.and_then(|model| self.models.remove_if(model, over))),
            Scope::Client { credential, model } => {
                for place in [place(credential, None), place(credential, model)] {
                    self.clients.remove_if(&place, over);
                }
            }
        }
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.models.len() + self.clients.len() == 0
    }

    /// Whether all of the key, or a client at it, rests now.
    pub(super) fn is_running(&self, now: Moment) -> bool {
        let runs = |rest: &Rest| now < rest.until;
        self.whole.as_ref().is_some_and(runs) || self.clients.iter().any(|(_, rest)| runs(rest))
    }

    /// The rests of the key itself that run now.
    pub(super) fn list(&self, now: Moment) -> Vec<(Option<String>, Moment)> {
        let whole = self.whole.iter().map(|rest| (None, rest.until));
        let models = self.models.iter().map(|(model, rest)| (Some(model.to_string()), rest.until));
        whole.chain(models).filter(|(_, until)| now < *until).collect()
    }

    /// Forgets what ended long ago, so that the key is once more one nothing is known about.
    fn sweep(&mut self, now: Moment) {
        if now.since(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        let remembered = |rest: &Rest| now < rest.until.after(REMEMBERED);
        self.whole = self.whole.filter(remembered);
        self.models.retain(|rest| remembered(rest));
        self.clients.retain(|rest| remembered(rest));
    }

    fn find(&self, scope: Scope<'_>, whole_key: bool) -> Option<Rest> {
        match scope {
            Scope::Own { model: Some(model) } if !whole_key => self.models.peek(model).copied(),
            Scope::Own { .. } => self.whole,
            Scope::Client { credential, model } => {
                self.clients.peek(&place(credential, model.filter(|_| !whole_key))).copied()
            }
        }
    }
}

/// The rest that follows `before`. An announced one never shortens a running one; a guess leaves a running one alone.
fn next(before: Option<Rest>, announced: Option<Duration>, now: Moment) -> Rest {
    let running = before.filter(|rest| now < rest.until);
    if let Some(wait) = announced {
        let until = now.after(wait.clamp(SHORTEST, LONGEST));
        return Rest { until: running.map_or(until, |rest| rest.until.max(until)), guesses: 0 };
    }
    running.unwrap_or_else(|| {
        let guesses = before.map_or(0, |rest| rest.guesses);
        let wait = FIRST_GUESS.saturating_mul(1 << guesses.min(8)).min(LONGEST_GUESS);
        Rest { until: now.after(wait), guesses: guesses.saturating_add(1) }
    })
}

/// Where a client's rest is kept: no credential is stored, and models of a client are apart.
fn place(credential: u64, model: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (credential, model).hash(&mut hasher);
    hasher.finish()
}
