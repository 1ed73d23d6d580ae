//! What an error body says, whichever provider wrote it.
//!
//! Reads only the few fields that decide, straight from the bytes, and keeps what it has read when the body was cut
//! off: the look at a body is limited, the body is not.

use std::fmt;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The deciding fields of an error body. Everything is empty if there was nothing to understand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whether the body is an error: a top-level `error` or `detail`, `type: error`, or `success: false`.
    pub(super) is_error: bool,
    /// `error.type`.
    pub(super) kind: Option<String>,
    /// The provider's own code, as text.
    pub(super) code: Option<String>,
    /// All texts for people, in lower case.
    pub(super) message: String,
}

impl Fault {
    /// Reads `body`, which may be cut off anywhere or not be JSON at all.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut fault = Self::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        // A body that ends early or is no JSON leaves what was understood before.
        drop(Level { fault: &mut fault, inside: false }.deserialize(&mut json));
        fault.message.make_ascii_lowercase();
        fault
    }

    /// The type of the error in Anthropic's words, translated from the provider's code where there is no type.
    pub(super) fn kind(&self) -> Option<&str> {
        if self.kind.is_some() {
            return self.kind.as_deref();
        }
        match self.code.as_deref()? {
            "429" | "1302" | "1303" | "1304" | "1305" => Some("rate_limit_error"),
            "401" | "1000" | "1001" | "1002" | "1003" | "1004" => Some("authentication_error"),
            "402" | "1113" => Some("billing_error"),
            "403" => Some("permission_error"),
            _ => None,
        }
    }

    /// Whether the text speaks of a model, or names the one that was asked for.
    pub(super) fn names_model(&self, asked: Option<&str>) -> bool {
        let asked = asked.map(str::to_ascii_lowercase).filter(|name| !name.is_empty());
        self.code.as_deref() == Some("model_not_found")
            || contains_word(&self.message, "model")
            || asked.is_some_and(|name| self.message.contains(&name))
    }

    /// Whether it is the answer to a model that the endpoint does not have.
    pub(super) fn is_missing_model(&self, asked: Option<&str>) -> bool {
        self.is_error && self.names_model(asked)
    }

    /// Whether the account has no money left; some providers say so with a 400.
    pub(super) fn is_out_of_credit(&self) -> bool {
        self.message.contains("credit balance is too low")
    }
}

/// Whether `body` could be read as an error: a quick look that spares nearly every answer the reading. What makes an error
/// stands there between quotes, unless it is written in escapes; inside a text its quotes would be escaped.
pub(super) fn may_be_error(body: &[u8]) -> bool {
    static SIGNS: LazyLock<Option<Searcher>> =
        LazyLock::new(|| Searcher::new(["\"error\"", "\"success\"", "\"detail\"", "\\u00"]));
    // Where this machine has no such searcher, the body is read.
    SIGNS.as_ref().is_none_or(|signs| signs.find(body).is_some())
}

/// Whether a body is an HTML page.
pub(super) fn is_page(body: &[u8]) -> bool {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()));
    begins("<!doctype") || begins("<html") || begins("<head") || begins("<?xml")
}

fn contains_word(text: &str, word: &str) -> bool {
    let boundary = |at: Option<u8>| !at.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    text.match_indices(word).any(|(start, _)| {
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        let plural = bytes.get(start + word.len()) == Some(&b's');
        boundary(before.copied()) && boundary(bytes.get(start + word.len() + usize::from(plural)).copied())
    })
}

/// One object of an error body: the top, or the one `inside` the field `error`.
struct Level<'a> {
    fault: &'a mut Fault,
    inside: bool,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.fault.is_error |= self.inside;
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), self.inside) {
                ("error", false) => map.next_value_seed(Level { fault: &mut *self.fault, inside: true })?,
                ("type" | "code" | "success" | "status" | "message" | "msg" | "detail", _) => {
                    let text = map.next_value_seed(Text)?;
                    self.fault.take(&key, text, self.inside);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    /// `{"error": "text"}`.
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.fault.is_error |= self.inside && !text.is_empty();
        self.fault.message.push_str(text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl Fault {
    /// Takes over one field of the top object, or of the one `inside` it.
    fn take(&mut self, key: &str, text: String, inside: bool) {
        match key {
            "type" if inside => self.kind = Some(text),
            "type" => self.is_error |= text == "error",
            "success" => self.is_error |= text == "false",
            "detail" if !inside && !text.is_empty() => {
                self.is_error = true;
                self.tell(&text);
            }
            "code" | "status" if !text.is_empty() => self.code = Some(text),
            _ => self.tell(&text),
        }
    }

    fn tell(&mut self, text: &str) {
        self.message.push_str(text);
        self.message.push('\n');
    }
}

/// A scalar as text; anything else as nothing.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
        Ok(match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        })
    }
}
