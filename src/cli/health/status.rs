//! `qcc health status`: how endpoints are, one a line.

use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{WhichArgs, takes_traffic, whole};
use crate::admin::view::health::{EndpointHealth, Health};
use crate::cli::edit::{self, Failure};
use crate::cli::place::Place;
use crate::cli::seen::Seen;
use crate::cli::status::{figures, rests, success, why, word};
use crate::cli::stdout;
use crate::cli::table::{Noted, fitted_with_notes, table_with_notes};
use crate::cli::words::{ago, clean, until, when};

const HEAD: [&str; 6] = ["ENDPOINT", "HEALTH", "SCORE", "SUCCESS", "CHECKS", "LAST CHECK"];

/// Prints it.
pub(super) fn run(args: &WhichArgs, named: Option<&File>) -> ExitCode {
    edit::end(look(args, named).map(|(seen, health)| {
        seen.tell_source();
        let text = if args.json { document(&seen, &health) } else { stdout::coloured(&list(&health)) };
        stdout::print(&text, ExitCode::SUCCESS)
    }))
}

/// What is known of the endpoints that are asked for.
pub(super) fn look(args: &WhichArgs, named: Option<&File>) -> Result<(Seen, Health), Failure> {
    let name = args.endpoint.as_deref().map(|name| whole(name, named)).transpose()?;
    let seen = Seen::of(Place::of(named)?)?;
    let mut health = seen.health()?;
    health.endpoints.retain(|of| name.as_ref().is_none_or(|name| of.endpoint == *name));
    health.endpoints = takes_traffic(health.endpoints, name.as_deref())?;
    Ok((seen, health))
}

/// The same for programs.
pub(super) fn document(seen: &Seen, health: &Health) -> String {
    let mut document = json!(health);
    document["running"] = json!(seen.status().is_some());
    document["as_of"] = json!(seen.as_of());
    format!("{document:#}\n")
}

fn list(health: &Health) -> String {
    let now = SystemTime::now();
    let rows: Vec<Noted> = health.endpoints.iter().map(|of| row(of, now)).collect();
    table_with_notes(&HEAD, &fitted_with_notes(&HEAD, rows, &[0]))
}

fn row(of: &EndpointHealth, now: SystemTime) -> Noted {
    let figures = figures(of);
    let row = vec![
        of.endpoint.clone(),
        word(of.health).to_owned(),
        figures.map_or_else(|| "-".to_owned(), |figures| format!("{:.0}", figures.score)),
        success(figures),
        of.checks.total.to_string(),
        of.checks.last.as_ref().map_or_else(|| "never".to_owned(), |last| ago(last.at, now)),
    ];
    let until = of.until.map_or_else(String::new, |at| format!(", until {} ({})", when(at), until(at, now)));
    let note = why(of).map(|why| format!("{}{until}", clean(&why)));
    (row, note.into_iter().chain(rests(&of.resting_models, now)).collect())
}
