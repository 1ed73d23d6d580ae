//! Picks the endpoint of a profile that takes the next request, by the profile's strategy.
//!
//! One [`Picker`] per worker: it is not shared, so it needs no lock; each starts anywhere in its round, so that workers
//! do not all begin with the same endpoint.
//!
//! Invariants:
//! - a picked endpoint could take the request when it was picked;
//! - priorities come first: a better one is used up before the next, and within one the stand-bys (weight 0) come last;
//! - what is remembered about a profile ends with the snapshot it belongs to.

use std::sync::{Arc, Weak};

use fastrand::Rng;
use foldhash::{HashMap, HashMapExt as _};
use smallvec::SmallVec;

use super::breaker::Standing;
use super::eligible::{Ask, can_take};
use super::endpoint::Endpoint;
use super::profile::Profile;
use super::weight::{Fit, Lane, Members, Pace, effective_weight};
use crate::config::model::Strategy;
use crate::time::Moment;

/// Picks endpoints for one worker.
#[derive(Debug)]
pub struct Picker {
    random: Rng,
    /// By the address of the profile; the weak reference keeps the address from being used again.
    plans: HashMap<usize, Plan>,
    examined: u64,
}

/// The order of one profile.
#[derive(Debug)]
struct Plan {
    profile: Weak<Profile>,
    lanes: Vec<Lane>,
}

/// The endpoints a request has been sent to.
#[derive(Clone, Debug, Default)]
pub struct Tried(SmallVec<[usize; 8]>);

impl Picker {
    /// A picker that starts somewhere `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), plans: HashMap::new(), examined: 0 }
    }

    /// The endpoint of `profile`, by its place in it, that takes the next such request and is not among `tried`; `None`
    /// if none can now.
    pub fn pick(&mut self, profile: &Arc<Profile>, ask: &Ask<'_>, tried: &Tried, now: Moment) -> Option<usize> {
        self.pick_among(profile, None, ask, tried, now)
    }

    /// As [`Picker::pick`], among the endpoints of the provider group `group` only. The others keep their turns.
    pub fn pick_of_group(
        &mut self,
        profile: &Arc<Profile>,
        group: &str,
        ask: &Ask<'_>,
        tried: &Tried,
        now: Moment,
    ) -> Option<usize> {
        self.pick_among(profile, Some(group), ask, tried, now)
    }

    fn pick_among(
        &mut self,
        profile: &Arc<Profile>,
        group: Option<&str>,
        ask: &Ask<'_>,
        tried: &Tried,
        now: Moment,
    ) -> Option<usize> {
        let Self { random, plans, examined } = self;
        let mut of = Candidates { profile, group, ask, tried, now, examined };
        let plan = plan(plans, &mut of, random);
        let found = plan.next(&mut of, random, now);
        found.or_else(|| plan.next_of_all(&mut of, random, now))
    }

    /// How many times an endpoint has been looked at: the cost of all picks so far.
    pub fn examined(&self) -> u64 {
        self.examined
    }
}

/// The plan of the profile, made anew if the profile is.
fn plan<'a>(plans: &'a mut HashMap<usize, Plan>, of: &mut Candidates<'_>, random: &mut Rng) -> &'a mut Plan {
    let address = Arc::as_ptr(of.profile).addr();
    if !plans.contains_key(&address) {
        plans.retain(|_, plan| plan.profile.strong_count() > 0);
        plans.insert(address, Plan::new(of, random));
    }
    plans.get_mut(&address).expect("it was inserted if it was missing")
}

impl Plan {
    fn new(of: &Candidates<'_>, random: &mut Rng) -> Self {
        let endpoints = &of.profile.endpoints;
        let mut order: Vec<usize> = (0..endpoints.len()).collect();
        let level = |index: &usize| (endpoints[*index].priority, endpoints[*index].weight == 0);
        order.sort_by_key(level);
        let levels = order.chunk_by(|a, b| level(a) == level(b));
        let lanes = levels.map(|members| Lane::new(pace(of.profile.strategy), members, of, random)).collect();
        Self { profile: Arc::downgrade(of.profile), lanes }
    }

    fn next(&mut self, of: &mut Candidates<'_>, random: &mut Rng, now: Moment) -> Option<usize> {
        self.lanes.iter_mut().find_map(|lane| lane.next(of, random, now))
    }

    /// As `next`, but looks at everyone: who came back early may have been parked still.
    fn next_of_all(&mut self, of: &mut Candidates<'_>, random: &mut Rng, now: Moment) -> Option<usize> {
        self.lanes
            .iter_mut()
            .find_map(|lane| if lane.review_all(of, random) { lane.next(of, random, now) } else { None })
    }
}

const fn pace(strategy: Strategy) -> Pace {
    match strategy {
        Strategy::Weighted => Pace::Smooth,
        Strategy::RoundRobin => Pace::Equal,
        Strategy::Random => Pace::Random,
        Strategy::LeastRequests | Strategy::Latency => Pace::TwoChoices,
        Strategy::Priority => Pace::Fixed,
    }
}

/// A profile as one request sees it.
struct Candidates<'a> {
    profile: &'a Arc<Profile>,
    /// The provider group that is asked for, if not any.
    group: Option<&'a str>,
    ask: &'a Ask<'a>,
    tried: &'a Tried,
    now: Moment,
    examined: &'a mut u64,
}

impl Members for Candidates<'_> {
    fn fit(&mut self, index: usize) -> Fit {
        *self.examined += 1;
        let endpoint = &self.profile.endpoints[index];
        match can_take(endpoint, self.ask, self.now) {
            Err(blocked) if blocked.why.is_general() => Fit::Park(blocked.until),
            Err(_) => Fit::Skip,
            Ok(()) if self.tried.contains(endpoint) => Fit::Skip,
            Ok(()) if self.group.is_some_and(|group| *endpoint.group != *group) => Fit::Skip,
            Ok(()) if endpoint.state.standing(self.now) == Standing::Admitting => Fit::Yes,
            Ok(()) => Fit::Trial,
        }
    }

    fn weight(&self, index: usize) -> f64 {
        effective_weight(&self.profile.endpoints[index], self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let state = &self.profile.endpoints[index].state;
        let ahead = f64::from(state.in_flight()) + 1.0;
        let each = match self.profile.strategy {
            Strategy::Latency => state.expected_first_byte(self.now) as f64,
            _ => 1.0,
        };
        ahead * each / self.weight(index)
    }
}

impl Tried {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers `endpoint`, of the snapshot the request runs on.
    pub fn insert(&mut self, endpoint: &Arc<Endpoint>) {
        self.0.push(Arc::as_ptr(endpoint).addr());
    }

    /// Whether the request has been sent to `endpoint`.
    pub fn contains(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.0.contains(&Arc::as_ptr(endpoint).addr())
    }

    /// How many endpoints it has been sent to.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has not been sent anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
