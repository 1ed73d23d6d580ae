//! How an attempt at `POST /v1/messages` ended, in the terms that decide what happens next.
//!
//! An outcome says three things at once: whether another endpoint may take the request, what it means for the health
//! of this one, and whether the key or the model is to blame rather than the endpoint. Reading an answer's head and
//! body into an outcome is the job of [`super::classify`].

use std::time::Duration;

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete answer, or a complete stream.
    Success,
    /// No answer at all: name resolution, connection, TLS, a reset before the first byte.
    Local,
    /// The endpoint failed: 5xx, 529, 408, a page instead of an answer, silence, an error inside a 200.
    Server {
        /// How long the endpoint asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// 429: the key has used up what it may.
    Rate(RateLimit),
    /// The key is refused or without credit.
    Auth,
    /// 409 and the like: says nothing about the endpoint, yet another one may answer.
    Conflict,
    /// The endpoint does not serve this model.
    Model,
    /// The request itself is at fault; every endpoint would say so.
    Client,
    /// The client left.
    Cancelled,
}

/// What a 429 announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Time until requests are accepted again, as announced and not yet clamped; `None` if nothing was announced.
    pub wait: Option<Duration>,
    /// Whether every model of the key is out, not only the one asked for.
    pub whole_key: bool,
}

impl Outcome {
    /// The endpoint failed and said nothing about when to come back.
    pub const FAILED: Self = Self::Server { retry_after: None };

    /// The word used in logs and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Local => "local",
            Self::Server { .. } => "server",
            Self::Rate(_) => "rate",
            Self::Auth => "auth",
            Self::Conflict => "conflict",
            Self::Model => "model",
            Self::Client => "client",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether another endpoint should be asked, as long as nothing has gone to the client.
    pub const fn next_endpoint(&self) -> bool {
        !matches!(self, Self::Success | Self::Client | Self::Cancelled)
    }

    /// Whether it counts as a failure of the endpoint.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Local | Self::Server { .. })
    }

    /// How long the failed endpoint asked to be left alone, if it did.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Server { retry_after } => *retry_after,
            _ => None,
        }
    }
}
