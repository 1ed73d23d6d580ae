//! Why a proxy could not start.

use std::fmt;
use std::io;

use crate::net::listen::ListenError;
use crate::net::tls::TlsError;

/// Why a proxy could not start.
#[derive(Debug)]
pub enum StartError {
    /// The file has errors; the diagnostics as `qcc validate` prints them.
    Config(String),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// `server.tls` cannot be used.
    Tls(TlsError),
    /// The certificates of `server.tls` cannot be read.
    TlsCert(String),
    /// The key of `server.tls` does not resolve.
    TlsKey(String),
    /// Signals cannot be received.
    Signals(io::Error),
    /// The system gives no thread or runtime.
    Thread(io::Error),
    /// A bug: the thread that starts everything panicked.
    Panicked,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(report) => f.write_str(report.trim_end()),
            Self::Listen(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "server.tls: {error}"),
            Self::TlsCert(why) => write!(f, "server.tls.cert: {why}"),
            Self::TlsKey(why) => write!(f, "server.tls.key: {why}"),
            Self::Signals(error) => write!(f, "signals cannot be received: {error}"),
            Self::Thread(error) => write!(f, "no thread could be started: {error}"),
            Self::Panicked => f.write_str("starting failed by a bug of qcc; the log says where"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
