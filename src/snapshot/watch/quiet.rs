//! When a file that is being changed counts as saved. Pure: time is passed in, nothing is read here.
//!
//! - A text is taken once it has not moved for [`QUIET`], or [`PATIENCE`] after it was first seen to differ: whoever
//!   saves without pause is heard too.
//! - A partial text (a strict prefix of the current one, or no file) is most likely a save half done, so it gets
//!   [`GRACE`] more; the clock of the whole text starts when one is first seen.
//! - A text equal to the current one ends the matter: a touch is nothing.

use std::time::Duration;

use crate::time::Moment;

/// How long a text must not move.
pub(super) const QUIET: Duration = Duration::from_millis(150);
/// The most that is waited for a text that keeps moving.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);
/// What a partial text waits on top.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What was seen, compared with what is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The same.
    Same,
    /// The beginning of it, or nothing at all.
    Partial,
    /// Another text.
    Whole,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing changed.
    Nothing,
    /// It may still be changing; look again at this moment, or sooner.
    Wait(Moment),
    /// What was seen is what was saved.
    Ready,
}

/// The change that is being waited for, if any.
#[derive(Clone, Debug, Default)]
pub(super) struct Quiet(Option<Pending>);

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When anything else than the current text was first seen.
    began: Moment,
    /// When a whole text was first seen.
    whole: Option<Moment>,
    /// When it last moved.
    moved: Moment,
}

impl Quiet {
    /// Takes in one look; `moved`: it differs from the look before.
    pub(super) fn see(&mut self, now: Moment, sight: Sight, moved: bool) -> Verdict {
        if sight == Sight::Same {
            self.0 = None;
            return Verdict::Nothing;
        }
        let pending = self.0.get_or_insert(Pending { began: now, whole: None, moved: now });
        if moved {
            pending.moved = now;
        }
        let due = pending.due(now, sight);
        if now < due {
            return Verdict::Wait(due);
        }
        self.0 = None;
        Verdict::Ready
    }
}

impl Pending {
    fn due(&mut self, now: Moment, sight: Sight) -> Moment {
        let still = self.moved.after(QUIET);
        if sight == Sight::Partial {
            return still.min(self.began.after(PATIENCE)).after(GRACE);
        }
        still.min(self.whole.get_or_insert(now).after(PATIENCE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sight::{Partial, Same, Whole};
    use super::*;

    /// When a sequence of looks (milliseconds, sight, moved) is taken, looking again exactly when told to.
    fn taken(looks: &[(u64, Sight, bool)]) -> Option<u64> {
        let mut quiet = Quiet::default();
        let mut last: Option<(Moment, Sight)> = None;
        for &(at, sight, moved) in looks {
            if let Some((due, before)) = last.filter(|(due, _)| due.0 <= at) {
                assert_eq!(quiet.see(due, before, false), Verdict::Ready, "due means due");
                return Some(due.0);
            }
            match quiet.see(Moment(at), sight, moved) {
                Verdict::Ready => return Some(at),
                Verdict::Wait(due) => last = Some((due, sight)),
                Verdict::Nothing => last = None,
            }
        }
        last.map(|(due, _)| due.0)
    }

    #[test]
    fn a_text_is_taken_when_it_stopped_moving() {
        for (looks, expected) in [
            (vec![(0, Same, false)], None),
            (vec![(10, Whole, true)], Some(160)),
            // Written in pieces.
            (vec![(0, Whole, true), (100, Whole, true), (200, Whole, true)], Some(350)),
            // Events about something else do not prolong it.
            (vec![(0, Whole, true), (100, Whole, false), (140, Whole, false)], Some(150)),
            // Somebody who never stops is heard after 400 ms.
            ((0..20).map(|n| (n * 50, Whole, true)).collect(), Some(400)),
            // Truncated and written at once.
            (vec![(0, Partial, true), (40, Whole, true)], Some(190)),
            // A shortened file.
            (vec![(0, Partial, true)], Some(1150)),
            // Slow pieces: the whole text has its own clock.
            (vec![(0, Partial, true), (450, Partial, true), (900, Whole, true), (1000, Whole, true)], Some(1150)),
            // Pieces that stay partial are not waited for for ever.
            ((0..40).map(|n| (n * 100, Partial, true)).collect(), Some(1400)),
            // Changed and changed back.
            (vec![(0, Whole, true), (100, Same, true)], None),
            // And then changed for good: the clock starts anew.
            (vec![(0, Whole, true), (100, Same, true), (390, Whole, true)], Some(540)),
        ] {
            assert_eq!(taken(&looks), expected, "{looks:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_taken_while_fresh_and_nothing_waits_for_ever(
            steps in prop::collection::vec((1_u64..200, any::<bool>(), any::<bool>()), 1..200)
        ) {
            let (mut quiet, mut now, mut began, mut moved) = (Quiet::default(), 0, 0, 0);
            for (step, partial, moves) in steps {
                now += step;
                let fresh = quiet.0.is_none();
                began = if fresh { now } else { began };
                moved = if fresh || moves { now } else { moved };
                let verdict = quiet.see(Moment(now), if partial { Partial } else { Whole }, moves);
                let limit = if partial { 1400 } else { 1800 };
                match verdict {
                    Verdict::Nothing => prop_assert!(false, "a change is not nothing"),
                    Verdict::Wait(due) => prop_assert!(due.0 > now && due.0 - began <= limit + 200),
                    Verdict::Ready => {
                        prop_assert!(now - moved >= 150 || now - began >= 400);
                        prop_assert!(!partial || now - moved >= 1000 || now - began >= 1400);
                    }
                }
            }
        }
    }
}
