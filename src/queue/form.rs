//! A kept answer in the form it is asked for: a stream of events, or one message. Pure.
//!
//! What is kept as it is asked for goes out byte for byte. Else a message is put together from its events as the SDKs do
//! it, or told in events, a block at a time.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The two forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `text/event-stream`.
    Events,
    /// `application/json`.
    Message,
}

impl Form {
    /// The form of a request or an answer that is streamed or not.
    pub(super) const fn streamed(stream: bool) -> Self {
        if stream { Self::Events } else { Self::Message }
    }

    /// Value of `content-type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Message => "application/json",
        }
    }
}

/// `body`, which is in form `is`, in the form `asked`; `None` if it is not understood.
pub(super) fn convert(body: Bytes, is: Form, asked: Form) -> Option<Bytes> {
    match (is, asked) {
        (Form::Events, Form::Message) => message(&body).map(|message| message.to_string().into()),
        (Form::Message, Form::Events) => events(serde_json::from_slice(&body).ok()?).map(Bytes::from),
        _ => Some(body),
    }
}

/// The data of every event.
fn data(stream: &[u8]) -> impl Iterator<Item = Value> + '_ {
    let mut lines = stream.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    std::iter::from_fn(move || {
        let mut data: Vec<u8> = Vec::new();
        for line in lines.by_ref() {
            match line.strip_prefix(b"data:") {
                Some(text) => data.extend_from_slice(text.trim_ascii_start()),
                None if line.is_empty() && !data.is_empty() => break,
                None => {}
            }
        }
        (!data.is_empty()).then(|| serde_json::from_slice(&data).unwrap_or_default())
    })
}

/// One message put together from its events.
fn message(stream: &[u8]) -> Option<Value> {
    let mut message: Option<Value> = None;
    let mut blocks: Vec<Value> = Vec::new();
    let mut partial = String::new();
    for event in data(stream) {
        match event["type"].as_str() {
            Some("message_start") => message = event.get("message").cloned(),
            Some("content_block_start") => {
                partial.clear();
                blocks.push(event.get("content_block").cloned().unwrap_or_default());
            }
            Some("content_block_delta") => add(blocks.last_mut()?, &event["delta"], &mut partial),
            Some("content_block_stop") if !partial.is_empty() => {
                blocks.last_mut()?["input"] = serde_json::from_str(&std::mem::take(&mut partial)).ok()?;
            }
            Some("message_delta") => finish(message.as_mut()?, &event),
            _ => {}
        }
    }
    let mut message = message?;
    message.as_object_mut()?.insert("content".to_owned(), Value::Array(blocks));
    Some(message)
}

/// Adds what one delta brings to its block.
fn add(block: &mut Value, delta: &Value, partial: &mut String) {
    let append = |field: &mut Value, more: &Value| {
        let text = [field.as_str().unwrap_or_default(), more.as_str().unwrap_or_default()].concat();
        *field = Value::String(text);
    };
    match delta["type"].as_str() {
        Some("text_delta") => append(&mut block["text"], &delta["text"]),
        Some("thinking_delta") => append(&mut block["thinking"], &delta["thinking"]),
        Some("signature_delta") => append(&mut block["signature"], &delta["signature"]),
        Some("input_json_delta") => partial.push_str(delta["partial_json"].as_str().unwrap_or_default()),
        Some("citations_delta") => {
            if !block["citations"].is_array() {
                block["citations"] = json!([]);
            }
            if let Some(citations) = block["citations"].as_array_mut() {
                citations.push(delta["citation"].clone());
            }
        }
        _ => {}
    }
}

/// What `message_delta` says of the whole.
fn finish(message: &mut Value, event: &Value) {
    let merge = |into: &mut Value, from: &Value| {
        if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
            into.extend(
                from.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())),
            );
        }
    };
    merge(message, &event["delta"]);
    if message["usage"].is_null() {
        message["usage"] = json!({});
    }
    merge(&mut message["usage"], &event["usage"]);
}

/// A message told in events.
fn events(mut message: Value) -> Option<String> {
    let whole = message.as_object_mut()?;
    let Some(Value::Array(blocks)) = whole.insert("content".to_owned(), json!([])) else { return None };
    let taken =
        |whole: &mut Map<String, Value>, key: &str| whole.insert(key.to_owned(), Value::Null).unwrap_or_default();
    let (reason, sequence) = (taken(whole, "stop_reason"), taken(whole, "stop_sequence"));
    let usage = whole.get("usage").cloned().unwrap_or_else(|| json!({}));
    let mut text = event("message_start", &json!({ "type": "message_start", "message": message }));
    for (index, block) in blocks.into_iter().enumerate() {
        text.push_str(&told(index, block));
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": sequence });
    text.push_str(&event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage })));
    text.push_str(&event("message_stop", &json!({ "type": "message_stop" })));
    Some(text)
}

/// One block in events: what grows begins empty and comes in one piece.
fn told(index: usize, mut block: Value) -> String {
    let growing = match block["type"].as_str() {
        Some("text") => [("text", "text_delta", "text")].as_slice(),
        Some("thinking") => {
            &[("thinking", "thinking_delta", "thinking"), ("signature", "signature_delta", "signature")]
        }
        Some("tool_use" | "server_tool_use") => &[("input", "input_json_delta", "partial_json")],
        _ => &[],
    };
    let mut deltas = Vec::new();
    for (field, kind, name) in growing {
        let Some(value) = block.get_mut(field) else { continue };
        let empty = if value.is_string() { json!("") } else { json!({}) };
        let whole = match std::mem::replace(value, empty) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        deltas.push(json!({ "type": kind, *name: whole }));
    }
    let mut text =
        event("content_block_start", &json!({ "type": "content_block_start", "index": index, "content_block": block }));
    for delta in deltas {
        text.push_str(&event(
            "content_block_delta",
            &json!({ "type": "content_block_delta", "index": index, "delta": delta }),
        ));
    }
    text.push_str(&event("content_block_stop", &json!({ "type": "content_block_stop", "index": index })));
    text
}

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [
                { "type": "thinking", "thinking": "hm\n\u{2713}", "signature": "c2ln" },
                { "type": "text", "text": "hello" },
                { "type": "tool_use", "id": "t", "name": "n", "input": { "b": [1, 2], "a": "x" } },
                { "type": "redacted_thinking", "data": "zzz" },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 11, "output_tokens": 3 },
        })
    }

    #[test]
    fn a_message_told_in_events_is_put_together_the_same() {
        let body = Bytes::from(whole().to_string());
        let events = convert(body, Form::Message, Form::Events).expect("it is a message");
        let again = convert(events.clone(), Form::Events, Form::Message).expect("these are its events");
        assert_eq!(serde_json::from_slice::<Value>(&again).expect("JSON"), whole());
        let mut scanner = crate::dispatch::sse::Scanner::default();
        scanner.feed(&events);
        assert!(scanner.seen().stopped && scanner.seen().is_complete() && scanner.seen().block_completed);
    }

    #[test]
    fn events_in_small_pieces_are_put_together_as_the_sdks_do() {
        let stream = [
            r#"{"type":"message_start","message":{"id":"m","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"he"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"llo"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"n":1}}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        for end in ["\n", "\r\n"] {
            let events: Vec<_> = stream.iter().map(|data| format!("event: x{end}data: {data}{end}{end}")).collect();
            let text = events.concat();
            let message = message(text.as_bytes()).expect("it is whole");
            let block = json!({ "type": "text", "text": "hello", "citations": [{ "n": 1 }] });
            assert_eq!(message["content"][0], block);
            assert_eq!(message["content"][1]["input"], json!({ "a": 1 }));
            assert_eq!((&message["stop_reason"], &message["usage"]["output_tokens"]), (&json!("tool_use"), &json!(9)));
            assert_eq!(message["usage"]["input_tokens"], 5);
        }
    }

    #[test]
    fn what_is_asked_for_as_it_is_kept_is_not_touched() {
        let body = Bytes::from_static(b" {odd } ");
        assert_eq!(convert(body.clone(), Form::Message, Form::Message), Some(body.clone()));
        assert_eq!(convert(body.clone(), Form::Message, Form::Events), None);
        assert_eq!(convert(body, Form::Events, Form::Message), None);
    }
}
