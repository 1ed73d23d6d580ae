//! Seeing and steering the active profile, and checks by hand: over the control API of the real binary.

use serde_json::{Value, json};

use crate::support::config::{endpoint, with};
use crate::support::{Proxy, Reply, Request, Upstream, profile};

/// Primary `a`, secondary `b`, fallback `c`.
fn chain(more: &str, urls: [&str; 3]) -> String {
    let tiers = [("production", "primary", "a"), ("backup", "secondary", "b"), ("emergency", "fallback", "c")];
    let profile = |((name, tier, id), url): ((&str, &str, &str), &str)| {
        profile(name, &format!("tier: {tier}"), &[endpoint(id, url, "")])
    };
    with(more, &tiers.into_iter().zip(urls).map(profile).collect::<Vec<_>>())
}

async fn served_by(proxy: &Proxy) -> String {
    proxy.send(&Request::unary()).await.assert_served().endpoint().to_owned()
}

async fn failover(proxy: &Proxy) -> Value {
    let (status, body) = proxy.get("/v1/failover").await;
    assert_eq!(status, 200, "{body:#}");
    body
}

#[tokio::test]
async fn a_switch_by_hand_takes_effect_on_the_next_request_and_pins_until_auto() {
    let ups = [Upstream::serving().await, Upstream::serving().await, Upstream::serving().await];
    let urls = ups.each_ref().map(Upstream::url);
    let yaml = chain("", urls.each_ref().map(String::as_str));
    let proxy = Proxy::start(&yaml).await;
    assert_eq!(served_by(&proxy).await, "a");
    let (status, body) = proxy.post("/v1/failover/switch", r#"{"to":"backup","reason":"maintenance"}"#).await;
    assert_eq!(
        (status, body),
        (200, json!({ "active": "backup", "from": "production", "pinned": true, "released": false }))
    );
    assert_eq!(served_by(&proxy).await, "b");

    // A pin does not stop spilling, and holds against failures in a row and a reload.
    ups[1].script(|_| Reply::error(500, "api_error", "down"));
    for _ in 0..6 {
        assert_eq!(served_by(&proxy).await, "c");
    }
    proxy.reload(&format!("{yaml}# saved again\n")).await;
    let seen = failover(&proxy).await;
    assert_eq!((&seen["active"], &seen["pinned"]), (&json!("backup"), &json!(true)));
    let last = &seen["switches"][0];
    assert_eq!(
        (&last["to"], &last["cause"], &last["reason"]),
        (&json!("backup"), &json!("manual"), &json!("maintenance"))
    );
    assert!(last["at"].is_string() && seen["cooldown_until"].is_null(), "{seen:#}");

    let (status, body) = proxy.post("/v1/failover/auto", "").await;
    assert_eq!((status, &body["pinned"], &body["released"]), (200, &json!(false), &json!(true)));
    let (status, body) = proxy.post("/v1/failover/failover", "{}").await;
    assert_eq!((status, &body["active"], &body["pinned"]), (200, &json!("emergency"), &json!(false)));
    assert_eq!(served_by(&proxy).await, "c");
}

#[tokio::test]
async fn a_pin_is_taken_up_by_the_next_process() {
    let ups = [Upstream::serving().await, Upstream::serving().await, Upstream::serving().await];
    let urls = ups.each_ref().map(Upstream::url);
    let mut proxy = Proxy::start(&chain("", urls.each_ref().map(String::as_str))).await;
    proxy.post("/v1/failover/switch", r#"{"to":"emergency"}"#).await;
    proxy.signal(rustix::process::Signal::TERM);
    proxy.exit().await;
    let proxy = proxy.again().await.expect("it starts again");
    assert_eq!(served_by(&proxy).await, "c");
    let seen = failover(&proxy).await;
    assert_eq!((&seen["active"], &seen["pinned"]), (&json!("emergency"), &json!(true)));
    assert_eq!(seen["switches"][0]["to"], "emergency");
}

#[tokio::test]
async fn what_cannot_be_switched_to_is_refused_with_a_reason() {
    let good = Upstream::serving().await;
    let profiles = [profile("production", "tier: primary", &[endpoint("a", &good.url(), "")])];
    let proxy = Proxy::start(&with("", &profiles)).await;
    let (status, body) = proxy.post("/v1/failover/switch", r#"{"to":"nowhere"}"#).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("not-found")));
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("production")), "{body:#}");
    let (status, body) = proxy.post("/v1/failover/failover", "{}").await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("none-ready")));
    assert_eq!(proxy.post("/v1/failover/switch", r#"{"profile":"x"}"#).await.0, 400);
}

#[tokio::test]
async fn checks_by_hand_are_answered_and_kept_and_survive_a_restart() {
    let (good, bad) =
        (Upstream::serving().await, Upstream::always(Reply::error(529, "overloaded_error", "busy")).await);
    let endpoints = [endpoint("a", &good.url(), ""), endpoint("b", &bad.url(), "")];
    let mut proxy =
        Proxy::start(&with("", &[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    let (status, body) = proxy.post("/v1/health/check", "{}").await;
    assert_eq!(status, 200, "{body:#}");
    let results: Vec<_> = body["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["endpoint"], &one["check"]["result"]))
        .collect();
    assert_eq!(results, [(&json!("production/a"), &json!("success")), (&json!("production/b"), &json!("overloaded"))]);
    assert_eq!(body["results"][0]["check"]["input_tokens"], 11);
    proxy.send(&Request::unary()).await.assert_served();

    for round in 0..2 {
        let (_, health) = proxy.get("/v1/health").await;
        let a = &health["endpoints"][0];
        assert_eq!(
            (&a["endpoint"], &a["health"], &a["checks"]["total"]),
            (&json!("production/a"), &json!("healthy"), &json!(1))
        );
        assert_eq!((&a["requests"]["succeeded"], &a["checks"]["succeeded"]), (&json!(1), &json!(1)), "kept apart");
        assert_eq!(
            (&a["requests"]["recent"]["success_rate"], &a["checks"]["output_tokens"]),
            (&json!(100.0), &json!(3))
        );
        let (_, history) = proxy.get("/v1/health/history?endpoint=b&n=5").await;
        let checks = history["checks"].as_array().expect("a list");
        assert_eq!(
            (checks.len(), &checks[0]["result"], &checks[0]["kind"]),
            (1, &json!("overloaded"), &json!("messages"))
        );
        if round == 0 {
            proxy.signal(rustix::process::Signal::TERM);
            proxy.exit().await;
            proxy = proxy.again().await.expect("it starts again");
        }
    }
    assert_eq!(proxy.get("/v1/health/history?endpoint=none").await.0, 404);
}

#[tokio::test]
async fn a_dead_key_is_found_again_by_a_check_when_it_works() {
    let (dead, good) =
        (Upstream::always(Reply::error(401, "authentication_error", "x")).await, Upstream::serving().await);
    let endpoints = [endpoint("a", &dead.url(), ""), endpoint("b", &good.url(), "")];
    let proxy =
        Proxy::start(&with("", &[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    for _ in 0..3 {
        assert_eq!(served_by(&proxy).await, "b");
    }
    assert_eq!(dead.count(), 1);
    dead.script(Reply::served);
    let (_, body) = proxy.post("/v1/health/check", r#"{"endpoint":"a"}"#).await;
    assert_eq!(body["results"][0]["check"]["result"], "success");
    assert_eq!(served_by(&proxy).await, "a");
}
