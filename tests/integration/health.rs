//! Checks of the endpoints, recovery that waits for proof, and weights that follow health: through the real binary.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::config::{endpoint, production, with};
use crate::support::{Client, Proxy, Recorded, Refused, Reply, Request, Upstream, profile};

/// Quick enough for a test: checks of who is to come back every 100 ms, and a cooldown of a second.
const QUICK: &str = "failover: { cooldown: 1s }\nhealth: { recovery_interval: 100ms }";

fn is_probe(request: &Recorded) -> bool {
    request.header("user-agent").is_some_and(|agent| agent.starts_with("qcc/"))
}

fn probes(upstream: &Upstream) -> Vec<Recorded> {
    upstream.requests().into_iter().filter(is_probe).collect()
}

/// Primary `a`, secondary `b`, fallback `c`. None is ejected by failures, so that no test waits for that to end.
fn chain(more: &str, upstreams: &[&Upstream]) -> String {
    let tiers = [("production", "primary"), ("backup", "secondary"), ("emergency", "fallback")];
    let profiles: Vec<_> = tiers
        .iter()
        .zip(upstreams)
        .zip('a'..)
        .map(|(((name, tier), upstream), id)| {
            let endpoint = endpoint(&id.to_string(), &upstream.url(), "max_failures: 1000");
            profile(name, &format!("tier: {tier}"), &[endpoint])
        })
        .collect();
    with(more, &profiles)
}

fn failing(_: &Recorded) -> Reply {
    Reply::error(500, "api_error", "down")
}

#[tokio::test]
async fn a_switch_tells_its_reason_and_proof_brings_the_primary_back_after_the_cooldown() {
    let (primary, secondary) = (Upstream::start(failing).await, Upstream::serving().await);
    let proxy = Proxy::start(&chain(QUICK, &[&primary, &secondary])).await;
    for answer in proxy.send_times(3, &Request::unary()).await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    let line = proxy.wait_log("switched").await;
    assert!(
        line.contains("production could not serve 3 requests in a row (a: status 500)") && line.contains("failover"),
        "{line}"
    );
    assert_eq!(proxy.send(&Request::unary()).await.header("qcc-attempts"), Some("1"), "no detour any more");
    let switched = Instant::now();
    primary.script(Reply::served);
    let line = proxy.wait_log_times("switched", 2).await;
    assert!(line.contains("production can serve again") && line.contains("recovery"), "{line}");
    assert!(switched.elapsed() > Duration::from_millis(500), "the cooldown was waited for");
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    assert!(probes(&primary).len() >= 3 && probes(&secondary).is_empty());
}

#[tokio::test]
async fn a_probe_is_a_small_conversation_by_the_endpoints_key_and_name_for_the_model() {
    let upstream = Upstream::serving().await;
    let keys = r#"models: { "claude-haiku-*": air }"#;
    let proxy =
        Proxy::start(&with("health: { probe: messages, interval: 100ms }", &[production("", keys, [upstream.url()])]))
            .await;
    upstream.wait_for(2).await;
    let codes: Vec<String> = probes(&upstream)
        .iter()
        .map(|probe| {
            let body: Value = serde_json::from_slice(&probe.body).expect("JSON");
            assert_eq!((probe.path(), body["model"].as_str()), ("/v1/messages", Some("air")));
            assert!(body["max_tokens"].as_u64().is_some_and(|most| most <= 32), "{body}");
            assert!(probe.header("x-api-key").is_some() && probe.header("anthropic-version").is_some());
            body["messages"][0]["content"].to_string()
        })
        .collect();
    assert!(codes.len() >= 2 && codes[0] != codes[1], "every code is another one: {codes:?}");
    assert_eq!(proxy.count_log("ejected"), 0);
}

#[tokio::test]
async fn recovery_goes_up_tier_by_tier() {
    let (primary, secondary) = (Upstream::start(failing).await, Upstream::start(failing).await);
    let fallback = Upstream::serving().await;
    let proxy = Proxy::start(&chain(QUICK, &[&primary, &secondary, &fallback])).await;
    let mut lines = Vec::new();
    for times in 1..3 {
        for answer in proxy.send_times(3, &Request::unary()).await {
            assert_eq!(answer.assert_served().endpoint(), "c");
        }
        lines.push(proxy.wait_log_times("switched", times).await);
    }
    primary.script(Reply::served);
    secondary.script(Reply::served);
    for times in 3..5 {
        lines.push(proxy.wait_log_times("switched", times).await);
    }
    assert!(
        lines[2].contains("backup can serve again") && lines[3].contains("production can serve again"),
        "{lines:?}"
    );
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
}

#[tokio::test]
async fn without_checks_one_live_request_at_a_time_is_the_trial() {
    let (primary, secondary) = (Upstream::start(failing).await, Upstream::serving().await);
    let quick = "failover: { cooldown: 1s }\nhealth: { enabled: false, recovery_interval: 200ms }";
    let proxy = Proxy::start(&chain(quick, &[&primary, &secondary])).await;
    proxy.send_times(3, &Request::unary()).await;
    proxy.wait_log("switched").await;
    let tried = primary.count();
    let mut client = Client::h1(proxy.address).await;
    while primary.count() == tried {
        assert_eq!(
            client.send(&Request::unary()).await.assert_served().endpoint(),
            "b",
            "a failed trial shows nothing"
        );
    }
    primary.script(Reply::served);
    while proxy.count_log("recovery") == 0 {
        client.send(&Request::unary()).await.assert_served();
    }
    assert_eq!(client.send(&Request::unary()).await.assert_served().endpoint(), "a");
}

#[tokio::test]
async fn the_same_key_in_two_profiles_is_probed_once() {
    let upstream = Upstream::serving().await;
    let twin = |name, tier| profile(name, &format!("tier: {tier}"), &[endpoint("a", &upstream.url(), "")]);
    let profiles = [twin("production", "primary"), twin("backup", "secondary")];
    let began = Instant::now();
    let _proxy = Proxy::start(&with("health: { probe: messages, interval: 300ms }", &profiles)).await;
    upstream.wait_for(6).await;
    // Two of them would have come every 300 ms.
    assert!(began.elapsed() > Duration::from_millis(6 * 250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_clients_own_key_is_never_used_for_a_probe() {
    let (theirs, ours) = (Upstream::serving().await, Upstream::serving().await);
    let passthrough = format!("      - {{ id: a, base_url: \"{}\", auth: passthrough }}\n", theirs.url());
    let profiles = [profile("production", "tier: primary", &[passthrough, endpoint("b", &ours.url(), "")])];
    let _proxy = Proxy::start(&with("health: { probe: messages, interval: 100ms }", &profiles)).await;
    ours.wait_for(3).await;
    assert_eq!(theirs.connections(), 0);
}

#[tokio::test]
async fn an_idle_endpoint_that_refuses_connections_is_taken_out_before_a_request_finds_it() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let urls = [refused.url(), good.url()];
    let profiles = [production("strategy: priority", "", urls)];
    let proxy = Proxy::start(&with("health: { interval: 100ms }", &profiles)).await;
    let line = proxy.wait_log("ejected").await;
    assert!(line.contains("production/a") && line.contains("check: "), "{line}");
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-attempts")), ("b", Some("1")));
    assert_eq!(good.count(), 1, "it was asked for connections only");
}

/// Sends 48 requests over eight connections; how many of them `upstream` was asked, in percent.
async fn share_of(upstream: &Upstream, proxy: &Proxy) -> usize {
    let before = upstream.count();
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = Client::h1(proxy.address).await;
        connections.spawn(async move {
            for _ in 0..6 {
                client.send(&Request::unary()).await.assert_served();
            }
        });
    }
    connections.join_all().await;
    100 * (upstream.count() - before) / 48
}

#[tokio::test]
async fn an_endpoint_that_is_slow_and_flaky_loses_share_and_regains_it() {
    let (flaky, good) = (Upstream::serving().await, Upstream::serving().await);
    let endpoints = [endpoint("a", &flaky.url(), "max_failures: 1000"), endpoint("b", &good.url(), "")];
    let profiles = [profile("production", "tier: primary", &endpoints)];
    let proxy = Proxy::start(&with("health: { interval: 500ms }", &profiles)).await;
    assert!((40..=60).contains(&share_of(&flaky, &proxy).await));
    flaky.script(|seen| match seen.index % 5 {
        1 | 3 => Reply::error(500, "api_error", "flaky"),
        _ => Reply::served(seen).late(Duration::from_millis(1200)),
    });
    let mut lost = 100;
    for _ in 0..10 {
        lost = share_of(&flaky, &proxy).await;
        if lost <= 42 {
            break;
        }
    }
    assert!(lost <= 42, "it keeps its share: {lost}");
    flaky.script(Reply::served);
    let mended = Instant::now();
    while share_of(&flaky, &proxy).await < lost + 5 {
        assert!(mended.elapsed() < Duration::from_mins(1), "it does not get its share back");
    }
}
