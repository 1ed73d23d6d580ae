//! One request's wait in the line.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::line::{Asker, Line, Turn};
use super::order::Rank;
use crate::dispatch::unanswered::{Leave, Unanswered};
use crate::snapshot::SnapshotCell;
use crate::time::Moment;

/// A request that was refused in its turn is not called again sooner.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// So long even those who do not wait stand by while another request finds out whether an endpoint is back.
const STAND_BY: Duration = Duration::from_secs(1);

/// How long a request may wait in all, and where it stood.
#[derive(Debug)]
pub struct Stay {
    longest: Duration,
    begun: Option<(Moment, Instant)>,
    rank: Option<Rank>,
}

impl Stay {
    /// A stay of at most `longest`, which begins with the first wait.
    pub fn new(longest: Duration) -> Self {
        Self { longest, begun: None, rank: None }
    }

    /// When the request is to be tried again, if it is to wait at all.
    fn due(&self, unanswered: &Unanswered<'_>, now: Moment, limit: Moment) -> Option<Moment> {
        if self.longest.is_zero() {
            return unanswered.tested(now, limit);
        }
        unanswered.expected(now, limit, self.longest * 2)
    }
}

impl Line {
    /// Waits until somebody takes the request, and has its leave then; gives it back as it is when nobody is expected
    /// within its time, or its time is over.
    pub async fn wait<'a>(
        &self,
        mut unanswered: Unanswered<'a>,
        cell: &SnapshotCell,
        stay: &mut Stay,
    ) -> Result<Unanswered<'a>, Unanswered<'a>> {
        let now = Moment::now();
        let (begun, since) = *stay.begun.get_or_insert_with(|| (now, Instant::now()));
        let longest = if stay.longest.is_zero() { STAND_BY } else { stay.longest };
        let limit = begun.after(longest).min(unanswered.last_start(now));
        // Its last chance, at the end of its time, is given once.
        let late = limit <= now;
        let mut place = self.enter(asker(&unanswered, since), stay.rank);
        stay.rank = Some(place.rank());
        let (mut turn, mut left) = (None, Leave::Refused);
        loop {
            let now = Moment::now();
            let Some(due) = stay.due(&unanswered, now, limit) else { return Err(unanswered) };
            let soonest = if turn.is_some() { now.after(LEAST_PAUSE) } else { now };
            place.call_at(due.max(soonest), left == Leave::Worn);
            say(turn.take(), left);
            turn = timeout(limit.since(now), place.turn()).await.ok().flatten();
            left = match (&turn, late) {
                (Some(_), _) => unanswered.try_again(cell.load(), Moment::now()),
                (None, false) => unanswered.try_at_last(cell.load(), Moment::now()),
                (None, true) => return Err(unanswered),
            };
            if left == Leave::Granted {
                place.served();
                say(turn, left);
                return Ok(unanswered);
            }
            if turn.is_none() {
                return Err(unanswered);
            }
        }
    }
}

fn say(turn: Option<Turn>, left: Leave) {
    if let Some(turn) = turn {
        // The conductor may have lost patience.
        let _ = turn.0.send(left);
    }
}

/// Clients take turns by name, else by conversation.
fn asker(unanswered: &Unanswered<'_>, since: Instant) -> Asker {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let asker = unanswered.asker();
    let client = unanswered.client().or(asker.session.as_ref()).cloned();
    Asker {
        client: client.unwrap_or_else(|| Arc::from("")),
        kind: HASHER.hash_one((&asker.model, asker.credential)),
        bytes: unanswered.call().body.len(),
        since,
    }
}
