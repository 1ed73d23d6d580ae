//! Each way an endpoint can fail, and what it costs: the client sees the next endpoint's answer and nothing else.

use std::time::Duration;

use crate::support::config::{endpoint, in_order, production, with};
use crate::support::{End, Framing, Proxy, Refused, Reply, Request, Upstream, file, messages, profile};

/// What an endpoint's failure does to the requests after it, at a threshold of 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It counts: one more call, then no more.
    EjectedAtTheThreshold,
    /// It is not asked again.
    OutAtOnce,
    /// It counts nothing: it is asked every time.
    AskedAgain,
}

const THRESHOLD: &str = "failover: { failure_threshold: 2, auto_recovery: false }";

/// The first endpoint answers with `reply`; the client must see only the second one's answer, four times.
async fn assert_replaced(reply: Reply, request: Request, then: Then) {
    let (bad, good) = (Upstream::always(reply).await, Upstream::serving().await);
    let urls = [bad.url(), good.url()];
    let patience = "timeouts: { first_byte: 300ms, first_byte_unary: 300ms }";
    let proxy = Proxy::start(&with(THRESHOLD, &[production("strategy: priority", patience, urls)])).await;
    for round in 1..=4 {
        let answer = proxy.send(&request).await;
        assert_eq!(answer.assert_served().endpoint(), "b", "round {round}");
        assert!(answer.text().contains("hello"), "{}", answer.text());
        assert_eq!(good.count(), round, "calls of the good endpoint");
        let expected = match then {
            Then::EjectedAtTheThreshold => round.min(2),
            Then::OutAtOnce => 1,
            Then::AskedAgain => round,
        };
        assert_eq!(bad.count(), expected, "calls of the failing endpoint in round {round}");
    }
}

async fn assert_both_replaced(reply: Reply, then: Then) {
    assert_replaced(reply.clone(), Request::unary(), then).await;
    assert_replaced(reply, Request::stream(), then).await;
}

macro_rules! replaced {
    ($($name:ident: $reply:expr, $then:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                assert_both_replaced($reply, Then::$then).await;
            }
        )*
    };
}

replaced! {
    a_500_goes_to_the_next_endpoint: Reply::error(500, "api_error", "x"), EjectedAtTheThreshold;
    a_502_without_a_body_goes_to_the_next_endpoint: Reply::new(502, "text/plain", ""), EjectedAtTheThreshold;
    a_504_goes_to_the_next_endpoint: Reply::error(504, "timeout_error", "x"), EjectedAtTheThreshold;
    a_529_goes_to_the_next_endpoint: Reply::error(529, "overloaded_error", "x"), EjectedAtTheThreshold;
    a_408_goes_to_the_next_endpoint: Reply::json(408, "{}"), EjectedAtTheThreshold;
    a_503_goes_to_the_next_endpoint: Reply::error(503, "api_error", "x"), EjectedAtTheThreshold;
    a_503_with_retry_after_is_left_alone_that_long: Reply::error(503, "api_error", "x").header("retry-after", "30"), OutAtOnce;
    a_429_rests_the_endpoint: Reply::error(429, "rate_limit_error", "x"), OutAtOnce;
    a_429_with_retry_after_rests_the_endpoint: Reply::error(429, "rate_limit_error", "x").header("retry-after", "7"), OutAtOnce;
    a_401_means_a_dead_key: Reply::error(401, "authentication_error", "invalid x-api-key"), OutAtOnce;
    a_403_means_a_dead_key: Reply::error(403, "permission_error", "not allowed"), OutAtOnce;
    a_402_means_a_dead_key: Reply::error(402, "billing_error", "pay"), OutAtOnce;
    a_low_credit_balance_means_a_dead_key:
        Reply::error(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."), OutAtOnce;
    a_403_page_of_a_firewall_is_a_failure_not_a_dead_key:
        Reply::new(403, "text/html", "<html><body>Attention Required!</body></html>"), EjectedAtTheThreshold;
    a_404_that_names_the_model_is_for_that_model_alone:
        Reply::error(404, "not_found_error", "model: claude-sonnet-4-5"), OutAtOnce;
    a_409_counts_nothing: Reply::error(409, "conflict_error", "x"), AskedAgain;
    an_html_page_is_not_an_answer: Reply::new(200, "text/html", "<html>maintenance</html>"), EjectedAtTheThreshold;
    an_error_inside_a_200_is_not_an_answer: Reply::json(200, messages::error("api_error", "x")), EjectedAtTheThreshold;
    a_foreign_error_inside_a_200_is_not_an_answer:
        Reply::json(200, r#"{"error":{"code":"E7","message":"network trouble"}}"#), EjectedAtTheThreshold;
    a_foreign_rate_limit_inside_a_200_is_known_by_its_words:
        Reply::json(200, r#"{"error":{"code":"1302","message":"too many"}}"#), OutAtOnce;
    garbage_is_not_an_answer: Reply::raw("\u{0}\u{1}\u{2} what is this\r\n\r\n"), EjectedAtTheThreshold;
    an_end_before_the_head_is_a_failure: Reply::raw("HTTP/1.1 200 OK\r\ncontent-ty").end(End::Eof), EjectedAtTheThreshold;
    a_reset_before_the_head_is_a_failure: Reply::raw("").end(End::Reset), EjectedAtTheThreshold;
    an_endless_head_is_a_failure: Reply::json(200, "{}").header("x-long", &"a".repeat(200_000)), EjectedAtTheThreshold;
    a_head_of_a_thousand_fields_is_a_failure:
        (0..1000).fold(Reply::json(200, "{}"), |reply, n| reply.header(&format!("x-{n}"), "1")), EjectedAtTheThreshold;
    endless_interim_answers_are_a_failure:
        Reply::json(200, "{}").preceded_by("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200)), EjectedAtTheThreshold;
    silence_is_a_failure_after_first_byte: Reply::hang(), EjectedAtTheThreshold;
    a_500_in_chunks_goes_to_the_next_endpoint:
        Reply::error(500, "api_error", "x").framing(Framing::Chunked), EjectedAtTheThreshold;
    a_500_cut_in_its_body_goes_to_the_next_endpoint:
        Reply::error(500, "api_error", "x").end(End::Reset), EjectedAtTheThreshold;
    a_redirect_goes_to_the_next_endpoint:
        Reply::json(302, "{}").header("location", "http://127.0.0.1:1/"), EjectedAtTheThreshold;
}

macro_rules! stream_replaced {
    ($($name:ident: $reply:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                assert_replaced($reply, Request::stream(), Then::EjectedAtTheThreshold).await;
            }
        )*
    };
}

stream_replaced! {
    a_stream_that_begins_with_an_error_is_not_an_answer:
        Reply::sse([messages::error_event("overloaded_error")]);
    a_stream_with_an_error_after_its_start_is_not_an_answer:
        Reply::sse([messages::start(), messages::ping(), messages::error_event("api_error")]);
    a_stream_with_an_error_event_named_only_in_its_data_is_not_an_answer:
        Reply::sse([r#"data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}"#.to_owned() + "\n\n"]);
    an_empty_stream_is_not_an_answer: Reply::sse(Vec::<String>::new());
    a_stream_that_ends_before_its_content_is_not_an_answer: Reply::sse([messages::start(), messages::ping()]);
    a_stream_that_is_cut_before_its_content_is_not_an_answer:
        Reply::sse([messages::start()]).end(End::Reset);
    a_stream_without_framing_that_ends_before_its_content_is_not_an_answer:
        Reply::sse([messages::start()]).framing(Framing::UntilClose);
    a_stream_of_html_is_not_an_answer: Reply::sse(["<html>gateway</html>"]);
    a_stream_that_falls_silent_after_its_head_is_not_an_answer: Reply::sse([": wait\n\n"]).end(End::Hang);
}

#[tokio::test]
async fn a_refused_connection_goes_to_the_next_endpoint() {
    let (dead, good) = (Refused::new(), Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([dead.url(), good.url()])])).await;
    for request in [Request::unary(), Request::stream()] {
        let answer = proxy.send(&request).await;
        assert_eq!((answer.assert_served().endpoint(), answer.header("qcc-attempts")), ("b", Some("2")));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_goes_to_the_next_endpoint() {
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order(["https://nowhere.invalid".to_owned(), good.url()])])).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_goes_to_the_next_endpoint() {
    let (plain, good) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([plain.url().replace("http", "https"), good.url()])])).await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
}

#[tokio::test]
async fn a_short_interim_answer_is_no_answer_and_no_failure() {
    let reply = |text: &str| Reply::json(200, messages::answer("hello")).preceded_by(text.to_owned());
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"] {
        let upstream = Upstream::always(reply(interim)).await;
        let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
        assert!(proxy.send(&Request::unary()).await.assert_served().text().contains("hello"), "{interim}");
    }
}

/// A client's own fault: handed on untouched, asked once, never counted.
async fn assert_handed_on(status: u16, body: &'static str) {
    let reply = Reply::json(status, body).header("request-id", "req_1").header("x-should-retry", "false");
    let (first, second) = (Upstream::always(reply).await, Upstream::serving().await);
    let one = "failover: { failure_threshold: 1 }";
    let proxy = Proxy::start(&with(one, &[in_order([first.url(), second.url()])])).await;
    for (round, request) in [(1, Request::unary()), (2, Request::stream()), (3, Request::unary())] {
        let answer = proxy.send(&request).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        assert_eq!((answer.header("request-id"), answer.header("x-should-retry")), (Some("req_1"), Some("false")));
        assert_eq!((answer.header("qcc-error"), answer.endpoint()), (None, "a"));
        assert_eq!((first.count(), second.count()), (round, 0));
    }
}

#[tokio::test]
async fn faults_of_the_client_are_handed_on_and_hurt_nobody() {
    for (status, body) in [
        (400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#),
        (404, r#"{"type":"error","error":{"type":"not_found_error","message":"Not found"}}"#),
        (405, r#"{"detail":"Method Not Allowed"}"#),
        (413, r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#),
        (415, "{}"),
        (422, r#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#),
    ] {
        assert_handed_on(status, body).await;
    }
}

#[tokio::test]
async fn a_dead_model_leaves_the_other_models_of_the_endpoint_alone() {
    let picky = Upstream::start(|seen| match memchr::memmem::find(&seen.body, b"claude-opus-9") {
        Some(_) => Reply::error(404, "not_found_error", "model: claude-opus-9"),
        None => Reply::served(seen),
    })
    .await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([picky.url(), good.url()])])).await;
    let unknown = Request::messages(messages::ask("claude-opus-9", false));
    for _ in 0..3 {
        assert_eq!(proxy.send(&unknown).await.assert_served().endpoint(), "b");
        assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    }
    assert_eq!(picky.count(), 4, "the unknown model was asked for once");
}

#[tokio::test]
async fn a_429_rests_that_key_and_no_other() {
    let upstream = Upstream::start(|seen| match seen.header("x-api-key") {
        Some(key) if key.ends_with("-a") => Reply::error(429, "rate_limit_error", "x").header("retry-after", "20"),
        _ => Reply::served(seen),
    })
    .await;
    let same_key = endpoint("again", &upstream.url(), "");
    let endpoints = [endpoint("a", &upstream.url(), ""), same_key, endpoint("b", &upstream.url(), "")];
    let proxy = Proxy::start(&file(&[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    for _ in 0..3 {
        assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    }
    let with_first_key =
        upstream.requests().iter().filter(|seen| seen.header("x-api-key") == Some("sk-canary-a")).count();
    assert_eq!(with_first_key, 1, "the key's rest is known to every endpoint that uses it");
}

#[tokio::test]
async fn a_429_for_one_model_leaves_the_keys_other_models_alone() {
    let picky = Upstream::start(|seen| match memchr::memmem::find(&seen.body, b"claude-opus-4") {
        Some(_) => Reply::error(429, "rate_limit_error", "x").header("retry-after", "20"),
        None => Reply::served(seen),
    })
    .await;
    let good = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([picky.url(), good.url()])])).await;
    assert_eq!(
        proxy.send(&Request::messages(messages::ask("claude-opus-4", false))).await.assert_served().endpoint(),
        "b"
    );
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
}

#[tokio::test]
async fn a_rejected_subscription_rests_the_whole_key() {
    let reset = std::time::SystemTime::now() + Duration::from_mins(10);
    let reset = reset.duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970").as_secs();
    let reply = Reply::error(429, "rate_limit_error", "x")
        .header("anthropic-ratelimit-unified-status", "rejected")
        .header("anthropic-ratelimit-unified-reset", &reset.to_string());
    let (spent, good) = (Upstream::always(reply).await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([spent.url(), good.url()])])).await;
    for model in [messages::MODEL, "claude-opus-4", "claude-haiku-4-5"] {
        let request = Request::messages(messages::ask(model, false));
        assert_eq!(proxy.send(&request).await.assert_served().endpoint(), "b");
    }
    assert_eq!(spent.count(), 1);
}

#[tokio::test]
async fn a_legal_answer_without_content_is_an_answer() {
    let events = [messages::start(), messages::message_delta(), messages::message_stop()];
    let first = Upstream::always(Reply::sse(events.clone())).await;
    let second = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([first.url(), second.url()])])).await;
    let answer = proxy.send(&Request::stream()).await;
    assert_eq!((answer.assert_served().endpoint(), &answer.body[..]), ("a", &events.concat()[..]));
    assert_eq!(second.count(), 0);
}
