//! `qcc health check`: the running proxy checks endpoints now.

use std::path::Path as File;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::abreast::ask_all;
use super::test::{exit, line};
use super::{WhichArgs, takes_traffic, whole};
use crate::admin::view::health::{CheckNow, CheckedEndpoint, CheckedNow, Health};
use crate::cli::edit::{self, Failure};
use crate::cli::place::{Place, refused};
use crate::cli::stdout;

/// A little more than the proxy takes for anything.
const PATIENCE: Duration = Duration::from_secs(95);

/// Has them checked, two at once, and prints each as it comes.
pub(super) fn run(args: &WhichArgs, named: Option<&File>) -> ExitCode {
    edit::end(check(args, named))
}

fn check(args: &WhichArgs, named: Option<&File>) -> Result<ExitCode, Failure> {
    let name = args.endpoint.as_deref().map(|name| whole(name, named)).transpose()?;
    let proxy = Place::of(named)?.proxy().map_err(refused)?;
    let known: Health = proxy.get("/v1/health").map_err(refused)?;
    let known = known.endpoints.into_iter().map(|of| of.endpoint);
    let wanted = known.filter(|known| name.as_ref().is_none_or(|name| known == name)).collect();
    let ask = |endpoint: &String| {
        let body = CheckNow { endpoint: Some(endpoint.clone()) };
        proxy.post_within::<_, CheckedNow>("/v1/health/check", &body, PATIENCE).map_err(refused)
    };
    let told = ask_all(&takes_traffic(wanted, name.as_deref())?, ask, |told| {
        let lines = told.iter().flat_map(|found| &found.results).map(line);
        if !args.json {
            stdout::print(&stdout::coloured(&lines.collect::<String>()), ExitCode::SUCCESS);
        }
    });
    let results: Vec<CheckedNow> = told.into_iter().collect::<Result<_, _>>()?;
    let results: Vec<CheckedEndpoint> = results.into_iter().flat_map(|found| found.results).collect();
    let code = exit(&results, name.is_some());
    let text = if args.json { format!("{:#}\n", json!({ "results": results })) } else { String::new() };
    Ok(stdout::print(&text, code))
}
