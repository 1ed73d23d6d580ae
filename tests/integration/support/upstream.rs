//! The scripted upstream: answers every request as told, and keeps exactly what it was sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::http1::{self, Headers, Reader};
use super::reply::{End, Framing, Reply, Step};
use super::{Ca, http2, sha256, until};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Counts the requests of this upstream from 0.
    pub(crate) index: usize,
    /// Counts the connections of this upstream from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    /// When the other side left before its answer was complete.
    pub(crate) left: Option<Instant>,
}

impl Recorded {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        http1::header(&self.headers, name)
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        http1::values(&self.headers, name)
    }

    pub(crate) fn sha256(&self) -> String {
        sha256(&self.body)
    }

    pub(crate) fn wants_stream(&self) -> bool {
        let head = &self.body[..self.body.len().min(4096)];
        memchr::memmem::find(head, br#""stream":true"#).is_some()
    }
}

type Script = Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>;

/// What the listener, its connections and the test share.
pub(crate) struct Shared {
    requests: Mutex<Vec<Recorded>>,
    script: Mutex<Script>,
    connections: AtomicUsize,
    changes: watch::Sender<()>,
}

impl Shared {
    /// Keeps a request and gives its index and what to answer.
    pub(crate) fn take(&self, mut request: Recorded) -> (usize, Reply) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        request.index = requests.len();
        requests.push(request.clone());
        drop(requests);
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.changes.send_replace(());
        (request.index, script(&request))
    }

    /// The other side left before the answer to this request was complete.
    pub(crate) fn left(&self, index: usize) {
        if let Some(request) = self.requests.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            request.left.get_or_insert_with(Instant::now);
        }
        self.changes.send_replace(());
    }
}

/// A scripted upstream. Stops when dropped.
pub(crate) struct Upstream {
    place: Refused,
    scheme: &'static str,
    shared: Arc<Shared>,
    listening: Option<JoinSet<()>>,
}

/// What is spoken on a connection.
#[derive(Clone)]
enum Wire {
    Plain,
    Tls(TlsAcceptor),
    TlsH2(TlsAcceptor),
}

impl Upstream {
    /// Answers everything like a working endpoint, over HTTP/1.1.
    pub(crate) async fn serving() -> Self {
        Self::start(Reply::served).await
    }

    /// Answers as `script` says, over HTTP/1.1.
    pub(crate) async fn start(script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(Wire::Plain, script).await
    }

    /// Answers everything with `reply`.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// HTTP/1.1 over TLS.
    pub(crate) async fn tls(ca: &Ca, script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(Wire::Tls(ca.acceptor(&["http/1.1"])), script).await
    }

    /// HTTP/2 over TLS; nothing else is spoken.
    pub(crate) async fn tls_h2(ca: &Ca, script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(Wire::TlsH2(ca.acceptor(&["h2"])), script).await
    }

    #[expect(clippy::unused_async, reason = "tests wait for a start, whatever it takes")]
    async fn on(wire: Wire, script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::listening(Refused::new(), wire, script)
    }

    fn listening(place: Refused, wire: Wire, script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            requests: Mutex::new(Vec::new()),
            script: Mutex::new(Arc::new(script)),
            connections: AtomicUsize::new(0),
            changes: watch::Sender::new(()),
        });
        let scheme = if matches!(wire, Wire::Plain) { "http" } else { "https" };
        let mut listening = JoinSet::new();
        listening.spawn(listen(place.listener(), wire, Arc::clone(&shared)));
        Self { place, scheme, shared, listening: Some(listening) }
    }

    /// The `base_url` of this upstream, without a path.
    pub(crate) fn url(&self) -> String {
        let host = if self.scheme == "http" { "127.0.0.1" } else { "localhost" };
        format!("{}://{host}:{}", self.scheme, self.place.address.port())
    }

    /// From the next request on, answers as `script` says.
    pub(crate) fn script(&self, script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// What arrived so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The one request that arrived.
    pub(crate) fn only(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at the upstream");
        requests.remove(0)
    }

    /// Waits until `count` requests have arrived.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Recorded> {
        let enough = || (self.count() >= count).then(|| self.requests());
        until(&format!("{count} requests at {}", self.place.address), &self.shared.changes, enough).await
    }

    /// Waits until the other side has left request `index`, and says when.
    pub(crate) async fn wait_left(&self, index: usize) -> Instant {
        let left = || self.requests().get(index).and_then(|request| request.left);
        until(&format!("request {index} of {} abandoned", self.place.address), &self.shared.changes, left).await
    }

    /// Dies as a killed process does: connections are reset, new ones refused.
    pub(crate) async fn kill(&mut self) -> Refused {
        if let Some(mut listening) = self.listening.take() {
            listening.shutdown().await;
        }
        self.place.clone()
    }
}

async fn listen(listener: TcpListener, wire: Wire, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let id = shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connection(stream, wire.clone(), id, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, wire: Wire, id: usize, shared: Arc<Shared>) {
    drop(stream.set_nodelay(true));
    let socket = Linger(SockRef::from(&stream).try_clone().expect("there are file descriptors left"));
    match wire {
        Wire::Plain => serve(stream, socket, id, &shared).await,
        Wire::Tls(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, socket, id, &shared).await;
            }
        }
        Wire::TlsH2(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                http2::serve(stream, id, shared).await;
            }
        }
    }
}

/// A second handle of a connection's socket: dropped in the middle of something, the connection is reset, not closed in order.
struct Linger(Socket);

impl Linger {
    /// From here on closing is orderly.
    fn orderly(&self, orderly: bool) {
        drop(self.0.set_linger((!orderly).then_some(std::time::Duration::ZERO)));
    }
}

async fn serve<S: AsyncRead + AsyncWrite>(stream: S, socket: Linger, id: usize, shared: &Shared) {
    let (read, mut write) = tokio::io::split(stream);
    let mut reader = Reader::new(read);
    loop {
        socket.orderly(true);
        let Some(request) = receive(&mut reader, id).await else { return };
        let (index, reply) = shared.take(request);
        socket.orderly(false);
        tokio::select! {
            again = play(&reply, &mut write, &socket) => if !again { return },
            () = reader.gone() => return shared.left(index),
        }
    }
}

async fn receive<R: AsyncRead + Unpin>(reader: &mut Reader<R>, connection: usize) -> Option<Recorded> {
    let head = reader.head().await?;
    let (body, ended) = reader.body(&head, false).await;
    if ended == http1::Ended::Cut {
        return None;
    }
    let mut words = head.start.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    Some(Recorded { index: 0, connection, method, target, headers: head.headers, body, left: None })
}

/// Sends `reply`; whether the connection can take another request.
async fn play<S: AsyncWrite>(reply: &Reply, write: &mut WriteHalf<S>, socket: &Linger) -> bool {
    if send(reply, write).await.is_err() {
        return false;
    }
    match reply.end {
        End::Whole if reply.framing != Framing::UntilClose && reply.status.is_some() => return true,
        End::Whole | End::Eof => {
            socket.orderly(true);
            drop(write.shutdown().await);
        }
        End::Reset | End::NoError => {}
        End::Hang => std::future::pending().await,
    }
    false
}

async fn send<S: AsyncWrite>(reply: &Reply, write: &mut WriteHalf<S>) -> std::io::Result<()> {
    for step in &reply.before {
        act(step, reply.split, Framing::UntilClose, write).await?;
    }
    if let Some(head) = head(reply) {
        put(head.as_bytes(), reply.split, write).await?;
    }
    let framing = if reply.status.is_some() { reply.framing } else { Framing::UntilClose };
    for step in &reply.body {
        act(step, reply.split, framing, write).await?;
    }
    if framing == Framing::Chunked && reply.end == End::Whole {
        put(b"0\r\n\r\n", reply.split, write).await?;
    }
    Ok(())
}

fn head(reply: &Reply) -> Option<String> {
    use std::fmt::Write as _;
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status?);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    match reply.framing {
        Framing::Length => {
            let announced = reply.content().len() + usize::from(reply.end != End::Whole);
            let _ = write!(head, "content-length: {announced}\r\n");
        }
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::UntilClose => head.push_str("connection: close\r\n"),
    }
    Some(head + "\r\n")
}

async fn act<S: AsyncWrite>(
    step: &Step,
    split: usize,
    framing: Framing,
    write: &mut WriteHalf<S>,
) -> std::io::Result<()> {
    match step {
        Step::Pause(pause) => tokio::time::sleep(*pause).await,
        Step::Until(gate) => gate.opened().await,
        Step::Bytes(bytes) if bytes.is_empty() => {}
        Step::Bytes(bytes) if framing == Framing::Chunked => {
            let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            put(&chunk, split, write).await?;
        }
        Step::Bytes(bytes) => put(bytes, split, write).await?,
    }
    Ok(())
}

async fn put<S: AsyncWrite>(bytes: &[u8], split: usize, write: &mut WriteHalf<S>) -> std::io::Result<()> {
    for piece in bytes.chunks(split) {
        write.write_all(piece).await?;
        write.flush().await?;
        if split < bytes.len() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// An address where every connection is refused: it is taken, and nobody listens. It stays taken while somebody does, so that
/// no connection of another test can have its port in between.
#[derive(Clone)]
pub(crate) struct Refused {
    address: SocketAddr,
    _taken: Arc<Socket>,
}

impl Refused {
    pub(crate) fn new() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
        Self { address, _taken: Arc::new(socket) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on a working endpoint.
    pub(crate) fn serve(self) -> Upstream {
        Upstream::listening(self, Wire::Plain, Reply::served)
    }

    fn listener(&self) -> TcpListener {
        let socket = bound(self.address);
        socket.listen(128).expect("nobody else listens");
        socket.set_nonblocking(true).expect("a socket takes options");
        TcpListener::from_std(socket.into()).expect("it listens")
    }
}

/// A socket that shares its address with others, of which one may listen.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are file descriptors left");
    socket.set_reuse_address(true).expect("Linux allows it");
    socket.bind(&address.into()).expect("the port is free");
    socket
}
