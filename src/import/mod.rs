//! Other tools' files, in qcc's words.
//!
//! A file's text -> [`detect`] (whose is it?) -> [`read`] (what it says, as [`Brought`]) -> [`plan`](plan()) (the edits of a
//! `qcc.yaml` that say the same). Each tool has a file of its own here.
//!
//! - Pure: nothing is read, looked up or written; who calls passes the texts in and carries the edits out.
//! - What cannot be carried over is in [`Brought::left`], each piece with the reason. Nothing is dropped in silence.
//! - A key is a [`Secret`](crate::config::Secret) or a reference from its first moment. No text made here holds one, nor
//!   an address that might.
//!
//! It does not judge what it carries over: the edits pass the same validation as any others.

pub mod address;
mod brought;
pub mod claude;
mod fields;
pub mod key;
mod litellm;
mod names;
mod old;
mod plan;
mod router;
mod sql;
mod switch;
#[cfg(test)]
mod tests;
mod text;

use serde_json::Value;

pub use brought::{Brought, Endpoint, Left, Profile};
pub use fields::variable;
pub use key::Key;
pub use names::{Names, free};
pub use plan::{Arrival, Plan, plan, refers};
pub use text::{NotRead, read_text};

/// A tool whose files are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The tool that qcc replaces: `cache.json` and `priority.json`.
    Qcc,
    /// Claude Code's `settings.json`.
    Claude,
    /// A LiteLLM proxy's configuration.
    LiteLlm,
    /// claude-code-router's `config.json`.
    Router,
    /// cc-switch's `config.json`, or the SQL it exports.
    Switch,
}

impl Tool {
    /// Every tool, in the order in which they are looked for.
    pub const ALL: [Self; 5] = [Self::Qcc, Self::Switch, Self::Router, Self::LiteLlm, Self::Claude];

    /// The word for it on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcc => "qcc",
            Self::Claude => "claude",
            Self::LiteLlm => "litellm",
            Self::Router => "claude-code-router",
            Self::Switch => "cc-switch",
        }
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Qcc => "the Python qcc",
            Self::Claude => "Claude Code",
            Self::LiteLlm => "LiteLLM",
            Self::Router => "claude-code-router",
            Self::Switch => "cc-switch",
        }
    }
}

/// Whose file says `value`, by the keys that only that tool has.
pub fn detect(value: &Value) -> Option<Tool> {
    let has = |pointer: &str| value.pointer(pointer).is_some();
    let is = |pointer: &str, kind: fn(&Value) -> bool| value.pointer(pointer).is_some_and(kind);
    if is("/Providers", Value::is_array) {
        Some(Tool::Router)
    } else if is("/model_list", Value::is_array) {
        Some(Tool::LiteLlm)
    } else if has("/priority_map") || (is("/profiles", Value::is_object) && !has("/version")) {
        Some(Tool::Qcc)
    } else if has("/export")
        || is("/claude/providers", Value::is_object)
        || (is("/providers", Value::is_object) && has("/current"))
    {
        Some(Tool::Switch)
    } else if ["/env", "/apiKeyHelper", "/permissions", "/hooks", "/model"].into_iter().any(has) {
        Some(Tool::Claude)
    } else {
        None
    }
}

/// What the files of `tool` say. Several belong together where a tool has several.
pub fn read(tool: Tool, files: &[Value]) -> Brought {
    match tool {
        Tool::Qcc => old::read(files),
        Tool::Claude => each(files, claude::read),
        Tool::LiteLlm => each(files, litellm::read),
        Tool::Router => each(files, router::read),
        Tool::Switch => each(files, switch::read),
    }
}

fn each(files: &[Value], read: fn(&Value) -> Brought) -> Brought {
    files.iter().map(read).fold(Brought::default(), Brought::and)
}
