//! Tells when `qcc.yaml`, or a file it refers to, has been saved: whatever way, on whatever filesystem.
//!
//! Events of the filesystem are only a reason to look; what counts is the content. A slow tick looks anyway, so a
//! filesystem without events is merely slower. [`quiet`] decides when a change is complete, [`place`] where to listen.
//!
//! - A change is told once; a file that reads the same is no change.
//! - Listening starts before reading: what changes after the read is heard.
//! - [`Watch::changed`] may be dropped at any await and called again; nothing is lost.
//!
//! It does not judge what it reads: an empty or vanished file is told like any other.

mod look;
mod place;
mod quiet;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::look::{Stamps, Text};
use self::place::Ears;
use self::quiet::{Quiet, Sight, Verdict};
use crate::time::Moment;

/// Without any event, how long until the next look.
const TICK: Duration = Duration::from_secs(2);
/// While a change is being made, how long until the next look.
const STEP: Duration = Duration::from_millis(50);
/// The least time between an event and the look it causes: events come in bursts, also those of other files.
const BURST: Duration = Duration::from_millis(20);

/// Something changed, or somebody asked.
#[derive(Debug)]
pub struct Change {
    /// What the file holds.
    pub bytes: io::Result<Bytes>,
    /// Whether that differs from what was told last.
    pub file_changed: bool,
    /// Whether one of the other files changed.
    pub also_changed: bool,
    /// Whether a [`Nudge`] asked for it.
    pub nudged: bool,
    /// How it was noticed.
    pub mode: Mode,
}

/// How a change was noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By an event of the filesystem.
    #[default]
    Events,
    /// By looking from time to time.
    Polling,
}

impl Mode {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Polling => "polling",
        }
    }
}

/// Asks for a look at once, told even if nothing changed. Cheap to clone, fit for a signal handler's task.
#[derive(Clone, Debug)]
pub struct Nudge(Arc<Bell>);

impl Nudge {
    /// Makes the next [`Watch::changed`] answer at once.
    pub fn now(&self) {
        self.0.nudged.store(true, Ordering::Release);
        self.0.rung.notify_one();
    }
}

/// What the watcher's thread and nudges tell the task.
#[derive(Debug, Default)]
struct Bell {
    event: AtomicBool,
    nudged: AtomicBool,
    rung: Notify,
}

/// A look under way, and the reasons for it.
#[derive(Debug)]
struct Looking {
    seen: JoinHandle<Seen>,
    event: bool,
    nudged: bool,
}

/// What a look has shown, and when.
#[derive(Debug)]
struct Seen {
    at: Moment,
    text: Text,
    stamps: Stamps,
}

/// Follows one file, and others beside it.
pub struct Watch {
    path: Arc<Path>,
    bell: Arc<Bell>,
    ears: Arc<Mutex<Ears>>,
    looking: Option<Looking>,
    /// Whether the change under way was found by the slow tick, without any event.
    by_tick: bool,
    text: Followed<Text>,
    also: Followed<Stamps>,
}

/// Something that is looked at again and again.
#[derive(Debug)]
struct Followed<T> {
    /// What was told last.
    told: T,
    /// What was seen last.
    seen: T,
    quiet: Quiet,
}

impl<T: PartialEq + Clone> Followed<T> {
    fn new(told: T) -> Self {
        Self { seen: told.clone(), told, quiet: Quiet::default() }
    }

    /// Takes in what is seen `now`; `beside` compares it with what was told.
    fn see(&mut self, now: Moment, seen: T, beside: fn(&T, &T) -> Sight) -> Verdict {
        let moved = seen != self.seen;
        self.seen = seen;
        self.quiet.see(now, beside(&self.seen, &self.told), moved)
    }

    /// What was seen last is now told. Whether that is news.
    fn tell(&mut self) -> bool {
        let news = self.seen != self.told;
        *self = Self::new(self.seen.clone());
        news
    }
}

impl Watch {
    /// Follows the file at `path`, starting from what it holds now, and the stamps of the files `also`. The file need
    /// not exist, nor its directory.
    pub fn new(path: &Path, also: Vec<PathBuf>) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let bell = Arc::new(Bell::default());
        let mut ears = Ears::new(watcher(&bell));
        ears.turn_to(&together(&path, &also), false);
        Self {
            text: Followed::new(Text::of(&path)),
            also: Followed::new(Stamps::of(also)),
            path: path.into(),
            bell,
            ears: Arc::new(Mutex::new(ears)),
            looking: None,
            by_tick: false,
        }
    }

    /// What the file held when it was last told, at first when the watch began.
    pub fn current(&self) -> io::Result<Bytes> {
        self.text.told.to_io()
    }

    /// Starts from `bytes` instead, which the caller has read before: a file that differs is a change.
    pub fn assume(&mut self, bytes: Bytes) {
        self.text.told = Text::Bytes(bytes);
    }

    /// Follows these other files from now on. Call it before reading them.
    pub fn set_also(&mut self, files: Vec<PathBuf>) {
        // A change that is on its way stays one.
        let told = Stamps::of(files).renewed(&self.also.told);
        self.also = Followed { seen: told.clone(), told, quiet: std::mem::take(&mut self.also.quiet) };
    }

    /// A handle that asks for a look at once.
    pub fn nudge(&self) -> Nudge {
        Nudge(Arc::clone(&self.bell))
    }

    /// Waits until the file, or one of the others, differs from what was told last and has become quiet, or until
    /// somebody asks.
    pub async fn changed(&mut self) -> Change {
        loop {
            let (Seen { at, text, stamps }, nudged) = self.look().await;
            let text = self.text.see(at, text, Text::beside);
            let also = self.also.see(at, self.also.told.renewed(&stamps), Stamps::beside);
            if nudged || text == Verdict::Ready || also == Verdict::Ready {
                return self.tell(nudged, text, also);
            }
            let now = Moment::now();
            self.rest(pause(text, now).min(pause(also, now))).await;
        }
    }

    /// Looks at the files, away from this thread: a network filesystem may take its time.
    async fn look(&mut self) -> (Seen, bool) {
        let looking = self.looking.take().unwrap_or_else(|| self.start_looking());
        let looking = self.looking.insert(looking);
        let seen = (&mut looking.seen).await;
        let (event, nudged) = (looking.event, looking.nudged);
        self.looking = None;
        self.by_tick &= !event;
        (seen.unwrap_or_else(|_| self.deaf()), nudged)
    }

    fn start_looking(&self) -> Looking {
        // Taken before looking: what happens meanwhile causes another look.
        let event = self.bell.event.swap(false, Ordering::AcqRel);
        let nudged = self.bell.nudged.swap(false, Ordering::AcqRel);
        let (path, ears, also) = (Arc::clone(&self.path), Arc::clone(&self.ears), self.also.told.files());
        let seen = tokio::task::spawn_blocking(move || {
            ears.lock().unwrap_or_else(PoisonError::into_inner).turn_to(&together(&path, &also), event);
            Seen { at: Moment::now(), text: Text::of(&path), stamps: Stamps::of(also) }
        });
        Looking { seen, event, nudged }
    }

    /// A look panicked: the watcher's thread is gone, so it is done without from now on. Nothing new was seen.
    fn deaf(&mut self) -> Seen {
        let ears = std::mem::replace(&mut self.ears, Arc::new(Mutex::new(Ears::new(None))));
        // Dropped, it would panic again.
        std::mem::forget(ears);
        Seen { at: Moment::now(), text: self.text.seen.clone(), stamps: self.also.seen.clone() }
    }

    fn tell(&mut self, nudged: bool, text: Verdict, also: Verdict) -> Change {
        let mode = if std::mem::take(&mut self.by_tick) { Mode::Polling } else { Mode::Events };
        let file_changed = (nudged || text == Verdict::Ready) && self.text.tell();
        let also_changed = (nudged || also == Verdict::Ready) && self.also.tell();
        Change { bytes: self.current(), file_changed, also_changed, nudged, mode }
    }

    /// Until something may have happened, at most `wait`.
    async fn rest(&mut self, wait: Duration) {
        self.by_tick &= wait != TICK;
        let rung = tokio::time::timeout(wait, self.bell.rung.notified()).await.is_ok();
        self.by_tick |= wait == TICK && !rung;
        if rung {
            tokio::time::sleep(BURST).await;
        }
    }
}

fn together(path: &Path, also: &[PathBuf]) -> Vec<PathBuf> {
    std::iter::once(path).chain(also.iter().map(PathBuf::as_path)).map(Path::to_owned).collect()
}

/// How long to rest after `verdict`.
fn pause(verdict: Verdict, now: Moment) -> Duration {
    match verdict {
        Verdict::Nothing => TICK,
        Verdict::Wait(due) => due.since(now).min(STEP),
        Verdict::Ready => Duration::ZERO,
    }
}

/// A watcher that rings `bell`; `None` where there is no such thing.
fn watcher(bell: &Arc<Bell>) -> Option<RecommendedWatcher> {
    let bell = Arc::clone(bell);
    let ring = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| idle(event.kind)) {
            return;
        }
        bell.event.store(true, Ordering::Release);
        bell.rung.notify_one();
    };
    notify::recommended_watcher(ring).ok()
}

/// Whether a kind of event says that nothing was written. Our own reading causes such events.
const fn idle(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if !matches!(access, AccessKind::Close(AccessMode::Write)))
}

#[cfg(test)]
mod tests;
