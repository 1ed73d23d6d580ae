//! Which endpoint a conversation was last served by, and which one just broke it. Shared by all workers.
//!
//! Prompt caches live with an account for minutes, and thinking blocks are signed by the provider that wrote them. So a
//! conversation stays on its endpoint for the profile's time, and with its provider group for a day.
//!
//! Invariants:
//! - at most `capacity` sessions are remembered; those used last stay;
//! - sessions are spread over shards, so workers seldom meet at a lock.
//!
//! It does not decide: the caller asks whether the endpoint still can take the request.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::endpoint::EndpointId;
use super::recent::Recent;
use crate::time::Moment;

/// How long a conversation belongs to the provider group that served it last.
pub const GROUP_STICKS: Duration = Duration::from_hours(24);
/// How long an endpoint is avoided by the conversation whose stream it broke.
pub const AVOIDED_FOR: Duration = Duration::from_secs(10);

const SHARDS: usize = 32;
const CAPACITY: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub struct Affinity {
    shards: Vec<Mutex<Recent<Box<str>, Session>>>,
    hasher: RandomState,
}

/// Where a conversation was served last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its provider group.
    pub group: Arc<str>,
    /// When.
    pub last: Moment,
}

/// What is remembered of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Where it was served last, if that was within [`GROUP_STICKS`]. Whether that endpoint still counts is for
    /// [`Sticky::endpoint_within`].
    pub sticky: Option<Sticky>,
    /// The endpoint it avoids now.
    pub avoided: Option<EndpointId>,
}

#[derive(Debug, Default)]
struct Session {
    sticky: Option<Sticky>,
    avoid: Option<(EndpointId, Moment)>,
}

impl Sticky {
    /// The endpoint, if the conversation used it within `ttl`.
    pub fn endpoint_within(&self, ttl: Duration, now: Moment) -> Option<&EndpointId> {
        (now.since(self.last) <= ttl).then_some(&self.endpoint)
    }
}

impl Affinity {
    /// For 100,000 sessions.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// For about `capacity` sessions.
    pub fn with_capacity(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Recent::new(capacity / SHARDS))).collect();
        Self { shards, hasher: RandomState::default() }
    }

    /// What is remembered of `session`, which counts as used now.
    pub fn recall(&self, session: &str, now: Moment) -> Recalled {
        let mut shard = self.shard(session);
        let Some(known) = shard.get(session) else { return Recalled::default() };
        let sticky = known.sticky.as_ref().filter(|sticky| now.since(sticky.last) <= GROUP_STICKS);
        let avoided = known.avoid.as_ref().filter(|(_, until)| now < *until);
        Recalled { sticky: sticky.cloned(), avoided: avoided.map(|(endpoint, _)| endpoint.clone()) }
    }

    /// `session` was served well by `endpoint`.
    pub fn remember(&self, session: &str, endpoint: &EndpointId, group: &Arc<str>, now: Moment) {
        self.change(session, |known| {
            // Served elsewhere: the endpoint that broke the stream has been avoided.
            known.avoid.take_if(|(avoided, _)| avoided != endpoint);
            match &mut known.sticky {
                Some(sticky) if sticky.endpoint == *endpoint && sticky.group == *group => sticky.last = now,
                sticky => {
                    *sticky = Some(Sticky { endpoint: endpoint.clone(), group: Arc::clone(group), last: now });
                }
            }
        });
    }

    /// A stream of `session` broke at `endpoint` after it had begun: the re-send goes elsewhere for [`AVOIDED_FOR`].
    pub fn avoid(&self, session: &str, endpoint: &EndpointId, now: Moment) {
        self.change(session, |known| known.avoid = Some((endpoint.clone(), now.after(AVOIDED_FOR))));
    }

    /// The sessions that were served at `since` or later, and where.
    pub fn served_since(&self, since: Moment) -> Vec<(Box<str>, Sticky)> {
        let mut served = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let known = shard.iter().filter_map(|(session, known)| Some((session, known.sticky.as_ref()?)));
            let new = known.filter(|(_, sticky)| sticky.last >= since);
            served.extend(new.map(|(session, sticky)| (session.clone(), sticky.clone())));
        }
        served
    }

    /// `session` was served last by an earlier process.
    pub fn restore(&self, session: &str, sticky: Sticky) {
        self.change(session, |known| known.sticky = Some(sticky));
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether no session is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, session: &str, change: impl FnOnce(&mut Session)) {
        let mut shard = self.shard(session);
        if let Some(known) = shard.get(session) {
            return change(known);
        }
        let mut new = Session::default();
        change(&mut new);
        shard.insert(session.into(), new);
    }

    fn shard(&self, session: &str) -> MutexGuard<'_, Recent<Box<str>, Session>> {
        let hash = self.hasher.hash_one(session);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()])
    }
}

impl Default for Affinity {
    fn default() -> Self {
        Self::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::at;

    const TTL: Duration = Duration::from_mins(5);

    fn id(id: &str) -> EndpointId {
        EndpointId { profile: "main".into(), id: id.into() }
    }

    fn group() -> Arc<str> {
        "group".into()
    }

    #[test]
    fn a_session_stays_on_its_endpoint_for_the_ttl_and_in_its_group_for_a_day() {
        let affinity = Affinity::new();
        assert_eq!(affinity.recall("s", at(0)).sticky, None);
        affinity.remember("s", &id("a"), &group(), at(0));
        affinity.remember("s", &id("a"), &group(), at(200));
        for (now, on_endpoint, in_group) in
            [(500, true, true), (501, false, true), (86_600, false, true), (86_601, false, false)]
        {
            let sticky = affinity.recall("s", at(now)).sticky;
            let endpoint = sticky.as_ref().and_then(|sticky| sticky.endpoint_within(TTL, at(now)));
            assert_eq!((endpoint == Some(&id("a")), sticky.is_some()), (on_endpoint, in_group), "{now}");
        }
        affinity.remember("s", &id("b"), &"other".into(), at(300));
        let sticky = affinity.recall("s", at(300)).sticky.expect("it was served");
        assert_eq!((sticky.endpoint, &*sticky.group), (id("b"), "other"));
        assert_eq!(affinity.recall("t", at(300)).sticky, None);
    }

    #[test]
    fn a_broken_stream_is_avoided_until_the_session_was_served_elsewhere() {
        let affinity = Affinity::new();
        affinity.avoid("new", &id("a"), at(0));
        assert_eq!(
            (affinity.recall("new", at(9)).avoided, affinity.recall("new", at(10)).avoided),
            (Some(id("a")), None)
        );
        assert_eq!((affinity.recall("new", at(1)).sticky, affinity.recall("other", at(1)).avoided), (None, None));
        affinity.remember("new", &id("a"), &group(), at(1));
        assert_eq!(affinity.recall("new", at(2)).avoided, Some(id("a")), "an older request of it ended well there");
        affinity.remember("new", &id("b"), &group(), at(2));
        assert_eq!(affinity.recall("new", at(3)).avoided, None);
    }

    #[test]
    fn another_process_goes_on_with_what_was_served() {
        let (first, second) = (Affinity::new(), Affinity::new());
        first.remember("old", &id("a"), &group(), at(10));
        first.remember("new", &id("b"), &group(), at(20));
        first.avoid("broken", &id("a"), at(20));
        let served = first.served_since(at(20));
        assert_eq!(served.iter().map(|(session, _)| &**session).collect::<Vec<_>>(), ["new"]);
        for (session, sticky) in first.served_since(at(0)) {
            second.restore(&session, sticky);
        }
        for session in ["old", "new", "broken"] {
            assert_eq!(second.recall(session, at(30)).sticky, first.recall(session, at(30)).sticky, "{session}");
        }
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_those_used_last_stay() {
        let affinity = Affinity::with_capacity(3200);
        for n in 0..20_000 {
            affinity.remember(&n.to_string(), &id("a"), &group(), at(n));
            affinity.recall("0", at(n));
        }
        assert!(affinity.len() <= 3200 && !affinity.is_empty());
        let known = |session| affinity.recall(session, at(20_000)).sticky.is_some();
        assert_eq!((known("0"), known("19999"), known("1")), (true, true, false));
    }
}
