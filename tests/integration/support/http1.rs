//! HTTP/1.1 messages read by hand, so that nothing is normalised away: header order, duplicates, case, and how a body ended.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Header fields in wire order.
pub(crate) type Headers = Vec<(String, String)>;

/// The value of the first field called `name`, whatever its case.
pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The values of all fields called `name`, in order.
pub(crate) fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

/// A start line and its fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Headers,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self { start, headers: headers.map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect() }
    }

    /// The number in a status line.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

/// Whether a body ended the way its framing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    Cut,
}

/// Reads messages off a connection, keeping surplus bytes for the next one.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    io: R,
    pub(crate) buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// Reads more; false at the end of the connection or on a reset. Safe to cancel.
    pub(crate) async fn fill(&mut self) -> bool {
        self.buffer.reserve(64 * 1024);
        self.io.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0)
    }

    /// Ends when the other side closed; bytes that come meanwhile are kept.
    pub(crate) async fn gone(&mut self) {
        while self.fill().await {}
    }

    /// The next head; `None` when the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer.split_to(end + 4)[..end]).into_owned();
                return Some(Head::parse(&text));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The body that follows `head`. `until_close`: a message without framing runs to the end of the connection.
    pub(crate) async fn body(&mut self, head: &Head, until_close: bool) -> (Bytes, Ended) {
        if header(&head.headers, "transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked")) {
            return self.chunked().await;
        }
        match header(&head.headers, "content-length").and_then(|n| n.parse().ok()) {
            Some(length) => self.exactly(length).await,
            None if until_close => {
                self.gone().await;
                (self.buffer.split().freeze(), Ended::Whole)
            }
            None => (Bytes::new(), Ended::Whole),
        }
    }

    async fn exactly(&mut self, length: usize) -> (Bytes, Ended) {
        while self.buffer.len() < length {
            if !self.fill().await {
                return (self.buffer.split().freeze(), Ended::Cut);
            }
        }
        (self.buffer.split_to(length).freeze(), Ended::Whole)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn chunked(&mut self) -> (Bytes, Ended) {
        let mut body = BytesMut::new();
        loop {
            let ended = self.chunk(&mut body).await;
            if let Some(ended) = ended {
                return (body.freeze(), ended);
            }
        }
    }

    /// Reads one chunk into `body`; says how the body ended when it did.
    async fn chunk(&mut self, body: &mut BytesMut) -> Option<Ended> {
        let Some(line) = self.line().await else { return Some(Ended::Cut) };
        let Ok(length) = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16) else {
            return Some(Ended::Cut);
        };
        if length == 0 {
            return Some(self.trailers().await);
        }
        let (data, ended) = self.exactly(length).await;
        body.extend_from_slice(&data);
        if ended == Ended::Cut || self.exactly(2).await.1 == Ended::Cut {
            return Some(Ended::Cut);
        }
        None
    }

    async fn trailers(&mut self) -> Ended {
        loop {
            match self.line().await {
                None => return Ended::Cut,
                Some(line) if line.is_empty() => return Ended::Whole,
                Some(_) => {}
            }
        }
    }

    /// Takes what has been read and not been used.
    pub(crate) fn rest(&mut self) -> Bytes {
        let length = self.buffer.remaining();
        self.buffer.split_to(length).freeze()
    }
}
