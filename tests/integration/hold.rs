//! Waiting for an endpoint that is expected back: the client sees a wait, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use qcc::store::Reader;
use qcc::store::entries;

use crate::support::client::read_until;
use crate::support::config::{endpoint, in_order, with, with_server};
use crate::support::{Client, Gate, Proxy, Refused, Reply, Request, Upstream, in_time, messages, profile};

const HOLD: &str = "queue: { enabled: false, hold: 30s }";

fn rested(seconds: u32) -> Reply {
    Reply::error(429, "rate_limit_error", "x").header("retry-after", &seconds.to_string())
}

/// Answers with `first` once, then as a working endpoint.
async fn once(first: Reply) -> Upstream {
    Upstream::start(move |seen| if seen.index == 0 { first.clone() } else { Reply::served(seen) }).await
}

#[tokio::test]
async fn a_request_waits_out_the_rest_of_the_only_key_and_is_then_sent_once() {
    for request in [Request::unary(), Request::stream()] {
        let upstream = once(rested(2)).await;
        let proxy = Proxy::start(&with(HOLD, &[in_order([upstream.url()])])).await;
        let began = Instant::now();
        let answer = proxy.send(&request).await;
        assert_eq!(answer.assert_served().header("qcc-attempts"), Some("2"));
        assert!((1900..4000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert_eq!(upstream.count(), 2);
    }
}

#[tokio::test]
async fn who_finds_every_endpoint_full_has_the_next_free_place() {
    let late = |seen: &_| Reply::served(seen).late(Duration::from_millis(200));
    let (one, two) = (Upstream::start(late).await, Upstream::start(late).await);
    let endpoints = [endpoint("a", &one.url(), "max_in_flight: 1"), endpoint("b", &two.url(), "max_in_flight: 1")];
    let proxy = Proxy::start(&with(HOLD, &[profile("production", "tier: primary", &endpoints)])).await;
    let (address, began) = (proxy.address, Instant::now());
    let ask = move || async move { Client::h1(address).await.send(&Request::unary()).await };
    let burst: Vec<_> = (0..10).map(|_| tokio::spawn(ask())).collect();
    for asked in burst {
        asked.await.expect("no panic").assert_served();
    }
    assert_eq!(one.count() + two.count(), 10, "each is paid once");
    // The line is empty again: who comes later waits for nobody.
    ask().await.assert_served();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_outage_of_every_endpoint_is_no_more_than_a_wait() {
    let (mut one, mut two) = (Upstream::serving().await, Upstream::serving().await);
    let urls = [one.url(), two.url()];
    let proxy = Proxy::start(&with(HOLD, &[in_order(urls)])).await;
    let (refused, _refused) = (one.kill().await, two.kill().await);
    let address = proxy.address;
    let asked = tokio::spawn(async move { Client::h1(address).await.send(&Request::stream()).await });
    proxy.wait_log("production/b").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let back = refused.serve();
    asked.await.expect("no panic").assert_served();
    assert_eq!(back.count(), 1, "paid once");
}

#[tokio::test]
async fn the_test_of_an_ejected_endpoint_drives_nobody_out_of_the_line() {
    let late = |seen: &_| Reply::served(seen).late(Duration::from_secs(1));
    let upstream =
        Upstream::start(move |seen| if seen.index == 0 { Reply::error(500, "api_error", "x") } else { late(seen) });
    let upstream = upstream.await;
    let more = "queue: { enabled: false, hold: 3s }\nfailover: { failure_threshold: 1 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([upstream.url()])])).await;
    let address = proxy.address;
    let ask = || tokio::spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    let first = ask();
    upstream.wait_for(2).await;
    for asked in [first, ask(), ask(), ask(), ask(), ask()] {
        asked.await.expect("no panic").assert_served();
    }
}

#[tokio::test]
async fn who_does_not_wait_still_hears_how_the_test_of_another_went() {
    let late = |seen: &_| Reply::served(seen).late(Duration::from_millis(300));
    let upstream =
        Upstream::start(move |seen| if seen.index == 0 { Reply::error(500, "api_error", "x") } else { late(seen) });
    let upstream = upstream.await;
    let more = "queue: { enabled: false, hold: 0s }\nfailover: { failure_threshold: 1 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([upstream.url()])])).await;
    assert_eq!(proxy.send(&Request::unary()).await.status, 500);
    let address = proxy.address;
    let ask = || tokio::spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    let first = ask();
    upstream.wait_for(2).await;
    for asked in [first, ask(), ask()] {
        asked.await.expect("no panic").assert_served();
    }
}

#[tokio::test]
async fn an_ejection_that_outlasts_every_wait_is_tested_before_anybody_is_sent_away() {
    let failing = |_: &_| Reply::error(500, "api_error", "x");
    let (one, two) = (Upstream::start(failing).await, Upstream::start(failing).await);
    // Out for 24 s at least: longer than twice the hold.
    let more = "queue: { enabled: false, hold: 3s }\nfailover: { failure_threshold: 1 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([one.url(), two.url()])])).await;
    let address = proxy.address;
    let asked = tokio::spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    two.wait_for(1).await;
    one.script(Reply::served);
    asked.await.expect("no panic").assert_served();
}

#[tokio::test]
async fn a_test_that_its_pause_would_put_off_beyond_the_wait_is_made_at_its_end() {
    let resting = |_: &_| Reply::error(503, "overloaded_error", "x").header("retry-after", "60");
    let (one, two) = (Upstream::start(resting).await, Upstream::always(Reply::error(500, "api_error", "x")).await);
    // `two` returns first and is tested first, after a second; the next test would come after two more.
    let more = "queue: { enabled: false, hold: 2s }\nfailover: { failure_threshold: 1 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([one.url(), two.url()])])).await;
    let (address, began) = (proxy.address, Instant::now());
    let asked = tokio::spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    two.wait_for(1).await;
    one.script(Reply::served);
    assert_eq!(asked.await.expect("no panic").assert_served().endpoint(), "a");
    assert_eq!((one.count(), two.count()), (2, 2));
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_test_at_the_end_of_the_wait_is_made_once() {
    let failing = || Reply::error(500, "api_error", "x");
    let (one, two) = (Upstream::always(failing()).await, Upstream::always(failing()).await);
    let more = "queue: { enabled: false, hold: 500ms }\nfailover: { failure_threshold: 1 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([one.url(), two.url()])])).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.status, answer.header("qcc-attempts")), (500, Some("3")), "{answer:?}");
    assert_eq!(one.count() + two.count(), 3);
}

#[tokio::test]
async fn nobody_waits_for_what_is_not_expected_or_when_told_not_to() {
    for (hold, rest, status) in [("30s", 60, 429), ("0s", 1, 429), ("1s", 5, 429)] {
        let upstream = once(rested(rest)).await;
        let queue = format!("queue: {{ enabled: false, hold: {hold} }}");
        let proxy = Proxy::start(&with(&queue, &[in_order([upstream.url()])])).await;
        let began = Instant::now();
        assert_eq!(proxy.send(&Request::unary()).await.status, status);
        assert!(began.elapsed() < Duration::from_millis(900), "{hold}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_wait_ends_in_the_ordinary_farewell() {
    let refused = Refused::new();
    let queue = "queue: { enabled: false, hold: 3s }";
    let proxy = Proxy::start(&with(queue, &[in_order([refused.url()])])).await;
    let began = Instant::now();
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, Some("true")), "{answer:?}");
    assert!((2500..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_wait_never_leaves_less_time_than_an_attempt_needs() {
    let upstream = once(rested(7)).await;
    let more = "timeouts: { request: 8s }\nqueue: { enabled: false, hold: 8s }";
    let proxy = Proxy::start(&with(more, &[in_order([upstream.url()])])).await;
    let began = Instant::now();
    assert_eq!(proxy.send(&Request::unary()).await.status, 429);
    assert!(began.elapsed() < Duration::from_secs(3), "it could not be sent any more in 8 s: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_saved_file_ends_the_wait() {
    let (rests, other) = (Upstream::always(rested(25)).await, Upstream::serving().await);
    let proxy = Proxy::start(&with(HOLD, &[in_order([rests.url()])])).await;
    let (address, began) = (proxy.address, Instant::now());
    let asked = tokio::spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    rests.wait_for(1).await;
    proxy.save(&with(HOLD, &[in_order([rests.url(), other.url()])])).await;
    assert_eq!(asked.await.expect("no panic").assert_served().endpoint(), "b");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_leaves_the_line_is_not_sent() {
    let upstream = once(rested(2)).await;
    let proxy = Proxy::start(&with(HOLD, &[in_order([upstream.url()])])).await;
    let mut client = Client::h1(proxy.address).await;
    let request = Request::unary();
    tokio::select! {
        answer = client.begin(&request) => panic!("it was to wait: {answer:?}"),
        _ = upstream.wait_for(1) => {}
    }
    drop(client);
    proxy.wait_log("cancelled").await;
    proxy.send(&request).await.assert_served();
    assert_eq!(upstream.count(), 2, "the one that left was not sent again");
}

/// Waits until so many stand in the line.
async fn held(proxy: &Proxy, count: usize) {
    let line = format!("qcc_requests_held {count}");
    in_time(&line, async { while !proxy.metrics().await.lines().any(|found| found == line) {} }).await;
}

#[tokio::test]
async fn who_leaves_frees_its_place_at_once_also_where_the_connection_stays() {
    let upstream = once(rested(25)).await;
    let proxy = Proxy::start(&with(HOLD, &[in_order([upstream.url()])])).await;
    let mut client = Client::h2(proxy.address).await;
    let request = Request::unary();
    let mut pending = Box::pin(client.begin(&request));
    tokio::select! {
        answer = &mut pending => panic!("it was to wait: {answer:?}"),
        () = held(&proxy, 1) => {}
    }
    let began = Instant::now();
    drop(pending);
    held(&proxy, 0).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(proxy.metrics().await.lines().any(|line| line == "qcc_requests_in_flight 0"));
    assert_eq!(upstream.count(), 1);
    drop(client);
}

#[tokio::test]
async fn bodies_of_those_who_wait_count_in_the_memory_of_all() {
    let upstream = once(rested(12)).await;
    let server = "limits: { request_body: 1MiB, buffered: 1MiB }";
    let proxy = Proxy::start(&with_server(server, HOLD, &[in_order([upstream.url()])])).await;
    let address = proxy.address;
    let big = || Request::messages(messages::big_ask(700 * 1024, false));
    let first = tokio::spawn(async move { Client::h1(address).await.send(&big()).await });
    held(&proxy, 1).await;
    let refused = proxy.send(&Request::messages(messages::big_ask(700 * 1024, false))).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (503, Some("true")), "{refused:?}");
    assert_eq!(upstream.count(), 1);
    first.await.expect("no panic").assert_served();
}

#[tokio::test]
async fn those_who_waited_go_one_by_one_until_the_endpoint_has_proved_itself() {
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::closed();
    let upstream = Upstream::always(Reply::error(500, "api_error", "x")).await;
    // Nothing but the threshold ejects; then the only endpoint is out for five seconds at most.
    let proxy = Proxy::start(&with(
        &format!("failover: {{ failure_threshold: 1, auto_recovery: false }}\n{HOLD}"),
        &[in_order([upstream.url()])],
    ))
    .await;
    let mut asked = tokio::task::JoinSet::new();
    let address = proxy.address;
    let mut ask = || asked.spawn(async move { Client::h1(address).await.send(&Request::unary()).await });
    ask();
    proxy.wait_log("ejected").await;
    (1..30).for_each(|_| drop(ask()));
    let before = upstream.count();
    let (waiting, counted, highest) = (gate.clone(), Arc::clone(&busy), Arc::clone(&most));
    upstream.script(move |seen| {
        let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
        if seen.index > before + 8 {
            return Reply::served(seen);
        }
        highest.fetch_max(now, Ordering::SeqCst);
        Reply::served(seen).behind(&waiting)
    });
    // Whoever is sent now is the one on probation: nobody follows until it is answered.
    upstream.wait_for(before + 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(most.load(Ordering::SeqCst) <= 2, "{} at once on probation", most.load(Ordering::SeqCst));
    gate.open();
    for answer in asked.join_all().await {
        answer.assert_served();
    }
    assert!(upstream.count() <= before + 36, "{} calls for 30 requests", upstream.count());
}

#[tokio::test]
async fn other_paths_do_not_wait() {
    let upstream = Upstream::always(rested(3)).await;
    let proxy = Proxy::start(&with(HOLD, &[in_order([upstream.url()])])).await;
    let began = Instant::now();
    let answer = proxy.send(&Request::messages("{}").target("/v1/messages/count_tokens")).await;
    assert_eq!(answer.status, 429);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_second_profile_that_comes_back_first_takes_those_who_wait() {
    let (long, short) = (Upstream::always(rested(25)).await, once(rested(2)).await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &long.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &short.url(), "")]),
    ];
    let proxy = Proxy::start(&with(HOLD, &profiles)).await;
    let answer = proxy.send(&Request::messages(messages::ask(messages::MODEL, false))).await;
    assert_eq!(answer.assert_served().endpoint(), "b");
    assert_eq!((long.count(), short.count()), (1, 2));
}

#[tokio::test]
async fn a_stream_that_waits_long_is_opened_and_pinged_where_that_is_asked_for() {
    let upstream = once(rested(27)).await;
    let queue = "queue: { enabled: false, hold: 1m, hold_pings: true }";
    let proxy = Proxy::start(&with(queue, &[in_order([upstream.url()])])).await;
    let mut client = Client::h1(proxy.address).await;
    let (began, request) = (Instant::now(), Request::stream().header("accept-encoding", "gzip"));
    let mut response = client.begin(&request).await.expect("a head");
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].as_bytes().starts_with(b"text/event-stream")),
        (200, true)
    );
    assert!((24_000..26_500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let text = read_until(response.body_mut(), "message_stop").await;
    assert!(text.starts_with(b"event: ping"), "{text:?}");
    assert_eq!(upstream.requests()[1].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_stream_that_was_opened_in_vain_ends_in_an_error_that_names_its_entry() {
    let upstream = Upstream::always(rested(2)).await;
    let queue = "queue: { hold: 28s, hold_pings: true, strategy: fixed, base: 10m, max_delay: 10m }";
    let proxy = Proxy::start(&with(&format!("{queue}\nstate: {{ dir: state }}"), &[in_order([upstream.url()])])).await;
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream().session("s")).await.expect("a head");
    assert_eq!(response.status(), 200, "it is open");
    let text = String::from_utf8(read_until(response.body_mut(), "event: error").await.to_vec()).expect("text");
    let mut reader = Reader::open(&proxy.state()).expect("the state is readable").expect("it is there");
    let kept = reader.read(|view| entries::list(view, None, 9)).expect("it is readable");
    let [entry] = &kept[..] else { panic!("one is kept: {kept:?}") };
    assert!(text.starts_with("event: ping") && text.contains(&format!("queued as {}", entry.id)), "{text}");
}
