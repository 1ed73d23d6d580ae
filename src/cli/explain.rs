//! `qcc explain`: who would serve a request now, and why not the others.

use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::edit;
use super::place::Place;
use super::seen::Seen;
use super::stdout;
use super::table::{fitted_with_notes, table_with_notes};
use super::words::{clean, left, until};
use crate::admin::view::explain::{Candidate, ExplainQuery, Explanation};

const HEAD: [&str; 5] = ["TURN", "ENDPOINT", "TIER", "SHARE", "MODEL"];

/// What can be typed after `qcc explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The model that is asked for.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The conversation: what Claude Code sends as `x-claude-code-session-id`.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Explains. Exit code 1 where nobody would serve it.
pub(super) fn run(args: &ExplainArgs, named: Option<&File>) -> ExitCode {
    edit::end(Place::of(named).and_then(|place| {
        let seen = Seen::of(place)?;
        let query = ExplainQuery { model: args.model.clone(), session: args.session.clone() };
        let explanation = seen.explain(query)?;
        seen.tell_source();
        let served = explanation.candidates.iter().any(|candidate| candidate.turn.is_some());
        let mut document = json!(explanation);
        document["running"] = json!(seen.status().is_some());
        document["as_of"] = json!(seen.as_of());
        let text = if args.json { format!("{document:#}\n") } else { words(&explanation) };
        Ok(stdout::print(&text, if served { ExitCode::SUCCESS } else { ExitCode::from(1) }))
    }))
}

fn words(of: &Explanation) -> String {
    let now = SystemTime::now();
    let rows: Vec<_> = of.candidates.iter().map(|candidate| row(candidate, now)).collect();
    let table = table_with_notes(&HEAD, &fitted_with_notes(&HEAD, rows, &[4, 1]));
    format!("{}\n{table}", summary(of))
}

fn summary(of: &Explanation) -> String {
    let first = of.candidates.iter().filter(|candidate| candidate.turn == Some(1));
    let first: Vec<&str> = first.map(|candidate| candidate.endpoint.as_str()).collect();
    let who = match (first.as_slice(), &of.active) {
        (_, None) => "Nobody would serve it: no profile has a tier.".to_owned(),
        ([], _) => "Nobody can serve it now.".to_owned(),
        ([one], _) => format!("{one} would serve it."),
        (several, _) => format!("One of {} would serve it.", several.join(", ")),
    };
    let pinned = if of.pinned { ", pinned" } else { "" };
    let active =
        of.active.as_ref().map_or_else(String::new, |active| format!(" The active profile is {active}{pinned}."));
    let last = of.last_served_by.as_ref();
    let last = last.map_or_else(String::new, |last| format!(" The conversation was last served by {last}."));
    super::table::wrapped(&clean(&format!("{who}{active}{last}")), "")
}

fn row(of: &Candidate, now: SystemTime) -> (Vec<String>, Vec<String>) {
    let share = match (of.turn, of.share) {
        (None, _) => "-".to_owned(),
        (_, Some(share)) => format!("{share:.0}%"),
        (_, None) => format!("by {}", word(of)),
    };
    let row = vec![
        of.turn.map_or_else(|| "-".to_owned(), |turn| turn.to_string()),
        of.endpoint.clone(),
        of.tier.map_or("-", |tier| tier.as_str()).to_owned(),
        share,
        of.sent_model.as_deref().map_or_else(|| "-".to_owned(), clean),
    ];
    let until = of.until.map_or_else(String::new, |at| format!(" ({})", until(at, now)));
    let plain = of.code == "strategy";
    let why = (!plain).then(|| format!("{}{until}", clean(&of.why)));
    (row, why.into_iter().chain(models(of, now)).collect())
}

/// Models that would go elsewhere, where none is asked for.
fn models(of: &Candidate, now: SystemTime) -> impl Iterator<Item = String> {
    let rests = of.resting_models.iter();
    let rests = rests.map(move |rest| format!("rests for {} for {}", clean(&rest.model), left(rest.until, now)));
    let missing = of.missing_models.iter();
    let missing = missing
        .map(move |gone| format!("does not serve {}, asked again {}", clean(&gone.model), until(gone.until, now)));
    rests.chain(missing)
}

/// The strategy, as the file has it.
fn word(of: &Candidate) -> String {
    json!(of.strategy).as_str().unwrap_or_default().to_owned()
}
