//! `qcc priority history`: which profile became active when, and why. From the state file, whether a proxy runs or not.

use std::path::Path as File;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::HistoryArgs;
use crate::admin::view::Time;
use crate::cli::edit;
use crate::cli::place::Place;
use crate::cli::stdout;
use crate::cli::table::{Noted, table_with_notes};
use crate::cli::words::{clean, when};
use crate::store::switches::{self, Switch};
use crate::time::from_unix_ms;

/// Prints it.
pub(super) fn run(args: &HistoryArgs, named: Option<&File>) -> ExitCode {
    edit::end(Place::of(named).and_then(|place| {
        let switches = place.read(|view| switches::last(view, args.count))?.unwrap_or_default();
        let text = if args.json { format!("{:#}\n", document(&switches)) } else { list(&switches) };
        if switches.is_empty() {
            eprintln!("No switch yet.");
        }
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// The older word for the cause: `manual`, `failover`, or `auto` for what brings the better profile back.
fn kind(switch: &Switch) -> &str {
    match switch.cause.as_str() {
        "recovery" | "reload" => "auto",
        cause => cause,
    }
}

fn at(switch: &Switch) -> Time {
    Time(from_unix_ms(switch.at))
}

fn list(switches: &[Switch]) -> String {
    let row = |switch: &Switch| -> Noted {
        let (time, names) = (when(at(switch)), [&switch.from, &switch.to]);
        let [from, to] = names.map(|name| clean(name));
        let reason = Some(clean(&switch.reason)).filter(|reason| !reason.is_empty());
        (vec![time, from, to, switch.cause.clone(), kind(switch).to_owned()], reason.into_iter().collect())
    };
    let rows: Vec<Noted> = switches.iter().map(row).collect();
    table_with_notes(&["TIME", "FROM", "TO", "CAUSE", "TYPE"], &rows)
}

fn document(switches: &[Switch]) -> Value {
    let object = |switch: &Switch| {
        json!({
            "at": at(switch), "from": switch.from, "to": switch.to,
            "cause": switch.cause, "type": kind(switch), "reason": switch.reason,
        })
    };
    json!({ "switches": switches.iter().map(object).collect::<Vec<_>>() })
}
