//! Corners of the protocol that clients and endpoints seldom visit.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::client::read_until;
use crate::support::config::{endpoint, in_order, with};
use crate::support::http1::Ended;
use crate::support::raw::exchange;
use crate::support::{Client, End, Gate, Proxy, RawClient, Reply, Request, Upstream, file, in_time, messages, profile};

async fn before(upstream: &Upstream) -> Proxy {
    Proxy::start(&file(&[in_order([upstream.url()])])).await
}

fn post(version: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST /v1/messages HTTP/{version}\r\nHost: localhost\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_stream_that_ends_with_its_connection() {
    let upstream = Upstream::serving().await;
    let proxy = before(&upstream).await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(post("1.0", "", &messages::ask(messages::MODEL, true))).await;
    let text = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(!text.to_lowercase().contains("transfer-encoding"), "{text}");
    assert!(text.ends_with("message_stop\"}\n\n"), "{text}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream =
        Upstream::start(|seen| Reply::json(200, format!("{{\"type\":\"message\",\"n\":{}}}", seen.index))).await;
    let proxy = before(&upstream).await;
    let one = post("1.1", "", &messages::ask(messages::MODEL, false));
    let mut client = RawClient::connect(proxy.address).await;
    client.send([&one[..], &one, &one].concat()).await;
    for n in 0..3 {
        let answer = client.answer().await.expect("an answer");
        assert!(answer.text().contains(&format!("\"n\":{n}")), "{}", answer.text());
    }
}

#[tokio::test]
async fn head_and_trailers_and_absolute_targets_are_understood() {
    let upstream = Upstream::serving().await;
    let proxy = before(&upstream).await;
    let body = String::from_utf8(messages::ask(messages::MODEL, false).to_vec()).expect("text");
    let mut client = RawClient::connect(proxy.address).await;
    client.send("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    let target = format!("http://{}/v1/messages?beta=true", proxy.address);
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x}\r\n{body}\r\n0\r\nX-Sum: 1\r\n\r\n",
        proxy.address,
        body.len()
    );
    client.send(chunked).await;
    client.answer().await.expect("an answer").assert_served();
    let seen = upstream.requests().pop().expect("it was asked");
    assert_eq!(
        (seen.target.as_str(), seen.header("trailer"), seen.header("x-sum")),
        ("/v1/messages?beta=true", None, None)
    );
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn trailers_of_an_answer_do_no_harm() {
    let text = messages::answer("hello");
    let raw = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n",
        text.len(),
        String::from_utf8_lossy(text.as_ref())
    );
    let upstream = Upstream::always(Reply::raw(raw)).await;
    let proxy = before(&upstream).await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        assert_eq!(client.send(&Request::unary()).await.assert_served().body, text);
    }
}

#[tokio::test]
async fn a_head_of_an_answer_may_be_large_but_not_endless() {
    for (size, served_by) in [(40_000, "a"), (80_000, "b")] {
        let first = Upstream::start(move |seen| Reply::served(seen).header("x-large", &"x".repeat(size))).await;
        let second = Upstream::serving().await;
        let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
        assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), served_by, "{size}");
    }
}

#[tokio::test]
async fn a_stream_that_pauses_after_message_start_is_shown_after_a_second() {
    let gate = Gate::closed();
    let [start, rest @ ..] = &messages::stream_events("late")[..] else { panic!("a stream has events") };
    let upstream = Upstream::always(Reply::sse([start.clone()]).then(&gate, rest.concat())).await;
    let proxy = before(&upstream).await;
    let mut client = Client::h1(proxy.address).await;
    let mut response = in_time("a head", client.begin(&Request::stream())).await.expect("a head");
    read_until(response.body_mut(), "message_start").await;
    gate.open();
    read_until(response.body_mut(), "message_stop").await;
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it").into()
}

#[tokio::test]
async fn an_error_event_is_seen_through_compression() {
    let (error, half) =
        (messages::error_event("overloaded_error"), [messages::start(), messages::block_start(0)].concat());
    let stream = |text: &[u8]| Reply::sse([gzip(text)]).header("content-encoding", "gzip");
    for (reply, attempts) in [
        (stream(&error), "2"),
        (stream(&[&half[..], &error].concat()), "2"),
        (stream(&half).then_after(Duration::from_millis(50), gzip(&error)), "1"),
    ] {
        let (bad, good) = (Upstream::always(reply).await, Upstream::serving().await);
        let proxy = Proxy::start(&file(&[in_order([bad.url(), good.url()])])).await;
        let request = Request::stream().session("s").header("accept-encoding", "gzip");
        let first = proxy.send(&request).await;
        assert_eq!((first.status, first.header("qcc-attempts")), (200, Some(attempts)));
        assert_eq!(proxy.send(&request).await.assert_served().endpoint(), "b", "the conversation has moved");
    }
}

#[tokio::test]
async fn a_stream_that_failed_is_given_up_before_another_endpoint_answers() {
    let gate = Gate::closed();
    let bad = Upstream::always(Reply::sse([messages::error_event("overloaded_error")]).end(End::Hang)).await;
    let held = gate.clone();
    let good = Upstream::start(move |seen| Reply::served(seen).behind(&held)).await;
    let proxy = Proxy::start(&file(&[in_order([bad.url(), good.url()])])).await;
    let request = Request::stream();
    let (answer, ()) = tokio::join!(proxy.send(&request), async {
        bad.wait_left(0).await;
        gate.open();
    });
    assert_eq!(answer.assert_served().endpoint(), "b");
}

#[tokio::test]
async fn a_broken_answer_on_another_path_moves_no_conversation() {
    let first = Upstream::start(|seen| match seen.path() {
        "/v1/messages" => Reply::served(seen),
        _ => Reply::json(200, "{\"input_tokens\":").framing(crate::support::Framing::Chunked).end(End::Reset),
    })
    .await;
    let second = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
    let ask = |target: &str| Request::unary().session("s").target(target);
    assert_eq!(proxy.send(&ask("/v1/messages")).await.assert_served().endpoint(), "a");
    for _ in 0..4 {
        assert_eq!(proxy.send(&ask("/v1/messages/count_tokens")).await.ended, Ended::Cut);
        assert_eq!(proxy.send(&ask("/v1/messages")).await.assert_served().endpoint(), "a");
    }
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_refused_signature_is_tried_once_where_the_conversation_was_answered() {
    let message = "messages.1.content.0: Invalid `signature` in `thinking` block";
    let (own, other) =
        (Upstream::serving().await, Upstream::always(Reply::error(400, "invalid_request_error", message)).await);
    let endpoints = [endpoint("a", &own.url(), ""), endpoint("b", &other.url(), "")];
    let keys = "tier: primary; strategy: round_robin; affinity: { by: none }";
    let proxy = Proxy::start(&file(&[profile("production", keys, &endpoints)])).await;
    let request = Request::unary().session("signed");
    while proxy.send(&request).await.status != 200 {}
    let asked = other.count();
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..6 {
        assert_eq!(client.send(&request).await.assert_served().endpoint(), "a");
    }
    assert!(other.count() > asked, "it was asked, and refused");
    let strangers = [client.send(&Request::unary()).await, client.send(&Request::unary()).await];
    let refused = strangers.iter().find(|answer| answer.status == 400).expect("the endpoints take turns");
    assert!(refused.text().contains(message), "handed on untouched: {}", refused.text());
    assert_eq!(proxy.count_log("ejected"), 0);
}

/// An endpoint that refuses a request once it has its head, and closes when the client has (or, impatient, at once).
async fn refuses_early(patient: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 65536];
            let _ = stream.read(&mut head).await;
            let body = messages::error("request_too_large", "too large");
            let body = String::from_utf8_lossy(body.as_ref()).into_owned();
            let head = format!(
                "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            if patient {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    });
    url
}

#[tokio::test]
async fn an_endpoint_that_refuses_a_large_body_early_is_heard() {
    for patient in [true, false] {
        let (url, other) = (refuses_early(patient).await, Upstream::serving().await);
        let proxy = Proxy::start(&file(&[in_order([url, other.url()])])).await;
        let answer = proxy.send(&Request::messages(messages::big_ask(20 << 20, false))).await;
        assert_eq!((answer.status, answer.header("qcc-attempts")), (413, Some("1")), "patient: {patient}");
    }
}

#[tokio::test]
async fn a_tiny_time_for_requests_is_kept_and_blames_the_endpoint_that_used_it() {
    let upstream = Upstream::always(Reply::hang()).await;
    let more = "timeouts: { request: 400ms, first_byte: 400ms, first_byte_unary: 400ms, connect: 200ms }";
    let proxy = Proxy::start(&with(more, &[in_order([upstream.url()])])).await;
    for _ in 0..3 {
        let started = std::time::Instant::now();
        assert_eq!(proxy.send(&Request::unary()).await.status, 503);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    proxy.wait_log("ejected").await;
}

#[tokio::test]
async fn an_empty_body_is_forwarded_as_it_is() {
    let upstream = Upstream::start(|_| Reply::error(400, "invalid_request_error", "empty")).await;
    let proxy = before(&upstream).await;
    for text in ["Content-Length: 0\r\n\r\n", "\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer = exchange(proxy.address, format!("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n{text}")).await;
        assert_eq!(answer.expect("an answer").status, 400, "{text:?}");
    }
    assert_eq!(upstream.count(), 3);
}
