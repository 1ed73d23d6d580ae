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
use crate::cli::words::clean;
use crate::health::kept;
use crate::time::Moment;

/// What can be typed after `qcc endpoint reset`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResetArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    name: String,
    /// Print one JSON document: endpoint, was_out, key_was_dead, key_rested, models.
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
            "`{name}` takes no traffic: it is disabled, or its profile has no tier; a running proxy resets it all the same"
        ))
    };
    let endpoint = seen.left(&name).ok_or_else(no_traffic)?;
    // Of the endpoint as it would be run: what lasts is in the state.
    let forgotten = endpoint.reset(Moment::now());
    if seen.as_of().is_some() {
        seen.place.write(kept::forgive(endpoint))?;
    }
    Ok(WasReset::of(name, forgotten))
}

fn say(was: &WasReset) {
    eprintln!("{} is asked again: {}.", was.endpoint, held(was));
}

/// What was held against it.
fn held(was: &WasReset) -> String {
    let models = was.models.iter().map(|model| clean(model)).collect::<Vec<_>>().join(", ");
    let told = [
        (was.was_out, "it was out".to_owned()),
        (was.key_was_dead, "its key had been refused".to_owned()),
        (was.key_rested, "its key rested".to_owned()),
        (!was.models.is_empty(), format!("it took no requests for {models}")),
    ];
    let told: Vec<String> = told.into_iter().filter_map(|(holds, words)| holds.then_some(words)).collect();
    match told.as_slice() {
        [] => "nothing was held against it".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_held_against_it_is_said() {
        let of = |was_out, key_was_dead, models: &[&str]| {
            let models = models.iter().map(|model| (*model).to_owned()).collect();
            held(&WasReset { endpoint: "p/a".to_owned(), was_out, key_was_dead, key_rested: key_was_dead, models })
        };
        assert_eq!(of(false, false, &[]), "nothing was held against it");
        assert_eq!(of(false, false, &["opus"]), "it took no requests for opus");
        assert_eq!(of(true, true, &[]), "it was out, its key had been refused, and its key rested");
    }
}
