//! The table: one row an endpoint, with its share of the last requests.

use std::time::Duration;

use super::super::cast::Seat;
use super::super::style::{Palette, Tone, clip, columns, fit, plain};
use super::{Out, Served, View, stamp};
use crate::simulate::Behaviour;
use crate::time::Moment;

/// Columns of everything but the bar and the state.
const FIXED: usize = 48;

/// The table of `view`.
pub(super) fn render(view: &View, now: Moment, width: usize, palette: Palette) -> String {
    let mut lines = vec![status(view, now, width, palette), head(width, palette)];
    lines.extend(view.seats.iter().map(|seat| row(view, seat, now, width, palette)));
    lines.extend(view.latest.iter().map(|line| palette.paint(Tone::Quiet, &clip(&format!(" {line}"), width))));
    lines.iter().map(|line| clip(line, width) + "\n").collect()
}

fn status(view: &View, now: Moment, width: usize, palette: Palette) -> String {
    let part = |tone, text: String| palette.paint(tone, &text) + " ──";
    let mut parts = vec!["──".to_owned(), part(Tone::Strong, format!("generation {}", view.generation))];
    if view.rejected {
        parts.push(part(Tone::Bad, "save rejected".to_owned()));
    }
    parts.extend(view.active.as_deref().map(|profile| part(Tone::Strong, format!("active {}", plain(profile)))));
    parts.push(part(Tone::Strong, format!("{} requests, {} failed", view.requests, view.failed)));
    let line = parts.join(" ") + "─";
    let time = format!(" {} ──", stamp(now.since(view.began)));
    let gap = width.saturating_sub(columns(&line) + columns(&time));
    // In a narrow terminal the time is what is missed least.
    if gap == 0 { line } else { line + &"─".repeat(gap) + &time }
}

fn head(width: usize, palette: Palette) -> String {
    let (bar, _) = flexible(width);
    let share = fit("SHARE OF LAST 60", bar + 5);
    palette
        .paint(Tone::Quiet, &format!(" {:<20} {:>6}  {share} {:>5} {:>7}  STATE", "ENDPOINT", "WEIGHT", "ALL", "TTFB"))
}

fn row(view: &View, seat: &Seat, now: Moment, width: usize, palette: Palette) -> String {
    let name = seat.name();
    let (bar_width, state_width) = flexible(width);
    let served = view.recent.iter().filter(|served| served.endpoint == name).count();
    let share = ratio(served, view.recent.len());
    let (tone, state) = state(view, seat, now);
    format!(
        " {} {:>6}  {} {:>3}% {:>5} {:>7}  {}",
        fit(&plain(&name), 20),
        seat.weight,
        palette.paint(Tone::Good, &bar(share, bar_width)),
        (share + 5) / 10,
        view.totals.get(&name).copied().unwrap_or(0),
        typical(view.recent.iter().filter(|served| served.endpoint == name)),
        palette.paint(tone, &clip(&plain(&state), state_width))
    )
}

/// Columns of the bar and of the state.
fn flexible(width: usize) -> (usize, usize) {
    let free = width.saturating_sub(FIXED);
    let bar = (free * 2 / 5).clamp(4, 40);
    (bar, free.saturating_sub(bar).max(8))
}

/// Parts per thousand.
fn ratio(part: usize, whole: usize) -> usize {
    (part * 1000).checked_div(whole).unwrap_or(0)
}

/// A bar of `width` columns, filled to `share` parts per thousand, exact to an eighth of a column.
fn bar(share: usize, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = share * width * 8 / 1000;
    let filled = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    fit(&filled, width)
}

/// The median time to the first byte.
fn typical<'a>(served: impl Iterator<Item = &'a Served>) -> String {
    let mut times: Vec<Duration> = served.filter_map(|served| served.first_byte).collect();
    times.sort_unstable();
    times.get(times.len() / 2).map_or_else(|| "-".to_owned(), |time| format!("{}ms", time.as_millis()))
}

fn state(view: &View, seat: &Seat, now: Moment) -> (Tone, String) {
    let name = &seat.name();
    let behaviour = view.behaviours.get(name).filter(|behaviour| **behaviour != Behaviour::Healthy);
    match (view.out.get(name), behaviour) {
        (Some(out), _) => (Tone::Bad, absence(out, now)),
        (None, Some(behaviour)) => (Tone::Warning, format!("simulates {behaviour}")),
        (None, None) if view.recent.back().is_some_and(|served| served.endpoint == *name) => {
            (Tone::Good, "serving".to_owned())
        }
        (None, None) if view.active.as_ref() == Some(&seat.profile) => (Tone::Quiet, "ready".to_owned()),
        (None, None) => (Tone::Quiet, "standby".to_owned()),
    }
}

fn absence(out: &Out, now: Moment) -> String {
    match out.until.map(|until| until.since(now)) {
        Some(Duration::ZERO) => "on probation".to_owned(),
        Some(left) => format!("out {}s: {}", left.as_millis().div_ceil(1000), out.reason),
        None => format!("out: {}", out.reason),
    }
}
