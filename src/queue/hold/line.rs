//! Who waits. Shared by all workers; locked for moments only, and only while somebody waits.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::order::{Order, Rank};
use crate::dispatch::unanswered::Leave;
use crate::time::Moment;
use crate::upstream::bell::Bell;

/// The requests that wait, in order.
#[derive(Debug)]
pub struct Line {
    places: Mutex<Places>,
    length: AtomicUsize,
    /// Somebody came, or has to be called at another time.
    changed: Notify,
    /// Told whether anybody waits for its ring.
    bell: Bell,
}

#[derive(Debug, Default)]
struct Places {
    waiting: BTreeMap<Rank, Waiting>,
    order: Order,
    bytes: u64,
}

/// One request, as the line knows it.
#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// When it is to be called, if nothing is told before.
    due: Option<Moment>,
    /// Somebody admits, but has failed this very request: it is called at its own time, whoever stands before it.
    worn: bool,
    call: mpsc::Sender<Turn>,
}

/// Who waits.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// With whom it takes turns.
    pub(super) client: Arc<str>,
    /// What is asked for: whom nobody takes now, nobody takes another of the same kind either.
    pub(super) kind: u64,
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// Since when.
    pub(super) since: Instant,
}

/// A turn: who has it says what it came to. Dropped, it came to nothing.
#[derive(Debug)]
pub(super) struct Turn(pub(super) oneshot::Sender<Leave>);

/// What is shown of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Requests that wait.
    pub length: usize,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// How long the one that came first has been waiting.
    pub longest: Duration,
}

impl Line {
    /// An empty line, whose conductor listens to `bell`.
    pub fn new(bell: Bell) -> Self {
        Self { places: Mutex::default(), length: AtomicUsize::new(0), changed: Notify::new(), bell }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
    }

    /// What is to be shown of it now.
    pub fn view(&self) -> View {
        let places = self.lock();
        let longest = places.waiting.values().map(|waiting| waiting.asker.since.elapsed()).max();
        View { length: places.waiting.len(), bytes: places.bytes, longest: longest.unwrap_or_default() }
    }

    /// Takes a place, or `rank` again.
    pub(super) fn enter(&self, asker: Asker, rank: Option<Rank>) -> Place<'_> {
        let (call, turns) = mpsc::channel(1);
        let mut places = self.lock();
        places.order.came(&asker.client);
        let rank = rank.unwrap_or_else(|| places.order.draw(&asker.client));
        places.bytes += asker.bytes;
        places.waiting.insert(rank, Waiting { asker, due: None, worn: false, call });
        self.count(&places);
        Place { line: self, rank, turns }
    }

    /// Waits until somebody is to be called at its time.
    pub(super) async fn due(&self) {
        loop {
            let changed = self.changed.notified();
            let due = self.lock().due();
            match due {
                Some(due) if due <= Moment::now() => return,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep(due.since(Moment::now())) => return,
                },
                None => changed.await,
            }
        }
    }

    /// The next to be called behind `after`: all in turn if it `rang`, else those whose time has come; nobody of the
    /// `refused` kinds.
    pub(super) fn next(&self, after: Option<Rank>, refused: &HashSet<u64>, rang: bool) -> Option<(Rank, Caller)> {
        let now = Moment::now();
        let mut places = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (rank, waiting) in places.waiting.range_mut((from, Bound::Unbounded)) {
            if refused.contains(&waiting.asker.kind) {
                waiting.worn = false;
            } else if rang || !waiting.worn || waiting.due.is_some_and(|due| due <= now) {
                return Some((*rank, Caller { kind: waiting.asker.kind, call: waiting.call.clone() }));
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, places: &Places) {
        let length = places.waiting.len();
        self.length.store(length, Ordering::Relaxed);
        self.bell.want(length > 0);
    }
}

impl Places {
    /// The soonest time at which somebody is to be called: of those nobody takes, the first of each kind speaks for all.
    fn due(&self) -> Option<Moment> {
        let mut kinds = HashSet::new();
        let speaks = |waiting: &&Waiting| kinds.insert(waiting.asker.kind) || waiting.worn;
        self.waiting.values().filter(speaks).filter_map(|waiting| waiting.due).min()
    }
}

/// How somebody is given the turn.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) kind: u64,
    pub(super) call: mpsc::Sender<Turn>,
}

/// A place in the line; dropping it leaves the line.
#[derive(Debug)]
pub(super) struct Place<'a> {
    line: &'a Line,
    rank: Rank,
    turns: mpsc::Receiver<Turn>,
}

impl Place<'_> {
    /// Its rank, to come back to.
    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    /// Says when to be called at the latest.
    pub(super) fn call_at(&self, due: Moment, worn: bool) {
        if let Some(waiting) = self.line.lock().waiting.get_mut(&self.rank) {
            (waiting.due, waiting.worn) = (Some(due), worn);
        }
        self.line.changed.notify_one();
    }

    /// Waits for a turn.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        self.turns.recv().await
    }

    /// It is served.
    pub(super) fn served(self) {
        self.line.lock().order.served(self.rank);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.line.lock();
        if let Some(gone) = places.waiting.remove(&self.rank) {
            places.bytes -= gone.asker.bytes;
            places.order.left(&gone.asker.client);
        }
        self.line.count(&places);
    }
}

#[cfg(test)]
mod tests {
    use super::super::conduct;
    use super::*;

    /// A line whose turns are given, and the bell they follow.
    fn line() -> (Arc<Line>, Bell, tokio::task::JoinHandle<()>) {
        let bell = Bell::default();
        let line = Arc::new(Line::new(bell.clone()));
        let conductor = tokio::spawn(conduct(Arc::clone(&line), bell.clone()));
        (line, bell, conductor)
    }

    fn asker(client: &str, kind: u64) -> Asker {
        Asker { client: client.into(), kind, bytes: 10, since: Instant::now() }
    }

    /// Who got a turn, in order, when only the first `places` that try find one.
    async fn called(line: &Arc<Line>, bell: &Bell, askers: &[(&'static str, u64)], places: usize) -> Vec<usize> {
        let (told, mut heard) = mpsc::unbounded_channel();
        let free = Arc::new(AtomicUsize::new(places));
        let mut waiting = tokio::task::JoinSet::new();
        for (nth, (client, kind)) in askers.iter().enumerate() {
            let (line, told, free) = (Arc::clone(line), told.clone(), Arc::clone(&free));
            let asker = asker(client, *kind);
            waiting.spawn(async move {
                let mut place = line.enter(asker, None);
                while let Some(turn) = place.turn().await {
                    let taken = free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1));
                    let _ = told.send((nth, taken.is_ok()));
                    let leave = if taken.is_ok() { Leave::Granted } else { Leave::Refused };
                    let _ = turn.0.send(leave);
                    if taken.is_ok() {
                        return place.served();
                    }
                }
            });
            tokio::task::yield_now().await;
        }
        bell.ring();
        tokio::time::sleep(Duration::from_secs(5)).await;
        waiting.shutdown().await;
        assert_eq!(line.view(), View::default(), "whoever leaves frees its place");
        std::iter::from_fn(|| heard.try_recv().ok()).map(|(nth, _)| nth).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_round_in_order_and_stop_at_the_first_that_nobody_takes() {
        let (line, bell, conductor) = line();
        let all = [("a", 1), ("a", 1), ("b", 1), ("a", 1), ("c", 1)];
        assert_eq!(called(&line, &bell, &all, 9).await, [0, 2, 4, 1, 3], "clients take turns");
        assert_eq!(called(&line, &bell, &all, 1).await, [0, 2], "one goes, the next is refused, the others are spared");
        conductor.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_nobody_takes_does_not_hold_up_another() {
        let (line, bell, conductor) = line();
        assert_eq!(called(&line, &bell, &[("a", 1), ("a", 1), ("a", 2), ("a", 2)], 0).await, [0, 2]);
        conductor.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_timer_calls_the_first_at_the_soonest_known_return() {
        let (line, _bell, conductor) = line();
        let began = Instant::now();
        let mut first = line.enter(asker("a", 1), None);
        let second = line.enter(asker("a", 1), None);
        first.call_at(Moment::now().after(Duration::from_secs(20)), false);
        second.call_at(Moment::now().after(Duration::from_secs(10)), false);
        assert!(first.turn().await.is_some());
        assert_eq!(began.elapsed().as_secs(), 20, "the first of a kind speaks for all");
        second.call_at(Moment::now().after(Duration::from_secs(10)), true);
        first.call_at(Moment::now().after(Duration::from_secs(40)), false);
        let mut second = second;
        assert!(second.turn().await.is_some());
        assert_eq!(began.elapsed().as_secs(), 31, "who failed where others may not is called for itself");
        conductor.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_view_counts_who_waits_and_for_how_long() {
        let (line, _, conductor) = line();
        let first = line.enter(asker("a", 1), None);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let second = line.enter(asker("b", 1), None);
        assert_eq!(line.view(), View { length: 2, bytes: 20, longest: Duration::from_secs(3) });
        drop(first);
        assert_eq!((line.view().length, line.is_empty()), (1, false));
        drop(second);
        assert!(line.is_empty());
        conductor.abort();
    }
}
