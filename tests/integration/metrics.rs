//! What is counted, as Prometheus reads it.

use crate::support::client::read_until;
use crate::support::config::{endpoint, in_order, with};
use crate::support::{Client, End, Proxy, Refused, Reply, Request, Upstream, file, in_time, messages, profile};

/// Waits until every one of `lines` stands in the metrics.
async fn wait_for(proxy: &Proxy, lines: &[&str]) -> String {
    let look = async {
        loop {
            let text = proxy.metrics().await;
            if lines.iter().all(|line| text.lines().any(|found| found == *line)) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time(&format!("{lines:#?}"), look).await
}

#[tokio::test]
async fn requests_attempts_tokens_and_waits_are_counted() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([refused.url(), good.url()])])).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        answer.assert_served();
    }
    proxy.send(&Request::stream()).await.assert_served();
    let text = wait_for(
        &proxy,
        &[
            r#"qcc_requests_total{origin="client",client="",stream="false",result="ok"} 4"#,
            r#"qcc_requests_total{origin="client",client="",stream="true",result="ok"} 1"#,
            r#"qcc_attempts_total{endpoint="production/a",outcome="local"} 3"#,
            r#"qcc_attempts_total{endpoint="production/b",outcome="success"} 5"#,
            r#"qcc_ejections_total{endpoint="production/a"} 1"#,
            r#"qcc_endpoint_standing{endpoint="production/a",standing="ejected"} 1"#,
            r#"qcc_endpoint_standing{endpoint="production/b",standing="admitting"} 1"#,
            r#"qcc_profile_active{profile="production"} 1"#,
            "qcc_first_byte_seconds_count 5",
            "qcc_requests_in_flight 0",
            "qcc_config_generation 1",
            "qcc_state_durable 1",
            "# TYPE qcc_first_byte_seconds histogram",
        ],
    )
    .await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let tokens = |kind: &str| {
        let spent = text.lines().filter(|line| line.starts_with("qcc_tokens_total{endpoint=\"production/b\""));
        let spent =
            spent.filter(|line| line.contains(kind)).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        spent.sum::<u64>()
    };
    assert!(tokens("kind=\"input\"") > 0 && tokens("kind=\"output\"") > 0, "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("qcc_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a_connection_is_counted_from_its_acceptance_to_its_end() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    wait_for(&proxy, &["qcc_connections 0"]).await;
    let mut clients = [Client::h1(proxy.address).await, Client::h1(proxy.address).await];
    for client in &mut clients {
        client.send(&Request::unary()).await.assert_served();
    }
    wait_for(&proxy, &["qcc_connections 2"]).await;
    drop(clients);
    wait_for(&proxy, &["qcc_connections 0"]).await;
}

#[tokio::test]
async fn reloads_and_switches_are_counted() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let yaml = file(&[
        profile("production", "tier: primary", &[endpoint("a", &refused.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &good.url(), "")]),
    ]);
    let proxy = Proxy::start(&yaml).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        answer.assert_served();
    }
    let switched = [r#"qcc_switches_total{cause="failover"} 1"#, r#"qcc_profile_active{profile="backup"} 1"#];
    wait_for(&proxy, &switched).await;
    proxy.save(&format!("{yaml}wrong: 1\n")).await;
    wait_for(&proxy, &[r#"qcc_config_reloads_total{result="rejected"} 1"#, "qcc_config_valid 0"]).await;
    proxy.save(&format!("{yaml}# right\n")).await;
    let accepted =
        [r#"qcc_config_reloads_total{result="accepted"} 1"#, "qcc_config_valid 1", "qcc_config_generation 2"];
    wait_for(&proxy, &accepted).await;
}

/// The first events of a stream, and then `end`.
fn half(end: End) -> Reply {
    Reply::sse([messages::start(), messages::block_start(0), messages::delta(0, "half")]).end(end)
}

#[tokio::test]
async fn an_attempt_counts_as_what_its_end_shows_and_as_cancelled_if_the_client_leaves() {
    let upstream = Upstream::always(half(End::Reset)).await;
    let proxy = Proxy::start(&with("failover: { failure_threshold: 10 }", &[in_order([upstream.url()])])).await;
    proxy.send(&Request::stream()).await;
    let error = || Reply::sse([messages::start(), messages::block_start(0), messages::error("overloaded_error", "no")]);
    upstream.script(move |_| error());
    proxy.send(&Request::stream()).await;
    upstream.script(|_| half(End::Hang));
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "half").await;
    drop((response, client));
    upstream.script(|_| Reply::hang());
    let (mut client, request) = (Client::h1(proxy.address).await, Request::stream());
    tokio::select! {
        answer = client.begin(&request) => panic!("nothing was scripted: {answer:?}"),
        _ = upstream.wait_for(4) => {}
    }
    drop(client);
    let text = wait_for(
        &proxy,
        &[
            r#"qcc_attempts_total{endpoint="production/a",outcome="local"} 1"#,
            r#"qcc_attempts_total{endpoint="production/a",outcome="server"} 1"#,
            r#"qcc_attempts_total{endpoint="production/a",outcome="cancelled"} 2"#,
            "qcc_first_byte_seconds_count 0",
        ],
    )
    .await;
    assert!(!text.contains(r#"outcome="success""#), "{text}");
    let log = proxy.wait_log("attempts=a:cancelled").await;
    assert!(log.contains("result=cancelled"), "{log}");
}
