//! Whom a request asks next: the conversation's own endpoint, the profile's strategy, the chain, and what is left when
//! everything is out.
//!
//! Invariants:
//! - every endpoint that admits is asked at most once per request;
//! - an endpoint that failed the request is repeated once per request, and each ejected one that the request has not asked
//!   is its last resort once; both only as far as the budget reaches;
//! - the endpoint that just broke this conversation's stream comes after all others.

use std::sync::Arc;

use smallvec::SmallVec;

use super::retry::Budget;
use crate::failover::chain::order;
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::affinity::Sticky;
use crate::upstream::attempt::Ticket;
use crate::upstream::balance::{Picker, Tried};
use crate::upstream::eligible::{Ask, last_resort};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::profile::Profile;

/// Where one request goes.
#[derive(Debug)]
pub struct Plan {
    /// Profiles in the order they are asked.
    profiles: SmallVec<[Arc<Profile>; 4]>,
    tried: Tried,
    sticky: Option<Sticky>,
    /// Provider group to be asked first, where there are several.
    group: Option<Arc<str>>,
    avoided: Option<Arc<Endpoint>>,
    /// Endpoints that failed this request and may be asked again.
    failed: SmallVec<[Arc<Endpoint>; 4]>,
    beyond: Beyond,
    reserved: Option<Ticket>,
}

/// What is left when every endpoint that admits was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    /// One that failed the request once more, then the last resorts.
    Repeat,
    /// Those that are ejected and were not asked.
    LastResort,
    /// Nothing.
    Nothing,
}

/// The next endpoint, and how it came to it.
#[derive(Debug)]
pub enum Step {
    /// It admits: ask now.
    Ask(Ticket),
    /// It failed this request before: ask after a pause.
    Repeat(Ticket),
}

impl Plan {
    /// For a request of a conversation that was last served by `sticky` and just broken by `avoided`. A confined request
    /// stays in the active profile. A trial asks the profile at that place of the chain first, whatever the conversation.
    pub fn new(
        snapshot: &Snapshot,
        sticky: Option<Sticky>,
        avoided: Option<&EndpointId>,
        confined: bool,
        trial: Option<usize>,
    ) -> Self {
        let sticky = sticky.filter(|_| trial.is_none());
        let order = order(snapshot.active, snapshot.chain.len(), confined).filter(|at| Some(*at) != trial);
        let places = trial.into_iter().chain(order);
        let profiles: SmallVec<[Arc<Profile>; 4]> =
            places.filter_map(|at| snapshot.chain.get(at)).map(Arc::clone).collect();
        let avoided = avoided.and_then(|id| find(&profiles, id));
        let mut tried = Tried::new();
        if let Some(avoided) = &avoided {
            tried.insert(avoided);
        }
        let group = sticky.as_ref().filter(|_| snapshot.several_groups).map(|sticky| Arc::clone(&sticky.group));
        Self {
            profiles,
            tried,
            sticky,
            group,
            avoided,
            failed: SmallVec::new(),
            beyond: Beyond::Repeat,
            reserved: None,
        }
    }

    /// The same plan for a request that waited: endpoints that are `worn`, having failed it without a change since, are
    /// asked as a second chance only.
    #[must_use]
    pub fn without(mut self, worn: impl Fn(&Endpoint) -> bool) -> Self {
        self.failed = self.endpoints().filter(|endpoint| worn(endpoint)).cloned().collect();
        for endpoint in &self.failed {
            self.tried.insert(endpoint);
        }
        // Second chances are given one at a time, by `second_chance`.
        self.beyond = Beyond::Nothing;
        self
    }

    /// The same plan for a request without a client: endpoints that are `barred` are not asked, and nobody twice.
    #[must_use]
    pub fn barring(mut self, barred: impl Fn(&Endpoint) -> bool) -> Self {
        for endpoint in self.profiles.iter().flat_map(|profile| &profile.endpoints).filter(|endpoint| barred(endpoint))
        {
            self.tried.insert(endpoint);
        }
        self.beyond = Beyond::Nothing;
        self
    }

    /// An endpoint that admits and was not asked yet.
    pub fn first_chance(&mut self, picker: &mut Picker, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        self.admitting(picker, ask, now)
    }

    /// An endpoint that failed the request before, or is ejected, as far as the budget reaches. Whoever waits may ask one
    /// again that was ejected when it failed: the longest untested one comes first.
    pub fn second_chance(&mut self, ask: &Ask<'_>, budget: &Budget, share: f64, now: Moment) -> Option<Ticket> {
        let repeat = self.repeat(ask, budget, share, now);
        repeat.or_else(|| {
            self.last_resort(
                |plan, endpoint| plan.is_left(endpoint) || plan.has_failed(endpoint),
                ask,
                budget,
                share,
                now,
            )
        })
    }

    /// The endpoint to ask next; `None` when nobody is left.
    pub fn next(
        &mut self,
        picker: &mut Picker,
        ask: &Ask<'_>,
        budget: &Budget,
        share: f64,
        now: Moment,
    ) -> Option<Step> {
        if let Some(ticket) = self.reserved.take().or_else(|| self.admitting(picker, ask, now)) {
            return Some(Step::Ask(ticket));
        }
        if self.beyond == Beyond::Repeat {
            self.beyond = Beyond::LastResort;
            if let Some(ticket) = self.repeat(ask, budget, share, now) {
                return Some(Step::Repeat(ticket));
            }
        }
        let may = self.beyond == Beyond::LastResort;
        may.then(|| self.last_resort(Self::is_left, ask, budget, share, now)).flatten().map(Step::Ask)
    }

    /// Remembers that `endpoint` failed the request in a way that may pass.
    pub fn may_repeat(&mut self, endpoint: &Arc<Endpoint>) {
        self.failed.push(Arc::clone(endpoint));
    }

    /// Makes the endpoint with this id the next one, if it takes the request and was not asked yet. Says whether it is.
    pub fn reserve(&mut self, id: &EndpointId, ask: &Ask<'_>, now: Moment) -> bool {
        let endpoint = find(&self.profiles, id).filter(|endpoint| !self.tried.contains(endpoint));
        self.reserved = endpoint.and_then(|endpoint| self.begin(&endpoint, ask, now));
        self.reserved.is_some()
    }

    /// Whether `endpoint` was asked, or is left for last because it just broke this conversation.
    pub fn has_asked(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.tried.contains(endpoint)
    }

    /// Every endpoint the request may use.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.profiles.iter().flat_map(|profile| &profile.endpoints)
    }

    fn admitting(&mut self, picker: &mut Picker, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        let own_group = self.group.take().and_then(|group| {
            let ticket = self.of_group(&group, picker, ask, now);
            // As long as its group answers, the conversation asks it first again.
            self.group = ticket.is_some().then_some(group);
            ticket
        });
        own_group.or_else(|| self.of_chain(picker, ask, now)).or_else(|| self.avoided(ask, now))
    }

    fn of_chain(&mut self, picker: &mut Picker, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        (0..self.profiles.len()).find_map(|at| {
            let profile = Arc::clone(&self.profiles[at]);
            self.stuck_to(&profile, ask, now).or_else(|| self.picked(&profile, picker, ask, now))
        })
    }

    fn picked(&mut self, profile: &Arc<Profile>, picker: &mut Picker, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        loop {
            let endpoint = Arc::clone(&profile.endpoints[picker.pick(profile, ask, &self.tried, now)?]);
            // Between the pick and here another worker may have taken the last place; then the next one is picked.
            if let Some(ticket) = self.begin(&endpoint, ask, now) {
                return Some(ticket);
            }
        }
    }

    fn of_group(&mut self, group: &str, picker: &mut Picker, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        (0..self.profiles.len()).find_map(|at| {
            let profile = Arc::clone(&self.profiles[at]);
            let stuck = self.stuck_to(&profile, ask, now);
            stuck.or_else(|| self.picked_of_group(&profile, group, picker, ask, now))
        })
    }

    fn picked_of_group(
        &mut self,
        profile: &Arc<Profile>,
        group: &str,
        picker: &mut Picker,
        ask: &Ask<'_>,
        now: Moment,
    ) -> Option<Ticket> {
        loop {
            let endpoint = Arc::clone(&profile.endpoints[picker.pick_of_group(profile, group, ask, &self.tried, now)?]);
            if let Some(ticket) = self.begin(&endpoint, ask, now) {
                return Some(ticket);
            }
        }
    }

    /// The endpoint this conversation used within the profile's time.
    fn stuck_to(&mut self, profile: &Profile, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        let id = self.sticky.as_ref()?.endpoint_within(profile.affinity?, now)?;
        let endpoint = profile.endpoints.iter().find(|endpoint| endpoint.id == *id).cloned()?;
        if self.tried.contains(&endpoint) || super::eligible(&endpoint, ask, now).is_err() {
            return None;
        }
        self.begin(&endpoint, ask, now)
    }

    fn avoided(&mut self, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        super::eligible(self.avoided.as_ref()?, ask, now).ok()?;
        self.avoided.take()?.begin(ask, now)
    }

    fn repeat(&self, ask: &Ask<'_>, budget: &Budget, share: f64, now: Moment) -> Option<Ticket> {
        let endpoint = self.failed.iter().find(|endpoint| super::eligible(endpoint, ask, now).is_ok())?;
        budget.grant(share, now).then(|| endpoint.begin(ask, now)).flatten()
    }

    fn last_resort(
        &mut self,
        may: impl Fn(&Self, &Arc<Endpoint>) -> bool,
        ask: &Ask<'_>,
        budget: &Budget,
        share: f64,
        now: Moment,
    ) -> Option<Ticket> {
        let left = self.endpoints().filter(|endpoint| may(self, endpoint));
        let endpoint = Arc::clone(last_resort(left, ask, now)?);
        let ticket = budget.grant(share, now).then(|| endpoint.begin_last_resort(ask, now)).flatten()?;
        self.avoided.take_if(|avoided| Arc::ptr_eq(avoided, &endpoint));
        self.tried.insert(&endpoint);
        Some(ticket)
    }

    /// Whether the request has not asked `endpoint`: what has just failed it is no resort, another that is ejected may have
    /// come back.
    fn is_left(&self, endpoint: &Arc<Endpoint>) -> bool {
        !self.tried.contains(endpoint) || self.avoided.as_ref().is_some_and(|avoided| Arc::ptr_eq(avoided, endpoint))
    }

    fn has_failed(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.failed.iter().any(|failed| Arc::ptr_eq(failed, endpoint))
    }

    fn begin(&mut self, endpoint: &Arc<Endpoint>, ask: &Ask<'_>, now: Moment) -> Option<Ticket> {
        self.tried.insert(endpoint);
        endpoint.begin(ask, now)
    }
}

fn find(profiles: &[Arc<Profile>], id: &EndpointId) -> Option<Arc<Endpoint>> {
    let profile = profiles.iter().find(|profile| profile.name == id.profile)?;
    profile.endpoints.iter().find(|endpoint| endpoint.id == *id).cloned()
}
