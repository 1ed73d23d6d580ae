//! Where conversations belong outlives the process: their prompt caches and signatures do, too.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::Shared;
use crate::store::Store;
use crate::store::conversations::{self, Conversation};
use crate::time::{Clocks, Moment, from_unix_ms, unix_ms};
use crate::upstream::affinity::{Affinity, GROUP_STICKS, Sticky};
use crate::upstream::endpoint::EndpointId;

/// How often those served since are kept.
const EVERY: Duration = Duration::from_secs(10);

/// Keeps where they belong.
#[derive(Clone, Debug)]
pub(super) struct Conversations {
    store: Store,
    shared: Arc<Shared>,
}

impl Conversations {
    /// Goes on with what is in `store`. Before anybody is served.
    pub(super) async fn resume(store: Store, shared: Arc<Shared>) -> Self {
        match store.read(conversations::all).await {
            Ok(kept) => restore(&shared.affinity, kept, Clocks::now()),
            Err(why) => tracing::warn!(%why, "where conversations belong cannot be read; they are spread afresh"),
        }
        Self { store, shared }
    }

    /// Keeps them until it is dropped.
    pub(super) async fn keep(self) {
        let mut since = Moment::now();
        loop {
            tokio::time::sleep(EVERY).await;
            let now = Moment::now();
            self.note(since);
            since = now;
        }
    }

    /// Keeps those served last, which may not be kept yet. [`Store::flush`] is for the caller.
    pub(super) fn finish(&self) {
        self.note(Moment::now().before(2 * EVERY));
    }

    /// Notes those served since then.
    fn note(&self, since: Moment) {
        let clocks = Clocks::now();
        let served = self.shared.affinity.served_since(since);
        if served.is_empty() {
            return;
        }
        let served: Vec<_> = served.into_iter().map(|(session, sticky)| kept(session, &sticky, clocks)).collect();
        let oldest = unix_ms(clocks.time_at(clocks.moment.before(GROUP_STICKS)));
        self.store.note(move |tx| conversations::save(tx, &served, oldest));
    }
}

fn kept(session: Box<str>, sticky: &Sticky, clocks: Clocks) -> Conversation {
    Conversation {
        session: session.into(),
        profile: sticky.endpoint.profile.to_string(),
        endpoint: sticky.endpoint.id.to_string(),
        group: sticky.group.to_string(),
        last: unix_ms(clocks.time_at(sticky.last)),
    }
}

/// Thousands of conversations share a few names.
fn restore(affinity: &Affinity, kept: Vec<Conversation>, clocks: Clocks) {
    let mut names = HashSet::new();
    for Conversation { session, profile, endpoint, group, last } in kept {
        let [profile, id, group] = [profile, endpoint, group].map(|name| shared(&mut names, name));
        let last = clocks.moment_at(from_unix_ms(last)).min(clocks.moment);
        affinity.restore(&session, Sticky { endpoint: EndpointId { profile, id }, group, last });
    }
}

/// The one copy of `name`.
fn shared(names: &mut HashSet<Arc<str>>, name: String) -> Arc<str> {
    if let Some(known) = names.get(name.as_str()) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    names.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::reports::Reports;
    use crate::health::request::Checks;
    use crate::snapshot::reload::{Past, Publisher};
    use crate::telemetry::Events;

    const FILE: &[u8] =
        b"version: 1\nprofiles: { main: { tier: primary, base_url: 'http://127.0.0.1:1', api_key: x } }\n";

    /// What the requests of a process share.
    async fn process() -> Arc<Shared> {
        let loaded = crate::config::load_bytes("qcc.yaml".as_ref(), FILE);
        let publisher = Publisher::open(loaded, Past::default(), Events::new()).await.expect("a valid file");
        Arc::new(Shared::new(publisher.cell(), Events::new(), Reports::channel().0, Checks::channel().0))
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_killed_has_left_where_conversations_were_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let (killed, next) = (process().await, process().await);
        let keeping = tokio::spawn(Conversations::resume(store.clone(), Arc::clone(&killed)).await.keep());
        let endpoint = EndpointId { profile: "main".into(), id: "main".into() };
        killed.affinity.remember("s", &endpoint, &"group".into(), Moment::now());
        tokio::time::sleep(EVERY * 3 / 2).await;
        keeping.abort();
        tokio::time::resume();
        store.flush().await.expect("the disk is well");
        drop(Conversations::resume(store, Arc::clone(&next)).await);
        let sticky = next.affinity.recall("s", Moment::now()).sticky.expect("it was served");
        assert_eq!((sticky.endpoint, &*sticky.group), (endpoint, "group"));
        assert!(sticky.last <= Moment::now());
    }
}
