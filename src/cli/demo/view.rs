//! What the demo shows: a table of who serves what, always below, and a line for everything that happens.
//!
//! Pure: events and times in, text out. [`super::screen`] puts it on the terminal.

mod notice;
mod table;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::cast::Seat;
use super::style::{Palette, clip};
use crate::simulate::Behaviour;
use crate::telemetry::Event;
use crate::telemetry::event::RequestRecord;
use crate::time::Moment;

/// Requests over which shares and times are taken: few enough that an edited weight is soon seen.
const WINDOW: usize = 60;

/// Rows of the terminal that one line may take: reasons matter, floods do not.
const NOTICE: usize = 4;

/// Finished requests that are shown.
const LATEST: usize = 3;

/// Everything the table shows.
#[derive(Debug)]
pub(super) struct View {
    began: Moment,
    seats: Vec<Seat>,
    behaviours: HashMap<String, Behaviour>,
    out: HashMap<String, Out>,
    totals: HashMap<String, u64>,
    recent: VecDeque<Served>,
    latest: VecDeque<String>,
    active: Option<String>,
    generation: u64,
    /// Whether the last save was rejected.
    rejected: bool,
    requests: u64,
    failed: u64,
}

/// An endpoint out of rotation.
#[derive(Debug)]
struct Out {
    reason: String,
    until: Option<Moment>,
}

/// One answered request.
#[derive(Debug)]
struct Served {
    endpoint: String,
    first_byte: Option<Duration>,
}

impl View {
    /// A view of a proxy that has done nothing since `began`.
    pub(super) fn new(seats: Vec<Seat>, active: Option<String>, began: Moment) -> Self {
        Self {
            began,
            seats,
            active,
            generation: 1,
            behaviours: HashMap::new(),
            out: HashMap::new(),
            totals: HashMap::new(),
            recent: VecDeque::new(),
            latest: VecDeque::new(),
            rejected: false,
            requests: 0,
            failed: 0,
        }
    }

    /// Takes in what happened; returns the lines to say about it.
    pub(super) fn hear(&mut self, event: &Event, now: Moment, width: usize, palette: Palette) -> Vec<String> {
        self.learn(event, now);
        let stamp = stamp(now.since(self.began));
        let lines = notice::lines(event, palette);
        let say = |(at, line): (usize, String)| {
            let margin = if at == 0 { format!("{stamp}  ") } else { " ".repeat(stamp.len() + 2) };
            clip(&(margin + &line), width * NOTICE)
        };
        lines.into_iter().enumerate().map(say).collect()
    }

    /// The endpoints of the file changed.
    pub(super) fn reseat(&mut self, seats: Vec<Seat>) {
        self.seats = seats;
    }

    /// How the simulated endpoints behave, by `PROFILE/ID`.
    pub(super) fn behave(&mut self, behaviours: impl IntoIterator<Item = (String, Behaviour)>) {
        self.behaviours = behaviours.into_iter().collect();
    }

    /// The endpoints shown.
    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The table at `now`, every line at most `width` columns wide.
    pub(super) fn table(&self, now: Moment, width: usize, palette: Palette) -> String {
        table::render(self, now, width, palette)
    }

    fn learn(&mut self, event: &Event, now: Moment) {
        match event {
            Event::Request(record) => self.count(record, now),
            Event::Reloaded { generation, .. } => (self.generation, self.rejected) = (*generation, false),
            Event::Rejected { .. } => self.rejected = true,
            Event::Switched { to, .. } => self.active = Some(to.to_string()),
            Event::Ejected { endpoint, reason, duration } => {
                let until = duration.map(|duration| now.after(duration));
                self.out.insert(endpoint.clone(), Out { reason: reason.clone(), until });
            }
            Event::DeadKey { endpoint, reason } => {
                let reason = format!("its key was refused: {reason}");
                self.out.insert(endpoint.clone(), Out { reason, until: None });
            }
            Event::Admitted { endpoint } => drop(self.out.remove(endpoint)),
            Event::QueueDone { .. } | Event::QueueDead { .. } => {}
        }
    }

    fn count(&mut self, record: &RequestRecord, now: Moment) {
        let served = notice::served_by(record);
        if let (Some(endpoint), true) = (&served, notice::is_answer(record)) {
            *self.totals.entry(endpoint.clone()).or_default() += 1;
            push(&mut self.recent, WINDOW, Served { endpoint: endpoint.clone(), first_byte: record.first_byte });
        }
        self.requests += 1;
        self.failed += u64::from(notice::is_failure(record));
        let at = stamp(now.since(self.began));
        push(&mut self.latest, LATEST, format!("{at}  {}", notice::request(record)));
    }
}

fn push<T>(line: &mut VecDeque<T>, most: usize, item: T) {
    line.push_back(item);
    if line.len() > most {
        line.pop_front();
    }
}

/// Minutes and seconds since the start.
fn stamp(elapsed: Duration) -> String {
    format!("{:02}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

#[cfg(test)]
mod tests;
