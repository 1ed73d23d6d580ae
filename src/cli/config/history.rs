//! `qcc config history`, `show`, `diff` and `rollback`: the accepted files that the proxy has kept.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::named;
use crate::cli::accepted::{Kept, comparable};
use crate::cli::edit::{self, EditArgs, Failure, Sheet};
use crate::cli::table::table;
use crate::cli::{paths, stdout};
use crate::config::{BLANK, alike, blanked, load_bytes};
use crate::patch::{self, Edit, Path};

/// What can be typed after `qcc config history`.
#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    /// How many, the newest first.
    #[arg(short, value_name = "N", default_value_t = 20)]
    n: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc config show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Number of the accepted file, see `qcc config history`.
    revision: u64,
}

/// What can be typed after `qcc config diff`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// Number of an accepted file.
    a: u64,
    /// Number of another one.
    b: u64,
}

/// What can be typed after `qcc config rollback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RollbackArgs {
    /// Number of the accepted file to go back to, see `qcc config history`.
    revision: u64,
    #[command(flatten)]
    edit: EditArgs,
}

/// Lists what is kept.
pub(super) fn history(args: &HistoryArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let kept = Kept::of(&sheet)?;
        let rows = rows(&kept)?;
        let shown = rows.iter().rev().take(args.n);
        let text = if args.json {
            let list: Vec<&Value> = shown.collect();
            format!("{:#}\n", json!({ "file": sheet.path(), "revisions": list }))
        } else {
            let oldest = rows.first().map(|row| &row["revision"]);
            let cells: Vec<Vec<String>> = shown.map(|row| cells(row, oldest)).collect();
            table(&["REVISION", "ACCEPTED", "SHA-256", "CHANGES"], &cells)
        };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// Every kept file, the oldest first, with what it changed.
fn rows(kept: &Kept) -> Result<Vec<Value>, Failure> {
    let mut before = None;
    let mut rows = Vec::new();
    for revision in &kept.revisions {
        let text = kept.text(revision.number)?;
        let config = comparable(&text);
        let words = before.as_ref().zip(config.as_ref()).map(|(old, new)| crate::snapshot::changes::changes(old, new));
        let changes = words.map(|changes| {
            let cold = changes.restart_required.into_iter().map(|key| format!("{key}, after a restart"));
            changes.words.into_iter().chain(cold).collect::<Vec<String>>()
        });
        rows.push(json!({
            "revision": revision.number,
            "accepted": humantime::format_rfc3339_seconds(revision.at).to_string(),
            "sha256": revision.sha256,
            "changes": changes,
        }));
        before = config;
    }
    Ok(rows)
}

fn cells(row: &Value, oldest: Option<&Value>) -> Vec<String> {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let changes = row["changes"].as_array();
    let words = match changes.map(Vec::as_slice) {
        None if oldest == Some(&row["revision"]) => "the oldest that is kept".to_owned(),
        // A copy that is not valid, of an older qcc.
        None => "cannot be compared".to_owned(),
        Some([]) => "nothing that matters".to_owned(),
        Some([one]) => short(one.as_str().unwrap_or_default()),
        Some(several) => format!("{} changes", several.len()),
    };
    let sha256 = text("sha256").chars().take(12).collect();
    vec![row["revision"].to_string(), text("accepted"), sha256, words]
}

/// What fits into the line.
fn short(words: &str) -> String {
    const WIDTH: usize = 32;
    if words.chars().count() <= WIDTH {
        words.to_owned()
    } else {
        words.chars().take(WIDTH - 3).collect::<String>() + "..."
    }
}

/// Prints a kept file.
pub(super) fn show(args: &ShowArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let text = Kept::of(&sheet)?.text(args.revision)?;
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// Prints what differs between two kept files.
pub(super) fn diff(args: &DiffArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let kept = Kept::of(&sheet)?;
        let text = edit::difference(&sheet, &alike(&kept.text(args.a)?), &alike(&kept.text(args.b)?));
        let code = if text.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) };
        Ok(stdout::print(&text, code))
    }))
}

/// Makes the file say what a kept one said.
pub(super) fn rollback(args: &RollbackArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let kept = Kept::of(&sheet)?.text(args.revision)?;
        let text = restored(&sheet, &kept, args.revision)?;
        let facts = Map::from_iter([("revision".to_owned(), json!(args.revision))]);
        edit::become_text(&sheet, &text, &args.edit, &facts)
    }))
}

/// `kept` with the keys that were blanked in it, as they stand at the same paths of the file now.
fn restored(sheet: &Sheet, kept: &str, revision: u64) -> Result<String, Failure> {
    let read = |text: &str| load_bytes(sheet.path(), text.as_bytes());
    let blank_now = read(&blanked(sheet.text())).to_value();
    let empty = Value::Null;
    let now = sheet.get(&[]).unwrap_or(&empty);
    let text_at = |value: &Value, path: &Path| paths::get(value, &path.0).and_then(Value::as_str).map(str::to_owned);
    let (mut text, mut missing) = (kept.to_owned(), Vec::new());
    let blanks = blanks(&Path::default(), &read(kept).to_value());
    for (path, blank) in &blanks {
        let same = text_at(&blank_now, path).is_some_and(|blank_now| alike(&blank_now) == alike(blank));
        let Some(key) = text_at(now, path).filter(|_| same) else {
            missing.push(format!("`{path}`"));
            continue;
        };
        // Through an alias it cannot be set, and need not be: it is where the anchor is.
        let edit = Edit::Set { path: path.clone(), value: json!(key) };
        if let Ok(patch) = patch::plan(&read(&text), &[edit]) {
            text = patch.after;
        }
    }
    let again = read(&text).to_value();
    missing.extend(
        blanks
            .iter()
            .filter(|(path, _)| text_at(&again, path) != text_at(now, path))
            .map(|(path, _)| format!("`{path}`")),
    );
    missing.dedup();
    if missing.is_empty() {
        return Ok(text);
    }
    let why = format!(
        "{} stood in clear in revision {revision}: that is not kept, and the file has none there now",
        missing.join(", ")
    );
    let what = format!(
        "`qcc config show {revision}` prints it with the keys blanked, to be taken over by hand with references"
    );
    Err(Failure::Refused(format!("{why}; {what}")))
}

/// Every value with something blanked in it.
fn blanks(path: &Path, value: &Value) -> Vec<(Path, String)> {
    match value {
        Value::String(text) if text.contains(BLANK) => vec![(path.clone(), text.clone())],
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| blanks(&path.clone().key(key), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, item)| blanks(&named(path, at, item), item)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_is_called_so() {
        let row = |revision: u64, changes: Value| json!({ "revision": revision, "changes": changes });
        let rows = [row(4, Value::Null), row(5, Value::Null), row(6, json!([])), row(7, json!(["a: removed"]))];
        let oldest = Some(&rows[0]["revision"]);
        let words: Vec<String> = rows.iter().filter_map(|row| cells(row, oldest).pop()).collect();
        assert_eq!(words, ["the oldest that is kept", "cannot be compared", "nothing that matters", "a: removed"]);
    }
}
