//! What came of one check.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::model::ProbeKind;
use crate::telemetry::event::Tokens;
use crate::upstream::outcome::Outcome;

/// How a check ended, in the words people are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The endpoint did what was asked.
    Success,
    /// It did not, or cannot be reached.
    Failure,
    /// It took too long.
    Timeout,
    /// It answered 429.
    RateLimited,
    /// It refused the key, or the account has no credit.
    InvalidKey,
    /// It does not serve the model.
    ModelError,
    /// It says that it has too much to do.
    Overloaded,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Failure,
        Self::Timeout,
        Self::RateLimited,
        Self::InvalidKey,
        Self::ModelError,
        Self::Overloaded,
    ];

    /// The word used in answers, lists and the state file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::InvalidKey => "invalid_key",
            Self::ModelError => "model_error",
            Self::Overloaded => "overloaded",
        }
    }

    /// The class with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

/// What was seen of a probe, before it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it means for the endpoint.
    pub outcome: Outcome,
    /// What went wrong, without secrets; empty where nothing did.
    pub detail: String,
    /// Whether the time for it was used up.
    pub timed_out: bool,
    /// Whether the endpoint said that it has too much to do.
    pub overloaded: bool,
}

impl Seen {
    /// The class it falls into.
    pub fn class(&self) -> Class {
        match &self.outcome {
            Outcome::Success => Class::Success,
            _ if self.timed_out => Class::Timeout,
            _ if self.overloaded => Class::Overloaded,
            Outcome::Rate(_) => Class::RateLimited,
            Outcome::Auth => Class::InvalidKey,
            Outcome::Model => Class::ModelError,
            _ => Class::Failure,
        }
    }
}

/// One check, as it is kept and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// When it ended.
    pub at: SystemTime,
    /// What was done; never `auto` or `off`.
    pub kind: ProbeKind,
    /// How it ended.
    pub class: Class,
    /// How long it took.
    pub took: Duration,
    /// Quality of the answer of a conversation, 0 to 100.
    pub quality: Option<u8>,
    /// Whether the answer held the code it was to repeat.
    pub valid: Option<bool>,
    /// What went wrong, without secrets.
    pub detail: Arc<str>,
    /// What it cost.
    pub tokens: Tokens,
}

impl Check {
    /// Whether it shows that the endpoint does its job.
    pub fn is_good(&self) -> bool {
        self.class == Class::Success
    }

    /// Whether it says something about how well the endpoint does: a 429 speaks of the key's budget, and a model it does
    /// not have of our choice.
    pub fn tells_of_endpoint(&self) -> bool {
        !matches!(self.class, Class::RateLimited | Class::ModelError)
    }

    /// Whether the endpoint proved that it serves.
    pub fn proves(&self) -> bool {
        self.kind != ProbeKind::Reachability && matches!(self.class, Class::Success | Class::ModelError)
    }
}

/// The word for a kind, as in the file.
pub const fn kind_word(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Auto => "auto",
        ProbeKind::Messages => "messages",
        ProbeKind::Models => "models",
        ProbeKind::Reachability => "reachability",
        ProbeKind::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::outcome::RateLimit;

    #[test]
    fn every_outcome_has_its_class() {
        let seen = |outcome: &Outcome, timed_out, overloaded| {
            Seen { outcome: outcome.clone(), detail: String::new(), timed_out, overloaded }.class()
        };
        for (outcome, class) in [
            (Outcome::Success, Class::Success),
            (Outcome::Local, Class::Failure),
            (Outcome::FAILED, Class::Failure),
            (Outcome::Conflict, Class::Failure),
            (Outcome::Client, Class::Failure),
            (Outcome::Rate(RateLimit::default()), Class::RateLimited),
            (Outcome::Auth, Class::InvalidKey),
            (Outcome::Model, Class::ModelError),
        ] {
            assert_eq!(seen(&outcome, false, false), class);
        }
        assert_eq!(seen(&Outcome::FAILED, true, false), Class::Timeout);
        assert_eq!(seen(&Outcome::FAILED, false, true), Class::Overloaded);
    }

    #[test]
    fn classes_are_found_by_their_words() {
        assert!(Class::ALL.into_iter().all(|class| Class::named(class.as_str()) == Some(class)));
        assert_eq!(Class::named("else"), None);
    }
}
