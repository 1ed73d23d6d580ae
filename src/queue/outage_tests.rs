//! Outages on a clock of their own, through the real worker, book and store, against a real endpoint.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::worker::{Clerk, work};
use super::*;
use crate::dispatch::Shared;
use crate::failover::reports::{Reported, Reports};
use crate::health::request::{Checks, Orders};
use crate::limit::Limit;
use crate::net::OwnAddresses;
use crate::snapshot::reload::{Past, Publisher};
use crate::store::entries::{Bounds, Entry, Request as Stored};
use crate::telemetry::meter::Origin;
use crate::upstream::balance::Picker;
use crate::upstream::client::Client;

/// The clock moves by so much at once.
const STEP: Duration = Duration::from_millis(500);
const MESSAGE: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

/// The endpoint: what it was asked, and what it answers.
#[derive(Default)]
struct Seen {
    up: Cell<bool>,
    /// When it was asked for which entry, by its number.
    calls: RefCell<Vec<(Moment, usize)>>,
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Seen {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.expect("it is whole").to_bytes();
        let asked: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let number = asked["number"].as_u64().and_then(|number| usize::try_from(number).ok()).expect("its number");
        self.calls.borrow_mut().push((Moment::now(), number));
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
        for _ in 0..5 {
            yield_now().await;
        }
        self.now.set(self.now.get() - 1);
        let (status, text) = if self.up.get() { (200, MESSAGE) } else { (500, r#"{"type":"error"}"#) };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// Serves `seen` on `listener`, until dropped with its tasks.
async fn serve(listener: TcpListener, seen: Rc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        drop(spawn_local(connection(stream, Rc::clone(&seen))));
    }
}

async fn connection(stream: TcpStream, seen: Rc<Seen>) {
    let service = service_fn(move |request| Rc::clone(&seen).answer(request));
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// A worker at work on so many entries.
struct House {
    seen: Rc<Seen>,
    store: Store,
    /// Live requests.
    in_flight: Limit,
    began: Moment,
    _kept: (Publisher, Reported, Orders, tempfile::TempDir),
}

/// Runs `story` beside the worker; the clock stands unless the story moves it.
async fn during<F: Future<Output = ()>>(queue: &str, entries: usize, story: impl FnOnce(Rc<House>) -> F) {
    LocalSet::new()
        .run_until(async {
            // As long as this has something to do the clock does not run ahead by itself.
            let _busy = spawn_local(async {
                loop {
                    yield_now().await;
                }
            });
            let (house, clerk) = House::new(queue, entries).await;
            drop(spawn_local(work(clerk, std::future::pending())));
            story(Rc::new(house)).await;
        })
        .await;
}

impl House {
    async fn new(queue: &str, entries: usize) -> (Self, Clerk) {
        let dir = tempfile::tempdir().expect("there is a directory for scratch files");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Rc::new(Seen::default());
        drop(spawn_local(serve(listener, Rc::clone(&seen))));
        let text = format!(
            "version: 1\nhealth: {{ enabled: false }}\nqueue: {{ {queue} }}\nprofiles:\n  main:\n    tier: primary\n    \
             endpoints:\n      - {{ id: a, base_url: 'http://{address}', api_key: x }}\n      \
             - {{ id: b, base_url: 'http://{address}', api_key: y }}\n"
        );
        let loaded = crate::config::load_bytes(&dir.path().join("qcc.yaml"), text.as_bytes());
        let events = Events::new();
        let publisher = Publisher::open(loaded, Past { salt: [7; 32], ..Past::default() }, events.clone()).await;
        let publisher = publisher.expect("a valid file");
        let (reports, reported) = Reports::channel();
        let (checks, orders) = Checks::channel();
        let store = Store::open(&dir.path().join("state")).expect("opens");
        fill(&store, entries).await;
        let shared = Arc::new(Shared::new(publisher.cell(), events.clone(), reports, checks));
        let bell = publisher.cell().load().bell.clone();
        let queue = Arc::new(Queue::open(bell, store.clone(), events).await);
        let meter = shared.meters.open(Origin::Queue);
        let picker = RefCell::new(Picker::new(7));
        let worker = Worker { shared, client: Client::new(OwnAddresses::default()), meter, picker };
        let in_flight = Limit::default();
        let clerk = Clerk { queue, worker, in_flight: in_flight.clone(), buffered: Limit::default() };
        let house = Self { seen, store, in_flight, began: Moment::now(), _kept: (publisher, reported, orders, dir) };
        (house, clerk)
    }

    /// Waits until nothing goes on but waiting.
    async fn settle(&self) {
        let mut quiet = 0;
        while quiet < 3 {
            let before = (self.seen.calls.borrow().len(), self.seen.now.get());
            self.store.flush().await.expect("the disk is well");
            self.store.read(|_| Ok(())).await.expect("the disk is well");
            for _ in 0..40 {
                yield_now().await;
            }
            let after = (self.seen.calls.borrow().len(), self.seen.now.get());
            quiet = if before == after && after.1 == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Moves the clock, step by step.
    async fn pass(&self, time: Duration) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.settle().await;
            tokio::time::advance(STEP).await;
        }
        self.settle().await;
    }

    async fn by_state(&self, state: State) -> u64 {
        let kept = self.store.read(entries::statistics).await.expect("it is readable");
        let at = State::ALL.iter().position(|other| *other == state).expect("it is one");
        kept.by_state[at]
    }

    /// Times of the tries of each entry; calls of one try come within a second.
    fn tries(&self) -> HashMap<usize, Vec<Moment>> {
        let mut tries: HashMap<usize, Vec<Moment>> = HashMap::new();
        for (at, number) in &*self.seen.calls.borrow() {
            let of = tries.entry(*number).or_default();
            if of.last().is_none_or(|last| at.since(*last) > Duration::from_secs(1)) {
                of.push(*at);
            }
        }
        tries
    }
}

/// So many entries, due now.
async fn fill(store: &Store, entries: usize) {
    let now = unix_ms(SystemTime::now());
    let entry = move |number: usize| Entry {
        id: format!("entry-{number}"),
        state: State::Waiting,
        retries: 0,
        reason: String::new(),
        enqueued: now,
        updated: now,
        due: now,
        client: None,
        session: None,
        fingerprint: Vec::new(),
        model: Some("m".to_owned()),
        stream: false,
        bytes: 1,
        attempts: Vec::new(),
        status: None,
        handed: false,
    };
    let add = move |tx: &Tx<'_>| {
        (0..entries).try_for_each(|number| {
            let body = format!(r#"{{"model":"m","number":{number}}}"#).into_bytes();
            let request = Stored { target: "/v1/messages".to_owned(), headers: Vec::new(), body };
            entries::add(tx, &entry(number), &request, Bounds { entries: 10_000, bytes: 1 << 30 }).map(drop)
        })
    };
    store.write(add).await.expect("is written");
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_an_endpoint_give_up_nothing_and_then_all_are_answered_once() {
    for strategy in ["exponential", "fixed", "immediate"] {
        during(&format!("strategy: {strategy}, max_retries: 3"), 30, async |house| {
            house.pass(10 * MINUTE).await;
            let calls = house.seen.calls.borrow().len();
            assert_eq!(house.by_state(State::Dead).await, 0, "{strategy}: nothing is given up");
            assert!(calls < 300, "{strategy}: {calls} calls in ten minutes for 30 entries");
            house.seen.up.set(true);
            house.pass(8 * MINUTE).await;
            assert_eq!(house.by_state(State::Done).await, 30, "{strategy}");
            let after = house.seen.calls.borrow().len() - calls;
            assert_eq!(after, 30, "{strategy}: each is paid for once");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_strategy_tries_at_its_times_and_then_gives_up() {
    // Nothing is ejected: the failures are the request's own.
    let gaps: [(&str, &[u64]); 3] =
        [("exponential", &[10, 20, 40, 80]), ("fixed", &[5, 5, 5, 5]), ("immediate", &[0, 0, 0, 0])];
    for (strategy, gaps) in gaps {
        let queue = format!("strategy: {strategy}, max_retries: 5 }}\nfailover: {{ failure_threshold: 1000");
        during(&queue, 1, async |house| {
            house.pass(4 * MINUTE).await;
            assert_eq!(house.by_state(State::Dead).await, 1, "{strategy}");
            let tries = house.tries().remove(&0).expect("it was tried");
            if strategy == "immediate" {
                assert!(house.seen.calls.borrow().len() >= 5, "{:?}", house.seen.calls);
                assert!(tries.last().expect("one").since(house.began) < Duration::from_secs(10), "{tries:?}");
                return;
            }
            let found: Vec<f64> = tries.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
            assert_eq!(found.len(), gaps.len(), "{strategy}: {tries:?}");
            for (found, expected) in found.iter().zip(gaps) {
                let expected = *expected as f64;
                assert!((expected * 0.9 - 0.5..=expected * 1.1 + 2.5).contains(found), "{strategy}: {tries:?}");
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_entries_make_no_storm_when_an_endpoint_is_back_and_live_requests_come_first() {
    during("strategy: immediate", 1000, async |house| {
        house.pass(MINUTE).await;
        assert!(house.seen.calls.borrow().len() < 100, "{} calls", house.seen.calls.borrow().len());
        let live = house.in_flight.try_take(600, 1024).expect("there is room");
        house.seen.up.set(true);
        let before = house.seen.calls.borrow().len();
        house.pass(MINUTE).await;
        assert_eq!(house.seen.calls.borrow().len(), before, "live requests take up the room");
        drop(live);
        while house.by_state(State::Done).await < 1000 {
            assert!(Moment::now().since(house.began) < 30 * MINUTE, "{} done", house.by_state(State::Done).await);
            house.pass(5 * STEP).await;
        }
        assert!(house.seen.most.get() <= 4, "{} at once", house.seen.most.get());
        let calls: Vec<usize> = house.seen.calls.borrow()[before..].iter().map(|(_, number)| *number).collect();
        assert_eq!((calls.len(), calls.iter().collect::<HashSet<_>>().len()), (1000, 1000), "each once");
    })
    .await;
}
