//! Tests of the profile machine: stories, and promises over random ones.

use super::*;

const POLICY: Policy =
    Policy { auto_failover: true, auto_recovery: true, failure_threshold: 3, cooldown: Duration::from_mins(5) };
const FAILED: Served = Served::Not { short_rest: false };
const RESTED: Served = Served::Not { short_rest: true };

const fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

/// Profiles `p0 p1 ...` with these tiers; one that is ready and has proved itself is an upper-case letter.
fn chain(tiers: &str) -> Vec<Candidate> {
    let candidate = |(index, letter): (usize, char)| {
        let tier = match letter.to_ascii_lowercase() {
            'p' => Tier::Primary,
            's' => Tier::Secondary,
            _ => Tier::Fallback,
        };
        let ready = letter.is_ascii_uppercase();
        Candidate { name: format!("p{index}").into(), tier, ready, open: false, proved: ready }
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
    machine.pin(0, None, 0, &chain, at(0));
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
    for off in [off, Policy { auto_failover: true, ..off }, Policy { auto_recovery: true, ..off }] {
        assert_eq!((machine.recover(1, &chain, at(9999), off), machine.trial(1, &chain, at(9999), off)), (None, None));
    }
}

#[test]
fn a_profile_that_has_not_proved_itself_does_not_recover() {
    let (mut machine, mut chain) = (Machine::new(), chain("PSF"));
    machine.note_switch(at(0));
    chain[1].proved = false;
    assert_eq!(machine.recover(2, &chain, at(999), POLICY), None, "one tier at a time, also where the next is slow");
    chain[1].proved = true;
    assert_eq!(machine.recover(2, &chain, at(999), POLICY).map(|switch| switch.index), Some(1));
}

#[test]
fn without_probes_a_request_is_the_trial_once_the_cooldown_is_over() {
    let (mut machine, mut chain) = (Machine::new(), chain("psF"));
    machine.note_switch(at(0));
    assert_eq!(machine.trial(2, &chain, at(999), POLICY), None, "nothing is open");
    chain[1].open = true;
    assert_eq!((machine.trial(2, &chain, at(299), POLICY), machine.trial(2, &chain, at(300), POLICY)), (None, Some(1)));
    assert_eq!(machine.recover(2, &chain, at(300), POLICY), None, "it is still on probation");
    (chain[1].ready, chain[1].proved) = (true, true);
    assert_eq!(machine.trial(2, &chain, at(300), POLICY), None);
    assert_eq!(machine.recover(2, &chain, at(300), POLICY).map(|switch| switch.index), Some(1));
}

#[test]
fn a_later_process_goes_on_where_the_earlier_one_ended() {
    let (mut machine, up) = (Machine::new(), chain("PS"));
    failed_over(&mut machine, 0, &up, 0);
    machine.recover(1, &up, at(300), POLICY);
    failed_over(&mut machine, 0, &up, 400);
    machine.pin(1, None, 1, &up, at(401));
    let mut later = Machine::resumed(machine.memory());
    assert!(later.pinned() && later.recovery_from(POLICY).is_none());
    later.unpin();
    assert_eq!(later.recovery_from(POLICY), Some(at(400 + 600)), "with the doubled cooldown");
}

#[test]
fn an_active_profile_that_fails_every_other_request_is_kept() {
    let (mut machine, up) = (Machine::new(), chain("PSF"));
    for n in 0..1000 {
        let how = if n % 2 == 0 { FAILED } else { Served::Itself };
        assert_eq!(serve(&mut machine, how, 0, &up, n), None);
    }
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

/// A random story of one chain, with the promises checked after each step.
struct Story {
    random: fastrand::Rng,
    machine: Machine,
    policy: Policy,
    chain: Vec<Candidate>,
    active: usize,
    now: Moment,
    /// Every switch, with its cause and its moment.
    switches: Vec<(Cause, Moment)>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut tiers = String::new();
        for (letter, least) in [('p', 1), ('s', 0), ('f', 0)] {
            (0..random.usize(least..3))
                .for_each(|_| tiers.push(if random.bool() { letter } else { letter.to_ascii_uppercase() }));
        }
        let cooldown = Duration::from_secs(random.u64(1..600));
        let policy = Policy { failure_threshold: random.u32(1..5), cooldown, ..POLICY };
        Self {
            random,
            machine: Machine::new(),
            policy,
            chain: chain(&tiers),
            active: 0,
            now: Moment(0),
            switches: Vec::new(),
        }
    }

    fn step(&mut self) {
        let Self { machine, policy, chain, active, now, .. } = self;
        let (active, now, policy) = (*active, *now, *policy);
        let under = Arc::clone(&chain[active].name);
        let which = self.random.usize(..chain.len());
        let switch = match self.random.u8(0..16) {
            0..5 => machine.served(FAILED, &under, active, chain, now, policy),
            5 => machine.served(Served::Itself, &under, active, chain, now, policy),
            6..9 => machine.recover(active, chain, now, policy),
            9 => machine.failover_by_hand(None, active, chain, now),
            10 if self.random.u8(0..4) == 0 => machine.pin(which, None, active, chain, now),
            11 => {
                machine.unpin();
                None
            }
            12 | 13 => {
                chain[which].ready = !chain[which].ready;
                chain[which].proved = chain[which].ready && self.random.bool();
                None
            }
            _ => {
                self.now = now.after(Duration::from_secs(self.random.u64(0..200)));
                None
            }
        };
        if let Some(switch) = switch {
            self.check(&switch);
            self.active = switch.index;
            self.switches.push((switch.cause, now));
        }
    }

    fn check(&self, switch: &Switch) {
        let to = &self.chain[switch.index];
        assert!(switch.index != self.active);
        assert_eq!((&switch.from, &switch.to), (&self.chain[self.active].name, &to.name));
        assert!(
            to.ready || (switch.cause == Cause::Manual && self.machine.pinned()),
            "only a person takes what is not ready"
        );
        assert!(!self.machine.pinned() || switch.cause == Cause::Manual, "a pin holds");
        if switch.cause == Cause::Recovery {
            assert!(switch.index < self.active && to.proved);
            let between = &self.chain[..self.active];
            assert!(between.iter().all(|other| !other.ready || other.tier <= to.tier), "one tier at a time");
            assert!(self.switches.last().is_some_and(|(_, last)| self.now.since(*last) >= self.policy.cooldown));
        }
    }
}

#[test]
fn a_hundred_thousand_stories_keep_the_promises() {
    for seed in 0..100_000 {
        let told = std::panic::catch_unwind(|| {
            let mut story = Story::new(seed);
            (0..60).for_each(|_| story.step());
        });
        assert!(told.is_ok(), "the story of seed {seed}");
    }
}

/// A primary that fails every other request, asked once a second for a day.
#[test]
fn a_flapping_profile_is_switched_a_bounded_number_of_times() {
    for threshold in [1, 2, 3] {
        let policy = Policy { failure_threshold: threshold, ..POLICY };
        let (mut machine, up, mut active) = (Machine::new(), chain("PS"), 0);
        let mut hours = [0_u32; 24];
        for second in 0..24 * 3600 {
            let how = if active == 0 && second % 2 == 0 { FAILED } else { Served::Itself };
            let under = Arc::clone(&up[active].name);
            let switch = machine.served(how, &under, active, &up, at(second), policy);
            let switch = switch.or_else(|| machine.recover(active, &up, at(second), policy));
            if let Some(switch) = switch {
                active = switch.index;
                hours[usize::try_from(second / 3600).expect("of a day")] += 1;
            }
        }
        let most = if threshold == 1 { 8 } else { 0 };
        assert!(hours.iter().all(|switches| *switches <= most), "{threshold}: {hours:?}");
        assert!(hours[6..].iter().all(|switches| *switches <= 3), "once an hour there and back: {hours:?}");
    }
}
