//! `qcc add`, `list`, `remove`, `rename`, `default`: the profiles of the file.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};

use super::complete;
use super::edit::{self, AccessArgs, EditArgs, Failure, Sheet, Tier};
use super::stdout;
use super::table::table;
use crate::config::Config;
use crate::config::model::ProfileSpec;
use crate::patch::{Edit, Path};

/// What can be typed after `qcc add`.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Name of the new profile.
    name: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Place in the chain. Without one it takes no traffic.
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Name of the profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    name: String,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc rename`.
#[derive(Debug, Args)]
pub(super) struct RenameArgs {
    /// Name of the profile so far.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    old: String,
    /// Its new name.
    new: String,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc default`.
#[derive(Debug, Args)]
pub(super) struct DefaultArgs {
    /// Name of the profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    name: String,
    #[command(flatten)]
    edit: EditArgs,
}

/// Adds a profile.
pub(super) fn add(args: &AddArgs, named: Option<&File>) -> ExitCode {
    edit::run(named, &args.edit, |_| {
        let access = args.access.fields();
        if args.access.url.is_none() && !access.is_empty() {
            return Err(Failure::CouldNot("a profile with a key or header of its own also needs --url".to_owned()));
        }
        let description = args.description.as_ref().map(|text| ("description".to_owned(), json!(text)));
        let tier = args.tier.map(|tier| ("tier".to_owned(), json!(tier.as_str())));
        let fields: Map<String, Value> = [description, tier].into_iter().flatten().chain(access).collect();
        Ok(vec![Edit::AddProfile { name: args.name.clone(), fields }])
    })
}

/// Removes a profile, after asking.
pub(super) fn remove(args: &RemoveArgs, named: Option<&File>) -> ExitCode {
    edit::run(named, &args.edit, |sheet| {
        sheet.has_profile(&args.name)?;
        let count = sheet.endpoints(&args.name).len();
        let question = format!("Remove the profile `{}` with {count} endpoint(s)?", args.name);
        edit::confirm(&question, args.yes, &args.edit)?;
        Ok(vec![Edit::RemoveProfile { name: args.name.clone() }])
    })
}

/// Renames a profile.
pub(super) fn rename(args: &RenameArgs, named: Option<&File>) -> ExitCode {
    edit::run(named, &args.edit, |sheet| {
        sheet.has_profile(&args.old)?;
        Ok(vec![Edit::RenameProfile { from: args.old.clone(), to: args.new.clone() }])
    })
}

/// Sets the default profile.
pub(super) fn default(args: &DefaultArgs, named: Option<&File>) -> ExitCode {
    edit::run(named, &args.edit, |sheet| {
        sheet.has_profile(&args.name)?;
        Ok(vec![Edit::Set { path: Path::of(&["default"]), value: json!(args.name) }])
    })
}

/// Lists the profiles.
pub(super) fn list(args: &ListArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let config = sheet.config()?;
        let text = if args.json { as_json(config) } else { as_table(config) };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

fn as_json(config: &Config) -> String {
    let profile = |(name, spec): (&String, &ProfileSpec)| {
        json!({
            "name": name,
            "tier": spec.tier,
            "endpoints": size(spec),
            "default": config.default.as_ref() == Some(name),
            "description": spec.description,
        })
    };
    format!("{:#}\n", json!({ "profiles": config.profiles.iter().map(profile).collect::<Vec<_>>() }))
}

fn as_table(config: &Config) -> String {
    let row = |(name, spec): (&String, &ProfileSpec)| {
        let mark = if config.default.as_ref() == Some(name) { "default" } else { "" };
        let description = spec.description.clone().unwrap_or_default();
        let tier = spec.tier.map_or("-", |tier| tier.as_str());
        vec![name.clone(), tier.to_owned(), size(spec).to_string(), mark.to_owned(), description]
    };
    let rows: Vec<Vec<String>> = config.profiles.iter().map(row).collect();
    table(&["PROFILE", "TIER", "ENDPOINTS", "", "DESCRIPTION"], &rows)
}

/// How many endpoints a profile has.
fn size(spec: &ProfileSpec) -> usize {
    spec.endpoints.len() + usize::from(spec.shorthand.is_some())
}
