//! Tests of the task under paused time, against a prober that answers as told.

use std::cell::{Cell, RefCell};
use std::pin::Pin;

use tokio::task::LocalSet;

use super::*;
use crate::health::check::{Class, Seen};
use crate::health::probe::Reply;
use crate::health::request::Checks;
use crate::snapshot::reload::{Past, Publisher};
use crate::upstream::breaker::Standing;

const OFF: Duration = Duration::from_millis(100);

type Script = Box<dyn Fn(&Question) -> Outcome>;

/// Answers as told, after a while.
struct Scripted {
    script: RefCell<Script>,
    takes: Cell<Duration>,
    /// When which endpoint was asked for what.
    sent: RefCell<Vec<(Moment, String, ProbeKind)>>,
    now: RefCell<Vec<u64>>,
    most: Cell<usize>,
}

impl Prober for Scripted {
    fn send(self: Rc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Finding>>> {
        let key = question.endpoint.key_identity;
        assert!(!self.now.borrow().contains(&key), "two at once of one key");
        self.now.borrow_mut().push(key);
        self.most.set(self.most.get().max(self.now.borrow().len()));
        self.sent.borrow_mut().push((Moment::now(), question.endpoint.id.to_string(), question.kind));
        Box::pin(async move {
            tokio::time::sleep(self.takes.get()).await;
            self.now.borrow_mut().retain(|other| *other != key);
            let outcome = (self.script.borrow())(&question);
            let seen = Seen { outcome, detail: String::new(), timed_out: false, overloaded: false };
            Finding { seen, took: self.takes.get(), reply: Some(Reply::default()) }
        })
    }
}

/// A monitor over the endpoints of a file, and everything around it.
struct House {
    prober: Rc<Scripted>,
    monitor: Option<Monitor<Scripted>>,
    checks: Checks,
    cell: SnapshotCell,
    records: Records,
    view: watch::Sender<View>,
    began: Moment,
    _publisher: Publisher,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new(health: &str, profiles: &str) -> Self {
        let dir = tempfile::tempdir().expect("there is a directory for scratch files");
        let path = dir.path().join("qcc.yaml");
        let text = format!("version: 1\nhealth: {{ {health} }}\nprofiles:\n{profiles}");
        std::fs::write(&path, &text).expect("the directory is ours");
        let loaded = crate::config::load_bytes(&path, text.as_bytes());
        let events = Events::new();
        let past = Past { salt: [7; 32], ..Past::default() };
        let publisher = Publisher::open(loaded, past, events.clone()).await.expect("a valid file");
        let (checks, orders) = Checks::channel();
        let (view, failover) = watch::channel(View::default());
        let (cell, records) = (publisher.cell(), Records::default());
        let site = Site {
            cell: cell.clone(),
            own: OwnAddresses::default(),
            control: publisher.control(),
            events,
            failover,
            orders,
            records: records.clone(),
        };
        let prober = Rc::new(Scripted {
            script: RefCell::new(Box::new(|_| Outcome::Success)),
            takes: Cell::new(Duration::from_millis(300)),
            sent: RefCell::default(),
            now: RefCell::default(),
            most: Cell::new(0),
        });
        let monitor = Monitor::new(site, Rc::clone(&prober), Rng::with_seed(7));
        let began = Moment::now();
        Self { prober, monitor: Some(monitor), checks, cell, records, view, began, _publisher: publisher, _dir: dir }
    }

    /// Runs the monitor beside `story`.
    async fn during<T>(&mut self, story: impl Future<Output = T>) -> T {
        let monitor = self.monitor.take().expect("it runs once");
        LocalSet::new()
            .run_until(async {
                tokio::select! {
                    () = monitor.run() => unreachable!("it never ends"),
                    done = story => done,
                }
            })
            .await
    }

    /// Runs it for so long.
    async fn for_seconds(&mut self, seconds: u64) {
        self.during(tokio::time::sleep(Duration::from_secs(seconds))).await;
    }

    fn endpoint(&self, at: usize) -> Arc<Endpoint> {
        self.cell.load().endpoints().nth(at).cloned().expect("it is in the file")
    }

    fn answers(&self, script: impl Fn(&Question) -> Outcome + 'static) {
        *self.prober.script.borrow_mut() = Box::new(script);
    }

    /// Whole seconds at which the endpoint was asked, and for what.
    fn sent(&self, id: &str) -> Vec<(u64, ProbeKind)> {
        let sent = self.prober.sent.borrow();
        let sent = sent.iter().filter(|(_, to, _)| to.ends_with(id));
        sent.map(|(at, _, kind)| (at.since(self.began).as_secs(), *kind)).collect()
    }
}

fn request(endpoint: &Arc<Endpoint>, outcome: &Outcome) {
    request_taking(Duration::from_millis(200), endpoint, outcome);
}

fn request_taking(time: Duration, endpoint: &Arc<Endpoint>, outcome: &Outcome) {
    let ask = Ask::default();
    if let Some(ticket) = endpoint.begin(&ask, Moment::now().before(time)) {
        let policy = breaker::Policy { threshold: 3, sole: false };
        ticket.finish(outcome, "detail", &ask, Moment::now(), policy, 0.5);
    }
}

const TWO: &str = "  main: { tier: primary, base_url: 'https://a.example', api_key: one }
  more: { tier: secondary, base_url: 'https://b.example', api_key: two }
";

#[tokio::test(start_paused = true)]
async fn idle_endpoints_are_asked_for_a_connection_once_an_interval() {
    let mut house = House::new("", TWO).await;
    house.for_seconds(600).await;
    for id in ["main", "more"] {
        let sent = house.sent(id);
        assert!(matches!(sent.len(), 9 | 10), "{sent:?}");
        assert!(sent.iter().all(|(_, kind)| *kind == ProbeKind::Reachability), "{sent:?}");
    }
    assert_eq!(
        house.records.of(&house.endpoint(0).id).map(|record| record.checks().len()),
        Some(house.sent("main").len())
    );
}

#[tokio::test(start_paused = true)]
async fn while_requests_tell_nothing_is_asked() {
    let mut house = House::new("", TWO).await;
    let endpoint = house.endpoint(0);
    let busy = async {
        for _ in 0..60 {
            request(&endpoint, &Outcome::Success);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    };
    house.during(busy).await;
    assert_eq!((house.sent("main").len(), house.sent("more").is_empty()), (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_key_in_two_profiles_is_asked_once_and_both_learn_of_it() {
    let profiles = "  main: { tier: primary, base_url: 'https://a.example', api_key: one }
  more: { tier: secondary, base_url: 'https://a.example', api_key: one }
";
    let mut house = House::new("probe: messages", profiles).await;
    house.for_seconds(200).await;
    assert!((house.sent("main").len() == 3) && house.sent("more").is_empty(), "{:?}", house.prober.sent.borrow());
    for at in [0, 1] {
        let record = house.records.of(&house.endpoint(at).id).expect("it serves");
        assert_eq!((record.checks().len(), house.endpoint(at).state.good_probes()), (3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_two_are_in_flight() {
    let profile = |n: u32| format!("  p{n}: {{ tier: primary, base_url: 'https://{n}.example', api_key: k{n} }}\n");
    let profiles: String = (0..9).map(profile).collect();
    let mut house = House::new("probe: models, interval: 1s", &profiles).await;
    house.prober.takes.set(Duration::from_secs(2));
    house.for_seconds(60).await;
    assert_eq!(house.prober.most.get(), 2);
    for n in 0..9 {
        assert!(house.sent(&format!("p{n}")).len() >= 4, "everybody has a turn: {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_is_asked_for_conversations_and_admitted_by_two() {
    let mut house = House::new("", TWO).await;
    let endpoint = house.endpoint(0);
    (0..3).for_each(|_| request(&endpoint, &Outcome::Local));
    house.for_seconds(50).await;
    let sent = house.sent("main");
    assert!(sent.len() >= 2 && sent.iter().all(|(_, kind)| *kind == ProbeKind::Messages), "{sent:?}");
    assert!((24..=37).contains(&sent[0].0), "not before its ejection is over: {sent:?}");
    assert_eq!(endpoint.state.standing(Moment::now()), Standing::Admitting);
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_is_asked_every_five_minutes_until_it_works() {
    let mut house = House::new("", TWO).await;
    let endpoint = house.endpoint(0);
    let began = house.began;
    house.answers(move |question| match question.endpoint.id.id.as_ref() {
        "main" if Moment::now().since(began) < Duration::from_mins(12) => Outcome::Auth,
        _ => Outcome::Success,
    });
    request(&endpoint, &Outcome::Auth);
    house.for_seconds(14 * 60).await;
    assert!(endpoint.key.is_dead());
    assert_eq!(house.sent("main").iter().map(|(at, _)| at / 60).collect::<Vec<_>>(), [5, 10]);
    let mut house = House::new("", TWO).await;
    let endpoint = house.endpoint(0);
    request(&endpoint, &Outcome::Auth);
    house.for_seconds(301).await;
    assert_eq!((endpoint.key.is_dead(), house.sent("main")), (false, vec![(300, ProbeKind::Messages)]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fell_silent_is_asked_at_once() {
    let mut house = House::new("", TWO).await;
    let (endpoint, checks) = (house.endpoint(1), house.checks.clone());
    request(&endpoint, &Outcome::Success);
    house
        .during(async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            checks.suspect(&endpoint.id);
            tokio::time::sleep(OFF).await;
        })
        .await;
    assert_eq!(house.sent("more"), [(7, ProbeKind::Messages)]);
}

#[tokio::test(start_paused = true)]
async fn a_check_by_hand_is_answered_also_where_checks_are_off_and_never_sent_with_a_clients_key() {
    let profiles = "  main: { tier: primary, base_url: 'https://a.example', api_key: one }
  open: { tier: secondary, base_url: 'https://b.example', auth: passthrough }
";
    let mut house = House::new("enabled: false", profiles).await;
    let ids = vec![house.endpoint(0).id.clone(), house.endpoint(1).id.clone()];
    let checks = house.checks.clone();
    let mut checked = house
        .during(async {
            tokio::time::sleep(Duration::from_secs(500)).await;
            checks.check(ids).await
        })
        .await;
    checked.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    let classes: Vec<_> = checked.iter().map(|checked| checked.result.as_ref().map(|check| check.class)).collect();
    assert_eq!(classes, [Ok(Class::Success), Err(&"clients bring their own keys")]);
    assert_eq!(house.prober.sent.borrow().len(), 1, "nothing but what was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_better_profile_has_to_prove_itself_before_the_cooldown_is_over() {
    let mut house = House::new("", TWO).await;
    house.cell = {
        let switched = house.cell.load().with_active(1, false);
        let cell = SnapshotCell::new(switched);
        house.monitor.as_mut().expect("it did not run").site.cell = cell.clone();
        cell
    };
    let from = house.began.after(Duration::from_mins(5));
    house.view.send_modify(|view| view.recovery_from = Some(from));
    house.for_seconds(305).await;
    let proofs: Vec<_> = house.sent("main").into_iter().filter(|(_, kind)| *kind == ProbeKind::Messages).collect();
    assert!(proofs.len() >= 3 && proofs[0].0 >= 270, "{proofs:?}");
    assert!(house.endpoint(0).state.good_probes() >= 3);
    assert!(house.sent("more").iter().all(|(_, kind)| *kind == ProbeKind::Reachability));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_slow_and_flaky_loses_weight_and_regains_it() {
    let mut house = House::new("", TWO).await;
    let endpoint = house.endpoint(0);
    let mut least = 1.0_f32;
    let story = async {
        for n in 0..400_u32 {
            let outcome = if n < 100 && n % 2 == 0 { Outcome::Local } else { Outcome::Success };
            request_taking(Duration::from_millis(if n < 100 { 3000 } else { 200 }), &endpoint, &outcome);
            tokio::time::sleep(Duration::from_secs(1)).await;
            least = least.min(endpoint.state.health());
        }
        endpoint.state.health()
    };
    let regained = house.during(story).await;
    assert!(least < 0.7, "{least}");
    assert!((regained - 1.0).abs() < f32::EPSILON, "{regained}");
}

#[tokio::test(start_paused = true)]
async fn without_adjusting_every_endpoint_keeps_its_weight() {
    let mut house = House::new("adjust_weights: false", TWO).await;
    let endpoint = house.endpoint(0);
    endpoint.state.set_health(0.3);
    house.monitor.as_mut().expect("it did not run").follow(&house.cell.load(), Moment::now());
    house.records.with(&endpoint.id, |entry| entry.factor = Factor::restored(0.3));
    house.for_seconds(30).await;
    assert!((endpoint.state.health() - 1.0).abs() < f32::EPSILON);
}
