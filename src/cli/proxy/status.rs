//! `qcc proxy status`: whether the proxy of a file runs.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use super::stop::counted;
use super::{NOTHING, Site};
use crate::admin::view::Status;
use crate::app::lock::Holder;
use crate::cli::place::proxy_of;
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
    let holder = site.holder()?;
    let code = if holder.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NOTHING) };
    let text = if args.json { document(site, holder.as_ref()) } else { words(site, holder.as_ref()) };
    Ok(print(&text, code))
}

fn document(site: &Site, holder: Option<&Holder>) -> String {
    let document = match holder {
        None => json!({ "running": false, "file": site.path }),
        Some(holder) => json!({
            "running": true,
            "file": site.path,
            "generation": generation(site),
            "pid": holder.pid,
            "version": holder.version,
            "started": humantime::format_rfc3339_seconds(holder.started).to_string(),
            "uptime_seconds": uptime(holder).as_secs(),
            "addresses": holder.addresses,
            "log": holder.log,
            "draining": holder.draining,
            "supervised": holder.supervised,
        }),
    };
    format!("{document:#}\n")
}

fn words(site: &Site, holder: Option<&Holder>) -> String {
    let Some(holder) = holder else { return format!("{}\n", site.nobody()) };
    let mut lines = vec![
        ("running", format!("process {}, for {}", holder.pid, humantime::format_duration(uptime(holder)))),
        ("file", site.path.display().to_string()),
    ];
    lines.extend(generation(site).map(|generation| ("config", format!("generation {generation}"))));
    lines.extend(holder.addresses.iter().map(|address| ("address", address.clone())));
    lines.extend(holder.log.iter().map(|log| ("log", log.display().to_string())));
    lines.extend(holder.draining.iter().map(|requests| ("stopping", format!("finishes {}", counted(*requests)))));
    let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name:<8}  {value}\n")).collect();
    lines.concat()
}

/// How many files it has accepted, if it can be asked.
fn generation(site: &Site) -> Option<u64> {
    let status: Status = proxy_of(&site.path).ok()?.get("/v1/status").ok()?;
    Some(status.reload.generation)
}

/// In whole seconds.
fn uptime(holder: &Holder) -> Duration {
    let uptime = SystemTime::now().duration_since(holder.started).unwrap_or_default();
    Duration::from_secs(uptime.as_secs())
}
