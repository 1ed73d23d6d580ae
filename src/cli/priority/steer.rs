//! `qcc priority switch` and `failover`: another profile becomes active because a person says so.
//!
//! A running proxy is asked. Without one the choice is put into the state file, where the next proxy finds it.

use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{FailoverArgs, SwitchArgs};
use crate::admin::client::ClientError;
use crate::admin::view::failover::{FailOver, Steered, SwitchTo};
use crate::cli::edit::{self, Failure};
use crate::cli::place::{Place, refused};
use crate::cli::stdout;
use crate::config::Config;
use crate::config::model::ProfileSpec;
use crate::failover::chain::order;
use crate::store::lead::{self, Lead};
use crate::store::switches::{self, Switch};
use crate::time::unix_ms;

/// What a person wants.
enum Wish<'a> {
    Switch { to: &'a str, reason: Option<String> },
    Auto,
    Failover { reason: Option<String> },
}

/// `qcc priority switch`.
pub(super) fn switch(args: &SwitchArgs, named: Option<&File>) -> ExitCode {
    let wish = match &args.name {
        Some(to) => Wish::Switch { to, reason: args.reason.clone() },
        None => Wish::Auto,
    };
    run(&wish, args.json, named)
}

/// `qcc priority failover`.
pub(super) fn failover(args: &FailoverArgs, named: Option<&File>) -> ExitCode {
    run(&Wish::Failover { reason: args.reason.clone() }, args.json, named)
}

fn run(wish: &Wish<'_>, as_json: bool, named: Option<&File>) -> ExitCode {
    edit::end(Place::of(named).and_then(|place| {
        let (steered, running) = match ask(&place, wish) {
            Ok(steered) => (steered, true),
            Err(ClientError::NotRunning(_)) => (keep(&place, wish)?, false),
            Err(error) => return Err(refused(error)),
        };
        eprintln!("{}", words(wish, &steered, running));
        let document = json!({
            "active": steered.active, "from": steered.from, "pinned": steered.pinned, "released": steered.released,
            "running": running,
        });
        let text = if as_json { format!("{document:#}\n") } else { String::new() };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

fn ask(place: &Place, wish: &Wish<'_>) -> Result<Steered, ClientError> {
    let proxy = place.proxy()?;
    match wish {
        Wish::Switch { to, reason } => {
            proxy.post("/v1/failover/switch", &SwitchTo { to: (*to).to_owned(), reason: reason.clone() })
        }
        Wish::Auto => proxy.post("/v1/failover/auto", &json!({})),
        Wish::Failover { reason } => proxy.post("/v1/failover/failover", &FailOver { reason: reason.clone() }),
    }
}

fn words(wish: &Wish<'_>, of: &Steered, running: bool) -> String {
    let Steered { active, from, pinned, released } = of;
    let next = if running { "" } else { " No proxy is running: the next one begins with that." };
    let pin = match (wish, *pinned, *released) {
        (Wish::Auto, _, true) => return format!("{active} stays active and is no longer pinned.{next}"),
        (Wish::Auto, _, false) => return format!("Nothing was pinned: {active} is active.{next}"),
        (_, true, _) => ", and stays so until `qcc priority switch --auto`",
        (_, false, true) => ", and no longer pinned",
        (_, false, false) => "",
    };
    let before = from.as_ref().map_or_else(|| " already".to_owned(), |from| format!(" instead of {from}"));
    format!("{active} is active{before}{pin}.{next}")
}

/// Puts it into the state file.
fn keep(place: &Place, wish: &Wish<'_>) -> Result<Steered, Failure> {
    let config = place.config()?;
    let kept = place.read(lead::find)?.flatten();
    let before = active(config, kept.as_ref())?;
    let (to, pinned, reason) = match wish {
        Wish::Switch { to, reason } => (serving(config, to)?, true, reason.clone()),
        Wish::Auto => (before, false, None),
        Wish::Failover { reason } => (next(config, before)?, false, reason.clone()),
    };
    let released = !pinned && kept.as_ref().is_some_and(|lead| lead.pinned);
    let usual = if pinned { "switched by hand" } else { "failed over by hand" };
    let now = unix_ms(SystemTime::now());
    let switched = (to != before).then(|| Switch {
        at: now,
        from: before.to_owned(),
        to: to.to_owned(),
        cause: "manual".to_owned(),
        reason: reason.unwrap_or_else(|| usual.to_owned()),
    });
    let lead = Lead {
        active: to.to_owned(),
        pinned,
        switched: if switched.is_some() { Some(now) } else { kept.as_ref().and_then(|lead| lead.switched) },
        recovered: kept.as_ref().and_then(|lead| lead.recovered).filter(|_| switched.is_none()),
        flaps: kept.map_or(0, |lead| lead.flaps),
    };
    let from = switched.as_ref().map(|switch| switch.from.clone());
    place.write(move |tx| {
        switched.iter().try_for_each(|switch| switches::append(tx, switch))?;
        lead::save(tx, &lead)
    })?;
    Ok(Steered { active: to.to_owned(), from, pinned, released })
}

/// The chain: by tier, then in the order of the file.
fn chain(config: &Config) -> Vec<(&str, &ProfileSpec)> {
    let mut chain: Vec<_> = config.profiles.iter().filter(|(_, spec)| spec.tier.is_some()).collect();
    chain.sort_by_key(|(_, spec)| spec.tier);
    chain.into_iter().map(|(name, spec)| (name.as_str(), spec)).collect()
}

fn serves(spec: &ProfileSpec) -> bool {
    let short = spec.shorthand.iter().any(|fields| fields.enabled);
    short || spec.endpoints.iter().any(|endpoint| endpoint.fields.enabled)
}

/// The profile the next proxy would begin with.
fn active<'c>(config: &'c Config, kept: Option<&Lead>) -> Result<&'c str, Failure> {
    let chain = chain(config);
    let led = kept.and_then(|lead| chain.iter().find(|(name, spec)| *name == lead.active && serves(spec)));
    let first = led.or_else(|| chain.iter().find(|(_, spec)| serves(spec)));
    let none =
        || Failure::Refused("no profile takes traffic: `qcc priority set NAME primary` gives one a tier".to_owned());
    first.map(|(name, _)| *name).ok_or_else(none)
}

/// The profile called so, if it can be active.
fn serving<'c>(config: &'c Config, name: &str) -> Result<&'c str, Failure> {
    let known: Vec<&str> = chain(config).iter().map(|(name, _)| *name).collect();
    let unknown = || {
        let known = known.join(", ");
        Failure::Refused(format!("no profile `{name}` takes traffic; those with a tier are: {known}"))
    };
    let found = chain(config).into_iter().find(|(known, _)| *known == name);
    let (name, spec) = found.ok_or_else(unknown)?;
    if serves(spec) { Ok(name) } else { Err(Failure::Refused(format!("profile `{name}` has no enabled endpoint"))) }
}

/// The profile a request would try after `active`.
fn next<'c>(config: &'c Config, active: &str) -> Result<&'c str, Failure> {
    let chain = chain(config);
    let at = chain.iter().position(|(name, _)| *name == active).unwrap_or_default();
    let others = order(at, chain.len(), false).filter(|place| *place != at);
    let found = others.map(|place| chain[place]).find(|(_, spec)| serves(spec));
    let none = || Failure::Refused("no other profile of the chain has an enabled endpoint".to_owned());
    found.map(|(name, _)| name).ok_or_else(none)
}
