//! Why a proxy could not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::lock::Holder;
use crate::config::{Instance, instance_id};
use crate::net::listen::ListenError;
use crate::net::tls::TlsError;
use crate::store::OpenError;

/// Why a proxy could not start.
#[derive(Debug)]
pub enum StartError {
    /// The file has errors; the diagnostics as `qcc validate` prints them.
    Config(String),
    /// Another process runs this file, or uses its state.
    Held(Box<Held>),
    /// The state directory cannot be written, and the log belongs there.
    Log(PathBuf, io::Error),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// `admin.listen` cannot be listened on.
    Admin(ListenError),
    /// `server.tls` cannot be used.
    Tls(TlsError),
    /// The certificates of `server.tls` cannot be read.
    TlsCert(String),
    /// The key of `server.tls` does not resolve.
    TlsKey(String),
    /// The state is there and cannot be used.
    State(OpenError),
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
            Self::Held(held) => held.fmt(f),
            Self::Log(path, error) => write!(
                f,
                "`{}` cannot be written: {error}\n  its log belongs there: choose another place by `state: {{ dir: PATH }}`, or run in the foreground",
                path.display()
            ),
            Self::Listen(error) => error.fmt(f),
            // The same words, about another key.
            Self::Admin(error) => f.write_str(&error.to_string().replace("server.listen", "admin.listen")),
            Self::Tls(error) => write!(f, "server.tls: {error}"),
            Self::TlsCert(why) => write!(f, "server.tls.cert: {why}"),
            Self::TlsKey(why) => write!(f, "server.tls.key: {why}"),
            Self::State(error) => write!(f, "the state {error}"),
            Self::Signals(error) => write!(f, "signals cannot be received: {error}"),
            Self::Thread(error) => write!(f, "no thread could be started: {error}"),
            Self::Panicked => f.write_str("starting failed by a bug of qcc; the log says where"),
        }
    }
}

impl std::error::Error for StartError {}

/// A file that cannot be run because somebody else has its lock.
#[derive(Debug)]
pub struct Held {
    config: PathBuf,
    state: PathBuf,
    holder: Option<Box<Holder>>,
}

impl Held {
    /// `instance` is held by `holder`, if that is known.
    pub fn new(instance: &Instance, holder: Option<Box<Holder>>) -> Self {
        Self { config: instance.config.clone(), state: instance.state.clone(), holder }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (config, state) = (self.config.display(), self.state.display());
        match &self.holder {
            None => write!(f, "a proxy runs on `{config}` already; `qcc proxy stop` ends it"),
            Some(holder) if instance_id(&holder.config) == instance_id(&self.config) => write!(
                f,
                "a proxy runs on `{config}` already ({holder})\n  a saved file is taken live; `qcc proxy stop` ends the proxy"
            ),
            Some(holder) => write!(
                f,
                "`{state}` is in use by the proxy of `{}` ({holder})\n  give this file a place of its own: `state: {{ dir: PATH }}`",
                holder.config.display()
            ),
        }
    }
}

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
