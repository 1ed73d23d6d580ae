//! Endpoints and profiles for tests.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Credential, Endpoint, EndpointId, ModelMap, Signature, Timeouts};
use super::key::KeyState;
use super::profile::Profile;
use super::state::EndpointState;
use crate::config::model::{HealthOverride, Strategy, Tier};
use crate::time::Moment;

/// `seconds` after the first moment.
pub(crate) const fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

/// An endpoint with a key of its own.
pub(crate) fn endpoint(id: &str) -> Endpoint {
    let second = Duration::from_secs(1);
    let id = EndpointId { profile: "main".into(), id: id.into() };
    Endpoint {
        signature: Signature::from(&id),
        id,
        base_url: "http://127.0.0.1:1".into(),
        prefix: "".into(),
        target: None,
        credential: Credential::Header(http::header::AUTHORIZATION, http::HeaderValue::from_static("canary")),
        weight: 100,
        priority: 1,
        group: "group".into(),
        max_in_flight: None,
        max_failures: None,
        models: ModelMap::default(),
        headers: Vec::new(),
        timeouts: Timeouts { connect: second, first_byte: second, first_byte_unary: second, idle: second },
        health: HealthOverride::default(),
        identity: 0,
        key_identity: 0,
        state: EndpointState::new(),
        key: KeyState::new(),
    }
}

/// A profile of these endpoints.
pub(crate) fn profile(strategy: Strategy, endpoints: impl IntoIterator<Item = Endpoint>) -> Arc<Profile> {
    let endpoints = endpoints.into_iter().map(Arc::new).collect();
    Arc::new(Profile { name: "main".into(), tier: Tier::Primary, strategy, affinity: None, endpoints })
}
