//! Listening sockets: bound exclusively, before anything else starts.
//!
//! - An address that is taken is an error: without `SO_REUSEPORT` a second proxy can never take half of the traffic
//!   unseen. `SO_REUSEADDR` only lets a restart pass the connections its predecessor left in TIME_WAIT.
//! - IPv6 listeners take IPv6 only, so `0.0.0.0` and `[::]` can stand side by side.
//! - An accepted socket is handed over unregistered: the acceptor's runtime is not the worker's.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why an address could not be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// Not `IP:PORT` or `localhost:PORT`.
    Malformed(String),
    /// The system refused it.
    Bind(String, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(address) => write!(f, "`{address}` is not an address: write `IP:PORT` or `localhost:PORT`"),
            Self::Bind(address, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(
                    f,
                    "`{address}` is in use: stop the program that listens there, or choose another port in `server.listen`"
                ),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "`{address}` is not allowed: choose a port above 1023 in `server.listen`")
                }
                io::ErrorKind::AddrNotAvailable => write!(f, "`{address}` is not an address of this machine"),
                _ => write!(f, "cannot listen on `{address}`: {error}"),
            },
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(_) => None,
            Self::Bind(_, error) => Some(error),
        }
    }
}

/// Listens on every address of `addresses`, or on none. Port 0 takes a free port.
///
/// The listeners are non-blocking, ready for `tokio::net::TcpListener::from_std`.
pub fn bind<A: AsRef<str>>(addresses: &[A]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let address = address.as_ref();
        let bound = match address.strip_prefix("localhost:") {
            Some(port) => bind_localhost(address, port)?,
            None => vec![bind_one(address, parse(address)?)?],
        };
        listeners.extend(bound);
    }
    Ok(listeners)
}

/// Takes the next connection of `listener`, with `TCP_NODELAY`, unregistered: give it to the runtime that serves it by
/// `tokio::net::TcpStream::from_std`.
///
/// # Cancel safety
/// A connection is either returned or still waits in the listener.
pub async fn accept(listener: &tokio::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream.into_std()?, peer))
}

/// Raises the number of files the process may open to what it may at most ask for; returns it, `None`: no limit.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(limit.current)
}

fn parse(address: &str) -> Result<SocketAddr, ListenError> {
    address.parse().map_err(|_| ListenError::Malformed(address.to_owned()))
}

/// Both loopback families on one port; IPv6 is left out where the machine has none.
fn bind_localhost(address: &str, port: &str) -> Result<Vec<TcpListener>, ListenError> {
    let port: u16 = port.parse().map_err(|_| ListenError::Malformed(address.to_owned()))?;
    let v4 = bind_one(address, SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), port)))?;
    let taken = v4.local_addr().map_err(|error| ListenError::Bind(address.to_owned(), error))?.port();
    match bind_one(address, SocketAddr::from((IpAddr::V6(Ipv6Addr::LOCALHOST), taken))) {
        Ok(v6) => Ok(vec![v4, v6]),
        // Somebody else would get half of what is sent to `localhost`; a port we chose ourselves nobody knows.
        Err(ListenError::Bind(_, error)) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => {
            Err(ListenError::Bind(address.to_owned(), error))
        }
        Err(_) => Ok(vec![v4]),
    }
}

fn bind_one(written: &str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|error| ListenError::Bind(written.to_owned(), error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_refused_and_named_with_what_to_do() {
        let first = bind(&["127.0.0.1:0"]).expect("a free port");
        let address = first[0].local_addr().expect("bound").to_string();
        let error = bind(&[&address]).expect_err("it is taken");
        assert_eq!(
            error.to_string(),
            format!(
                "`{address}` is in use: stop the program that listens there, or choose another port in `server.listen`"
            )
        );
    }

    #[test]
    fn localhost_takes_both_families_on_one_port() {
        let bound = bind(&["localhost:0"]).expect("loopback");
        let addresses: Vec<_> = bound.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        assert!(addresses[0].is_ipv4() && addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port()), "{addresses:?}");
    }

    #[test]
    fn what_is_not_an_address_is_said() {
        for wrong in ["7860", "localhost", "localhost:http", "example.com:80", "::1:80", ""] {
            assert!(matches!(bind(&[wrong]), Err(ListenError::Malformed(_))), "{wrong}");
        }
    }

    #[tokio::test]
    async fn an_accepted_socket_sends_without_delay() {
        let listener = bind(&["127.0.0.1:0"]).expect("a free port").remove(0);
        let address = listener.local_addr().expect("bound");
        let listener = tokio::net::TcpListener::from_std(listener).expect("non-blocking");
        let (_client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), accept(&listener));
        let (stream, _) = accepted.expect("accepted");
        assert!(stream.nodelay().expect("a socket"));
        tokio::net::TcpStream::from_std(stream).expect("can be registered again");
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let raised = raise_open_files().expect("allowed up to the hard limit");
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
