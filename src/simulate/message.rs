//! What a simulated model says, in the shapes of the Messages API. Pure: request in, JSON and events out.

use serde::Deserialize;
use serde_json::{Value, json};

/// Most characters of the prompt that are repeated at each end.
const ECHO: usize = 80;

/// What of a `POST /v1/messages` body matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// Model, repeated in the answer.
    pub(super) model: String,
    /// Words the answer may have.
    pub(super) max_tokens: u64,
    /// Whether events are wanted.
    #[serde(default)]
    pub(super) stream: bool,
    messages: Vec<Value>,
}

/// An answer before it takes a form.
#[derive(Debug)]
pub(super) struct Message {
    id: String,
    model: String,
    /// The text in pieces; a word and the space after it each, so joining them gives the text.
    pub(super) words: Vec<String>,
    stop_reason: &'static str,
    input_tokens: usize,
}

impl Message {
    /// What endpoint `name` answers to `asked`, a body of `length` bytes.
    pub(super) fn new(name: &str, asked: &Asked, length: usize, number: u64) -> Self {
        let text = text(name, asked);
        let words: Vec<_> = text.split_inclusive(' ').map(str::to_owned).collect();
        let room = usize::try_from(asked.max_tokens).unwrap_or(usize::MAX).max(1);
        Self {
            id: format!("msg_sim{number:020}"),
            model: asked.model.clone(),
            stop_reason: if words.len() > room { "max_tokens" } else { "end_turn" },
            words: words.into_iter().take(room).collect(),
            input_tokens: tokens(length),
        }
    }

    /// The answer as one JSON object.
    pub(super) fn unary(&self) -> Value {
        let content = json!([{ "type": "text", "text": self.words.concat() }]);
        self.object(&content, &json!(self.stop_reason), self.words.len())
    }

    /// The answer as events, in the order of the real API; the deltas are those whose type is `content_block_delta`.
    pub(super) fn events(&self) -> Vec<Value> {
        let message = self.object(&json!([]), &Value::Null, 1);
        let delta = |text: &String| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
        let mut events = vec![
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "ping" }),
        ];
        events.extend(self.words.iter().map(delta));
        events.extend([
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": self.stop_reason, "stop_sequence": null }, "usage": { "output_tokens": self.words.len() } }),
            json!({ "type": "message_stop" }),
        ]);
        events
    }

    fn object(&self, content: &Value, stop_reason: &Value, output_tokens: usize) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null,
            "usage": {
                "input_tokens": self.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "output_tokens": output_tokens,
            },
        })
    }
}

/// `value` as a server-sent event named like its type.
pub(super) fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or("message"))
}

/// An error in the API's shape.
pub(super) fn error(kind: &str, message: &str, request_id: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": request_id })
}

/// The answer to `GET /v1/models`.
pub(super) fn models() -> Value {
    const MODELS: [(&str, &str); 3] = [
        ("claude-opus-4-5", "Claude Opus 4.5"),
        ("claude-sonnet-4-5", "Claude Sonnet 4.5"),
        ("claude-haiku-4-5", "Claude Haiku 4.5"),
    ];
    let data = MODELS.map(
        |(id, name)| json!({ "type": "model", "id": id, "display_name": name, "created_at": "2025-10-01T00:00:00Z" }),
    );
    json!({ "data": data, "has_more": false, "first_id": MODELS[0].0, "last_id": MODELS[2].0 })
}

/// Tokens of a body of `length` bytes, roughly.
pub(super) fn tokens(length: usize) -> usize {
    length.div_ceil(4)
}

fn text(name: &str, asked: &Asked) -> String {
    format!(
        "This is the simulated endpoint `{name}`, answering as {}. You wrote: \"{}\". No model was asked, no key was used, \
         and nothing left this machine; the words arrive one by one so that you can see them stream.",
        asked.model,
        echo(&prompt(asked.messages.last())),
    )
}

/// The text of a message, whichever of its two forms it has.
fn prompt(message: Option<&Value>) -> String {
    let content = message.map_or(&Value::Null, |message| &message["content"]);
    let mut blocks = content.as_array().into_iter().flatten().rev();
    let text = content.as_str().or_else(|| blocks.find_map(|block| block["text"].as_str()));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text`, without its middle where it is long.
fn echo(text: &str) -> String {
    let length = text.chars().count();
    if length <= 2 * ECHO {
        return text.to_owned();
    }
    let head: String = text.chars().take(ECHO).collect();
    let tail: String = text.chars().skip(length - ECHO).collect();
    format!("{head} ... {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(max_tokens: u64, content: &Value) -> Asked {
        let body = json!({ "model": "claude-x", "max_tokens": max_tokens, "messages": [{ "role": "user", "content": content }] });
        serde_json::from_value(body).expect("a legal body")
    }

    #[test]
    fn events_come_in_the_order_of_the_api_and_hold_the_same_text_as_the_object() {
        let message = Message::new("work", &asked(1000, &json!("hello\nthere")), 40, 7);
        let events = message.events();
        let mut kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("typed")).collect();
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "message_start",
                "content_block_start",
                "ping",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
        let unary = message.unary();
        assert_eq!(unary["content"][0]["text"], text);
        assert!(text.contains("`work`") && text.contains("claude-x") && text.contains("\"hello there\""), "{text}");
        assert_eq!((&unary["stop_reason"], &unary["usage"]["input_tokens"]), (&json!("end_turn"), &json!(10)));
    }

    #[test]
    fn max_tokens_is_kept_and_said() {
        let message = Message::new("work", &asked(1, &json!([{ "type": "text", "text": "quota" }])), 4, 7);
        assert_eq!((message.words.len(), message.stop_reason), (1, "max_tokens"));
    }

    #[test]
    fn a_long_prompt_is_repeated_by_its_ends_so_that_a_code_at_the_end_is_there() {
        let long = format!("repeat {} NONCE-42", "字".repeat(5000));
        let text = Message::new("work", &asked(1000, &json!([{ "type": "text", "text": long }])), 4, 7).words.concat();
        assert!(text.contains("NONCE-42") && text.len() < 2000, "{text}");
    }
}
