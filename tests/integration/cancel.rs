//! A client that leaves: the upstream is left at once, nothing is sent again, nobody is hurt.

use std::time::{Duration, Instant};

use crate::support::client::read_until;
use crate::support::config::{in_order, with, with_server};
use crate::support::{Ca, Client, End, Proxy, Reply, Request, Setup, Upstream, messages};

/// Endpoints `a`, scripted, and `b`; one counted failure would eject.
struct Fixture {
    first: Upstream,
    second: Upstream,
    proxy: Proxy,
}

const ONE: &str = "failover: { failure_threshold: 1 }";

impl Fixture {
    async fn new(reply: Reply) -> Self {
        Self::before(Upstream::always(reply).await).await
    }

    async fn before(first: Upstream) -> Self {
        let second = Upstream::serving().await;
        let proxy = Proxy::start(&with(ONE, &[in_order([first.url(), second.url()])])).await;
        Self { first, second, proxy }
    }

    /// The upstream must be left within a second of `since`, and the next request must find it admitting.
    async fn assert_cancelled(self, since: Instant) {
        let left = self.first.wait_left(0).await;
        let after = left.saturating_duration_since(since);
        assert!(after < Duration::from_secs(1), "cancelled only after {after:?}");
        self.first.script(Reply::served);
        for _ in 0..2 {
            assert_eq!(self.proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
        }
        assert_eq!((self.first.count(), self.second.count()), (3, 0), "nothing was sent again");
    }
}

/// Drops the request when it has reached the upstream, before any answer.
async fn leave_before_the_head(fixture: Fixture, mut client: Client, keep_connection: bool) {
    let request = Request::stream();
    let mut pending = Box::pin(client.begin(&request));
    tokio::select! {
        answer = &mut pending => panic!("nothing was scripted: {answer:?}"),
        _ = fixture.first.wait_for(1) => {}
    }
    drop(pending);
    let since = Instant::now();
    let kept = keep_connection.then_some(client);
    fixture.assert_cancelled(since).await;
    drop(kept);
}

/// Drops the answer after its first delta.
async fn leave_in_the_stream(fixture: Fixture, mut client: Client, keep_connection: bool) {
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "half").await;
    drop(response);
    let since = Instant::now();
    let kept = keep_connection.then_some(client);
    fixture.assert_cancelled(since).await;
    drop(kept);
}

fn half() -> Reply {
    Reply::sse([messages::start(), messages::block_start(0), messages::delta(0, "half")]).end(End::Hang)
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_the_upstream_call() {
    let fixture = Fixture::new(Reply::hang()).await;
    let client = Client::h1(fixture.proxy.address).await;
    leave_before_the_head(fixture, client, false).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_stream_cancels_the_upstream_call() {
    let fixture = Fixture::new(half()).await;
    let client = Client::h1(fixture.proxy.address).await;
    leave_in_the_stream(fixture, client, false).await;
}

#[tokio::test]
async fn an_http2_request_reset_before_the_head_cancels_the_upstream_call() {
    let fixture = Fixture::new(Reply::hang()).await;
    let client = Client::h2(fixture.proxy.address).await;
    leave_before_the_head(fixture, client, true).await;
}

#[tokio::test]
async fn an_http2_request_reset_in_the_stream_cancels_the_upstream_call() {
    let fixture = Fixture::new(half()).await;
    let client = Client::h2(fixture.proxy.address).await;
    leave_in_the_stream(fixture, client, true).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_the_gate_cancels_the_upstream_call() {
    let fixture = Fixture::new(Reply::sse([messages::ping()]).end(End::Hang)).await;
    let client = Client::h1(fixture.proxy.address).await;
    leave_before_the_head(fixture, client, false).await;
}

#[tokio::test]
async fn an_http2_upstream_call_is_cancelled_by_a_reset_of_its_stream_alone() {
    let ca = Ca::new();
    let upstream = Upstream::tls_h2(&ca, |seen| if seen.wants_stream() { half() } else { Reply::served(seen) }).await;
    let profiles = in_order([upstream.url()]).replace("api_key", "ca_file: ca.pem, proxy: none, api_key");
    let yaml = with_server("workers: 1", ONE, &[profiles]);
    let proxy = Setup::new(&yaml).with_file("ca.pem", &ca.pem).start().await;
    let mut client = Client::h1(proxy.address).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "half").await;
    let since = Instant::now();
    drop((response, client));
    let left = upstream.wait_left(0).await;
    assert!(left.saturating_duration_since(since) < Duration::from_secs(1));
    proxy.send(&Request::unary()).await.assert_served();
    assert_eq!(upstream.connections(), 1, "the connection survives one stream");
}

#[tokio::test]
async fn leaving_again_and_again_hurts_nobody() {
    let fixture = Fixture::new(Reply::hang()).await;
    let request = Request::unary();
    for round in 1..=10 {
        let mut client = Client::h1(fixture.proxy.address).await;
        tokio::select! {
            answer = client.begin(&request) => panic!("nothing was scripted: {answer:?}"),
            _ = fixture.first.wait_for(round) => {}
        }
        drop(client);
        fixture.first.wait_left(round - 1).await;
    }
    fixture.first.script(Reply::served);
    assert_eq!(fixture.proxy.send(&request).await.assert_served().endpoint(), "a");
    assert_eq!((fixture.first.count(), fixture.second.count()), (11, 0));
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_is_never_forwarded() {
    let fixture = Fixture::before(Upstream::serving().await).await;
    let mut client = crate::support::RawClient::connect(fixture.proxy.address).await;
    client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{\"model\":").await;
    drop(client);
    fixture.proxy.send(&Request::unary()).await.assert_served();
    assert_eq!((fixture.first.count(), fixture.second.count()), (1, 0));
}
