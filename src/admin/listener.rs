//! The admin listener: the same API over TCP, for programs that cannot reach the control socket.
//!
//! - Whoever calls shows the token of the state directory; it is compared by digests, in constant time.
//! - It is on a loopback address (the file allows no other) and answers for loopback names and `server.hosts` alone.
//! - Web pages are refused, as by the proxy itself: by `Origin` and `Sec-Fetch-Site`. No CORS header is ever sent.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::{Request, StatusCode};
use tokio::net::{TcpListener, TcpStream};

use super::error::ApiError;
use super::serve::Entrance;
use super::token::token;
use crate::dispatch::answer::Refusal;
use crate::proxy::admission;
use crate::snapshot::SnapshotCell;
use crate::snapshot::clients::Clients;

/// One address, and who may call there.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    token: Clients,
    token_file: PathBuf,
    cell: SnapshotCell,
}

impl Listener {
    /// Takes calls at `listener`, with the token in `state`. Must be called on a runtime.
    pub fn open(listener: std::net::TcpListener, state: &Path, cell: SnapshotCell) -> io::Result<Self> {
        let (secret, token_file) = token(state)?;
        let (local, token) = (listener.local_addr()?, Clients::new([("admin", &secret)]));
        Ok(Self { socket: TcpListener::from_std(listener)?, local, token, token_file, cell })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.local)
    }

    /// The file that holds the token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }
}

impl Entrance for Listener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.socket.accept().await?.0)
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        admission::check(request, self.local, &self.cell.load().config.server.hosts)?;
        if admission::credentials(request.headers()).any(|token| self.token.find(token).is_some()) {
            return Ok(());
        }
        let message = "send what stands in `admin.token` in the state directory as `Authorization: Bearer`";
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status, refusal.reason, refusal.message)
    }
}
