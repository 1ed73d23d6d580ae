//! Who plays in the demo, and who stands in its file.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::Config;
use crate::config::model::{EndpointFields, Tier};
use crate::simulate::{SimulatedEndpoint, Simulator, StartError};

/// The simulated endpoints: profile and id in the file; the id is their name in the simulation too.
pub(super) const CAST: [(&str, &str); 5] = [
    ("production", "work"),
    ("production", "personal"),
    ("production", "glm"),
    ("backup", "reserve"),
    ("emergency", "emergency"),
];

/// Time between two words: an answer takes about two seconds.
const PACE: Duration = Duration::from_millis(45);

/// An endpoint of the file that takes part in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Name of its profile.
    pub(super) profile: String,
    /// Its id.
    pub(super) id: String,
    /// Its place in the chain.
    pub(super) tier: Tier,
    /// Its weight as configured; 0 if it is not enabled.
    pub(super) weight: u32,
    /// Where it is.
    pub(super) base_url: String,
}

impl Seat {
    /// `PROFILE/ID`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.profile, self.id)
    }

    /// Its port, if it is on 127.0.0.1.
    pub(super) fn port(&self) -> Option<u16> {
        let address: SocketAddr = self.base_url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()?;
        (address.ip() == Ipv4Addr::LOCALHOST).then_some(address.port())
    }
}

/// The endpoints of the chain, in its order.
pub(super) fn seats(config: &Config) -> Vec<Seat> {
    let mut seats = Vec::new();
    for (profile, spec) in &config.profiles {
        let Some(tier) = spec.tier else { continue };
        let listed = spec.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields));
        let single = spec.shorthand.as_deref().map(|fields| (profile.as_str(), fields));
        seats.extend(listed.chain(single).map(|(id, fields)| seat(profile, id, tier, fields)));
    }
    // Stable, so the order of the file stays within a tier.
    seats.sort_by_key(|seat| seat.tier);
    seats
}

fn seat(profile: &str, id: &str, tier: Tier, fields: &EndpointFields) -> Seat {
    let weight = if fields.enabled { fields.weight } else { 0 };
    Seat { profile: profile.to_owned(), id: id.to_owned(), tier, weight, base_url: fields.base_url.clone() }
}

/// The ports at which the file expects the cast; 0 where it says nothing.
pub(super) fn expected_ports(seats: &[Seat]) -> [u16; CAST.len()] {
    CAST.map(|(profile, id)| {
        let seat = seats.iter().find(|seat| seat.profile == profile && seat.id == id);
        seat.and_then(Seat::port).unwrap_or(0)
    })
}

/// Starts the cast at `ports`; whoever finds its port taken gets any other.
pub(super) async fn start(mut ports: [u16; CAST.len()]) -> Result<Simulator, StartError> {
    loop {
        match Simulator::start(simulated(ports)).await {
            Err(StartError { port, .. }) if port != 0 => {
                ports.iter_mut().filter(|taken| **taken == port).for_each(|taken| *taken = 0);
            }
            started => return started,
        }
    }
}

/// Where the cast listens, in its order.
pub(super) fn addresses(simulator: &Simulator) -> [SocketAddr; CAST.len()] {
    CAST.map(|(_, id)| simulator.address(id).expect("the simulator was started with the whole cast"))
}

fn simulated(ports: [u16; CAST.len()]) -> Vec<SimulatedEndpoint> {
    CAST.iter().zip(ports).map(|((_, id), port)| SimulatedEndpoint { id: (*id).to_owned(), port, pace: PACE }).collect()
}
