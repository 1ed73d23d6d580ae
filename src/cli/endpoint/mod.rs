//! `qcc endpoint`: the endpoints of the file.
//!
//! An endpoint is named `PROFILE/ID`, or `ID` where only one is called so.

mod add;
mod list;
mod reset;
mod wizard;

use std::path::Path as File;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use super::complete;
use super::edit::{self, AccessArgs, EditArgs, Endpoint, Failure, ShareArgs, Sheet};
use super::health::test::{self, TestArgs};
use crate::patch::Edit;

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub(super) enum EndpointCommand {
    /// Add an endpoint, or the endpoints of another profile; one that is there already is updated.
    Add(add::AddArgs),
    /// List the endpoints of the file, and how they are doing.
    List(list::ListArgs),
    /// Change fields of an endpoint.
    Set(SetArgs),
    /// Move an endpoint to another place in its profile.
    Move(MoveArgs),
    /// Remove an endpoint.
    Remove(RemoveArgs),
    /// Let an endpoint take part again.
    Enable(SwitchArgs),
    /// Keep an endpoint in the file without asking it.
    Disable(SwitchArgs),
    /// Ask endpoints for one small conversation, without a proxy: the same as `qcc health test`.
    Test(TestArgs),
    /// Forget what is held against an endpoint and its key: it is asked again at once.
    Reset(reset::ResetArgs),
}

/// What can be typed after `qcc endpoint set`.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    share: ShareArgs,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc endpoint move`.
#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    edit: EditArgs,
}

/// Where an endpoint is moved to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Position in the profile, from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    to: Option<u32>,
    /// Right before the endpoint with this id.
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Right after the endpoint with this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// What can be typed after `qcc endpoint remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc endpoint enable` and `disable`.
#[derive(Debug, Args)]
pub(super) struct SwitchArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    #[command(flatten)]
    edit: EditArgs,
}

/// Runs `qcc endpoint ...`.
pub(super) fn run(command: &EndpointCommand, named: Option<&File>) -> ExitCode {
    match command {
        EndpointCommand::Add(args) => add::run(args, named),
        EndpointCommand::List(args) => list::run(args, named),
        EndpointCommand::Set(args) => edit::run(named, &args.edit, |sheet| set(sheet, args)),
        EndpointCommand::Move(args) => edit::run(named, &args.edit, |sheet| reorder(sheet, args)),
        EndpointCommand::Remove(args) => edit::run(named, &args.edit, |sheet| remove(sheet, args)),
        EndpointCommand::Enable(args) => edit::run(named, &args.edit, |sheet| switch(sheet, &args.name, true)),
        EndpointCommand::Test(args) => test::run(args, named),
        EndpointCommand::Reset(args) => reset::run(args, named),
        EndpointCommand::Disable(args) => edit::run(named, &args.edit, |sheet| switch(sheet, &args.name, false)),
    }
}

fn set(sheet: &Sheet, args: &SetArgs) -> Result<Vec<Edit>, Failure> {
    let endpoint = sheet.endpoint(&args.name)?;
    let fields: Vec<(String, Value)> = args.access.fields().into_iter().chain(args.share.fields()).collect();
    if fields.is_empty() {
        return Err(Failure::CouldNot("say what to set: --url, --key-env, --auth, -w, -p, --model ...".to_owned()));
    }
    Ok(fields.iter().flat_map(|(key, value)| updates(&endpoint, key, value)).collect())
}

/// Gives a field of `endpoint` a value; of the models, only those that are named.
fn updates(endpoint: &Endpoint, key: &str, value: &Value) -> Vec<Edit> {
    let path = endpoint.path.clone().key(key);
    match value.as_object().filter(|_| key == "models") {
        Some(models) => {
            let set = |(from, to): (&String, &Value)| Edit::Set { path: path.clone().key(from), value: to.clone() };
            models.iter().map(set).collect()
        }
        None => vec![Edit::Set { path, value: value.clone() }],
    }
}

fn reorder(sheet: &Sheet, args: &MoveArgs) -> Result<Vec<Edit>, Failure> {
    let endpoint = sheet.endpoint(&args.name)?;
    if endpoint.shorthand {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = sheet.endpoints(&endpoint.profile).into_iter().map(|other| other.id).collect();
    let to = args.target.position(&ids, &endpoint)?;
    Ok(vec![Edit::MoveEndpoint { profile: endpoint.profile, id: endpoint.id, to }])
}

impl Target {
    /// The position from 0 that `endpoint` has afterwards among `ids`.
    fn position(&self, ids: &[String], endpoint: &Endpoint) -> Result<usize, Failure> {
        if let Some(to) = self.to {
            return Ok(usize::try_from(to).unwrap_or(usize::MAX).saturating_sub(1));
        }
        let mark = self.before.as_ref().or(self.after.as_ref()).map_or("", String::as_str);
        let others: Vec<&String> = ids.iter().filter(|id| **id != endpoint.id).collect();
        let at = others.iter().position(|id| *id == mark || format!("{}/{id}", endpoint.profile) == mark);
        let missing = || format!("`{}` has no other endpoint `{mark}`", endpoint.profile);
        let at = at.ok_or_else(|| Failure::Refused(missing()))?;
        Ok(at + usize::from(self.after.is_some()))
    }
}

fn remove(sheet: &Sheet, args: &RemoveArgs) -> Result<Vec<Edit>, Failure> {
    let endpoint = sheet.endpoint(&args.name)?;
    if endpoint.shorthand {
        let profile = &endpoint.profile;
        let why = format!("`{profile}` is this one endpoint; `qcc remove {profile}` removes the profile");
        return Err(Failure::Refused(why));
    }
    edit::confirm(&format!("Remove the endpoint `{}`?", endpoint.name()), args.yes, &args.edit)?;
    Ok(vec![Edit::RemoveEndpoint { profile: endpoint.profile, id: endpoint.id }])
}

/// Enabled is what an endpoint is when nothing is written.
fn switch(sheet: &Sheet, name: &str, on: bool) -> Result<Vec<Edit>, Failure> {
    let endpoint = sheet.endpoint(name)?;
    let path = endpoint.path.clone().key("enabled");
    let is_on = endpoint.fields.get("enabled") != Some(&json!(false));
    Ok(match (is_on, on) {
        (false, true) => vec![Edit::Unset { path }],
        (true, false) => vec![Edit::Set { path, value: json!(false) }],
        _ => Vec::new(),
    })
}
