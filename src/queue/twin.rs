//! What makes two requests the same one, sent again. Pure.
//!
//! Claude Code sends a failed stream again as a call without streaming: the same body but for its top-level `stream` and
//! `max_tokens`. Everything else counts as it lies, byte for byte; white space between members does not.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Top-level members that a re-send may change.
const CHANGING: [&str; 2] = ["stream", "max_tokens"];

/// Requests with the same twin are the same request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Twin {
    /// Name of the client, where clients are configured.
    pub(super) client: Option<Arc<str>>,
    /// The conversation.
    pub(super) session: Arc<str>,
    /// See [`fingerprint`].
    pub(super) fingerprint: [u8; 32],
}

/// A hash of what a body asks for.
pub(super) fn fingerprint(body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    match serde_json::from_slice::<Members<'_>>(body) {
        Ok(Members(members)) => {
            for (name, value) in members.iter().filter(|(name, _)| !CHANGING.contains(&&**name)) {
                // Lengths keep apart what the texts alone would not.
                for part in [name.as_bytes(), value.get().as_bytes()] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
        }
        Err(_) => hash.update(body),
    }
    hash.finalize().into()
}

/// The members of an object, in order, with their values as they lie.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collector(std::marker::PhantomData))
    }
}

struct Collector<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for Collector<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, two: &str) -> bool {
        fingerprint(one.as_bytes()) == fingerprint(two.as_bytes())
    }

    #[test]
    fn a_re_send_without_streaming_is_the_same_request() {
        let stream = r#"{"model":"m","max_tokens":64,"stream":true,"messages":[{"role":"user"}]}"#;
        for resend in [
            r#"{"model":"m","max_tokens":21333,"messages":[{"role":"user"}]}"#,
            r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":1,"stream":false}"#,
            r#" { "model" : "m" , "messages" : [{"role":"user"}] } "#,
        ] {
            assert!(same(stream, resend), "{resend}");
        }
    }

    #[test]
    fn anything_else_is_another_request() {
        let one = r#"{"model":"m","messages":[{"role":"user","stream":true}]}"#;
        for other in [
            r#"{"model":"n","messages":[{"role":"user","stream":true}]}"#,
            r#"{"model":"m","messages":[{"role":"user","stream":false}]}"#,
            r#"{"model":"m","messages":[{"role":"user", "stream":true}]}"#,
            r#"{"model":"m","messages":[{"role":"user","stream":true}],"x":1}"#,
            r#"{"model":"m"}"#,
        ] {
            assert!(!same(one, other), "{other}");
        }
        assert!(same("not json", "not json") && !same("not json", "not jsom"));
        assert!(!same(r#"{"a":"b","c":1}"#, r#"{"a":"b\",\"c","c":1}"#));
    }
}
