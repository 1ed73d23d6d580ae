//! What a client may take, and how long it is waited for.

use std::time::{Duration, Instant};

use crate::support::config::{in_order, with_server};
use crate::support::raw::exchange;
use crate::support::{Client, Gate, Proxy, RawClient, Reply, Request, Upstream, messages};

async fn fixture(server: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&with_server(server, "", &[in_order([upstream.url()])])).await;
    (upstream, proxy)
}

const SMALL: &str = "limits: { request_body: 64KiB }";

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_anthropics_shape() {
    let (upstream, proxy) = fixture(SMALL).await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let answer = client.send(&Request::messages(messages::big_ask(70_000, false))).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (413, "request_too_large"));
        assert!(answer.header("qcc-error").is_some(), "{answer:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_just_under_the_limit_is_served() {
    let (upstream, proxy) = fixture(SMALL).await;
    let body = messages::big_ask(65_000, false);
    proxy.send(&Request::messages(body.clone())).await.assert_served();
    assert_eq!(upstream.only().body, body);
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let (_upstream, proxy) = fixture(SMALL).await;
    let head = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    let answer = exchange(proxy.address, head).await.expect("an answer");
    assert_eq!((answer.status, answer.error_type().as_str()), (413, "request_too_large"));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused() {
    let (upstream, proxy) = fixture(SMALL).await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..6 {
        client.send(&chunk).await;
    }
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.error_type().as_str()), (413, "request_too_large"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_chunked_body_under_the_limit_arrives_whole() {
    let (upstream, proxy) = fixture(SMALL).await;
    let body = messages::ask(messages::MODEL, false);
    let mut text = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for byte in &body {
        text.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
    }
    text.extend_from_slice(b"0\r\n\r\n");
    exchange(proxy.address, text).await.expect("an answer").assert_served();
    assert_eq!(upstream.only().body, body);
}

#[tokio::test]
async fn expect_continue_is_answered() {
    let (upstream, proxy) = fixture(SMALL).await;
    let body = messages::ask(messages::MODEL, false);
    let mut client = RawClient::connect(proxy.address).await;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head).await;
    assert_eq!(client.head().await.expect("an interim answer").status, 100);
    client.send(&body).await;
    client.answer().await.expect("an answer").assert_served();
    assert_eq!(upstream.only().header("expect"), None);
}

/// How long after `started` the proxy closes this connection.
async fn closes_within(client: &mut RawClient, started: Instant, limit: Duration) {
    client.read_to_end().await;
    assert!(started.elapsed() < limit, "closed only after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let (_upstream, proxy) = fixture("timeouts: { header: 500ms }").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST /v1/messages HTTP/1.1\r\nHost: loc").await;
    closes_within(&mut client, Instant::now(), Duration::from_secs(8)).await;
}

#[tokio::test]
async fn a_head_that_drips_is_given_up() {
    let (_upstream, proxy) = fixture("timeouts: { header: 500ms }").await;
    let mut client = RawClient::connect(proxy.address).await;
    let started = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(100));
    client.send("GET / HTTP/1.1\r\n").await;
    while client.send("X").await {
        drip.tick().await;
        assert!(started.elapsed() < Duration::from_secs(8), "it still takes bytes");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (upstream, proxy) = fixture("timeouts: { body_idle: 500ms }").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{").await;
    let started = Instant::now();
    if let Some(answer) = client.answer().await {
        assert_eq!(answer.status, 408, "{answer:?}");
    }
    closes_within(&mut client, started, Duration::from_secs(8)).await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_that_comes_slowly_but_steadily_is_served() {
    let (upstream, proxy) = fixture("timeouts: { body_idle: 500ms }").await;
    let body = messages::ask(messages::MODEL, false);
    let mut client = RawClient::connect(proxy.address).await;
    client
        .send(format!("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()))
        .await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for piece in body.chunks(body.len().div_ceil(10)) {
        pace.tick().await;
        client.send(piece).await;
    }
    client.answer().await.expect("an answer").assert_served();
    assert_eq!(upstream.only().body, body);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (_upstream, proxy) = fixture("timeouts: { keep_alive: 500ms }").await;
    let mut client = RawClient::connect(proxy.address).await;
    let body = messages::ask(messages::MODEL, false);
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send([head.as_bytes(), &body].concat()).await;
    client.answer().await.expect("an answer").assert_served();
    closes_within(&mut client, Instant::now(), Duration::from_secs(8)).await;
}

#[tokio::test]
async fn a_connection_is_not_idle_while_its_answer_is_awaited() {
    let upstream = Upstream::always(Reply::json(200, messages::answer("late")).late(Duration::from_millis(1500))).await;
    let server = "timeouts: { keep_alive: 500ms, header: 500ms, body_idle: 500ms }";
    let proxy = Proxy::start(&with_server(server, "", &[in_order([upstream.url()])])).await;
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn one_request_too_many_gets_503_after_a_short_wait() {
    let gate = Gate::closed();
    let reply = Reply::json(200, messages::answer("x")).behind(&gate);
    let upstream = Upstream::always(reply).await;
    let proxy = Proxy::start(&with_server("limits: { in_flight: 2 }", "", &[in_order([upstream.url()])])).await;
    let request = Request::unary();
    let first = async { tokio::join!(proxy.send(&request), proxy.send(&request)) };
    let third = async {
        upstream.wait_for(2).await;
        let answer = proxy.send(&request).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (503, "api_error"));
        assert!(answer.header("retry-after").is_some() && answer.header("qcc-error").is_some(), "{answer:?}");
        gate.open();
    };
    let ((one, two), ()) = tokio::join!(first, third);
    one.assert_served();
    two.assert_served();
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_full_body_memory_refuses_and_frees_itself() {
    let gate = Gate::closed();
    let reply = Reply::json(200, messages::answer("x")).behind(&gate);
    let upstream = Upstream::always(reply).await;
    let server = "limits: { request_body: 64KiB, buffered: 100KiB }";
    let proxy = Proxy::start(&with_server(server, "", &[in_order([upstream.url()])])).await;
    let big = Request::messages(messages::big_ask(60_000, false));
    let held = proxy.send(&big);
    let refused = async {
        upstream.wait_for(1).await;
        let answer = proxy.send(&big).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (503, "api_error"));
        gate.open();
    };
    tokio::join!(held, refused).0.assert_served();
    proxy.send(&big).await.assert_served();
}

#[tokio::test]
async fn a_body_that_takes_all_the_requests_time_hurts_no_endpoint() {
    let upstream = Upstream::serving().await;
    let more = "timeouts: { request: 1s, first_byte: 1s, first_byte_unary: 1s }";
    let proxy = Proxy::start(&with_server("", more, &[in_order([upstream.url()])])).await;
    for _ in 0..3 {
        let mut client = RawClient::connect(proxy.address).await;
        client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n").await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.error_type().as_str()), (408, "invalid_request_error"));
    }
    assert_eq!(proxy.count_log("ejected"), 0);
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let (_upstream, proxy) = fixture("limits: { request_body: 16MiB, buffered: 16MiB }").await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let answer = client.send(&Request::messages(messages::big_ask(20 << 20, false))).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (413, "request_too_large"));
    }
}
