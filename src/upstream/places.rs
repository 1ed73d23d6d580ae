//! The requests in flight at one endpoint, and who found no place among them.
//!
//! Invariant: whoever found it full ([`Places::are_full`]) is told by the bell of the next place that is free. Both sides
//! write first and read then, so of one that looks and one that leaves at the same time one sees the other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::bell::Bell;

/// See the module.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicU32,
    /// Somebody found it full.
    crowded: AtomicBool,
    bell: Bell,
}

impl Places {
    /// All free; `bell` is rung when one is free again that somebody looked for.
    pub(super) fn new(bell: Bell) -> Self {
        Self { taken: AtomicU32::new(0), crowded: AtomicBool::new(false), bell }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether `limit` of them are taken.
    pub(super) fn are_full(&self, limit: u32) -> bool {
        if self.taken() < limit {
            return false;
        }
        self.crowded.store(true, Ordering::SeqCst);
        self.taken.load(Ordering::SeqCst) >= limit
    }

    /// Takes one, unless `limit` are taken, for whom `admit` lets in.
    pub(super) fn take<T>(&self, limit: Option<u32>, admit: impl FnOnce() -> Option<T>) -> Option<T> {
        let before = self.taken.fetch_add(1, Ordering::SeqCst);
        let admitted = limit.is_none_or(|limit| before < limit).then(admit).flatten();
        if admitted.is_none() {
            // Meanwhile it may have looked full to others.
            self.free();
        }
        admitted
    }

    /// Gives one back.
    pub(super) fn free(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.crowded.load(Ordering::SeqCst) && self.crowded.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_finds_a_place_or_is_told_of_the_next() {
        let bell = Bell::default();
        let places = Places::new(bell.clone());
        let rings = async || tokio::time::timeout(Duration::from_millis(1), bell.rung()).await.is_ok();
        bell.want(true);
        assert_eq!((places.take(Some(1), || Some(7)), places.taken()), (Some(7), 1));
        assert_eq!((places.take(Some(1), || Some(8)), places.taken()), (None, 1));
        assert_eq!((places.take(None, || None::<u8>), places.taken()), (None, 1));
        places.free();
        assert!(!rings().await, "nobody looked");
        assert_eq!(places.take(Some(1), || Some(7)), Some(7));
        assert!(places.are_full(1) && !places.are_full(2));
        places.free();
        assert!(rings().await && !rings().await && !places.are_full(1));
    }

    #[test]
    fn of_one_that_looks_and_one_that_leaves_one_sees_the_other() {
        for _ in 0..2000 {
            let places = Places::new(Bell::default());
            places.take(None, || Some(())).expect("without limit");
            let told = std::thread::scope(|scope| {
                let looks = scope.spawn(|| places.are_full(1));
                places.free();
                // A ring takes the mark away: one that stays was made too late to be seen.
                !looks.join().expect("no panic") || !places.crowded.load(Ordering::SeqCst)
            });
            assert!(told);
        }
    }
}
