//! What the end of a request or a probe changed for others, and how that is told.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Turn;
use super::endpoint::EndpointId;
use crate::telemetry::Event;
use crate::time::Moment;

/// What the end of a request changed for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The endpoint is out of rotation.
    Ejected {
        /// When probation begins.
        until: Moment,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// The endpoint is back in rotation.
    Admitted,
    /// The endpoint, or its key, takes no requests until then, and returns by itself.
    Rested {
        /// When it takes requests again.
        until: Moment,
        /// The one model it concerns; `None`: all.
        model: Option<String>,
    },
    /// The key was refused.
    DeadKey {
        /// What the endpoint said.
        reason: String,
    },
    /// A trial showed that the key works again.
    KeyRevived,
    /// The endpoint is not asked for this model until then.
    ModelOut {
        /// The model, under the client's name for it.
        model: String,
        /// When it is asked again.
        until: Moment,
    },
}

impl Change {
    /// How everybody is told that this happened to `endpoint`.
    pub fn event(self, endpoint: &EndpointId, now: Moment) -> Event {
        let endpoint = endpoint.to_string();
        let out = |endpoint, reason: String, until: Option<Moment>| Event::Ejected {
            endpoint,
            reason,
            duration: until.map(|until| until.since(now)).map(whole_seconds),
        };
        match self {
            Self::Admitted | Self::KeyRevived => Event::Admitted { endpoint },
            Self::Ejected { until, reason } => out(endpoint, reason.to_string(), Some(until)),
            Self::Rested { until, model: None } => out(endpoint, "rate limited".to_owned(), Some(until)),
            Self::Rested { until, model: Some(model) } => {
                out(endpoint, format!("rate limited for {model}"), Some(until))
            }
            Self::ModelOut { until, model } => out(endpoint, format!("does not serve {model}"), Some(until)),
            Self::DeadKey { reason } => Event::DeadKey { endpoint, reason },
        }
    }
}

impl From<Turn> for Change {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Ejected { until, reason } => Self::Ejected { until, reason },
            Turn::Admitted => Self::Admitted,
            Turn::Rested { until } => Self::Rested { until, model: None },
        }
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs((duration + Duration::from_millis(500)).as_secs())
}
