//! `qcc health history`: the last checks of an endpoint.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;

use super::whole;
use crate::admin::client::ClientError;
use crate::admin::view::health::{Check, History, HistoryQuery};
use crate::cli::complete;
use crate::cli::edit::{self, Failure};
use crate::cli::place::{Place, refused};
use crate::cli::stdout;
use crate::cli::table::{Noted, table_with_notes};
use crate::cli::words::{clean, when};
use crate::health::kept;
use crate::store::checks;

/// What can be typed after `qcc health history`.
#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so.
    #[arg(add = ArgValueCandidates::new(complete::endpoints))]
    endpoint: String,
    /// At most so many; a hundred are kept.
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    count: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Prints them.
pub(super) fn run(args: &HistoryArgs, named: Option<&File>) -> ExitCode {
    edit::end(history(args, named).map(|history| {
        if history.checks.is_empty() {
            eprintln!("No check of {} yet.", history.endpoint);
        }
        let text = if args.json { format!("{:#}\n", json!(history)) } else { stdout::coloured(&list(&history.checks)) };
        stdout::print(&text, ExitCode::SUCCESS)
    }))
}

/// As the proxy knows it; without one, or of an endpoint that takes no traffic, as it was kept.
fn history(args: &HistoryArgs, named: Option<&File>) -> Result<History, Failure> {
    let (endpoint, place) = (whole(&args.endpoint, named)?, Place::of(named)?);
    let query = HistoryQuery { endpoint: endpoint.clone(), n: Some(args.count) };
    match place.proxy().and_then(|proxy| proxy.ask_about("/v1/health/history", &query)) {
        Ok(history) => Ok(history),
        Err(ClientError::NotRunning(_)) => kept(&place, endpoint, args.count),
        Err(ClientError::Refused { status, .. }) if status == http::StatusCode::NOT_FOUND => {
            kept(&place, endpoint, args.count)
        }
        Err(error) => Err(refused(error)),
    }
}

fn kept(place: &Place, endpoint: String, count: u32) -> Result<History, Failure> {
    let found = place.read(|view| checks::last(view, &endpoint, count))?.unwrap_or_default();
    let checks = found.iter().filter_map(kept::check).map(|check| Check::from(&check)).collect();
    Ok(History { endpoint, checks })
}

fn list(checks: &[Check]) -> String {
    let rows: Vec<Noted> = checks.iter().map(row).collect();
    table_with_notes(&["TIME", "RESULT", "RESPONSE", "SCORE", "KIND"], &rows)
}

fn row(of: &Check) -> Noted {
    let row = vec![
        when(of.at),
        of.result.clone(),
        format!("{} ms", of.took_ms),
        of.quality.map_or_else(|| "-".to_owned(), |quality| quality.to_string()),
        of.kind.clone(),
    ];
    (row, Some(clean(&of.detail)).filter(|detail| !detail.is_empty()).into_iter().collect())
}
