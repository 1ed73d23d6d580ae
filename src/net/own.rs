//! The addresses this process listens on, so that it never sends a request to itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Addresses the process listens on. Cheap to clone, shared by all workers, never changed.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Arc<[SocketAddr]>);

impl OwnAddresses {
    /// The addresses as they were bound; `0.0.0.0` and `[::]` stand for every address of the machine.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// Whether a connection from `local` to `peer` ends at one of them.
    ///
    /// A connection to an address of this machine starts at the same address, or at another loopback address: that is
    /// how a listener on every address is recognised.
    pub fn contains(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let (from, to) = (local.ip().to_canonical(), peer.ip().to_canonical());
        let here = from == to || to.is_loopback();
        self.0.iter().any(|own| own.port() == peer.port() && listens_at(own.ip().to_canonical(), to, here))
    }
}

fn listens_at(own: IpAddr, peer: IpAddr, peer_is_this_machine: bool) -> bool {
    own == peer || (own.is_unspecified() && own.is_ipv4() == peer.is_ipv4() && peer_is_this_machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_address_is_known_however_it_was_bound() {
        for (bound, local, peer, own) in [
            ("127.0.0.1:7860", "127.0.0.1:50000", "127.0.0.1:7860", true),
            ("127.0.0.1:7860", "127.0.0.1:50000", "127.0.0.1:7861", false),
            ("127.0.0.1:7860", "127.0.0.1:50000", "127.0.0.2:7860", false),
            ("127.0.0.1:7860", "[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:7860", true),
            ("0.0.0.0:7860", "127.0.0.1:50000", "127.0.0.2:7860", true),
            ("0.0.0.0:7860", "192.0.2.7:50000", "192.0.2.7:7860", true),
            ("0.0.0.0:7860", "192.0.2.7:50000", "192.0.2.8:7860", false),
            ("0.0.0.0:7860", "[::1]:50000", "[::1]:7860", false),
            ("[::]:7860", "[::1]:50000", "[::1]:7860", true),
        ] {
            let [bound, local, peer] = [bound, local, peer].map(|text| text.parse().expect("an address"));
            assert_eq!(OwnAddresses::new([bound]).contains(local, peer), own, "{bound} {local} -> {peer}");
        }
    }
}
