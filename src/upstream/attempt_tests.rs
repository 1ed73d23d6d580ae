//! Tests of a request's way through the shared state of its endpoint and key.

use super::*;
use std::time::Duration;

use crate::upstream::bell::Bell;
use crate::upstream::breaker::Standing;
use crate::upstream::eligible::{Blocked, Why, can_take, last_resort, soonest_return};
use crate::upstream::fixture::{at, endpoint};
use crate::upstream::state::EndpointState;

const ASK: Ask<'static> = Ask::model(Some("opus"));
const POLICY: Policy = Policy { threshold: 3, sole: false };

fn shared() -> Arc<Endpoint> {
    Arc::new(endpoint("a"))
}

fn end(endpoint: &Arc<Endpoint>, outcome: &Outcome, seconds: u64) -> Option<Change> {
    let ticket = endpoint.begin(&ASK, at(seconds)).expect("it takes requests");
    ticket.finish(outcome, "detail", &ASK, at(seconds), POLICY, 0.5)
}

fn eject(endpoint: &Arc<Endpoint>, seconds: u64) {
    for _ in 0..3 {
        end(endpoint, &Outcome::Local, seconds);
    }
    assert!(matches!(endpoint.state.standing(at(seconds)), Standing::Ejected { .. }));
}

fn why(endpoint: &Arc<Endpoint>, ask: &Ask<'_>, seconds: u64) -> Option<Why> {
    can_take(endpoint, ask, at(seconds)).err().map(|blocked| blocked.why)
}

#[test]
fn outcomes_that_say_nothing_about_the_endpoint_change_nothing() {
    let endpoint = shared();
    for outcome in [Outcome::Client, Outcome::Conflict, Outcome::Cancelled] {
        for _ in 0..50 {
            assert_eq!(end(&endpoint, &outcome, 0), None);
        }
    }
    let view = endpoint.state.snapshot(at(0));
    assert_eq!((view.standing, view.consecutive, view.counts.failed), (Standing::Admitting, 0, 0));
    assert_eq!((view.in_flight, view.last_minute), (0, (0, 0)));
}

#[test]
fn failures_eject_and_two_good_trials_admit_and_ramp() {
    let endpoint = shared();
    let failed = Outcome::FAILED;
    assert_eq!((end(&endpoint, &failed, 0), end(&endpoint, &Outcome::Local, 0)), (None, None));
    let reason = "3 failures in a row: detail".into();
    assert_eq!(end(&endpoint, &failed, 0), Some(Change::Ejected { until: at(30), reason }));
    assert_eq!(why(&endpoint, &ASK, 29), Some(Why::Ejected));
    assert_eq!(end(&endpoint, &Outcome::Success, 30), None);
    assert_eq!(end(&endpoint, &Outcome::Success, 31), Some(Change::Admitted));
    for (seconds, ramp) in [(31, 0.1), (61, 0.55), (91, 1.0), (500, 1.0)] {
        assert!((endpoint.state.ramp(at(seconds)) - ramp).abs() < 1e-6, "{seconds}");
    }
    let view = endpoint.state.snapshot(at(31));
    assert_eq!((view.counts.succeeded, view.counts.failed, view.last_change), (2, 3, Some(at(31))));
    assert_eq!(view.last_error.map(|(text, when)| (text.to_string(), when)), Some(("detail".to_owned(), at(0))));
}

#[test]
fn a_poor_rate_over_a_minute_ejects_though_no_failures_follow_each_other() {
    let endpoint = shared();
    let mut turns = Vec::new();
    for n in 0..40 {
        let outcome = if n % 3 == 0 { Outcome::Success } else { Outcome::Local };
        if matches!(endpoint.state.standing(at(n)), Standing::Admitting) {
            turns.extend(end(&endpoint, &outcome, n));
        }
    }
    let [Change::Ejected { reason, .. }] = &turns[..] else { panic!("{turns:?}") };
    assert!(reason.starts_with("less than half"), "{reason}");
}

#[test]
fn an_endpoint_that_mostly_succeeds_stays_however_much_it_is_asked() {
    let endpoint = shared();
    for n in 0..300 {
        let outcome = if n % 2 == 0 { Outcome::Success } else { Outcome::Local };
        assert_eq!(end(&endpoint, &outcome, n / 100), None, "{n}");
    }
}

#[test]
fn after_an_ejection_the_rate_is_counted_anew() {
    let (endpoint, policy) = (shared(), Policy { threshold: 100, sole: true });
    let end = |outcome, seconds| {
        let ticket = endpoint.begin(&ASK, at(seconds)).expect("it takes requests");
        ticket.finish(&outcome, "detail", &ASK, at(seconds), policy, 0.5)
    };
    let turns: Vec<_> = (0..20).filter_map(|_| end(Outcome::Local, 0)).collect();
    assert!(matches!(&turns[..], [Change::Ejected { until, .. }] if *until == at(5)), "{turns:?}");
    assert_eq!((end(Outcome::Success, 5), end(Outcome::Success, 5)), (None, Some(Change::Admitted)));
    assert_eq!(end(Outcome::Local, 6), None);
}

#[test]
fn a_dropped_ticket_is_a_cancelled_request_and_gives_its_trials_back() {
    let endpoint = shared();
    eject(&endpoint, 0);
    endpoint.key.mark_dead("revoked", at(0));
    let ticket = endpoint.begin(&ASK, at(300)).expect("the trials are free");
    assert_eq!((endpoint.state.in_flight(), why(&endpoint, &ASK, 300)), (1, Some(Why::DeadKey)));
    drop(ticket);
    assert_eq!((endpoint.state.in_flight(), why(&endpoint, &ASK, 300)), (0, None));
    assert_eq!(end(&endpoint, &Outcome::Success, 300), Some(Change::KeyRevived));
}

#[test]
fn a_429_rests_the_key_also_on_probation_and_ejects_nobody() {
    let endpoint = shared();
    eject(&endpoint, 0);
    let limit = RateLimit { wait: Some(Duration::from_secs(9)), whole_key: false };
    let rested = Change::Rested { until: at(39), model: Some("opus".to_owned()) };
    assert_eq!(end(&endpoint, &Outcome::Rate(limit), 30), Some(rested));
    assert_eq!(endpoint.state.standing(at(30)), Standing::Probation { free: true });
    assert_eq!(why(&endpoint, &ASK, 38), Some(Why::Rate { whole_key: false }));
    assert_eq!(why(&endpoint, &Ask::model(Some("haiku")), 38), None);
    assert_eq!(endpoint.state.snapshot(at(38)).ejections, 1);
}

#[test]
fn the_same_key_elsewhere_rests_too_and_another_key_goes_on() {
    let (one, other) = (shared(), shared());
    let twin = Arc::new(Endpoint { key: Arc::clone(&one.key), ..endpoint("twin") });
    end(&one, &Outcome::Rate(RateLimit::default()), 0);
    assert_eq!(why(&twin, &ASK, 1), Some(Why::Rate { whole_key: false }));
    assert_eq!(why(&other, &ASK, 1), None);
    assert_eq!(end(&other, &Outcome::Auth, 1), Some(Change::DeadKey { reason: "detail".to_owned() }));
    assert_eq!((why(&other, &ASK, 2), why(&one, &ASK, 5)), (Some(Why::DeadKey), None));
}

#[test]
fn a_clients_own_credential_is_the_clients_affair() {
    let endpoint = Arc::new(Endpoint { credential: Credential::Passthrough, ..endpoint("p") });
    let ask = |credential| Ask { credential: Some(credential), ..ASK };
    let begin = |credential| endpoint.begin(&ask(credential), at(0)).expect("it takes requests");
    assert_eq!(begin(1).finish(&Outcome::Auth, "detail", &ask(1), at(0), POLICY, 0.5), None);
    let limit = Outcome::Rate(RateLimit::default());
    assert!(begin(1).finish(&limit, "detail", &ask(1), at(0), POLICY, 0.5).is_some());
    assert_eq!((why(&endpoint, &ask(1), 1), why(&endpoint, &ask(2), 1)), (Some(Why::Rate { whole_key: false }), None));
}

#[test]
fn a_missing_model_is_out_for_ten_minutes_and_the_others_are_not() {
    let endpoint = shared();
    assert_eq!(end(&endpoint, &Outcome::Model, 0), Some(Change::ModelOut { model: "opus".to_owned(), until: at(600) }));
    assert_eq!((why(&endpoint, &ASK, 599), why(&endpoint, &ASK, 600)), (Some(Why::Model), None));
    assert_eq!((why(&endpoint, &Ask::model(Some("haiku")), 1), why(&endpoint, &Ask::default(), 1)), (None, None));
    assert_eq!((endpoint.state.reset(at(2)), why(&endpoint, &ASK, 2)), (false, None));
}

#[test]
fn a_limit_of_requests_in_flight_holds() {
    let endpoint = Arc::new(Endpoint { max_in_flight: Some(2), ..endpoint("b") });
    let held: Vec<_> = (0..2).map(|_| endpoint.begin(&ASK, at(0)).expect("there is room")).collect();
    assert!(endpoint.begin(&ASK, at(0)).is_none());
    assert_eq!((why(&endpoint, &ASK, 0), endpoint.state.in_flight()), (Some(Why::Busy), 2));
    drop(held);
    assert_eq!(why(&endpoint, &ASK, 0), None);
}

#[tokio::test(start_paused = true)]
async fn who_found_an_endpoint_full_is_told_of_the_next_free_place() {
    let bell = Bell::default();
    let state = EndpointState::with_bell(bell.clone());
    let endpoint = Arc::new(Endpoint { max_in_flight: Some(1), state, ..endpoint("b") });
    let rings = async || tokio::time::timeout(Duration::from_millis(1), bell.rung()).await.is_ok();
    bell.want(true);
    drop(endpoint.begin(&ASK, at(0)));
    assert!(!rings().await, "nobody was turned away");
    for outcome in [Outcome::Success, Outcome::FAILED, Outcome::Client] {
        let ticket = endpoint.begin(&ASK, at(0)).expect("there is room");
        assert_eq!(why(&endpoint, &ASK, 0), Some(Why::Busy));
        ticket.finish(&outcome, "", &ASK, at(0), POLICY, 0.5);
        assert!(rings().await, "{outcome:?}");
        assert!(!rings().await, "once");
    }
}

#[test]
fn the_success_of_a_healthy_endpoint_takes_no_lock() {
    let endpoint = shared();
    end(&endpoint, &Outcome::Local, 0);
    end(&endpoint, &Outcome::Success, 0);
    let _held = endpoint.state.lock_for_test();
    let mut ticket = endpoint.begin(&ASK, at(1)).expect("the lock is held elsewhere, and not needed");
    ticket.first_byte(at(2));
    assert_eq!(can_take(&endpoint, &ASK, at(2)), Ok(()));
    assert_eq!(ticket.finish(&Outcome::Success, "", &ASK, at(2), POLICY, 0.5), None);
}

#[test]
fn workers_that_fail_at_once_eject_once_and_share_one_trial() {
    let endpoint = shared();
    let changes = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let tickets: Vec<_> = (0..20).filter_map(|_| endpoint.begin(&ASK, at(0))).collect();
                for ticket in tickets {
                    let change = ticket.finish(&Outcome::Local, "detail", &ASK, at(0), POLICY, 0.5);
                    changes.lock().expect("no thread panics").extend(change);
                }
            });
        }
    });
    assert_eq!(changes.into_inner().expect("no thread panics").len(), 1);
    let trials = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| trials.lock().expect("no thread panics").extend(endpoint.begin(&ASK, at(30))));
        }
    });
    let trials = trials.into_inner().expect("no thread panics");
    assert_eq!((trials.len(), endpoint.state.in_flight()), (1, 1));
    drop(trials);
    assert_eq!(endpoint.state.in_flight(), 0);
}

#[test]
fn the_last_resort_is_the_merely_ejected_endpoint_that_returns_soonest() {
    let [late, soon, resting, dead] = [(); 4].map(|()| shared());
    let keyless = Arc::new(Endpoint { credential: Credential::Missing("KEY is not set".to_owned()), ..endpoint("k") });
    eject(&late, 5);
    eject(&soon, 3);
    eject(&resting, 0);
    resting.key.rest(resting.scope(&ASK), RateLimit { wait: None, whole_key: true }, at(25));
    dead.key.mark_dead("revoked", at(5));
    let all = [&keyless, &late, &soon, &resting, &dead];
    let chosen = last_resort(all, &ASK, at(6)).expect("two are merely ejected");
    assert!(Arc::ptr_eq(chosen, &soon));
    let ticket = chosen.begin_last_resort(&ASK, at(6)).expect("it is free");
    assert!(last_resort(all, &ASK, at(6)).is_some_and(|next| Arc::ptr_eq(next, &late)));
    assert!(chosen.begin_last_resort(&ASK, at(6)).is_none());
    assert_eq!(ticket.finish(&Outcome::Success, "", &ASK, at(7), POLICY, 0.5), None);
    assert_eq!(chosen.state.standing(at(7)), Standing::Probation { free: true });
    assert!(last_resort([&keyless, &dead], &ASK, at(6)).is_none());
}

#[test]
fn last_resorts_go_round_among_those_whose_tests_fail() {
    let [late, soon] = [(); 2].map(|()| shared());
    eject(&late, 5);
    eject(&soon, 3);
    let all = [&late, &soon];
    for (second, expected) in [(6, &soon), (7, &late), (8, &soon), (9, &late)] {
        let chosen = last_resort(all, &ASK, at(second)).expect("both are ejected");
        assert!(Arc::ptr_eq(chosen, expected), "at {second}");
        let ticket = chosen.begin_last_resort(&ASK, at(second)).expect("it is free");
        assert_eq!(ticket.finish(&Outcome::Local, "", &ASK, at(second), POLICY, 0.5), None);
    }
}

#[test]
fn the_soonest_return_hopes_for_no_dead_key() {
    let [ejected, resting, dead] = [(); 3].map(|()| shared());
    eject(&ejected, 0);
    end(&resting, &Outcome::Server { retry_after: Some(Duration::from_secs(12)) }, 0);
    dead.key.mark_dead("revoked", at(0));
    assert_eq!(can_take(&resting, &ASK, at(1)), Err(Blocked { why: Why::Resting, until: Some(at(12)) }));
    assert_eq!(soonest_return([&ejected, &resting, &dead], &ASK, at(1)), Some(at(12)));
    assert_eq!(soonest_return([&ejected, &dead], &ASK, at(1)), Some(at(30)));
    assert_eq!((soonest_return([&dead], &ASK, at(1)), soonest_return([], &ASK, at(1))), (None, None));
    assert_eq!(soonest_return([&ejected], &ASK, at(31)), Some(at(31)));
}
