//! HTTP/2: agreed on by ALPN, shared, and replaced when the peer goes away.
#![expect(clippy::large_futures, reason = "the peers are scripted inside the test's own future")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream};
use http::Version;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::SendErrorKind;
use super::tls::{Certificates, localhost};
use super::*;

type H2 = ::h2::server::Connection<TlsStream<TcpStream>, Bytes>;

async fn accept(peer: &Peer, tls: &TlsAcceptor, max_streams: u32) -> H2 {
    let stream = tls.accept(peer.accept().await.stream).await.expect("a TLS client");
    ::h2::server::Builder::new().max_concurrent_streams(max_streams).handshake(stream).await.expect("an HTTP/2 client")
}

fn answer(respond: &mut SendResponse<Bytes>, body: &'static str) {
    let mut stream = respond.send_response(Response::new(()), false).expect("a listening client");
    stream.send_data(Bytes::from_static(body.as_bytes()), true).expect("a listening client");
}

/// Serves a connection to its end.
async fn serve(mut connection: H2, body: &'static str) -> Vec<Request<RecvStream>> {
    let mut requests = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        answer(&mut respond, body);
        requests.push(request);
    }
    requests
}

#[tokio::test]
async fn http2_is_agreed_on_and_one_connection_serves_all() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let target = certificates.target(&peer);
        let connections = Rc::new(Cell::new(0));
        tokio::task::spawn_local({
            let (tls, connections) = (certificates.acceptor(), Rc::clone(&connections));
            async move {
                loop {
                    let connection = accept(&peer, &tls, 100).await;
                    connections.set(connections.get() + 1);
                    tokio::task::spawn_local(serve(connection, "served"));
                }
            }
        });
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let (client, target) = (client.clone(), Arc::clone(&target));
                tokio::task::spawn_local(async move {
                    client.send(&target, || post("/v1/messages?beta=true", &[b"a", b"b"])).await
                })
            })
            .collect();
        for request in requests {
            let answer = request.await.expect("no panic");
            assert_eq!(answer.as_ref().expect("an answer").version(), Version::HTTP_2);
            assert_eq!(text(answer).await, "served");
        }
        assert_eq!(connections.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_http2_request_carries_the_authority_and_the_exact_body() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let target = certificates.target(&peer);
        let script = async {
            let mut connection = accept(&peer, &certificates.acceptor(), 100).await;
            let (request, mut respond) = connection.accept().await.expect("a request").expect("no error");
            let serving = tokio::task::spawn_local(async move { while connection.accept().await.is_some() {} });
            let (head, mut body) = request.into_parts();
            let mut received = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.expect("no error");
                body.flow_control().release_capacity(data.len()).expect("was received");
                received.extend_from_slice(&data);
            }
            answer(&mut respond, "served");
            (head, received, serving)
        };
        let request = post("/v1/messages?beta=true", &[b"{\"model\"", b":", b"\"m\"}"]);
        let ((head, received, _serving), answer) = tokio::join!(script, client.send(&target, || request.clone()));
        assert_eq!(text(answer).await, "served");
        assert_eq!(head.uri.to_string(), format!("{}/v1/messages?beta=true", localhost(&peer)));
        assert_eq!((head.headers.get("host"), received.as_slice()), (None, b"{\"model\":\"m\"}".as_slice()));
        assert_eq!(head.headers["content-length"], "13");
    })
    .await;
}

#[tokio::test]
async fn a_full_connection_gets_another_beside_it() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let target = certificates.target(&peer);
        let (waiting, connections) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let all_here = Rc::new(Notify::new());
        tokio::task::spawn_local({
            let (waiting, connections) = (Rc::clone(&waiting), Rc::clone(&connections));
            let (tls, all_here) = (certificates.acceptor(), Rc::clone(&all_here));
            async move {
                loop {
                    let mut connection = accept(&peer, &tls, 5).await;
                    connections.set(connections.get() + 1);
                    let (waiting, all_here) = (Rc::clone(&waiting), Rc::clone(&all_here));
                    tokio::task::spawn_local(async move {
                        while let Some(Ok((_, respond))) = connection.accept().await {
                            waiting.borrow_mut().push(respond);
                            if waiting.borrow().len() == 12 {
                                all_here.notify_one();
                            }
                        }
                    });
                }
            }
        });
        let requests: Vec<_> = (0..12)
            .map(|_| {
                let (client, target) = (client.clone(), Arc::clone(&target));
                tokio::task::spawn_local(async move { text(client.send(&target, || get("/")).await).await })
            })
            .collect();
        // Nobody is answered before all are here: waiting for a stream would stop this for ever.
        all_here.notified().await;
        waiting.borrow_mut().iter_mut().for_each(|respond| answer(respond, "served"));
        for request in requests {
            assert_eq!(request.await.expect("no panic"), "served");
        }
        assert_eq!(connections.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_allows_no_streams_is_an_error_and_not_a_loop() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let script = async {
            let mut connection = accept(&peer, &tls, 0).await;
            assert!(connection.accept().await.is_none(), "no stream is allowed");
        };
        let send = || client.send(&target, || get("/"));
        // One goes ahead of the peer's settings and waits for a stream; the other is told.
        let answer = tokio::select! {
            () = script => panic!("the connection was closed"),
            answer = send() => answer,
            answer = send() => answer,
        };
        let error = answer.expect_err("no place");
        assert_eq!(error.kind, SendErrorKind::BadAnswer, "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_went_away_or_dies_is_replaced_silently() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let gone = Notify::new();
        let script = async {
            // The first goes away in good order, between two requests.
            let mut first = accept(&peer, &tls, 100).await;
            answer(&mut next(&mut first).await, "one");
            first.graceful_shutdown();
            assert!(!matches!(first.accept().await, Some(Ok(_))), "nothing was sent");
            gone.notify_one();
            // The second dies of its second request.
            let mut second = accept(&peer, &tls, 100).await;
            answer(&mut next(&mut second).await, "two");
            let unanswered = next(&mut second).await;
            drop((second, unanswered));
            let mut third = accept(&peer, &tls, 100).await;
            answer(&mut next(&mut third).await, "three");
            third.accept().await.is_none()
        };
        let requests = async {
            assert_eq!(text(client.send(&target, || get("/")).await).await, "one");
            gone.notified().await;
            assert_eq!(text(client.send(&target, || get("/")).await).await, "two");
            assert_eq!(text(client.send(&target, || get("/")).await).await, "three");
        };
        tokio::select! {
            ended = script => panic!("the third connection was closed: {ended}"),
            () = requests => {}
        }
    })
    .await;
}

async fn next(connection: &mut H2) -> SendResponse<Bytes> {
    connection.accept().await.expect("a request").expect("no error").1
}

#[tokio::test]
async fn a_new_http2_connection_that_dies_is_a_reset_and_nothing_is_sent_twice() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let script = async {
            let mut connection = accept(&peer, &tls, 100).await;
            let unanswered = next(&mut connection).await;
            drop((connection, unanswered));
            peer.accept().await;
        };
        tokio::select! {
            () = script => panic!("the request was sent again"),
            answer = client.send(&target, || get("/")) => {
                assert_eq!(answer.expect_err("no answer came").kind, SendErrorKind::Reset);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_on_a_new_connection() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let connections = Rc::new(Cell::new(0));
        tokio::task::spawn_local({
            let connections = Rc::clone(&connections);
            async move {
                loop {
                    let mut connection = accept(&peer, &tls, 100).await;
                    connections.set(connections.get() + 1);
                    let refuse = connections.get() != 2;
                    tokio::task::spawn_local(async move {
                        while let Some(Ok((_, mut respond))) = connection.accept().await {
                            if refuse {
                                respond.send_reset(Reason::REFUSED_STREAM);
                            } else {
                                answer(&mut respond, "served");
                            }
                        }
                    });
                }
            }
        });
        assert_eq!(text(client.send(&target, || get("/")).await).await, "served");
        assert_eq!(connections.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_reset_otherwise_is_not_sent_again() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let requests = Rc::new(Cell::new(0));
        tokio::task::spawn_local({
            let requests = Rc::clone(&requests);
            async move {
                let mut connection = accept(&peer, &tls, 100).await;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    requests.set(requests.get() + 1);
                    respond.send_reset(Reason::INTERNAL_ERROR);
                }
            }
        });
        for sent in 1..3 {
            let error = client.send(&target, || get("/")).await.expect_err("it was reset");
            assert_eq!((error.kind, requests.get()), (SendErrorKind::Reset, sent), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn dropping_an_http2_answer_or_the_wait_for_it_resets_its_stream_only() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let (target, tls) = (certificates.target(&peer), certificates.acceptor());
        let (streams, mut arrived) = tokio::sync::mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            let mut connection = accept(&peer, &tls, 100).await;
            while let Some(Ok((_, respond))) = connection.accept().await {
                drop(streams.send(respond));
            }
        });

        let streaming = async {
            let mut respond: SendResponse<Bytes> = arrived.recv().await.expect("a request");
            let mut stream = respond.send_response(Response::new(()), false).expect("a listening client");
            stream.send_data(Bytes::from_static(b"one"), false).expect("a listening client");
            stream
        };
        let (mut stream, answered) = tokio::join!(streaming, client.send(&target, || get("/")));
        let mut body = answered.expect("a head").into_body();
        body.frame().await.expect("a frame").expect("no error");
        drop(body);
        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        assert_eq!(reset.expect("the connection lives"), Reason::CANCEL);

        let waiting = tokio::task::spawn_local({
            let (client, target) = (client.clone(), Arc::clone(&target));
            async move { client.send(&target, || get("/")).await.map(drop) }
        });
        let mut respond = arrived.recv().await.expect("a request");
        waiting.abort();
        let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        assert_eq!(reset.expect("the connection lives"), Reason::CANCEL);

        let ((), answered) = tokio::join!(
            async { answer(&mut arrived.recv().await.expect("the same connection"), "after") },
            client.send(&target, || get("/"))
        );
        assert_eq!(text(answered).await, "after");
    })
    .await;
}
