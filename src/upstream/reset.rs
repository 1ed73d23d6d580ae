//! Forgetting, by hand, what is held against an endpoint and its key.

use super::endpoint::Endpoint;
use crate::time::Moment;

/// What was held against an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// It did not simply admit.
    pub was_out: bool,
    /// Its key had been refused.
    pub key_was_dead: bool,
    /// Its key, or a client at it, rested.
    pub key_rested: bool,
    /// Models it took no requests for, since its key rested for them or it does not have them.
    pub models: Vec<String>,
}

impl Endpoint {
    /// Forgets it: the endpoint admits at once; its key, also where other endpoints use it, is tried again and rests no
    /// more.
    pub fn reset(&self, now: Moment) -> Forgotten {
        let rests = self.key.resting(now).into_iter().filter_map(|(model, _)| model);
        let mut models: Vec<String> =
            rests.chain(self.state.models_blocked(now).into_iter().map(|(model, _)| model)).collect();
        models.sort();
        models.dedup();
        Forgotten {
            was_out: self.state.reset(now),
            key_was_dead: self.key.revive(),
            key_rested: self.key.clear_rests(now),
            models,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::eligible::{Ask, can_take};
    use crate::upstream::fixture::{at, endpoint};
    use crate::upstream::outcome::RateLimit;
    use crate::upstream::rest::Scope;

    #[test]
    fn all_that_is_held_against_an_endpoint_is_told_once_and_forgotten() {
        let endpoint = endpoint("a");
        let rest = |scope, whole_key| {
            endpoint.key.rest(scope, RateLimit { wait: Some(Duration::from_secs(30)), whole_key }, at(0));
        };
        let models = |models: &[&str]| models.iter().map(|model| (*model).to_owned()).collect::<Vec<_>>();
        rest(Scope::Own { model: Some("opus") }, false);
        endpoint.state.block_model("haiku", at(0));
        let expected = Forgotten { models: models(&["haiku", "opus"]), ..Forgotten::default() };
        assert_eq!(endpoint.reset(at(1)), expected);
        assert_eq!(endpoint.reset(at(1)), Forgotten::default());
        rest(Scope::Client { credential: 7, model: None }, false);
        assert!(endpoint.reset(at(1)).key_rested);
        rest(Scope::Own { model: None }, true);
        endpoint.key.mark_dead("revoked", at(0));
        endpoint.state.restore(at(60), "down", 1, at(0));
        let all = Forgotten { was_out: true, key_was_dead: true, key_rested: true, models: Vec::new() };
        assert_eq!(endpoint.reset(at(1)), all);
        assert!(can_take(&endpoint, &Ask::model(Some("opus")), at(1)).is_ok());
        rest(Scope::Own { model: Some("opus") }, false);
        assert_eq!(endpoint.reset(at(60)), Forgotten::default(), "what is over was not held against it");
    }
}
