//! When nothing can answer: the error a client retries well, and no storm behind it.

use crate::support::config::{endpoint, in_order, with};
use crate::support::{Answer, Proxy, Refused, Reply, Request, Upstream, file, messages, profile};

/// Our own failure: 503 in Anthropic's shape that a client is to retry soon.
#[track_caller]
fn assert_retryable(answer: &Answer) {
    assert_eq!((answer.status, answer.error_type().as_str()), (503, "api_error"), "{answer:?}");
    let after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("integer retry-after");
    assert!(after <= 55, "{answer:?}");
    assert_eq!(answer.header("x-should-retry"), Some("true"), "{answer:?}");
    assert!(answer.header("qcc-error").is_some_and(|reason| !reason.is_empty()), "{answer:?}");
    assert!(!answer.text().contains("overloaded_error"), "{answer:?}");
}

#[tokio::test]
async fn with_every_endpoint_unreachable_the_client_gets_a_503_it_retries() {
    let (one, two) = (Refused::new(), Refused::new());
    let proxy = Proxy::start(&file(&[in_order([one.url(), two.url()])])).await;
    for request in [Request::unary(), Request::stream(), Request::unary(), Request::stream(), Request::unary()] {
        assert_retryable(&proxy.send(&request).await);
    }
}

#[tokio::test]
async fn an_overloaded_upstream_is_never_quoted() {
    for reply in [
        Reply::error(529, "overloaded_error", "Overloaded"),
        Reply::error(500, "overloaded_error", "Overloaded"),
        Reply::sse([messages::error_event("overloaded_error")]),
    ] {
        let upstream = Upstream::always(reply).await;
        let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
        assert_retryable(&proxy.send(&Request::stream()).await);
    }
}

#[tokio::test]
async fn the_last_upstreams_own_error_is_handed_on() {
    for (status, kind) in
        [(500, "api_error"), (502, "api_error"), (503, "api_error"), (504, "timeout_error"), (429, "rate_limit_error")]
    {
        let (first, last) = (Refused::new(), Upstream::always(Reply::error(status, kind, "the last word")).await);
        let proxy = Proxy::start(&file(&[in_order([first.url(), last.url()])])).await;
        let answer = proxy.send(&Request::unary()).await;
        assert_eq!((answer.status, answer.body), (status, messages::error(kind, "the last word")));
    }
}

#[tokio::test]
async fn a_long_retry_after_is_clamped_to_what_clients_wait() {
    let reply = Reply::error(429, "rate_limit_error", "x").header("retry-after", "86400");
    let upstream = Upstream::always(reply).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")), "{answer:?}");
}

#[tokio::test]
async fn with_every_key_dead_the_client_is_told_not_to_retry() {
    let upstream = Upstream::always(Reply::error(401, "authentication_error", "invalid x-api-key")).await;
    let endpoints = [endpoint("a", &upstream.url(), ""), endpoint("b", &upstream.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
    for _ in 0..2 {
        let answer = proxy.send(&Request::unary()).await;
        assert_eq!((answer.status, answer.error_type().as_str()), (401, "authentication_error"), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{answer:?}");
        assert!(answer.text().contains("production/a") && answer.text().contains("production/b"), "{answer:?}");
        assert!(!answer.text().contains("canary"), "{answer:?}");
    }
    assert_eq!(upstream.count(), 2, "a dead key is not asked again");
}

#[tokio::test]
async fn an_outage_is_not_made_worse() {
    let upstream = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let other = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url(), other.url()])])).await;
    for answer in proxy.send_times(100, &Request::unary()).await {
        assert!(answer.status >= 500, "{answer:?}");
    }
    // 1.2 calls per request at the very most; ejection keeps it far below.
    assert!(upstream.count() + other.count() <= 120, "{} + {}", upstream.count(), other.count());
}

#[tokio::test]
async fn an_ejected_endpoint_that_is_back_answers_when_the_last_one_fails() {
    let failing = |_: &_| Reply::error(500, "api_error", "x");
    let (one, two) = (Upstream::start(failing).await, Upstream::serving().await);
    let more = "queue: { enabled: false, hold: 0s }\nfailover: { failure_threshold: 1 }";
    let proxy = Proxy::start(&with(more, &[in_order([one.url(), two.url()])])).await;
    proxy.send(&Request::unary()).await.assert_served();
    one.script(Reply::served);
    two.script(failing);
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!(answer.assert_served().header("qcc-endpoint"), Some("a"));
    assert_eq!((one.count(), two.count()), (2, 2));
}

#[tokio::test]
async fn a_repeat_does_not_use_up_the_last_resort() {
    let failing = |_: &_| Reply::error(500, "api_error", "x");
    let (one, two) = (Upstream::start(failing).await, Upstream::serving().await);
    let more = "queue: { enabled: false, hold: 0s }\nfailover: { failure_threshold: 2 }\nhealth: { enabled: false }";
    let proxy = Proxy::start(&with(more, &[in_order([one.url(), two.url()])])).await;
    for _ in 0..2 {
        proxy.send(&Request::unary()).await.assert_served();
    }
    one.script(Reply::served);
    two.script(failing);
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!(answer.assert_served().header("qcc-attempts"), Some("3"), "two fails, is repeated, one is back");
}

#[tokio::test]
async fn each_ejected_endpoint_is_tried_before_giving_up() {
    for back in 0..3 {
        let failing = |_: &_| Reply::error(500, "api_error", "x");
        let upstreams =
            [Upstream::start(failing).await, Upstream::start(failing).await, Upstream::start(failing).await];
        let more = "queue: { enabled: false, hold: 0s }\nfailover: { failure_threshold: 1 }";
        let urls = upstreams.each_ref().map(Upstream::url);
        let proxy = Proxy::start(&with(more, &[in_order(urls)])).await;
        assert_eq!(proxy.send(&Request::unary()).await.status, 500);
        upstreams[back].script(Reply::served);
        proxy.send(&Request::unary()).await.assert_served();
    }
}
