//! Whether an endpoint can take a request now, and if not, why and until when.
//!
//! Takes no lock, as long as nothing is wrong with the endpoint or its key.

use std::sync::Arc;

use super::breaker::Standing;
use super::endpoint::{Credential, Endpoint};
use crate::time::Moment;

/// What a request asks for, as far as it decides who can take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The model, under the name the client uses.
    pub model: Option<&'a str>,
    /// A hash of the client's own credential: what it may is remembered at `passthrough` endpoints.
    pub credential: Option<u64>,
}

impl<'a> Ask<'a> {
    /// For `model`, by a client whose credential goes nowhere.
    pub const fn model(model: Option<&'a str>) -> Self {
        Self { model, credential: None }
    }
}

/// An endpoint cannot take a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Why.
    pub why: Why,
    /// When that ends by itself, as far as that is known.
    pub until: Option<Moment>,
}

/// Why an endpoint cannot take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its key does not resolve.
    NoKey,
    /// Its key was refused.
    DeadKey,
    /// Its key used up what it may.
    Rate {
        /// Whatever is asked; else only for this model, or this client.
        whole_key: bool,
    },
    /// It does not serve the model.
    Model,
    /// As many requests as it may have are in flight.
    Busy,
    /// It asked to be left alone.
    Resting,
    /// It is on probation, and the one request is in flight.
    Probation,
    /// It is out of rotation.
    Ejected,
}

impl Why {
    /// In words, to follow "cannot take requests:".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no key",
            Self::DeadKey => "its key was refused",
            Self::Rate { .. } => "its key is rate limited",
            Self::Model => "it does not serve the model",
            Self::Busy => "its requests in flight are at the limit",
            Self::Resting => "it asked to be left alone",
            Self::Probation => "it is on probation and busy with one request",
            Self::Ejected => "it is ejected",
        }
    }

    /// The same in one word, for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::DeadKey => "dead_key",
            Self::Rate { .. } => "rate_limited",
            Self::Model => "model",
            Self::Busy => "busy",
            Self::Resting => "resting",
            Self::Probation => "probation",
            Self::Ejected => "ejected",
        }
    }

    /// Whether it concerns every request, not only those that ask for the same model or come from the same client.
    pub(super) const fn is_general(self) -> bool {
        !matches!(self, Self::Model | Self::Rate { whole_key: false })
    }
}

/// Whether `endpoint` can take a request that asks for this, now. Of several reasons against it the one to mend first:
/// ejection is named only if nothing else stands in the way.
pub fn can_take(endpoint: &Endpoint, ask: &Ask<'_>, now: Moment) -> Result<(), Blocked> {
    if matches!(endpoint.credential, Credential::Missing(_)) {
        return Err(Blocked { why: Why::NoKey, until: None });
    }
    if let Some(blocked) = endpoint.key.blocked(endpoint.scope(ask), now) {
        return Err(blocked);
    }
    if endpoint.max_in_flight.is_some_and(|limit| endpoint.state.is_full(limit)) {
        return Err(Blocked { why: Why::Busy, until: None });
    }
    if let Some(until) = endpoint.state.model_blocked(ask.model, now) {
        return Err(Blocked { why: Why::Model, until: Some(until) });
    }
    standing(endpoint, now)
}

fn standing(endpoint: &Endpoint, now: Moment) -> Result<(), Blocked> {
    let (why, until) = match endpoint.state.standing(now) {
        Standing::Admitting | Standing::Probation { free: true } => return Ok(()),
        Standing::Probation { free: false } => (Why::Probation, None),
        Standing::Resting { until } => (Why::Resting, Some(until)),
        Standing::Ejected { until, .. } => (Why::Ejected, Some(until)),
    };
    Err(Blocked { why, until })
}

/// When the first of `endpoints` is expected to take such a request: now, if one can already; `None` if nobody knows. A
/// dead key is expected back never: its trials are a hope.
pub fn soonest_return<'a>(
    endpoints: impl IntoIterator<Item = &'a Arc<Endpoint>>,
    ask: &Ask<'_>,
    now: Moment,
) -> Option<Moment> {
    let returns = endpoints.into_iter().filter_map(|endpoint| match can_take(endpoint, ask, now) {
        Ok(()) => Some(now),
        Err(blocked) => blocked.until.filter(|_| blocked.why != Why::DeadKey),
    });
    returns.min()
}

/// The endpoint to try when none can take the request: of those that are merely ejected, the one whose last test is longest
/// ago, untested ones first; of several the one that returns soonest, before them one whose trial a probe has. So tests go
/// round, and one that is back is found whoever else is out.
/// It takes one such request at a time: [`Endpoint::begin_last_resort`] may refuse.
pub fn last_resort<'a>(
    endpoints: impl IntoIterator<Item = &'a Arc<Endpoint>>,
    ask: &Ask<'_>,
    now: Moment,
) -> Option<&'a Arc<Endpoint>> {
    let out = endpoints.into_iter().filter_map(|endpoint| match can_take(endpoint, ask, now) {
        Err(Blocked { why: Why::Ejected | Why::Probation, until }) if endpoint.state.last_resort_free(now) => {
            Some(((endpoint.state.tested_at(), until), endpoint))
        }
        _ => None,
    });
    out.min_by_key(|(turn, _)| *turn).map(|(_, endpoint)| endpoint)
}
