//! What the proxy knows of an endpoint is told truly, and stays known while the endpoint takes no traffic.

use serde_json::Value;

use crate::support::config::{endpoint, with};
use crate::support::messages::MODEL;
use crate::support::{Proxy, Reply, Request, Setup, Upstream, in_time, profile};

async fn json(setup: &Setup, line: &str) -> Value {
    let words: Vec<&str> = line.split_whitespace().chain(["--json"]).collect();
    let (_, stdout, stderr) = setup.said(&words).await;
    serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("JSON from {line}: {stdout}{stderr}"))
}

/// What a command prints, and what it says.
async fn done(setup: &Setup, line: &str) -> (String, String) {
    let (code, stdout, stderr) = setup.said(&line.split_whitespace().collect::<Vec<_>>()).await;
    assert_eq!(code, Some(0), "{line}: {stdout}{stderr}");
    (stdout, stderr)
}

/// `a` before `b`, with further keys of `a`.
fn pair(more: &str, keys: &str, a: &str, b: &str) -> String {
    let endpoints = [endpoint("a", a, keys), endpoint("b", b, "")];
    with(more, &[profile("production", "tier: primary; strategy: priority", &endpoints)])
}

fn limited() -> Reply {
    Reply::error(429, "rate_limit_error", "x").header("retry-after", "600")
}

#[tokio::test]
async fn a_model_that_rests_is_told_without_being_asked_for_and_a_reset_says_what_it_ended() {
    let (rests, good) = (Upstream::always(limited()).await, Upstream::serving().await);
    let proxy = Proxy::start(&pair("", "", &rests.url(), &good.url())).await;
    let setup = proxy.setup().clone();
    let word = async || json(&setup, "status").await["profiles"][0]["endpoints"][0]["health"].clone();
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");

    let explained = json(&setup, "explain").await;
    let a = &explained["candidates"][0];
    assert_eq!((&a["endpoint"], &a["turn"]), (&"production/a".into(), &1.into()), "other models it would serve");
    assert_eq!(
        (&a["resting_models"][0]["model"], &explained["candidates"][1]["resting_models"][0]),
        (&MODEL.into(), &Value::Null)
    );
    let (text, _) = done(&setup, "explain").await;
    assert!(text.contains(&format!("rests for {MODEL} for ")), "{text}");
    let asked = json(&setup, &format!("explain --model {MODEL}")).await;
    let a = asked["candidates"].as_array().expect("a list").iter().find(|of| of["endpoint"] == "production/a");
    assert!(a.is_some_and(|a| a["code"] == "rate_limited" && a["resting_models"] == Value::Array(Vec::new())), "{a:?}");

    assert_eq!(word().await, "warning");
    for line in ["health status", "health metrics", "status"] {
        let (text, _) = done(&setup, line).await;
        assert!(text.contains("warning") && text.contains(&format!("{MODEL} rests until ")), "{line}: {text}");
        assert!(!text.contains("ramps up"), "{line}: {text}");
    }

    let (_, said) = done(&setup, "endpoint reset a").await;
    assert!(said.contains(&format!("it took no requests for {MODEL}")), "{said}");
    assert_eq!(word().await, "healthy");
    let (_, said) = done(&setup, "endpoint reset a").await;
    assert!(said.contains("nothing was held against it"), "{said}");
}

#[tokio::test]
async fn a_model_that_an_endpoint_does_not_have_is_told_as_such() {
    let missing = Reply::error(404, "not_found_error", &format!("model: {MODEL}"));
    let (lacks, good) = (Upstream::always(missing).await, Upstream::serving().await);
    let proxy = Proxy::start(&pair("", "", &lacks.url(), &good.url())).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    let (text, _) = done(proxy.setup(), "explain").await;
    assert!(text.contains(&format!("does not serve {MODEL}, asked again in ")), "{text}");
    let status = json(proxy.setup(), "status").await;
    assert_eq!(status["profiles"][0]["endpoints"][0]["health"], "healthy", "it serves others");
}

#[tokio::test]
async fn a_disabled_endpoint_finds_its_dead_key_and_its_numbers_when_it_is_enabled() {
    let (a, b) = (Upstream::serving().await, Upstream::serving().await);
    let text = |keys: &str| pair("", keys, &a.url(), &b.url());
    let proxy = Proxy::start(&text("")).await;
    let setup = proxy.setup().clone();
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    a.script(|_| Reply::error(401, "authentication_error", "no"));
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    let of_a = async || proxy.status().await["profiles"][0]["endpoints"][0].clone();
    let before = of_a().await;
    assert_eq!(
        (&before["standing"], &before["total"]["succeeded"], &before["total"]["refused"]),
        (&"ejected".into(), &1.into(), &1.into())
    );

    proxy.reload(&text("enabled: false")).await;
    assert_eq!(of_a().await["id"], "b");
    proxy.reload(&text("enabled: false, weight: 7")).await;
    proxy.reload(&text("weight: 7")).await;
    let after = of_a().await;
    assert_eq!(
        (&after["id"], &after["standing"], &after["reason"]),
        (&"a".into(), &"ejected".into(), &before["reason"])
    );
    assert_eq!(
        (&after["total"], &after["last_error"]["message"]),
        (&before["total"], &before["last_error"]["message"])
    );
    let asked = a.count();
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    assert_eq!(a.count(), asked, "its key is still dead");

    proxy.reload(&text("enabled: false")).await;
    let (_, said) = done(&setup, "endpoint reset production/a").await;
    assert!(said.contains("its key had been refused"), "{said}");
    a.script(Reply::served);
    proxy.reload(&text("")).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    assert_eq!(of_a().await["total"]["succeeded"], 2);
}

#[tokio::test]
async fn while_a_profile_is_pinned_nothing_is_said_to_return() {
    let (bad, good) = (Upstream::always(Reply::error(500, "api_error", "x")).await, Upstream::serving().await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &bad.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &good.url(), "")]),
    ];
    let proxy = Proxy::start(&with("failover: { cooldown: 10m }", &profiles)).await;
    let setup = proxy.setup().clone();
    proxy.send_times(3, &Request::unary()).await;
    proxy.wait_log("switched").await;
    let told = async { while json(&setup, "status").await["failover"]["candidate"]["profile"] != "production" {} };
    in_time("who comes next to be told", told).await;
    let (text, _) = done(&setup, "status").await;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("production returns in ") && text.contains(" at the earliest"), "{text}");
    done(&setup, "priority switch backup").await;
    let status = json(&setup, "status").await;
    assert_eq!((&status["pinned"], &status["failover"]["candidate"]), (&true.into(), &Value::Null));
    let (text, _) = done(&setup, "status").await;
    assert!(text.contains("pinned: `qcc priority switch --auto`") && !text.contains("returns"), "{text}");
}
