//! `qcc health metrics`: every figure of an endpoint, of its checks and of its requests.

use std::fmt::Write as _;
use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use super::status::{document, look};
use super::{WhichArgs, days};
use crate::admin::view::health::{Checks, EndpointHealth, Figures, Requests};
use crate::cli::edit;
use crate::cli::status::{rests, why, word};
use crate::cli::stdout;
use crate::cli::table::wrapped;
use crate::cli::words::{ago, clean, clipped, when};

/// What can be typed after `qcc health metrics`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MetricsArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// What was done in each of the last N days (UTC), today included; 400 are kept.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=400))]
    days: Option<u32>,
}

/// Prints them.
pub(super) fn run(args: &MetricsArgs, named: Option<&File>) -> ExitCode {
    if let Some(count) = args.days {
        return days::run(&args.which, count, named);
    }
    let args = &args.which;
    edit::end(look(args, named).map(|(seen, health)| {
        seen.tell_source();
        let now = SystemTime::now();
        let all: Vec<String> = health.endpoints.iter().map(|of| words(of, now)).collect();
        let text = if args.json { document(&seen, &health) } else { stdout::coloured(&all.join("\n")) };
        stdout::print(&text, ExitCode::SUCCESS)
    }))
}

fn words(of: &EndpointHealth, now: SystemTime) -> String {
    let why = why(of).map(|why| clean(&why)).into_iter().chain(rests(&of.resting_models, now));
    let why: String = why.map(|why| wrapped(&why, "    ")).collect();
    let mut text = format!("{}  {}\n{why}", clipped(&of.endpoint, 66), word(of.health));
    let mut say = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    say("weight left", &format!("{:.0}% by health, {:.0} in effect", 100.0 * of.factor, of.effective_weight));
    checks(&of.checks, &mut say);
    requests(&of.requests, &mut say);
    text
}

fn checks(of: &Checks, say: &mut impl FnMut(&str, &str)) {
    let Checks { total, succeeded, failed, timed_out, rate_limited, .. } = of;
    say(
        "checks",
        &format!("{total}: {succeeded} succeeded, {failed} failed, {timed_out} timed out, {rate_limited} rate limited"),
    );
    let others = [("invalid key", of.invalid_key), ("model error", of.model_error), ("overloaded", of.overloaded)];
    let others: Vec<_> =
        others.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    if !others.is_empty() {
        say("", &others.join(", "));
    }
    if let Some(figures) = &of.recent {
        of_figures(figures, say);
    }
    if let (Some(quality), Some(validity)) = (of.quality, of.validity) {
        say("  quality", &format!("{quality:.0}, {validity:.0}% repeated the code"));
    }
    if of.input_tokens + of.output_tokens > 0 {
        say("  cost", &format!("{} tokens read, {} written", of.input_tokens, of.output_tokens));
    }
    let last = of.last.as_ref().map(|last| format!("{} ({})", when(last.at), ago(last.at, SystemTime::now())));
    say("  last update", last.as_deref().unwrap_or("never"));
}

fn requests(of: &Requests, say: &mut impl FnMut(&str, &str)) {
    let Requests { succeeded, failed, rate_limited, refused, .. } = of;
    say("requests", &format!("{succeeded} succeeded, {failed} failed, {rate_limited} rate limited, {refused} refused"));
    if let Some(figures) = &of.recent {
        of_figures(figures, say);
    }
}

fn of_figures(of: &Figures, say: &mut impl FnMut(&str, &str)) {
    say("  success rate", &format!("{:.1}%", of.success_rate));
    let times = [of.average_ms, of.p50_ms, of.p95_ms, of.p99_ms];
    let [mean, p50, p95, p99] = times.map(|time| time.map_or("-".to_owned(), |time| time.to_string()));
    say("  response ms", &format!("avg {mean}, p50 {p50}, p95 {p95}, p99 {p99}"));
    say("  stability", &format!("{:.1}, score {:.1}", of.stability, of.score));
    say("  in a row", &format!("{} successes, {} failures", of.consecutive_successes, of.consecutive_failures));
}
