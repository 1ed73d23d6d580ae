//! What others may ask of the publisher, and what they may know of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Diagnostic;
use crate::snapshot::watch::{Mode, Nudge};
use crate::upstream::endpoint::EndpointId;

/// How many verdicts are remembered.
const REMEMBERED: usize = 16;

/// Something the publisher is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Whoever waits is told once it is what runs.
    Switch(Switch, Option<oneshot::Sender<()>>),
    /// The active profile is pinned, or no longer.
    Pin(bool, oneshot::Sender<()>),
    Renew(EndpointId),
}

/// Another profile is to become active.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Its name; one that is not in the chain, or active already, is left alone.
    pub to: Arc<str>,
    /// `manual`, `failover` or `recovery`.
    pub cause: &'static str,
    /// Why, in words.
    pub reason: String,
    /// Whether a person pinned it.
    pub pinned: bool,
}

/// Asks the publisher for things. Cheap to clone; asking never waits.
#[derive(Clone, Debug)]
pub struct Control {
    pub(super) nudge: Nudge,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) status: watch::Receiver<ReloadStatus>,
}

impl Control {
    /// Reads the file and the secrets again at once, changed or not, as on SIGHUP.
    pub fn reload(&self) {
        self.nudge.now();
    }

    /// Makes another profile the active one. `published` is told once it is what runs.
    pub fn switch(&self, switch: Switch, published: Option<oneshot::Sender<()>>) {
        self.order(Order::Switch(switch, published));
    }

    /// Pins the active profile, or takes the pin away. `published` is told once that is what runs.
    pub fn pin(&self, pinned: bool, published: oneshot::Sender<()>) {
        self.order(Order::Pin(pinned, published));
    }

    /// The key of `endpoint` was refused: has the program that prints it run again, if there is one.
    pub fn renew(&self, endpoint: EndpointId) {
        self.order(Order::Renew(endpoint));
    }

    /// How the last saves went; tells of changes.
    pub fn status(&self) -> watch::Receiver<ReloadStatus> {
        self.status.clone()
    }

    fn order(&self, order: Order) {
        // Without a publisher the proxy is stopping, and nothing needs doing any more.
        drop(self.orders.send(order));
    }
}

/// What runs, and how the last saves went.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// Counts accepted files, from 1.
    pub generation: u64,
    /// SHA-256 of the file that runs, in hex.
    pub sha256: String,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// How its change was noticed.
    pub mode: Mode,
    /// Keys whose new value waits for a restart.
    pub restart_required: Vec<&'static str>,
    /// The last save, if it was not accepted.
    pub rejected: Option<Rejection>,
    /// Reloads asked for by hand that are done, however they went.
    pub asked: u64,
    /// The kept revision that runs because the file was not valid at the start.
    pub last_good: Option<u64>,
    /// The last files that were read and when, the newest last.
    pub(super) verdicts: VecDeque<(String, SystemTime, Verdict)>,
}

impl ReloadStatus {
    /// The first digits of the sha256, enough to tell files apart.
    pub fn short_sha256(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }

    /// What became of the file with this SHA-256, in hex, read at `since` or later; `None` while it was not, or long after.
    /// What runs needs no newer look.
    pub fn verdict(&self, sha256: &str, since: SystemTime) -> Option<Verdict> {
        if self.sha256 == sha256 {
            return Some(Verdict::Accepted(self.generation));
        }
        let newest = self.verdicts.iter().rev();
        let mut newest = newest.take_while(|(_, at, _)| *at >= since);
        newest.find(|(read, ..)| read == sha256).map(|(.., verdict)| verdict.clone())
    }

    /// Remembers what became of a file.
    pub(super) fn remember(&mut self, sha256: String, verdict: Verdict) {
        if self.verdicts.len() == REMEMBERED {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back((sha256, SystemTime::now(), verdict));
    }
}

/// What became of a file.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is, or was, live: its generation.
    Accepted(u64),
    /// It was not taken.
    Rejected(Rejection),
}

/// A save that was not accepted.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// When it was read.
    pub at: SystemTime,
    /// The diagnostics as `qcc validate` prints them.
    pub report: String,
    /// How many of them are errors.
    pub errors: usize,
    /// The same as data; without secrets.
    pub diagnostics: Arc<[Diagnostic]>,
}
