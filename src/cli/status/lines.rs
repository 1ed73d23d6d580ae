//! What is said of the proxy and its queue, line by line.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use crate::admin::view::queue::QueueStatus;
use crate::admin::view::{Phase, Reload, Status, StoreStanding, StoreState};
use crate::cli::table::wrapped;
use crate::cli::words::{ago, clean, short};

/// Names and what they are.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// All of them.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// One more; what does not fit goes on below.
    pub(super) fn say(&mut self, name: &str, value: &dyn Display) {
        let text = wrapped(&clean(&value.to_string()), &" ".repeat(11));
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name:<11}{}", text.trim_start());
    }
}

/// Who runs, and what.
pub(super) fn of_proxy(status: &Status, lines: &mut Lines, now: SystemTime) {
    let Status { version, pid, started, listen, reload, .. } = status;
    let up = short(now.duration_since(started.0).unwrap_or_default());
    let phase = if status.phase == Phase::Draining { ", draining" } else { "" };
    lines.say("proxy", &format!("qcc {version}, pid {pid}, up {up}{phase}"));
    lines.say("listens", &listen.join(", "));
    lines.say("file", &status.config);
    let hash: String = reload.sha256.chars().take(12).collect();
    let accepted = ago(reload.accepted, now);
    lines.say("runs", &format!("generation {} ({hash}), accepted {accepted}", reload.generation));
    of_reload(reload, lines, now);
    lines.say("state", &state(&status.state));
    lines.say("in flight", &format!("{} requests, {} connections", status.in_flight, status.connections));
}

fn of_reload(reload: &Reload, lines: &mut Lines, now: SystemTime) {
    if let Some(rejection) = &reload.rejected {
        let errors = rejection.errors;
        let ago = ago(rejection.at, now);
        lines.say(
            "REJECTED",
            &format!("the save {ago} has {errors} error(s) and is not live; `qcc validate` tells them"),
        );
    }
    if let Some(revision) = reload.last_good {
        lines.say("LAST GOOD", &format!("revision {revision} runs, since the file was not valid at the start"));
    }
    if !reload.restart_required.is_empty() {
        lines.say("restart", &format!("needed for {}", reload.restart_required.join(", ")));
    }
}

fn state(state: &StoreState) -> String {
    let why = state.reason.as_deref().unwrap_or_default();
    let lost = if state.lost > 0 { format!("; {} records were lost", state.lost) } else { String::new() };
    match state.standing {
        StoreStanding::Good => format!("kept on disk{lost}"),
        StoreStanding::Memory => format!("in memory only, the queue is read-only: {why}{lost}"),
        StoreStanding::ReadOnly => format!("cannot be written, the queue is read-only: {why}{lost}"),
    }
}

/// What the queue holds.
pub(super) fn queue(status: &QueueStatus) -> String {
    let by = &status.by_state;
    let kept = format!("{} waiting, {} running, {} done, {} dead", by.waiting, by.running, by.done, by.dead);
    match &status.line {
        Some(line) if line.length > 0 => {
            format!("{kept}; {} in line for up to {} s", line.length, line.longest_wait_ms / 1000)
        }
        Some(_) => format!("{kept}; nobody in line"),
        None => kept,
    }
}
