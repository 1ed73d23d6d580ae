//! One connection of a client, which asks and reads, one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::endpoint::content_length;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and the answer that came last.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    head: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, answer: Vec::new(), head: 0 })
    }

    /// Asks, and reads the answer to its end.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.begin(request)?;
        while !self.is_whole() {
            self.read()?;
        }
        Ok(())
    }

    /// Asks, and reads to the first byte of the answer's body. Returns when that came.
    pub(crate) fn begin(&mut self, request: &[u8]) -> io::Result<Instant> {
        self.answer.clear();
        self.stream.write_all(request)?;
        loop {
            self.read()?;
            let head = memchr::memmem::find(&self.answer, b"\r\n\r\n").map(|at| at + 4);
            if let Some(head) = head.filter(|head| *head < self.answer.len()) {
                self.head = head;
                break;
            }
        }
        if !self.answer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&self.answer).into_owned()));
        }
        Ok(Instant::now())
    }

    /// Reads the begun answer to its end.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        while !self.is_whole() {
            self.read()?;
        }
        Ok(())
    }

    /// The body of the answer, without its chunks.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut rest = &self.answer[self.head..];
        if content_length(&self.answer[..self.head]) > 0 {
            return rest.to_vec();
        }
        let mut body = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let size =
                std::str::from_utf8(&rest[..end]).map_or(0, |size| usize::from_str_radix(size.trim(), 16).unwrap_or(0));
            if size == 0 {
                break;
            }
            body.extend_from_slice(&rest[end + 1..end + 1 + size]);
            rest = &rest[end + 1 + size + 2..];
        }
        body
    }

    fn is_whole(&self) -> bool {
        match content_length(&self.answer[..self.head]) {
            0 => self.answer.ends_with(b"\r\n0\r\n\r\n"),
            length => self.answer.len() >= self.head + length,
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let filled = self.answer.len();
        self.answer.resize(filled + 16 * 1024, 0);
        let read = self.stream.read(&mut self.answer[filled..]);
        self.answer.truncate(filled + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of an answer")),
            read => read.map(drop),
        }
    }
}
