//! `qcc endpoint reset`: what is held against an endpoint is forgotten.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;

use crate::admin::client::ClientError;
use crate::admin::view::{Reset, WasReset};
use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::place::{Place, refused};
use crate::cli::seen::Seen;
use crate::cli::stdout;
use crate::health::keep;

/// What can be typed after `qcc endpoint reset`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResetArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    /// Print one JSON document: endpoint, was_out, key_was_dead.
    #[arg(long)]
    json: bool,
}

/// Has the proxy forget it; without one, the state file.
pub(super) fn run(args: &ResetArgs, named: Option<&File>) -> ExitCode {
    edit::end(reset(args, named).map(|was| {
        say(&was);
        let text = if args.json { format!("{:#}\n", json!(was)) } else { String::new() };
        stdout::print(&text, ExitCode::SUCCESS)
    }))
}

fn reset(args: &ResetArgs, named: Option<&File>) -> Result<WasReset, Failure> {
    let endpoint = Sheet::open(named)?.endpoint(&args.name)?.name();
    let place = Place::of(named)?;
    let body = Reset { endpoint: endpoint.clone() };
    match place.proxy().and_then(|proxy| proxy.post("/v1/endpoints/reset", &body)) {
        Ok(was) => Ok(was),
        Err(ClientError::NotRunning(_)) => forgive(place, endpoint),
        Err(error) => Err(refused(error)),
    }
}

/// In the state that the last proxy left, if there is one.
fn forgive(place: Place, name: String) -> Result<WasReset, Failure> {
    let seen = Seen::of(place)?;
    let no_traffic = || {
        Failure::Refused(format!(
            "`{name}` takes no traffic: it is disabled, or its profile has no tier; nothing is held against it"
        ))
    };
    let endpoint = seen.left(&name).ok_or_else(no_traffic)?;
    let now = crate::time::Moment::now();
    let was_out = endpoint.state.standing(now) != crate::upstream::breaker::Standing::Admitting;
    let key_was_dead = endpoint.key.is_dead();
    if seen.as_of().is_some() {
        seen.place.write(keep::forgive(endpoint))?;
    }
    Ok(WasReset { endpoint: name, was_out, key_was_dead })
}

fn say(was: &WasReset) {
    let WasReset { endpoint, was_out, key_was_dead } = was;
    let what = match (was_out, key_was_dead) {
        (false, false) => "nothing was held against it",
        (true, false) => "it was out",
        (false, true) => "its key had been refused",
        (true, true) => "it was out, and its key had been refused",
    };
    eprintln!("{endpoint} is asked again: {what}.");
}
