//! `qcc endpoint list`: the endpoints as the file has them, and how they are doing.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use crate::admin::view::health::EndpointHealth;
use crate::admin::view::{self, Profile};
use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::place::Place;
use crate::cli::seen::Seen;
use crate::cli::status::{figures, notes, success, weight, why, word};
use crate::cli::stdout;
use crate::cli::table::{Noted, WIDTH, fitted_with_notes, table_with_notes};
use crate::cli::words::width;
use crate::config::model::{EndpointFields, ProfileSpec};

/// The column that gives way where not all fit.
const URL: usize = 1;
const HEAD: [&str; 7] = ["ENDPOINT", "URL", "KEY", "WEIGHT", "PRIORITY", "HEALTH", "SUCCESS"];

/// What can be typed after `qcc endpoint list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those of this profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    profile: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// An endpoint and what is said of it.
struct Row<'c> {
    profile: &'c str,
    id: &'c str,
    fields: &'c EndpointFields,
}

/// How endpoints are doing, by name.
#[derive(Default)]
struct Doing(HashMap<String, (view::Endpoint, Option<EndpointHealth>)>);

/// Prints them.
pub(super) fn run(args: &ListArgs, named: Option<&Path>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let rows = rows(&sheet, args.profile.as_deref())?;
        let doing = doing(named);
        let text = if args.json { as_json(&rows, &doing) } else { stdout::coloured(&as_table(&rows, &doing)) };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// What the file says is shown in any case.
fn doing(named: Option<&Path>) -> Doing {
    let seen = Place::of(named).and_then(Seen::of);
    let asked = seen.and_then(|seen| Ok((seen.profiles(), seen.health()?.endpoints)));
    let unknown = |failure: Failure| {
        eprintln!("How they are doing is not known: {failure}");
        Doing::default()
    };
    asked.map_or_else(unknown, |(profiles, health)| Doing::of(profiles, health))
}

impl Doing {
    fn of(profiles: Vec<Profile>, health: Vec<EndpointHealth>) -> Self {
        let mut health: HashMap<String, EndpointHealth> =
            health.into_iter().map(|health| (health.endpoint.clone(), health)).collect();
        let endpoints = profiles.into_iter().flat_map(|profile| {
            profile.endpoints.into_iter().map(move |endpoint| (format!("{}/{}", profile.name, endpoint.id), endpoint))
        });
        Self(endpoints.map(|(name, endpoint)| (name.clone(), (endpoint, health.remove(&name)))).collect())
    }
}

fn rows<'c>(sheet: &'c Sheet, profile: Option<&str>) -> Result<Vec<Row<'c>>, Failure> {
    profile.map_or(Ok(()), |name| sheet.has_profile(name))?;
    let profiles = sheet.config()?.profiles.iter().filter(|(name, _)| profile.is_none_or(|wanted| wanted == *name));
    Ok(profiles.flat_map(|(name, spec)| of(name, spec)).collect())
}

fn of<'c>(profile: &'c str, spec: &'c ProfileSpec) -> impl Iterator<Item = Row<'c>> {
    let short = spec.shorthand.as_deref().map(|fields| Row { profile, id: profile, fields });
    let written = spec.endpoints.iter();
    short.into_iter().chain(written.map(move |spec| Row { profile, id: &spec.id, fields: &spec.fields }))
}

impl Row<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.profile, self.id)
    }

    /// Where the key is; never the key.
    fn key(&self) -> String {
        self.fields.api_key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
    }

    /// Health in one word. One that takes no traffic has none.
    fn health(&self, health: Option<&EndpointHealth>) -> Option<&'static str> {
        if self.fields.enabled { health.map(|health| word(health.health)) } else { Some("disabled") }
    }
}

fn as_table(rows: &[Row<'_>], doing: &Doing) -> String {
    let now = SystemTime::now();
    let mut rows: Vec<Noted> = rows.iter().map(|row| cells(row, doing, now)).collect();
    let text = table_with_notes(&HEAD, &rows);
    if text.lines().all(|line| width(line) <= WIDTH) {
        return text;
    }
    // Addresses that leave no room for the rest stand below.
    for (row, notes) in &mut rows {
        notes.insert(0, row.remove(URL));
    }
    let head: Vec<&str> = HEAD.iter().enumerate().filter(|(at, _)| *at != URL).map(|(_, name)| *name).collect();
    // Names and the places of keys as well, where even that leaves too little.
    table_with_notes(&head, &fitted_with_notes(&head, rows, &[1, 0]))
}

fn cells(row: &Row<'_>, doing: &Doing, now: SystemTime) -> Noted {
    let EndpointFields { base_url, weight: written, priority, .. } = row.fields;
    let known = doing.0.get(&row.name());
    let health = known.and_then(|(_, health)| health.as_ref());
    let weight = known.map_or_else(|| written.to_string(), |(known, _)| weight(*written, known.effective_weight));
    let state = row.health(health).unwrap_or("-").to_owned();
    let success = success(health.and_then(figures));
    let cells = vec![row.name(), base_url.clone(), row.key(), weight, priority.to_string(), state, success];
    (cells, known.map(|(known, health)| notes(known, health.as_ref(), now)).unwrap_or_default())
}

fn as_json(rows: &[Row<'_>], doing: &Doing) -> String {
    let object = |row: &Row<'_>| -> Value {
        let EndpointFields { base_url, auth, weight, priority, enabled, .. } = row.fields;
        let known = doing.0.get(&row.name());
        let (endpoint, health) = (known.map(|known| &known.0), known.and_then(|known| known.1.as_ref()));
        json!({
            "profile": row.profile, "id": row.id, "base_url": base_url, "key": row.key(), "auth": auth,
            "weight": weight, "priority": priority, "enabled": enabled,
            "effective_weight": endpoint.map(|endpoint| endpoint.effective_weight),
            "health": row.health(health),
            "standing": endpoint.map(|endpoint| endpoint.standing),
            "reason": health.and_then(why),
            "until": endpoint.and_then(|endpoint| endpoint.until),
            "success_rate": health.and_then(figures).map(|figures| figures.success_rate),
            "last_error": endpoint.and_then(|endpoint| endpoint.last_error.as_ref()),
        })
    };
    format!("{:#}\n", json!({ "endpoints": rows.iter().map(object).collect::<Vec<_>>() }))
}
