//! The listeners and connections of simulated endpoints.
//!
//! Each endpoint has one task; it owns the tasks of its connections, and the [`Simulator`] owns it.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answer::answer;
use super::behaviour::Behaviour;
use super::body::AnswerBody;
use super::control::control;

/// Open connections of one endpoint; more wait in the kernel.
const CONNECTIONS: usize = 1024;

/// From the first byte of a request to the end of its head.
const HEADER: Duration = Duration::from_secs(10);

/// Pause after an accept or bind that failed: whatever is short may be there again.
const PAUSE: Duration = Duration::from_millis(100);

/// An endpoint to simulate.
#[derive(Clone, Debug)]
pub struct SimulatedEndpoint {
    /// Its name, said in its answers and used in the control path.
    pub id: String,
    /// The loopback port it listens on; 0 for any.
    pub port: u16,
    /// Time between two words of an answer.
    pub pace: Duration,
}

/// Running simulated endpoints; they end when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    endpoints: Arc<[Endpoint]>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    /// Binds all `endpoints` on 127.0.0.1, then serves them; none is served if one cannot be bound.
    pub async fn start(endpoints: Vec<SimulatedEndpoint>) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        let mut bound = Vec::new();
        for endpoint in endpoints {
            let (listener, endpoint) = bind(endpoint).await?;
            listeners.push(listener);
            bound.push(endpoint);
        }
        let endpoints: Arc<[Endpoint]> = bound.into();
        let mut tasks = JoinSet::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            tasks.spawn(run(At { all: Arc::clone(&endpoints), index }, listener));
        }
        Ok(Self { endpoints, _tasks: tasks })
    }

    /// Where the endpoint listens.
    pub fn address(&self, id: &str) -> Option<SocketAddr> {
        self.find(id).map(|endpoint| endpoint.address)
    }

    /// How the endpoint behaves now.
    pub fn behaviour(&self, id: &str) -> Option<Behaviour> {
        self.find(id).map(Endpoint::behaviour)
    }

    /// Changes how an endpoint behaves, from its next request on; returns when that is in force, false if there is no
    /// such endpoint.
    pub async fn behave(&self, id: &str, behaviour: Behaviour) -> bool {
        let Some(endpoint) = self.find(id) else { return false };
        endpoint.behave(behaviour).await;
        true
    }

    fn find(&self, id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }
}

/// A port that could not be had.
#[derive(Debug)]
pub struct StartError {
    /// The simulated endpoint.
    pub id: String,
    /// The port it was to have.
    pub port: u16,
    /// Why not.
    pub source: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated endpoint `{}` cannot listen on 127.0.0.1:{}: {}", self.id, self.port, self.source)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An endpoint as it runs.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) address: SocketAddr,
    pace: Duration,
    behaviour: watch::Sender<Behaviour>,
    /// Whether it accepts connections.
    open: watch::Sender<bool>,
}

impl Endpoint {
    pub(super) fn behaviour(&self) -> Behaviour {
        *self.behaviour.borrow()
    }

    /// Changes the behaviour and waits until the listener follows, or somebody else changed it again.
    pub(super) async fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
        let (mut open, mut wanted) = (self.open.subscribe(), self.behaviour.subscribe());
        // Both senders are here, so the waits end by a value, not by a closed channel.
        tokio::select! {
            _ = open.wait_for(|open| *open == (behaviour != Behaviour::Refuse)) => {}
            _ = wanted.wait_for(|wanted| *wanted != behaviour) => {}
        }
    }
}

/// One of the endpoints, with all of them at hand.
#[derive(Clone)]
struct At {
    all: Arc<[Endpoint]>,
    index: usize,
}

impl At {
    fn own(&self) -> &Endpoint {
        &self.all[self.index]
    }

    async fn handle(self, request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
        let own = self.own();
        let controlled = control(&self.all, own, request.method(), request.uri().path()).await;
        Ok(match controlled {
            Some(response) => response,
            None => answer(&own.id, own.behaviour(), own.pace, request).await,
        })
    }
}

async fn bind(endpoint: SimulatedEndpoint) -> Result<(TcpListener, Endpoint), StartError> {
    let SimulatedEndpoint { id, port, pace } = endpoint;
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    let (listener, address) = bound.map_err(|source| StartError { id: id.clone(), port, source })?;
    let (behaviour, open) = (watch::Sender::new(Behaviour::Healthy), watch::Sender::new(true));
    Ok((listener, Endpoint { id, address, pace, behaviour, open }))
}

/// Serves while the endpoint accepts connections, and listens again when it is to.
async fn run(at: At, mut listener: TcpListener) {
    let mut connections = JoinSet::new();
    let own = at.own();
    loop {
        tokio::select! {
            () = accept(&at, &listener, &mut connections) => {}
            () = until(own, |behaviour| behaviour == Behaviour::Refuse) => {}
        }
        drop(listener);
        own.open.send_replace(false);
        until(own, |behaviour| behaviour != Behaviour::Refuse).await;
        listener = rebind(own.address).await;
        own.open.send_replace(true);
    }
}

async fn until(endpoint: &Endpoint, reached: impl Fn(Behaviour) -> bool) {
    // The sender lives in the endpoint itself, so the channel cannot be closed.
    drop(endpoint.behaviour.subscribe().wait_for(|behaviour| reached(*behaviour)).await);
}

async fn rebind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Accepts for ever.
async fn accept(at: &At, listener: &TcpListener, connections: &mut JoinSet<()>) {
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(at.clone(), stream))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Serves one connection; when the endpoint refuses, only until what runs on it is answered.
async fn serve(at: At, stream: TcpStream) {
    // Words are small and wait for nobody.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| at.clone().handle(request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER);
    builder.http2().timer(TokioTimer::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // A connection that breaks is the client's business, or the behaviour asked for.
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        () = until(at.own(), |behaviour| behaviour == Behaviour::Refuse) => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
