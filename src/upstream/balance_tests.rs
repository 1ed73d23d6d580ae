//! Tests of selection: what each strategy promises, over endpoints that come and go.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::upstream::attempt::Ticket;
use crate::upstream::breaker::Policy;
use crate::upstream::fixture::{at, endpoint, profile};
use crate::upstream::outcome::{Outcome, RateLimit};

const ASK: Ask<'static> = Ask::model(Some("opus"));
const ALL: [Strategy; 6] = [
    Strategy::Weighted,
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::LeastRequests,
    Strategy::Latency,
    Strategy::Priority,
];

fn weighted(weights: &[u32]) -> Vec<Endpoint> {
    weights.iter().map(|weight| Endpoint { weight: *weight, ..endpoint("e") }).collect()
}

fn picks(picker: &mut Picker, profile: &Arc<Profile>, count: usize, seconds: u64) -> Vec<usize> {
    let pick = |_| picker.pick(profile, &ASK, &Tried::new(), at(seconds)).expect("some endpoint admits");
    (0..count).map(pick).collect()
}

/// Picks often enough for every parked endpoint of a small profile to have been looked at again.
fn picks_until_settled(picker: &mut Picker, profile: &Arc<Profile>, now: Moment) {
    for _ in 0..6 {
        picker.pick(profile, &ASK, &Tried::new(), now);
    }
}

fn shares(picked: &[usize], len: usize) -> Vec<usize> {
    (0..len).map(|index| picked.iter().filter(|picked| **picked == index).count()).collect()
}

fn begin(profile: &Profile, index: usize, seconds: u64) -> Ticket {
    profile.endpoints[index].begin(&ASK, at(seconds)).expect("it was picked")
}

fn fail(profile: &Profile, index: usize, seconds: u64) {
    let policy = Policy { threshold: 1, sole: false };
    begin(profile, index, seconds).finish(&Outcome::Local, "down", &ASK, at(seconds), policy, 0.5);
}

#[test]
fn weighted_shares_are_exact_and_evenly_spread() {
    let profile = profile(Strategy::Weighted, weighted(&[300, 100, 100]));
    for seed in 0..50 {
        let picked = picks(&mut Picker::new(seed), &profile, 1000, 0);
        let counts = shares(&picked, 3);
        assert!(counts[0].abs_diff(600) <= 1 && counts[1].abs_diff(200) <= 1, "{counts:?}");
        for part in picked.windows(10) {
            assert!(shares(part, 3)[0].abs_diff(6) <= 2, "{part:?}");
        }
    }
}

#[test]
fn random_shares_follow_the_weights_and_one_pick_says_nothing_about_the_next() {
    let profile = profile(Strategy::Random, weighted(&[300, 100, 100]));
    let picked = picks(&mut Picker::new(7), &profile, 100_000, 0);
    let counts = shares(&picked, 3);
    assert!(counts[0].abs_diff(60_000) < 800 && counts[1].abs_diff(20_000) < 700, "{counts:?}");
    let twice = picked.windows(2).filter(|pair| pair[0] == 0 && pair[1] == 0).count();
    assert!(twice.abs_diff(36_000) < 900, "{twice}");
}

#[test]
fn round_robin_takes_each_in_turn_whatever_the_weights() {
    let profile = profile(Strategy::RoundRobin, weighted(&[1, 500, 20, 3]));
    let picked = picks(&mut Picker::new(3), &profile, 100, 0);
    assert!(picked.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 4), "{picked:?}");
}

#[test]
fn workers_start_at_different_places() {
    for strategy in [Strategy::Weighted, Strategy::RoundRobin, Strategy::Random] {
        let profile = profile(strategy, weighted(&[100; 10]));
        let first = |seed| picks(&mut Picker::new(seed), &profile, 1, 0)[0];
        let starts: std::collections::HashSet<_> = (0..40).map(first).collect();
        assert!(starts.len() > 5, "{strategy:?} {starts:?}");
    }
}

#[test]
fn least_requests_evens_out_what_is_in_flight_by_weight() {
    let profile = profile(Strategy::LeastRequests, weighted(&[100, 200]));
    let mut picker = Picker::new(1);
    let mut held = Vec::new();
    for _ in 0..90 {
        let index = picker.pick(&profile, &ASK, &Tried::new(), at(0)).expect("both admit");
        held.push(begin(&profile, index, 0));
    }
    let in_flight: Vec<_> = profile.endpoints.iter().map(|endpoint| endpoint.state.in_flight()).collect();
    assert!(in_flight[0].abs_diff(30) <= 1, "{in_flight:?}");
}

#[test]
fn latency_prefers_who_answers_sooner_and_fast_failures_do_not_attract() {
    let profile = profile(Strategy::Latency, weighted(&[100, 100]));
    for (index, millis) in [(0, 900), (1, 300)] {
        let mut ticket = begin(&profile, index, 0);
        ticket.first_byte(Moment(millis));
        ticket.finish(&Outcome::Success, "", &ASK, Moment(millis), Policy { threshold: 9, sole: false }, 0.5);
    }
    assert_eq!(shares(&picks(&mut Picker::new(1), &profile, 20, 1), 2), [0, 20]);
    let limit = Outcome::Rate(RateLimit { wait: Some(Duration::from_secs(1)), whole_key: false });
    begin(&profile, 1, 1).finish(&limit, "", &ASK, at(1), Policy { threshold: 9, sole: false }, 0.5);
    assert_eq!(shares(&picks(&mut Picker::new(1), &profile, 20, 2), 2), [20, 0]);
}

#[test]
fn priority_is_a_strict_order() {
    let priorities = [2, 1, 1].map(|priority| Endpoint { priority, ..endpoint("e") });
    let profile = profile(Strategy::Priority, priorities);
    let mut picker = Picker::new(1);
    assert_eq!(picks(&mut picker, &profile, 3, 0), [1, 1, 1]);
    fail(&profile, 1, 0);
    assert_eq!(picks(&mut picker, &profile, 3, 0), [2, 2, 2]);
    fail(&profile, 2, 1);
    assert_eq!(picks(&mut picker, &profile, 3, 1), [0, 0, 0]);
    assert_eq!(picks(&mut picker, &profile, 3, 31), [1, 1, 1], "each comes back to its own place");
    let held = begin(&profile, 1, 31);
    assert_eq!(picks(&mut picker, &profile, 3, 31), [2, 2, 2]);
    drop(held);
    assert_eq!(picks(&mut picker, &profile, 3, 31), [1, 1, 1]);
}

#[test]
fn a_better_priority_is_used_up_before_the_next_whatever_the_strategy() {
    for strategy in ALL {
        let priorities = [1, 1, 2].map(|priority| Endpoint { priority, ..endpoint("e") });
        let profile = profile(strategy, priorities);
        let mut picker = Picker::new(5);
        assert_eq!(shares(&picks(&mut picker, &profile, 50, 0), 3)[2], 0, "{strategy:?}");
        fail(&profile, 0, 0);
        fail(&profile, 1, 1);
        assert_eq!(picks(&mut picker, &profile, 5, 1), [2; 5], "{strategy:?}");
        assert_eq!(picks(&mut picker, &profile, 1, 30), [0], "{strategy:?} tries who may come back");
        profile.endpoints[1].state.reset(at(2));
        assert!(picks(&mut picker, &profile, 5, 2).iter().all(|index| *index == 1), "{strategy:?}");
    }
}

#[test]
fn a_stand_by_is_used_only_when_nothing_else_of_its_priority_admits() {
    for strategy in ALL {
        let mut endpoints = weighted(&[0, 100, 100]);
        endpoints[2].priority = 2;
        let profile = profile(strategy, endpoints);
        let mut picker = Picker::new(5);
        assert_eq!(picks(&mut picker, &profile, 20, 0), [1; 20], "{strategy:?}");
        fail(&profile, 1, 0);
        assert_eq!(picks(&mut picker, &profile, 20, 0), [0; 20], "{strategy:?}");
    }
}

#[test]
fn an_endpoint_at_its_limit_is_passed_over_and_comes_back() {
    for strategy in ALL {
        let profile = profile(strategy, [Endpoint { max_in_flight: Some(1), ..endpoint("a") }, endpoint("b")]);
        let mut picker = Picker::new(5);
        let held = begin(&profile, 0, 0);
        assert_eq!(picks(&mut picker, &profile, 20, 0), [1; 20], "{strategy:?}");
        drop(held);
        let _busy: Vec<_> = (0..3).map(|_| begin(&profile, 1, 0)).collect();
        assert!(picks(&mut picker, &profile, 20, 0).contains(&0), "{strategy:?}");
    }
}

#[test]
fn what_was_tried_is_not_picked_again_and_loses_no_turn() {
    for strategy in ALL {
        let profile = profile(strategy, weighted(&[100, 100, 100]));
        let mut picker = Picker::new(9);
        let mut tried = Tried::new();
        for _ in 0..3 {
            let index = picker.pick(&profile, &ASK, &tried, at(0)).expect("one is left");
            assert!(!tried.contains(&profile.endpoints[index]), "{strategy:?}");
            tried.insert(&profile.endpoints[index]);
        }
        assert_eq!((picker.pick(&profile, &ASK, &tried, at(0)), tried.len()), (None, 3));
        assert!(picker.pick(&profile, &ASK, &Tried::new(), at(0)).is_some());
    }
}

#[test]
fn a_group_can_be_asked_for_and_the_others_keep_their_turns() {
    for strategy in ALL {
        let groups = ["a", "b", "b", "a"].map(|group| Endpoint { group: group.into(), ..endpoint("e") });
        let profile = profile(strategy, groups);
        let mut picker = Picker::new(9);
        let mut pick = |group| picker.pick_of_group(&profile, group, &ASK, &Tried::new(), at(0));
        assert!((0..20).all(|_| matches!(pick("b"), Some(1 | 2))), "{strategy:?}");
        assert!((0..20).all(|_| matches!(pick("a"), Some(0 | 3))), "{strategy:?}");
        assert_eq!(pick("c"), None, "{strategy:?}");
        if strategy == Strategy::Weighted {
            let counts = shares(&picks(&mut picker, &profile, 100, 0), 4);
            assert!(counts.iter().all(|count| count.abs_diff(25) <= 1), "{counts:?}");
        }
    }
}

#[test]
fn a_blocked_model_concerns_only_those_who_ask_for_it() {
    for strategy in ALL {
        let profile = profile(strategy, weighted(&[100, 100]));
        let mut picker = Picker::new(9);
        profile.endpoints[0].state.block_model("opus", at(0));
        assert_eq!(picks(&mut picker, &profile, 20, 1), [1; 20], "{strategy:?}");
        let haiku = Ask::model(Some("haiku"));
        let mut other = (0..20).filter_map(|_| picker.pick(&profile, &haiku, &Tried::new(), at(1)));
        assert!(other.any(|index| index == 0), "{strategy:?}");
    }
}

#[test]
fn one_that_comes_back_gets_its_ramped_share_and_no_burst() {
    let profile = profile(Strategy::Weighted, weighted(&[100, 100]));
    let mut picker = Picker::new(2);
    fail(&profile, 0, 0);
    assert_eq!(picks(&mut picker, &profile, 500, 1), [1; 500]);
    assert_eq!(picks(&mut picker, &profile, 1, 30), [0], "the trial is asked next");
    for _ in 0..2 {
        begin(&profile, 0, 30).finish(&Outcome::Success, "", &ASK, at(30), Policy { threshold: 3, sole: false }, 0.5);
    }
    let early = shares(&picks(&mut picker, &profile, 1000, 30), 2)[0];
    assert!((80..=102).contains(&early), "a tenth of its weight beside a whole one: {early}");
    picks(&mut picker, &profile, 30, 200);
    let late = shares(&picks(&mut picker, &profile, 1000, 200), 2)[0];
    assert!(late.abs_diff(500) <= 2, "{late}");
}

#[test]
fn one_that_was_passed_over_or_away_does_not_catch_up() {
    for strategy in [Strategy::Weighted, Strategy::RoundRobin, Strategy::Random] {
        let profile = profile(strategy, weighted(&[100, 100]));
        let mut picker = Picker::new(2);
        let first = &profile.endpoints[0];
        first.state.block_model("opus", at(0));
        assert_eq!(picks(&mut picker, &profile, 500, 1), [1; 500], "{strategy:?}");
        let passed_over = shares(&picks(&mut picker, &profile, 40, 600), 2)[0];
        first.key.rest(first.scope(&ASK), RateLimit { wait: Some(Duration::from_mins(1)), whole_key: true }, at(600));
        assert_eq!(picks(&mut picker, &profile, 500, 601), [1; 500], "{strategy:?}");
        let away = shares(&picks(&mut picker, &profile, 40, 660), 2)[0];
        for share in [passed_over, away] {
            assert!(share.abs_diff(20) <= if strategy == Strategy::Random { 12 } else { 1 }, "{strategy:?} {share}");
        }
    }
}

#[test]
fn a_random_pick_does_not_make_up_for_a_request_that_went_elsewhere() {
    let profile = profile(Strategy::Random, weighted(&[100, 100]));
    let (mut picker, mut tried) = (Picker::new(2), Tried::new());
    tried.insert(&profile.endpoints[0]);
    let after = (0..2000).map(|_| {
        picker.pick(&profile, &ASK, &tried, at(0));
        picks(&mut picker, &profile, 1, 0)[0]
    });
    let first = after.filter(|index| *index == 0).count();
    assert!(first.abs_diff(1000) < 120, "{first}");
}

#[test]
fn a_pick_costs_as_much_among_ten_thousand_as_among_two() {
    let cost = |strategy, len: usize, down: usize| {
        let profile = profile(strategy, weighted(&vec![100; len]));
        (0..down).for_each(|index| fail(&profile, index, 0));
        let mut picker = Picker::new(4);
        picks(&mut picker, &profile, 1, 1);
        let before = picker.examined();
        picks(&mut picker, &profile, 1000, 1);
        (picker.examined() - before) / 1000
    };
    for strategy in ALL {
        assert!(cost(strategy, 2, 0) <= 2, "{strategy:?}");
        assert!(cost(strategy, 10_000, 0) <= 2, "{strategy:?}");
        // Those that are out are found out once each, then a few are looked at again with every pick.
        assert!(cost(strategy, 10_000, 9_000) <= 2 + 4 + 9, "{strategy:?}");
    }
}

#[test]
fn a_new_snapshot_is_a_new_plan_and_the_old_one_goes() {
    let mut picker = Picker::new(4);
    for weights in [[100, 0], [0, 100]].repeat(200) {
        let profile = profile(Strategy::Weighted, weighted(&weights));
        let expected = weights.iter().position(|weight| *weight > 0).expect("one has a weight");
        assert_eq!(picks(&mut picker, &profile, 1, 0), [expected]);
    }
    assert!(picker.plans.len() <= 2, "{}", picker.plans.len());
    assert_eq!(picker.pick(&profile(Strategy::Weighted, []), &ASK, &Tried::new(), at(0)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_pick_can_take_the_request_and_nobody_better_could(
        strategy in prop::sample::select(ALL.to_vec()),
        endpoints in prop::collection::vec((1_u32..3, 0_u32..3), 1..6),
        steps in prop::collection::vec((0_usize..6, 0_u64..20_000, 0_u8..6), 1..60),
        seed: u64,
    ) {
        let endpoints = endpoints.into_iter().map(|(priority, weight)| Endpoint { weight, priority, ..endpoint("e") });
        let profile = profile(strategy, endpoints);
        let (mut picker, mut now, mut held) = (Picker::new(seed), Moment(0), Vec::new());
        for (which, wait, what) in steps {
            now = Moment(now.0 + wait);
            let target = &profile.endpoints[which % profile.endpoints.len()];
            match what {
                0 => {
                    if let Some(ticket) = target.begin(&ASK, now) {
                        let policy = Policy { threshold: 1, sole: false };
                        ticket.finish(&Outcome::Local, "down", &ASK, now, policy, 0.5);
                    }
                }
                1 => held.extend(target.begin(&ASK, now)),
                2 => held.clear(),
                3 => drop(target.key.rest(target.scope(&ASK), RateLimit::default(), now)),
                _ => {}
            }
            let able = |index: &usize| can_take(&profile.endpoints[*index], &ASK, now).is_ok();
            let picked = picker.pick(&profile, &ASK, &Tried::new(), now);
            prop_assert_eq!(picked.is_some(), (0..profile.endpoints.len()).any(|index| able(&index)));
            prop_assert!(picked.iter().all(able));
            if what == 5 {
                // Everyone has been looked at again: a pick right after it knows all who are back.
                picks_until_settled(&mut picker, &profile, now);
                let level = |index: usize| (profile.endpoints[index].priority, profile.endpoints[index].weight == 0);
                let best = (0..profile.endpoints.len()).filter(able).map(level).min();
                let picked = picker.pick(&profile, &ASK, &Tried::new(), now);
                prop_assert_eq!(picked.map(level), best);
            }
        }
    }
}
