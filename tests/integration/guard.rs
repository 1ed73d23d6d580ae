//! Who may speak to the proxy at all: browsers, rebinding names, smuggled requests, tunnels.

use crate::support::config::{in_order, with_server};
use crate::support::raw::exchange;
use crate::support::{Answer, Client, Proxy, RawClient, Reply, Request, Upstream, file, messages};

async fn fixture() -> (Upstream, Proxy) {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    (upstream, proxy)
}

/// A complete request with these header lines; `{port}` in them is the proxy's port.
async fn with_head(proxy: &Proxy, lines: &[&str]) -> Option<Answer> {
    let body = messages::ask(messages::MODEL, false);
    let lines = lines.join("\r\n").replace("{port}", &proxy.address.port().to_string());
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\n{lines}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(proxy.address, [head.as_bytes(), &body].concat()).await
}

#[track_caller]
fn assert_refused(answer: Option<Answer>, what: &str) {
    let Some(answer) = answer else { return };
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{what}: {answer:?}");
}

#[tokio::test]
async fn names_of_this_machine_are_accepted_as_host() {
    let (upstream, proxy) = fixture().await;
    let hosts = [
        "localhost",
        "localhost:{port}",
        "127.0.0.1:{port}",
        "127.0.0.1",
        "[::1]:{port}",
        "LocalHost:1234",
        "127.0.0.1:9",
    ];
    for host in hosts {
        let answer = with_head(&proxy, &[&format!("Host: {host}")]).await;
        assert_eq!(answer.expect("an answer").status, 200, "{host}");
    }
    assert_eq!(upstream.count(), hosts.len());
}

#[tokio::test]
async fn foreign_names_are_refused_as_host() {
    let (upstream, proxy) = fixture().await;
    let hosts = [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example/localhost",
        "evil.example#localhost",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost/",
        "localhost:{port}:80",
        "10.0.0.1",
        "",
    ];
    for host in hosts {
        let answer = with_head(&proxy, &[&format!("Host: {host}")]).await;
        assert_refused(answer, host);
    }
    assert_refused(with_head(&proxy, &["Host: localhost", "Host: evil.example"]).await, "two hosts");
    assert_refused(with_head(&proxy, &["X-No-Host: 1"]).await, "no host");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_foreign_host_is_refused_in_anthropics_shape_also_over_http2() {
    let (upstream, proxy) = fixture().await;
    let answer = with_head(&proxy, &["Host: evil.example"]).await.expect("an answer");
    assert_eq!((answer.status, answer.error_type().as_str()), (403, "permission_error"));
    assert!(answer.header("qcc-error").is_some(), "{answer:?}");
    let mut client = Client::h2(proxy.address).await;
    let answer = client.send(&Request::unary().target("").header("host", "evil.example")).await;
    assert_ne!(answer.status, 200, "{answer:?}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn configured_names_are_accepted_as_host() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&with_server("hosts: [qcc.internal]", "", &[in_order([upstream.url()])])).await;
    let answer = with_head(&proxy, &["Host: qcc.internal:{port}"]).await;
    answer.expect("an answer").assert_served();
    assert_refused(with_head(&proxy, &["Host: other.internal"]).await, "another name");
}

#[tokio::test]
async fn web_pages_of_others_are_refused() {
    let (upstream, proxy) = fixture().await;
    for line in [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: chrome-extension://abcdefgh",
        "Origin: http://localhost.evil.example",
        "Sec-Fetch-Site: cross-site",
    ] {
        let answer = with_head(&proxy, &["Host: localhost:{port}", line]).await.expect("an answer");
        assert_eq!(answer.status, 403, "{line}: {answer:?}");
        assert_eq!(answer.error_type(), "permission_error", "{line}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn clients_that_are_no_web_page_are_served() {
    let (_upstream, proxy) = fixture().await;
    for line in ["Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"] {
        let answer = with_head(&proxy, &["Host: localhost:{port}", line]).await;
        assert_eq!(answer.expect("an answer").status, 200, "{line}");
    }
}

#[tokio::test]
async fn no_cors_header_ever_goes_down() {
    let reply = Reply::json(200, messages::answer("x")).header("access-control-allow-origin", "*");
    let upstream = Upstream::always(reply).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!(answer.assert_served().header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_request_with_two_lengths_or_an_unknown_coding_is_refused_and_the_connection_closed() {
    let (upstream, proxy) = fixture().await;
    let hidden = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 5\r\nTransfer-Encoding:\tchunked",
    ] {
        let mut client = RawClient::connect(proxy.address).await;
        client
            .send(format!("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}"))
            .await;
        let answer = client.answer().await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{lengths}");
        let rest = client.read_to_end().await;
        assert!(rest.is_empty(), "{lengths}: a second answer {rest:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_second_request_with_two_lengths_is_refused_too() {
    let (upstream, proxy) = fixture().await;
    let good = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let bad = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    // In one write, so that it is read while the first is being answered; then behind an answer.
    let mut client = RawClient::connect(proxy.address).await;
    client.send([good, bad].concat()).await;
    client.answer().await.expect("an answer").assert_served();
    assert!(client.answer().await.is_none_or(|answer| answer.status == 400), "pipelined");
    let mut client = RawClient::connect(proxy.address).await;
    client.send(good).await;
    client.answer().await.expect("an answer").assert_served();
    client.send(bad).await;
    assert!(client.answer().await.is_none_or(|answer| answer.status == 400), "on a kept connection");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn tunnels_and_upgrades_are_refused() {
    let (upstream, proxy) = fixture().await;
    let connect = "CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n\r\n";
    assert_refused(exchange(proxy.address, connect).await, "CONNECT");
    let connect = "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n";
    assert_refused(exchange(proxy.address, connect).await, "CONNECT to this machine");
    let upgrade = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_refused(exchange(proxy.address, upgrade).await, "Upgrade");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_request_names_no_upstream() {
    let (upstream, other) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let body = messages::ask(messages::MODEL, false);
    let head = format!(
        "POST {}/v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        other.url(),
        body.len()
    );
    drop(exchange(proxy.address, [head.as_bytes(), &body].concat()).await);
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn garbage_never_brings_the_proxy_down() {
    let (_upstream, proxy) = fixture().await;
    let mut inputs: Vec<Vec<u8>> = (0..40).map(|seed| messages::noise(300, seed)).collect();
    inputs.extend(
        [
            "GET\r\n\r\n",
            "\r\n\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
            "GET /%00/../..//v1/models?\u{7f} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    inputs.push([b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 300_000]].concat());
    for input in inputs {
        let mut client = RawClient::connect(proxy.address).await;
        client.send(&input).await;
    }
    for body in ["", "{", "\0", "[]", "\"x\"", "{\"model\":", "{\"stream\":true,\"stream\":1}", "\u{feff}{}"] {
        assert_eq!(proxy.send(&Request::messages(body)).await.status, 200, "{body:?} is the upstream's to judge");
    }
    proxy.send(&Request::unary()).await.assert_served();
}
