//! One place where Claude Code looks for its address and its credentials, and what it says there.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::secret::PLACEHOLDER;
use crate::import::address::is_qcc;
use crate::import::claude;

/// More than any settings file has.
const SETTINGS_CAP: u64 = 1 << 20;

/// The process as `qcc init` sees it; tests make their own.
pub(super) struct Surroundings<'a> {
    /// Looks up an environment variable.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The directory the new file will be in.
    pub(super) directory: &'a Path,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The environment of this process.
    Environment,
    /// The user's settings of Claude Code.
    User(PathBuf),
    /// The private settings of the project.
    Project(PathBuf),
    /// The person at the terminal.
    Typed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::Typed => f.write_str("what was typed"),
            Self::User(path) | Self::Project(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// One place that was looked at.
pub(super) struct Layer {
    /// Which place.
    pub(super) source: Source,
    /// What it says.
    pub(super) values: Values,
}

/// What one place says.
#[derive(Default)]
pub(super) struct Values {
    /// `ANTHROPIC_BASE_URL`.
    pub(super) base_url: Option<String>,
    auth_token: Option<String>,
    api_key: Option<String>,
    helper: Option<String>,
}

/// Every place, the one Claude Code listens to most first.
pub(super) fn layers(around: &Surroundings<'_>, notes: &mut Vec<String>) -> Vec<Layer> {
    let variable = |name| (around.env)(name).filter(|value| !value.trim().is_empty());
    let directory = variable("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    let directory = directory.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".claude")));
    // Not from directories above: others may write there (`/tmp`).
    let project = Source::Project(around.directory.join(".claude/settings.local.json"));
    let user = directory.map(|directory| Source::User(directory.join("settings.json")));
    let mut layers = Vec::new();
    for source in std::iter::once(project).chain(user) {
        let (Source::User(path) | Source::Project(path)) = &source else { continue };
        match settings(path, matches!(source, Source::User(_))) {
            Ok(values) => layers.push(Layer { source, values }),
            Err(why) => notes.push(format!("{source} is left out: {why}")),
        }
    }
    let values = Values {
        base_url: variable("ANTHROPIC_BASE_URL"),
        auth_token: variable("ANTHROPIC_AUTH_TOKEN"),
        api_key: variable("ANTHROPIC_API_KEY"),
        helper: None,
    };
    layers.push(Layer { source: Source::Environment, values: values.without_qcc() });
    layers
}

/// What a settings file says; nothing if it is not there.
fn settings(path: &Path, helper_counts: bool) -> Result<Values, String> {
    if !path.exists() {
        return Ok(Values::default());
    }
    let value = read(path)?;
    let variable = |name| claude::variable(&value, name);
    let values = Values {
        base_url: variable("ANTHROPIC_BASE_URL"),
        auth_token: variable("ANTHROPIC_AUTH_TOKEN"),
        api_key: variable("ANTHROPIC_API_KEY"),
        helper: claude::helper(&value).filter(|_| helper_counts),
    };
    Ok(values.without_qcc())
}

fn read(path: &Path) -> Result<Value, String> {
    // Asked before opening: a pipe would wait for a writer.
    if !path.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(SETTINGS_CAP).read_to_string(&mut text).map_err(|e| e.to_string())?;
    // The parser's message names a position, never the text there.
    serde_json::from_str(&text).map_err(|e| format!("it is not JSON (line {}, column {})", e.line(), e.column()))
}

impl Values {
    /// Without the words that lead Claude Code to qcc.
    fn without_qcc(mut self) -> Self {
        self.base_url = self.base_url.filter(|url| !is_qcc(url));
        self.auth_token = self.auth_token.filter(|key| key != PLACEHOLDER);
        self.api_key = self.api_key.filter(|key| key != PLACEHOLDER);
        self
    }
}

impl Layer {
    /// The credential of that name.
    pub(super) fn credential(&self, name: &str) -> Option<&str> {
        match name {
            "ANTHROPIC_AUTH_TOKEN" => self.values.auth_token.as_deref(),
            "ANTHROPIC_API_KEY" => self.values.api_key.as_deref(),
            _ => self.values.helper.as_deref(),
        }
    }

    /// The file, if it is one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match &self.source {
            Source::Environment | Source::Typed => None,
            Source::User(path) | Source::Project(path) => Some(path.clone()),
        }
    }
}
