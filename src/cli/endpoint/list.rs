//! `qcc endpoint list`: the endpoints as the file has them.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::stdout;
use crate::cli::table::table;
use crate::config::model::{EndpointFields, ProfileSpec};

/// What can be typed after `qcc endpoint list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those of this profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    profile: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// An endpoint and what is said of it.
struct Row<'c> {
    profile: &'c str,
    id: &'c str,
    fields: &'c EndpointFields,
}

/// Prints them.
pub(super) fn run(args: &ListArgs, named: Option<&Path>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let rows = rows(&sheet, args.profile.as_deref())?;
        let text = if args.json { as_json(&rows) } else { as_table(&rows) };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

fn rows<'c>(sheet: &'c Sheet, profile: Option<&str>) -> Result<Vec<Row<'c>>, Failure> {
    profile.map_or(Ok(()), |name| sheet.has_profile(name))?;
    let profiles = sheet.config()?.profiles.iter().filter(|(name, _)| profile.is_none_or(|wanted| wanted == *name));
    Ok(profiles.flat_map(|(name, spec)| of(name, spec)).collect())
}

fn of<'c>(profile: &'c str, spec: &'c ProfileSpec) -> impl Iterator<Item = Row<'c>> {
    let short = spec.shorthand.as_deref().map(|fields| Row { profile, id: profile, fields });
    let written = spec.endpoints.iter();
    short.into_iter().chain(written.map(move |spec| Row { profile, id: &spec.id, fields: &spec.fields }))
}

impl Row<'_> {
    /// Where the key is; never the key.
    fn key(&self) -> String {
        self.fields.api_key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
    }
}

fn as_table(rows: &[Row<'_>]) -> String {
    let cells = |row: &Row<'_>| {
        let EndpointFields { base_url, weight, priority, enabled, .. } = row.fields;
        let enabled = if *enabled { "yes" } else { "no" };
        let id = format!("{}/{}", row.profile, row.id);
        vec![id, base_url.clone(), row.key(), weight.to_string(), priority.to_string(), enabled.to_owned()]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table(&["ENDPOINT", "URL", "KEY", "WEIGHT", "PRIORITY", "ENABLED"], &rows)
}

fn as_json(rows: &[Row<'_>]) -> String {
    let object = |row: &Row<'_>| -> Value {
        let EndpointFields { base_url, auth, weight, priority, enabled, .. } = row.fields;
        json!({
            "profile": row.profile, "id": row.id, "base_url": base_url, "key": row.key(), "auth": auth,
            "weight": weight, "priority": priority, "enabled": enabled,
        })
    };
    format!("{:#}\n", json!({ "endpoints": rows.iter().map(object).collect::<Vec<_>>() }))
}
