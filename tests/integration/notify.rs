//! Others are told what happened, once, and at nobody's cost.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::config::{endpoint, profile, with};
use crate::support::{Proxy, Recorded, Reply, Request, Setup, Upstream, in_time};

const ALL: &str = "[switch, ejection, dead_key, recovery, rejected_reload, queue_done, queue_dead]";

/// A hook that takes everything.
async fn hook() -> Upstream {
    Upstream::always(Reply::json(200, "{}")).await
}

fn webhook(hook: &Upstream) -> String {
    format!("{{ on: {ALL}, webhook: \"{}/hook?token=canary-token-of-a-hook\" }}", hook.url())
}

/// A primary that fails, a secondary whose first key is dead, and these items of `notify`.
fn yaml(items: &[String], failing: &Upstream, dead: &Upstream, serving: &Upstream) -> String {
    let more = format!("failover: {{ failure_threshold: 1 }}\nnotify: [{}]", items.join(", "));
    let primary = profile("production", "tier: primary", &[endpoint("a", &failing.url(), "")]);
    let backup = [endpoint("b", &dead.url(), ""), endpoint("c", &serving.url(), "priority: 2")];
    with(&more, &[primary, profile("backup", "tier: secondary", &backup)])
}

async fn upstreams() -> (Upstream, Upstream, Upstream) {
    let failing = Upstream::always(Reply::error(500, "api_error", "down")).await;
    let dead = Upstream::start(|seen: &Recorded| {
        let key = seen.header("x-api-key").unwrap_or_default();
        Reply::error(401, "authentication_error", &format!("invalid key {key}"))
    })
    .await;
    (failing, dead, Upstream::serving().await)
}

fn bodies(told: &[Recorded]) -> Vec<Value> {
    told.iter().map(|told| serde_json::from_slice(&told.body).expect("JSON")).collect()
}

fn names(told: &[Recorded]) -> Vec<String> {
    let mut names: Vec<_> =
        bodies(told).iter().map(|body| body["event"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_webhook_is_sent_its_headers_and_nobody_else_sees_them() {
    let (hook, failing) = (hook().await, Upstream::always(Reply::error(500, "api_error", "down")).await);
    let item = format!(
        "{{ on: [ejection], webhook: \"{}/hook\", headers: {{ Authorization: {{ env: HOOK_AUTH }}, x-team: {{ env: TEAM }} }} }}",
        hook.url()
    );
    let more = format!("failover: {{ failure_threshold: 1 }}\nqueue: {{ hold: 0s }}\nnotify: [{item}]");
    let setup =
        Setup::new(&with(&more, &[profile("production", "tier: primary", &[endpoint("a", &failing.url(), "")])]));
    let setup = setup.env("HOOK_AUTH", "Bearer canary-of-a-header").env("TEAM", "blue");
    let proxy = setup.start().await;
    proxy.send(&Request::unary()).await;
    let told = hook.wait_for(1).await;
    assert_eq!(
        (told[0].header("authorization"), told[0].header("x-team")),
        (Some("Bearer canary-of-a-header"), Some("blue"))
    );
    assert_eq!(proxy.count_log("canary-of-a-header"), 0);
    let (_, status) = proxy.get("/v1/status").await;
    assert!(!status.to_string().contains("canary-of-a-header"));
}

#[tokio::test]
async fn a_webhook_is_told_each_event_once() {
    let (hook, (failing, dead, serving)) = (hook().await, upstreams().await);
    let text = yaml(&[webhook(&hook), webhook(&hook)], &failing, &dead, &serving);
    let proxy = Proxy::start(&text).await;
    for _ in 0..3 {
        proxy.send(&Request::unary()).await.assert_served();
    }
    let told = hook.wait_for(3).await;
    assert_eq!(names(&told), ["dead_key", "ejection", "switch"]);
    for (told, body) in told.iter().zip(bodies(&told)) {
        assert_eq!((told.method.as_str(), told.header("content-type")), ("POST", Some("application/json")));
        assert_eq!(told.target, "/hook?token=canary-token-of-a-hook");
        assert!(body["file"].as_str().is_some_and(|file| file.ends_with("qcc.yaml")), "{body}");
        assert!(body["text"].as_str().is_some_and(|text| text.starts_with("qcc: ")), "{body}");
        assert!(!body.to_string().contains("sk-canary"), "{body}");
        match body["event"].as_str() {
            Some("switch") => assert_eq!((&body["from"], &body["to"]), (&"production".into(), &"backup".into())),
            Some("ejection") => assert_eq!(body["endpoint"], "production/a"),
            _ => assert_eq!(body["endpoint"], "backup/b"),
        }
    }
    // The second time within a minute it is no news.
    for (wrong, rejected) in [("profiles: [", 1), ("profiles: {", 2), ("profiles: {", 3), ("profiles: [[", 4)] {
        proxy.save(wrong).await;
        proxy.wait_log_times("rejected; the running", rejected).await;
        proxy.save(&text).await;
        proxy.wait_log_times("reloaded", rejected).await;
    }
    let told = hook.wait_for(6).await;
    assert_eq!(names(&told[3..]), ["rejected_reload"; 3]);
    let [_, _, _, first, ..] = &bodies(&told)[..] else { panic!("six were told") };
    assert!(first["report"].as_str().is_some_and(|report| report.contains("qcc.yaml:1:11")), "{first}");
    assert_eq!(hook.count(), 6);
    assert_eq!(proxy.count_log("canary"), 0);
}

#[tokio::test]
async fn the_file_says_who_is_told_from_its_reload_on() {
    let (hook, other, (failing, dead, serving)) = (hook().await, hook().await, upstreams().await);
    let proxy = Proxy::start(&yaml(&[], &failing, &dead, &serving)).await;
    proxy.send(&Request::unary()).await.assert_served();
    proxy.wait_log("switched").await;
    proxy.reload(&yaml(&[webhook(&hook)], &failing, &dead, &serving)).await;
    proxy.save("profiles: [").await;
    assert_eq!(names(&hook.wait_for(1).await), ["rejected_reload"]);
    proxy.reload(&yaml(&[webhook(&other)], &failing, &dead, &serving)).await;
    proxy.save("profiles: {").await;
    assert_eq!(names(&other.wait_for(1).await), ["rejected_reload"]);
    assert_eq!(hook.count(), 1);
}

#[tokio::test]
async fn a_webhook_that_hangs_costs_nothing() {
    let (hook, hanging, (failing, dead, serving)) =
        (hook().await, Upstream::always(Reply::hang()).await, upstreams().await);
    let mut proxy = Proxy::start(&yaml(&[webhook(&hanging), webhook(&hook)], &failing, &dead, &serving)).await;
    for _ in 0..20 {
        let started = std::time::Instant::now();
        proxy.send(&Request::unary()).await.assert_served();
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }
    assert_eq!(names(&hook.wait_for(3).await), ["dead_key", "ejection", "switch"]);
    assert_eq!(hanging.wait_for(1).await.len(), 1, "one delivery at a time");
    proxy.signal(Signal::TERM);
    let told = std::time::Instant::now();
    assert_eq!(proxy.exit().await, Some(0));
    assert!(told.elapsed().as_secs() < 3, "{:?}", told.elapsed());
}

#[tokio::test]
async fn what_failed_is_tried_again_and_a_redirect_is_not_followed() {
    let moved = hook().await;
    let moving = Upstream::always(Reply::json(307, "").header("location", &moved.url())).await;
    let shaky = Upstream::start(|seen: &Recorded| Reply::json(if seen.index == 0 { 503 } else { 204 }, "")).await;
    let (failing, dead, serving) = upstreams().await;
    let proxy = Proxy::start(&yaml(&[webhook(&moving), webhook(&shaky)], &failing, &dead, &serving)).await;
    proxy.save("profiles: [").await;
    let told = shaky.wait_for(2).await;
    assert_eq!(told[0].body, told[1].body);
    let line = proxy.wait_log("not told").await;
    assert!(line.contains("to=127.0.0.1") && line.contains("redirects are not followed"), "{line}");
    assert_eq!((moving.count(), moved.count()), (1, 0));
}

#[tokio::test]
async fn a_program_is_told_on_its_standard_input_and_sees_no_key() {
    let (failing, dead, serving) = upstreams().await;
    let script = "{ env; cat; } > told.new && mv told.new told";
    let item = format!("{{ on: [rejected_reload], command: [sh, -c, \"{script}\"] }}");
    let setup = Setup::new(&yaml(&[item], &failing, &dead, &serving));
    let told: PathBuf = setup.path().with_file_name("told");
    let proxy = setup.start().await;
    proxy.save("profiles: [").await;
    let written = async {
        while !told.exists() {
            tokio::task::yield_now().await;
        }
        std::fs::read_to_string(&told).expect("text")
    };
    let told = in_time("a word of the program", written).await;
    assert!(told.contains("QCC_EVENT=rejected_reload\n") && told.contains("QCC_TEXT=qcc: a saved file"), "{told}");
    assert!(told.contains("\"event\":\"rejected_reload\"") && !told.contains("KEY_A"), "{told}");
}
