//! One request to a simulated endpoint, and its answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::behaviour::Behaviour;
use super::body::{AnswerBody, paced, whole};
use super::message::{Asked, Message, error, event, models, tokens};

/// Largest request body, as the real API has it.
const LARGEST: usize = 32 << 20;

/// What `rate_limited` asks for, in seconds.
const RETRY_AFTER: u64 = 20;

/// How long `hang` hangs: longer than any client waits.
const HANG: Duration = Duration::from_mins(10);

/// An endpoint's answer to one request.
pub(super) async fn answer<B>(
    name: &str,
    behaviour: Behaviour,
    pace: Duration,
    request: Request<B>,
) -> Response<AnswerBody>
where
    B: Body<Data: Send> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let answering = Answering { name, behaviour, pace, number, id: format!("req_sim{number:020}") };
    let mut response = answering.route(request).await.unwrap_or_else(|refusal| answering.refused(&refusal));
    answering.mark(response.headers_mut());
    response
}

/// Everything an answer depends on besides the request.
struct Answering<'a> {
    name: &'a str,
    behaviour: Behaviour,
    /// Between two words.
    pace: Duration,
    number: u64,
    id: String,
}

/// An answer that is an error.
struct Refusal(StatusCode, &'static str, String);

impl Answering<'_> {
    async fn route<B>(&self, request: Request<B>) -> Result<Response<AnswerBody>, Refusal>
    where
        B: Body<Data: Send> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        authenticate(request.headers())?;
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/messages") => self.messages(&collect(request).await?).await,
            (&Method::POST, "/v1/messages/count_tokens") => {
                let length = collect(request).await?.len();
                Ok(json(StatusCode::OK, &serde_json::json!({ "input_tokens": tokens(length) })))
            }
            (&Method::GET, "/v1/models") => Ok(json(StatusCode::OK, &models())),
            _ => Err(Refusal(StatusCode::NOT_FOUND, "not_found_error", "Not found".to_owned())),
        }
    }

    async fn messages(&self, body: &Bytes) -> Result<Response<AnswerBody>, Refusal> {
        self.misbehave().await?;
        let asked: Asked = serde_json::from_slice(body)
            .map_err(|error| Refusal(StatusCode::BAD_REQUEST, "invalid_request_error", error.to_string()))?;
        let message = Message::new(self.name, &asked, body.len(), self.number);
        if asked.stream { Ok(self.stream(&message)) } else { Ok(self.unary(&message).await) }
    }

    /// What the behaviour puts before, or in the place of, an answer.
    async fn misbehave(&self) -> Result<(), Refusal> {
        let refuse = |code: u16, kind, message: &str| {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(Refusal(status, kind, message.to_owned()))
        };
        match self.behaviour {
            Behaviour::Overloaded => refuse(529, "overloaded_error", "Overloaded"),
            Behaviour::RateLimited => refuse(429, "rate_limit_error", "This request would exceed your rate limit."),
            Behaviour::ServerError => refuse(500, "api_error", "Internal server error"),
            Behaviour::BadKey => refuse(401, "authentication_error", "invalid x-api-key"),
            Behaviour::Hang => {
                tokio::time::sleep(HANG).await;
                refuse(504, "timeout_error", "Timed out")
            }
            _ => Ok(()),
        }
    }

    fn stream(&self, message: &Message) -> Response<AnswerBody> {
        let mut events = message.events();
        match self.behaviour {
            Behaviour::ErrorFirst => events = vec![error("overloaded_error", "Overloaded", &self.id)],
            // A third of the text, so that content has begun and none is complete.
            Behaviour::Cut => events.truncate(3 + message.words.len().div_ceil(3)),
            _ => {}
        }
        let pieces = events.iter().enumerate().map(|(at, value)| (self.wait(at, value), Bytes::from(event(value))));
        let body = paced(pieces, self.behaviour == Behaviour::Cut);
        typed(StatusCode::OK, "text/event-stream; charset=utf-8", body)
    }

    async fn unary(&self, message: &Message) -> Response<AnswerBody> {
        let words = u32::try_from(message.words.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(self.first_wait() + self.word_wait() * words).await;
        let text = Bytes::from(message.unary().to_string());
        match self.behaviour {
            Behaviour::ErrorFirst => json(StatusCode::OK, &error("overloaded_error", "Overloaded", &self.id)),
            Behaviour::Cut => {
                let half = text.slice(..text.len() / 2);
                typed(StatusCode::OK, "application/json", paced([(Duration::ZERO, half)], true))
            }
            _ => typed(StatusCode::OK, "application/json", whole(text)),
        }
    }

    /// The pause before the event at position `at`.
    fn wait(&self, at: usize, value: &Value) -> Duration {
        match value["delta"]["text"].as_str() {
            _ if at == 0 => self.first_wait(),
            // Longer words take longer: even enough to be calm, uneven enough to look written.
            Some(word) => self.word_wait() * u32::try_from(word.len().clamp(2, 12)).unwrap_or(6) / 6,
            None => Duration::ZERO,
        }
    }

    fn first_wait(&self) -> Duration {
        if self.behaviour == Behaviour::Slow { Duration::from_secs(3) } else { self.pace * 3 }
    }

    fn word_wait(&self) -> Duration {
        if self.behaviour == Behaviour::Slow { self.pace * 5 } else { self.pace }
    }

    fn refused(&self, refusal: &Refusal) -> Response<AnswerBody> {
        let mut response = json(refusal.0, &error(refusal.1, &refusal.2, &self.id));
        if refusal.0 == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
        }
        response
    }

    /// The headers that every answer of the API has.
    fn mark(&self, headers: &mut HeaderMap) {
        let mut put = |name: &'static str, value: &str| {
            // A value that is no header value cannot occur: all of them are made here, of ASCII.
            headers
                .extend(HeaderValue::from_str(value).ok().map(|value| (header::HeaderName::from_static(name), value)));
        };
        put("request-id", &self.id);
        let limited = self.behaviour == Behaviour::RateLimited;
        let reset = SystemTime::now() + Duration::from_secs(if limited { RETRY_AFTER } else { 1 });
        let reset = humantime::format_rfc3339_seconds(reset).to_string();
        put("anthropic-ratelimit-requests-limit", "4000");
        put("anthropic-ratelimit-requests-remaining", if limited { "0" } else { "3999" });
        put("anthropic-ratelimit-requests-reset", &reset);
        put("anthropic-ratelimit-tokens-limit", "2400000");
        put("anthropic-ratelimit-tokens-remaining", if limited { "0" } else { "2400000" });
        put("anthropic-ratelimit-tokens-reset", &reset);
    }
}

/// Any credential will do; none will not.
fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("x-api-key").is_some_and(|key| !key.is_empty());
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if key || bearer.is_some_and(|token| !token.is_empty()) {
        return Ok(());
    }
    Err(Refusal(StatusCode::UNAUTHORIZED, "authentication_error", "x-api-key header is required".to_owned()))
}

async fn collect<B>(request: Request<B>) -> Result<Bytes, Refusal>
where
    B: Body<Data: Send> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(request.into_body(), LARGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            "Request exceeds the maximum size".to_owned(),
        )),
        Err(error) => Err(Refusal(StatusCode::BAD_REQUEST, "invalid_request_error", error.to_string())),
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<AnswerBody> {
    typed(status, "application/json", whole(value.to_string()))
}

fn typed(status: StatusCode, kind: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
