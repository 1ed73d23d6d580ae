//! When a stream breaks after its beginning has gone to the client: how it is told, and where the re-send goes.

use std::time::Duration;

use bytes::Bytes;

use crate::support::config::{in_order, with};
use crate::support::http1::Ended;
use crate::support::{Client, End, Framing, Proxy, Reply, Request, Upstream, messages};

const SESSION: &str = "0d7ad0b5-5a02-4b0e-8f1c-111111111111";

/// The first endpoint breaks its streams as scripted, the second works. The threshold is far away.
async fn fixture(broken: Reply) -> (Upstream, Upstream, Proxy) {
    let bad = Upstream::start(move |seen| if seen.wants_stream() { broken.clone() } else { Reply::served(seen) }).await;
    let good = Upstream::serving().await;
    let quick = "failover: { failure_threshold: 10 }\ntimeouts: { idle: 400ms }";
    let proxy = Proxy::start(&with(quick, &[in_order([bad.url(), good.url()])])).await;
    (bad, good, proxy)
}

/// The events of `message`, up to and with the first completed block.
fn after_a_block() -> Vec<Bytes> {
    vec![messages::start(), messages::block_start(0), messages::delta(0, "one"), messages::block_stop(0)]
}

fn within_a_block() -> Vec<Bytes> {
    vec![messages::start(), messages::block_start(0), messages::delta(0, "half a ")]
}

/// The stream must arrive cut, with nothing invented, and the same request again must be served elsewhere.
async fn assert_cut(broken: Reply) {
    let sent = broken.content();
    let (_bad, good, proxy) = fixture(broken).await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let answer = client.send(&Request::stream().session(SESSION)).await;
        if good.count() > 0 {
            // The conversation has moved already; this connection shows that it stays moved.
            answer.assert_served();
            continue;
        }
        assert_eq!((answer.status, answer.ended), (200, Ended::Cut), "{}", answer.text());
        assert!(sent.starts_with(&answer.body), "{}", answer.text());
        let again = proxy.send(&Request::stream().session(SESSION)).await;
        assert_eq!(again.assert_served().endpoint(), "b");
    }
}

/// The stream must end with `event: error`, and the non-streaming re-send must be served elsewhere.
async fn assert_error_event(broken: Reply) {
    let sent = broken.content();
    let (_bad, good, proxy) = fixture(broken).await;
    let answer = proxy.send(&Request::stream().session(SESSION)).await;
    assert_eq!((answer.status, answer.ended), (200, Ended::Whole), "{}", answer.text());
    let appended = answer.body.strip_prefix(&sent[..]).unwrap_or_else(|| panic!("altered: {}", answer.text()));
    let appended = String::from_utf8_lossy(appended);
    let data = appended.strip_prefix("event: error\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let data: serde_json::Value = serde_json::from_str(data.expect("one more event")).expect("JSON");
    assert_eq!((&data["type"], &data["error"]["type"]), (&"error".into(), &"api_error".into()), "{appended}");
    let again = proxy.send(&Request::unary().session(SESSION)).await;
    assert_eq!(again.assert_served().endpoint(), "b", "the re-send must not land where the stream broke");
    assert_eq!(good.count(), 1);
}

#[tokio::test]
async fn a_reset_before_the_first_block_is_complete_cuts_the_stream() {
    assert_cut(Reply::sse(within_a_block()).end(End::Reset)).await;
}

#[tokio::test]
async fn an_end_before_the_first_block_is_complete_cuts_the_stream() {
    assert_cut(Reply::sse(within_a_block()).end(End::Eof)).await;
    assert_cut(Reply::sse(within_a_block())).await;
    assert_cut(Reply::sse(within_a_block()).framing(Framing::UntilClose)).await;
}

#[tokio::test]
async fn silence_before_the_first_block_is_complete_cuts_the_stream() {
    assert_cut(Reply::sse(within_a_block()).end(End::Hang)).await;
}

#[tokio::test]
async fn a_reset_after_a_complete_block_ends_the_stream_with_an_error_event() {
    assert_error_event(Reply::sse(after_a_block()).end(End::Reset)).await;
}

#[tokio::test]
async fn an_end_after_a_complete_block_ends_the_stream_with_an_error_event() {
    assert_error_event(Reply::sse(after_a_block()).end(End::Eof)).await;
    assert_error_event(Reply::sse(after_a_block())).await;
    assert_error_event(Reply::sse(after_a_block()).framing(Framing::UntilClose)).await;
}

#[tokio::test]
async fn silence_after_a_complete_block_ends_the_stream_with_an_error_event() {
    assert_error_event(Reply::sse(after_a_block()).end(End::Hang)).await;
}

#[tokio::test]
async fn a_break_within_an_event_after_a_complete_block_cuts_the_stream() {
    let mut pieces = after_a_block();
    pieces.push("event: content_block_sta".into());
    assert_cut(Reply::sse(pieces).end(End::Reset)).await;
}

#[tokio::test]
async fn an_error_event_of_the_upstream_is_handed_on_and_moves_the_conversation() {
    let mut events = after_a_block();
    events.push(messages::error_event("overloaded_error"));
    let (_bad, good, proxy) = fixture(Reply::sse(events.clone())).await;
    let answer = proxy.send(&Request::stream().session(SESSION)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &events.concat()[..]));
    assert_eq!(proxy.send(&Request::unary().session(SESSION)).await.assert_served().endpoint(), "b");
    assert_eq!(good.count(), 1);
}

#[tokio::test]
async fn a_missing_message_stop_after_a_stop_reason_is_a_complete_answer() {
    let mut events = after_a_block();
    events.push(messages::message_delta());
    for reply in [
        Reply::sse(events.clone()),
        Reply::sse(events.clone()).framing(Framing::UntilClose),
        Reply::sse(events.clone()).end(End::Eof),
    ] {
        let bad = Upstream::always(reply).await;
        let good = Upstream::serving().await;
        let proxy =
            Proxy::start(&with("failover: { failure_threshold: 1 }", &[in_order([bad.url(), good.url()])])).await;
        for _ in 0..3 {
            let answer = proxy.send(&Request::stream().session(SESSION)).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &events.concat()[..]), "{}", answer.text());
            assert_eq!(answer.endpoint(), "a");
        }
        assert_eq!(good.count(), 0, "a complete answer hurts nobody");
    }
}

#[tokio::test]
async fn broken_streams_count_and_eject() {
    let (bad, good) = (Upstream::always(Reply::sse(within_a_block()).end(End::Reset)).await, Upstream::serving().await);
    let proxy = Proxy::start(&with("failover: { failure_threshold: 2 }", &[in_order([bad.url(), good.url()])])).await;
    for round in 0..6 {
        let answer = proxy.send(&Request::stream()).await;
        assert_eq!(answer.ended == Ended::Cut, round < 2, "round {round}: {answer:?}");
    }
    assert_eq!((bad.count(), good.count()), (2, 4));
}

#[tokio::test]
async fn a_stream_with_pauses_shorter_than_idle_is_left_alone() {
    let events = messages::stream_events("slow");
    let mut reply = Reply::sse([events[0].clone()]);
    for event in &events[1..] {
        reply = reply.then_after(Duration::from_millis(150), event.clone());
    }
    let (_bad, good, proxy) = fixture(reply).await;
    let answer = proxy.send(&Request::stream()).await;
    assert_eq!((answer.assert_served().endpoint(), &answer.body[..]), ("a", &events.concat()[..]));
    assert_eq!(good.count(), 0);
}

#[tokio::test]
async fn a_json_answer_that_breaks_late_is_cut_and_counted() {
    let body = [&messages::answer("x")[..], &b" ".repeat(300_000)].concat();
    let bad = Upstream::always(Reply::json(200, body).end(End::Reset)).await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&with("failover: { failure_threshold: 1 }", &[in_order([bad.url(), good.url()])])).await;
    let answer = proxy.send(&Request::unary()).await;
    // The break may be seen before the answer's head went down; then it was replaced.
    assert!(answer.ended == Ended::Cut || answer.endpoint() == "b", "{:?}", answer.headers);
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
}
