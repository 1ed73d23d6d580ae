//! Which ports the demo gets, and what the file has to say about it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::cast::{CAST, addresses};
use super::place::Place;
use crate::simulate::Simulator;

/// Ports that are not those of the file.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// What changes in the file: the old and the new port.
    pub(super) changes: Vec<(u16, u16)>,
    /// What the user did not ask for: the port that was taken, and the one instead.
    pub(super) taken: Vec<(u16, u16)>,
}

impl Ports {
    /// Compares what the file expects with what there is; `asked` wins over the file's port for the proxy.
    pub(super) fn find(
        place: &Place,
        expected: &[u16; CAST.len()],
        simulator: &Simulator,
        asked: Option<u16>,
    ) -> io::Result<Self> {
        let mut ports = Self::default();
        for (expected, address) in expected.iter().zip(addresses(simulator)) {
            ports.add(*expected, *expected, address.port());
        }
        if let Some(written) = place.proxy_port() {
            let wanted = asked.unwrap_or(written);
            ports.add(written, wanted, free_port(wanted)?);
        }
        Ok(ports)
    }

    /// `got` instead of `wanted`, where the file says `written`; 0 is no wish.
    fn add(&mut self, written: u16, wanted: u16, got: u16) {
        if written != 0 && written != got {
            self.changes.push((written, got));
        }
        if wanted != 0 && wanted != got {
            self.taken.push((wanted, got));
        }
    }
}

/// `wanted` if it is free on 127.0.0.1, else any free port.
fn free_port(wanted: u16) -> io::Result<u16> {
    let any = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).or_else(any)?;
    listener.local_addr().as_ref().map(SocketAddr::port).map_err(|error| error.kind().into())
}

/// `text` with every `127.0.0.1:OLD` of `moved` turned into `127.0.0.1:NEW`.
pub(super) fn with_ports(text: &str, moved: &[(u16, u16)]) -> String {
    let mut pieces = text.split("127.0.0.1:");
    let mut changed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let port = piece[..digits].parse::<u16>().ok();
        let new = moved.iter().find(|(old, _)| Some(*old) == port).map(|(_, new)| new.to_string());
        changed.extend(["127.0.0.1:", new.as_deref().unwrap_or(&piece[..digits]), &piece[digits..]]);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ports_of_loopback_are_replaced() {
        let text = "a 127.0.0.1:7871/x, 127.0.0.1:78712 10.0.0.1:7871 127.0.0.1:7872";
        let swapped = with_ports(text, &[(7871, 7872), (7872, 7871)]);
        assert_eq!(swapped, "a 127.0.0.1:7872/x, 127.0.0.1:78712 10.0.0.1:7871 127.0.0.1:7871");
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let taken = held.local_addr().expect("bound").port();
        assert_ne!(free_port(taken).expect("another"), taken);
        // Somebody else may take the port in between, hardly five times.
        let free = |_| free_port(0).expect("any");
        assert!((0..5).map(free).any(|port| free_port(port).expect("a port") == port));
    }
}
