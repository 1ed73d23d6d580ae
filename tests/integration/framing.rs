//! Answers and streams whose form is odd or wrong, and clients that take only a part of them.

use std::time::Duration;

use bytes::Bytes;

use crate::support::client::{collect, read_until};
use crate::support::config::{in_order, with};
use crate::support::http1::Ended;
use crate::support::{
    Ca, Client, End, Framing, Proxy, RawClient, Recorded, Reply, Request, Setup, Upstream, file, in_time, messages,
};

/// The first endpoint answers as scripted, the second works.
async fn fixture(reply: Reply) -> (Upstream, Upstream, Proxy) {
    let (first, second) = (Upstream::always(reply).await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
    (first, second, proxy)
}

fn raw(lengths: &str, body: &str) -> Reply {
    Reply::raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lengths}\r\n\r\n{body}"))
}

#[tokio::test]
async fn a_length_that_contradicts_the_chunks_of_an_answer_does_not_cut_it() {
    let text = String::from_utf8_lossy(&messages::answer("hello")).into_owned();
    let chunks = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    for lengths in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 99999\r\ntransfer-encoding: chunked",
    ] {
        let (_first, _second, proxy) = fixture(raw(lengths, &chunks)).await;
        for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
            for _ in 0..2 {
                let answer = client.send(&Request::unary()).await;
                assert_eq!((answer.assert_served().endpoint(), answer.text()), ("a", text.clone()), "{lengths}");
                assert_eq!(answer.values("content-length"), [""; 0], "{lengths}");
            }
        }
    }
}

#[tokio::test]
async fn a_length_that_is_told_twice_goes_down_once() {
    let text = String::from_utf8_lossy(&messages::answer("hello")).into_owned();
    let length = text.len();
    for (lengths, shown) in [
        (format!("content-length: {length}\r\ncontent-length: {length}"), vec![length.to_string()]),
        (format!("content-length: {length}, {length}"), vec![]),
    ] {
        let (_first, _second, proxy) = fixture(raw(&lengths, &text)).await;
        let answer = proxy.send(&Request::unary()).await;
        assert_eq!((answer.assert_served().endpoint(), answer.text()), ("a", text.clone()), "{lengths}");
        assert_eq!(answer.values("content-length"), shown, "{lengths}");
    }
}

#[tokio::test]
async fn an_http2_answer_that_is_reset_without_an_error_before_its_length_is_cut() {
    let ca = Ca::new();
    let told = |reply: Reply, length: usize| {
        let pause = Duration::from_millis(50);
        reply.header("content-length", &length.to_string()).then_after(pause, "").end(End::NoError)
    };
    let (small, large) = (messages::answer("a"), [&messages::answer("a")[..], &b" ".repeat(100_000)].concat());
    let script = move |seen: &Recorded| match (seen.path(), seen.header("x-case")) {
        ("/v1/messages/count_tokens", _) => told(Reply::json(200, r#"{"input_tokens":12}"#), 100),
        (_, Some("small")) => told(Reply::json(200, small.clone()), small.len() + 1),
        (_, Some("large")) => told(Reply::json(200, large.clone()), large.len() + 1),
        _ => told(Reply::json(200, small.clone()), small.len()),
    };
    let (first, second) = (Upstream::tls_h2(&ca, script).await, Upstream::tls_h2(&ca, Reply::served).await);
    let endpoints = in_order([first.url(), second.url()]).replace("api_key", "ca_file: ca.pem, proxy: none, api_key");
    let proxy = Setup::new(&file(&[endpoints])).with_file("ca.pem", &ca.pem).start().await;
    let ask = |case: &str| Request::unary().header("x-case", case);
    assert_eq!(proxy.send(&ask("whole")).await.assert_served().endpoint(), "a");
    assert_eq!(proxy.send(&Request::unary().target("/v1/messages/count_tokens")).await.ended, Ended::Cut);
    assert_eq!(proxy.send(&ask("large")).await.ended, Ended::Cut);
    assert_eq!(proxy.send(&ask("small")).await.assert_served().endpoint(), "b");
}

#[tokio::test]
async fn half_a_json_answer_in_whole_framing_is_no_answer() {
    let text = messages::answer("hello");
    for reply in [Reply::json(200, text.slice(..60)), Reply::json(200, text.slice(..60)).framing(Framing::UntilClose)] {
        let (first, _second, proxy) = fixture(reply).await;
        assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
        assert_eq!(first.count(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_is_not_compressed_as_it_says_is_no_answer() {
    let error = messages::error_event("overloaded_error");
    let (first, _second, proxy) = fixture(Reply::sse([error]).header("content-encoding", "gzip")).await;
    assert_eq!(proxy.send(&Request::stream()).await.assert_served().endpoint(), "b");
    assert_eq!(first.count(), 1);
}

/// The same events with other ends of lines.
fn with_ends(events: &[Bytes], end: &str) -> Bytes {
    String::from_utf8_lossy(&events.concat()).replace('\n', end).into()
}

#[tokio::test]
async fn streams_with_any_ends_of_lines_are_understood_and_unchanged() {
    for end in ["\r", "\r\n"] {
        let whole = with_ends(&messages::stream_events("hello"), end);
        let (_first, second, proxy) = fixture(Reply::sse([whole.clone()]).split(3)).await;
        let answer = proxy.send(&Request::stream()).await;
        assert_eq!((answer.assert_served().endpoint(), &answer.body), ("a", &whole), "{end:?}");
        assert_eq!(second.count(), 0);
        let error = with_ends(&[messages::error_event("overloaded_error")], end);
        let (_first, _second, proxy) = fixture(Reply::sse([error])).await;
        assert_eq!(proxy.send(&Request::stream()).await.assert_served().endpoint(), "b", "{end:?}");
    }
}

#[tokio::test]
async fn a_stop_reason_in_several_lines_of_data_is_a_complete_answer() {
    let delta =
        "event: message_delta\ndata: {\"type\":\"message_delta\",\ndata: \"delta\":{\"stop_reason\":\"end_turn\"}}\n\n";
    let events = [messages::start(), messages::block_start(0), messages::block_stop(0), delta.into()].concat();
    let (_first, _second, proxy) = fixture(Reply::sse([events.clone()])).await;
    let answer = proxy.send(&Request::stream()).await;
    assert_eq!((answer.ended, &answer.body[..]), (Ended::Whole, &events[..]), "{}", answer.text());
}

#[tokio::test]
async fn cookies_of_an_http2_client_go_up_in_one_line() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let request = Request::unary().header("cookie", "a=1").header("cookie", "b=2");
    Client::h2(proxy.address).await.send(&request).await.assert_served();
    assert_eq!(upstream.only().values("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn a_post_without_a_body_says_so_upstream() {
    let upstream = Upstream::always(Reply::json(200, "{}")).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST /v1/messages/batches/b/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    client.answer().await.expect("an answer").assert_served();
    client.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    client.answer().await.expect("an answer").assert_served();
    let lengths: Vec<_> = upstream.requests().iter().map(|seen| seen.values("content-length").join("+")).collect();
    assert_eq!(lengths, ["0", ""]);
}

#[tokio::test]
async fn an_http2_stream_that_its_client_does_not_read_is_given_up() {
    // More than the client's window, so that it is not all taken.
    let long = messages::long_stream(20_000);
    let first = Upstream::start(move |seen| match seen.header("x-long") {
        Some(_) => Reply::sse([long.clone()]).end(End::Hang),
        None => Reply::served(seen),
    })
    .await;
    let proxy = Proxy::start(&with("timeouts: { idle: 1s }", &[in_order([first.url()])])).await;
    let mut client = Client::h2(proxy.address).await;
    let mut unread = client.begin(&Request::stream().header("x-long", "1")).await.expect("a head");
    read_until(unread.body_mut(), "word 1 ").await;
    first.wait_left(0).await;
    client.send(&Request::stream()).await.assert_served();
    let cut = in_time("the end of the unread stream", collect(unread)).await;
    assert_eq!(cut.ended, Ended::Cut);
}
