//! A conversation stays where its prompt cache is, until that endpoint stops admitting.

use std::collections::BTreeSet;

use crate::support::config::endpoint;
use crate::support::{Proxy, Reply, Request, Upstream, file, messages, profile};

async fn three(keys: &str) -> (Vec<Upstream>, Proxy) {
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::serving().await);
    }
    let proxy = Proxy::start(&yaml(keys, &upstreams, ["100", "100", "100"])).await;
    (upstreams, proxy)
}

fn yaml(keys: &str, upstreams: &[Upstream], weights: [&str; 3]) -> String {
    let endpoints: Vec<_> = upstreams
        .iter()
        .zip(weights)
        .zip('a'..)
        .map(|((upstream, weight), id)| endpoint(&id.to_string(), &upstream.url(), &format!("weight: {weight}")))
        .collect();
    file(&[profile("production", &format!("tier: primary;{keys}"), &endpoints)])
}

/// The endpoints that served `count` requests, each on a connection of its own (and so on any worker).
async fn served_by(proxy: &Proxy, count: usize, request: &Request) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        ids.insert(proxy.send(request).await.assert_served().endpoint().to_owned());
    }
    ids
}

#[tokio::test]
async fn a_session_stays_on_its_endpoint() {
    let (_upstreams, proxy) = three("").await;
    for session in ["one", "two", "three"] {
        let unary = served_by(&proxy, 12, &Request::unary().session(session)).await;
        let stream = served_by(&proxy, 4, &Request::stream().session(session)).await;
        assert_eq!((unary.len(), &unary), (1, &stream), "{session}");
    }
}

#[tokio::test]
async fn a_session_is_known_by_its_metadata_too() {
    let (_upstreams, proxy) = three("").await;
    let id = "6dbb1a5f-17c1-4d2e-9c86-0f8e5c7d3b11";
    let account = "a2c1b0d4-0000-4000-8000-000000000001";
    let old = format!("user_{}_account_{account}_session_{id}", "ab".repeat(32));
    let new = format!(r#"{{\"device_id\":\"x\",\"account_uuid\":\"{account}\",\"session_id\":\"{id}\"}}"#);
    for user in [old, new] {
        let body = format!(r#"{{"model":"claude-opus-4","metadata":{{"user_id":"{user}"}},"messages":[]}}"#);
        let ids = served_by(&proxy, 12, &Request::messages(body)).await;
        assert_eq!(ids.len(), 1, "{user}");
    }
}

#[tokio::test]
async fn sessions_spread_over_the_endpoints() {
    let (upstreams, proxy) = three("").await;
    for session in 0..60 {
        proxy.send(&Request::unary().session(&format!("session-{session}"))).await.assert_served();
    }
    for upstream in &upstreams {
        assert!((8..=35).contains(&upstream.count()), "{} sessions on one of three", upstream.count());
    }
}

#[tokio::test]
async fn requests_without_a_session_are_not_tied_to_an_endpoint() {
    let (_upstreams, proxy) = three("").await;
    assert_eq!(served_by(&proxy, 12, &Request::unary()).await.len(), 3);
}

#[tokio::test]
async fn affinity_can_be_turned_off() {
    let (_upstreams, proxy) = three("affinity: { by: none }").await;
    assert_eq!(served_by(&proxy, 12, &Request::unary().session("one")).await.len(), 3);
}

#[tokio::test]
async fn a_session_moves_when_its_endpoint_dies_and_stays_where_it_went() {
    let (mut upstreams, proxy) = three("").await;
    let request = Request::unary().session("one");
    let home = served_by(&proxy, 5, &request).await.pop_first().expect("somebody served it");
    let index = usize::from(home.as_bytes()[0] - b'a');
    let _refused = upstreams[index].kill().await;
    let moved = served_by(&proxy, 12, &request).await;
    assert!(moved.len() == 1 && !moved.contains(&home), "{home}, then {moved:?}");
}

#[tokio::test]
async fn a_client_fault_does_not_move_a_session() {
    let (upstreams, proxy) = three("").await;
    let request = Request::unary().session("one");
    let home = served_by(&proxy, 3, &request).await;
    for upstream in &upstreams {
        upstream.script(|_| Reply::error(400, "invalid_request_error", "x"));
    }
    for _ in 0..5 {
        assert_eq!(proxy.send(&request).await.status, 400);
    }
    for upstream in &upstreams {
        upstream.script(Reply::served);
    }
    assert_eq!(served_by(&proxy, 6, &request).await, home);
}

#[tokio::test]
async fn a_session_survives_a_reload_that_leaves_its_endpoint_alone() {
    let (upstreams, proxy) = three("").await;
    let request = Request::unary().session("one");
    let home = served_by(&proxy, 3, &request).await;
    proxy.reload(&yaml("strategy: round_robin", &upstreams, ["90", "110", "70"])).await;
    assert_eq!(served_by(&proxy, 12, &request).await, home);
}

#[tokio::test]
async fn a_session_is_forgotten_after_its_time() {
    let (_upstreams, proxy) = three("affinity: { by: session, ttl: 300ms }").await;
    let request = Request::unary().session("one");
    let mut ids = BTreeSet::new();
    // Each pause is the scenario: a conversation that sleeps longer than it is remembered.
    for _ in 0..12 {
        ids.append(&mut served_by(&proxy, 1, &request).await);
        if ids.len() > 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    panic!("still on {ids:?} long after it should have been forgotten");
}

#[tokio::test]
async fn a_conversation_that_moved_to_another_provider_fails_back_only_with_a_new_session() {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let endpoints = [
        endpoint("a", &first.url(), "group: one, priority: 1"),
        endpoint("b", &second.url(), "group: two, priority: 2"),
    ];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
    first.script(|seen| match seen.index {
        0 => Reply::error(500, "api_error", "once"),
        _ => Reply::served(seen),
    });
    let moved = Request::messages(messages::ask(messages::MODEL, false)).session("moved");
    for _ in 0..3 {
        assert_eq!(proxy.send(&moved).await.assert_served().endpoint(), "b");
    }
    assert_eq!(proxy.send(&Request::unary().session("new")).await.assert_served().endpoint(), "a");
}
