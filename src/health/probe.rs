//! What a probe asks, and what its answer is worth. Pure.
//!
//! A conversation asks the model to repeat a random code: a cached page, a canned answer or a model that only echoes
//! politeness does not know it.

use bytes::Bytes;
use fastrand::Rng;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::telemetry::event::Tokens;
use crate::upstream::endpoint::{Credential, Endpoint};

/// Tokens a conversation may write: a code has six characters.
const MAX_TOKENS: u32 = 32;
/// A longer text is more than was asked for.
const SHORT: usize = 100;
const PROMPT: &str = "Reply with this code and nothing else: {nonce}";
/// Without those that look alike.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A code of six characters to be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A random one.
    pub fn new(random: &mut Rng) -> Self {
        Self((0..6).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect())
    }
}

/// A conversation about `nonce`: `model` under the client's name for it, `prompt` with `{nonce}` where the code stands.
pub fn conversation(endpoint: &Endpoint, model: &str, prompt: Option<&str>, nonce: &Nonce) -> Request<Full<Bytes>> {
    let body = json!({
        "model": endpoint.models.get(model).unwrap_or(model),
        "max_tokens": MAX_TOKENS,
        "messages": [{ "role": "user", "content": text(prompt, nonce) }],
    });
    let mut request = request(endpoint, Method::POST, "/v1/messages", Bytes::from(body.to_string()));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

/// Asks which models there are.
pub fn models(endpoint: &Endpoint) -> Request<Full<Bytes>> {
    request(endpoint, Method::GET, "/v1/models?limit=1", Bytes::new())
}

/// A prompt without a place for the code gets it at its end, else its answer could not be judged.
fn text(prompt: Option<&str>, nonce: &Nonce) -> String {
    let prompt = prompt.unwrap_or(PROMPT);
    if prompt.contains("{nonce}") { prompt.replace("{nonce}", &nonce.0) } else { format!("{prompt} {}", nonce.0) }
}

fn request(endpoint: &Endpoint, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // A prefix that passed validation joined with a path is a path.
    *request.uri_mut() = format!("{}{path}", endpoint.prefix).parse::<Uri>().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("qcc/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    if let Credential::Header(name, value) = &endpoint.credential {
        headers.insert(name, value.clone());
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    request
}

/// What the answer of a conversation says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Whether it holds the code.
    pub valid: bool,
    /// Characters of its text.
    pub length: usize,
    /// What it cost.
    pub tokens: Tokens,
}

impl Reply {
    /// Reads `body`, a message of the API.
    pub fn read(body: &[u8], nonce: &Nonce) -> Self {
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        let usage = |key: &str| message["usage"][key].as_u64().unwrap_or_default();
        Self {
            valid: text.to_ascii_uppercase().contains(&nonce.0),
            length: text.trim().chars().count(),
            tokens: Tokens {
                input: usage("input_tokens"),
                output: usage("output_tokens"),
                cache_read: usage("cache_read_input_tokens"),
                cache_write: usage("cache_creation_input_tokens"),
            },
        }
    }

    /// Quality of a conversational answer, 0 to 100: 50 if valid, up to 30 for a quick one, up to 20 for a short text
    /// that is not empty.
    pub fn quality(&self, millis: u128) -> u8 {
        let valid = if self.valid { 50 } else { 0 };
        let quick = match millis {
            0..500 => 30,
            500..1000 => 20,
            1000..2000 => 10,
            _ => 0,
        };
        let text = match self.length {
            0 => 0,
            1..=SHORT => 20,
            _ => 10,
        };
        valid + quick + text
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::upstream::endpoint::ModelMap;
    use crate::upstream::fixture::endpoint;

    fn nonce() -> Nonce {
        Nonce("ABC234".to_owned())
    }

    async fn sent(request: Request<Full<Bytes>>) -> Value {
        let body = request.into_body().collect().await.expect("a body of ours").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }

    #[tokio::test]
    async fn a_conversation_asks_for_the_code_by_the_endpoints_name_for_the_model() {
        let mut endpoint = endpoint("a");
        endpoint.models = ModelMap::new([("claude-haiku-*", "glm-air")]);
        endpoint.prefix = "/api/anthropic".into();
        endpoint.headers = vec![(USER_AGENT, HeaderValue::from_static("theirs"))];
        let request = conversation(&endpoint, "claude-haiku-4-5", None, &nonce());
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/api/anthropic/v1/messages"));
        assert!(request.headers()["authorization"] == "canary" && request.headers()[USER_AGENT] == "theirs");
        let body = sent(request).await;
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("glm-air"), &json!(32)));
        assert_eq!(body["messages"][0]["content"], "Reply with this code and nothing else: ABC234");
    }

    #[test]
    fn a_prompt_of_ones_own_carries_the_code_where_it_says_else_at_its_end() {
        assert_eq!(text(Some("Say {nonce}!"), &nonce()), "Say ABC234!");
        assert_eq!(text(Some("Say"), &nonce()), "Say ABC234");
    }

    #[test]
    fn the_list_of_models_is_asked_below_the_prefix() {
        let request = models(&endpoint("a"));
        assert_eq!((request.method(), request.uri().to_string()), (&Method::GET, "/v1/models?limit=1".to_owned()));
    }

    #[test]
    fn a_reply_is_valid_by_the_code_and_tells_its_cost() {
        let body = json!({
            "content": [{ "type": "thinking", "thinking": "ABC234" }, { "type": "text", "text": " abc234\n" }],
            "usage": { "input_tokens": 21, "output_tokens": 9, "cache_read_input_tokens": 3 },
        });
        let reply = Reply::read(body.to_string().as_bytes(), &nonce());
        let tokens = Tokens { input: 21, output: 9, cache_read: 3, cache_write: 0 };
        assert_eq!(reply, Reply { valid: true, length: 6, tokens });
        for text in ["", "2", "Hello! How can I help?"] {
            let body = json!({ "content": [{ "type": "text", "text": text }] });
            assert!(!Reply::read(body.to_string().as_bytes(), &nonce()).valid, "{text}");
        }
        assert_eq!(Reply::read(b"<html>", &nonce()), Reply::default());
    }

    #[test]
    fn quality_adds_validity_speed_and_a_short_text() {
        for (valid, length, millis, quality) in [
            (true, 6, 499, 100),
            (true, 6, 500, 90),
            (true, 6, 1000, 80),
            (true, 6, 2000, 70),
            (false, 6, 100, 50),
            (true, 101, 100, 90),
            (false, 0, 5000, 0),
        ] {
            let reply = Reply { valid, length, tokens: Tokens::default() };
            assert_eq!(reply.quality(millis), quality, "{valid} {length} {millis}");
        }
    }

    #[test]
    fn codes_are_six_characters_that_can_be_told_apart_and_differ() {
        let mut random = Rng::with_seed(7);
        let codes: std::collections::HashSet<_> = (0..100).map(|_| Nonce::new(&mut random).0).collect();
        assert!(codes.len() == 100 && codes.iter().all(|code| code.len() == 6 && !code.contains(['0', 'O', '1', 'I'])));
    }
}
