//! How requests tell the task that publishes what concerns the active profile, without waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::machine::Served;
use crate::upstream::endpoint::EndpointId;

/// Reports that wait to be read; more are dropped, since what they say repeats itself.
const WAITING: usize = 1024;
/// Bits of an offer that name the profile.
const PLACE_BITS: u32 = 16;

/// Something a request learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// How the profile that was active did on a request.
    Served {
        /// Its name.
        under: Arc<str>,
        /// How it did.
        how: Served,
    },
    /// How a better profile did on the one request that was sent to it as a trial.
    Tried {
        /// Its name.
        profile: Arc<str>,
        /// Whether it answered.
        good: bool,
    },
    /// The key of this endpoint was refused.
    DeadKey(EndpointId),
}

/// Where requests report. As long as all goes well that is two atomic reads.
#[derive(Debug)]
pub struct Reports {
    sender: mpsc::Sender<Report>,
    /// The last report of a service was a failure.
    missed: AtomicBool,
    trial: Arc<Trial>,
}

impl Reports {
    /// The two ends.
    pub fn channel() -> (Self, Reported) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let trial = Arc::new(Trial::default());
        let reports = Self { sender, missed: AtomicBool::new(false), trial: Arc::clone(&trial) };
        (reports, Reported { receiver, trial })
    }

    /// A request that began while `under` was active has ended.
    pub fn served(&self, under: &Arc<str>, how: Served) {
        let missed = how != Served::Itself;
        let before = self.missed.load(Ordering::Relaxed);
        if missed || before {
            self.missed.store(missed, Ordering::Relaxed);
            self.tell(Report::Served { under: Arc::clone(under), how });
        }
    }

    /// The request that was a trial of `profile` has an answer, from there or from elsewhere.
    pub fn tried(&self, profile: &Arc<str>, good: bool) {
        self.tell(Report::Tried { profile: Arc::clone(profile), good });
    }

    /// The key of this endpoint was refused.
    pub fn dead_key(&self, endpoint: &EndpointId) {
        self.tell(Report::DeadKey(endpoint.clone()));
    }

    /// The place in the chain of the profile that this request, on the snapshot with `epoch`, is to try first, as the one
    /// trial that is wanted.
    pub fn take_trial(&self, epoch: u64) -> Option<usize> {
        self.trial.take(epoch)
    }

    fn tell(&self, report: Report) {
        if self.sender.try_send(report).is_err() {
            tracing::debug!("a report about the active profile was dropped");
        }
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct Reported {
    receiver: mpsc::Receiver<Report>,
    trial: Arc<Trial>,
}

impl Reported {
    /// The next report; `None` when nobody can report any more.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Report> {
        self.receiver.recv().await
    }

    /// The next request on the snapshot with `epoch` is to try the profile at `index` first.
    pub fn offer_trial(&self, epoch: u64, index: usize) {
        self.trial.offer(epoch, index);
    }
}

/// The trial that is wanted, in one word: the epoch above the place in the chain, which begins at 1; zero for none.
#[derive(Debug, Default)]
struct Trial(AtomicU64);

impl Trial {
    fn offer(&self, epoch: u64, index: usize) {
        let place = u64::try_from(index + 1).unwrap_or(u64::MAX);
        if place < 1 << PLACE_BITS {
            self.0.store(epoch << PLACE_BITS | place, Ordering::Relaxed);
        }
    }

    fn take(&self, epoch: u64) -> Option<usize> {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 || word >> PLACE_BITS != epoch {
            return None;
        }
        self.0.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        usize::try_from(word & ((1 << PLACE_BITS) - 1)).ok()?.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn good_news_is_told_only_after_bad_news() {
        let (reports, mut reported) = Reports::channel();
        let name: Arc<str> = "production".into();
        for how in [Served::Itself, Served::Not { short_rest: false }, Served::Itself, Served::Itself] {
            reports.served(&name, how);
        }
        drop(reports);
        let mut told = Vec::new();
        while let Some(report) = reported.next().await {
            told.push(report);
        }
        let served = |how| Report::Served { under: Arc::clone(&name), how };
        assert_eq!(told, [served(Served::Not { short_rest: false }), served(Served::Itself)]);
    }

    #[test]
    fn a_trial_is_taken_by_one_request_of_its_snapshot() {
        let (reports, reported) = Reports::channel();
        assert_eq!(reports.take_trial(7), None);
        reported.offer_trial(7, 0);
        assert_eq!((reports.take_trial(8), reports.take_trial(7), reports.take_trial(7)), (None, Some(0), None));
        reported.offer_trial(9, 70_000);
        assert_eq!(reports.take_trial(9), None, "a place that cannot be named is not offered");
    }
}
