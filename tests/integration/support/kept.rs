//! The queue as it is on disk, whatever the proxy says of it.

use std::time::Duration;

use qcc::store::entries::{self, Entry, State};
use qcc::store::{Failure, Reader, View};

use super::{Proxy, in_time};

/// What is committed in a file is told to nobody else: a change of it is seen by looking again.
const PAUSE: Duration = Duration::from_millis(20);

impl Proxy {
    /// What `look` finds in the state; `None` while there is none.
    fn on_disk<T>(&self, look: impl FnOnce(&View<'_>) -> Result<T, Failure>) -> Option<T> {
        let reader = Reader::open(&self.state()).expect("the state is readable");
        reader.map(|mut reader| reader.read(look).expect("the state is readable"))
    }

    /// The entries.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.on_disk(|view| entries::list(view, None, u32::MAX)).unwrap_or_default()
    }

    /// Waits until the state of entry `id` is `state`.
    pub(crate) async fn wait_entry(&self, id: &str, state: State) -> Entry {
        let find = || self.entries().into_iter().find(|entry| entry.id == id && entry.state == state);
        looking(&format!("{id} {state}"), find).await
    }

    /// Waits until so many refusals are counted.
    pub(crate) async fn wait_refused(&self, count: u64) {
        let refused = || self.on_disk(entries::statistics).map(|statistics| statistics.figures.refused);
        looking("refusals are counted", || (refused() == Some(count)).then_some(())).await;
    }
}

async fn looking<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let look = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    in_time(what, look).await
}
