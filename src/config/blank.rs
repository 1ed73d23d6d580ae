//! Texts and values with their secrets replaced by a word, so that they can be kept, shown and still be read.

use std::ops::Range;

use indexmap::IndexSet;
use serde_json::Value;

use super::mask::secrets;
use super::model::Config;
use super::secret::REDACTED;

/// What stands in the place of a secret; of the second one `REDACTED-2`, so that they can be told apart. It is a text
/// wherever it stands.
pub const BLANK: &str = "REDACTED";

/// `text` with [`BLANK`] for every secret: a file that says the same otherwise, in the same layout.
pub fn blanked(text: &str) -> String {
    let spans: Vec<Range<usize>> = secrets(text).into_iter().map(|span| inside(text, span)).collect();
    let known: IndexSet<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
    let mut blank = text.to_owned();
    for span in spans.iter().rev() {
        let word = numbered(known.get_index_of(&text[span.clone()]).unwrap_or_default());
        let lines = text[span.clone()].split('\n').enumerate().map(|(at, text)| line(at, text, &word));
        blank.replace_range(span.clone(), &lines.collect::<Vec<_>>().join("\n"));
    }
    blank
}

/// `text` with one and the same [`BLANK`] for all that were told apart.
pub fn alike(text: &str) -> String {
    let mut pieces = text.split(BLANK);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let number = piece.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let piece = number.map_or(piece, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        text + BLANK + piece
    })
}

fn numbered(at: usize) -> String {
    if at == 0 { BLANK.to_owned() } else { format!("{BLANK}-{}", at + 1) }
}

/// Without the quotes around it, and without the `/` that begins a path.
fn inside(text: &str, span: Range<usize>) -> Range<usize> {
    let raw = &text[span.clone()];
    let open = usize::from(raw.starts_with(['"', '\'', '/']));
    let close = usize::from(raw.len() > open && raw.ends_with(['"', '\'']));
    span.start + open..span.end - close
}

/// One line of a secret; the mark and the indentation of a text in lines stay.
fn line(at: usize, line: &str, blank: &str) -> String {
    let word = line.trim();
    let mark = at == 0 && word.starts_with(['|', '>']);
    if word.is_empty() || mark { line.to_owned() } else { line.replacen(word, blank, 1) }
}

/// What `config` says, defaults included, without secrets.
pub fn effective(config: &Config) -> Value {
    let mut value = serde_json::to_value(config).expect("a configuration has only string keys and finite numbers");
    hide(&mut value);
    value
}

/// The same, so that it is a file that validates: literal keys are told apart.
pub fn exported(config: &Config) -> Value {
    let mut value = effective(config);
    tell_apart(&mut value, &mut 0);
    value
}

fn tell_apart(value: &mut Value, count: &mut usize) {
    match value {
        Value::String(text) if text == REDACTED => {
            *text = numbered(*count);
            *count += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tell_apart(item, count)),
        Value::Object(fields) => fields.values_mut().for_each(|field| tell_apart(field, count)),
        _ => {}
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::String(text) => hide_in_url(text),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("headers", Value::Object(headers)) => headers.values_mut().for_each(hide_header),
                    ("webhook", Value::String(url)) => hide_path(url),
                    (_, value) => hide(value),
                }
            }
        }
        _ => {}
    }
}

/// A reference stays.
fn hide_header(value: &mut Value) {
    if value.is_string() {
        *value = BLANK.into();
    }
}

/// User name, password and query.
fn hide_in_url(text: &mut String) {
    let Some(start) = text.find("://").map(|at| at + 3) else { return };
    if let Some(query) = text[start..].find(['?', '#']) {
        text.replace_range(start + query + 1.., BLANK);
    }
    let host = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    if let Some(user) = text[start..host].rfind('@') {
        text.replace_range(start..start + user, BLANK);
    }
}

/// The path may be the secret: only the host stays.
fn hide_path(url: &mut String) {
    let start = url.find("://").map_or(0, |at| at + 3);
    if let Some(path) = url[start..].find(['/', '?', '#']) {
        url.replace_range(start + path + 1.., BLANK);
    }
    hide_in_url(url);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_bytes;

    const TEXT: &str = r#"
version: 1   # the key sk-canary-in-a-comment was here
server:
  clients:
    - { name: a, token: canary-token }
    - { name: b, token: 'canary "quoted"' }
    - { name: c, token: { env: C_TOKEN } }
profiles:
  main:
    tier: primary
    base_url: https://a.example
    api_key: "sk-canary-1"   # plain
    proxy: http://user:canary@proxy.example:3128
    headers: { x-team: canary-team, x-more: "canary, more" }
  other:
    endpoints:
      - id: one
        base_url: https://b.example
        api_key: |
          canary-line
        client_cert: { cert: c.pem, key: { file: c.key } }
notify:
  - { on: [switch], webhook: https://hooks.example/canary/1, headers: { x-a: canary-a, x-b: { env: SHOWN } } }
"#;

    #[test]
    fn a_blanked_text_says_the_same_but_the_secrets() {
        let text = blanked(TEXT);
        assert!(!text.contains("canary") && text.contains("{ env: SHOWN }"), "{text}");
        assert_eq!(text.lines().count(), TEXT.lines().count());
        let (before, after) = [TEXT, &text].map(|text| load_bytes(Path::new("/x/qcc.yaml"), text.as_bytes())).into();
        let shown = |loaded: &crate::config::Loaded| loaded.config.as_ref().map(effective);
        assert!(after.config.is_some(), "{}\n{text}", after.report(false));
        let same = |value: Value| alike(&value.to_string());
        assert_eq!(shown(&before).map(same), shown(&after).map(same), "{text}");
        assert_eq!(after.to_value()["profiles"]["main"]["api_key"], "REDACTED-4");
    }

    #[test]
    fn what_is_exported_validates() {
        let config = load_bytes(Path::new("/x/qcc.yaml"), TEXT.as_bytes()).config.expect("valid");
        let text = exported(&config).to_string();
        let again = load_bytes(Path::new("/x/qcc.yaml"), text.as_bytes());
        assert!(again.config.is_some() && !text.contains("canary"), "{}", again.report(false));
        assert_eq!(alike("a REDACTED-12 REDACTED-x REDACTED"), "a REDACTED REDACTED-x REDACTED");
    }

    #[test]
    fn a_text_without_secrets_stays_and_blanking_twice_is_blanking_once() {
        let plain = "version: 1\nprofiles: { a: { base_url: 'https://a.example', api_key: { env: A } } }\n";
        assert_eq!(blanked(plain), plain);
        assert_eq!(alike(&blanked(&blanked(TEXT))), alike(&blanked(TEXT)));
    }

    #[test]
    fn a_hash_in_a_text_begins_no_comment() {
        let text = "version: 1\nprofiles:\n  a: { description: 'account #2', base_url: 'https://a.example', api_key: { command: \
                    [print, 'key #1'] } }\n  'b #': { description: a#b, api_key: { command: [c, d] } } # api_key: canary\n";
        assert_eq!(blanked(text), text.replace("canary", BLANK));
    }

    #[test]
    fn effective_values_hold_no_secret() {
        let config = load_bytes(Path::new("/x/qcc.yaml"), TEXT.as_bytes()).config.expect("valid");
        let shown = effective(&config).to_string();
        assert!(
            !shown.contains("canary")
                && shown.contains("hooks.example")
                && shown.contains("proxy.example")
                && shown.contains("SHOWN"),
            "{shown}"
        );
    }
}
