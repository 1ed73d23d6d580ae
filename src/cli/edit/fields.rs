//! The flags that say what an endpoint is, and the fields they become. There is none that takes a key.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

/// Where a profile stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Tier {
    /// Serves first.
    Primary,
    /// Serves second.
    Secondary,
    /// Serves last.
    Fallback,
}

impl Tier {
    /// The word used in the file.
    pub(in crate::cli) const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Fallback => "fallback",
        }
    }
}

/// Address and credential of an endpoint.
#[derive(Debug, Args)]
pub(in crate::cli) struct AccessArgs {
    /// Address of the API without `/v1`, for example `https://api.anthropic.com`.
    #[arg(long)]
    pub(in crate::cli) url: Option<String>,
    /// Environment variable that holds the key; or a line of the `.env` beside the file.
    #[arg(long, value_name = "VAR", group = "key")]
    key_env: Option<String>,
    /// File that holds the key, relative to qcc.yaml.
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,
    /// Program with arguments that prints the key, for example 'op read op://work/anthropic/key'. No shell runs it.
    #[arg(long, value_name = "COMMAND", group = "key", value_parser = program)]
    key_command: Option<Program>,
    /// Header that carries the key. Default: x-api-key.
    #[arg(long, value_name = "HEADER", value_parser = ["x-api-key", "bearer", "passthrough"])]
    auth: Option<String>,
}

impl AccessArgs {
    /// What was given, as fields in the order in which they are written.
    pub(in crate::cli) fn fields(&self) -> Map<String, Value> {
        let url = self.url.as_ref().map(|url| ("base_url", json!(url)));
        let auth = self.auth.as_ref().map(|auth| ("auth", json!(auth)));
        let fields = [url, self.key().map(|key| ("api_key", key)), auth];
        fields.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The reference to the key.
    fn key(&self) -> Option<Value> {
        let env = self.key_env.as_ref().map(|name| json!({ "env": name }));
        let file = || self.key_file.as_ref().map(|path| json!({ "file": path }));
        let command = || self.key_command.as_ref().map(|command| json!({ "command": command.0 }));
        env.or_else(file).or_else(command)
    }
}

/// Part of an endpoint in its profile, and the models it knows.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShareArgs {
    /// Share of requests among endpoints of the same priority. Default: 100.
    #[arg(short, long, value_name = "N")]
    weight: Option<u32>,
    /// Lower first. Default: 1.
    #[arg(short, long, value_name = "N")]
    priority: Option<u32>,
    /// Model name to replace, exact or with a final `*`, and the name this endpoint knows. May be given again.
    #[arg(long, value_name = "FROM=TO", value_parser = mapping)]
    model: Vec<(String, String)>,
}

impl ShareArgs {
    /// What was given, as fields in the order in which they are written.
    pub(in crate::cli) fn fields(&self) -> Map<String, Value> {
        let number = |key: &str, value: Option<u32>| value.map(|value| (key.to_owned(), json!(value)));
        let models: Map<String, Value> = self.model.iter().map(|(from, to)| (from.clone(), json!(to))).collect();
        let models = (!models.is_empty()).then(|| ("models".to_owned(), Value::Object(models)));
        [number("weight", self.weight), number("priority", self.priority), models].into_iter().flatten().collect()
    }
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let sides = text.split_once('=').map(|(from, to)| (from.trim(), to.trim()));
    let sides = sides.filter(|(from, to)| !from.is_empty() && !to.is_empty());
    sides.map(|(from, to)| (from.to_owned(), to.to_owned())).ok_or_else(|| "write FROM=TO".to_owned())
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program(Vec<String>);

/// Splits a command as a shell would, without anything else that a shell does.
fn program(command: &str) -> Result<Program, String> {
    let words = shlex::split(command).ok_or("a quote is not closed, or a backslash is the last character")?;
    if words.is_empty() { Err("name a program".to_owned()) } else { Ok(Program(words)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_people_write_it() {
        for (command, expected) in [
            ("op read op://work/key", ["op", "read", "op://work/key"].as_slice()),
            ("  cat 'my key'  ", &["cat", "my key"]),
            ("sh -c \"it's\"", &["sh", "-c", "it's"]),
            ("x ''", &["x", ""]),
            (r#"x "a \"b\"""#, &["x", "a \"b\""]),
        ] {
            assert_eq!(program(command).expect("it is one").0, expected, "{command}");
        }
        assert!(program("x 'y").is_err() && program("x \\").is_err() && program(" ").is_err());
    }

    #[test]
    fn a_model_is_mapped_from_one_name_to_another() {
        assert_eq!(mapping("claude-*=glm-5"), Ok(("claude-*".to_owned(), "glm-5".to_owned())));
        assert!(mapping("claude").is_err() && mapping("=x").is_err() && mapping("x=").is_err());
    }
}
