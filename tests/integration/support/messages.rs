//! Requests and answers that look like the Messages API's.

use std::fmt::Write as _;

use bytes::Bytes;

/// The model most tests ask for.
pub(crate) const MODEL: &str = "claude-sonnet-4-5";

/// The body of a request for `model`.
pub(crate) fn ask(model: &str, stream: bool) -> Bytes {
    format!(
        r#"{{"model":"{model}","max_tokens":64,"stream":{stream},"messages":[{{"role":"user","content":"say hi"}}]}}"#
    )
    .into()
}

/// A whole message saying `text`.
pub(crate) fn answer(text: &str) -> Bytes {
    format!(
        r#"{{"id":"msg_01","type":"message","role":"assistant","model":"{MODEL}","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":11,"output_tokens":3}}}}"#
    )
    .into()
}

/// An error body in Anthropic's shape.
pub(crate) fn error(kind: &str, message: &str) -> Bytes {
    format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_upstream"}}"#)
        .into()
}

/// One server-sent event.
pub(crate) fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

pub(crate) fn start() -> Bytes {
    event(
        "message_start",
        &format!(
            r#"{{"type":"message_start","message":{{"id":"msg_01","type":"message","role":"assistant","model":"{MODEL}","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":11,"output_tokens":1}}}}}}"#
        ),
    )
}

pub(crate) fn ping() -> Bytes {
    event("ping", r#"{"type":"ping"}"#)
}

pub(crate) fn block_start(index: usize) -> Bytes {
    let data =
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"text","text":""}}}}"#);
    event("content_block_start", &data)
}

pub(crate) fn delta(index: usize, text: &str) -> Bytes {
    let data =
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"{text}"}}}}"#);
    event("content_block_delta", &data)
}

pub(crate) fn block_stop(index: usize) -> Bytes {
    event("content_block_stop", &format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}

pub(crate) fn message_delta() -> Bytes {
    event(
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}"#,
    )
}

pub(crate) fn message_stop() -> Bytes {
    event("message_stop", r#"{"type":"message_stop"}"#)
}

pub(crate) fn error_event(kind: &str) -> Bytes {
    event("error", &format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"scripted"}}}}"#))
}

/// The events of a whole stream saying `text`, one piece each.
pub(crate) fn stream_events(text: &str) -> Vec<Bytes> {
    vec![start(), ping(), block_start(0), delta(0, text), block_stop(0), message_delta(), message_stop()]
}

/// A stream with `count` deltas, all in one text.
pub(crate) fn long_stream(count: usize) -> Bytes {
    let mut text = String::new();
    for index in 0..count {
        let _ = write!(text, "{}", String::from_utf8_lossy(&delta(0, &format!("word {index} \u{2713} \\u00e9 "))));
    }
    [start(), block_start(0), text.into(), block_stop(0), message_delta(), message_stop()].concat().into()
}

/// `length` bytes that do not compress well and never repeat a block; the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// A request body of about `length` bytes.
pub(crate) fn big_ask(length: usize, stream: bool) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(length).collect();
    format!(
        r#"{{"model":"{MODEL}","stream":{stream},"max_tokens":64,"messages":[{{"role":"user","content":"{text}"}}]}}"#
    )
    .into()
}
