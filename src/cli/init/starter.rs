//! The text of a new qcc.yaml: short, commented, and valid as it is.

use std::fmt::Write as _;

use crate::config::model::Auth;

/// Name of the schema file the modeline points to, beside the file itself.
pub(super) const SCHEMA: &str = "qcc.schema.json";

/// An endpoint to start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Its id.
    pub(super) id: String,
    /// Its address.
    pub(super) base_url: String,
    /// Where its key is.
    pub(super) key: Reference,
    /// The header of its key.
    pub(super) auth: Auth,
    /// Where it was taken over from, in words.
    pub(super) from: Option<&'static str>,
}

/// Where a key is. There is no variant that holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// A variable of the environment or of `.env`.
    Env(String),
    /// A shell command that prints it.
    Shell(String),
}

const HEAD: &str = "\
# yaml-language-server: $schema=./qcc.schema.json
#
# Who may answer, and what happens when they fail. Made for git: it refers to keys and holds none.
# `qcc proxy start` runs this file and takes every save live; `qcc validate` says what is wrong with it.
# Every key with its default is in qcc.schema.json, where editors find it by the first line.
version: 1

server:
  listen: 127.0.0.1:7860

profiles:
  main:
    tier: primary        # primary | secondary | fallback: who serves first, second, last
    strategy: weighted   # weighted | round_robin | random | least_requests | latency | priority
    endpoints:
";

const TAIL: &str = r#"
      # Another account or provider. Equal priorities share by weight; each takes over when the others fail.
      # - id: other
      #   base_url: https://api.example.com/anthropic
      #   api_key: { env: OTHER_KEY }    # env | file | command
      #   auth: bearer                   # x-api-key (default) | bearer | passthrough
      #   weight: 50                     # default 100
      #   priority: 1                    # lower first
      #   models: { "claude-*": their-model }

  # Serves what `main` cannot.
  # backup:
  #   tier: secondary
  #   base_url: https://api.anthropic.com
  #   api_key: { env: BACKUP_KEY }

# Defaults that are changed most often.
# failover: { auto_failover: true, auto_recovery: true, failure_threshold: 3, cooldown: 5m }
# timeouts: { connect: 5s, first_byte: 60s, first_byte_unary: 280s, idle: 4m, request: 285s }
# log: { level: info, format: text }
"#;

impl Start {
    /// What a new user has: an account at Anthropic, with its key in the usual variable.
    pub(super) fn usual() -> Self {
        Self {
            id: "anthropic".to_owned(),
            base_url: crate::import::address::ANTHROPIC.to_owned(),
            key: Reference::Env("ANTHROPIC_API_KEY".to_owned()),
            auth: Auth::XApiKey,
            from: None,
        }
    }
}

/// The text of a file that starts with `endpoints`, the first of which serves while it can.
pub(super) fn text(endpoints: &[Start]) -> String {
    let mut text = HEAD.to_owned();
    for (index, endpoint) in endpoints.iter().enumerate() {
        text.push_str(&item(endpoint, index + 1));
    }
    text + TAIL
}

fn item(start: &Start, priority: usize) -> String {
    let mut item = String::new();
    let origin = start.from.map(|from| format!("   # taken over from {from}")).unwrap_or_default();
    let mut line = |text: String| writeln!(item, "        {text}").expect("a String takes any text");
    line(format!("base_url: {}", scalar(&start.base_url)));
    line(key(&start.key));
    if start.auth == Auth::Bearer {
        line("auth: bearer".to_owned());
    }
    if priority > 1 {
        line(format!("priority: {priority}          # only when those before it cannot serve"));
    }
    format!("      - id: {}{origin}\n{item}", scalar(&start.id))
}

fn key(reference: &Reference) -> String {
    match reference {
        Reference::Env(name) => {
            format!("api_key: {{ env: {name} }}   # the proxy's environment, else `.env` beside this file")
        }
        // Claude Code runs it by a shell, and again after five minutes.
        Reference::Shell(text) => {
            format!("api_key: {{ command: [/bin/sh, -c, {}], refresh: 5m }}", quoted(text))
        }
    }
}

/// `text` as a YAML scalar: plain where that is certainly read back as the same string.
fn scalar(text: &str) -> String {
    let starts_as_word = text.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~%/".contains(c));
    let url = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain_url = url.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~%/:".contains(c)));
    let word = matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if (starts_as_word && plain && !word) || (plain_url && !text.ends_with(':')) {
        return text.to_owned();
    }
    quoted(text)
}

/// `text` in double quotes; JSON's escapes are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
