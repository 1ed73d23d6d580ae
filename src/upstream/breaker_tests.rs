//! Tests of the machine: stories as a specification, and a model test over random ones.

use super::*;
use crate::upstream::fixture::at;

const POLICY: Policy = Policy { threshold: 3, sole: false };
const BAD: Sign<'static> = Sign::Bad { retry_after: None, detail: "refused", poor_rate: false };

fn bad_with(retry_after: u64) -> Sign<'static> {
    Sign::Bad { retry_after: Some(Duration::from_secs(retry_after)), detail: "refused", poor_rate: false }
}

/// One request, begun and ended at once.
fn request(machine: &mut Breaker, sign: Sign<'_>, seconds: u64) -> Option<Turn> {
    let pass = machine.begin(at(seconds)).expect("it admits");
    machine.finish(pass, sign, at(seconds), POLICY, 0.5)
}

/// A machine that was ejected at second 0, until second 30.
fn ejected() -> Breaker {
    let mut machine = Breaker::new();
    for _ in 0..3 {
        request(&mut machine, BAD, 0);
    }
    assert!(matches!(machine.standing(at(29)), Standing::Ejected { until, .. } if until == at(30)));
    machine
}

/// A machine that was admitted again at second 30.
fn readmitted() -> Breaker {
    let mut machine = ejected();
    assert_eq!(request(&mut machine, Sign::Good, 30), None);
    assert_eq!(request(&mut machine, Sign::Good, 30), Some(Turn::Admitted));
    machine
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    let mut machine = Breaker::new();
    for sign in [BAD, BAD, Sign::Good, BAD, BAD, Sign::Neither] {
        assert_eq!(request(&mut machine, sign, 0), None);
    }
    let reason = "3 failures in a row: refused".into();
    assert_eq!(request(&mut machine, BAD, 0), Some(Turn::Ejected { until: at(30), reason }));
    assert_eq!(machine.begin(at(29)), None);
}

#[test]
fn a_poor_success_rate_ejects_without_failures_in_a_row() {
    let sign = Sign::Bad { retry_after: None, detail: "refused", poor_rate: true };
    assert!(matches!(request(&mut Breaker::new(), sign, 0), Some(Turn::Ejected { .. })));
}

#[test]
fn each_ejection_in_a_row_lasts_longer() {
    let mut machine = ejected();
    let mut now = 30;
    for lasts in [60, 120, 240, 300, 300] {
        assert!(
            matches!(request(&mut machine, BAD, now), Some(Turn::Ejected { until, .. }) if until == at(now + lasts))
        );
        now += lasts;
    }
}

#[test]
fn chance_spreads_the_ejection_by_a_fifth() {
    for (n, chance, millis) in
        [(1, 0.0, 24_000), (1, 1.0, 36_000), (2, 0.5, 60_000), (9, 1.0, 360_000), (99, 0.0, 240_000)]
    {
        assert_eq!(ejection_time(n, chance), Duration::from_millis(millis), "{n} {chance}");
    }
}

#[test]
fn five_healthy_minutes_forgive_one_ejection() {
    for (healthy, lasts) in [(0, 60), (299, 60), (300, 30), (3000, 30)] {
        let mut machine = readmitted();
        let now = 30 + healthy;
        request(&mut machine, BAD, now);
        request(&mut machine, BAD, now);
        let turn = request(&mut machine, BAD, now);
        assert!(matches!(turn, Some(Turn::Ejected { until, .. }) if until == at(now + lasts)), "{healthy}: {turn:?}");
    }
}

#[test]
fn failures_that_were_in_flight_at_the_ejection_count_once() {
    let mut machine = Breaker::new();
    let passes: Vec<_> = (0..50).map(|_| machine.begin(at(0)).expect("it admits")).collect();
    let turns: Vec<_> = passes.into_iter().filter_map(|pass| machine.finish(pass, BAD, at(1), POLICY, 0.5)).collect();
    assert_eq!((turns.len(), machine.ejections(at(1))), (1, 1));
}

#[test]
fn nothing_that_began_before_the_ejection_changes_what_follows_it() {
    let mut machine = Breaker::new();
    let mut early: Vec<_> = (0..8).map(|_| machine.begin(at(0)).expect("it admits")).collect();
    for _ in 0..3 {
        request(&mut machine, BAD, 0);
    }
    let mut end = |machine: &mut Breaker, sign, now| {
        let pass = early.pop().expect("enough of them");
        assert_eq!(machine.finish(pass, sign, at(now), POLICY, 0.5), None);
    };
    end(&mut machine, Sign::Good, 1);
    end(&mut machine, bad_with(600), 1);
    assert!(matches!(machine.standing(at(2)), Standing::Ejected { until, .. } if until == at(30)));
    end(&mut machine, BAD, 30);
    end(&mut machine, Sign::Good, 30);
    assert_eq!(machine.standing(at(30)), Standing::Probation { free: true });
    request(&mut machine, Sign::Good, 30);
    end(&mut machine, Sign::Good, 30);
    assert_eq!(machine.standing(at(30)), Standing::Probation { free: true }, "two good trials, not one");
    request(&mut machine, Sign::Good, 30);
    for _ in 0..3 {
        end(&mut machine, BAD, 31);
    }
    assert_eq!((machine.standing(at(31)), machine.consecutive()), (Standing::Admitting, 0));
}

#[test]
fn probation_takes_one_request_at_a_time_and_gives_the_place_back() {
    let mut machine = ejected();
    for back in [true, false] {
        let pass = machine.begin(at(30)).expect("the trial is free");
        assert_eq!((machine.begin(at(30)), machine.standing(at(30))), (None, Standing::Probation { free: false }));
        if back {
            machine.release(pass);
        } else {
            assert_eq!(machine.finish(pass, Sign::Neither, at(30), POLICY, 0.5), None);
        }
        assert_eq!(machine.standing(at(30)), Standing::Probation { free: true });
    }
}

#[test]
fn a_failure_between_two_good_trials_ejects_again() {
    let mut machine = ejected();
    request(&mut machine, Sign::Good, 30);
    assert!(matches!(request(&mut machine, BAD, 31), Some(Turn::Ejected { until, .. }) if until == at(91)));
    request(&mut machine, Sign::Good, 91);
    assert_eq!(request(&mut machine, Sign::Good, 91), Some(Turn::Admitted), "no good trial is carried over");
}

#[test]
fn an_endpoint_that_asks_to_be_left_alone_is_and_returns_by_itself() {
    let mut machine = Breaker::new();
    assert_eq!(request(&mut machine, bad_with(20), 0), Some(Turn::Rested { until: at(20) }));
    assert_eq!((machine.begin(at(19)), machine.standing(at(19))), (None, Standing::Resting { until: at(20) }));
    assert_eq!(machine.standing(at(20)), Standing::Admitting);
    assert_eq!(request(&mut machine, bad_with(999_999), 20), Some(Turn::Rested { until: at(20 + 1800) }));
}

#[test]
fn an_ejection_lasts_at_least_as_long_as_was_asked_for() {
    let mut machine = Breaker::new();
    request(&mut machine, BAD, 0);
    request(&mut machine, BAD, 0);
    assert!(matches!(request(&mut machine, bad_with(200), 0), Some(Turn::Ejected { until, .. }) if until == at(200)));
}

#[test]
fn the_only_endpoint_is_not_kept_out_for_long() {
    let mut machine = Breaker::new();
    let sole = Policy { threshold: 1, sole: true };
    let pass = machine.begin(at(0)).expect("it admits");
    let turn = machine.finish(pass, BAD, at(0), sole, 1.0);
    assert!(matches!(turn, Some(Turn::Ejected { until, .. }) if until == at(5)));
    let mut other = ejected();
    other.cap_ejection(SOLE_EJECTION, at(10));
    assert_eq!(other.standing(at(15)), Standing::Probation { free: true });
}

#[test]
fn a_last_resort_goes_one_at_a_time_and_can_only_help() {
    let mut machine = ejected();
    let pass = machine.begin_last_resort(at(1)).expect("it is ejected");
    assert_eq!(machine.begin_last_resort(at(1)), None);
    assert_eq!(machine.finish(pass, BAD, at(1), POLICY, 0.5), None);
    assert!(matches!(machine.standing(at(2)), Standing::Ejected { until, .. } if until == at(30)));
    let pass = machine.begin_last_resort(at(2)).expect("the first one has ended");
    assert_eq!(machine.finish(pass, Sign::Good, at(3), POLICY, 0.5), None);
    assert_eq!(machine.standing(at(3)), Standing::Probation { free: true });
    assert_eq!(request(&mut machine, Sign::Good, 3), Some(Turn::Admitted));
    assert_eq!(machine.begin_last_resort(at(3)), None, "only the ejected have a last resort");
}

#[test]
fn a_last_resort_that_fails_during_the_probation_breaks_its_row() {
    let mut machine = ejected();
    let pass = machine.begin_last_resort(at(29)).expect("it is ejected");
    request(&mut machine, Sign::Good, 30);
    assert_eq!(machine.finish(pass, BAD, at(31), POLICY, 0.5), None);
    assert_eq!(request(&mut machine, Sign::Good, 31), None);
    assert_eq!(request(&mut machine, Sign::Good, 31), Some(Turn::Admitted));
}

#[test]
fn a_reset_admits_and_forgets() {
    let mut machine = ejected();
    assert!(machine.reset(at(1)));
    assert_eq!((machine.standing(at(1)), machine.ejections(at(1)), machine.consecutive()), (Standing::Admitting, 0, 0));
    assert!(!machine.reset(at(1)));
}

#[test]
fn an_ejection_by_a_request_is_not_probed_before_its_end_and_one_by_a_probe_is() {
    let mut machine = ejected();
    assert_eq!((machine.begin_probe(at(29)), machine.probe_from()), (None, Some(at(30))));
    let probe = machine.begin_probe(at(30)).expect("probation");
    assert_eq!((probe.kind, machine.begin(at(30)), machine.begin_probe(at(30))), (Kind::Trial, None, None));
    assert!(
        matches!(machine.finish(probe, BAD, at(31), POLICY, 0.5), Some(Turn::Ejected { until, .. }) if until == at(91))
    );
    let early = machine.begin_probe(at(40)).expect("only a probe spoke against it");
    assert_eq!((early.kind, machine.begin_probe(at(40))), (Kind::Early, None));
    assert_eq!(machine.finish(early, Sign::Good, at(41), POLICY, 0.5), None);
    assert_eq!(request(&mut machine, Sign::Good, 41), Some(Turn::Admitted));
}

#[test]
fn what_an_earlier_process_knew_is_taken_up() {
    let mut machine = Breaker::new();
    machine.restore(at(50), "3 failures in a row: refused".into(), 2);
    assert!(matches!(machine.standing(at(49)), Standing::Ejected { until, .. } if until == at(50)));
    assert!(matches!(request(&mut machine, BAD, 50), Some(Turn::Ejected { until, .. }) if until == at(50 + 120)));
}

/// One random story: what may be done, in any order, with the promises checked after each step.
struct Story {
    random: fastrand::Rng,
    policy: Policy,
    machine: Breaker,
    now: Moment,
    /// Passes that are out.
    out: Vec<Pass>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let policy = Policy { threshold: random.u32(1..5), sole: random.bool() };
        Self { random, policy, machine: Breaker::new(), now: Moment(0), out: Vec::new() }
    }

    fn step(&mut self) {
        match self.random.u8(0..40) {
            0..12 => self.begin(),
            12..16 => self.probe(),
            16..18 => self.last_resort(),
            18..30 if !self.out.is_empty() => self.finish(),
            30..32 if !self.out.is_empty() => {
                let pass = self.take();
                self.machine.release(pass);
            }
            32 => drop(self.machine.reset(self.now)),
            33 => self.now = self.now.after(Duration::from_millis(self.random.u64(0..900_000))),
            _ => self.now = self.now.after(Duration::from_millis(self.random.u64(0..90_000))),
        }
        self.check();
    }

    fn take(&mut self) -> Pass {
        self.out.swap_remove(self.random.usize(..self.out.len()))
    }

    fn begin(&mut self) {
        let standing = self.machine.standing(self.now);
        let pass = self.machine.begin(self.now);
        assert_eq!(pass.is_some(), matches!(standing, Standing::Admitting | Standing::Probation { free: true }));
        self.out.extend(pass);
    }

    fn probe(&mut self) {
        let standing = self.machine.standing(self.now);
        let pass = self.machine.begin_probe(self.now);
        match standing {
            Standing::Admitting | Standing::Probation { free: true } => assert!(pass.is_some()),
            Standing::Ejected { .. } => assert!(pass.as_ref().is_none_or(|pass| pass.kind == Kind::Early)),
            Standing::Resting { .. } | Standing::Probation { free: false } => assert_eq!(pass, None),
        }
        self.out.extend(pass);
    }

    fn last_resort(&mut self) {
        let standing = self.machine.standing(self.now);
        let pass = self.machine.begin_last_resort(self.now);
        assert!(pass.is_none() || matches!(standing, Standing::Ejected { .. } | Standing::Probation { free: false }));
        self.out.extend(pass);
    }

    fn finish(&mut self) {
        let (pass, good, chance) = (self.take(), self.random.u8(0..10) < 4, self.random.f64());
        let (era, n) = (self.machine.era(), self.machine.ejections(self.now));
        let stale = pass.era != era;
        let sign = if good { Sign::Good } else { BAD };
        let turn = self.machine.finish(pass, sign, self.now, self.policy, chance);
        if stale {
            assert_eq!((self.machine.era(), self.machine.ejections(self.now), &turn), (era, n, &None));
        }
        if let Some(Turn::Ejected { until, .. }) = turn {
            let seconds = (30.0 * f64::from(1 << n.min(10))).min(300.0) * (0.8 + 0.4 * chance);
            let seconds = if self.policy.sole { seconds.min(5.0) } else { seconds };
            assert!((until.since(self.now).as_secs_f64() - seconds).abs() < 0.002, "{until:?}");
            assert_eq!(self.machine.ejections(self.now), n + 1, "parallel failures count once");
        }
    }

    fn check(&self) {
        let current = |kind| self.out.iter().filter(|pass| pass.kind == kind && pass.era == self.machine.era()).count();
        assert!(current(Kind::Trial) <= 1, "two trials");
        for alone in [Kind::LastResort, Kind::Early] {
            assert!(self.out.iter().filter(|pass| pass.kind == alone).count() <= 1, "two at once: {alone:?}");
        }
        let is_out = matches!(self.machine.phase, Phase::Out { .. });
        assert!(is_out || self.machine.consecutive() < self.policy.threshold);
    }

    /// Whatever happened: left alone it comes back.
    fn end(mut self) {
        self.now = self.now.after(LONGEST_EJECTION.mul_f64(1.2));
        self.out.drain(..).for_each(|pass| self.machine.release(pass));
        assert!(self.machine.begin(self.now).is_some());
    }
}

#[test]
fn a_hundred_thousand_stories_keep_the_promises() {
    for seed in 0..100_000 {
        let told = std::panic::catch_unwind(|| {
            let mut story = Story::new(seed);
            (0..40).for_each(|_| story.step());
            story.end();
        });
        assert!(told.is_ok(), "the story of seed {seed}");
    }
}
