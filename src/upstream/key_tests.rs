//! Tests of a key's rests and of its death.

use super::*;
use crate::upstream::fixture::at;

const OPUS: Scope<'static> = Scope::Own { model: Some("opus") };
const HAIKU: Scope<'static> = Scope::Own { model: Some("haiku") };
const ANY: Scope<'static> = Scope::Own { model: None };
const GUESS: RateLimit = RateLimit { wait: None, whole_key: false };

fn announced(seconds: u64, whole_key: bool) -> RateLimit {
    RateLimit { wait: Some(Duration::from_secs(seconds)), whole_key }
}

fn until(key: &KeyState, scope: Scope<'_>, now: u64) -> Option<Moment> {
    let blocked = key.blocked(scope, at(now))?;
    assert!(matches!(blocked.why, Why::Rate { .. }), "{blocked:?}");
    blocked.until
}

fn success(key: &KeyState, scope: Scope<'_>, now: u64) -> bool {
    let pass = key.begin(scope, at(now)).expect("the key takes requests");
    key.succeed(pass, scope, at(now))
}

#[test]
fn an_announced_rest_lasts_as_long_within_bounds() {
    for (seconds, lasts) in [(0, 1), (1, 1), (90, 90), (1800, 1800), (1801, 1800), (600_000, 1800)] {
        let key = KeyState::new();
        assert_eq!(key.rest(OPUS, announced(seconds, false), at(10)), Some(at(10 + lasts)));
        assert_eq!((until(&key, OPUS, 9 + lasts), until(&key, OPUS, 10 + lasts)), (Some(at(10 + lasts)), None));
    }
}

#[test]
fn without_an_announcement_rests_double_from_five_to_sixty_seconds() {
    let (key, mut now) = (KeyState::new(), 0);
    for lasts in [5, 10, 20, 40, 60, 60, 60] {
        assert_eq!(key.rest(OPUS, GUESS, at(now)), Some(at(now + lasts)));
        now += lasts;
    }
    assert!(!success(&key, OPUS, now));
    assert_eq!(key.rest(OPUS, GUESS, at(now)), Some(at(now + 5)), "a success makes the next one short again");
}

#[test]
fn many_429_at_once_are_one() {
    let key = KeyState::new();
    assert_eq!(key.rest(OPUS, GUESS, at(0)), Some(at(5)));
    for _ in 0..49 {
        assert_eq!(key.rest(OPUS, GUESS, at(1)), None);
    }
    assert_eq!(key.rest(OPUS, GUESS, at(5)), Some(at(15)));
}

#[test]
fn an_announcement_extends_a_rest_and_never_shortens_it() {
    let key = KeyState::new();
    key.rest(OPUS, announced(60, false), at(0));
    assert_eq!(key.rest(OPUS, announced(10, false), at(0)), None);
    assert_eq!(key.rest(OPUS, announced(90, false), at(0)), Some(at(90)));
    assert_eq!(until(&key, OPUS, 80), Some(at(90)));
}

#[test]
fn one_model_rests_and_the_others_go_on_unless_the_whole_key_is_out() {
    let key = KeyState::new();
    key.rest(OPUS, announced(60, false), at(0));
    assert_eq!((until(&key, HAIKU, 1), until(&key, ANY, 1)), (None, None));
    assert_eq!(key.resting(at(1)), [(Some("opus".to_owned()), at(60))]);
    key.rest(OPUS, announced(30, true), at(0));
    for scope in [OPUS, HAIKU, ANY] {
        assert_eq!(
            key.blocked(scope, at(1)),
            Some(Blocked { why: Why::Rate { whole_key: true }, until: Some(at(30)) })
        );
    }
    assert_eq!(until(&key, OPUS, 31), Some(at(60)));
    assert!(key.clear_rests(at(1)));
    assert!(!key.clear_rests(at(1)), "nothing rests any more");
    assert_eq!((until(&key, OPUS, 31), key.resting(at(1)).len()), (None, 0));
}

#[test]
fn a_success_does_not_end_a_rest_that_runs() {
    let key = KeyState::new();
    let pass = key.begin(OPUS, at(0)).expect("nothing rests");
    key.rest(OPUS, announced(60, false), at(1));
    key.succeed(pass, OPUS, at(2));
    assert_eq!(until(&key, OPUS, 3), Some(at(61)));
}

#[test]
fn what_nobody_asks_for_any_more_is_forgotten() {
    let key = KeyState::new();
    key.rest(OPUS, GUESS, at(0));
    key.rest(Scope::Client { credential: 1, model: None }, GUESS, at(0));
    for (now, notable) in [(10, true), (600, true), (610, true), (660, false)] {
        assert!(!success(&key, HAIKU, now));
        assert_eq!(key.notable.load(Ordering::Acquire), notable, "{now}");
    }
    assert_eq!(key.rest(OPUS, GUESS, at(700)), Some(at(705)));
}

#[test]
fn a_clients_own_credential_rests_for_that_client_only() {
    let key = KeyState::new();
    let client = |credential, model| Scope::Client { credential, model };
    key.rest(client(1, Some("opus")), GUESS, at(0));
    key.rest(client(2, Some("opus")), announced(60, true), at(0));
    assert_eq!(until(&key, client(1, Some("opus")), 1), Some(at(5)));
    assert_eq!(until(&key, client(1, Some("haiku")), 1), None);
    assert_eq!(until(&key, client(2, Some("haiku")), 1), Some(at(60)));
    assert_eq!(until(&key, client(3, Some("opus")), 1), None);
    assert_eq!(until(&key, OPUS, 1), None);
}

#[test]
fn models_and_clients_are_bounded() {
    let key = KeyState::new();
    for n in 0..50_000_u64 {
        key.rest(Scope::Client { credential: n, model: None }, announced(60, false), at(0));
        key.rest(Scope::Own { model: Some(&n.to_string()) }, announced(60, false), at(0));
    }
    assert!(key.resting(at(0)).len() <= 256);
    let known = |n| until(&key, Scope::Client { credential: n, model: None }, 1).is_some();
    assert_eq!((known(49_999), known(45_000), known(0)), (true, true, false));
}

#[test]
fn a_dead_key_is_out_but_for_one_trial_every_five_minutes() {
    let key = KeyState::new();
    assert!(key.mark_dead("invalid x-api-key", at(0)));
    assert!(!key.mark_dead("invalid x-api-key", at(0)), "told once");
    let dead = |until| Some(Blocked { why: Why::DeadKey, until });
    assert_eq!(key.blocked(OPUS, at(299)), dead(Some(at(300))));
    let trial = key.begin(OPUS, at(300)).expect("its time has come");
    assert_eq!((key.blocked(HAIKU, at(300)), key.begin(HAIKU, at(300))), (dead(None), None));
    key.release(trial);
    assert_eq!(key.blocked(OPUS, at(300)), None, "a trial that told nothing is free again");
    let trial = key.begin(OPUS, at(300)).expect("it is free");
    key.mark_dead("invalid x-api-key", at(301));
    key.release(trial);
    assert_eq!(key.blocked(OPUS, at(302)), dead(Some(at(601))));
    assert!(success(&key, OPUS, 601));
    assert_eq!((key.blocked(OPUS, at(601)), key.death()), (None, None));
}

#[test]
fn a_request_from_before_the_refusal_does_not_revive_the_key() {
    let key = KeyState::new();
    let early = key.begin(OPUS, at(0)).expect("nothing is known");
    key.mark_dead("revoked", at(1));
    assert!(!key.succeed(early, OPUS, at(2)));
    assert_eq!(key.death().map(|(reason, _)| reason.to_string()), Some("revoked".to_owned()));
    assert!(key.revive() && !key.revive());
    assert_eq!(key.blocked(OPUS, at(2)), None);
}

#[test]
fn a_key_with_nothing_held_against_it_is_asked_without_a_lock() {
    let key = KeyState::new();
    key.rest(OPUS, GUESS, at(0));
    success(&key, OPUS, 5);
    let _held = key.lock();
    let pass = key.begin(OPUS, at(6)).expect("the lock is held elsewhere, and not needed");
    assert_eq!((key.blocked(OPUS, at(6)), key.succeed(pass, OPUS, at(6))), (None, false));
}
