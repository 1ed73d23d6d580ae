//! The mistakes of the tool that qcc replaces, by their numbers; each test is named for what was wrong there and is right here.
//!
//! Numbers 8, 9 and 10 (switching by hand, the durable queue, the health history) belong to other parts, except for the strategies.

use std::time::{Duration, Instant};

use crate::support::client::collect;
use crate::support::config::{endpoint, in_order, key, with};
use crate::support::http1::Ended;
use crate::support::{
    Client, End, Framing, Proxy, Refused, Reply, Request, Setup, Upstream, file, messages, profile, sha256,
};

async fn pair(first: Reply) -> (Upstream, Upstream, Proxy) {
    let (first, second) = (Upstream::always(first).await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
    (first, second, proxy)
}

#[tokio::test]
async fn original_01_query_and_headers_are_kept() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let request = Request::unary()
        .without("anthropic-version")
        .header("anthropic-version", "2031-01-01")
        .header("anthropic-beta", "one")
        .header("anthropic-beta", "two")
        .header("authorization", "Bearer proxy-managed");
    proxy.send(&request).await.assert_served();
    let seen = upstream.only();
    assert_eq!(seen.target, "/v1/messages?beta=true");
    assert_eq!(seen.values("anthropic-beta"), ["one", "two"]);
    assert_eq!(seen.values("anthropic-version"), ["2031-01-01"]);
    assert_eq!((seen.values("x-api-key"), seen.header("authorization")), (vec![key("a").as_str()], None));
}

#[tokio::test]
async fn original_02_gzip_big_bodies_and_redirects_are_handled() {
    let target = Upstream::serving().await;
    let redirect = Reply::json(307, "{}").header("location", &format!("{}/v1/messages", target.url()));
    let gzip = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 171, 174, 5, 0, 67, 191, 166, 163, 2, 0, 0, 0];
    let upstream = Upstream::always(Reply::json(200, gzip.to_vec()).header("content-encoding", "gzip")).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let body = messages::big_ask(3 << 20, false);
    let answer = proxy.send(&Request::messages(body.clone())).await;
    assert_eq!((&answer.assert_served().body[..], upstream.only().sha256()), (&gzip[..], sha256(&body)));
    upstream.script(move |_| redirect.clone());
    proxy.send(&Request::unary()).await;
    assert_eq!(target.count(), 0, "the key stays here");
}

#[tokio::test]
async fn original_03_a_clients_own_fault_is_its_own() {
    let (first, second, proxy) = pair(Reply::error(400, "invalid_request_error", "x")).await;
    for status in [400, 400, 400, 400, 201] {
        first.script(move |_| {
            if status == 201 {
                Reply::json(201, messages::answer("x"))
            } else {
                Reply::error(400, "invalid_request_error", "x")
            }
        });
        let answer = proxy.send(&Request::unary()).await;
        assert_eq!((answer.status, answer.endpoint()), (status, "a"));
    }
    assert_eq!((first.count(), second.count()), (5, 0));
}

#[tokio::test]
async fn original_04_a_disconnect_is_no_failure_and_is_not_sent_again() {
    let (first, second, proxy) = pair(Reply::hang()).await;
    for round in 1..=4 {
        let mut client = Client::h1(proxy.address).await;
        let request = Request::stream();
        tokio::select! {
            answer = client.begin(&request) => panic!("nothing was scripted: {answer:?}"),
            _ = first.wait_for(round) => {}
        }
        drop(client);
        first.wait_left(round - 1).await;
    }
    first.script(Reply::served);
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn original_05_nothing_outside_the_chain_is_ever_used() {
    let (refused, other) = (Refused::new(), Upstream::serving().await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &refused.url(), "")]),
        profile("personal", "description: another account", &[endpoint("b", &other.url(), "")]),
    ];
    let proxy = Proxy::start(&with("default: personal", &profiles)).await;
    assert_eq!(proxy.send(&Request::unary()).await.status, 503);
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn original_06_parallel_failures_do_not_kill_an_endpoint_for_good() {
    let upstream = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let request = Request::unary();
    tokio::join!(proxy.send(&request), proxy.send(&request), proxy.send(&request), proxy.send(&request));
    upstream.script(Reply::served);
    let started = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    while proxy.send(&request).await.status != 200 {
        pace.tick().await;
        // The only endpoint of the whole chain is never kept out longer than five seconds.
        assert!(started.elapsed() < Duration::from_secs(9), "still out after {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn original_07_failover_happens_within_the_request() {
    let (refused, backup) = (Refused::new(), Upstream::serving().await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &refused.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &backup.url(), "")]),
    ];
    let proxy = Proxy::start(&file(&profiles)).await;
    let started = Instant::now();
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn original_10_every_strategy_is_reachable() {
    for strategy in ["weighted", "round_robin", "random", "least_requests", "latency", "priority"] {
        let (first, second) = (Upstream::serving().await, Upstream::serving().await);
        let endpoints = [endpoint("a", &first.url(), ""), endpoint("b", &second.url(), "")];
        let proxy =
            Proxy::start(&file(&[profile("production", &format!("tier: primary; strategy: {strategy}"), &endpoints)]))
                .await;
        proxy.send_times(40, &Request::unary()).await;
        let shared = first.count() > 0 && second.count() > 0;
        assert_eq!(shared, strategy != "priority", "{strategy}: {} and {}", first.count(), second.count());
    }
}

#[tokio::test]
async fn original_11_a_hanging_upstream_is_given_up_after_its_own_timeout() {
    let (hanging, good) = (Upstream::always(Reply::hang()).await, Upstream::serving().await);
    let endpoints = [endpoint("a", &hanging.url(), "timeouts: { first_byte: 300ms }"), endpoint("b", &good.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    let started = Instant::now();
    assert_eq!(proxy.send(&Request::stream()).await.assert_served().endpoint(), "b");
    assert!(
        (Duration::from_millis(250)..Duration::from_secs(5)).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn original_11_a_cut_stream_does_not_look_complete() {
    let whole_block = [messages::start(), messages::block_start(0), messages::delta(0, "x"), messages::block_stop(0)];
    let (_first, _second, proxy) = pair(Reply::sse(whole_block).end(End::Reset)).await;
    let answer = proxy.send(&Request::stream()).await;
    assert!(answer.text().contains("event: error"), "{}", answer.text());
    let half = [messages::start(), messages::block_start(0), messages::delta(0, "x")];
    let (_first, _second, proxy) = pair(Reply::sse(half).end(End::Reset)).await;
    assert_eq!(proxy.send(&Request::stream()).await.ended, Ended::Cut);
}

#[tokio::test]
async fn original_11_a_chunked_500_is_not_shown_when_a_retry_succeeds() {
    let (_first, _second, proxy) = pair(Reply::error(500, "api_error", "x").framing(Framing::Chunked)).await;
    assert!(proxy.send(&Request::unary()).await.assert_served().text().contains("hello"));
}

#[tokio::test]
async fn original_11_retry_after_is_respected() {
    let (first, _second, proxy) = pair(Reply::error(429, "rate_limit_error", "x").header("retry-after", "1")).await;
    let started = Instant::now();
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    first.script(Reply::served);
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while proxy.send(&Request::unary()).await.assert_served().endpoint() != "a" {
        pace.tick().await;
        assert!(started.elapsed() < Duration::from_secs(5), "still resting");
    }
    assert!(started.elapsed() >= Duration::from_millis(950), "asked again after {:?}", started.elapsed());
}

#[tokio::test]
async fn original_11_the_hundred_and_first_stream_does_not_wait() {
    let gate = crate::support::Gate::closed();
    let [head @ .., stop] = &messages::stream_events("x")[..] else { panic!("a stream has events") };
    let upstream = Upstream::always(Reply::sse(head.to_vec()).then(&gate, stop.clone())).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let mut begun = Vec::new();
    for _ in 0..150 {
        let mut client = Client::h1(proxy.address).await;
        let response = client.begin(&Request::stream()).await.expect("a head while the others still run");
        begun.push((client, response));
    }
    gate.open();
    for (_client, response) in begun {
        assert_eq!(collect(response).await.ended, Ended::Whole);
    }
}

#[tokio::test]
async fn original_12_stop_ends_the_process_and_a_second_start_harms_nothing() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let mut proxy = Proxy::start(&yaml).await;
    let busy = yaml.replace("127.0.0.1:0", &proxy.address.to_string());
    let (code, text) = Setup::new(&busy).run(&["-c", "qcc.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    proxy.send(&Request::unary()).await.assert_served();
    proxy.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.exit().await, Some(0));
}

#[tokio::test]
async fn original_13_no_key_is_shown_in_answers_either() {
    let (_first, _second, proxy) = pair(Reply::error(401, "authentication_error", "invalid x-api-key")).await;
    let dead = Upstream::always(Reply::error(401, "authentication_error", "invalid x-api-key")).await;
    proxy.send(&Request::unary()).await.assert_served();
    let all_dead = Proxy::start(&file(&[in_order([dead.url()])])).await;
    let answer = all_dead.send(&Request::unary()).await;
    assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
}

#[tokio::test]
async fn original_14_failed_commands_say_so_by_their_exit_code() {
    for (arguments, text) in [
        (&["-c", "qcc.yaml", "proxy", "start"][..], "profiles: ["),
        (&["-c", "missing.yaml", "proxy", "start"][..], ""),
        (&["-c", "qcc.yaml", "validate"][..], "profiles: ["),
        (&["no-such-command"][..], ""),
        (&["proxy", "start", "--no-such-flag"][..], ""),
    ] {
        let (code, output) = Setup::new(text).run(arguments).await;
        assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {code:?} {output}");
    }
}
