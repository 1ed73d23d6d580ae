//! The admin listener: who may ask there, and who may not.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::api::get_at;
use crate::support::config::in_order;
use crate::support::{Proxy, Setup, Upstream, file};

/// A proxy with an admin listener: where that is, and its token.
async fn start(upstream: &Upstream) -> (Proxy, SocketAddr, String) {
    let yaml = format!("{}admin: {{ listen: 127.0.0.1:0 }}\n", file(&[in_order([upstream.url()])]));
    let proxy = Setup::new(&yaml).env("QCC_STATE_DIR", "state").start().await;
    let status = proxy.status().await;
    let url = status["admin"]["listen"].as_str().expect("there is one").to_owned();
    let file = status["admin"]["token_file"].as_str().expect("there is one").to_owned();
    let mode = std::fs::metadata(&file).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).expect("ours").trim().to_owned();
    (proxy, url.trim_start_matches("http://").parse().expect("an address"), token)
}

#[tokio::test]
async fn whoever_shows_the_token_is_answered_and_nobody_else() {
    let upstream = Upstream::serving().await;
    let (proxy, address, token) = start(&upstream).await;
    let bearer = format!("Bearer {token}");
    for credential in [("authorization", &*bearer), ("x-api-key", &token), ("qcc-token", &token)] {
        let (head, body) = get_at(address, "/v1/status", &[("host", "localhost"), credential]).await;
        assert_eq!(head.status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["pid"], proxy.pid().as_raw_pid());
        assert!(!head.headers.keys().any(|name| name.as_str().starts_with("access-control")));
    }
    let (short, long) = (&token[1..], format!("{token}0"));
    for headers in [&[][..], &[("x-api-key", "")], &[("x-api-key", short)], &[("x-api-key", &long)]] {
        let headers: Vec<_> = [("host", "localhost")].iter().chain(headers).copied().collect();
        for path in ["/v1/status", "/v1/openapi.json", "/nothing"] {
            let (head, body) = get_at(address, path, &headers).await;
            assert_eq!(head.status, 401, "{body}");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["error"]["code"], "unauthorized");
        }
    }
    let (_, state) = proxy.get("/v1/status").await;
    assert!(!state.to_string().contains(&token) && !proxy.lines().concat().contains(&token), "it is told nowhere");
}

#[tokio::test]
async fn web_pages_and_rebound_names_are_refused_even_with_the_token() {
    let upstream = Upstream::serving().await;
    let (_proxy, address, token) = start(&upstream).await;
    let host = ("host", "localhost");
    for (headers, code) in [
        (vec![("host", "evil.example")], "host-refused"),
        (vec![host, ("origin", "https://evil.example")], "origin-refused"),
        (vec![host, ("origin", "null")], "origin-refused"),
        (vec![host, ("sec-fetch-site", "cross-site")], "origin-refused"),
        (vec![], "bad-host"),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("x-api-key", &*token)]).collect();
        let (head, body) = get_at(address, "/v1/status", &headers).await;
        assert!(head.status.is_client_error(), "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["error"]["code"], code, "{headers:?}");
    }
}

#[tokio::test]
async fn the_token_stays_the_same_and_one_for_all_to_see_is_none() {
    let upstream = Upstream::serving().await;
    let (mut first, _, token) = start(&upstream).await;
    first.post("/v1/stop", "").await;
    assert_eq!(first.exit().await, Some(0));
    let mut second = first.again().await.expect("it listens");
    let file = second.status().await["admin"]["token_file"].as_str().expect("there is one").to_owned();
    assert_eq!(std::fs::read_to_string(&file).expect("ours").trim(), token);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("ours");
    second.post("/v1/stop", "").await;
    assert_eq!(second.exit().await, Some(0));
    let third = first.again().await.expect("it serves all the same");
    third.wait_log("no admin listener").await;
    assert_eq!(third.status().await["admin"], Value::Null);
}

#[tokio::test]
async fn it_never_listens_to_the_network_and_never_beside_another() {
    let upstream = Upstream::serving().await;
    let yaml = |listen: &str| format!("{}admin: {{ listen: \"{listen}\" }}\n", file(&[in_order([upstream.url()])]));
    let (code, text) = Setup::new(&yaml("0.0.0.0:0")).run(&["proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("open-admin"), "{text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, text) = Setup::new(&yaml(&address)).run(&["proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&address) && text.contains("`admin.listen`"), "{text}");
}
