//! `qcc plan` and `qcc diff`: the file on disk against the file that runs.
//!
//! What runs is the last accepted file, which the proxy has kept. A proxy that answers says whether it is that one.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::accepted::{Kept, comparable};
use super::edit::{self, Failure, Sheet};
use super::stdout;
use crate::admin::view::{Reload, Status};
use crate::config::{Config, alike, blanked};
use crate::snapshot::accepted::Revision;
use crate::snapshot::changes::{Changes, changes};

/// What can be typed after `qcc plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// There is something to do.
const CHANGES: u8 = 2;

/// Prints what saving the file would do.
pub(super) fn plan(args: &PlanArgs, named: Option<&Path>) -> ExitCode {
    let planned = Sheet::open(named).and_then(|sheet| {
        let plan = Plan::of(&sheet)?;
        let text = if args.json { format!("{:#}\n", plan.json(&sheet)) } else { plan.words(&sheet) };
        let code = if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) };
        Ok(stdout::print(&text, code))
    });
    planned.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(1)
    })
}

/// Prints how the text differs from the one that runs.
pub(super) fn diff(named: Option<&Path>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let kept = Kept::of(&sheet)?;
        let nothing = || Failure::CouldNot("no accepted file is kept: no proxy has run this file yet".to_owned());
        let revision = kept.latest().ok_or_else(nothing)?;
        let text = edit::difference(&sheet, &alike(&kept.text(revision.number)?), &alike(&blanked(sheet.text())));
        let same = revision.sha256 == sheet.sha256();
        if text.is_empty() && !same {
            eprintln!("Only keys that stand in clear differ; they are not shown.");
        }
        let code = if same { ExitCode::SUCCESS } else { ExitCode::from(1) };
        Ok(stdout::print(&text, code))
    }))
}

/// What saving would do.
struct Plan {
    /// What it is compared with; `None`: no proxy has run the file.
    before: Option<Revision>,
    /// What the proxy says of itself; `None`: there is none.
    running: Option<Reload>,
    changes: Changes,
    /// Whether the texts differ at all.
    text_differs: bool,
    /// Endpoints of the file.
    endpoints: usize,
}

impl Plan {
    fn of(sheet: &Sheet) -> Result<Self, Failure> {
        let new = sheet.config()?;
        let endpoints =
            new.profiles.values().map(|spec| spec.endpoints.len() + usize::from(spec.shorthand.is_some())).sum();
        let kept = Kept::of(sheet)?;
        let before = kept.latest().cloned();
        let text = before.as_ref().map(|revision| kept.text(revision.number)).transpose()?;
        let old = match &text {
            Some(text) => {
                comparable(text).ok_or_else(|| Failure::CouldNot("the kept file is not valid here".to_owned()))?
            }
            None => Config::default(),
        };
        let new = comparable(sheet.text()).unwrap_or_else(|| new.clone());
        let running = running(sheet);
        let sha256 =
            running.as_ref().map(|running| &running.sha256).or(before.as_ref().map(|revision| &revision.sha256));
        let text_differs = sha256.is_none_or(|sha256| sha256 != sheet.sha256());
        let changes = if text_differs { changes(&old, &new) } else { Changes::default() };
        Ok(Self { before, running, changes, text_differs, endpoints })
    }

    fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Endpoints that are in both files and keep their health.
    fn keeping(&self) -> usize {
        let Changes { endpoints_added, endpoints_reset, .. } = &self.changes;
        self.endpoints.saturating_sub(endpoints_added.len() + endpoints_reset.len())
    }

    fn json(&self, sheet: &Sheet) -> Value {
        let Changes { words, restart_required, endpoints_reset, endpoints_added, endpoints_removed, endpoints_changed } =
            &self.changes;
        let before = self.before.as_ref().map(|revision| {
            let accepted = humantime::format_rfc3339_seconds(revision.at).to_string();
            json!({ "revision": revision.number, "sha256": revision.sha256, "accepted": accepted })
        });
        json!({
            "file": sheet.path(),
            "sha256": sheet.sha256(),
            "compared_with": before,
            "running": self.running.as_ref().map(|running| json!({
                "generation": running.generation,
                "sha256": running.sha256,
                "restart_required": running.restart_required,
            })),
            "text_differs": self.text_differs,
            "changes": words,
            "restart_required": restart_required,
            "endpoints": {
                "added": endpoints_added,
                "removed": endpoints_removed,
                "changed": endpoints_changed,
                "health_reset": endpoints_reset,
                "health_kept": self.keeping(),
            },
        })
    }

    fn words(&self, sheet: &Sheet) -> String {
        self.introduce(sheet);
        let Changes { words, restart_required, endpoints_reset, .. } = &self.changes;
        let mut lines: Vec<String> = words.clone();
        lines.extend(endpoints_reset.iter().map(|name| format!("endpoint {name}: its health starts anew")));
        let fate = match &self.running {
            Some(_) => "waits for a restart, the old value keeps serving",
            None => "taken at the next start",
        };
        lines.extend(restart_required.iter().map(|key| format!("{key}: {fate}")));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// What is compared, and what it comes to.
    fn introduce(&self, sheet: &Sheet) {
        let file = sheet.path().display();
        match (&self.running, &self.before) {
            (Some(running), _) => {
                eprintln!("Saving {file}, compared with what runs (generation {}):", running.generation);
            }
            (None, Some(before)) => eprintln!("No proxy runs {file}; compared with revision {}:", before.number),
            (None, None) => eprintln!("No proxy has run {file} yet; all of it is new:"),
        }
        let pending = self.running.iter().flat_map(|running| &running.restart_required);
        for key in pending {
            eprintln!("`{key}` waits for a restart already.");
        }
        match (self.is_empty(), self.text_differs) {
            (true, true) => eprintln!("Nothing that matters would change: comments, layout, or keys in clear."),
            (true, false) => eprintln!("Nothing would change."),
            (false, _) => eprintln!("{} endpoint(s) keep their health.", self.keeping()),
        }
    }
}

/// What the proxy of the file says of what it runs; `None`: nobody answers.
fn running(sheet: &Sheet) -> Option<Reload> {
    let client = sheet.found().ok()?.client().ok()?;
    client.get::<Status>("/v1/status").ok().map(|status| status.reload)
}
