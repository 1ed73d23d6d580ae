//! A simulated day: requests that take their time and wait, failures, checks and the active profile together, on a clock of
//! its own, over many seeds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::plan::{Plan, Step};
use super::retry::{Budget, breather};
use crate::config::model::{ProbeKind, Strategy, Tier};
use crate::failover::driver::policy;
use crate::failover::machine::{Cause, Machine, Served};
use crate::failover::proof::{NEEDED, candidates};
use crate::health::schedule::{self, Situation, due, traffic_tells};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::attempt::Ticket;
use crate::upstream::balance::Picker;
use crate::upstream::bell::Bell;
use crate::upstream::breaker;
use crate::upstream::eligible::{Ask, Why, can_take};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::fixture;
use crate::upstream::outcome::{Outcome, RateLimit};
use crate::upstream::probe::Circumstances;
use crate::upstream::profile::Profile;
use crate::upstream::state::EndpointState;

const ASK: Ask<'static> = Ask::model(Some("opus"));
const FILE: &str = "version: 1\nprofiles: { main: { tier: primary, base_url: 'https://a.example', api_key: x } }\n";

/// What an endpoint answers, second by second, and after how many.
type Fate = Box<dyn Fn(u64) -> (Outcome, u64)>;

/// A request in progress, as `Run` and `Unanswered` have it.
struct Live {
    plan: Plan,
    began: u64,
    /// Whom it asks, what that will say, and when.
    asked: Option<(Ticket, Outcome, u64)>,
    failed: Vec<(Arc<EndpointState>, u32)>,
    /// How often nobody was left to ask.
    rounds: u32,
    /// No second chance before.
    not_before: Moment,
}

impl Live {
    fn is_worn(&self, endpoint: &Endpoint) -> bool {
        self.failed.iter().any(|(state, era)| Arc::ptr_eq(state, &endpoint.state) && *era == state.era())
    }
}

struct Day {
    random: Rng,
    snapshot: Snapshot,
    fates: Vec<Fate>,
    machine: Machine,
    picker: Picker,
    budget: Budget,
    checked: HashMap<EndpointId, Moment>,
    second: u64,
    /// Seconds a request waits.
    hold: u64,
    live: Vec<Live>,
    attempts: u64,
    requests: u64,
    errors: u64,
    /// When which profile became active, and why.
    switches: Vec<(u64, usize, Cause)>,
}

impl Day {
    /// A chain of up to three tiers with two endpoints each.
    fn new(seed: u64, fates: Vec<Fate>) -> Self {
        let mut random = Rng::with_seed(seed);
        let loaded = crate::config::load_bytes("qcc.yaml".as_ref(), FILE.as_bytes());
        let tiers = [Tier::Primary, Tier::Secondary, Tier::Fallback];
        let chain: Arc<[Arc<Profile>]> = tiers.into_iter().take(fates.len() / 2).enumerate().map(profile).collect();
        let snapshot = Snapshot {
            generation: 1,
            epoch: 1,
            sha256: "".into(),
            config: Arc::new(loaded.config.expect("a valid file")),
            clients: None,
            hooks: Arc::new([]),
            chain,
            aside: Arc::new([]),
            active: 0,
            pinned: false,
            sole: false,
            several_groups: false,
            passes_through: false,
            bell: Bell::default(),
        };
        let (picker, machine) = (Picker::new(random.u64(..)), Machine::new());
        Self {
            random,
            snapshot,
            fates,
            machine,
            picker,
            budget: Budget::default(),
            checked: HashMap::new(),
            second: 0,
            hold: 0,
            live: Vec::new(),
            attempts: 0,
            requests: 0,
            errors: 0,
            switches: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment(1_000_000 + self.second * 1000)
    }

    fn answer(&self, endpoint: &Endpoint) -> (Outcome, u64) {
        let at = self.snapshot.endpoints().position(|other| other.id == endpoint.id).expect("it is in the chain");
        (self.fates[at])(self.second)
    }

    fn breaker(&self) -> breaker::Policy {
        breaker::Policy { threshold: self.snapshot.config.failover.failure_threshold, sole: false }
    }

    /// One second with so many requests, the checks that are due, and the driver's look.
    fn pass(&mut self, requests: usize) {
        (0..requests).for_each(|_| self.come());
        for live in std::mem::take(&mut self.live) {
            self.go_on(live);
        }
        self.check();
        let (chain, now) = (candidates(&self.snapshot, None, self.now()), self.now());
        let switch = self.machine.recover(self.snapshot.active, &chain, now, policy(&self.snapshot));
        self.follow(switch);
        self.second += 1;
    }

    fn follow(&mut self, switch: Option<crate::failover::machine::Switch>) {
        if let Some(switch) = switch {
            self.switches.push((self.second, switch.index, switch.cause));
            self.snapshot = self.snapshot.with_active(switch.index, false);
        }
    }

    fn come(&mut self) {
        let now = self.now();
        self.requests += 1;
        self.budget.request(now);
        let plan = Plan::new(&self.snapshot, None, None, false, None);
        let (asked, failed) = (None, Vec::new());
        self.live.push(Live { plan, began: self.second, asked, failed, rounds: 0, not_before: now });
    }

    /// All that a request does within this second.
    fn go_on(&mut self, mut live: Live) {
        let now = self.now();
        loop {
            let over = live.asked.take_if(|(_, _, until)| *until <= self.second);
            if let Some(profile) = over.and_then(|over| self.end(&mut live, over)) {
                if live.rounds == 0 {
                    self.report(Some(&profile), now);
                }
                return;
            }
            if live.asked.is_some() {
                break;
            }
            let Some(ticket) = self.next(&mut live, now) else { break };
            let (outcome, took) = self.answer(ticket.endpoint());
            self.attempts += 1;
            live.asked = Some((ticket, outcome, self.second + took));
        }
        if live.asked.is_some() || self.second < live.began + self.hold {
            return self.live.push(live);
        }
        self.errors += 1;
    }

    /// Whom it asks next; who has nobody left plans anew, as those who wait do.
    fn next(&mut self, live: &mut Live, now: Moment) -> Option<Ticket> {
        if let Some(step) = live.plan.next(&mut self.picker, &ASK, &self.budget, 0.2, now) {
            let (Step::Ask(ticket) | Step::Repeat(ticket)) = step;
            return Some(ticket);
        }
        if live.rounds == 0 {
            self.report(None, now);
            (live.rounds, live.not_before) = (1, now.after(breather(0, self.random.f64())));
        }
        live.plan = Plan::new(&self.snapshot, None, None, false, None).without(|endpoint| live.is_worn(endpoint));
        let first = live.plan.first_chance(&mut self.picker, &ASK, now);
        if first.is_some() || now < live.not_before {
            return first;
        }
        live.not_before = now.after(breather(live.rounds, self.random.f64()));
        live.rounds += 1;
        live.plan.second_chance(&ASK, &self.budget, 0.2, now)
    }

    /// An endpoint has said how it went; its profile, if it served.
    fn end(&mut self, live: &mut Live, (ticket, outcome, _): (Ticket, Outcome, u64)) -> Option<Arc<str>> {
        let endpoint = Arc::clone(ticket.endpoint());
        if outcome.is_failure() {
            live.plan.may_repeat(&endpoint);
            live.failed.push((Arc::clone(&endpoint.state), endpoint.state.era()));
        }
        ticket.finish(&outcome, "simulated", &ASK, self.now(), self.breaker(), self.random.f64());
        (outcome == Outcome::Success).then(|| Arc::clone(&endpoint.id.profile))
    }

    fn report(&mut self, served: Option<&Arc<str>>, now: Moment) {
        let active = Arc::clone(&self.snapshot.chain[self.snapshot.active]);
        let soon = now.after(Duration::from_mins(1));
        let rests = |endpoint: &Arc<Endpoint>| {
            let blocked = can_take(endpoint, &ASK, now).err();
            blocked.is_some_and(|blocked| {
                matches!(blocked.why, Why::Rate { .. } | Why::Resting)
                    && blocked.until.is_some_and(|until| until <= soon)
            })
        };
        let how = match served {
            Some(profile) if *profile == active.name => Served::Itself,
            _ => Served::Not { short_rest: active.endpoints.iter().all(rests) },
        };
        let chain = candidates(&self.snapshot, None, now);
        let policy = policy(&self.snapshot);
        let switch = self.machine.served(how, &active.name, self.snapshot.active, &chain, now, policy);
        self.follow(switch);
    }

    fn check(&mut self) {
        let now = self.now();
        for endpoint in self.snapshot.endpoints().cloned().collect::<Vec<_>>() {
            let health = self.snapshot.config.health.clone();
            let policy = schedule::Policy::of(&health, &endpoint.health);
            let last = *self.checked.entry(endpoint.id.clone()).or_insert(now);
            let Some(next) = due(&policy, &self.situation(&endpoint, last, &policy), 0.5) else { continue };
            if next.at > now {
                continue;
            }
            self.checked.insert(endpoint.id.clone(), now);
            let proves = next.kind != ProbeKind::Reachability;
            let ticket = if proves { endpoint.begin_probe(&ASK, now) } else { endpoint.begin_reach(now) };
            let (outcome, took) = self.answer(&endpoint);
            // Who has not answered by then has failed the check.
            let outcome = if took > 30 { Outcome::FAILED } else { outcome };
            if proves {
                endpoint.state.probed(outcome == Outcome::Success);
            }
            let traffic = traffic_tells(endpoint.state.told_at(), policy.interval, now);
            let around = Circumstances { ask: ASK, now, policy: self.breaker(), chance: self.random.f64(), traffic };
            ticket.finish(&outcome, "simulated", around);
        }
    }

    fn situation(&self, endpoint: &Endpoint, last: Moment, checks: &schedule::Policy<'_>) -> Situation {
        let better = self.snapshot.chain[..self.snapshot.active].iter().any(|one| one.name == endpoint.id.profile);
        let from = self.machine.recovery_from(policy(&self.snapshot)).filter(|_| better);
        let blocked = can_take(endpoint, &ASK, self.now()).err();
        Situation {
            last,
            out: endpoint.state.probe_from(),
            dead: endpoint.key.death().map(|(_, trial)| trial),
            resting: blocked.filter(|one| matches!(one.why, Why::Rate { .. } | Why::Resting)).and_then(|one| one.until),
            candidate: from.map(|from| from.before(checks.recovery_interval * NEEDED)),
            told: endpoint.state.told_at(),
            suspect: false,
        }
    }
}

fn profile((nth, tier): (usize, Tier)) -> Arc<Profile> {
    let name: Arc<str> = format!("p{nth}").into();
    let endpoint = |id: &str| {
        let id = EndpointId { profile: Arc::clone(&name), id: id.into() };
        Arc::new(Endpoint { id, ..fixture::endpoint("x") })
    };
    let endpoints = vec![endpoint("a"), endpoint("b")];
    Arc::new(Profile { name: Arc::clone(&name), tier, strategy: Strategy::Weighted, affinity: None, endpoints })
}

/// A day with deaths of minutes to hours, bursts of 429 and refused keys.
fn troubled(random: &mut Rng) -> Fate {
    let mut troubles = Vec::new();
    for _ in 0..random.usize(3..12) {
        let (from, lasts) = (random.u64(0..86_400), random.u64(5..4000));
        let outcome = match random.u8(0..4) {
            0 => Outcome::Rate(RateLimit { wait: Some(Duration::from_secs(random.u64(1..120))), whole_key: true }),
            1 => Outcome::Local,
            2 => Outcome::Auth,
            _ => Outcome::FAILED,
        };
        troubles.push((from..from + lasts, outcome));
    }
    Box::new(move |second| {
        let trouble = troubles.iter().find(|(when, _)| when.contains(&second));
        trouble.map_or((Outcome::Success, 0), |(_, outcome)| (outcome.clone(), 0))
    })
}

/// The same with answers that take seconds, and hours in which the first byte never comes.
fn slow(random: &mut Rng) -> Fate {
    let (troubled, usual) = (troubled(random), random.u64(0..20));
    let hangs: Vec<_> = (0..random.usize(1..4)).map(|_| random.u64(0..86_400)).collect();
    Box::new(move |second| match troubled(second) {
        _ if hangs.iter().any(|from| (*from..from + 3000).contains(&second)) => (Outcome::FAILED, 60),
        (Outcome::Success, _) => (Outcome::Success, usual + second % 7),
        other => other,
    })
}

fn well(_: u64) -> (Outcome, u64) {
    (Outcome::Success, 0)
}

fn dead(_: u64) -> (Outcome, u64) {
    (Outcome::FAILED, 0)
}

#[test]
fn nobody_sees_an_error_all_day_while_one_endpoint_is_healthy() {
    for seed in 0..4 {
        let mut random = Rng::with_seed(seed);
        let healthy = random.usize(0..6);
        let fate = |nth| -> Fate { if nth == healthy { Box::new(well) } else { troubled(&mut random) } };
        let mut day = Day::new(seed, (0..6).map(fate).collect());
        (0..86_400).for_each(|second| day.pass(usize::from(second % 4 == 0)));
        assert_eq!((day.errors, day.requests), (0, 21_600), "seed {seed}");
        assert!(day.attempts < day.requests * 11 / 10, "seed {seed}: {} attempts", day.attempts);
    }
}

#[test]
fn nobody_sees_an_error_all_day_among_slow_endpoints_of_which_one_is_healthy() {
    for seed in 10..13 {
        let mut random = Rng::with_seed(seed);
        let healthy = random.usize(0..6);
        let fate = |nth| -> Fate {
            if nth == healthy { Box::new(|second| (Outcome::Success, second % 9)) } else { slow(&mut random) }
        };
        let mut day = Day::new(seed, (0..6).map(fate).collect());
        (0..86_400).for_each(|second| day.pass(usize::from(second % 4 == 0)));
        assert_eq!((day.errors, day.requests), (0, 21_600), "seed {seed}");
        assert!(day.attempts < day.requests * 11 / 10, "seed {seed}: {} attempts", day.attempts);
    }
}

/// `among` endpoints of which one at a time is healthy, for so many seconds, and after it for up to `gap` none is.
fn round(random: &mut Rng, among: usize, lasts: std::ops::Range<u64>, gap: u64) -> Vec<Fate> {
    let (mut turns, mut end) = (Vec::new(), 0);
    while end < 43_200 {
        let from = end + random.u64(0..=gap);
        end = from + random.u64(lasts.clone());
        turns.push((from..end, random.usize(0..among)));
    }
    let turns: Arc<[_]> = turns.into();
    let fate = |nth| -> Fate {
        let turns = Arc::clone(&turns);
        Box::new(move |second| {
            let turn = turns.get(turns.partition_point(|(when, _)| when.end <= second));
            if turn.is_some_and(|(when, who)| *who == nth && when.contains(&second)) {
                well(second)
            } else {
                dead(second)
            }
        })
    };
    (0..among).map(fate).collect()
}

#[test]
fn nobody_who_holds_sees_an_error_while_health_goes_round() {
    for seed in 20..24 {
        let mut random = Rng::with_seed(seed);
        for fates in [round(&mut random, 2, 5..15, 0), round(&mut random, 4, 60..300, 5)] {
            let mut day = Day::new(seed, fates);
            day.hold = 30;
            (0..43_200).for_each(|_| day.pass(1));
            assert_eq!((day.errors, day.requests), (0, 43_200), "seed {seed}");
            let share = day.attempts as f64 / day.requests as f64;
            assert!(share <= 1.4, "seed {seed}: {share} attempts for a request, ejections and first tries included");
        }
    }
}

#[test]
fn a_total_failure_makes_no_storm_of_those_who_hold_either() {
    for seed in 0..2 {
        let hangs = |second| (Outcome::FAILED, if second % 3 == 0 { 60 } else { 0 });
        let mut day = Day::new(seed, (0..6).map(|_| -> Fate { Box::new(hangs) }).collect());
        day.hold = 30;
        (0..900).for_each(|_| day.pass(5));
        let share = day.attempts as f64 / day.requests as f64;
        assert!(
            share <= 1.2 && day.errors > 4000,
            "seed {seed}: {share} attempts for a request, {} errors",
            day.errors
        );
    }
}

#[test]
fn a_total_failure_makes_no_storm() {
    for seed in 0..10 {
        let mut day = Day::new(seed, (0..6).map(|_| -> Fate { Box::new(dead) }).collect());
        (0..1800).for_each(|_| day.pass(5));
        let share = day.attempts as f64 / day.requests as f64;
        assert!(share <= 1.2, "seed {seed}: {share} attempts for a request");
    }
}

#[test]
fn recovery_goes_up_in_order_each_step_within_its_cooldown_and_a_minute_also_after_a_restart() {
    for seed in 0..40_u64 {
        let back = 400 + seed * 97;
        let down = move |second| if second < back { dead(second) } else { well(second) };
        let fate = move |nth: usize| -> Fate { if nth < 4 { Box::new(down) } else { Box::new(well) } };
        let mut day = Day::new(seed, (0..6).map(fate).collect());
        for second in 0..back + 1000 {
            day.pass(1);
            if second % 53 == 0 {
                day.machine = Machine::resumed(day.machine.memory());
            }
        }
        let [.., fallen, first, second] = day.switches[..] else { panic!("seed {seed}: {:?}", day.switches) };
        assert_eq!((fallen.1, first.1, second.1), (2, 1, 0), "seed {seed}: {:?}", day.switches);
        assert_eq!((first.2, second.2, day.errors), (Cause::Recovery, Cause::Recovery, 0));
        let cooldown = 300;
        assert!(first.0 <= back.max(fallen.0 + cooldown) + 60, "seed {seed}, back at {back}: {:?}", day.switches);
        assert!((first.0 + cooldown..=first.0 + cooldown + 60).contains(&second.0), "seed {seed}: {:?}", day.switches);
    }
}
