//! Who would serve a request, and why not the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RestingModel, Time};
use crate::config::model::{Strategy, Tier};

/// Query of `GET /v1/explain`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainQuery {
    /// The model that is asked for, under the client's name for it.
    pub model: Option<String>,
    /// The conversation it belongs to.
    pub session: Option<String>,
}

/// `GET /v1/explain`: who would serve such a request now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The model that is asked for.
    pub model: Option<String>,
    /// The conversation.
    pub session: Option<String>,
    /// Where the conversation was served last, if that is remembered.
    pub last_served_by: Option<String>,
    /// The active profile, if any has a tier.
    pub active: Option<String>,
    /// Whether a person has pinned it.
    pub pinned: bool,
    /// Whether requests stay in it.
    pub confined: bool,
    /// First those that are asked, by their turn, then the others.
    pub candidates: Vec<Candidate>,
}

/// An endpoint, as the request would meet it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// Place of its profile in the chain; null if it has none.
    pub tier: Option<Tier>,
    /// How endpoints of its profile share.
    pub strategy: Strategy,
    /// When it is asked, from 1: once those with an earlier turn have failed. Those of one turn share. Null: not at all.
    pub turn: Option<u32>,
    /// Its chance to be the first of its turn, in percent; null where the state of the moment decides.
    pub share: Option<f64>,
    /// Why, in a stable word. Asked: `conversation`, `group`, `strategy`, `avoided`, `last_resort`. Not asked: `no_key`,
    /// `dead_key`, `rate_limited`, `model`, `busy`, `resting`, `probation`, `ejected`, `confined`, `disabled`, `no_tier`.
    pub code: String,
    /// The same for people.
    pub why: String,
    /// When that ends by itself, as far as that is known.
    pub until: Option<Time>,
    /// The model it would be asked for, if that has another name there.
    pub sent_model: Option<String>,
    /// Models for which its key rests; empty where a model is asked for.
    #[serde(default)]
    pub resting_models: Vec<RestingModel>,
    /// Models it does not have, and until when they are not asked of it; empty where a model is asked for.
    #[serde(default)]
    pub missing_models: Vec<RestingModel>,
}
