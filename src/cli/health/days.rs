//! `qcc health metrics --days N`: what endpoints did, by the day.

use std::path::Path as File;
use std::process::ExitCode;

use serde_json::json;

use super::{WhichArgs, whole};
use crate::admin::client::ClientError;
use crate::admin::show;
use crate::admin::view::health::{Day, Days, DaysQuery};
use crate::cli::edit::{self, Failure};
use crate::cli::place::{Place, refused};
use crate::cli::stdout;
use crate::cli::table::{fitted, table};
use crate::store::endpoints;

const HEAD: [&str; 8] = ["DAY", "ENDPOINT", "WELL", "FAILED", "AVG MS", "TOKENS IN", "OUT", "CHECKS"];

/// Prints those of the last `count` days.
pub(super) fn run(args: &WhichArgs, count: u32, named: Option<&File>) -> ExitCode {
    edit::end(days(args, count, named).map(|days| {
        if days.days.is_empty() {
            eprintln!("Nothing is kept of that time.");
        }
        let text = if args.json { format!("{:#}\n", json!(days)) } else { list(&days.days) };
        stdout::print(&text, ExitCode::SUCCESS)
    }))
}

/// As the proxy knows them; without one, as they were kept.
fn days(args: &WhichArgs, count: u32, named: Option<&File>) -> Result<Days, Failure> {
    let endpoint = args.endpoint.as_deref().map(|name| whole(name, named)).transpose()?;
    let place = Place::of(named)?;
    let query = DaysQuery { endpoint: endpoint.clone(), n: Some(count) };
    match place.proxy().and_then(|proxy| proxy.ask_about("/v1/health/days", &query)) {
        Err(ClientError::NotRunning(_)) => {
            let found = place.read(|view| endpoints::days(view, show::first_day(count)))?.unwrap_or_default();
            let wanted = found.into_iter().filter(|day| endpoint.as_ref().is_none_or(|name| day.endpoint == *name));
            Ok(Days { days: wanted.map(Day::from).collect() })
        }
        told => told.map_err(refused),
    }
}

fn list(days: &[Day]) -> String {
    let rows = days.iter().map(row).collect();
    table(&HEAD, &fitted(&HEAD, rows, &[1]))
}

fn row(of: &Day) -> Vec<String> {
    vec![
        of.day.clone(),
        of.endpoint.clone(),
        of.succeeded.to_string(),
        (of.failed + of.rate_limited + of.refused).to_string(),
        of.average_ms.map_or_else(|| "-".to_owned(), |average| average.to_string()),
        of.input_tokens.to_string(),
        of.output_tokens.to_string(),
        format!("{}/{}", of.checks_succeeded, of.checks),
    ]
}
