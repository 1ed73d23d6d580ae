//! `qcc health`: how endpoints do, and their checks.
//!
//! `test` asks an endpoint by itself and needs no proxy; `check` has the running proxy ask, and counts; the others show what
//! is known.

mod abreast;
mod check;
mod config;
mod days;
mod history;
mod metrics;
mod status;
pub(super) mod test;

use std::path::Path as File;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::complete;
use super::edit::{Failure, Sheet};

/// What can be done with checks.
#[derive(Debug, Subcommand)]
pub(super) enum HealthCommand {
    /// Ask endpoints for one small conversation, without a proxy; changes nothing. Runs no `command:` that prints a key.
    Test(test::TestArgs),
    /// Have the running proxy check endpoints now, and wait for it. Needs a running proxy.
    Check(WhichArgs),
    /// Show every figure: of checks and of requests, or by the day.
    Metrics(metrics::MetricsArgs),
    /// Show how endpoints are, one a line.
    Status(WhichArgs),
    /// Show the last checks of an endpoint.
    History(history::HistoryArgs),
    /// Change how endpoints are checked. Without flags: show it.
    Config(config::ConfigArgs),
}

/// Of one endpoint, or of all.
#[derive(Debug, Args)]
pub(super) struct WhichArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so. Without it: all that take traffic.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    endpoint: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `qcc health ...`.
pub(super) fn run(command: &HealthCommand, named: Option<&File>) -> ExitCode {
    match command {
        HealthCommand::Test(args) => test::run(args, named),
        HealthCommand::Check(args) => check::run(args, named),
        HealthCommand::Metrics(args) => metrics::run(args, named),
        HealthCommand::Status(args) => status::run(args, named),
        HealthCommand::History(args) => history::run(args, named),
        HealthCommand::Config(args) => config::run(args, named),
    }
}

/// The whole name of an endpoint of the file.
fn whole(name: &str, named: Option<&File>) -> Result<String, Failure> {
    Ok(Sheet::open(named)?.endpoint(name)?.name())
}

/// That there is something called `name` among those that take traffic.
fn takes_traffic<T>(found: Vec<T>, name: Option<&str>) -> Result<Vec<T>, Failure> {
    match name {
        Some(name) if found.is_empty() => Err(Failure::Refused(format!(
            "`{name}` takes no traffic: it is disabled, or its profile has no tier; `qcc health test {name}` asks it all the same"
        ))),
        _ => Ok(found),
    }
}
