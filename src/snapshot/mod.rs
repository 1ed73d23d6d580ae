//! The running configuration: one immutable value, how it is made and how it is replaced.
//!
//! A request loads the snapshot once and keeps it to its end; a reload or a switch of the active profile publishes
//! another one by a single store. What lives longer than a snapshot (state of endpoints and keys) is adopted by identity.

pub mod accepted;
pub mod build;
pub mod cell;
pub mod changes;
pub mod clients;
pub mod hooks;
mod read;
pub mod reload;
pub mod secrets;
mod spec;
pub mod watch;

use std::sync::Arc;

pub use cell::SnapshotCell;

use crate::config::Config;
use crate::upstream::bell::Bell;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::profile::Profile;
use clients::Clients;
use hooks::Headers;

/// Everything a request needs to know, as of one moment.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other, looked up once")]
pub struct Snapshot {
    /// Counts accepted files, from 1.
    pub generation: u64,
    /// Counts publications: reloads, switches, secrets that changed.
    pub epoch: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: Arc<str>,
    /// The file, for the numbers that steer decisions.
    pub config: Arc<Config>,
    /// Who may call; `None`: anyone who reaches the listener.
    pub clients: Option<Arc<Clients>>,
    /// Headers of the webhooks of `notify`, in its order.
    pub hooks: Arc<[Headers]>,
    /// Profiles that take traffic: by tier, then in file order.
    pub chain: Arc<[Arc<Profile>]>,
    /// Endpoints of the file that take no traffic, those whose live state is known: it waits for their return.
    pub aside: Arc<[Arc<Endpoint>]>,
    /// Index of the active profile in `chain`; 0 where the chain is empty.
    pub active: usize,
    /// A person has pinned the active profile.
    pub pinned: bool,
    /// The chain has a single enabled endpoint.
    pub sole: bool,
    /// The chain has endpoints of more than one provider group.
    pub several_groups: bool,
    /// Some endpoint of the chain is sent the client's own credential.
    pub passes_through: bool,
    /// Rung when an endpoint may take requests it could not take before; the same in every snapshot.
    pub bell: Bell,
}

impl Snapshot {
    /// The active profile.
    pub fn active_profile(&self) -> Option<&Arc<Profile>> {
        self.chain.get(self.active)
    }

    /// Every endpoint of the chain.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.chain.iter().flat_map(|profile| &profile.endpoints)
    }

    /// Every endpoint whose live state is kept: those of the chain, and those that take no traffic for now.
    pub fn known(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints().chain(self.aside.iter())
    }

    /// Whether any endpoint could ever answer.
    pub fn serves(&self) -> bool {
        self.endpoints().next().is_some()
    }

    /// The same with another active profile, pinned or not.
    #[must_use]
    pub fn with_active(&self, active: usize, pinned: bool) -> Self {
        Self {
            epoch: self.epoch + 1,
            active,
            pinned,
            sha256: Arc::clone(&self.sha256),
            config: Arc::clone(&self.config),
            clients: self.clients.clone(),
            hooks: Arc::clone(&self.hooks),
            chain: Arc::clone(&self.chain),
            aside: Arc::clone(&self.aside),
            bell: self.bell.clone(),
            ..*self
        }
    }
}
