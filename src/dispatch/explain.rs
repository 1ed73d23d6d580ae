//! Who would serve a request now, in which order, and why the others would not. Pure: it looks, and takes no turn.
//!
//! It follows [`Plan`](super::plan::Plan) step by step; where that draws lots, it tells the chances.

use std::sync::Arc;

use crate::config::model::Strategy;
use crate::failover::chain::order;
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::affinity::Sticky;
use crate::upstream::eligible::{Ask, Blocked, can_take, last_resort};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::profile::Profile;
use crate::upstream::weight::effective_weight;

/// A request as far as it decides who serves it.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// What is asked for.
    pub ask: Ask<'a>,
    /// Where its conversation was served last.
    pub sticky: Option<Sticky>,
    /// Who just broke its conversation.
    pub avoided: Option<EndpointId>,
}

/// Why an endpoint is asked when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The conversation was served by it within the time of `affinity`.
    Conversation,
    /// It belongs to the provider group that served the conversation.
    Group,
    /// The strategy of its profile.
    Strategy,
    /// It just broke the conversation: after all others.
    Avoided,
    /// Nobody can serve, and it is the one that returns first: once, as far as the budget of repeats reaches.
    LastResort,
}

/// An endpoint of the chain, as the request would meet it.
#[derive(Clone, Debug)]
pub struct Candidate<'s> {
    /// Which.
    pub endpoint: &'s Arc<Endpoint>,
    /// Whether and when it is asked.
    pub place: Place,
}

/// Whether and when an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// It is asked, if those with an earlier turn fail.
    Asked {
        /// From 1; endpoints of one turn share.
        turn: u32,
        /// Its chance to be the first of its turn, 0 to 1; `None` where the state of the moment decides.
        share: Option<f64>,
        /// Why then.
        because: Because,
    },
    /// It cannot take the request.
    Blocked(Blocked),
    /// Requests stay in the active profile, and it is in another one.
    Confined,
}

/// The endpoints of `snapshot`: first those that are asked, in their order, then the others, in that of the chain.
pub fn explain<'s>(snapshot: &'s Snapshot, request: &Request<'_>, now: Moment) -> Vec<Candidate<'s>> {
    let confined = !snapshot.config.failover.auto_failover;
    let places = order(snapshot.active, snapshot.chain.len(), confined);
    let profiles: Vec<&Arc<Profile>> = places.filter_map(|at| snapshot.chain.get(at)).collect();
    let mut turns = Turns { request, now, turn: 0, asked: Vec::new() };
    if let Some(sticky) = request.sticky.as_ref().filter(|_| snapshot.several_groups) {
        for profile in &profiles {
            turns.profile(profile, Some(&sticky.group));
        }
    }
    for profile in &profiles {
        turns.profile(profile, None);
    }
    let reachable = || profiles.iter().flat_map(|profile| &profile.endpoints);
    turns.left(reachable().filter(|endpoint| turns.is_avoided(endpoint)).collect(), Because::Avoided);
    if turns.asked.is_empty() {
        turns.left(last_resort(reachable(), &request.ask, now).into_iter().collect(), Because::LastResort);
    }
    let mut candidates = turns.asked;
    let others = snapshot.endpoints().filter(|endpoint| !is_among(&candidates, endpoint));
    let others: Vec<_> = others
        .map(|endpoint| {
            let within = profiles.iter().any(|profile| profile.name == endpoint.id.profile);
            let blocked = can_take(endpoint, &request.ask, now).err().filter(|_| within);
            Candidate { endpoint, place: blocked.map_or(Place::Confined, Place::Blocked) }
        })
        .collect();
    candidates.extend(others);
    candidates
}

fn is_among(candidates: &[Candidate<'_>], endpoint: &Arc<Endpoint>) -> bool {
    candidates.iter().any(|candidate| Arc::ptr_eq(candidate.endpoint, endpoint))
}

/// The turns given so far.
struct Turns<'s, 'r> {
    request: &'r Request<'r>,
    now: Moment,
    turn: u32,
    asked: Vec<Candidate<'s>>,
}

impl<'s> Turns<'s, '_> {
    /// Those of `profile` that can take it; only of the provider group, if one is given.
    fn profile(&mut self, profile: &'s Profile, group: Option<&str>) {
        let own = profile.endpoints.iter().filter(|endpoint| self.is_own(profile, endpoint)).collect();
        self.left(own, Because::Conversation);
        let because = if group.is_some() { Because::Group } else { Because::Strategy };
        let mut ordered: Vec<&Arc<Endpoint>> = profile.endpoints.iter().collect();
        let level = |endpoint: &&Arc<Endpoint>| (endpoint.priority, endpoint.weight == 0);
        ordered.sort_by_key(level);
        for members in ordered.chunk_by(|a, b| level(a) == level(b)) {
            let members = members
                .iter()
                .copied()
                .filter(|endpoint| group.is_none_or(|group| *endpoint.group == *group) && self.is_open(endpoint));
            self.level(members.collect(), profile.strategy, because);
        }
    }

    /// Endpoints that share by the strategy of their profile.
    fn level(&mut self, members: Vec<&'s Arc<Endpoint>>, strategy: Strategy, because: Because) {
        if strategy == Strategy::Priority {
            return self.left(members, because);
        }
        if members.is_empty() {
            return;
        }
        let (all, now) = (members.len() as f64, self.now);
        let total: f64 = members.iter().map(|endpoint| effective_weight(endpoint, now)).sum();
        self.turn += 1;
        let mut members: Vec<(Option<f64>, &Arc<Endpoint>)> = members
            .into_iter()
            .map(|endpoint| {
                let share = match strategy {
                    Strategy::Weighted | Strategy::Random => Some(effective_weight(endpoint, now) / total),
                    Strategy::RoundRobin => Some(1.0 / all),
                    _ => (all < 2.0).then_some(1.0),
                };
                (share, endpoint)
            })
            .collect();
        members.sort_by(|(a, _), (b, _)| b.unwrap_or_default().total_cmp(&a.unwrap_or_default()));
        let turn = self.turn;
        let candidates = members
            .into_iter()
            .map(|(share, endpoint)| Candidate { endpoint, place: Place::Asked { turn, share, because } });
        self.asked.extend(candidates);
    }

    /// Each in a turn of its own.
    fn left(&mut self, endpoints: Vec<&'s Arc<Endpoint>>, because: Because) {
        for endpoint in endpoints {
            self.turn += 1;
            let place = Place::Asked { turn: self.turn, share: Some(1.0), because };
            self.asked.push(Candidate { endpoint, place });
        }
    }

    /// Whether it can take the request, and has no turn yet.
    fn is_open(&self, endpoint: &Arc<Endpoint>) -> bool {
        let free = can_take(endpoint, &self.request.ask, self.now).is_ok();
        free && self.request.avoided.as_ref() != Some(&endpoint.id) && !is_among(&self.asked, endpoint)
    }

    fn is_avoided(&self, endpoint: &Arc<Endpoint>) -> bool {
        let avoided = self.request.avoided.as_ref() == Some(&endpoint.id);
        avoided && can_take(endpoint, &self.request.ask, self.now).is_ok()
    }

    /// Whether the conversation stays there.
    fn is_own(&self, profile: &Profile, endpoint: &Arc<Endpoint>) -> bool {
        let sticky = self.request.sticky.as_ref().zip(profile.affinity);
        let own = sticky.and_then(|(sticky, ttl)| sticky.endpoint_within(ttl, self.now));
        own == Some(&endpoint.id) && self.is_open(endpoint)
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
