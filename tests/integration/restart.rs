//! What a proxy knew is known by the next one on the same file.

use qcc::store::{Reader, lead};
use rustix::process::Signal;

use crate::support::config::{endpoint, with};
use crate::support::{Proxy, Reply, Request, Upstream, profile};

fn chain(more: &str, primary: &Upstream, secondary: &Upstream) -> String {
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &primary.url(), "max_failures: 1000")]),
        profile("backup", "tier: secondary", &[endpoint("b", &secondary.url(), "")]),
    ];
    with(more, &profiles)
}

/// Ends `proxy` as told and starts another one on its file.
async fn restarted(mut proxy: Proxy, signal: Signal) -> Proxy {
    proxy.signal(signal);
    proxy.exit().await;
    proxy.again().await.expect("it starts again")
}

#[tokio::test]
async fn the_active_profile_survives_a_restart_and_recovers_after_it() {
    let primary = Upstream::always(Reply::error(500, "api_error", "down")).await;
    let secondary = Upstream::serving().await;
    let quick = "failover: { cooldown: 3s }\nhealth: { recovery_interval: 100ms }";
    let proxy = Proxy::start(&chain(quick, &primary, &secondary)).await;
    proxy.send_times(3, &Request::unary()).await;
    proxy.wait_log("switched").await;
    let proxy = restarted(proxy, Signal::TERM).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-attempts")), ("b", Some("1")));
    primary.script(Reply::served);
    assert!(proxy.wait_log("switched").await.contains("recovery"));
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
}

#[tokio::test]
async fn a_switch_survives_a_kill() {
    let primary = Upstream::always(Reply::error(500, "api_error", "down")).await;
    let secondary = Upstream::serving().await;
    let proxy = Proxy::start(&chain("", &primary, &secondary)).await;
    proxy.send_times(3, &Request::unary()).await;
    proxy.wait_log("switched").await;
    let states = proxy.path.parent().expect("its directory").join("home/state/qcc");
    let kept = || {
        let instance = std::fs::read_dir(&states).ok()?.flatten().next()?;
        let mut reader = Reader::open(&instance.path()).ok()??;
        reader.read(lead::find).ok()?.filter(|lead| lead.active == "backup" && lead.switched.is_some())
    };
    crate::support::in_time("the switch is on disk", async {
        while kept().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let proxy = restarted(proxy, Signal::KILL).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-attempts")), ("b", Some("1")));
}

#[tokio::test]
async fn ejections_dead_keys_and_rests_survive_a_restart() {
    let (ejected, dead) = (
        Upstream::always(Reply::error(500, "api_error", "x")).await,
        Upstream::always(Reply::error(401, "authentication_error", "x")).await,
    );
    let resting = Upstream::always(Reply::error(429, "rate_limit_error", "x").header("retry-after", "600")).await;
    let good = Upstream::serving().await;
    let endpoints: Vec<_> = [("a", &ejected), ("b", &dead), ("c", &resting), ("d", &good)]
        .into_iter()
        .map(|(id, upstream)| endpoint(id, &upstream.url(), ""))
        .collect();
    let proxy =
        Proxy::start(&with("", &[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        answer.assert_served();
    }
    let before = [ejected.count(), dead.count(), resting.count()];
    assert_eq!(before, [3, 1, 1]);
    let proxy = restarted(proxy, Signal::TERM).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-attempts")), ("d", Some("1")));
    }
    assert_eq!([ejected.count(), dead.count(), resting.count()], before);
}

#[tokio::test]
async fn conversations_stay_on_their_endpoints_across_a_restart() {
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::serving().await);
    }
    let named = upstreams.iter().zip(["a", "b", "c"]);
    let endpoints: Vec<_> = named.map(|(upstream, id)| endpoint(id, &upstream.url(), "")).collect();
    let proxy = Proxy::start(&with("", &[profile("production", "tier: primary", &endpoints)])).await;
    let sessions: Vec<String> = (0..16).map(|nth| format!("session-{nth}")).collect();
    let before = served(&proxy, &sessions).await;
    assert!(before.iter().any(|id| *id != before[0]), "they are spread: {before:?}");
    let proxy = restarted(proxy, Signal::TERM).await;
    assert_eq!(served(&proxy, &sessions).await, before);
}

/// Who serves each of `sessions`.
async fn served(proxy: &Proxy, sessions: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for session in sessions {
        let answer = proxy.send(&Request::unary().session(session)).await;
        ids.push(answer.assert_served().endpoint().to_owned());
    }
    ids
}
