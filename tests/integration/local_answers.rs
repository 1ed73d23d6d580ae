//! What qcc answers itself, without any upstream.

use std::time::Duration;

use crate::support::config::in_order;
use crate::support::{Proxy, RawClient, Request, Upstream, file};

async fn proxy(upstream: &Upstream) -> Proxy {
    Proxy::start(&file(&[in_order([upstream.url()])])).await
}

#[tokio::test]
async fn connection_probes_are_answered_here() {
    let upstream = Upstream::serving().await;
    let proxy = proxy(&upstream).await;
    for path in ["/", "/api/hello"] {
        let mut client = RawClient::connect(proxy.address).await;
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(client.head().await.expect("an answer").status, 200, "{path}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn event_logging_is_swallowed_here() {
    let upstream = Upstream::serving().await;
    let proxy = proxy(&upstream).await;
    let request = Request::messages(r#"{"events":[]}"#).target("/api/event_logging/batch");
    let answer = proxy.send(&request).await;
    assert_eq!(answer.assert_served().text(), r#"{"success":true}"#);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn options_is_refused_here() {
    let upstream = Upstream::serving().await;
    let proxy = proxy(&upstream).await;
    let request = Request::new("OPTIONS", "/v1/messages")
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST");
    let answer = proxy.send(&request).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_file_with_nothing_to_serve_answers_503_and_goes_live_when_an_endpoint_is_saved() {
    let upstream = Upstream::serving().await;
    let proxy =
        Proxy::start("version: 1\nserver: { listen: \"127.0.0.1:0\" }\nqueue: { hold: 0s }\nprofiles: {}\n").await;
    let answer = tokio::time::timeout(Duration::from_secs(5), proxy.send(&Request::unary())).await;
    let answer = answer.expect("nothing is expected back, so nothing is waited for");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.error_type(), "api_error");
    assert!(answer.header("qcc-error").is_some(), "{answer:?}");
    proxy.reload(&file(&[in_order([upstream.url()])])).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
}
