//! Simulated endpoints over real sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{Behaviour, SimulatedEndpoint, Simulator};

/// Two endpoints that answer without pauses.
async fn simulator() -> Simulator {
    let endpoint = |id: &str| SimulatedEndpoint { id: id.to_owned(), port: 0, pace: Duration::ZERO };
    Simulator::start(vec![endpoint("work"), endpoint("glm")]).await.expect("loopback has free ports")
}

/// What came back.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// Whether the body came to its end.
    complete: bool,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Names and data of the events.
    fn events(&self) -> Vec<(String, Value)> {
        let event = |text: &str| {
            let (name, data) = text.split_once('\n').expect("two lines");
            let data = data.strip_prefix("data: ").expect("a data line");
            (name.strip_prefix("event: ").expect("a name").to_owned(), serde_json::from_str(data).expect("JSON"))
        };
        self.body.trim_end().split("\n\n").map(event).collect()
    }
}

async fn send(simulator: &Simulator, id: &str, method: Method, path: &str, key: bool, body: &Value) -> Option<Got> {
    // A client of its own: no connection survives from the request before.
    let client = Client::builder(TokioExecutor::new()).build_http();
    let address = simulator.address(id).expect("started");
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    if key {
        request = request.header("x-api-key", "any");
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = client.request(request.body(Full::new(Bytes::from(body))).expect("a legal request")).await.ok()?;
    let (parts, mut body) = response.into_parts();
    let mut got = Got { status: parts.status, headers: parts.headers, body: String::new(), complete: true };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.body.push_str(&String::from_utf8_lossy(frame.data_ref().expect("data"))),
            Err(_) => got.complete = false,
        }
    }
    Some(got)
}

async fn ask(simulator: &Simulator, id: &str, stream: bool) -> Option<Got> {
    let body = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 1000, "stream": stream,
        "messages": [{ "role": "user", "content": "good morning" }],
    });
    send(simulator, id, Method::POST, "/v1/messages?beta=true", true, &body).await
}

#[tokio::test]
async fn a_stream_has_the_events_of_the_real_api_in_its_order() {
    let simulator = simulator().await;
    let got = ask(&simulator, "glm", true).await.expect("an answer");
    assert_eq!((got.status, got.complete), (StatusCode::OK, true));
    assert_eq!(got.headers["content-type"], "text/event-stream; charset=utf-8");
    assert!(got.headers.contains_key("request-id") && got.headers.contains_key("anthropic-ratelimit-requests-limit"));
    let events = got.events();
    let mut names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let order = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, order);
    assert!(events.iter().all(|(name, data)| data["type"] == **name));
    let text: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert!(text.contains("`glm`") && text.contains("good morning"), "{text}");
    assert!(events[0].1["message"]["usage"]["input_tokens"].is_u64());
    let end = &events[events.len() - 2].1;
    assert!(end["usage"]["output_tokens"].is_u64() && end["delta"]["stop_reason"] == "end_turn");
}

#[tokio::test]
async fn the_other_paths_answer_like_the_api() {
    let simulator = simulator().await;
    let got = ask(&simulator, "work", false).await.expect("an answer").json();
    assert_eq!(
        (&got["type"], &got["role"], &got["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("end_turn"))
    );
    assert!(got["content"][0]["text"].as_str().is_some_and(|text| text.contains("`work`")));
    let got =
        send(&simulator, "work", Method::POST, "/v1/messages/count_tokens", true, &json!({})).await.expect("an answer");
    assert!(got.json()["input_tokens"].is_u64());
    let got =
        send(&simulator, "work", Method::GET, "/v1/models?limit=1000", true, &Value::Null).await.expect("an answer");
    assert_eq!(got.json()["data"][0]["type"], "model");
    for (method, path, key, body, status, kind) in [
        (Method::GET, "/v1/models", false, Value::Null, 401, "authentication_error"),
        (Method::GET, "/v1/other", true, Value::Null, 404, "not_found_error"),
        (Method::POST, "/v1/messages", true, json!({ "model": "x" }), 400, "invalid_request_error"),
    ] {
        let got = send(&simulator, "work", method, path, key, &body).await.expect("an answer");
        assert_eq!((got.status.as_u16(), &got.json()["error"]["type"]), (status, &json!(kind)));
        assert_eq!(got.json()["request_id"], got.headers["request-id"].to_str().expect("text"));
    }
}

#[tokio::test]
async fn errors_have_the_status_and_shape_of_the_api() {
    let simulator = simulator().await;
    for (behaviour, status, kind) in [
        (Behaviour::Overloaded, 529, "overloaded_error"),
        (Behaviour::RateLimited, 429, "rate_limit_error"),
        (Behaviour::ServerError, 500, "api_error"),
        (Behaviour::BadKey, 401, "authentication_error"),
    ] {
        assert!(simulator.behave("work", behaviour).await);
        let got = ask(&simulator, "work", true).await.expect("an answer");
        assert_eq!((got.status.as_u16(), &got.json()["error"]["type"]), (status, &json!(kind)));
        assert_eq!(got.headers.contains_key("retry-after"), behaviour == Behaviour::RateLimited);
        assert_eq!(ask(&simulator, "glm", true).await.expect("an answer").status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_error_can_be_the_first_event_of_a_200() {
    let simulator = simulator().await;
    simulator.behave("work", Behaviour::ErrorFirst).await;
    let got = ask(&simulator, "work", true).await.expect("an answer");
    let events = got.events();
    assert_eq!((got.status, events.len(), events[0].0.as_str()), (StatusCode::OK, 1, "error"));
    assert_eq!(events[0].1["error"]["type"], "overloaded_error");
    assert_eq!(ask(&simulator, "work", false).await.expect("an answer").json()["type"], "error");
}

#[tokio::test]
async fn a_cut_answer_begins_and_does_not_end() {
    let simulator = simulator().await;
    simulator.behave("work", Behaviour::Cut).await;
    let got = ask(&simulator, "work", true).await.expect("a head");
    assert!(got.status == StatusCode::OK && !got.complete);
    assert!(got.body.contains("content_block_delta") && !got.body.contains("content_block_stop"));
    let got = ask(&simulator, "work", false).await.expect("a head");
    assert!(got.status == StatusCode::OK && !got.complete && !got.body.is_empty());
}

#[tokio::test]
async fn hanging_says_nothing_and_slow_answers_late() {
    let simulator = simulator().await;
    simulator.behave("work", Behaviour::Hang).await;
    // The answer would come within milliseconds; real time, because a paused clock would run the server's too.
    assert!(tokio::time::timeout(Duration::from_millis(300), ask(&simulator, "work", true)).await.is_err());
    simulator.behave("work", Behaviour::Slow).await;
    let asked = tokio::time::Instant::now();
    tokio::time::pause();
    assert!(ask(&simulator, "work", true).await.expect("an answer").complete);
    assert!(asked.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_refusing_endpoint_is_revived_through_another_one() {
    let simulator = simulator().await;
    let state = |got: Got| got.json();
    let got = send(&simulator, "work", Method::POST, "/simulate/refuse", false, &Value::Null).await.expect("an answer");
    assert_eq!(state(got), json!({ "endpoint": "work", "behaviour": "refuse" }));
    assert!(ask(&simulator, "work", true).await.is_none());
    let got = send(&simulator, "glm", Method::GET, "/simulate", false, &Value::Null).await.expect("an answer");
    assert_eq!((&got.json()[0]["behaviour"], &got.json()[1]["behaviour"]), (&json!("refuse"), &json!("healthy")));
    let got =
        send(&simulator, "glm", Method::POST, "/simulate/work/healthy", false, &Value::Null).await.expect("an answer");
    assert_eq!(got.status, StatusCode::OK);
    assert!(ask(&simulator, "work", true).await.expect("an answer").complete);
}

#[tokio::test]
async fn a_wrong_control_path_says_what_there_is() {
    let simulator = simulator().await;
    for (path, says) in
        [("/simulate/on_fire", "overloaded"), ("/simulate/nobody/cut", "nobody"), ("/simulate", "BEHAVIOUR")]
    {
        let got = send(&simulator, "work", Method::POST, path, false, &Value::Null).await.expect("an answer");
        assert!(got.status == StatusCode::BAD_REQUEST && got.body.contains(says), "{}", got.body);
    }
    assert_eq!(simulator.behaviour("work"), Some(Behaviour::Healthy));
    assert!(!simulator.behave("nobody", Behaviour::Cut).await);
}

#[tokio::test]
async fn http2_works_and_everything_ends_with_the_simulator() {
    let simulator = simulator().await;
    let address = simulator.address("work").expect("started");
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::builder().uri(format!("http://{address}/v1/models")).header("authorization", "Bearer any");
    let request = request.body(Full::<Bytes>::default()).expect("a legal request");
    assert_eq!(client.request(request).await.expect("an answer").version(), http::Version::HTTP_2);
    drop(simulator);
    // Aborted tasks end when the runtime next runs them.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let simulator = simulator().await;
    let port = simulator.address("work").expect("started").port();
    let again = vec![SimulatedEndpoint { id: "again".to_owned(), port, pace: Duration::ZERO }];
    let error = Simulator::start(again).await.expect_err("the port is taken");
    assert!(
        error.to_string().starts_with(&format!("the simulated endpoint `again` cannot listen on 127.0.0.1:{port}"))
    );
}
