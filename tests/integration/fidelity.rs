//! Bytes in are bytes out: bodies of requests and answers, whatever they hold, however they are cut, over every kind of connection.

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::support::config::{endpoint, in_order, with_server};
use crate::support::http1::Ended;
use crate::support::{
    Answer, Ca, Client, Framing, Proxy, Reply, Request, Setup, Upstream, file, messages, profile, sha256,
};

/// Sends a body and expects another one back, both unchanged.
async fn assert_exact(client: &mut Client, upstream: &Upstream, request: Bytes, answer: &Bytes) -> Answer {
    let got = client.send(&Request::messages(request.clone())).await;
    got.assert_served();
    assert_eq!(sha256(&got.body), sha256(answer), "the answer, {} of {} bytes", got.body.len(), answer.len());
    let seen = upstream.requests().pop().expect("it was just answered");
    assert_eq!(seen.sha256(), sha256(&request), "the request, {} of {} bytes", seen.body.len(), request.len());
    got
}

/// Requests and answers of every kind over one connection.
async fn assert_everything_exact(mut client: Client, upstream: &Upstream) {
    let events = messages::long_stream(200);
    for (reply, stream) in [
        (Reply::json(200, messages::answer("hello")), false),
        (Reply::json(200, odd_json()), false),
        (Reply::json(200, messages::answer("chunked")).framing(Framing::Chunked), false),
        (Reply::json(200, messages::answer("closed")).framing(Framing::UntilClose), false),
        (Reply::sse([events.clone()]), true),
        (Reply::sse(events.chunks(97).map(Bytes::copy_from_slice).collect::<Vec<_>>()), true),
    ] {
        let expected = reply.content();
        upstream.script(move |_| reply.clone());
        for body in [messages::ask(messages::MODEL, stream), odd_request(stream)] {
            assert_exact(&mut client, upstream, body, &expected).await;
        }
    }
}

/// Valid JSON that any re-serialisation would change.
fn odd_json() -> Bytes {
    let body = "{ \"id\" : \"msg_1\",\"type\":\"message\" ,\t\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\\/\u{e9}\"}],\r\n\"stop_reason\":\"end_turn\",\"x\":1.0e+2,\"x\":100.000, \"usage\":{\"input_tokens\":1,\"output_tokens\":1}}\n\n";
    Bytes::from_static(body.as_bytes())
}

fn odd_request(stream: bool) -> Bytes {
    format!(
        "{{ \"zz\":1e2 , \"model\" :\t\"claude-sonnet-4-5\",\"stream\":{stream},\"max_tokens\":64.0e0,\r\n\"messages\":[{{\"role\":\"user\",\"content\":\"\\u4f60\u{597d} \\ud83d\\ude00 \\/\"}}],\"a\":1,\"a\":2}}  \n"
    )
    .into()
}

async fn plain(upstream: &Upstream) -> Proxy {
    Proxy::start(&file(&[in_order([upstream.url()])])).await
}

/// A proxy that serves HTTPS with this authority's certificate.
async fn with_tls(ca: &Ca, upstream: &Upstream) -> Proxy {
    let server = "tls: { cert: server.pem, key: { file: server.key } }";
    let yaml = with_server(server, "", &[in_order([upstream.url()])]);
    Setup::new(&yaml).with_file("server.pem", &ca.cert).with_file("server.key", &ca.key).start().await
}

/// A proxy before an upstream that has a certificate of this authority.
async fn before_tls(ca: &Ca, upstream: &Upstream) -> Proxy {
    let endpoints = [endpoint("a", &upstream.url(), "ca_file: ca.pem, proxy: none")];
    let yaml = file(&[profile("production", "tier: primary", &endpoints)]);
    Setup::new(&yaml).with_file("ca.pem", &ca.pem).start().await
}

#[tokio::test]
async fn bodies_are_unchanged_over_http1() {
    let upstream = Upstream::serving().await;
    let proxy = plain(&upstream).await;
    assert_everything_exact(Client::h1(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn bodies_are_unchanged_over_http2() {
    let upstream = Upstream::serving().await;
    let proxy = plain(&upstream).await;
    assert_everything_exact(Client::h2(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn bodies_are_unchanged_over_https_with_http1() {
    let (ca, upstream) = (Ca::new(), Upstream::serving().await);
    let proxy = with_tls(&ca, &upstream).await;
    assert_everything_exact(Client::tls_h1(proxy.address, &ca).await, &upstream).await;
}

#[tokio::test]
async fn bodies_are_unchanged_over_https_with_http2() {
    let (ca, upstream) = (Ca::new(), Upstream::serving().await);
    let proxy = with_tls(&ca, &upstream).await;
    assert_everything_exact(Client::tls_h2(proxy.address, &ca).await, &upstream).await;
}

#[tokio::test]
async fn bodies_are_unchanged_to_an_https_upstream_with_http1() {
    let ca = Ca::new();
    let upstream = Upstream::tls(&ca, Reply::served).await;
    let proxy = before_tls(&ca, &upstream).await;
    assert_everything_exact(Client::h1(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn bodies_are_unchanged_to_an_https_upstream_with_http2() {
    let ca = Ca::new();
    let upstream = Upstream::tls_h2(&ca, Reply::served).await;
    let proxy = before_tls(&ca, &upstream).await;
    assert_everything_exact(Client::h1(proxy.address).await, &upstream).await;
    assert_everything_exact(Client::h2(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn an_upstream_with_a_certificate_of_an_unknown_authority_is_not_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let upstream = Upstream::tls(&ca, Reply::served).await;
    let proxy = before_tls(&other, &upstream).await;
    assert_eq!(proxy.send(&Request::unary()).await.status, 503);
    assert_eq!(upstream.count(), 0);
}

/// 20 MiB up and 20 MiB down.
async fn assert_big_bodies_exact(mut client: Client, upstream: &Upstream) {
    let answer = Bytes::from([&messages::answer("x")[..], &b" ".repeat(20 << 20)].concat());
    for framing in [Framing::Length, Framing::Chunked] {
        let reply = Reply::json(200, answer.clone()).framing(framing);
        upstream.script(move |_| reply.clone());
        assert_exact(&mut client, upstream, messages::big_ask(20 << 20, false), &answer).await;
    }
}

#[tokio::test]
async fn bodies_of_20_mib_are_unchanged_over_http1() {
    let upstream = Upstream::serving().await;
    let proxy = plain(&upstream).await;
    assert_big_bodies_exact(Client::h1(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn bodies_of_20_mib_are_unchanged_over_http2_on_both_sides() {
    let ca = Ca::new();
    let upstream = Upstream::tls_h2(&ca, Reply::served).await;
    let proxy = before_tls(&ca, &upstream).await;
    assert_big_bodies_exact(Client::h2(proxy.address).await, &upstream).await;
}

#[tokio::test]
async fn a_body_of_20_mib_is_the_same_at_the_second_endpoint() {
    let first = Upstream::always(Reply::error(500, "api_error", "scripted")).await;
    let second = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
    let body = messages::big_ask(20 << 20, false);
    proxy.send(&Request::messages(body.clone())).await.assert_served();
    assert_eq!([first.only().sha256(), second.only().sha256()], [sha256(&body), sha256(&body)]);
}

#[tokio::test]
async fn a_stream_cut_at_every_byte_arrives_unchanged() {
    let events = messages::long_stream(12);
    let reply = Reply::sse([events.clone()]).split(1);
    let upstream = Upstream::always(reply).await;
    let proxy = plain(&upstream).await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        assert_exact(&mut client, &upstream, messages::ask(messages::MODEL, true), &events).await;
    }
}

#[tokio::test]
async fn a_stream_in_chunks_of_one_byte_arrives_unchanged() {
    let events = messages::long_stream(12);
    let bytes: Vec<_> = events.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
    let upstream = Upstream::always(Reply::sse(bytes)).await;
    let proxy = plain(&upstream).await;
    let mut client = Client::h1(proxy.address).await;
    assert_exact(&mut client, &upstream, messages::ask(messages::MODEL, true), &events).await;
}

#[tokio::test]
async fn streams_with_other_line_ends_comments_and_unknown_events_arrive_unchanged() {
    let text = String::from_utf8(messages::long_stream(3).to_vec()).expect("it is text");
    let crlf = text.replace('\n', "\r\n");
    let extras =
        format!(": a comment\n\nevent: unheard_of\nid: 7\nretry: 10\ndata: {{\"a\":\ndata: 1}}\n\n{text}: bye\n\n");
    for events in [crlf, extras] {
        let upstream = Upstream::always(Reply::sse([events.clone()])).await;
        let proxy = plain(&upstream).await;
        let mut client = Client::h1(proxy.address).await;
        let body = messages::ask(messages::MODEL, true);
        assert_exact(&mut client, &upstream, body, &events.into()).await;
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
    encoder.write_all(bytes).expect("memory takes everything");
    drop(encoder);
    out
}

#[tokio::test]
async fn compressed_answers_arrive_compressed_and_unchanged() {
    let plain_text = messages::answer("squeezed");
    let zstd = zstd::encode_all(&plain_text[..], 3).expect("memory takes everything");
    for (coding, body) in [("gzip", gzip(&plain_text)), ("br", brotli(&plain_text)), ("zstd", zstd)] {
        let upstream = Upstream::always(Reply::json(200, body.clone()).header("content-encoding", coding)).await;
        let proxy = plain(&upstream).await;
        let request = Request::unary().header("accept-encoding", "gzip, deflate, br, zstd");
        let length = body.len().to_string();
        let answer = proxy.send(&request).await;
        answer.assert_served();
        assert_eq!((sha256(&answer.body), answer.header("content-encoding")), (sha256(&body), Some(coding)));
        assert_eq!(answer.values("content-length"), [length]);
        assert_eq!(upstream.only().header("accept-encoding"), Some("gzip, deflate, br, zstd"));
    }
}

#[tokio::test]
async fn a_compressed_stream_arrives_unchanged() {
    let body = Bytes::from(gzip(&messages::long_stream(50)));
    let pieces: Vec<_> = body.chunks(11).map(Bytes::copy_from_slice).collect();
    let upstream = Upstream::always(Reply::sse(pieces).header("content-encoding", "gzip")).await;
    let proxy = plain(&upstream).await;
    let answer = proxy.send(&Request::stream().header("accept-encoding", "gzip")).await;
    answer.assert_served();
    assert_eq!((sha256(&answer.body), answer.header("content-encoding")), (sha256(&body), Some("gzip")));
}

#[tokio::test]
async fn a_compressed_error_is_understood_and_replaced_by_the_next_endpoints_answer() {
    let low = gzip(&messages::error("invalid_request_error", "Your credit balance is too low to access the API."));
    let broke = Upstream::always(Reply::json(400, low).header("content-encoding", "gzip")).await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([broke.url(), good.url()])])).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
}

#[tokio::test]
async fn the_first_event_arrives_before_the_last_one_is_sent() {
    let gate = crate::support::Gate::closed();
    let [head @ .., stop] = &messages::stream_events("early")[..] else { panic!("a stream has events") };
    let upstream = Upstream::always(Reply::sse(head.to_vec()).then(&gate, stop.clone())).await;
    let proxy = plain(&upstream).await;
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    crate::support::client::read_until(response.body_mut(), "early").await;
    gate.open();
    let rest = crate::support::client::collect(response).await;
    assert_eq!(rest.ended, Ended::Whole);
    assert!(rest.text().contains("message_stop"), "{}", rest.text());
}

#[tokio::test]
async fn http1_clients_may_send_request_after_request_on_one_connection() {
    let upstream = Upstream::serving().await;
    let proxy = plain(&upstream).await;
    let address: SocketAddr = proxy.address;
    let mut client = crate::support::RawClient::connect(address).await;
    let body = messages::ask(messages::MODEL, false);
    let one = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let one = [one.as_bytes(), &body].concat();
    // Two requests in one write: the second must wait its turn and lose nothing.
    client.send([one.clone(), one].concat()).await;
    for _ in 0..2 {
        client.answer().await.expect("an answer").assert_served();
    }
    assert_eq!(upstream.requests().iter().filter(|seen| seen.body == body).count(), 2);
}
