//! The header list is open: what qcc does not own goes through, in order; what it owns never does.

use crate::support::config::{endpoint, in_order, key};
use crate::support::raw::exchange;
use crate::support::{Client, Proxy, Reply, Request, Upstream, file, messages, profile};

async fn one_endpoint(upstream: &Upstream, keys: &str) -> Proxy {
    let endpoints = [endpoint("a", &upstream.url(), keys)];
    Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await
}

#[tokio::test]
async fn repeated_headers_stay_apart_and_in_order() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    let request = Request::unary()
        .header("anthropic-beta", "one-2025-01-01,two-2025-01-01")
        .header("x-other", "between")
        .header("anthropic-beta", "three-2025-01-01")
        .header("anthropic-beta", "four-2025-01-01");
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        client.send(&request).await.assert_served();
        let seen = upstream.requests().pop().expect("it was just answered");
        let betas = ["one-2025-01-01,two-2025-01-01", "three-2025-01-01", "four-2025-01-01"];
        assert_eq!(seen.values("anthropic-beta"), betas);
    }
}

#[tokio::test]
async fn unknown_headers_go_through_and_known_ones_are_not_overwritten() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    let fields = [
        ("x-claude-code-session-id", "6b1c"),
        ("x-stainless-retry-count", "0"),
        ("user-agent", "claude-cli/2.1.330 (external, cli)"),
        ("x-app", "cli"),
        ("accept", "application/json"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-never-heard-of", "\u{e9} ; = \" odd"),
    ];
    let request = fields.iter().fold(Request::unary(), |request, (name, value)| request.header(name, value));
    proxy.send(&request.without("anthropic-version").header("anthropic-version", "2099-12-31")).await.assert_served();
    let seen = upstream.only();
    for (name, value) in fields {
        assert_eq!(seen.values(name), [value]);
    }
    assert_eq!(seen.values("anthropic-version"), ["2099-12-31"]);
    assert_eq!(seen.values("content-type"), ["application/json"]);
}

#[tokio::test]
async fn a_missing_anthropic_version_is_not_invented() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    proxy.send(&Request::unary().without("anthropic-version")).await.assert_served();
    assert_eq!(upstream.only().header("anthropic-version"), None);
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_request_stay_here() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    let body = messages::ask(messages::MODEL, false);
    let text = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, X-Secret-Hop\r\nKeep-Alive: timeout=5\r\nX-Secret-Hop: 1\r\nProxy-Authorization: Basic abc\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Kept: 1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(proxy.address, [text.as_bytes(), &body].concat()).await.expect("an answer").assert_served();
    let seen = upstream.only();
    for name in ["x-secret-hop", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade"] {
        assert_eq!(seen.values(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(seen.values("x-kept"), ["1"]);
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_answer_stay_here() {
    let reply = Reply::json(200, messages::answer("x"))
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=99")
        .header("proxy-authenticate", "Basic")
        .header("x-kept", "1");
    let upstream = Upstream::always(reply).await;
    let proxy = one_endpoint(&upstream, "").await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let answer = client.send(&Request::unary()).await;
        answer.assert_served();
        for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
            assert_eq!(answer.values(name), Vec::<&str>::new(), "{name}");
        }
        assert_eq!(answer.values("x-kept"), ["1"]);
    }
}

#[tokio::test]
async fn headers_of_the_answer_go_through() {
    let fields = [
        ("request-id", "req_011"),
        ("anthropic-ratelimit-unified-status", "allowed"),
        ("anthropic-ratelimit-tokens-remaining", "12"),
        ("anthropic-organization-id", "org"),
        ("cf-ray", "abc-FRA"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-never-heard-of", "yes"),
    ];
    let reply = |reply: Reply| fields.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
    let (unary, stream) =
        (reply(Reply::json(200, messages::answer("x"))), reply(Reply::sse(messages::stream_events("x"))));
    let upstream = Upstream::start(move |seen| if seen.wants_stream() { stream.clone() } else { unary.clone() }).await;
    let proxy = one_endpoint(&upstream, "").await;
    for request in [Request::unary(), Request::stream()] {
        let answer = proxy.send(&request).await;
        for (name, value) in fields {
            assert!(answer.assert_served().values(name).contains(&value), "{name}: {:?}", answer.headers);
        }
        assert_eq!(answer.values("set-cookie"), ["a=1", "b=2"]);
    }
}

#[tokio::test]
async fn the_answer_says_who_served_it() {
    let (dead, good) = (Upstream::always(Reply::error(500, "api_error", "x")).await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([dead.url(), good.url()])])).await;
    let answer = proxy.send(&Request::unary()).await;
    assert_eq!((answer.endpoint(), answer.header("qcc-profile")), ("b", Some("production")));
    assert_eq!(answer.header("qcc-attempts"), Some("2"));
}

/// What credential headers reach an upstream with this kind of `auth`.
async fn credentials(auth: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, auth).await;
    let request =
        Request::unary().header("authorization", "Bearer sk-of-the-client").header("qcc-token", "sk-of-the-client");
    proxy.send(&request).await.assert_served();
    let seen = upstream.only();
    let of = |name| seen.values(name).into_iter().map(str::to_owned).collect();
    assert_eq!(seen.values("qcc-token"), Vec::<&str>::new());
    let everything =
        seen.headers.iter().filter(|(_, value)| value.contains("of-the-client") || value.contains("managed"));
    (of("x-api-key"), of("authorization"), everything.map(|(name, _)| name.clone()).collect())
}

#[tokio::test]
async fn an_x_api_key_endpoint_gets_its_own_key_in_that_header_alone() {
    assert_eq!(credentials("").await, (vec![key("a")], vec![], vec![]));
}

#[tokio::test]
async fn a_bearer_endpoint_gets_its_own_key_in_that_header_alone() {
    assert_eq!(credentials("auth: bearer").await, (vec![], vec![format!("Bearer {}", key("a"))], vec![]));
}

#[tokio::test]
async fn each_endpoint_gets_its_own_key_when_a_request_moves_on() {
    let (first, second) = (Upstream::always(Reply::error(500, "api_error", "x")).await, Upstream::serving().await);
    let endpoints = [endpoint("a", &first.url(), ""), endpoint("b", &second.url(), "auth: bearer")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    proxy.send(&Request::unary()).await.assert_served();
    let (first, second) = (first.only(), second.only());
    assert_eq!((first.values("x-api-key"), first.header("authorization")), (vec![key("a").as_str()], None));
    let bearer = format!("Bearer {}", key("b"));
    assert_eq!((second.header("x-api-key"), second.values("authorization")), (None, vec![bearer.as_str()]));
}

#[tokio::test]
async fn a_passthrough_endpoint_gets_the_clients_own_credential() {
    let upstream = Upstream::serving().await;
    let endpoints = [format!("      - {{ id: a, base_url: \"{}\", auth: passthrough }}\n", upstream.url())];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
    let request = Request::unary().without("x-api-key").header("authorization", "Bearer sk-of-the-client");
    proxy.send(&request).await.assert_served();
    let seen = upstream.only();
    assert_eq!((seen.values("authorization"), seen.header("x-api-key")), (vec!["Bearer sk-of-the-client"], None));
}

#[tokio::test]
async fn configured_headers_replace_the_clients() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "headers: { X-Team: blue, anthropic-version: '2020-01-01' }").await;
    proxy.send(&Request::unary().header("x-team", "red")).await.assert_served();
    let seen = upstream.only();
    assert_eq!((seen.values("x-team"), seen.values("anthropic-version")), (vec!["blue"], vec!["2020-01-01"]));
}

#[tokio::test]
async fn the_host_header_names_the_upstream() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    proxy.send(&Request::unary()).await.assert_served();
    assert_eq!(upstream.only().values("host"), [upstream.url().trim_start_matches("http://")]);
}

#[tokio::test]
async fn query_and_path_go_through_behind_any_prefix() {
    for (suffix, prefix) in
        [("", ""), ("/", ""), ("/api/anthropic", "/api/anthropic"), ("/api/anthropic/", "/api/anthropic")]
    {
        let upstream = Upstream::serving().await;
        let endpoints = [endpoint("a", &format!("{}{suffix}", upstream.url()), "")];
        let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
        for target in [
            "/v1/messages?beta=true",
            "/v1/messages?beta=true&x=%20a%2Fb+c&x=&",
            "/v1/messages?",
            "/v1/models?limit=1000",
        ] {
            let request =
                if target.contains("models") { Request::new("GET", target) } else { Request::unary().target(target) };
            proxy.send(&request).await.assert_served();
            let seen = upstream.requests().pop().expect("it was just answered").target;
            // An empty query is the same address with or without its question mark.
            assert_eq!(seen.trim_end_matches('?'), format!("{prefix}{target}").trim_end_matches('?'));
        }
    }
}

#[tokio::test]
async fn a_base_url_that_ends_in_v1_does_not_say_it_twice() {
    for suffix in ["/v1", "/v1/", "/v1/messages"] {
        let upstream = Upstream::serving().await;
        let endpoints = [endpoint("a", &format!("{}{suffix}", upstream.url()), "")];
        let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
        proxy.send(&Request::unary()).await.assert_served();
        assert_eq!(upstream.only().target, "/v1/messages?beta=true", "base_url ends in {suffix}");
    }
}

#[tokio::test]
async fn other_paths_are_forwarded_to_the_active_profile() {
    let upstream = Upstream::serving().await;
    let proxy = one_endpoint(&upstream, "").await;
    let count = Request::unary().target("/v1/messages/count_tokens?beta=true");
    assert_eq!(proxy.send(&count).await.assert_served().text(), r#"{"input_tokens":12}"#);
    proxy.send(&Request::new("GET", "/v1/models/claude?x=1")).await.assert_served();
    let seen = upstream.requests();
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("POST", "/v1/messages/count_tokens?beta=true"));
    assert_eq!((seen[1].method.as_str(), seen[1].target.as_str()), ("GET", "/v1/models/claude?x=1"));
    assert_eq!(seen[1].values("x-api-key"), [key("a")]);
}

#[tokio::test]
async fn answers_that_have_no_body_end_at_their_head() {
    let answer = |status: &str| Reply::raw(format!("HTTP/1.1 {status}\r\ncontent-length: 40\r\nx-kept: 1\r\n\r\n"));
    let (head, empty) = (answer("200 OK"), Reply::raw("HTTP/1.1 204 No Content\r\nx-kept: 1\r\n\r\n"));
    let upstream = Upstream::start(move |seen| if seen.method == "HEAD" { head.clone() } else { empty.clone() }).await;
    let proxy = one_endpoint(&upstream, "").await;
    for (method, status) in [("HEAD", 200), ("DELETE", 204)] {
        let answer = proxy.send(&Request::new(method, "/v1/files/1")).await;
        assert_eq!((answer.status, answer.header("x-kept"), answer.body.len()), (status, Some("1"), 0), "{answer:?}");
    }
}

#[tokio::test]
async fn failures_of_other_paths_are_handed_on_and_hurt_no_endpoint() {
    let upstream = Upstream::start(|seen| match seen.path() {
        "/v1/messages" => Reply::served(seen),
        _ => Reply::error(501, "api_error", "not here"),
    })
    .await;
    let other = Upstream::serving().await;
    let yaml =
        crate::support::config::with("failover: { failure_threshold: 1 }", &[in_order([upstream.url(), other.url()])]);
    let proxy = Proxy::start(&yaml).await;
    for _ in 0..4 {
        let answer = proxy.send(&Request::unary().target("/v1/messages/count_tokens")).await;
        assert_eq!((answer.status, answer.body), (501, messages::error("api_error", "not here")));
    }
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let target = Upstream::serving().await;
    let reply = Reply::json(307, "{}").header("location", &format!("{}/v1/messages", target.url()));
    let upstream = Upstream::always(reply).await;
    let proxy = one_endpoint(&upstream, "").await;
    assert_ne!(proxy.send(&Request::unary()).await.status, 200);
    assert_eq!(target.count(), 0);
}
