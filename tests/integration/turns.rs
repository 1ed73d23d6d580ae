//! A worker that has several requests at hand takes all of them in before it sends any on, and so with their answers.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::config::{in_order, with_server};
use crate::support::http1::Reader;
use crate::support::tracer::traced;
use crate::support::{Proxy, RawClient, in_time, messages};

const COUNT: usize = 6;

/// Stops the proxy; what is sent to it until it goes on is at hand all at once.
async fn stop(proxy: &Proxy) {
    proxy.signal(Signal::STOP);
    let threads = format!("/proc/{}/task", proxy.pid());
    let runs = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't']))
    };
    let all_stand = async {
        while fs::read_dir(&threads).expect("it is there").flatten().any(runs) {
            tokio::task::yield_now().await;
        }
    };
    in_time("every thread stands", all_stand).await;
}

/// The endpoint's side of a connection.
struct Side(Reader<OwnedReadHalf>, OwnedWriteHalf);

impl Side {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = in_time("a connection", listener.accept()).await.expect("a connection");
        let (read, write) = stream.into_split();
        Self(Reader::new(read), write)
    }

    async fn request(&mut self) {
        let head = in_time("a request", self.0.head()).await.expect("a request");
        in_time("its body", self.0.body(&head, false)).await;
    }

    async fn answer(&mut self) {
        let body = messages::answer("hello");
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        self.1.write_all(&[head.as_bytes(), &body].concat()).await.expect("the proxy takes it");
    }
}

async fn ask(client: &mut RawClient) {
    let body = messages::ask("claude", false);
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    assert!(client.send([head.as_bytes(), &body].concat()).await);
}

/// Connections of clients and to the endpoint, as many as there are clients: all ask before any is answered.
async fn connected(proxy: &Proxy, listener: &TcpListener) -> (Vec<RawClient>, Vec<Side>) {
    let (mut clients, mut sides) = (Vec::new(), Vec::new());
    for _ in 0..COUNT {
        let mut client = RawClient::connect(proxy.address).await;
        ask(&mut client).await;
        let mut side = Side::accept(listener).await;
        side.request().await;
        clients.push(client);
        sides.push(side);
    }
    for side in &mut sides {
        side.answer().await;
    }
    answered(&mut clients).await;
    (clients, sides)
}

async fn answered(clients: &mut [RawClient]) {
    for client in clients {
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
    }
}

/// All requests at once, then all answers at once.
async fn exchange(proxy: &Proxy, clients: &mut [RawClient], sides: &mut [Side]) {
    stop(proxy).await;
    for client in &mut *clients {
        ask(client).await;
    }
    proxy.signal(Signal::CONT);
    for side in &mut *sides {
        side.request().await;
    }
    stop(proxy).await;
    for side in sides {
        side.answer().await;
    }
    proxy.signal(Signal::CONT);
    answered(clients).await;
}

/// All `COUNT` messages that begin with `start` were read before the first of them was written.
fn assert_all_in_first(log: &str, start: &str) {
    let starts: Vec<&str> = log.lines().filter(|line| line.contains(&format!("\"{start}"))).collect();
    let is_read = |line: &&&str| line.contains("read") || line.contains("recv");
    assert_eq!(starts.len(), 2 * COUNT, "{start}: {starts:#?}");
    assert_eq!(starts.iter().take_while(is_read).count(), COUNT, "{start}: {starts:#?}");
}

#[tokio::test]
async fn what_is_at_hand_is_taken_in_before_any_of_it_is_sent_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let proxy = Proxy::start(&with_server("workers: 1", "", &[in_order([url])])).await;
    let (mut clients, mut sides) = connected(&proxy, &listener).await;
    let place = tempfile::tempdir().expect("a folder can be made");
    let log = place.path().join("trace");
    let calls = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
    let arguments = ["-s", "16", "-e", calls, "-o", log.to_str().expect("a plain path")];
    let Some(mut tracer) = traced(&proxy, arguments).await else {
        eprintln!(
            "SKIPPED: what the proxy reads and writes cannot be seen here (that needs `strace` and leave to trace)"
        );
        return;
    };
    exchange(&proxy, &mut clients, &mut sides).await;
    let pid = tracer.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).expect("it runs");
    kill_process(pid, Signal::TERM).expect("it is ours");
    in_time("the end of the tracer", tracer.wait()).await.expect("it is our child");
    let log = fs::read_to_string(&log).expect("the trace is text");
    assert_all_in_first(&log, "POST /v1/message");
    assert_all_in_first(&log, "HTTP/1.1 200");
}
