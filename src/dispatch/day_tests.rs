//! A simulated day: requests, failures, checks and the active profile together, on a clock of its own, over many seeds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::plan::{Plan, Step};
use super::retry::Budget;
use crate::config::model::{ProbeKind, Strategy, Tier};
use crate::failover::driver::policy;
use crate::failover::machine::{Cause, Machine, Served};
use crate::failover::proof::{NEEDED, candidates};
use crate::health::schedule::{self, Situation, due, traffic_tells};
use crate::snapshot::Snapshot;
use crate::time::Moment;
use crate::upstream::balance::Picker;
use crate::upstream::bell::Bell;
use crate::upstream::breaker;
use crate::upstream::eligible::{Ask, Why, can_take};
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::fixture;
use crate::upstream::outcome::{Outcome, RateLimit};
use crate::upstream::probe::Circumstances;
use crate::upstream::profile::Profile;

const ASK: Ask<'static> = Ask::model(Some("opus"));
const FILE: &str = "version: 1\nprofiles: { main: { tier: primary, base_url: 'https://a.example', api_key: x } }\n";

/// What an endpoint answers, second by second.
type Fate = Box<dyn Fn(u64) -> Outcome>;

struct Day {
    random: Rng,
    snapshot: Snapshot,
    fates: Vec<Fate>,
    machine: Machine,
    picker: Picker,
    budget: Budget,
    checked: HashMap<EndpointId, Moment>,
    second: u64,
    attempts: u64,
    requests: u64,
    errors: u64,
    /// When which profile became active, and why.
    switches: Vec<(u64, usize, Cause)>,
}

impl Day {
    /// A chain of three tiers with two endpoints each.
    fn new(seed: u64, fates: Vec<Fate>) -> Self {
        let mut random = Rng::with_seed(seed);
        let loaded = crate::config::load_bytes("qcc.yaml".as_ref(), FILE.as_bytes());
        let tiers = [Tier::Primary, Tier::Secondary, Tier::Fallback];
        let chain: Arc<[Arc<Profile>]> = tiers.into_iter().enumerate().map(profile).collect();
        let snapshot = Snapshot {
            generation: 1,
            epoch: 1,
            sha256: "".into(),
            config: Arc::new(loaded.config.expect("a valid file")),
            clients: None,
            chain,
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
            attempts: 0,
            requests: 0,
            errors: 0,
            switches: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment(1_000_000 + self.second * 1000)
    }

    fn answer(&self, endpoint: &Endpoint) -> Outcome {
        let at = self.snapshot.endpoints().position(|other| other.id == endpoint.id).expect("it is in the chain");
        (self.fates[at])(self.second)
    }

    fn breaker(&self) -> breaker::Policy {
        breaker::Policy { threshold: self.snapshot.config.failover.failure_threshold, sole: false }
    }

    /// One second with so many requests, the checks that are due, and the driver's look.
    fn pass(&mut self, requests: usize) {
        (0..requests).for_each(|_| self.request());
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

    fn request(&mut self) {
        let now = self.now();
        self.requests += 1;
        self.budget.request(now);
        let mut plan = Plan::new(&self.snapshot, None, None, false, None);
        let mut served = None;
        while let Some(step) = plan.next(&mut self.picker, &ASK, &self.budget, 0.2, now) {
            let (Step::Ask(ticket) | Step::Repeat(ticket)) = step;
            let endpoint = Arc::clone(ticket.endpoint());
            let outcome = self.answer(&endpoint);
            self.attempts += 1;
            ticket.finish(&outcome, "simulated", &ASK, now, self.breaker(), self.random.f64());
            if outcome == Outcome::Success {
                served = Some(Arc::clone(&endpoint.id.profile));
                break;
            }
            if outcome.is_failure() {
                plan.may_repeat(&endpoint);
            }
        }
        self.errors += u64::from(served.is_none());
        self.report(served.as_ref(), now);
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
            let outcome = self.answer(&endpoint);
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
        trouble.map_or(Outcome::Success, |(_, outcome)| outcome.clone())
    })
}

#[test]
fn nobody_sees_an_error_all_day_while_one_endpoint_is_healthy() {
    for seed in 0..4 {
        let mut random = Rng::with_seed(seed);
        let healthy = random.usize(0..6);
        let fate =
            |nth| -> Fate { if nth == healthy { Box::new(|_| Outcome::Success) } else { troubled(&mut random) } };
        let mut day = Day::new(seed, (0..6).map(fate).collect());
        (0..86_400).for_each(|second| day.pass(usize::from(second % 4 == 0)));
        assert_eq!((day.errors, day.requests), (0, 21_600), "seed {seed}");
        assert!(day.attempts < day.requests * 11 / 10, "seed {seed}: {} attempts", day.attempts);
    }
}

#[test]
fn a_total_failure_makes_no_storm() {
    for seed in 0..10 {
        let mut day = Day::new(seed, (0..6).map(|_| -> Fate { Box::new(|_| Outcome::FAILED) }).collect());
        (0..1800).for_each(|_| day.pass(5));
        let share = day.attempts as f64 / day.requests as f64;
        assert!(share <= 1.2, "seed {seed}: {share} attempts for a request");
    }
}

#[test]
fn recovery_goes_up_in_order_each_step_within_its_cooldown_and_a_minute_also_after_a_restart() {
    for seed in 0..40_u64 {
        let back = 400 + seed * 97;
        let down = move |second| if second < back { Outcome::FAILED } else { Outcome::Success };
        let fate = move |nth: usize| -> Fate { if nth < 4 { Box::new(down) } else { Box::new(|_| Outcome::Success) } };
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
