//! What decides beside the requests: the task of the active profile, and the one that checks endpoints.

use tokio::task::JoinSet;

use crate::dispatch::Shared;
use crate::failover::driver::drive;
use crate::failover::machine::Memory;
use crate::failover::reports::{Reported, Reports};
use crate::failover::steering::{Steering, Wheel};
use crate::health::monitor::{self, monitor};
use crate::health::records::Records;
use crate::health::request::{Checks, Orders};
use crate::net::OwnAddresses;
use crate::snapshot::reload::Control;

/// The ends that these tasks hold, before they run.
pub(super) struct Upkeep {
    own: OwnAddresses,
    reported: Reported,
    wheel: Wheel,
    orders: Orders,
    steering: Steering,
    records: Records,
}

impl Upkeep {
    /// The ends of the requests, and those of the tasks.
    pub(super) fn new(own: OwnAddresses) -> (Reports, Checks, Self) {
        let (reports, reported) = Reports::channel();
        let (checks, orders) = Checks::channel();
        let (steering, wheel) = Steering::channel();
        (reports, checks, Self { own, reported, wheel, orders, steering, records: Records::default() })
    }

    /// Starts the tasks. Must run inside a `LocalSet`.
    pub(super) fn start(self, tasks: &mut JoinSet<()>, shared: &Shared, control: &Control) {
        let Self { own, reported, wheel, orders, steering, records } = self;
        tasks.spawn(drive(reported, wheel, Memory::default(), shared.cell.clone(), control.clone()));
        tasks.spawn_local(monitor(monitor::Site {
            cell: shared.cell.clone(),
            own,
            control: control.clone(),
            events: shared.events.clone(),
            failover: steering.view(),
            orders,
            records,
        }));
    }
}
