//! Client tokens: who may call, and that a token never leaves.

use crate::support::config::{in_order, key, with_server};
use crate::support::{Proxy, Reply, Request, Setup, Upstream, profile};

const CLIENTS: &str = "clients: [{ name: alice, token: { env: ALICE } }, { name: bob, token: { file: bob.token } }]";

async fn fixture() -> (Upstream, Proxy) {
    let upstream = Upstream::serving().await;
    let yaml = with_server(CLIENTS, "", &[in_order([upstream.url()])]);
    let setup = Setup::new(&yaml).env("ALICE", "sk-canary-alice").with_file("bob.token", "sk-canary-bob\n");
    (upstream, setup.start().await)
}

#[tokio::test]
async fn a_token_is_accepted_in_each_of_its_headers() {
    let (upstream, proxy) = fixture().await;
    let bare = || Request::unary().without("x-api-key");
    for request in [
        bare().header("x-api-key", "sk-canary-alice"),
        bare().header("authorization", "Bearer sk-canary-bob"),
        bare().header("qcc-token", "sk-canary-alice"),
        bare().header("x-api-key", "something else").header("qcc-token", "sk-canary-bob"),
    ] {
        proxy.send(&request).await.assert_served();
        let seen = upstream.requests().pop().expect("it was just answered");
        assert_eq!((seen.values("x-api-key"), seen.header("authorization")), (vec![key("a").as_str()], None));
        let leaked = |(_, value): &&(String, String)| value.contains("alice") || value.contains("bob");
        assert_eq!(seen.headers.iter().find(leaked), None, "a client's token at the upstream");
    }
    assert!(proxy.wait_log("client=alice").await.contains("request"));
}

#[tokio::test]
async fn a_wrong_or_missing_token_is_refused() {
    let (upstream, proxy) = fixture().await;
    let bare = || Request::unary().without("x-api-key");
    for request in [
        bare(),
        bare().header("x-api-key", ""),
        bare().header("x-api-key", "sk-canary-alic"),
        bare().header("x-api-key", "sk-canary-alicee"),
        bare().header("authorization", "Bearer "),
        bare().header("authorization", "Basic sk-canary-alice"),
        bare().header("qcc-token", "proxy-managed"),
        bare().header("x-api-key", &key("a")),
        Request::new("GET", "/v1/models"),
    ] {
        let answer = proxy.send(&request).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (401, "authentication_error"), "{request:?}");
        assert!(answer.header("qcc-error").is_some(), "{answer:?}");
        assert!(!answer.text().contains("canary"), "{answer:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_client_whose_token_is_not_there_is_told_of() {
    let upstream = Upstream::serving().await;
    let yaml = with_server(CLIENTS, "", &[in_order([upstream.url()])]);
    let proxy = Setup::new(&yaml).with_file("bob.token", "sk-canary-bob\n").start().await;
    let line = proxy.wait_log("client shut out").await;
    assert!(line.contains("client=alice") && line.contains("ALICE is not set"), "{line}");
}

#[tokio::test]
async fn without_clients_any_credential_is_accepted_on_loopback() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&with_server("", "", &[in_order([upstream.url()])])).await;
    for request in [Request::unary(), Request::unary().without("x-api-key")] {
        proxy.send(&request).await.assert_served();
    }
}

#[tokio::test]
async fn a_listener_beyond_loopback_without_clients_does_not_start() {
    let yaml = with_server("", "", &[in_order(["http://127.0.0.1:1"])]).replace("127.0.0.1:0", "0.0.0.0:0");
    let (code, text) = Setup::new(&yaml).run(&["-c", "qcc.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("clients"), "it says what to do: {text}");
}

#[tokio::test]
async fn an_empty_token_is_never_open() {
    let upstream = Upstream::serving().await;
    let yaml = with_server("clients: [{ name: eve, token: { env: EMPTY } }]", "", &[in_order([upstream.url()])]);
    // Whether it refuses to start or refuses everybody: nobody gets in.
    let proxy = match Setup::new(&yaml).env("EMPTY", "").start_or_exit().await {
        Ok(proxy) => proxy,
        Err(code) => return assert_eq!(code, Some(2)),
    };
    let bare = || Request::unary().without("x-api-key");
    for request in [bare(), bare().header("x-api-key", ""), bare().header("qcc-token", "")] {
        assert_eq!(proxy.send(&request).await.status, 401, "{request:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_never_reaches_a_passthrough_endpoint() {
    let upstream = Upstream::serving().await;
    let endpoint = format!("      - {{ id: a, base_url: \"{}\", auth: passthrough }}\n", upstream.url());
    let yaml = with_server(CLIENTS, "", &[profile("production", "tier: primary", &[endpoint])]);
    let proxy =
        Setup::new(&yaml).env("ALICE", "sk-canary-alice").with_file("bob.token", "sk-canary-bob\n").start().await;
    let bare = || Request::unary().without("x-api-key");
    for request in [
        bare().header("x-api-key", "sk-canary-alice").header("authorization", "Bearer own"),
        bare().header("authorization", "Bearer sk-canary-alice").header("x-api-key", "own"),
        bare().header("authorization", "Bearer own").header("qcc-token", "sk-canary-alice"),
    ] {
        proxy.send(&request).await.assert_served();
        let seen = upstream.requests().pop().expect("it was just answered");
        assert_eq!(seen.headers.iter().find(|(_, value)| value.contains("alice")), None, "a client's token");
        assert!(seen.headers.iter().any(|(_, value)| value.ends_with("own")), "the client's own credential: {seen:?}");
    }
}

#[tokio::test]
async fn what_a_passthrough_endpoint_refuses_a_client_is_that_clients_affair() {
    let upstream = Upstream::start(|seen| match seen.header("x-api-key") {
        Some("poor") => Reply::error(403, "permission_error", "no access to model claude"),
        _ => Reply::served(seen),
    })
    .await;
    let endpoint = format!("      - {{ id: a, base_url: \"{}\", auth: passthrough }}\n", upstream.url());
    let proxy = Proxy::start(&with_server("", "", &[profile("production", "tier: primary", &[endpoint])])).await;
    let of = |key: &str| Request::unary().without("x-api-key").header("x-api-key", key);
    assert_eq!(proxy.send(&of("poor")).await.status, 403);
    proxy.send(&of("rich")).await.assert_served();
}
