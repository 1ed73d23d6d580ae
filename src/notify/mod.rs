//! Tells others what happened: the webhooks and programs that `notify` of the file names.
//!
//! - The file that runs says who is told, looked up for every event: a reload takes effect with the next one.
//! - Every target has a line of its own with one delivery under way, so a webhook that hangs keeps no other waiting, and
//!   the proxy none of them. A full line loses the newest message, and the log says so.
//! - What is told about a thing is told again only when something else has been, or after a minute ([`seen`]).
//! - No message holds a key: it goes through the same redaction as the log.
//!
//! It keeps nothing: messages that wait when the proxy ends are lost.

mod lane;
mod message;
mod program;
mod seen;
mod target;
mod webhook;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use self::message::Message;
use self::seen::Seen;
use self::target::Target;
use crate::snapshot::SnapshotCell;
use crate::telemetry::Event;
use crate::time::Moment;

/// Messages that may wait for one target.
const WAITING: usize = 64;

/// Tells of every event that is heard, as the file that runs says, until no more can be. `file` is its path.
pub async fn tell_others(mut heard: Receiver<Arc<Event>>, cell: SnapshotCell, file: PathBuf) {
    let mut lanes = Lanes { file, cell, seen: Seen::default(), known: HashMap::new(), tasks: JoinSet::new() };
    loop {
        tokio::select! {
            event = heard.recv() => match event {
                Ok(event) => lanes.hear(&event),
                Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "events went by faster than they could be told"),
                Err(RecvError::Closed) => return,
            },
            Some(_) = lanes.tasks.join_next() => {}
        }
    }
}

/// The lines of messages, one for each target.
struct Lanes {
    file: PathBuf,
    cell: SnapshotCell,
    seen: Seen,
    known: HashMap<Target, mpsc::Sender<Arc<Message>>>,
    tasks: JoinSet<()>,
}

impl Lanes {
    fn hear(&mut self, event: &Event) {
        let Some(message) = Message::of(event, &self.file, SystemTime::now()) else { return };
        let snapshot = self.cell.load();
        let items = snapshot.config.notify.iter().zip(&*snapshot.hooks);
        let all: Vec<_> = items.filter_map(|(item, headers)| Some((Target::of(item, headers)?, &item.on))).collect();
        // Without a sender a line ends once it is empty.
        self.known.retain(|known, _| all.iter().any(|(target, _)| target == known));
        if !self.seen.is_news(&message.subject, &message.news, Moment::now()) {
            return;
        }
        let mut told: Vec<Target> = Vec::new();
        let message = Arc::new(message);
        for (target, _) in all.into_iter().filter(|(_, on)| on.contains(&message.event)) {
            if !told.contains(&target) {
                self.send(&target, &message);
                told.push(target);
            }
        }
    }

    fn send(&mut self, target: &Target, message: &Arc<Message>) {
        let dir = self.file.parent().unwrap_or(Path::new("/"));
        let tasks = &mut self.tasks;
        let lane = self.known.entry(target.clone()).or_insert_with(|| {
            let (sender, messages) = mpsc::channel(WAITING);
            tasks.spawn(lane::run(target.clone(), messages, dir.to_owned()));
            sender
        });
        if let Err(TrySendError::Full(message)) = lane.try_send(Arc::clone(message)) {
            tracing::warn!(to = %target, event = message.name(), "not told: too many messages wait");
        }
    }
}
