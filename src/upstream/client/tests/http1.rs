//! HTTP/1.1: reuse, replacement, cancellation, and answers that are none.

use futures_like::join_all;

use super::super::SendErrorKind;
use super::*;
use crate::net::PoolId;

/// Waits for many futures of one kind.
mod futures_like {
    pub(super) async fn join_all<T: 'static>(
        futures: impl IntoIterator<Item = impl Future<Output = T> + 'static>,
    ) -> Vec<T> {
        let tasks: Vec<_> = futures.into_iter().map(tokio::task::spawn_local).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("no panic"));
        }
        results
    }
}

#[tokio::test]
async fn a_connection_read_to_its_end_is_used_again() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut wire = peer.accept().await;
            for answer in ["one", "two", ""] {
                let head = wire.head().await;
                assert!(head.starts_with("GET /v1/models?limit=3 HTTP/1.1\r\n"), "{head}");
                assert_eq!(head.matches(&format!("host: {}\r\n", peer.address())).count(), 1, "{head}");
                wire.answer(answer).await;
            }
        };
        let requests = async {
            for answer in ["one", "two", ""] {
                assert_eq!(text(peer.ask(&client, get("/v1/models?limit=3")).await).await, answer);
            }
        };
        tokio::join!(script, requests);
    })
    .await;
}

#[tokio::test]
async fn a_host_header_of_the_request_is_kept() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let mut request = get("http://ignored.test/path");
        request.headers_mut().insert("host", http::HeaderValue::from_static("other.test"));
        let script = async {
            let mut wire = peer.accept().await;
            assert_eq!(wire.head().await, "GET /path HTTP/1.1\r\nhost: other.test\r\n\r\n");
            wire.answer("").await;
        };
        let ((), answer) = tokio::join!(script, peer.ask(&client, request));
        answer.expect("an answer");
    })
    .await;
}

#[tokio::test]
async fn no_request_waits_for_another() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let target = peer.target();
        let script = async {
            let mut wires = Vec::new();
            // Nobody is answered before all are here: a queue would stop this for ever.
            for _ in 0..200 {
                let mut wire = peer.accept().await;
                wire.head().await;
                wires.push(wire);
            }
            for wire in &mut wires {
                wire.answer("served").await;
            }
        };
        let requests = join_all((0..200).map(|_| {
            let (client, target) = (client.clone(), Arc::clone(&target));
            async move { text(client.send(&target, || get("/")).await).await }
        }));
        let ((), answers) = tokio::join!(script, requests);
        assert!(answers.iter().all(|answer| answer == "served"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_the_peer_closed_while_idle_is_not_used() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        for _ in 0..2 {
            let script = async {
                let mut wire = peer.accept().await;
                wire.head().await;
                wire.answer("fine").await;
            };
            let ((), answer) = tokio::join!(script, async { text(peer.ask(&client, get("/")).await).await });
            assert_eq!(answer, "fine");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_is_replaced_silently_by_a_new_one() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut stale = peer.accept().await;
            stale.head().await;
            stale.answer("one").await;
            // It takes the next request and dies of it, without a byte of an answer.
            stale.head().await;
            drop(stale);
            let mut fresh = peer.accept().await;
            assert!(fresh.head().await.contains("content-length: 9\r\n"));
            assert_eq!(fresh.bytes(9).await, b"the whole");
            fresh.answer("two").await;
        };
        let requests = async {
            assert_eq!(text(peer.ask(&client, get("/")).await).await, "one");
            let request = post("/", &[b"the", b" ", b"whole"]);
            assert_eq!(text(peer.ask(&client, request).await).await, "two");
        };
        tokio::join!(script, requests);
    })
    .await;
}

#[tokio::test]
async fn a_new_connection_that_dies_is_a_reset_and_nothing_is_sent_twice() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async { drop(peer.accept().await.head().await) };
        let ((), answer) = tokio::join!(script, peer.ask(&client, get("/?key=canary")));
        let error = answer.expect_err("no answer came");
        assert_eq!(error.kind, SendErrorKind::Reset);
        assert!(!error.to_string().contains("canary"));
        nobody_comes(&peer).await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_asked_for_again() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            wire.answer("one").await;
            wire.head().await;
            wire.write("HTTP/1.1 2").await;
        };
        let requests = async {
            assert_eq!(text(peer.ask(&client, get("/")).await).await, "one");
            peer.ask(&client, get("/")).await.expect_err("the answer broke off").kind
        };
        let ((), kind) = tokio::join!(script, requests);
        assert_eq!(kind, SendErrorKind::Reset);
        nobody_comes(&peer).await;
    })
    .await;
}

/// Asserts that no further connection was made, without waiting: what the client did, it has done.
async fn nobody_comes(peer: &Peer) {
    let accepted = tokio::select! {
        biased;
        _ = peer.accept() => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!accepted, "the request was sent again");
}

#[tokio::test]
async fn dropping_the_answer_or_the_wait_for_it_closes_the_connection() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let (mut wire, answer) = tokio::join!(
            async {
                let mut wire = peer.accept().await;
                wire.head().await;
                wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
                wire
            },
            peer.ask(&client, get("/"))
        );
        let mut body = answer.expect("a head").into_body();
        let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
        assert_eq!(first, "one");
        drop(body);
        wire.closed().await;

        let waiting = tokio::task::spawn_local({
            let (client, target) = (client.clone(), peer.target());
            async move { client.send(&target, || get("/")).await.map(drop) }
        });
        let mut wire = peer.accept().await;
        wire.head().await;
        waiting.abort();
        wire.closed().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_free_when_the_body_has_ended_though_it_is_still_held() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut wire = peer.accept().await;
            for framing in
                ["content-length: 3\r\n\r\none", "transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"].repeat(2)
            {
                wire.head().await;
                wire.write(&format!("HTTP/1.1 200 OK\r\n{framing}")).await;
            }
        };
        let requests = async {
            let mut held = Vec::new();
            for _ in 0..4 {
                let mut body = peer.ask(&client, get("/")).await.expect("an answer").into_body();
                while body.frame().await.is_some() {}
                held.push(body);
            }
        };
        tokio::join!(script, requests);
    })
    .await;
}

static BLOCK: [u8; 1 << 20] = [0; 1 << 20];

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_ends_the_connection() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let request = post("/", &[BLOCK.as_slice(); 32]);
        let (mut wire, answer) = tokio::join!(
            async {
                let mut wire = peer.accept().await;
                wire.head().await;
                // The answer comes before the request is read: the rest of it is stuck on the way.
                wire.write("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
                wire
            },
            peer.ask(&client, request)
        );
        assert_eq!(answer.expect("an answer").status(), 413);
        wire.closed().await;
    })
    .await;
}

#[tokio::test]
async fn dropping_the_answer_ends_an_upload_that_is_still_under_way() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let (mut wire, answer) = tokio::join!(
            async {
                let mut wire = peer.accept().await;
                wire.head().await;
                wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
                wire
            },
            peer.ask(&client, post("/", &[BLOCK.as_slice(); 64]))
        );
        drop(answer.expect("a head"));
        wire.closed().await;
        assert!(wire.read.len() < 32 << 20, "{} bytes were still uploaded", wire.read.len());
    })
    .await;
}

#[tokio::test]
async fn surplus_bytes_after_an_answer_end_the_connection() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut first = peer.accept().await;
            first.head().await;
            first.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 200 OK\r\n\r\nforged").await;
            first.closed().await;
            let mut second = peer.accept().await;
            second.head().await;
            second.answer("two").await;
        };
        let requests = async {
            assert_eq!(text(peer.ask(&client, get("/")).await).await, "one");
            assert_eq!(text(peer.ask(&client, get("/")).await).await, "two");
        };
        tokio::join!(script, requests);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_an_answer_is_said() {
    let many_headers = "name: value\r\n".repeat(101);
    let large_head = format!("HTTP/1.1 200 OK\r\nbig: {}\r\n\r\n", "x".repeat(70_000));
    let endless_interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000);
    for (bytes, what) in [
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "not HTTP"),
        (format!("HTTP/1.1 200 OK\r\n{many_headers}\r\n"), "larger than allowed"),
        (large_head, "larger than allowed"),
        (endless_interim, "too many interim answers"),
        ("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_owned(), "another protocol"),
    ] {
        on_a_worker(async {
            let (client, peer) = (client(), Peer::new().await);
            let script = async {
                let mut wire = peer.accept().await;
                wire.head().await;
                drop(wire.stream.write_all(bytes.as_bytes()).await);
                wire.closed().await;
            };
            let ((), answer) = tokio::join!(script, peer.ask(&client, get("/")));
            let error = answer.expect_err(what);
            assert_eq!(error.kind, SendErrorKind::BadAnswer, "{error}");
            assert!(error.to_string().contains(what), "{error}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_large_head_and_interim_answers_within_the_limits_pass() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let script = async {
            let mut wire = peer.accept().await;
            wire.head().await;
            let value = "x".repeat(60_000);
            let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(16);
            wire.write(&format!("{interim}HTTP/1.1 200 OK\r\nbig: {value}\r\ncontent-length: 2\r\n\r\nok")).await;
        };
        let ((), answer) = tokio::join!(script, peer.ask(&client, get("/")));
        assert_eq!(text(answer).await, "ok");
    })
    .await;
}

#[tokio::test]
async fn a_body_of_many_segments_arrives_byte_for_byte_with_its_length() {
    on_a_worker(async {
        let (client, peer) = (client(), Peer::new().await);
        let whole: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let kept = Bytes::from(whole.clone());
        let body =
            Segments((0..whole.len()).step_by(70_001).map(|at| kept.slice(at..kept.len().min(at + 70_001))).collect());
        let request = Request::post("/").body(body).expect("a request");
        let script = async {
            let mut wire = peer.accept().await;
            assert!(wire.head().await.contains("content-length: 20000000\r\n"));
            let received = wire.bytes(20_000_000).await;
            assert!(wire.read.is_empty());
            wire.answer("done").await;
            received
        };
        let (received, answer) = tokio::join!(script, peer.ask(&client, request));
        assert_eq!(text(answer).await, "done");
        assert!(received == whole, "the body was changed");
    })
    .await;
}

#[tokio::test]
async fn waiting_for_an_answer_takes_little_memory() {
    let (client, peer) = (client(), Peer::new().await);
    let target = peer.target();
    let size = std::mem::size_of_val(&client.send(&target, || get("/")));
    assert!(size < 3_000, "{size} bytes for every request in flight");
}

/// A client with one idle connection, and the other end of that.
async fn idle_connection(client: &Client<Segments>, peer: &Peer) -> Wire {
    let (wire, answer) = tokio::join!(
        async {
            let mut wire = peer.accept().await;
            wire.head().await;
            wire.answer("fine").await;
            wire
        },
        peer.ask(client, get("/"))
    );
    assert_eq!(text(answer).await, "fine");
    wire
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_minute() {
    // (The test's own limit would be passed with the minute.)
    LocalSet::new()
        .run_until(async {
            let (client, peer) = (client(), Peer::new().await);
            let mut wire = idle_connection(&client, &peer).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(59)).await;
            client.idle_sweep();
            assert_eq!(client.0.pools.borrow().len(), 1);
            tokio::time::advance(Duration::from_secs(1)).await;
            client.idle_sweep();
            tokio::time::resume();
            wire.closed().await;
            assert_eq!(client.0.pools.borrow().len(), 0);
        })
        .await;
}

#[tokio::test]
async fn connections_nobody_uses_after_a_reload_are_closed() {
    on_a_worker(async {
        let (client, kept, dropped) = (client(), Peer::new().await, Peer::new().await);
        let mut still = idle_connection(&client, &kept).await;
        let mut gone = idle_connection(&client, &dropped).await;
        let in_use = kept.target().pool();
        client.forget_unused(&|pool: PoolId| pool == in_use);
        gone.closed().await;
        let script = async {
            still.head().await;
            still.answer("again").await;
        };
        let ((), answer) = tokio::join!(script, kept.ask(&client, get("/")));
        assert_eq!(text(answer).await, "again");
    })
    .await;
}
