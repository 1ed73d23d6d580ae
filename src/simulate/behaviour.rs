//! The ways an endpoint can behave.

use std::fmt;
use std::str::FromStr;

/// How a simulated endpoint answers `POST /v1/messages`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// Answers at a natural pace.
    #[default]
    Healthy,
    /// Answers, after 3 s and at a fifth of the pace.
    Slow,
    /// 529 `overloaded_error`.
    Overloaded,
    /// 429 `rate_limit_error` with `retry-after`.
    RateLimited,
    /// 500 `api_error`.
    ServerError,
    /// 401 `authentication_error`.
    BadKey,
    /// 200 whose first event is `event: error`; without streaming, whose body is an error.
    ErrorFirst,
    /// Begins to answer, then the connection is cut.
    Cut,
    /// Takes the request and says nothing.
    Hang,
    /// Accepts no connections.
    Refuse,
}

impl Behaviour {
    /// All of them, the healthy one first.
    pub const ALL: [Self; 10] = [
        Self::Healthy,
        Self::Slow,
        Self::Overloaded,
        Self::RateLimited,
        Self::ServerError,
        Self::BadKey,
        Self::ErrorFirst,
        Self::Cut,
        Self::Hang,
        Self::Refuse,
    ];

    /// The word used in the control path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::BadKey => "bad_key",
            Self::ErrorFirst => "error_first",
            Self::Cut => "cut",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Behaviour {
    type Err = UnknownBehaviour;

    fn from_str(word: &str) -> Result<Self, UnknownBehaviour> {
        Self::ALL.into_iter().find(|behaviour| behaviour.as_str() == word).ok_or(UnknownBehaviour)
    }
}

/// The word names no behaviour; shows those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBehaviour;

impl fmt::Display for UnknownBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such behaviour; there are: {}", Behaviour::ALL.map(Behaviour::as_str).join(", "))
    }
}

impl std::error::Error for UnknownBehaviour {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for behaviour in Behaviour::ALL {
            assert_eq!(behaviour.to_string().parse(), Ok(behaviour));
        }
        assert_eq!("on_fire".parse::<Behaviour>(), Err(UnknownBehaviour));
    }
}
