//! What decides beside the requests, and goes on where an earlier process ended: the active profile, and the checks.

use std::hash::{BuildHasher as _, RandomState};

use tokio::task::JoinSet;

use crate::dispatch::Shared;
use crate::failover::driver::drive;
use crate::failover::machine::Memory;
use crate::failover::reports::{Reported, Reports};
use crate::failover::steering::{Steering, Wheel};
use crate::health::keep::Keeper;
use crate::health::kept::Kept;
use crate::health::monitor::{self, monitor};
use crate::health::records::Records;
use crate::health::request::{Checks, Orders};
use crate::net::OwnAddresses;
use crate::snapshot::reload::{Control, Publisher};
use crate::store::{Store, salt};
use crate::time::Clocks;

/// The ends that these tasks hold, before they run.
pub(super) struct Upkeep {
    pub(super) steering: Steering,
    pub(super) records: Records,
    own: OwnAddresses,
    reported: Reported,
    wheel: Wheel,
    orders: Orders,
    memory: Memory,
    keeper: Keeper,
}

impl Upkeep {
    /// The ends of the requests, and those of the tasks. What runs stands as it was `kept`.
    pub(super) fn new(own: OwnAddresses, publisher: &Publisher, store: Store, kept: &Kept) -> (Reports, Checks, Self) {
        let (reports, reported) = Reports::channel();
        let (checks, orders) = Checks::channel();
        let (steering, wheel) = Steering::channel();
        let (records, clocks) = (Records::default(), Clocks::now());
        if let Some((active, pinned)) = kept.active() {
            publisher.resume(active, pinned);
        }
        let cell = publisher.cell();
        kept.restore(&cell.load(), &records, clocks);
        let memory = kept.memory(&cell.load(), clocks);
        let keeper = Keeper { store, cell, records: records.clone(), failover: steering.view() };
        (reports, checks, Self { steering, records, own, reported, wheel, orders, memory, keeper })
    }

    /// Starts the tasks, and gives what keeps the state when they have ended. Must run inside a `LocalSet`.
    pub(super) fn start(self, tasks: &mut JoinSet<()>, shared: &Shared, control: &Control) -> Keeper {
        let Self { steering, records, own, reported, wheel, orders, memory, keeper } = self;
        tasks.spawn(drive(reported, wheel, memory, shared.cell.clone(), control.clone()));
        tasks.spawn(keeper.clone().run());
        tasks.spawn_local(monitor(monitor::Site {
            cell: shared.cell.clone(),
            own,
            control: control.clone(),
            events: shared.events.clone(),
            failover: steering.view(),
            orders,
            records,
        }));
        keeper
    }
}

/// What is kept in `store`, and the salt of its hashes. What cannot be read is as if it had never been.
pub(super) async fn recall(store: &Store) -> (Kept, [u8; 32]) {
    let kept = Kept::read(store).await.unwrap_or_else(|why| {
        tracing::warn!(%why, "what an earlier process knew cannot be read; endpoints start afresh");
        Kept::default()
    });
    let known = store.read(salt::find).await.ok().flatten();
    let salt = known.unwrap_or_else(|| {
        let fresh = fresh_salt();
        store.note(move |tx| salt::save(tx, fresh));
        fresh
    });
    (kept, salt)
}

/// Hashes under keys that the system drew at random.
fn fresh_salt() -> [u8; 32] {
    let random = RandomState::new();
    let mut salt = [0; 32];
    for (nth, word) in salt.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&random.hash_one(nth).to_le_bytes());
    }
    salt
}
