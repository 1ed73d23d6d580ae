//! Tests of what outlives a process: one keeps, another takes up.

use std::time::SystemTime;

use super::super::factor::Factor;
use super::super::kept::{Kept, forgive};
use super::*;
use crate::config::model::ProbeKind;
use crate::snapshot::reload::{Past, Publisher};
use crate::telemetry::Events;
use crate::telemetry::event::Tokens;
use crate::upstream::breaker::Policy;
use crate::upstream::eligible::{Ask, Why, can_take};
use crate::upstream::outcome::{Outcome, RateLimit};

const FILE: &str = "version: 1
profiles:
  main: { tier: primary, base_url: 'https://a.example', api_key: one }
  more: { tier: secondary, base_url: 'https://b.example', api_key: two }
  last: { tier: fallback, base_url: 'https://c.example', api_key: three }
";

/// What runs in one process.
struct Process {
    publisher: Publisher,
    records: Records,
    view: watch::Sender<View>,
    keeper: Keeper,
    _dir: tempfile::TempDir,
}

impl Process {
    async fn start(text: &str, salt: u8, store: &Store) -> Self {
        let dir = tempfile::tempdir().expect("there is a directory for scratch files");
        let path = dir.path().join("qcc.yaml");
        std::fs::write(&path, text).expect("the directory is ours");
        let loaded = crate::config::load_bytes(&path, text.as_bytes());
        let past = Past { salt: [salt; 32], ..Past::default() };
        let publisher = Publisher::open(loaded, past, Events::new()).await.expect("a valid file");
        let (view, failover) = watch::channel(View::default());
        let (records, store) = (Records::default(), store.clone());
        let keeper = Keeper { store, cell: publisher.cell(), records: records.clone(), failover };
        let kept = Kept::read(&keeper.store).await.expect("it can be read");
        if let Some((active, pinned)) = kept.active() {
            publisher.resume(active, pinned);
        }
        kept.restore(&publisher.cell().load(), &records, Clocks::now());
        let memory = kept.memory(&publisher.cell().load(), Clocks::now());
        view.send_modify(|view| view.memory = memory);
        Self { publisher, records, view, keeper, _dir: dir }
    }

    fn endpoint(&self, at: usize) -> Arc<Endpoint> {
        self.publisher.cell().load().endpoints().nth(at).cloned().expect("it is in the file")
    }

    fn request(&self, at: usize, outcome: &Outcome) {
        let ask = Ask::model(Some("opus"));
        let ticket = self.endpoint(at).begin(&ask, Moment::now()).expect("it takes requests");
        ticket.finish(outcome, "refused", &ask, Moment::now(), Policy { threshold: 3, sole: false }, 0.5);
    }

    fn why(&self, at: usize) -> Option<Why> {
        can_take(&self.endpoint(at), &Ask::model(Some("opus")), Moment::now()).err().map(|blocked| blocked.why)
    }
}

fn store() -> Store {
    Store::in_memory("a test").expect("memory is there")
}

fn check_of(class: Class) -> Check {
    Check {
        at: SystemTime::now(),
        kind: ProbeKind::Messages,
        class,
        took: Duration::from_millis(70),
        quality: Some(80),
        valid: Some(true),
        detail: "".into(),
        tokens: Tokens { input: 20, output: 8, ..Tokens::default() },
    }
}

#[tokio::test]
async fn a_later_process_goes_on_where_the_earlier_one_ended() {
    let store = store();
    let first = Process::start(FILE, 7, &store).await;
    for _ in 0..3 {
        first.request(0, &Outcome::Local);
    }
    first.request(1, &Outcome::Auth);
    let limit = RateLimit { wait: Some(Duration::from_mins(20)), whole_key: false };
    first.request(2, &Outcome::Success);
    first.request(2, &Outcome::Rate(limit));
    for endpoint in 0..3 {
        let endpoint = first.endpoint(endpoint);
        first.records.restore(&endpoint.id, endpoint.identity, Record::default(), Factor::default());
    }
    let last = first.endpoint(2);
    first.records.add(&last.id, last.identity, check_of(Class::Timeout));
    first.endpoint(2).state.set_health(0.4);
    first.publisher.resume("more", true);
    let switched = Moment::now().before(Duration::from_secs(100));
    first.view.send_modify(|view| {
        view.memory = Memory { pinned: true, switched: Some(switched), recovered: None, flaps: 2 };
    });
    first.keeper.finish().await;

    let later = Process::start(FILE, 7, &store).await;
    assert_eq!([later.why(0), later.why(1)], [Some(Why::Ejected), Some(Why::DeadKey)]);
    assert_eq!(later.why(2), Some(Why::Rate { whole_key: false }));
    let Standing::Ejected { until, reason } = later.endpoint(0).state.standing(Moment::now()) else { panic!("out") };
    assert!(until.since(Moment::now()) > Duration::from_secs(20), "its time goes on");
    assert_eq!(&*reason, "3 failures in a row: refused");
    let snapshot = later.publisher.cell().load();
    assert_eq!((snapshot.active, snapshot.pinned), (1, true));
    let memory = later.view.borrow().memory;
    assert_eq!((memory.pinned, memory.flaps), (true, 2));
    let since = memory.switched.map(|at| Moment::now().since(at).as_secs());
    assert!(since.is_some_and(|since| (99..=103).contains(&since)), "{since:?}");
    let counts = later.endpoint(2).state.counts();
    assert_eq!((counts.succeeded, counts.rate_limited, later.endpoint(2).state.samples().len()), (1, 1, 1));
    assert!((later.endpoint(2).state.health() - 0.4).abs() < 1e-6);
    let record = later.records.of(&later.endpoint(2).id).expect("it was kept");
    assert_eq!((record.totals().of(Class::Timeout), record.totals().tokens.output), (1, 8));
    assert_eq!(record.last().map(|check| (check.class, check.valid)), Some((Class::Timeout, Some(true))));
}

#[tokio::test]
async fn another_address_or_key_starts_afresh_and_keeping_twice_counts_once() {
    let store = store();
    let first = Process::start(FILE, 7, &store).await;
    for _ in 0..3 {
        first.request(0, &Outcome::Local);
    }
    first.keeper.finish().await;
    first.keeper.finish().await;
    let other = FILE.replace("one", "another");
    let later = Process::start(&other, 7, &store).await;
    assert_eq!((later.why(0), later.endpoint(0).state.counts().failed), (None, 0));
    later.request(0, &Outcome::Success);
    later.keeper.finish().await;
    let days = store.read(|view| endpoints::days(view, 0)).await.expect("it can be read");
    let main: Vec<_> = days.iter().filter(|day| day.endpoint == "main/main").collect();
    let sums = main.iter().fold((0, 0), |sum, day| (sum.0 + day.numbers.failed, sum.1 + day.numbers.succeeded));
    assert_eq!(sums, (3, 1), "{days:?}");
}

#[tokio::test]
async fn a_model_that_an_endpoint_does_not_have_is_not_asked_of_it_after_a_restart_either() {
    let store = store();
    let first = Process::start(FILE, 7, &store).await;
    first.request(0, &Outcome::Model);
    first.keeper.finish().await;
    let later = Process::start(FILE, 7, &store).await;
    assert_eq!([later.why(0), later.why(1)], [Some(Why::Model), None]);
    let elsewhere = Process::start(&FILE.replace("one", "another"), 7, &store).await;
    assert_eq!(elsewhere.why(0), None, "with another key it may have it");
    let forgive = forgive(&later.endpoint(0));
    store.note(forgive);
    assert_eq!(Process::start(FILE, 7, &store).await.why(0), None);
}

#[tokio::test]
async fn good_checks_count_on_for_a_recovery() {
    let store = store();
    let first = Process::start(FILE, 7, &store).await;
    let main = first.endpoint(0);
    first.records.restore(&main.id, main.identity, Record::default(), Factor::default());
    for class in [Class::Success, Class::Timeout, Class::Success, Class::Success] {
        tokio::time::sleep(Duration::from_millis(2)).await;
        first.records.add(&main.id, main.identity, check_of(class));
    }
    first.keeper.finish().await;
    let later = Process::start(FILE, 7, &store).await;
    assert_eq!(later.endpoint(0).state.good_probes(), 2);
}

#[tokio::test]
async fn no_key_is_kept_and_without_the_salt_nothing_is_recognised() {
    let store = store();
    let secret = "sk-canary-never-seen";
    let text = FILE.replace("one", secret);
    let first = Process::start(&text, 7, &store).await;
    first.request(0, &Outcome::Auth);
    first.keeper.finish().await;
    let (dead, _) = store.read(keys::all).await.expect("it can be read");
    assert_eq!(dead.len(), 1);
    assert!(!format!("{dead:?}").contains("canary"));
    let elsewhere = Process::start(&text, 8, &store).await;
    assert_eq!(elsewhere.why(0), None);
}

#[tokio::test]
async fn what_is_known_of_endpoints_that_take_no_traffic_is_kept() {
    let store = store();
    let mut first = Process::start(FILE, 7, &store).await;
    first.request(1, &Outcome::Auth);
    first.request(2, &Outcome::Success);
    let snapshot = first.publisher.cell().load();
    let mut without = snapshot.with_active(0, false);
    without.aside = snapshot.endpoints().skip(1).cloned().collect();
    without.chain = snapshot.chain.iter().take(1).cloned().collect();
    first.keeper.cell = SnapshotCell::new(without);
    first.keeper.finish().await;

    let later = Process::start(FILE, 7, &store).await;
    assert_eq!(later.why(1), Some(Why::DeadKey));
    assert_eq!(later.endpoint(2).state.counts().succeeded, 1);
}
