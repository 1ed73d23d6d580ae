//! `qcc priority list`: the tiers with their profiles, and the policy.

use std::path::Path as File;
use std::process::ExitCode;

use clap::ValueEnum as _;
use serde_json::{Value, json};

use crate::cli::edit::{self, Failure, Tier};
use crate::cli::place::Place;
use crate::cli::seen::Seen;
use crate::cli::stdout;
use crate::config::Config;

/// The active profile, as far as it is known.
struct Lead {
    active: Option<String>,
    pinned: bool,
    running: bool,
}

/// Prints them.
pub(super) fn run(as_json: bool, named: Option<&File>) -> ExitCode {
    edit::end(Place::of(named).and_then(|place| {
        let config = place.config()?.clone();
        let lead = lead(place)?;
        let shown = if as_json { format!("{:#}\n", document(&config, &lead)) } else { list(&config, &lead) };
        Ok(stdout::print(&shown, ExitCode::SUCCESS))
    }))
}

/// Without a proxy and its state none is active yet.
fn lead(place: Place) -> Result<Lead, Failure> {
    let seen = Seen::of(place)?;
    let running = seen.status().is_some();
    if !running && seen.as_of().is_none() {
        return Ok(Lead { active: None, pinned: false, running });
    }
    let failover = seen.failover(0)?;
    Ok(Lead { active: failover.active, pinned: failover.pinned, running })
}

/// The profiles of `tier`, in the order of the file.
fn of(config: &Config, tier: Tier) -> Vec<&str> {
    let all = config.profiles.iter();
    let named = all.filter(|(_, spec)| spec.tier.map(crate::config::model::Tier::as_str) == Some(tier.as_str()));
    named.map(|(name, _)| name.as_str()).collect()
}

fn list(config: &Config, lead: &Lead) -> String {
    let mark = if lead.pinned { " (active, pinned)" } else { " (active)" };
    let marked =
        |name: &str| if lead.active.as_deref() == Some(name) { format!("{name}{mark}") } else { name.to_owned() };
    let tiers = Tier::value_variants().iter().map(|tier| {
        let names: Vec<String> = of(config, *tier).into_iter().map(marked).collect();
        let names = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        format!("{:17}  {names}\n", tier.as_str())
    });
    format!("{}\n{}", tiers.collect::<String>(), edit::shown(&config.failover))
}

fn document(config: &Config, lead: &Lead) -> Value {
    let tiers = Tier::value_variants().iter().map(|tier| (tier.as_str().to_owned(), json!(of(config, *tier))));
    json!({
        "running": lead.running,
        "active": lead.active,
        "pinned": lead.pinned,
        "tiers": tiers.collect::<serde_json::Map<_, _>>(),
        "policy": config.failover,
    })
}
