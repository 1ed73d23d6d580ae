//! How a command asks the proxy of its file. Blocks, for a bounded time.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::view::{Error, Verdict};

/// For an answer that needs no waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LONGEST: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody runs the file.
    NotRunning(PathBuf),
    /// Somebody may run it, and could not be asked.
    Unreachable(String),
    /// The proxy says no.
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// A stable word.
        code: String,
        /// Why, for people.
        message: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(config) => {
                write!(f, "no proxy is running on {}; `qcc proxy start` starts one", config.display())
            }
            Self::Unreachable(why) => write!(f, "the proxy cannot be asked: {why}"),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for ClientError {}

/// The way to a proxy.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// To the proxy whose control socket is `socket`; whether it answers is found out by asking.
    pub fn at(socket: PathBuf) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ClientError::Unreachable(error.to_string()))?;
        Ok(Self { socket, runtime })
    }

    /// Asks for what is at `path`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new(), PATIENCE)
    }

    /// Asks for what is at `path` about `query`.
    pub fn ask_about<Q: Serialize, T: DeserializeOwned>(&self, path: &str, query: &Q) -> Result<T, ClientError> {
        let query = serde_urlencoded::to_string(query).map_err(|error| unreachable(&error))?;
        self.get(&format!("{path}?{query}"))
    }

    /// Sends `body` to `path`.
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        self.post_within(path, body, PATIENCE)
    }

    /// The same, for an answer that takes up to `patience`.
    pub fn post_within<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unreachable(error.to_string()))?;
        self.ask(Method::POST, path, body.into(), patience)
    }

    /// What becomes of the file with this SHA-256 that was written at `since` or later, waiting up to `wait` for it.
    pub fn verdict(&self, sha256: &str, since: SystemTime, wait: Duration) -> Result<Verdict, ClientError> {
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let path = format!("/v1/verdict?sha256={sha256}&since={since}&wait={}", wait.as_secs_f64());
        self.ask(Method::GET, &path, Bytes::new(), wait + PATIENCE)
    }

    /// The text at `path`.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.fetch(Method::GET, path, Bytes::new(), PATIENCE)?;
        String::from_utf8(body.into()).map_err(|error| unreachable(&error))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let body = self.fetch(method, path, body, patience)?;
        serde_json::from_slice(&body).map_err(|error| unreachable(&error))
    }

    /// The body of a good answer.
    fn fetch(&self, method: Method, path: &str, body: Bytes, patience: Duration) -> Result<Bytes, ClientError> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(HOST, "localhost").header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(body)).map_err(|error| unreachable(&error))?;
        let answered = self.runtime.block_on(async { timeout(patience, self.exchange(request)).await });
        let late = |_| ClientError::Unreachable(format!("it did not answer within {} s", patience.as_secs()));
        let (status, body) = answered.map_err(late)??;
        if status.is_success() {
            return Ok(body);
        }
        let Error { error } = serde_json::from_slice(&body).map_err(|_| unreachable(&status))?;
        Err(ClientError::Refused { status, code: error.code, message: error.message })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.absent(&error))?;
        trusted(&stream).map_err(|error| self.absent(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        let answered = async {
            let (head, body) = sender.send_request(request).await.map_err(|error| unreachable(&error))?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(|error| unreachable(&error))?;
            Ok((head.status, body.to_bytes()))
        };
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            answered = &mut answered => answered,
            ended = connection => {
                // What came before the end is still there to be read.
                drop(ended);
                answered.await
            }
        }
    }

    fn absent(&self, error: &io::Error) -> ClientError {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Unreachable(format!(
                "nobody answers at `{socket}`; it is starting or ending, or its log says why it has no control socket"
            )),
            _ => ClientError::Unreachable(format!("`{socket}`: {error}")),
        }
    }
}

/// Whoever answers must be the same user, or root; root may ask anybody.
fn trusted(stream: &UnixStream) -> io::Result<()> {
    let (them, us) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if them == us || them == 0 || us == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {them} answers there")))
}

fn unreachable(error: &dyn fmt::Display) -> ClientError {
    ClientError::Unreachable(error.to_string())
}
