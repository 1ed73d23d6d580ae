//! Many things at once: reloads under load, streams by the thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::support::config::{in_order, production, with_server};
use crate::support::{Client, Gate, Proxy, Reply, Request, Setup, Style, Upstream, messages};

/// How many reloads `reloads_under_load_fail_no_request` makes.
const RELOADS: &str = "QCC_TEST_RELOADS";

/// A file that differs from that of every other round.
fn version(round: usize, upstreams: &[Upstream]) -> String {
    let strategy = ["weighted", "round_robin", "random", "least_requests", "latency", "priority"][round % 6];
    let keys = format!("weight: {}", 1 + round);
    let profile = production(&format!("strategy: {strategy}"), &keys, upstreams.iter().map(Upstream::url));
    with_server("", "", &[profile])
}

fn broken(round: usize, upstreams: &[Upstream]) -> String {
    let good = version(round, upstreams);
    match round % 4 {
        0 => good.replace("strategy", "strategee"),
        1 => format!("{good}  : [\n"),
        2 => good.replace("weight: ", "weight: -"),
        _ => format!("# round {round}\n"),
    }
}

/// Four clients at 50 requests a second each; every third request is a stream with pauses.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    async fn on(proxy: &Proxy) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let client = Client::h1(proxy.address).await;
            clients.spawn(Self::client(client, Arc::clone(&stop), Arc::clone(&served)));
        }
        Self { stop, served, clients }
    }

    async fn client(mut client: Client, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let request = if round % 3 == 0 { Request::stream() } else { Request::unary() };
            client.send(&request).await.assert_served();
            served.fetch_add(1, Ordering::Relaxed);
            pace.tick().await;
        }
    }

    /// Ends it; how many requests were served. Panics if one failed.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        self.served.load(Ordering::Relaxed)
    }
}

fn slowly(seen: &crate::support::Recorded) -> Reply {
    if !seen.wants_stream() {
        return Reply::served(seen);
    }
    let events = messages::stream_events("slow");
    events[1..].iter().fold(Reply::sse([events[0].clone()]), |reply, event| {
        reply.then_after(Duration::from_millis(25), event.clone())
    })
}

#[tokio::test]
async fn reloads_under_load_fail_no_request() {
    let reloads = std::env::var(RELOADS).ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let upstreams = [Upstream::start(slowly).await, Upstream::start(slowly).await];
    let proxy = Proxy::start(&version(0, &upstreams)).await;
    let load = Load::on(&proxy).await;
    let mut after_a_while = (0, 0);
    let (mut accepted, mut rejected) = (0, 0);
    for round in 1..=reloads {
        let style = Style::ALL[round % Style::ALL.len()];
        if round % 2 == 0 {
            style.save(&proxy.path, &version(round, &upstreams)).await;
            accepted += 1;
            proxy.wait_log_times("reloaded", accepted).await;
        } else {
            style.save(&proxy.path, &broken(round / 2, &upstreams)).await;
            rejected += 1;
            proxy.wait_log_times("rejected", rejected).await;
        }
        if round == reloads / 4 {
            after_a_while = (proxy.resident(), proxy.descriptors());
        }
    }
    let (resident, descriptors) = (proxy.resident(), proxy.descriptors());
    let served = load.end().await;
    println!(
        "{reloads} reloads, {served} requests; RSS {} -> {resident} KiB, fds {} -> {descriptors}",
        after_a_while.0, after_a_while.1
    );
    assert!(served > reloads, "{served} requests served during {reloads} reloads");
    assert!(descriptors <= after_a_while.1 + 20, "file descriptors leak");
    assert!(resident <= after_a_while.0 + 24 * 1024, "memory leaks");
}

/// Raises this process's limit of open files (which its children inherit) to what is allowed.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("it may be raised up to its maximum");
}

/// How many streams stand open at once.
const STREAMS: usize = 1000;

#[tokio::test]
async fn a_thousand_slow_streams_are_all_served_at_once() {
    raise_open_files();
    let gate = Gate::closed();
    let [head @ .., stop] = &messages::stream_events("slow")[..] else { panic!("a stream has events") };
    let reply = Reply::sse(head.to_vec()).then(&gate, stop.clone());
    let upstream = Upstream::always(reply).await;
    let proxy = Setup::new(&with_server("", "", &[in_order([upstream.url()])])).start().await;
    let idle = proxy.resident();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut client = Client::h1(proxy.address).await;
        streams.spawn(async move { client.send(&Request::stream()).await });
    }
    // All of them stand at the upstream before the first one ends: none waits behind another.
    upstream.wait_for(STREAMS).await;
    let resident = proxy.resident();
    gate.open();
    for answer in streams.join_all().await {
        assert!(answer.assert_served().text().contains("message_stop"));
    }
    println!("{STREAMS} streams at once: RSS {idle} -> {resident} KiB, {} KiB a stream", (resident - idle) / 1000);
    assert!(resident - idle < 200 * 1024, "{} KiB for {STREAMS} streams", resident - idle);
}

#[tokio::test]
async fn slow_clients_do_not_slow_down_the_others() {
    raise_open_files();
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&with_server("", "", &[in_order([upstream.url()])])).await;
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut client = crate::support::RawClient::connect(proxy.address).await;
        client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{").await;
        slow.push(client);
    }
    let started = std::time::Instant::now();
    for answer in proxy.send_times(100, &Request::unary()).await {
        answer.assert_served();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "100 requests took {:?}", started.elapsed());
    drop(slow);
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory() {
    let body = [&messages::answer("x")[..], &b" ".repeat(96 << 20)].concat();
    let upstream = Upstream::always(Reply::json(200, body)).await;
    let proxy = Proxy::start(&with_server("", "", &[in_order([upstream.url()])])).await;
    let idle = proxy.resident();
    let mut client = Client::h1(proxy.address).await;
    let response = client.begin(&Request::unary()).await.expect("a head");
    // Whatever the proxy wants to read ahead it reads while this request is served.
    for _ in 0..20 {
        drop(proxy.send(&Request::new("HEAD", "/")).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let grown = proxy.resident().saturating_sub(idle);
    drop(response);
    assert!(grown < 24 * 1024, "{grown} KiB more for a client that does not read");
}
