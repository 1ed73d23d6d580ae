//! What is asked and answered: requests as Claude Code sends them, answers as the API gives them.

/// How the endpoint answers; the word stands in the query of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One JSON document of 2 KB.
    Json,
    /// [`EVENTS`] tiny events, one after the other without a pause.
    Burst,
    /// [`PACED`] tiny events, one every 20 ms.
    Paced,
    /// Two events, then silence until the client leaves.
    Held,
}

/// Events of a burst.
pub(crate) const EVENTS: usize = 200;
/// Events of a paced stream, which takes a second.
pub(crate) const PACED: usize = 50;

const ALL: [(Answer, &str); 4] =
    [(Answer::Json, "json"), (Answer::Burst, "burst"), (Answer::Paced, "paced"), (Answer::Held, "held")];

impl Answer {
    fn word(self) -> &'static str {
        ALL.iter().find(|(answer, _)| *answer == self).map_or("", |(_, word)| word)
    }

    /// The answer that a request's head asks for.
    pub(crate) fn asked_for(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let asked = |word: &str| memchr::memmem::find(line, word.as_bytes()).is_some();
        ALL.iter().find(|(_, word)| asked(word)).map_or(Self::Json, |(answer, _)| *answer)
    }
}

/// A whole request with a body of about `size` bytes.
pub(crate) fn request(answer: Answer, size: usize) -> Vec<u8> {
    let stream = answer != Answer::Json;
    let content = "a line of \\\"code\\\" with quotes\\n".repeat(size.saturating_sub(400) / 32);
    let user = "user_5f2b8c_account_7d0e_session_1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let body = format!(
        r#"{{"model":"claude-sonnet-4-5","max_tokens":1024,"stream":{stream},"metadata":{{"user_id":"{user}"}},"system":[{{"type":"text","text":"You are helpful."}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"{content}"}}]}}]}}"#
    );
    let head = format!(
        "POST /v1/messages?answer={} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Accept-Encoding: identity\r\nAnthropic-Version: 2023-06-01\r\nAnthropic-Beta: claude-code-20250219\r\n\
         Content-Type: application/json\r\nUser-Agent: claude-cli/2.0.1 (external, cli)\r\nX-App: cli\r\n\
         X-Stainless-Lang: js\r\nX-Stainless-Retry-Count: 0\r\nX-Stainless-Timeout: 600\r\n\
         X-Api-Key: sk-ant-client\r\nContent-Length: {}\r\n\r\n",
        answer.word(),
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The head and the whole body of a JSON answer.
pub(crate) fn json() -> Vec<u8> {
    let text = "an answer ".repeat(170);
    let body = format!(
        r#"{{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":512,"cache_read_input_tokens":0,"output_tokens":340}}}}"#
    );
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{HEADERS}Content-Length: {}\r\n\r\n", body.len());
    [head, body].concat().into_bytes()
}

const HEADERS: &str = "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nrequest-id: req_011CVabcdefgh\r\n\
    anthropic-ratelimit-requests-limit: 4000\r\nanthropic-ratelimit-requests-remaining: 3999\r\n\
    anthropic-organization-id: 1b4e28ba-2fa1-11d2\r\nserver: mock\r\n";

/// The head of a stream.
pub(crate) fn stream_head() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n{HEADERS}\
         Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes()
}

/// The events of a stream, `number` of them, each as one chunk.
pub(crate) fn events(number: usize) -> Vec<Vec<u8>> {
    let last = number - 1;
    let event = |nth: usize| match nth {
        0 => event("message_start", r#","message":{"usage":{"input_tokens":512,"output_tokens":1}}"#),
        1 => event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#),
        nth if nth == last - 1 => {
            event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":340}"#)
        }
        nth if nth == last => event("message_stop", ""),
        _ => event("content_block_delta", r#","index":0,"delta":{"type":"text_delta","text":"word "}"#),
    };
    (0..number).map(event).collect()
}

fn event(name: &str, rest: &str) -> Vec<u8> {
    let event = format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}
