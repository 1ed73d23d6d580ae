//! A saved file is live at once, a bad one changes nothing, and nobody who is being served notices either.

use rustix::process::Signal;

use crate::support::client::{collect, read_until};
use crate::support::config::{endpoint, in_order, with_server};
use crate::support::http1::Ended;
use crate::support::{Client, Gate, Proxy, Reply, Request, Setup, Style, Upstream, file, messages, profile};

async fn two() -> (Upstream, Upstream, Proxy) {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([first.url()])])).await;
    (first, second, proxy)
}

async fn assert_served_by(proxy: &Proxy, upstream: &Upstream) {
    let before = upstream.count();
    proxy.send(&Request::unary()).await.assert_served();
    assert_eq!(upstream.count(), before + 1);
}

#[tokio::test]
async fn every_way_of_saving_is_noticed() {
    let (first, second, proxy) = two().await;
    for (round, style) in Style::ALL.into_iter().chain(Style::ALL).enumerate() {
        let upstream = if round % 2 == 0 { &second } else { &first };
        style.save(&proxy.path, &file(&[in_order([upstream.url()])])).await;
        proxy.wait_log_times("reloaded", round + 1).await;
        assert_served_by(&proxy, upstream).await;
    }
    assert_eq!(proxy.count_log("rejected"), 0, "no half-written file was taken for a mistake");
    assert!(proxy.lines().iter().any(|line| line.contains("generation=15")), "each save is one generation");
}

#[tokio::test]
async fn a_replaced_directory_is_noticed() {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let setup = Setup::new("").with_file("conf/qcc.yaml", &file(&[in_order([first.url()])]));
    let proxy = setup.start_with(&["-c", "conf/qcc.yaml", "proxy", "start"]).await.expect("it listens");
    let beside = |name: &str| proxy.path.with_file_name(name);
    std::fs::create_dir(beside("next")).expect("the directory is ours");
    std::fs::write(beside("next").join("qcc.yaml"), file(&[in_order([second.url()])])).expect("the directory is ours");
    std::fs::rename(beside("conf"), beside("before")).expect("the directory is ours");
    std::fs::rename(beside("next"), beside("conf")).expect("the directory is ours");
    proxy.wait_log("reloaded").await;
    assert_served_by(&proxy, &second).await;
}

#[tokio::test]
async fn a_hundred_saves_at_once_end_with_the_last() {
    let (_first, second, proxy) = two().await;
    for round in 0..100 {
        proxy.save(&file(&[in_order([format!("http://127.0.0.1:{}", 1 + round)])])).await;
    }
    proxy.save(&file(&[in_order([second.url()])])).await;
    let last_is_live = async {
        while second.count() == 0 {
            proxy.send(&Request::unary()).await;
        }
    };
    crate::support::in_time("the last save to be live", last_is_live).await;
    assert_served_by(&proxy, &second).await;
}

#[tokio::test]
async fn keeps_the_old_snapshot_when_the_file_is_wrong() {
    let (first, second, proxy) = two().await;
    for (round, wrong) in
        ["", "profiles: [", "version: 1\nprofils: {}\n", "version: 2\n", "\u{0}\u{1}"].into_iter().enumerate()
    {
        proxy.save(wrong).await;
        proxy.wait_log_times("rejected", round + 1).await;
        assert_served_by(&proxy, &first).await;
    }
    proxy.reload(&file(&[in_order([second.url()])])).await;
    assert_served_by(&proxy, &second).await;
}

#[tokio::test]
async fn a_rejected_save_is_told_with_its_place_and_help() {
    let (first, _second, proxy) = two().await;
    let wrong = file(&[in_order([first.url()])]).replace("strategy: priority", "strategie: priority");
    proxy.save(&wrong).await;
    proxy.wait_log("rejected").await;
    // The diagnostics may follow the line in lines of their own.
    proxy.wait_log("strategie").await;
    let text = proxy.lines().join("\n");
    assert!(text.contains("did you mean") && text.contains("strategy"), "{text}");
}

#[tokio::test]
async fn a_file_that_goes_away_changes_nothing() {
    let (first, second, proxy) = two().await;
    std::fs::remove_file(&proxy.path).expect("it is there");
    assert_served_by(&proxy, &first).await;
    proxy.wait_log("rejected").await;
    assert_served_by(&proxy, &first).await;
    proxy.reload(&file(&[in_order([second.url()])])).await;
    assert_served_by(&proxy, &second).await;
}

#[tokio::test]
async fn a_touch_without_change_is_no_reload() {
    let (first, second, proxy) = two().await;
    let text = std::fs::read_to_string(&proxy.path).expect("it is there");
    for style in Style::ALL {
        style.save(&proxy.path, &text).await;
    }
    proxy.reload(&file(&[in_order([second.url()])])).await;
    assert_eq!(proxy.count_log("reloaded"), 1);
    assert!(proxy.wait_log("reloaded").await.contains("generation=2"));
    assert_eq!(first.count(), 0);
}

#[tokio::test]
async fn sighup_reloads() {
    let (first, second, proxy) = two().await;
    proxy.save(&file(&[in_order([second.url()])])).await;
    proxy.signal(Signal::HUP);
    proxy.wait_log("reloaded").await;
    assert_served_by(&proxy, &second).await;
    assert_eq!(first.count(), 0);
}

#[tokio::test]
async fn a_running_stream_finishes_on_its_old_snapshot() {
    let (first, second, proxy) = two().await;
    let gate = Gate::closed();
    let [head @ .., stop] = &messages::stream_events("old")[..] else { panic!("a stream has events") };
    let reply = Reply::sse(head.to_vec()).then(&gate, stop.clone());
    first.script(move |_| reply.clone());
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "old").await;
    proxy.reload(&file(&[in_order([second.url()])])).await;
    assert_served_by(&proxy, &second).await;
    gate.open();
    let rest = collect(response).await;
    assert_eq!(rest.ended, Ended::Whole);
    assert!(rest.text().ends_with(&String::from_utf8_lossy(stop).into_owned()), "{}", rest.text());
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_finishes_on_its_old_snapshot() {
    let (first, second, proxy) = two().await;
    let gate = Gate::closed();
    let waiting = gate.clone();
    first.script(move |seen| Reply::served(seen).behind(&waiting));
    let request = Request::unary();
    let change = async {
        first.wait_for(1).await;
        proxy.reload(&file(&[in_order([second.url()])])).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(proxy.send(&request), change);
    answer.assert_served();
    assert_eq!((first.count(), second.count()), (1, 0));
}

#[tokio::test]
async fn health_survives_a_new_weight_and_not_a_new_address() {
    let bad = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let good = Upstream::serving().await;
    let yaml = |url: &str, weight: u32| {
        let endpoints = [endpoint("a", url, &format!("weight: {weight}")), endpoint("b", &good.url(), "")];
        file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])
    };
    let proxy = Proxy::start(&yaml(&bad.url(), 100)).await;
    proxy.send_times(5, &Request::unary()).await;
    proxy.reload(&yaml(&bad.url(), 50)).await;
    proxy.send_times(5, &Request::unary()).await;
    assert_eq!(bad.count(), 3, "still ejected after a new weight");
    proxy.reload(&yaml(&format!("{}/v2", bad.url()), 50)).await;
    proxy.send_times(1, &Request::unary()).await;
    assert_eq!(bad.count(), 4, "a new address starts afresh");
}

#[tokio::test]
async fn a_cold_key_is_reported_and_the_old_value_keeps_serving() {
    let (first, second, proxy) = two().await;
    let yaml = with_server("workers: 3", "", &[in_order([second.url()])]).replace("127.0.0.1:0", "127.0.0.1:1");
    proxy.reload(&yaml).await;
    let line = proxy.wait_log("restart_required").await;
    assert!(line.contains("server.listen") && line.contains("server.workers"), "{line}");
    assert_served_by(&proxy, &second).await;
    assert_eq!(first.count(), 0);
}

#[tokio::test]
async fn hot_limits_take_effect() {
    let (first, _second, proxy) = two().await;
    let big = Request::messages(messages::big_ask(70_000, false));
    proxy.send(&big).await.assert_served();
    let yaml = |server: &str| with_server(server, "", &[in_order([first.url()])]);
    proxy.reload(&yaml("limits: { request_body: 64KiB }")).await;
    assert_eq!(proxy.send(&big).await.status, 413);
    proxy.reload(&yaml("limits: { request_body: 1MiB }")).await;
    proxy.send(&big).await.assert_served();
}

#[tokio::test]
async fn a_new_listen_port_of_zero_is_no_change() {
    let (_first, second, proxy) = two().await;
    proxy.reload(&file(&[in_order([second.url()])])).await;
    assert_eq!(proxy.count_log("restart_required"), 0, "{:?}", proxy.lines());
}

#[tokio::test]
async fn the_active_profile_may_leave_the_file() {
    let (first, second, proxy) = two().await;
    let backup = profile("backup", "tier: secondary", &[endpoint("b", &second.url(), "")]);
    proxy.reload(&file(&[backup])).await;
    assert_served_by(&proxy, &second).await;
    assert_eq!(first.count(), 0);
}
