//! How running requests end when the proxy is told to end at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::client::{collect, read_until};
use crate::support::config::{in_order, with_server};
use crate::support::http1::Ended;
use crate::support::{Client, Gate, Proxy, Reply, Request, Upstream, file, in_time, messages};

/// Signals twice, the second time when the first was obeyed.
async fn end_at_once(proxy: &Proxy) {
    proxy.signal(Signal::TERM);
    let refused = async { while TcpStream::connect(proxy.address).await.is_ok() {} };
    in_time("the end of accepting", refused).await;
    proxy.signal(Signal::TERM);
}

#[tokio::test]
async fn a_second_signal_ends_streams_with_an_error_event_over_both_protocols() {
    for http2 in [false, true] {
        let gate = Gate::closed();
        let [head @ .., delta, stop] = &messages::stream_events("early")[..] else { panic!("a stream has events") };
        let reply = Reply::sse(head.to_vec()).then(&gate, [&delta[..], stop].concat());
        let upstream = Upstream::always(reply).await;
        let mut proxy = Proxy::start(&with_server("drain: 10m", "", &[in_order([upstream.url()])])).await;
        let mut client = if http2 { Client::h2(proxy.address).await } else { Client::h1(proxy.address).await };
        let mut response = client.begin(&Request::stream()).await.expect("a head");
        read_until(response.body_mut(), "content_block_stop").await;
        end_at_once(&proxy).await;
        let told = Instant::now();
        let rest = in_time("the end of the stream", collect(response)).await;
        assert_eq!(rest.ended, Ended::Whole, "HTTP/2: {http2}");
        assert!(rest.text().contains("event: error"), "HTTP/2: {http2}: {}", rest.text());
        assert_eq!(proxy.exit().await, Some(0), "HTTP/2: {http2}");
        assert!(told.elapsed() < Duration::from_millis(1900), "{:?}", told.elapsed());
        assert_eq!(proxy.count_log("did not end in time"), 0);
    }
}

#[tokio::test]
async fn a_second_signal_answers_requests_that_wait_for_a_head() {
    for http2 in [false, true] {
        let upstream = Upstream::always(Reply::hang()).await;
        let mut proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
        let mut client = if http2 { Client::h2(proxy.address).await } else { Client::h1(proxy.address).await };
        let request = Request::unary();
        let told = async {
            upstream.wait_for(1).await;
            end_at_once(&proxy).await;
            Instant::now()
        };
        let (answer, told) = tokio::join!(client.send(&request), told);
        assert_eq!((answer.status, answer.header("qcc-error")), (503, Some("stopping")), "HTTP/2: {http2}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(proxy.exit().await, Some(0), "HTTP/2: {http2}");
        let line = proxy.wait_log("path=/v1/messages").await;
        assert!(line.contains("status=503") && line.contains("result=stopping"), "the log says what was told: {line}");
        assert!(told.elapsed() < Duration::from_millis(1900), "{:?}", told.elapsed());
        upstream.wait_left(0).await;
    }
}
