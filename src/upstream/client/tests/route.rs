//! The way to an endpoint: names, proxies, deadlines, and the address that must not be called.

use super::super::SendErrorKind;
use super::*;

fn through(peer: &Peer, base: &str, scheme: &str) -> Arc<Target> {
    let proxy = format!("{scheme}{}", peer.address()).parse().expect("a proxy");
    target(base, ClientTls::default(), proxy)
}

#[tokio::test]
async fn an_http_proxy_is_asked_for_a_tunnel_with_its_password() {
    on_a_worker(async {
        let (client, proxy) = (client(), Peer::new().await);
        let target = through(&proxy, "http://api.test/", "http://user:canary@");
        let script = async {
            let mut wire = proxy.accept().await;
            let head = wire.head().await;
            assert!(head.starts_with("CONNECT api.test:80 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Proxy-Authorization: Basic dXNlcjpjYW5hcnk=\r\n"), "{head}");
            wire.write("HTTP/1.1 200 Connection established\r\n\r\n").await;
            assert_eq!(wire.head().await, "GET /v1 HTTP/1.1\r\nhost: api.test\r\n\r\n");
            wire.answer("tunnelled").await;
        };
        let ((), answer) = tokio::join!(script, client.send(&target, || get("/v1")));
        assert_eq!(text(answer).await, "tunnelled");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    on_a_worker(async {
        let (client, proxy) = (client(), Peer::new().await);
        let target = through(&proxy, "http://api.test/", "http://user:canary@");
        let script = async {
            let mut wire = proxy.accept().await;
            wire.head().await;
            wire.write("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        };
        let ((), answer) = tokio::join!(script, client.send(&target, || get("/")));
        let error = answer.expect_err("refused");
        assert_eq!(error.kind, SendErrorKind::Proxy);
        assert_eq!(error.to_string(), format!("proxy {}: tunnel error: proxy authorization required", proxy.address()));
        assert!(!format!("{error:?} {target:?}").contains("canary"));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_an_error_of_the_proxy() {
    on_a_worker(async {
        let proxy = Peer::new().await;
        let target = through(&proxy, "http://api.test/", "http://");
        let address = proxy.address();
        drop(proxy);
        let error = client().send(&target, || get("/")).await.expect_err("nobody listens");
        assert_eq!(error.kind, SendErrorKind::Proxy);
        assert_eq!(error.to_string(), format!("proxy {address}: cannot connect to {address}: connection refused"));
    })
    .await;
}

#[tokio::test]
async fn a_socks5_proxy_gets_name_and_password_and_resolves_the_host() {
    on_a_worker(async {
        let (client, proxy) = (client(), Peer::new().await);
        let target = through(&proxy, "http://api.test:8080/", "socks5://user:pass@");
        let script = async {
            let mut wire = proxy.accept().await;
            assert_eq!(wire.bytes(3).await, [5, 1, 2]);
            wire.stream.write_all(&[5, 2]).await.expect("a listening client");
            assert_eq!(wire.bytes(11).await, b"\x01\x04user\x04pass");
            wire.stream.write_all(&[1, 0]).await.expect("a listening client");
            assert_eq!(wire.bytes(15).await, b"\x05\x01\x00\x03\x08api.test\x1f\x90");
            wire.stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("a listening client");
            assert!(wire.head().await.contains("host: api.test:8080\r\n"));
            wire.answer("tunnelled").await;
        };
        let ((), answer) = tokio::join!(script, client.send(&target, || get("/")));
        assert_eq!(text(answer).await, "tunnelled");
    })
    .await;
}

#[tokio::test]
async fn the_proxy_never_calls_itself() {
    on_a_worker(async {
        let peer = Peer::new().await;
        let client: Client<Segments> = Client::new(OwnAddresses::new([peer.address()]));
        let error = peer.ask(&client, get("/")).await.expect_err("it is ourselves");
        assert_eq!(error.kind, SendErrorKind::OwnAddress);
        assert!(error.to_string().contains("the proxy itself"), "{error}");
        let mut wire = peer.accept().await;
        wire.closed().await;
        assert!(wire.read.is_empty(), "a request was sent");
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_and_a_wrong_name_are_told_apart() {
    on_a_worker(async {
        let peer = Peer::new().await;
        let (target_of_nobody, address) = (peer.target(), peer.address());
        drop(peer);
        let error = client().send(&target_of_nobody, || get("/?key=canary")).await.expect_err("nobody listens");
        assert_eq!(error.kind, SendErrorKind::Connect);
        assert_eq!(error.to_string(), format!("cannot connect to {address}: connection refused"));

        // A label of 64 letters is no name: the resolver refuses it without asking anyone.
        let base = format!("http://{}.test", "a".repeat(64));
        let error = client().send(&target(&base, ClientTls::default(), Proxy::None), || get("/")).await;
        let error = error.expect_err("no such name");
        assert_eq!(error.kind, SendErrorKind::Dns, "{error}");
        assert!(error.to_string().starts_with("cannot resolve `aaaa"), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_than_its_limit() {
    let proxy = Peer::new().await;
    let target = through(&proxy, "http://api.test/", "http://");
    let began = tokio::time::Instant::now();
    // The proxy accepts and never answers. (The test's own limit would be passed at once under paused time.)
    let answer = LocalSet::new().run_until(async { client().send(&target, || get("/")).await }).await;
    let error = answer.expect_err("no tunnel");
    assert_eq!(error.kind, SendErrorKind::Timeout);
    assert_eq!(error.to_string(), "no connection to api.test:80 within 5s");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn an_ipv6_address_is_reached_and_named_in_brackets() {
    on_a_worker(async {
        // Machines without IPv6 have nothing to test here.
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let (client, peer) = (client(), Peer(listener));
        let script = async {
            let mut wire = peer.accept().await;
            assert!(wire.head().await.contains(&format!("host: [::1]:{}\r\n", peer.address().port())));
            wire.answer("six").await;
        };
        let ((), answer) = tokio::join!(script, peer.ask(&client, get("/")));
        assert_eq!(text(answer).await, "six");
    })
    .await;
}
