//! Whose turn it is among the endpoints of one priority.
//!
//! A [`Lane`] holds members in an order that gives each its share, and parks those that cannot take requests. Parked
//! members are looked at again when the first of them is due, and a few of them in turn at every pick, so a pick costs
//! about the same whether two endpoints are configured or ten thousand. Those that one request only must not use (it
//! tried them, or they lack its model) are passed over where they stand, at one look each.
//!
//! Invariants:
//! - a member is either live or parked, never both, never neither;
//! - the turn after a turn is counted from the lane's own time, so one that was away does not catch up in a burst.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;
use smallvec::SmallVec;

use super::endpoint::Endpoint;
use crate::time::Moment;

/// Parked members looked at in turn at every pick.
const REVIEWED: usize = 4;

/// What an endpoint's share is measured by: weight x health factor (0.1 to 1) x ramp.
pub fn effective_weight(endpoint: &Endpoint, now: Moment) -> f64 {
    let state = &endpoint.state;
    f64::from(endpoint.weight.max(1)) * f64::from(state.health()) * f64::from(state.ramp(now))
}

/// Whether a member can be picked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It can.
    Yes,
    /// It can and should: it waits for its trial.
    Trial,
    /// Not for this request.
    Skip,
    /// For no request, until then if that is known.
    Park(Option<Moment>),
}

/// What a lane asks about its members.
pub(super) trait Members {
    /// Whether the member can be picked.
    fn fit(&mut self, index: usize) -> Fit;
    /// Its effective weight, above zero.
    fn weight(&self, index: usize) -> f64;
    /// How loaded it is, relative to its weight.
    fn load(&self, index: usize) -> f64;
}

/// How turns follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Shares in proportion to the weight, as evenly spread as can be.
    Smooth,
    /// Each in turn, whatever the weight.
    Equal,
    /// At random, in proportion to the weight: turns come as exponential arrivals do.
    Random,
    /// Always the first.
    Fixed,
    /// Of two at random the less loaded.
    TwoChoices,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pace: Pace,
    timed: BinaryHeap<Reverse<Turn>>,
    pool: Vec<usize>,
    parked: VecDeque<Turn>,
    /// When the first parked member is due.
    wake: Option<Moment>,
    /// The lane's own time: that of the last turn.
    time: f64,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: f64,
    index: usize,
}

impl Lane {
    /// A lane of `members`, in their order, starting anywhere in its round.
    pub(super) fn new(pace: Pace, members: &[usize], of: &impl Members, random: &mut Rng) -> Self {
        let mut lane =
            Self { pace, timed: BinaryHeap::new(), pool: Vec::new(), parked: VecDeque::new(), wake: None, time: 0.0 };
        let offset = random.usize(..members.len().max(1));
        for (place, index) in members.iter().copied().enumerate() {
            let turned = (place + offset) % members.len();
            let at = match pace {
                Pace::Equal => turned as f64 / members.len() as f64,
                Pace::Smooth => random.f64() / of.weight(index),
                _ => lane.following(0.0, index, of, random),
            };
            lane.join(Turn { at, index });
        }
        lane
    }

    /// The next member that fits.
    pub(super) fn next(&mut self, of: &mut impl Members, random: &mut Rng, now: Moment) -> Option<usize> {
        self.review(of, random, now);
        match self.pace {
            Pace::TwoChoices => self.next_of_two(of, random),
            _ => self.next_in_time(of, random),
        }
    }

    /// Looks at all parked members again. Says whether any came back.
    pub(super) fn review_all(&mut self, of: &mut impl Members, random: &mut Rng) -> bool {
        let parked = self.parked.len();
        self.wake = None;
        self.review_some(parked, of, random);
        self.parked.len() < parked
    }

    fn review(&mut self, of: &mut impl Members, random: &mut Rng, now: Moment) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.review_all(of, random);
        } else {
            self.review_some(REVIEWED.min(self.parked.len()), of, random);
        }
    }

    fn review_some(&mut self, count: usize, of: &mut impl Members, random: &mut Rng) {
        for turn in self.parked.drain(..count).collect::<SmallVec<[Turn; REVIEWED]>>() {
            match of.fit(turn.index) {
                Fit::Park(until) => self.park(turn, until),
                fit => {
                    let at = self.belated(turn, fit, of, random);
                    self.join(Turn { at, ..turn });
                }
            }
        }
    }

    fn park(&mut self, turn: Turn, until: Option<Moment>) {
        self.parked.push_back(turn);
        self.wake = self.wake.into_iter().chain(until).min();
    }

    fn join(&mut self, turn: Turn) {
        match self.pace {
            Pace::TwoChoices => self.pool.push(turn.index),
            _ => self.timed.push(Reverse(turn)),
        }
    }

    fn next_in_time(&mut self, of: &mut impl Members, random: &mut Rng) -> Option<usize> {
        let mut skipped = SmallVec::<[Turn; 8]>::new();
        let mut found = None;
        while let Some(Reverse(turn)) = self.timed.pop() {
            match of.fit(turn.index) {
                Fit::Yes | Fit::Trial => {
                    found = Some(turn);
                    break;
                }
                Fit::Skip => skipped.push(turn),
                Fit::Park(until) => self.park(turn, until),
            }
        }
        if let Some(turn) = found {
            self.time = self.time.max(turn.at);
            let at = self.following(self.time, turn.index, of, random);
            self.join(Turn { at, ..turn });
        }
        for turn in skipped {
            let at = self.belated(turn, Fit::Skip, of, random);
            self.join(Turn { at, ..turn });
        }
        found.map(|turn| turn.index)
    }

    /// Draws without replacement until two fit; a trial wins at once.
    fn next_of_two(&mut self, of: &mut impl Members, random: &mut Rng) -> Option<usize> {
        let mut first = None;
        let mut drawn = 0;
        while drawn < self.pool.len() {
            let at = random.usize(drawn..self.pool.len());
            self.pool.swap(drawn, at);
            let index = self.pool[drawn];
            drawn += 1;
            match of.fit(index) {
                Fit::Trial => return Some(index),
                Fit::Yes => match first {
                    None => first = Some(index),
                    Some(other) => return Some(if of.load(index) < of.load(other) { index } else { other }),
                },
                Fit::Skip => {}
                Fit::Park(until) => {
                    drawn -= 1;
                    self.pool.swap_remove(drawn);
                    self.park(Turn { at: 0.0, index }, until);
                }
            }
        }
        first
    }

    /// When a member has its turn that could not take it, or was away.
    fn belated(&self, turn: Turn, fit: Fit, of: &impl Members, random: &mut Rng) -> f64 {
        match (self.pace, fit) {
            // One that waits for its trial is asked next.
            (Pace::Smooth | Pace::Equal | Pace::Random, Fit::Trial) => self.time,
            // Random turns know no past.
            (Pace::Random, _) => self.following(self.time, turn.index, of, random),
            _ => turn.at,
        }
    }

    /// When a member whose turn was at `at` has its next one.
    fn following(&self, at: f64, index: usize, of: &impl Members, random: &mut Rng) -> f64 {
        match self.pace {
            Pace::Smooth => at + 1.0 / of.weight(index),
            Pace::Random => at - (1.0 - random.f64()).ln() / of.weight(index),
            Pace::Equal => at + 1.0,
            Pace::Fixed | Pace::TwoChoices => index as f64,
        }
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}
