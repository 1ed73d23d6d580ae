//! The model map: one value is replaced in place, every other byte stays.

use crate::support::config::endpoint;
use crate::support::{Proxy, Reply, Request, Upstream, file, profile, sha256};

const MAP: &str = "models: { \"claude-haiku-*\": air, \"claude-*\": \"glm-5.1\", claude-exact: 'a/b:c' }";

/// What the upstream gets for `body`.
async fn spliced(body: &str) -> String {
    let upstream = Upstream::serving().await;
    let endpoints = [endpoint("a", &upstream.url(), MAP)];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary", &endpoints)])).await;
    proxy.send(&Request::messages(body.to_owned())).await.assert_served();
    let seen = upstream.only();
    assert_eq!(seen.values("content-length"), [seen.body.len().to_string()]);
    String::from_utf8(seen.body.to_vec()).expect("it was text")
}

#[tokio::test]
async fn the_model_is_replaced_and_every_other_byte_stays() {
    for (before, after) in [
        (r#"{"model":"claude-opus-4-1","max_tokens":1}"#, r#"{"model":"glm-5.1","max_tokens":1}"#),
        (
            "{ \"max_tokens\" : 1e0,\r\n\t\"model\" :  \"claude-haiku-4-5\" }\n ",
            "{ \"max_tokens\" : 1e0,\r\n\t\"model\" :  \"air\" }\n ",
        ),
        (r#"{"model":"claude-exact"}"#, r#"{"model":"a/b:c"}"#),
        // The same name, written with escapes.
        (r#"{"model":"cl\u0061ude-opus\u002d4"}"#, r#"{"model":"glm-5.1"}"#),
        (r#"{"mod\u0065l":"claude-opus-4"}"#, r#"{"mod\u0065l":"glm-5.1"}"#),
    ] {
        assert_eq!(spliced(before).await, after);
    }
}

#[tokio::test]
async fn models_named_deeper_in_the_body_are_left_alone() {
    let rest = r#""tools":[{"name":"x","input_schema":{"model":"claude-opus-4","properties":{"model":{"type":"string"}}}}],"system":"\"model\":\"claude-opus-4\"","messages":[{"role":"user","content":[{"type":"text","text":"{\"model\":\"claude-opus-4\"} \\"},{"model":"claude-opus-4"}]}],"a":[["]}",{"b":"\\\""}]]"#;
    for (before, after) in [
        (format!(r#"{{{rest},"model":"claude-opus-4"}}"#), format!(r#"{{{rest},"model":"glm-5.1"}}"#)),
        (format!(r#"{{"model":"claude-opus-4",{rest}}}"#), format!(r#"{{"model":"glm-5.1",{rest}}}"#)),
    ] {
        assert_eq!(spliced(&before).await, after);
    }
}

#[tokio::test]
async fn unknown_models_and_bodies_without_one_are_unchanged() {
    for body in [
        r#"{"model":"gpt-oss"}"#,
        r#"{"max_tokens":1}"#,
        r#"{"model":7}"#,
        r#"{"model":null,"x":{}}"#,
        "not json \u{e9}",
    ] {
        assert_eq!(spliced(body).await, body);
    }
}

#[tokio::test]
async fn each_endpoint_gets_the_model_under_its_own_name() {
    let first = Upstream::always(Reply::error(500, "api_error", "x")).await;
    let second = Upstream::always(Reply::error(529, "overloaded_error", "x")).await;
    let third = Upstream::serving().await;
    let endpoints = [
        endpoint("a", &first.url(), MAP),
        endpoint("b", &second.url(), "models: { claude-opus-4: x-very-much-longer-name-than-before }"),
        endpoint("c", &third.url(), ""),
    ];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    let body = r#"{"model":"claude-opus-4", "max_tokens":9}"#;
    proxy.send(&Request::messages(body)).await.assert_served();
    assert_eq!(first.only().body, r#"{"model":"glm-5.1", "max_tokens":9}"#);
    assert_eq!(second.only().body, r#"{"model":"x-very-much-longer-name-than-before", "max_tokens":9}"#);
    assert_eq!(third.only().sha256(), sha256(body.as_bytes()));
}
