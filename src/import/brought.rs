//! What was found in other tools' files.

use std::fmt;

use serde_json::{Map, Value};

use super::key::Key;
use crate::config::model::{Auth, Tier};

/// What the files of one tool say.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// Sets of endpoints, in the order of the files.
    pub profiles: Vec<Profile>,
    /// The profile that the tool used: `primary` in a file where nothing serves yet.
    pub active: Option<String>,
    /// The profile that is meant where none is named.
    pub default: Option<String>,
    /// Fields of `failover`.
    pub failover: Map<String, Value>,
    /// What could not be carried over.
    pub left: Vec<Left>,
}

/// A set of endpoints.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its name in the tool; the plan makes it one that a `qcc.yaml` can have.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its place in the chain, if the tool knows such places.
    pub tier: Option<Tier>,
    /// How its endpoints share, as a word of the file.
    pub strategy: Option<&'static str>,
    /// Who answers for it.
    pub endpoints: Vec<Endpoint>,
}

/// Where requests went, and with which key.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in the tool.
    pub id: String,
    /// A `base_url` as [`super::address::base_url`] gives it.
    pub base_url: String,
    /// Its key.
    pub key: Key,
    /// The header that carries the key.
    pub auth: Auth,
    /// Further fields of an endpoint, as they are to be written.
    pub fields: Map<String, Value>,
}

/// Something that could not be carried over. Holds no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is: a key of the tool's file, or a thing in it.
    pub what: String,
    /// Why, and what to do instead where there is something.
    pub why: String,
}

impl Brought {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.profiles.extend(other.profiles);
        self.active = self.active.or(other.active);
        self.default = self.default.or(other.default);
        self.failover.extend(other.failover);
        self.left.extend(other.left);
        self
    }

    /// Notes that `what` is not carried over.
    pub(super) fn leave(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Left { what: what.into(), why: why.into() });
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        write!(f, "{what}: {why}")
    }
}
