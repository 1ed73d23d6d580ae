//! The scripted upstream itself does as it is told; otherwise the other tests would prove nothing.

use crate::support::http1::Ended;
use crate::support::{Answer, Ca, Client, End, Framing, Refused, Reply, Request, Upstream, messages};

async fn direct(reply: Reply) -> Option<Answer> {
    let upstream = Upstream::always(reply).await;
    Client::h1(address(&upstream)).await.try_send(&Request::stream()).await.ok()
}

fn address(upstream: &Upstream) -> std::net::SocketAddr {
    let port = upstream.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a url with a port");
    ([127, 0, 0, 1], port).into()
}

#[tokio::test]
async fn answers_end_as_scripted() {
    let events = messages::stream_events("x");
    let stream = || Reply::sse(events.clone());
    for (reply, ended) in [
        (stream(), Ended::Whole),
        (stream().split(1), Ended::Whole),
        (stream().framing(Framing::UntilClose), Ended::Whole),
        (stream().framing(Framing::Length), Ended::Whole),
        (stream().end(End::Eof), Ended::Cut),
        (stream().end(End::Reset), Ended::Cut),
        (stream().framing(Framing::Length).end(End::Eof), Ended::Cut),
    ] {
        let shown = format!("{:?} {:?}", reply.framing, reply.end);
        let answer = direct(reply).await.expect("a head");
        assert_eq!(answer.ended, ended, "{shown}");
        // A reset may overtake what was sent before it.
        assert!(answer.body == events.concat() || shown.ends_with("Reset"), "{shown}: {}", answer.text());
    }
    for reply in [Reply::raw("").end(End::Reset), Reply::raw("garbage\r\n\r\n"), Reply::raw("HTTP/1.1 2").end(End::Eof)]
    {
        assert!(direct(reply).await.is_none());
    }
}

#[tokio::test]
async fn requests_are_recorded_as_sent_over_both_protocols() {
    let ca = Ca::new();
    let (one, two) = (Upstream::tls(&ca, Reply::served).await, Upstream::tls_h2(&ca, Reply::served).await);
    let request = Request::unary().header("x-twice", "1").header("x-twice", "2");
    Client::tls_h1(address(&one), &ca).await.send(&request).await.assert_served();
    Client::tls_h2(address(&two), &ca).await.send(&request).await.assert_served();
    for seen in [one.only(), two.only()] {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/messages?beta=true"));
        assert_eq!(seen.values("x-twice"), ["1", "2"]);
        assert_eq!(seen.body, messages::ask(messages::MODEL, false));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let upstream = Upstream::always(Reply::hang()).await;
    let mut client = Client::h1(address(&upstream)).await;
    let request = Request::unary();
    tokio::select! {
        answer = client.begin(&request) => panic!("nothing was scripted: {answer:?}"),
        _ = upstream.wait_for(1) => {}
    }
    assert_eq!(upstream.only().left, None);
    drop(client);
    upstream.wait_left(0).await;
}

#[tokio::test]
async fn refused_ports_refuse() {
    let mut upstream = Upstream::serving().await;
    let address = address(&upstream);
    let killed = upstream.kill().await;
    assert_eq!(killed.url(), format!("http://{address}"));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let refused = Refused::new();
    assert!(tokio::net::TcpStream::connect(refused.url().trim_start_matches("http://")).await.is_err());
}
