//! From endpoint to endpoint and from profile to profile, within one request and over many.

use crate::support::config::{endpoint, in_order, with};
use crate::support::{Gate, Proxy, Refused, Reply, Request, Upstream, file, messages, profile};

#[tokio::test]
async fn three_dead_endpoints_before_a_live_one_are_never_noticed() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let failing = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let broken = Upstream::always(Reply::raw("").end(crate::support::End::Reset)).await;
    let urls = [refused.url(), failing.url(), broken.url(), good.url()];
    let proxy = Proxy::start(&file(&[in_order(urls)])).await;
    for round in 0..20 {
        let request = if round % 2 == 0 { Request::unary() } else { Request::stream() };
        assert_eq!(proxy.send(&request).await.assert_served().endpoint(), "d");
    }
    assert_eq!((failing.count(), broken.count(), good.count()), (3, 3, 20));
}

#[tokio::test]
async fn requests_in_flight_when_the_primary_dies_are_never_lost() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let mut primary = Upstream::start(move |seen| Reply::served(seen).behind(&waiting)).await;
    let secondary = Upstream::serving().await;
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &primary.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &secondary.url(), "")]),
    ];
    let proxy = Proxy::start(&file(&profiles)).await;
    let mut requests = tokio::task::JoinSet::new();
    for index in 0..50 {
        let mut client = crate::support::Client::h1(proxy.address).await;
        let request = if index % 2 == 0 { Request::unary() } else { Request::stream() };
        requests.spawn(async move { client.send(&request).await });
    }
    primary.wait_for(50).await;
    let _refused = primary.kill().await;
    for answer in requests.join_all().await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    assert_eq!(secondary.count(), 50);
}

#[tokio::test]
async fn an_endpoint_gets_no_more_calls_after_its_threshold() {
    let (bad, good) = (Upstream::always(Reply::error(500, "api_error", "x")).await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([bad.url(), good.url()])])).await;
    for answer in proxy.send_times(30, &Request::unary()).await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    assert_eq!((bad.count(), good.count()), (3, 30));
    assert!(proxy.wait_log("production/a").await.contains("production/a"));
}

#[tokio::test]
async fn max_failures_overrides_the_threshold_for_one_endpoint() {
    let (bad, good) = (Upstream::always(Reply::error(500, "api_error", "x")).await, Upstream::serving().await);
    let endpoints = [endpoint("a", &bad.url(), "max_failures: 1"), endpoint("b", &good.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    for answer in proxy.send_times(5, &Request::unary()).await {
        answer.assert_served();
    }
    assert_eq!(bad.count(), 1);
}

#[tokio::test]
async fn a_success_in_between_starts_the_count_anew() {
    let flaky = Upstream::start(|seen| match seen.index % 3 {
        2 => Reply::served(seen),
        _ => Reply::error(500, "api_error", "x"),
    })
    .await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([flaky.url(), good.url()])])).await;
    for answer in proxy.send_times(9, &Request::unary()).await {
        answer.assert_served();
    }
    assert_eq!((flaky.count(), good.count()), (9, 6));
}

/// A chain of three profiles before these addresses, `primary` written last.
fn chain(urls: [&str; 3]) -> String {
    let [primary, secondary, fallback] = urls;
    file(&[
        profile("emergency", "tier: fallback", &[endpoint("c", fallback, "")]),
        profile("backup", "tier: secondary", &[endpoint("b", secondary, "")]),
        profile("production", "tier: primary", &[endpoint("a", primary, "")]),
    ])
}

#[tokio::test]
async fn profiles_are_tried_in_the_order_of_their_tiers() {
    let ups = [Upstream::serving().await, Upstream::serving().await, Upstream::serving().await];
    let mut ups = ups;
    let urls = [ups[0].url(), ups[1].url(), ups[2].url()];
    let proxy = Proxy::start(&chain([&urls[0], &urls[1], &urls[2]])).await;
    let expected = [("a", "production"), ("b", "backup"), ("c", "emergency")];
    let mut refused = Vec::new();
    for (index, (id, name)) in expected.into_iter().enumerate() {
        for _ in 0..4 {
            let answer = proxy.send(&Request::unary()).await;
            assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-profile")), (id, Some(name)));
        }
        refused.push(ups[index].kill().await);
    }
    assert_eq!(proxy.send(&Request::unary()).await.status, 503);
}

#[tokio::test]
async fn the_active_profile_changes_after_enough_failed_requests() {
    let (refused, secondary, fallback) = (Refused::new(), Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&chain([&refused.url(), &secondary.url(), &fallback.url()])).await;
    for answer in proxy.send_times(3, &Request::unary()).await {
        answer.assert_served();
    }
    let line = proxy.wait_log("switched").await;
    assert!(line.contains("production") && line.contains("backup"), "{line}");
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.endpoint(), answer.header("qcc-attempts")), ("b", Some("1")));
}

#[tokio::test]
async fn a_profile_without_a_tier_is_never_used() {
    let (spare, refused) = (Upstream::serving().await, Refused::new());
    let proxy = Proxy::start(&file(&[
        profile("spare", "description: not in the chain", &[endpoint("s", &spare.url(), "").replace("KEY_S", "KEY_B")]),
        profile("production", "tier: primary", &[endpoint("a", &refused.url(), "")]),
    ]))
    .await;
    for _ in 0..4 {
        assert_eq!(proxy.send(&Request::unary()).await.status, 503);
    }
    assert_eq!(spare.count(), 0);
}

#[tokio::test]
async fn without_auto_failover_nothing_spills() {
    let (bad, backup) = (Upstream::always(Reply::error(500, "api_error", "mine")).await, Upstream::serving().await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &bad.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &backup.url(), "")]),
    ];
    let proxy = Proxy::start(&with("failover: { auto_failover: false }", &profiles)).await;
    for _ in 0..4 {
        assert!(proxy.send(&Request::unary()).await.status >= 500);
    }
    assert_eq!(backup.count(), 0);
}

#[tokio::test]
async fn a_disabled_endpoint_is_never_used() {
    let (disabled, good) = (Upstream::serving().await, Upstream::serving().await);
    let endpoints = [endpoint("a", &disabled.url(), "enabled: false"), endpoint("b", &good.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    for answer in proxy.send_times(5, &Request::unary()).await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    assert_eq!(disabled.count(), 0);
}

#[tokio::test]
async fn a_better_priority_is_used_up_before_the_next_one_is_asked() {
    let ups = [Upstream::serving().await, Upstream::serving().await, Upstream::serving().await];
    let endpoints = [
        endpoint("a", &ups[0].url(), "priority: 5"),
        endpoint("b", &ups[1].url(), "priority: 2"),
        endpoint("c", &ups[2].url(), "priority: 2"),
    ];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: round_robin", &endpoints)])).await;
    proxy.send_times(20, &Request::unary()).await;
    assert_eq!((ups[0].count(), ups[1].count() + ups[2].count()), (0, 20));
    for up in &ups[1..] {
        up.script(|_| Reply::error(500, "api_error", "x"));
    }
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
}

#[tokio::test]
async fn max_attempts_bounds_one_request() {
    let mut ups = Vec::new();
    for _ in 0..4 {
        ups.push(Upstream::always(Reply::error(500, "api_error", "x")).await);
    }
    let proxy = Proxy::start(&with("retry: { max_attempts: 2 }", &[in_order(ups.iter().map(Upstream::url))])).await;
    assert_eq!(proxy.send(&Request::unary()).await.status, 500);
    assert_eq!(ups.iter().map(Upstream::count).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_silently() {
    let upstream = Upstream::start(|seen| match seen.index {
        // The connection is closed right after this answer, without having said so.
        0 => Reply::raw(raw_answer()).end(crate::support::End::Eof),
        _ => Reply::served(seen),
    })
    .await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    for answer in proxy.send_times(3, &Request::unary()).await {
        assert_eq!((answer.assert_served().status, answer.header("qcc-attempts")), (200, Some("1")));
    }
}

fn raw_answer() -> Vec<u8> {
    let body = messages::answer("hello");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

#[tokio::test]
async fn a_full_endpoint_passes_requests_on() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let busy = Upstream::start(move |seen| Reply::served(seen).behind(&waiting)).await;
    let free = Upstream::serving().await;
    let endpoints = [endpoint("a", &busy.url(), "max_in_flight: 1"), endpoint("b", &free.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    let request = Request::unary();
    let others = async {
        busy.wait_for(1).await;
        for answer in proxy.send_times(5, &Request::unary()).await {
            assert_eq!(answer.assert_served().endpoint(), "b");
        }
        gate.open();
    };
    let (held, ()) = tokio::join!(proxy.send(&request), others);
    assert_eq!(held.assert_served().endpoint(), "a");
    assert_eq!(busy.count(), 1);
}

#[tokio::test]
async fn conversations_that_belong_to_another_provider_switch_nothing() {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[
        profile("production", "tier: primary", &[endpoint("a", &first.url(), "group: one")]),
        profile("backup", "tier: secondary", &[endpoint("b", &second.url(), "group: two")]),
    ]))
    .await;
    first.script(|seen| match seen.index {
        0 => Reply::error(500, "api_error", "once"),
        _ => Reply::served(seen),
    });
    for _ in 0..6 {
        assert_eq!(proxy.send(&Request::unary().session("moved")).await.assert_served().endpoint(), "b");
    }
    assert_eq!(proxy.send(&Request::unary().session("new")).await.assert_served().endpoint(), "a");
    assert_eq!(proxy.count_log("switched"), 0);
}
