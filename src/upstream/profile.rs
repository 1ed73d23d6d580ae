//! A named set of endpoints as the proxy runs it.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use crate::config::model::{Strategy, Tier};

/// A profile of the chain.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub name: Arc<str>,
    /// Its place in the chain.
    pub tier: Tier,
    /// How endpoints of one priority share requests.
    pub strategy: Strategy,
    /// How long a conversation stays on its endpoint; `None`: not at all.
    pub affinity: Option<Duration>,
    /// Its enabled endpoints, best priority first, in file order within one.
    pub endpoints: Vec<Arc<Endpoint>>,
}
