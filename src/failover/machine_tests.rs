//! Tests of the profile machine: stories, and promises over random ones.

use proptest::prelude::*;

use super::*;

const POLICY: Policy =
    Policy { auto_failover: true, auto_recovery: true, failure_threshold: 3, cooldown: Duration::from_mins(5) };
const FAILED: Served = Served::Not { short_rest: false };
const RESTED: Served = Served::Not { short_rest: true };

const fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

/// Profiles `p0 p1 ...` with these tiers; a ready one is an upper-case letter.
fn chain(tiers: &str) -> Vec<Candidate> {
    let candidate = |(index, letter): (usize, char)| {
        let tier = match letter.to_ascii_lowercase() {
            'p' => Tier::Primary,
            's' => Tier::Secondary,
            _ => Tier::Fallback,
        };
        Candidate { name: format!("p{index}").into(), tier, ready: letter.is_ascii_uppercase() }
    };
    tiers.chars().enumerate().map(candidate).collect()
}

fn serve(machine: &mut Machine, how: Served, active: usize, chain: &[Candidate], seconds: u64) -> Option<usize> {
    let under = Arc::clone(&chain[active].name);
    machine.served(how, &under, active, chain, at(seconds), POLICY).map(|switch| switch.index)
}

/// A machine that failed over at `seconds`.
fn failed_over(machine: &mut Machine, active: usize, chain: &[Candidate], seconds: u64) -> Option<usize> {
    (0..3).find_map(|_| serve(machine, FAILED, active, chain, seconds))
}

#[test]
fn failures_in_a_row_make_the_next_ready_profile_active() {
    for (profiles, active, expected) in [
        ("pSF", 0, Some(1)),
        ("psF", 0, Some(2)),
        ("PsF", 1, Some(2)),
        ("Psf", 1, Some(0)),
        ("PSfF", 2, Some(3)),
        ("PSff", 2, Some(1)),
        ("psf", 0, None),
        ("P", 0, None),
    ] {
        assert_eq!(failed_over(&mut Machine::new(), active, &chain(profiles), 0), expected, "{profiles} {active}");
    }
}

#[test]
fn a_switch_tells_from_where_to_where_and_why() {
    let (mut machine, chain) = (Machine::new(), chain("pS"));
    let mut end = || machine.served(FAILED, "p0", 0, &chain, at(0), POLICY);
    assert_eq!((end(), end()), (None, None));
    let switch = end().expect("the third in a row");
    assert_eq!((&*switch.from, &*switch.to, switch.cause.as_str()), ("p0", "p1", "failover"));
    assert_eq!(switch.reason, "p0 could not serve 3 requests in a row");
    assert_eq!(machine.failures(), 0);
}

#[test]
fn a_served_request_ends_the_row_and_a_short_rest_is_not_part_of_it() {
    let (mut machine, chain) = (Machine::new(), chain("pS"));
    for how in [FAILED, FAILED, Served::Itself, FAILED, RESTED, FAILED, RESTED, RESTED] {
        assert_eq!(serve(&mut machine, how, 0, &chain, 0), None);
    }
    assert_eq!(serve(&mut machine, FAILED, 0, &chain, 0), Some(1));
}

#[test]
fn requests_that_began_under_another_profile_count_nothing() {
    let (mut machine, chain) = (Machine::new(), chain("PSF"));
    for _ in 0..50 {
        assert_eq!(machine.served(FAILED, "p0", 1, &chain, at(0), POLICY), None);
    }
    assert_eq!(machine.served(FAILED, "p9", 7, &chain, at(0), POLICY), None, "there is no such place");
    assert_eq!(machine.failures(), 0);
}

#[test]
fn a_switch_waits_until_some_profile_is_ready() {
    let mut machine = Machine::new();
    assert_eq!(failed_over(&mut machine, 0, &chain("ps"), 0), None);
    assert_eq!(serve(&mut machine, FAILED, 0, &chain("pS"), 1), Some(1));
}

#[test]
fn recovery_steps_up_one_tier_at_a_time_skipping_what_is_not_ready() {
    for (profiles, active, expected) in [
        ("PSF", 2, Some(1)),
        ("PSF", 1, Some(0)),
        ("PsF", 2, Some(0)),
        ("psF", 2, None),
        ("PSF", 0, None),
        ("PPSSF", 4, Some(2)),
        ("PpsSF", 4, Some(3)),
        ("pPsF", 3, Some(1)),
        ("PPS", 1, Some(0)),
        ("pSS", 2, Some(1)),
    ] {
        let mut machine = Machine::new();
        machine.note_switch(at(0));
        assert_eq!(machine.recover(active, &chain(profiles), at(299), POLICY), None);
        let switch = machine.recover(active, &chain(profiles), at(300), POLICY);
        assert_eq!(switch.as_ref().map(|switch| switch.index), expected, "{profiles} {active}");
        assert!(switch.is_none_or(|switch| switch.cause == Cause::Recovery));
    }
}

#[test]
fn each_step_of_a_recovery_waits_for_its_own_cooldown() {
    let (mut machine, chain) = (Machine::new(), chain("PSF"));
    machine.note_switch(at(0));
    assert!(machine.recover(2, &chain, at(300), POLICY).is_some());
    assert_eq!(machine.recover(1, &chain, at(599), POLICY), None);
    assert!(machine.recover(1, &chain, at(600), POLICY).is_some());
}

#[test]
fn a_recovery_that_fails_soon_doubles_the_next_cooldown_up_to_an_hour() {
    let (mut machine, up) = (Machine::new(), chain("PS"));
    let mut now = 0;
    for cooldown in [300, 600, 1200, 2400, 3600, 3600] {
        assert_eq!(failed_over(&mut machine, 0, &up, now), Some(1));
        assert_eq!(machine.recover(1, &up, at(now + cooldown - 1), POLICY), None, "{cooldown}");
        now += cooldown;
        assert!(machine.recover(1, &up, at(now), POLICY).is_some(), "{cooldown}");
        now += 599;
    }
    now += 1;
    assert_eq!(failed_over(&mut machine, 0, &up, now), Some(1));
    assert_eq!(machine.recovery_from(POLICY), Some(at(now + 300)), "it lasted ten minutes, so all is forgiven");
    let long = Policy { cooldown: Duration::from_hours(2), ..POLICY };
    assert_eq!(machine.recovery_from(long), Some(at(now + 7200)), "the cap does not shorten what was asked for");
}

#[test]
fn a_pin_holds_against_failover_and_recovery_until_it_is_taken_away() {
    let (mut machine, chain) = (Machine::new(), chain("PSF"));
    let switch = machine.pin(1, Some("maintenance"), 0, &chain, at(0)).expect("it is another profile");
    assert_eq!((switch.index, switch.cause, switch.reason.as_str()), (1, Cause::Manual, "maintenance"));
    assert!(machine.pinned());
    assert_eq!(failed_over(&mut machine, 1, &chain, 1), None);
    assert_eq!(machine.recover(1, &chain, at(10_000), POLICY), None);
    assert_eq!(machine.pin(1, None, 1, &chain, at(1)), None, "already there");
    assert!(machine.unpin() && !machine.unpin());
    assert!(machine.recover(1, &chain, at(10_000), POLICY).is_some());
}

#[test]
fn a_person_can_pin_a_profile_that_is_not_ready_but_not_one_that_is_not_there() {
    let (mut machine, chain) = (Machine::new(), chain("Ps"));
    assert_eq!(machine.pin(7, None, 0, &chain, at(0)), None);
    assert_eq!(machine.pin(1, None, 0, &chain, at(0)).map(|switch| switch.index), Some(1));
}

#[test]
fn a_failover_by_hand_does_not_pin() {
    let (mut machine, chain) = (Machine::new(), chain("PsF"));
    let switch = machine.failover_by_hand(None, 0, &chain, at(0)).expect("another is ready");
    assert_eq!((switch.index, switch.cause, machine.pinned()), (2, Cause::Manual, false));
    assert_eq!(machine.recover(2, &chain, at(300), POLICY).map(|switch| switch.index), Some(0));
    assert_eq!(machine.failover_by_hand(None, 0, &chain[..2], at(0)), None);
}

#[test]
fn what_is_switched_off_does_not_happen() {
    let chain = chain("PS");
    let off = Policy { auto_failover: false, auto_recovery: false, ..POLICY };
    let mut machine = Machine::new();
    for _ in 0..50 {
        assert_eq!(machine.served(FAILED, "p0", 0, &chain, at(0), off), None);
    }
    machine.note_switch(at(0));
    assert_eq!(machine.recover(1, &chain, at(9999), off), None);
}

#[test]
fn a_reload_keeps_the_active_profile_or_takes_the_first_that_is_ready() {
    for (profiles, active, expected) in
        [("PS", "p1", Some(1)), ("pSF", "gone", Some(1)), ("ps", "gone", Some(0)), ("", "gone", None)]
    {
        let mut machine = Machine::new();
        let (index, switch) = machine.reloaded(&active.into(), &chain(profiles), at(9));
        assert_eq!((index, switch.is_some()), (expected, active == "gone" && expected.is_some()), "{profiles}");
        if let Some(switch) = switch {
            assert_eq!(
                (switch.cause, switch.reason.as_str(), Some(switch.index)),
                (Cause::Reload, "gone left the file", index)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_switch_leads_to_another_ready_profile_and_never_back_too_soon(
        tiers in "[pP]{1,2}[sS]{0,2}[fF]{0,2}",
        steps in prop::collection::vec((0_u8..10, any::<usize>(), 0_u64..200), 1..80),
    ) {
        let (mut chain, mut machine, mut active, mut now, mut last) = (chain(&tiers), Machine::new(), 0, Moment(0), None);
        for (what, which, wait) in steps {
            now = now.after(Duration::from_secs(wait));
            let which = which % chain.len();
            let under = Arc::clone(&chain[active].name);
            let switch = match what {
                0..4 => machine.served(FAILED, &under, active, &chain, now, POLICY),
                4 => machine.served(Served::Itself, &under, active, &chain, now, POLICY),
                5 | 6 => machine.recover(active, &chain, now, POLICY),
                7 => machine.failover_by_hand(None, active, &chain, now),
                _ => {
                    chain[which].ready = !chain[which].ready;
                    None
                }
            };
            let Some(switch) = switch else { continue };
            prop_assert!(switch.index != active && chain[switch.index].ready);
            prop_assert_eq!((&switch.from, &switch.to), (&chain[active].name, &chain[switch.index].name));
            if switch.cause == Cause::Recovery {
                prop_assert!(switch.index < active);
                prop_assert!(last.is_none_or(|last| now.since(last) >= POLICY.cooldown));
            }
            (active, last) = (switch.index, Some(now));
        }
    }
}
