//! `qcc status`: everything on one screen.

mod endpoint;
mod lines;

use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use self::endpoint::times;
pub(super) use self::endpoint::{figures, notes, rests, success, weight, why, word};
use self::lines::{Lines, of_proxy, queue};
use super::edit::{self, Failure};
use super::place::{Place, refused};
use super::seen::Seen;
use super::stdout;
use super::table::{Noted, fitted_with_notes, table_with_notes};
use super::words::{ago, until};
use crate::admin::view::failover::Failover;
use crate::admin::view::health::{EndpointHealth, Health};
use crate::admin::view::queue::QueueStatus;
use crate::admin::view::{Endpoint, Profile};
use crate::store::entries;

/// What can be typed after `qcc status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Print what the running proxy tells Prometheus. Needs a running proxy.
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

/// What a document has where no proxy runs.
const OF_THE_PROXY: [&str; 8] = ["version", "pid", "started", "listen", "phase", "reload", "in_flight", "connections"];

/// Shows it.
pub(super) fn run(args: &StatusArgs, named: Option<&File>) -> ExitCode {
    edit::end(Place::of(named).and_then(|place| {
        if args.prometheus {
            let metrics = place.proxy().and_then(|proxy| proxy.text("/v1/metrics")).map_err(refused)?;
            return Ok(stdout::print(&metrics, ExitCode::SUCCESS));
        }
        let seen = Seen::of(place)?;
        let whole = Whole::of(&seen)?;
        seen.tell_source();
        let text = if args.json { format!("{:#}\n", whole.json()) } else { stdout::coloured(&whole.text()) };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// Everything.
struct Whole<'s> {
    seen: &'s Seen,
    profiles: Vec<Profile>,
    failover: Failover,
    health: Health,
    queue: QueueStatus,
}

impl<'s> Whole<'s> {
    fn of(seen: &'s Seen) -> Result<Self, Failure> {
        let (profiles, failover, health) = (seen.profiles(), seen.failover(5)?, seen.health()?);
        let queue = if seen.status().is_some() {
            seen.place.proxy().and_then(|proxy| proxy.get("/v1/queue")).map_err(refused)?
        } else {
            QueueStatus::of(&seen.place.read(entries::statistics)?.unwrap_or_default())
        };
        Ok(Self { seen, profiles, failover, health, queue })
    }

    fn of_endpoint(&self, profile: &str, id: &str) -> Option<&EndpointHealth> {
        let name = format!("{profile}/{id}");
        self.health.endpoints.iter().find(|health| health.endpoint == name)
    }

    fn json(&self) -> Value {
        let place = &self.seen.place;
        let mut document = match self.seen.status() {
            Some(status) => json!(status),
            None => Value::Object(OF_THE_PROXY.iter().map(|key| ((*key).to_owned(), Value::Null)).collect()),
        };
        document["running"] = json!(self.seen.status().is_some());
        document["as_of"] = json!(self.seen.as_of());
        document["config"] = json!(place.path().display().to_string());
        document["instance"] = json!(place.id());
        document["active"] = json!(self.failover.active);
        document["pinned"] = json!(self.failover.pinned);
        document["profiles"] = self.profiles.iter().map(|profile| self.profile_json(profile)).collect();
        document["sources"] = json!(self.seen.sources());
        document["failover"] = json!(self.failover);
        document["health"] = json!(self.health);
        document["queue"] = json!(self.queue);
        document
    }

    fn profile_json(&self, profile: &Profile) -> Value {
        let mut shown = json!(profile);
        let endpoints = profile.endpoints.iter().map(|endpoint| {
            let mut shown = json!(endpoint);
            let health = self.of_endpoint(&profile.name, &endpoint.id);
            let figures = health.and_then(figures);
            shown["health"] = json!(health.map(|health| health.health));
            shown["success_rate"] = json!(figures.map(|figures| figures.success_rate));
            shown["p50_ms"] = json!(figures.and_then(|figures| figures.p50_ms));
            shown["p95_ms"] = json!(figures.and_then(|figures| figures.p95_ms));
            shown
        });
        shown["endpoints"] = endpoints.collect();
        shown
    }

    fn text(&self) -> String {
        let now = SystemTime::now();
        let mut lines = Lines::default();
        if let Some(status) = self.seen.status() {
            of_proxy(status, &mut lines, now);
        } else {
            lines.say("proxy", &"not running; `qcc proxy start` starts it");
            lines.say("file", &self.seen.place.path().display());
        }
        lines.say("active", &self.active(now));
        lines.say("chain", &self.chain());
        let sources: Vec<String> = self.seen.sources().into_iter().map(|source| source.name).collect();
        if !sources.is_empty() {
            lines.say("no traffic", &format!("{}: without a tier", sources.join(", ")));
        }
        lines.say("queue", &queue(&self.queue));
        format!("{}\n{}", lines.text(), self.endpoints(now))
    }

    fn active(&self, now: SystemTime) -> String {
        let Failover { active, pinned, since, candidate, cooldown_until, .. } = &self.failover;
        let Some(active) = active else { return "none: no profile has a tier".to_owned() };
        let since = since.map_or_else(String::new, |since| format!(", since {}", ago(since, now)));
        let pinned = if *pinned { ", pinned: `qcc priority switch --auto` lets it move again" } else { "" };
        let next = candidate.as_ref().map_or_else(String::new, |candidate| {
            let when = cooldown_until.filter(|from| now < from.0).map_or_else(
                || "once it has proved itself".to_owned(),
                |from| format!("{} at the earliest", until(from, now)),
            );
            format!("; {} returns {when}", candidate.profile)
        });
        format!("{active}{since}{pinned}{next}")
    }

    fn chain(&self) -> String {
        let link = |profile: &Profile| format!("{} ({})", profile.name, profile.tier.as_str());
        let links: Vec<String> = self.profiles.iter().map(link).collect();
        if links.is_empty() { "empty: `qcc priority set NAME primary` begins it".to_owned() } else { links.join(" > ") }
    }

    fn endpoints(&self, now: SystemTime) -> String {
        const HEAD: [&str; 6] = ["ENDPOINT", "HEALTH", "WEIGHT", "SUCCESS", "P50/P95 MS", "IN FLIGHT"];
        let mut rows: Vec<Noted> = Vec::new();
        for profile in &self.profiles {
            rows.extend(profile.endpoints.iter().map(|endpoint| self.row(profile, endpoint, now)));
            rows.extend(profile.disabled.iter().map(|id| {
                let name = format!("{}/{id}", profile.name);
                (cells([&name, "disabled", "-", "-", "-", "-"]), Vec::new())
            }));
        }
        table_with_notes(&HEAD, &fitted_with_notes(&HEAD, rows, &[0]))
    }

    fn row(&self, profile: &Profile, endpoint: &Endpoint, now: SystemTime) -> Noted {
        let health = self.of_endpoint(&profile.name, &endpoint.id);
        let figures = health.and_then(figures);
        let name = format!("{}/{}", profile.name, endpoint.id);
        let row = [
            name.as_str(),
            health.map_or("-", |health| word(health.health)),
            &weight(endpoint.weight, endpoint.effective_weight),
            &success(figures),
            &times(figures),
            &endpoint.in_flight.to_string(),
        ];
        (cells(row), notes(endpoint, health, now))
    }
}

fn cells<const N: usize>(row: [&str; N]) -> Vec<String> {
    row.map(str::to_owned).into()
}
