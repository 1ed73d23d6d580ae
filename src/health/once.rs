//! One conversation with an endpoint, without a proxy: for people who ask whether it serves.

use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;

use super::check::Check;
use super::monitor::check;
use super::probe::Nonce;
use super::schedule::Policy;
use super::send::{Prober as _, Question, Wire};
use super::subject::obstacle;
use crate::config::model::{Health, ProbeKind};
use crate::net::OwnAddresses;
use crate::upstream::endpoint::{Credential, Endpoint};

/// Asks `endpoint` to repeat a code, as `health` says. Changes no state of it. Must run inside a `LocalSet`; bounded by the
/// timeout of checks. An error says why it cannot be asked.
pub async fn converse(endpoint: &Arc<Endpoint>, health: &Health, own: OwnAddresses) -> Result<Check, String> {
    if let Credential::Missing(why) = &endpoint.credential {
        return Err(why.clone());
    }
    if let Some(why) = obstacle(endpoint) {
        return Err(why.to_owned());
    }
    let policy = Policy::of(health, &endpoint.health);
    let question = Question {
        endpoint: Arc::clone(endpoint),
        kind: ProbeKind::Messages,
        model: policy.model.into(),
        prompt: policy.prompt.map(Arc::from),
        nonce: Nonce::new(&mut Rng::new()),
        timeout: policy.timeout,
    };
    let finding = Rc::new(Wire(own)).send(question.clone()).await;
    Ok(check(&question, &finding))
}
