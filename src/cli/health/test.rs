//! `qcc health test`: one small conversation with each endpoint, from here, without a proxy.
//!
//! Nothing is counted and no state changes. Keys are found where the proxy finds them, but no program is run for one.

use std::path::Path as File;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;
use tokio::task::LocalSet;

use super::abreast::ask_all;
use crate::admin::view::health::{Check, CheckedEndpoint};
use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::stdout;
use crate::cli::table::{padded, wrapped};
use crate::cli::words::{clean, clipped};
use crate::config::Config;
use crate::config::model::Tier;
use crate::health::once::converse;
use crate::health::schedule::Policy;
use crate::net::OwnAddresses;
use crate::snapshot::Snapshot;
use crate::snapshot::build::{Inputs, build};
use crate::snapshot::secrets;
use crate::upstream::endpoint::Endpoint;

/// What can be typed after `qcc health test` and `qcc endpoint test`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// The endpoint: PROFILE/ID, or ID where only one is called so. Without it: all that are enabled.
    #[arg(value_name = "ENDPOINT", add = ArgValueCandidates::new(complete::endpoints))]
    endpoint: Option<String>,
    /// Also say what was asked, and what the answer was worth.
    #[arg(short, long)]
    verbose: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Asks them, two at once, and prints each as it comes.
pub(in crate::cli) fn run(args: &TestArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| test(args, &sheet)))
}

fn test(args: &TestArgs, sheet: &Sheet) -> Result<ExitCode, Failure> {
    let name = args.endpoint.as_deref().map(|name| sheet.endpoint(name).map(|endpoint| endpoint.name())).transpose()?;
    let config = sheet.config()?;
    let snapshot = everybody(config, sheet, name.as_deref());
    let own = OwnAddresses::new(config.server.listen.addresses().iter().filter_map(|address| address.parse().ok()));
    let wanted = |endpoint: &&Arc<Endpoint>| name.as_ref().is_none_or(|name| endpoint.id.to_string() == *name);
    let wanted: Vec<&Arc<Endpoint>> = snapshot.endpoints().filter(wanted).collect();
    let ask = |endpoint: &&Arc<Endpoint>| {
        let result = ask(endpoint, config, own.clone())?;
        let more = if args.verbose { details(endpoint, config, &result) } else { String::new() };
        Ok((line(&result) + &more, result))
    };
    let asked = ask_all(&wanted, ask, |asked: &Result<(String, _), Failure>| {
        if let (Ok((text, _)), false) = (asked, args.json) {
            stdout::print(&stdout::coloured(text), ExitCode::SUCCESS);
        }
    });
    let results: Vec<_> = asked.into_iter().map(|asked| Ok(asked?.1)).collect::<Result<_, Failure>>()?;
    if results.is_empty() {
        return Err(Failure::Refused("there is no enabled endpoint; `qcc endpoint add` adds one".to_owned()));
    }
    let code = exit(&results, name.is_some());
    let text = if args.json { format!("{:#}\n", json!({ "results": results })) } else { String::new() };
    Ok(stdout::print(&text, code))
}

/// Every endpoint as it would be run, also those of profiles that take no traffic; and `name`, even if it is disabled.
fn everybody(config: &Config, sheet: &Sheet, name: Option<&str>) -> Snapshot {
    let mut config = config.clone();
    for (profile, spec) in &mut config.profiles {
        spec.tier = spec.tier.or(Some(Tier::Fallback));
        for endpoint in &mut spec.endpoints {
            endpoint.fields.enabled |= name == Some(&format!("{profile}/{}", endpoint.id));
        }
        if let Some(fields) = &mut spec.shorthand {
            fields.enabled |= name == Some(&format!("{profile}/{profile}"));
        }
    }
    let path = std::path::absolute(sheet.path()).unwrap_or_else(|_| sheet.path().to_owned());
    let resolved = secrets::glance(&config, path.parent().unwrap_or(&path), None);
    let config = Arc::new(config);
    build(&Inputs { config, resolved: &resolved, sha256: "", generation: 0, salt: [0; 32] }, None)
}

fn ask(endpoint: &Arc<Endpoint>, config: &Config, own: OwnAddresses) -> Result<CheckedEndpoint, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let result = LocalSet::new().block_on(&runtime, converse(endpoint, &config.health, own));
    let (check, skipped) = match result {
        Ok(check) => (Some(Check::from(&check)), None),
        Err(why) => (None, Some(why)),
    };
    Ok(CheckedEndpoint { endpoint: endpoint.id.to_string(), check, skipped })
}

/// One result, and what went wrong below it.
pub(super) fn line(of: &CheckedEndpoint) -> String {
    let below = |text: &str| if text.is_empty() { String::new() } else { wrapped(&clean(text), "    ") };
    let Some(check) = &of.check else {
        return format!(
            "{}  not asked\n{}",
            padded(&clipped(&of.endpoint, 36), 36),
            below(of.skipped.as_deref().unwrap_or_default())
        );
    };
    let quality = check.quality.map_or_else(String::new, |quality| format!("  score {quality}"));
    let (result, took) = (&check.result, check.took_ms);
    let name = padded(&clipped(&of.endpoint, 36), 36);
    format!("{name}  {result:<12}  {took:>6} ms{quality}\n{}", below(&check.detail))
}

fn details(endpoint: &Endpoint, config: &Config, of: &CheckedEndpoint) -> String {
    let model = Policy::of(&config.health, &endpoint.health).model;
    let sent = endpoint.models.get(model).map_or_else(String::new, |sent| format!(", there called {sent}"));
    let worth = of.check.as_ref().map_or_else(String::new, |check| format!("    {}\n", worth(check)));
    format!("    {} asked for {model}{sent}\n{worth}", endpoint.base_url)
}

fn worth(check: &Check) -> String {
    let valid = match check.valid {
        Some(true) => "the code was repeated",
        Some(false) => "the code was not repeated",
        None => "no answer to judge",
    };
    format!("{valid}; {} tokens read, {} written", check.input_tokens, check.output_tokens)
}

/// 0 where all went well. One that was asked for and could not be tried is 2; else what was found wrong is 1.
pub(super) fn exit(results: &[CheckedEndpoint], one: bool) -> ExitCode {
    let failed = results.iter().any(|result| result.check.as_ref().is_some_and(|check| check.result != "success"));
    let skipped = results.iter().any(|result| result.check.is_none());
    let none = results.iter().all(|result| result.check.is_none());
    match (failed, skipped) {
        (false, true) if one || none => ExitCode::from(2),
        (true, _) | (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    }
}
