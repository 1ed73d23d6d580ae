//! What is said about the active profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// `GET /v1/failover`: which profile is active, and what comes next.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// The active profile, if any has a tier.
    pub active: Option<String>,
    /// Whether a person has pinned it.
    pub pinned: bool,
    /// Since when it is active, if it was not from the start.
    pub since: Option<Time>,
    /// Requests in a row that it failed or spilled.
    pub failures: u32,
    /// So many of them make another profile active.
    pub failure_threshold: u32,
    /// Whether requests spill and the active profile changes by itself.
    pub auto_failover: bool,
    /// Whether the better profile becomes active again by itself.
    pub auto_recovery: bool,
    /// Least time between a switch and the next recovery, in seconds, as the file has it.
    pub cooldown_s: f64,
    /// The earliest time of the next recovery; null if there will be none.
    pub cooldown_until: Option<Time>,
    /// Who comes next then.
    pub candidate: Option<Candidate>,
    /// The last switches, the newest first.
    pub switches: Vec<Switch>,
}

/// A better profile that is to become active again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Its name.
    pub profile: String,
    /// Whether an endpoint of it admits.
    pub ready: bool,
    /// Good checks in a row so far; null where it is not checked and a request is its trial.
    pub good_checks: Option<u32>,
    /// How many it needs.
    pub needed: u32,
}

/// Another profile became active.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Switch {
    /// When.
    pub at: Time,
    /// The profile before.
    pub from: String,
    /// The profile since.
    pub to: String,
    /// `manual`, `failover`, `recovery` or `reload`.
    pub cause: String,
    /// Why, in words.
    pub reason: String,
}

/// Query of `GET /v1/failover`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FailoverQuery {
    /// How many switches to tell, at most 1000. Default: 20.
    pub n: Option<u32>,
}

/// Body of `POST /v1/failover/switch`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchTo {
    /// The profile that is to be active, and stays so.
    pub to: String,
    /// Why, for the history.
    pub reason: Option<String>,
}

/// Body of `POST /v1/failover/failover`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailOver {
    /// Why, for the history.
    pub reason: Option<String>,
}

/// What came of it; it runs when this is said.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Steered {
    /// The active profile.
    pub active: String,
    /// The one before, if it is another one now.
    pub from: Option<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether a pin ended with this.
    #[serde(default)]
    pub released: bool,
}
