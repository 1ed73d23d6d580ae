//! Reads an upstream's answer into an [`Outcome`]: the table of outcomes as one function.
//!
//! Statuses alone do not tell: providers report an empty account as 400, a firewall's page as 403, an overload inside a
//! 200. So the status decides the row, and the body (see [`super::fault`]) may move it.
//!
//! Invariants:
//! - a fault of the client is never held against the endpoint, a fault of the endpoint never handed to the client as
//!   the last word while others can answer;
//! - classification never fails: what is not understood is a failure of the endpoint (2xx, 3xx, 5xx) or of the client
//!   (other 4xx).

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};

use super::fault::{Fault, is_page, may_be_error};
use super::outcome::{Outcome, RateLimit};
use super::rate;

/// The part of an upstream's answer that is looked at before it goes downstream.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The beginning of its body, decoded, up to 64 KiB. May be empty for a stream.
    pub body: &'a [u8],
    /// The model asked of the upstream, under the upstream's name for it.
    pub model: Option<&'a str>,
    /// The wall clock, for waits announced as a point of time.
    pub now_epoch: SystemTime,
}

/// The outcome of an attempt answered by `head`. A stream that begins well is a success so far.
pub fn classify(head: &Answer<'_>) -> Outcome {
    match head.status.as_u16() {
        200..=203 => within_success(head),
        429 => Outcome::Rate(rate::announced(head.headers, head.now_epoch)),
        408 | 500.. => server(head),
        // About the way to this endpoint, its state or its country; another one may well answer.
        407 | 409 | 421 | 423..=425 | 451 | 499 => Outcome::Conflict,
        413 => Outcome::Client,
        400..=499 if page(head) => server(head),
        400..=499 => refused(head, &Fault::read(head.body)),
        _ => Outcome::FAILED,
    }
}

/// The outcome that the JSON of an `event: error` stands for.
pub fn classify_event_error(data: &[u8]) -> Outcome {
    by_kind(&Fault::read(data), None).unwrap_or(Outcome::FAILED)
}

/// Whether a body says `overloaded_error`: such an answer makes the client give up early, whatever its status.
pub fn says_overloaded(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"overloaded_error").is_some()
}

/// A 2xx that may not be an answer: a page, an error object, garbage.
fn within_success(head: &Answer<'_>) -> Outcome {
    if is_of_type(head.headers, "text/event-stream") {
        return Outcome::Success;
    }
    if page(head) || head.body.trim_ascii_start().first() != Some(&b'{') {
        return server(head);
    }
    if !may_be_error(head.body) {
        return Outcome::Success;
    }
    let fault = Fault::read(head.body);
    if !fault.is_error {
        return Outcome::Success;
    }
    by_kind(&fault, head.model).unwrap_or_else(|| server(head))
}

/// A 4xx with a body that is not a page.
fn refused(head: &Answer<'_>, fault: &Fault) -> Outcome {
    match head.status.as_u16() {
        403 if fault.names_model(head.model) => Outcome::Model,
        401..=403 => Outcome::Auth,
        404 if fault.is_missing_model(head.model) => Outcome::Model,
        400 if fault.is_out_of_credit() => Outcome::Auth,
        400 | 422 => misplaced(fault, head).unwrap_or(Outcome::Client),
        _ => Outcome::Client,
    }
}

/// Errors of the endpoint that some providers report as a bad request.
fn misplaced(fault: &Fault, head: &Answer<'_>) -> Option<Outcome> {
    match fault.kind()? {
        "overloaded_error" => Some(server(head)),
        "rate_limit_error" => Some(Outcome::Rate(rate::announced(head.headers, head.now_epoch))),
        "authentication_error" | "billing_error" => Some(Outcome::Auth),
        _ => None,
    }
}

/// The outcome an error inside a 200 stands for, by the type (or the provider's code) it carries.
fn by_kind(fault: &Fault, model: Option<&str>) -> Option<Outcome> {
    if fault.is_out_of_credit() {
        return Some(Outcome::Auth);
    }
    match fault.kind()? {
        "rate_limit_error" => Some(Outcome::Rate(RateLimit::default())),
        "authentication_error" | "permission_error" | "billing_error" => Some(Outcome::Auth),
        "not_found_error" if fault.is_missing_model(model) => Some(Outcome::Model),
        "not_found_error" | "invalid_request_error" | "request_too_large" => Some(Outcome::Client),
        _ => None,
    }
}

fn server(head: &Answer<'_>) -> Outcome {
    Outcome::Server { retry_after: rate::retry_after(head.headers, head.now_epoch) }
}

fn page(head: &Answer<'_>) -> bool {
    is_of_type(head.headers, "text/html") || is_page(head.body)
}

/// Whether the `Content-Type` begins with this media type.
pub fn is_of_type(headers: &HeaderMap, media: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().trim_ascii());
    let begins = value.and_then(|value| value.get(..media.len()));
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(media.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SERVER: Outcome = Outcome::FAILED;
    const RATE: Outcome = Outcome::Rate(RateLimit { wait: None, whole_key: false });
    const PAGE: &str = "\n<!DOCTYPE html><html><title>Attention Required!</title>";
    const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

    fn outcome(status: u16, headers: &[(&'static str, &str)], body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status of three digits");
        let pairs = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).expect("a legal value"))
        });
        let headers = pairs.collect();
        let now_epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        classify(&Answer { status, headers: &headers, body: body.as_bytes(), model: Some("claude-opus-4"), now_epoch })
    }

    fn error(kind: &str, message: &str) -> String {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#)
    }

    #[test]
    fn every_row_of_the_table() {
        let rows: &[(u16, &str, Outcome)] = &[
            // Answers.
            (200, r#"{"type":"message","content":[],"error":null}"#, Outcome::Success),
            (200, r#" {"type":"message","content":[{"type":"text","text":"{\"error\":1}"}]"#, Outcome::Success),
            (200, r#"{"input_tokens":5}"#, Outcome::Success),
            (200, r#"{"type":"message","content":[{"type":"tool_use","input":{"detail":"x"}}]}"#, Outcome::Success),
            // Failures of the endpoint.
            (500, &error("api_error", "Internal server error"), SERVER),
            (502, PAGE, SERVER),
            (503, "", SERVER),
            (504, &error("timeout_error", "slow"), SERVER),
            (520, "", SERVER),
            (529, OVERLOADED, SERVER),
            (408, "", SERVER),
            (403, PAGE, SERVER),
            (400, "<html><center>nginx</center></html>", SERVER),
            (404, PAGE, SERVER),
            (401, PAGE, SERVER),
            (200, PAGE, SERVER),
            (200, "", SERVER),
            (200, "hello", SERVER),
            (200, "[1]", SERVER),
            (200, OVERLOADED, SERVER),
            (200, r#"{"error":{"message":"upstream timed out"}}"#, SERVER),
            (200, r#"{"error":"boom"}"#, SERVER),
            (200, r#"{"detail":"upstream is gone"}"#, SERVER),
            (200, r#"{"code":500,"msg":"404 NOT_FOUND","success":false}"#, SERVER),
            (204, "", SERVER),
            (206, r#"{"type":"message"}"#, SERVER),
            (101, "", SERVER),
            (301, "", SERVER),
            (304, "", SERVER),
            (307, r#"{"type":"message"}"#, SERVER),
            (400, OVERLOADED, SERVER),
            // Limits.
            (429, &error("rate_limit_error", "slow down"), RATE),
            (429, r#"{"error":{"code":"1302","message":"too many"}}"#, RATE),
            (429, PAGE, RATE),
            (200, &error("rate_limit_error", "slow down"), RATE),
            (200, r#"{"error":{"code":"1302","message":"too many"}}"#, RATE),
            (200, r#"{"code":429,"msg":"too many","success":false}"#, RATE),
            (400, &error("rate_limit_error", "slow down"), RATE),
            // Keys.
            (401, &error("authentication_error", "invalid x-api-key"), Outcome::Auth),
            (402, &error("billing_error", "pay"), Outcome::Auth),
            (403, &error("permission_error", "Request not allowed"), Outcome::Auth),
            (401, r#"{"detail":"Unauthorized"}"#, Outcome::Auth),
            (401, "", Outcome::Auth),
            (400, &error("invalid_request_error", "Your credit balance is too low to access"), Outcome::Auth),
            (200, &error("authentication_error", "no"), Outcome::Auth),
            (200, &error("permission_error", "no"), Outcome::Auth),
            (200, r#"{"code":401,"msg":"token expired","success":false}"#, Outcome::Auth),
            (200, r#"{"error":{"code":1113,"message":"no balance"}}"#, Outcome::Auth),
            // Conflicts.
            (409, &error("conflict", "busy"), Outcome::Conflict),
            (409, PAGE, Outcome::Conflict),
            (407, "", Outcome::Conflict),
            (421, "", Outcome::Conflict),
            (425, "", Outcome::Conflict),
            (451, PAGE, Outcome::Conflict),
            (499, "", Outcome::Conflict),
            // Models.
            (404, &error("not_found_error", "model: claude-opus-4"), Outcome::Model),
            (404, r#"{"error":{"code":"model_not_found","message":"unknown"}}"#, Outcome::Model),
            (404, r#"{"error":{"message":"CLAUDE-OPUS-4 is not available"}}"#, Outcome::Model),
            (403, &error("permission_error", "no access to model claude-opus-4"), Outcome::Model),
            (403, r#"{"error":"This key may not use claude-opus-4"}"#, Outcome::Model),
            (200, &error("not_found_error", "model: claude-opus-4"), Outcome::Model),
            // Faults of the client.
            (400, &error("invalid_request_error", "messages: at least one message is required"), Outcome::Client),
            (400, &error("invalid_request_error", "model: claude-opus-4 does not support it"), Outcome::Client),
            (400, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Outcome::Client),
            (404, r#"{"detail":"Not Found"}"#, Outcome::Client),
            (404, "", Outcome::Client),
            (404, &error("not_found_error", "remodelled page"), Outcome::Client),
            (405, "", Outcome::Client),
            (413, &error("request_too_large", "too large"), Outcome::Client),
            (413, PAGE, Outcome::Client),
            (415, "", Outcome::Client),
            (418, "", Outcome::Client),
            (422, &error("invalid_request_error", "no"), Outcome::Client),
            (200, &error("invalid_request_error", "prompt is too long"), Outcome::Client),
        ];
        for (status, body, expected) in rows {
            assert_eq!(&outcome(*status, &[], body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_content_type_tells_streams_and_pages_apart() {
        let stream = [("content-type", "Text/Event-Stream; charset=utf-8")];
        assert_eq!(outcome(200, &stream, ""), Outcome::Success);
        assert_eq!(outcome(200, &stream, "event: error"), Outcome::Success, "the gate looks at events");
        let page = [("content-type", "text/html; charset=utf-8")];
        assert_eq!(outcome(200, &page, "{}"), SERVER);
        assert_eq!(outcome(403, &page, "Access denied"), SERVER);
    }

    #[test]
    fn a_failure_tells_how_long_to_stay_away() {
        let wait = |seconds| Outcome::Server { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(outcome(503, &[("retry-after", "7")], ""), wait(7));
        assert_eq!(outcome(529, &[("retry-after", " 0 ")], OVERLOADED), wait(0));
        assert_eq!(outcome(500, &[("retry-after", "soon")], ""), SERVER);
        assert_eq!(outcome(200, &[("retry-after", "3")], OVERLOADED), wait(3));
    }

    #[test]
    fn a_body_that_is_cut_off_still_tells_what_was_said_before() {
        let whole = error("authentication_error", &"x".repeat(70_000));
        assert_eq!(outcome(200, &[], &whole[..65_536]), Outcome::Auth);
        let answer = format!(r#"{{"type":"message","content":"{}"#, "y".repeat(65_536));
        assert_eq!(outcome(200, &[], &answer), Outcome::Success);
        assert_eq!(outcome(404, &[], r#"{"error":{"message":"model: nope","more":{"deep"#), Outcome::Model);
    }

    #[test]
    fn an_error_event_has_the_outcome_of_its_type() {
        for (data, expected) in [
            (error("overloaded_error", "Overloaded"), SERVER),
            (error("api_error", "oops"), SERVER),
            (error("something_new", "oops"), SERVER),
            (error("rate_limit_error", "slow"), RATE),
            (error("authentication_error", "no"), Outcome::Auth),
            (error("billing_error", "no"), Outcome::Auth),
            (error("not_found_error", "model: gone"), Outcome::Model),
            (error("not_found_error", "nothing here"), Outcome::Client),
            (error("invalid_request_error", "prompt is too long"), Outcome::Client),
            (error("invalid_request_error", "credit balance is too low"), Outcome::Auth),
            (r#"{"error":{"code":"1302","message":"concurrency"}}"#.to_owned(), RATE),
            ("not json".to_owned(), SERVER),
            (String::new(), SERVER),
        ] {
            assert_eq!(classify_event_error(data.as_bytes()), expected, "{data}");
        }
    }

    #[test]
    fn overloaded_is_found_anywhere_in_a_body() {
        assert!(says_overloaded(OVERLOADED.as_bytes()));
        assert!(!says_overloaded(error("api_error", "overloaded").as_bytes()));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_an_outcome(status in 100_u16..1000, body in proptest::collection::vec(0_u8.., 0..200)) {
            let headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).expect("three digits");
            let answer = Answer { status, headers: &headers, body: &body, model: None, now_epoch: SystemTime::UNIX_EPOCH };
            proptest::prop_assert!(!classify(&answer).as_str().is_empty());
            classify_event_error(&body);
        }

        #[test]
        fn cutting_an_answer_anywhere_never_makes_it_an_error(cut in 1_usize..80) {
            let answer = r#"{"id":"msg_1","type":"message","content":[{"type":"error","error":{"type":"x"}}],"model":"m"}"#;
            let got = outcome(200, &[], &answer[..cut]);
            proptest::prop_assert_eq!(got, Outcome::Success);
        }
    }
}
