//! `qcc proxy status`: whether the proxy of a file runs.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use super::stop::counted;
use super::{NOTHING, Site};
use crate::admin::view::Status;
use crate::app::lock::Holder;
use crate::app::search::Found;
use crate::cli::stdout::print;

/// How it is shown.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &StatusArgs, site: &Site) -> Result<ExitCode, String> {
    let found = site.found()?;
    let code = if found.holder.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NOTHING) };
    let text = if args.json { document(site, &found) } else { words(site, &found) };
    Ok(print(&text, code))
}

fn document(site: &Site, found: &Found) -> String {
    let document = match &found.holder {
        None => json!({ "running": false, "file": site.path }),
        Some(holder) => json!({
            "running": true,
            "file": site.path,
            "generation": generation(found),
            "pid": holder.pid,
            "version": holder.version,
            "started": humantime::format_rfc3339_seconds(holder.started).to_string(),
            "uptime_seconds": uptime(holder).as_secs(),
            "addresses": holder.addresses,
            "state_dir": holder.state,
            "log": holder.log,
            "draining": holder.draining,
            "supervised": holder.supervised,
        }),
    };
    format!("{document:#}\n")
}

fn words(site: &Site, found: &Found) -> String {
    let Some(holder) = &found.holder else { return format!("{}\n", site.nobody()) };
    let mut lines = vec![
        ("running", format!("process {}, for {}", holder.pid, humantime::format_duration(uptime(holder)))),
        ("file", site.path.display().to_string()),
    ];
    lines.extend(generation(found).map(|generation| ("config", format!("generation {generation}"))));
    lines.extend(holder.addresses.iter().map(|address| ("address", address.clone())));
    lines.push(("state", holder.state.display().to_string()));
    lines.extend(holder.log.iter().map(|log| ("log", log.display().to_string())));
    lines.extend(holder.draining.iter().map(|requests| ("stopping", format!("finishes {}", counted(*requests)))));
    let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name:<8}  {value}\n")).collect();
    lines.concat()
}

/// How many files it has accepted, if it can be asked.
fn generation(found: &Found) -> Option<u64> {
    let status: Status = found.client().ok()?.get("/v1/status").ok()?;
    Some(status.reload.generation)
}

/// In whole seconds.
fn uptime(holder: &Holder) -> Duration {
    let uptime = SystemTime::now().duration_since(holder.started).unwrap_or_default();
    Duration::from_secs(uptime.as_secs())
}
