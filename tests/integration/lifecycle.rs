//! Start, drain, stop.

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::client::{collect, read_until};
use crate::support::config::{in_order, production, with, with_server};
use crate::support::http1::Ended;
use crate::support::{Client, End, Gate, Proxy, Reply, Request, Setup, Upstream, file, in_time, messages};

#[tokio::test]
async fn it_says_where_it_listens_what_it_serves_and_from_which_file() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    proxy.wait_log("production").await;
    proxy.wait_log("primary").await;
    proxy.wait_log("qcc.yaml").await;
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn the_file_may_be_named_behind_the_command_too() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new("not: this one").with_file("other.yaml", &file(&[in_order([upstream.url()])]));
    let proxy = setup.start_with(&["proxy", "start", "-c", "other.yaml"]).await.expect("it listens");
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn the_file_is_found_upwards_from_the_current_directory() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new(&file(&[in_order([upstream.url()])]));
    let proxy = setup.start_with(&["proxy", "start"]).await.expect("it listens");
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn every_listed_address_is_served() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let proxy = Proxy::start(&yaml.replace("\"127.0.0.1:0\"", "[\"127.0.0.1:0\", \"localhost:0\"]")).await;
    let second = proxy.wait_log_times("listening on ", 2).await;
    let address = second.split("://").nth(1).expect("an address").trim().to_owned();
    drop(TcpStream::connect(address).await.expect("it listens there"));
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn a_wrong_file_refuses_to_start() {
    for wrong in ["", "profiles: [", "version: 1\nserver: { listen: nowhere }\n"] {
        let (code, text) = Setup::new(wrong).run(&["-c", "qcc.yaml", "proxy", "start"]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("qcc.yaml"), "{text}");
    }
    let (code, text) = Setup::new("").run(&["-c", "missing.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("missing.yaml"), "{text}");
}

#[tokio::test]
async fn a_second_start_on_a_busy_port_ends_and_leaves_the_first_alone() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let first = Proxy::start(&yaml).await;
    let busy = yaml.replace("127.0.0.1:0", &first.address.to_string());
    let (code, text) = Setup::new(&busy).run(&["-c", "qcc.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&first.address.port().to_string()), "it names the address: {text}");
    for answer in first.send_times(5, &Request::unary()).await {
        answer.assert_served();
    }
}

/// A proxy with a stream that has begun and ends when the gate opens.
async fn with_a_running_stream(drain: &str) -> (Proxy, Gate, Upstream, http::Response<hyper::body::Incoming>, Client) {
    let gate = Gate::closed();
    // What is held back is more than the last word: the answer is not whole without it.
    let [head @ .., block, delta, stop] = &messages::stream_events("early")[..] else { panic!("a stream has events") };
    let reply = Reply::sse(head.to_vec()).then(&gate, [&block[..], delta, stop].concat());
    let upstream = Upstream::always(reply).await;
    let yaml = with_server(&format!("drain: {drain}"), "", &[in_order([upstream.url()])]);
    let proxy = Proxy::start(&yaml).await;
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "early").await;
    (proxy, gate, upstream, response, client)
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once_when_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let upstream = Upstream::serving().await;
        let mut proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
        // A kept-alive connection without a request must not hold it up.
        let mut client = Client::h1(proxy.address).await;
        client.send(&Request::unary()).await.assert_served();
        proxy.signal(signal);
        let started = std::time::Instant::now();
        assert_eq!(proxy.exit().await, Some(0), "{signal:?}");
        assert!(started.elapsed() < std::time::Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn asked_to_reload_a_file_that_is_the_same_it_says_so() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    proxy.signal(Signal::HUP);
    proxy.wait_log("the file has not changed generation=1").await;
}

#[tokio::test]
async fn a_signal_right_behind_the_first_line_is_obeyed() {
    let upstream = Upstream::serving().await;
    for _ in 0..20 {
        let mut proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
        proxy.signal(Signal::HUP);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit().await, Some(0), "killed by the signal instead of ending");
    }
}

#[tokio::test]
async fn a_running_stream_is_drained() {
    let (mut proxy, gate, _upstream, response, _client) = with_a_running_stream("30s").await;
    proxy.signal(Signal::TERM);
    let refused = async { while TcpStream::connect(proxy.address).await.is_ok() {} };
    in_time("the end of accepting", refused).await;
    gate.open();
    let rest = collect(response).await;
    assert_eq!(rest.ended, Ended::Whole);
    assert!(rest.text().contains("message_stop"), "{}", rest.text());
    assert_eq!(proxy.exit().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (mut proxy, _gate, _upstream, _response, _client) = with_a_running_stream("10m").await;
    proxy.signal(Signal::TERM);
    let refused = async { while TcpStream::connect(proxy.address).await.is_ok() {} };
    in_time("the end of accepting", refused).await;
    proxy.signal(Signal::TERM);
    proxy.exit().await;
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_is_ended_properly() {
    let (mut proxy, _gate, _upstream, response, _client) = with_a_running_stream("300ms").await;
    proxy.signal(Signal::TERM);
    let rest = in_time("the end of the stream", collect(response)).await;
    assert!(rest.ended == Ended::Cut || rest.text().contains("event: error"), "{}", rest.text());
    assert_eq!(proxy.exit().await, Some(0));
}

#[tokio::test]
async fn one_log_line_tells_of_each_request() {
    let dead = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([dead.url(), good.url()])])).await;
    proxy.send(&Request::stream().session("s")).await.assert_served();
    let line = proxy.wait_log("request ").await;
    for part in ["method=POST", "path=/v1/messages", "status=200", "result=ok", "endpoint=production/b", "tokens_out=3"]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(line.contains("a:server/500") && line.contains("b:success"), "every attempt in {line}");
    assert!(!line.contains("beta=true") && !line.contains("say hi") && !line.contains("hello"), "{line}");
    proxy.send(&Request::unary()).await.assert_served();
    let line = proxy.wait_log_times("request ", 2).await;
    assert!(line.contains("result=ok") && line.contains("tokens_out=3"), "{line}");
    assert_eq!(proxy.count_log("path=/v1/messages"), 2);
}

#[tokio::test]
async fn json_logs_are_one_object_a_line() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&with("log: { format: json }", &[in_order([upstream.url()])])).await;
    proxy.send(&Request::unary()).await.assert_served();
    let line = proxy.wait_log("/v1/messages").await;
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert!(value.is_object(), "{line}");
}

#[tokio::test]
async fn no_key_is_shown_whatever_happens() {
    // Every test looks for keys in what its proxy printed; this one makes it print as much as it can.
    let echo = Upstream::start(|seen| {
        let key = seen.header("x-api-key").unwrap_or_default();
        Reply::error(500, "api_error", &format!("what is {key}?")).header("x-echo", key)
    })
    .await;
    let cut = Upstream::always(Reply::sse([messages::start(), messages::block_start(0)]).end(End::Reset)).await;
    let profiles = production("strategy: priority", "", [echo.url(), cut.url()]);
    let proxy = Proxy::start(&with("log: { level: trace }", &[profiles])).await;
    for request in [Request::unary(), Request::stream(), Request::new("GET", "/v1/models")] {
        proxy.send(&request).await;
    }
    proxy.save("profiles: { broken: [").await;
    proxy.wait_log("rejected").await;
    proxy.signal(Signal::HUP);
}
