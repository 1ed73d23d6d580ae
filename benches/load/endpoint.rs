//! The mock of an endpoint: a thread for each connection, which does as little as can be done.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::work::{self, Answer, EVENTS, PACED};

/// Time between two events of a paced stream.
const PACE: Duration = Duration::from_millis(20);

/// What is answered, made once.
struct Script {
    json: Vec<u8>,
    stream_head: Vec<u8>,
    burst: Vec<Vec<u8>>,
    paced: Vec<Vec<u8>>,
    /// Connections of held streams, which need no thread; closed when the next round begins.
    held: Arc<Mutex<Vec<TcpStream>>>,
}

/// The mock, which serves until the process ends.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Endpoint {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // The backlog of the standard library is too short for thousands of streams at once.
        rustix::net::listen(&listener, 8192)?;
        let address = listener.local_addr()?;
        let held = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Script {
            json: work::json(),
            stream_head: work::stream_head(),
            burst: work::events(EVENTS),
            paced: work::events(PACED),
            held: Arc::clone(&held),
        });
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                // A proxy that closes its connection ends the thread: nothing else is to be done about it.
                drop(spawn(move || script.serve(stream)));
            }
        })?;
        Ok(Self { address, held })
    }

    /// Ends all held streams.
    pub(crate) fn let_go(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A thread that costs little.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().stack_size(128 * 1024).spawn(work)
}

impl Script {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 256 * 1024];
        while let Some(answer) = read_request(&mut stream, &mut buffer)? {
            match answer {
                Answer::Json => stream.write_all(&self.json)?,
                Answer::Burst => {
                    stream.write_all(&self.stream_head)?;
                    self.burst.iter().try_for_each(|event| stream.write_all(event))?;
                    stream.write_all(b"0\r\n\r\n")?;
                }
                Answer::Paced => self.pace(&mut stream)?,
                Answer::Held => {
                    stream.write_all(&[&self.stream_head[..], &self.paced[0], &self.paced[1]].concat())?;
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn pace(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.stream_head)?;
        let began = Instant::now();
        for (event, nth) in self.paced.iter().zip(1_u32..) {
            stream.write_all(event)?;
            thread::sleep((PACE * nth).saturating_sub(began.elapsed()));
        }
        stream.write_all(b"0\r\n\r\n")
    }
}

/// Reads one whole request; `None` when the proxy closed the connection.
fn read_request(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
    let (mut filled, mut head) = (0, None);
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(None);
        }
        filled += read;
        head = head.or_else(|| memchr::memmem::find(&buffer[..filled], b"\r\n\r\n").map(|at| at + 4));
        let Some(end) = head else { continue };
        if filled >= end + content_length(&buffer[..end]) {
            return Ok(Some(Answer::asked_for(&buffer[..end])));
        }
    }
}

/// What a head says of the length of its body.
pub(crate) fn content_length(head: &[u8]) -> usize {
    let length = |line: &[u8]| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
    };
    head.split(|byte| *byte == b'\n').find_map(length).unwrap_or(0)
}
