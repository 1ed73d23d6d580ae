//! The token usage of a JSON answer, found at its end without keeping the answer.

use std::sync::LazyLock;

use memchr::memmem::FinderRev;

use super::sse::Usage;
use crate::telemetry::event::Tokens;

/// Most that is kept of the end of a JSON answer.
const TAIL: usize = 2048;

/// Keeps the end of what `tail` and `text` are together.
pub(super) fn keep_tail(tail: &mut Vec<u8>, text: &[u8]) {
    tail.extend_from_slice(&text[text.len().saturating_sub(TAIL)..]);
    tail.drain(..tail.len().saturating_sub(TAIL));
}

/// The last `usage` object in the end of a JSON answer.
pub(super) fn usage_in(tail: &[u8]) -> Tokens {
    static KEY: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new("\"usage\""));
    let mut tokens = Tokens::default();
    let Some(at) = KEY.rfind(tail) else { return tokens };
    let value = tail[at + KEY.needle().len()..].trim_ascii_start();
    let value = value.strip_prefix(b":").unwrap_or(value);
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Usage>();
    if let Some(Ok(usage)) = values.next() {
        usage.add_to(&mut tokens);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_json_answer_is_found_at_its_end() {
        let text = format!(
            "{{\"content\":\"{}\",\"usage\":{{\"input_tokens\":5,\"output_tokens\":9,\"x\":{{}}}},\"z\":1}}",
            "x".repeat(5000)
        );
        let mut tail = Vec::new();
        text.as_bytes().chunks(700).for_each(|piece| keep_tail(&mut tail, piece));
        assert!(tail.len() <= TAIL);
        let tokens = usage_in(&tail);
        assert_eq!((tokens.input, tokens.output), (5, 9));
        assert_eq!(usage_in(b"{\"usage\":"), Tokens::default());
    }
}
