//! Where other tools keep their files.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::edit::Failure;
use crate::import::{self, Brought, Tool};

/// More than any of these files has.
const CAP: u64 = 16 << 20;

/// The process as it is seen from here; tests make their own.
pub(super) struct Around<'a> {
    /// Looks up an environment variable.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

/// What was found, and where.
pub(super) struct Source {
    pub(super) tool: Tool,
    pub(super) files: Vec<PathBuf>,
    pub(super) brought: Brought,
}

/// Reads `files`, or those of `from`, or those of the one tool that has some.
pub(super) fn find(from: Option<Tool>, files: &[PathBuf], around: &Around<'_>) -> Result<Source, Failure> {
    match from {
        _ if !files.is_empty() => named(from, files),
        Some(tool) => usual(tool, around)?.ok_or_else(|| Failure::Refused(nothing(&[tool], around))),
        None => only(around),
    }
}

/// Files that were named.
fn named(from: Option<Tool>, files: &[PathBuf]) -> Result<Source, Failure> {
    let values: Vec<Value> = files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let tools = files.iter().zip(&values).map(|(file, value)| from.map_or_else(|| detect(file, value), Ok));
    let tools: Vec<Tool> = tools.collect::<Result<_, _>>()?;
    match tools.iter().find(|tool| **tool != tools[0]) {
        Some(other) => {
            let why = format!("these are files of {} and of {}", tools[0].title(), other.title());
            Err(Failure::CouldNot(format!("{why}; import them one after the other")))
        }
        None => Ok(source(tools[0], files.to_vec(), &values)),
    }
}

fn detect(file: &Path, value: &Value) -> Result<Tool, Failure> {
    let unknown = || {
        let file = file.display();
        match value.get("profiles") {
            Some(_) => format!("`{file}` is a qcc.yaml: `qcc config import {file}` merges its profiles"),
            None => format!("`{file}` is of no tool that is known; --from names one: {}", words(&Tool::ALL)),
        }
    };
    import::detect(value).ok_or_else(|| Failure::CouldNot(unknown()))
}

/// The one tool whose files say something.
fn only(around: &Around<'_>) -> Result<Source, Failure> {
    let found = Tool::ALL.into_iter().filter_map(|tool| usual(tool, around).transpose());
    // A file that cannot be read says nothing; who wants it names it.
    let mut found: Vec<Source> = found.flatten().filter(|source| !source.brought.profiles.is_empty()).collect();
    match found.len() {
        0 => Err(Failure::Refused(nothing(&Tool::ALL, around))),
        1 => Ok(found.remove(0)),
        _ => {
            let tools: Vec<Tool> = found.iter().map(|source| source.tool).collect();
            Err(Failure::CouldNot(format!(
                "several tools have something to import; pick one by --from: {}",
                words(&tools)
            )))
        }
    }
}

/// The files of `tool` in their usual places, if there are any.
fn usual(tool: Tool, around: &Around<'_>) -> Result<Option<Source>, Failure> {
    let files: Vec<PathBuf> = places(tool, around).into_iter().filter(|file| file.is_file()).collect();
    if let Some(database) = files.iter().find(|file| file.extension().is_some_and(|kind| kind == "db")) {
        let why = format!("cc-switch keeps its providers in a database, `{}`", database.display());
        return Err(Failure::CouldNot(format!("{why}; export them in its settings, and pass the exported file")));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let values: Vec<Value> = files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    Ok(Some(source(tool, files, &values)))
}

fn source(tool: Tool, files: Vec<PathBuf>, values: &[Value]) -> Source {
    Source { tool, files, brought: import::read(tool, values) }
}

/// Where `tool` keeps its files.
fn places(tool: Tool, around: &Around<'_>) -> Vec<PathBuf> {
    let set = |name: &str| (around.env)(name).filter(|value| !value.trim().is_empty());
    let home = |path: &str| set("HOME").map(|home| Path::new(&home).join(path));
    let paths = match tool {
        Tool::Qcc => vec![home(".fastcc/cache.json"), home(".qcc/priority.json")],
        Tool::Claude => {
            let own = set("CLAUDE_CONFIG_DIR").map(|dir| Path::new(&dir).join("settings.json"));
            vec![own.or_else(|| home(".claude/settings.json"))]
        }
        // It has no place of its own; these are the names of its documentation.
        Tool::LiteLlm => vec![Some("litellm_config.yaml".into()), Some("litellm.yaml".into())],
        Tool::Router => vec![home(".claude-code-router/config.json")],
        // The database took the place of the file.
        Tool::Switch => vec![home(".cc-switch/cc-switch.db"), home(".cc-switch/config.json")],
    };
    paths.into_iter().flatten().collect()
}

fn nothing(tools: &[Tool], around: &Around<'_>) -> String {
    let places = tools.iter().flat_map(|tool| places(*tool, around));
    let looked: Vec<String> = places.map(|place| format!("\n  {}", place.display())).collect();
    format!("nothing to import was found; looked for{}\n`qcc import FILE` names a file", looked.concat())
}

fn words(tools: &[Tool]) -> String {
    tools.iter().map(|tool| tool.as_str()).collect::<Vec<_>>().join(", ")
}

fn read(path: &Path) -> Result<Value, Failure> {
    let could_not = |why: String| Failure::CouldNot(format!("`{}`: {why}", path.display()));
    // Asked before opening: a pipe would wait for a writer.
    let metadata = path.metadata().map_err(|error| could_not(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > CAP {
        return Err(could_not("it is not a regular file of at most 16 MiB".to_owned()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| could_not(error.to_string()))?;
    file.take(CAP).read_to_string(&mut text).map_err(|error| could_not(error.to_string()))?;
    import::read_text(&text).map_err(|why| could_not(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_usual_places() {
        let env = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        let around = Around { env: &env };
        for tool in Tool::ALL {
            assert!(!places(tool, &around).is_empty(), "{tool:?}");
        }
        assert_eq!(places(Tool::Claude, &around), [Path::new("/home/u/.claude/settings.json")]);
        let env = |name: &str| (name == "CLAUDE_CONFIG_DIR").then(|| "/c".to_owned());
        assert_eq!(places(Tool::Claude, &Around { env: &env }), [Path::new("/c/settings.json")]);
    }
}
