//! The one type that holds a secret, and where the file says to find one.
//!
//! Invariants:
//! - a [`Secret`] shows itself as `[redacted]` in Debug, Display and Serialize, and is wiped when dropped;
//! - [`Secret::expose`] is the only way to its text; call it where the credential is put on the wire, nowhere else;
//! - reading the file never resolves a reference: that is the running proxy's job (`snapshot::secrets`).

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::units::Dur;

/// What stands in the place of a secret wherever one would be shown.
pub const REDACTED: &str = "[redacted]";
/// What clients of qcc send in the place of a key. Where a variable holds it, the key is elsewhere.
pub const PLACEHOLDER: &str = "proxy-managed";

/// A secret text: a key or a token. Cheap to clone; all clones share one buffer that is wiped with the last.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes over `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The secret text itself. For the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// Where a secret is found: a reference (`env`, `file`, `command`), or the text itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SecretSpec {
    /// The secret itself, in clear. It works, and `qcc validate` warns: the file is meant for git.
    Literal(Secret),
    /// An environment variable of the proxy, else a line of the `.env` beside the file.
    Env(EnvRef),
    /// A file that holds the secret; watched, and read again when it changes.
    File(FileRef),
    /// A program that prints the secret.
    Command(CommandRef),
}

/// `env: NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvRef {
    /// Name of the environment variable, looked up in the proxy's environment, then in the `.env` beside the file.
    #[schemars(
        regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"),
        extend(
            "patternErrorMessage" = "write the name of a variable: letters, digits and `_`, no digit first",
            "examples" = ["WORK_ANTHROPIC_KEY"]
        )
    )]
    pub env: String,
}

/// `file: PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Path of the file that holds the secret, relative to qcc.yaml. White space around the secret is ignored.
    #[schemars(length(min = 1))]
    pub file: PathBuf,
}

/// `command: [PROGRAM, ARGUMENT...]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRef {
    /// Program and arguments that print the secret; run without a shell, by the running proxy only.
    #[schemars(length(min = 1), example = ["op", "read", "op://work/anthropic/key"])]
    pub command: Vec<String>,
    /// How often the program is run again.
    #[serde(default = "default_refresh")]
    pub refresh: Dur,
    /// How long the program may take.
    #[serde(default = "default_timeout")]
    pub timeout: Dur,
}

const fn default_refresh() -> Dur {
    Dur::secs(3600)
}

const fn default_timeout() -> Dur {
    Dur::secs(10)
}

impl fmt::Display for SecretSpec {
    /// Names the source, never the secret: `env WORK_KEY`, `file /run/secrets/glm`, `command op`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("a literal"),
            Self::Env(env) => write!(f, "env {}", env.env),
            Self::File(file) => write!(f, "file {}", file.file.display()),
            Self::Command(command) => {
                write!(f, "command {}", command.command.first().map_or("", String::as_str))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let spec: SecretSpec = serde_json::from_str("\"sk-canary\"").expect("a string is a literal");
        let shown = format!("{spec} {spec:?} {}", serde_json::to_string(&spec).expect("serialises"));
        assert!(!shown.contains("canary"), "{shown}");
        let SecretSpec::Literal(secret) = spec else { panic!("{spec:?}") };
        assert_eq!(secret.expose(), "sk-canary");
        assert!(!format!("{secret} {secret:?}").contains("canary"));
    }

    #[test]
    fn references_are_told_apart_by_their_key() {
        for (text, shown) in [
            (r#"{"env":"KEY"}"#, "env KEY"),
            (r#"{"file":"/run/key"}"#, "file /run/key"),
            (r#"{"command":["op","read"]}"#, "command op"),
        ] {
            let spec: SecretSpec = serde_json::from_str(text).expect(text);
            assert_eq!(spec.to_string(), shown);
        }
    }
}
