//! How endpoints of one priority share requests: each strategy, by what the upstreams received.

use std::time::Duration;

use crate::support::config::{endpoint, in_order};
use crate::support::{Client, Gate, Proxy, Reply, Request, Upstream, file, profile};

/// Upstreams behind one profile with this strategy and these weights.
async fn shared(strategy: &str, weights: &[u32]) -> (Vec<Upstream>, Proxy) {
    let mut upstreams = Vec::new();
    for _ in weights {
        upstreams.push(Upstream::serving().await);
    }
    let proxy = Proxy::start(&yaml(strategy, weights, &upstreams)).await;
    (upstreams, proxy)
}

fn yaml(strategy: &str, weights: &[u32], upstreams: &[Upstream]) -> String {
    let endpoints: Vec<_> = weights
        .iter()
        .zip(upstreams)
        .zip('a'..)
        .map(|((weight, upstream), id)| endpoint(&id.to_string(), &upstream.url(), &format!("weight: {weight}")))
        .collect();
    file(&[profile("production", &format!("tier: primary; strategy: {strategy}"), &endpoints)])
}

/// Sends `count` requests over eight connections, and gives what each upstream received of them.
async fn spread(proxy: &Proxy, upstreams: &[Upstream], count: usize) -> Vec<usize> {
    let before: Vec<_> = upstreams.iter().map(Upstream::count).collect();
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = Client::h1(proxy.address).await;
        connections.spawn(async move {
            for _ in 0..count / 8 {
                client.send(&Request::unary()).await.assert_served();
            }
        });
    }
    connections.join_all().await;
    upstreams.iter().zip(before).map(|(upstream, before)| upstream.count() - before).collect()
}

#[track_caller]
fn assert_near(got: &[usize], expected: &[usize], distance: usize) {
    let near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(*expected) <= distance);
    assert!(near, "{got:?} is not {expected:?} +- {distance}");
}

#[tokio::test]
async fn weighted_shares_a_thousand_requests_as_written() {
    let (upstreams, proxy) = shared("weighted", &[300, 100, 100]).await;
    // Smooth sequences are exact per worker; what differs is where each worker stops.
    assert_near(&spread(&proxy, &upstreams, 1000).await, &[600, 200, 200], 12);
}

#[tokio::test]
async fn weighted_interleaves_instead_of_sending_bursts() {
    let (upstreams, proxy) = shared("weighted", &[2, 1]).await;
    let mut client = Client::h1(proxy.address).await;
    let mut served = String::new();
    for _ in 0..30 {
        served.push_str(client.send(&Request::unary()).await.assert_served().endpoint());
    }
    assert!(!served.contains("aaaa") && !served.contains("bb"), "{served}");
    assert_eq!(upstreams.iter().map(Upstream::count).sum::<usize>(), 30);
}

#[tokio::test]
async fn round_robin_takes_turns_whatever_the_weights() {
    let (upstreams, proxy) = shared("round_robin", &[900, 1, 100]).await;
    assert_near(&spread(&proxy, &upstreams, 600).await, &[200, 200, 200], 8);
}

#[tokio::test]
async fn random_shares_a_thousand_requests_by_weight() {
    let (upstreams, proxy) = shared("random", &[300, 100, 100]).await;
    // Five standard deviations of a binomial with p = 0.6 are 77.
    assert_near(&spread(&proxy, &upstreams, 1000).await, &[600, 200, 200], 77);
}

#[tokio::test]
async fn least_requests_avoids_the_endpoint_that_is_busy() {
    let (upstreams, proxy) = shared("least_requests", &[100, 100]).await;
    let gate = Gate::closed();
    let waiting = gate.clone();
    upstreams[0].script(move |seen| Reply::served(seen).behind(&waiting));
    let mut requests = tokio::task::JoinSet::new();
    for round in 1..=30 {
        let mut client = Client::h1(proxy.address).await;
        requests.spawn(async move { client.send(&Request::unary()).await });
        // One at a time: either it is answered, or it is held at the busy endpoint.
        let held = 1 + upstreams[0].count();
        tokio::select! {
            answer = requests.join_next() => assert_eq!(answer.expect("one was sent").expect("it ended").endpoint(), "b"),
            _ = upstreams[0].wait_for(held) => assert!(round < 5, "request {round} went to the busy endpoint"),
        }
    }
    gate.open();
    assert!(requests.join_all().await.iter().all(|answer| answer.assert_served().endpoint() == "a"));
}

#[tokio::test]
async fn latency_prefers_the_endpoint_that_answers_sooner() {
    let (upstreams, proxy) = shared("latency", &[100, 100]).await;
    upstreams[0].script(|seen| Reply::served(seen).late(Duration::from_millis(60)));
    let [slow, fast] = spread(&proxy, &upstreams, 80).await[..] else { panic!("two upstreams") };
    assert!(slow * 3 < fast, "slow {slow}, fast {fast}");
}

#[tokio::test]
async fn latency_is_not_attracted_by_fast_failures() {
    let (upstreams, proxy) = shared("latency", &[100, 100]).await;
    upstreams[0].script(|_| Reply::error(409, "conflict_error", "at once"));
    upstreams[1].script(|seen| Reply::served(seen).late(Duration::from_millis(20)));
    let [failing, good] = spread(&proxy, &upstreams, 80).await[..] else { panic!("two upstreams") };
    assert_eq!(good, 80);
    assert!(failing < 30, "{failing} calls of the failing endpoint");
}

#[tokio::test]
async fn priority_never_shares() {
    let (upstreams, proxy) = shared("priority", &[1, 1000]).await;
    assert_eq!(spread(&proxy, &upstreams, 80).await, [80, 0]);
}

#[tokio::test]
async fn every_strategy_still_reaches_the_last_endpoint_that_works() {
    for strategy in ["weighted", "round_robin", "random", "least_requests", "latency", "priority"] {
        let (upstreams, proxy) = shared(strategy, &[100, 100, 1]).await;
        for upstream in &upstreams[..2] {
            upstream.script(|_| Reply::error(500, "api_error", "x"));
        }
        for answer in proxy.send_times(10, &Request::unary()).await {
            assert_eq!(answer.assert_served().endpoint(), "c", "{strategy}");
        }
    }
}

#[tokio::test]
async fn a_weight_of_zero_serves_only_when_no_other_admits() {
    for strategy in ["weighted", "random", "least_requests", "latency"] {
        let (upstreams, proxy) = shared(strategy, &[0, 100]).await;
        proxy.send_times(20, &Request::unary()).await;
        assert_eq!(upstreams[0].count(), 0, "{strategy}");
        upstreams[1].script(|_| Reply::error(500, "api_error", "x"));
        assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a", "{strategy}");
    }
}

#[tokio::test]
async fn a_saved_weight_takes_effect() {
    let (upstreams, proxy) = shared("weighted", &[100, 0]).await;
    assert_eq!(spread(&proxy, &upstreams, 40).await, [40, 0]);
    proxy.reload(&yaml("weighted", &[0, 100], &upstreams)).await;
    assert_eq!(spread(&proxy, &upstreams, 40).await, [0, 40]);
    proxy.reload(&yaml("weighted", &[300, 100], &upstreams)).await;
    assert_near(&spread(&proxy, &upstreams, 400).await, &[300, 100], 8);
}

#[tokio::test]
async fn a_saved_strategy_takes_effect() {
    let (upstreams, proxy) = shared("priority", &[100, 100]).await;
    assert_eq!(spread(&proxy, &upstreams, 40).await, [40, 0]);
    proxy.reload(&yaml("round_robin", &[100, 100], &upstreams)).await;
    assert_near(&spread(&proxy, &upstreams, 40).await, &[20, 20], 4);
}

#[tokio::test]
async fn connections_to_upstreams_are_kept_and_used_again() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    for answer in proxy.send_times(50, &Request::unary()).await {
        answer.assert_served();
    }
    assert!(upstream.requests().iter().all(|seen| seen.connection == 0));
    assert_eq!((upstream.count(), upstream.connections()), (50, 1));
}
