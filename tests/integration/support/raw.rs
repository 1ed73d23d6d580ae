//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::client::Answer;
use super::http1::Reader;
use super::in_time;

/// A plain TCP connection to the proxy.
pub(crate) struct RawClient {
    reader: Reader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl RawClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy listens");
        stream.set_nodelay(true).expect("a socket takes options");
        let (read, write) = stream.into_split();
        Self { reader: Reader::new(read), write }
    }

    /// Sends these bytes; whether the other side still takes them.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.write.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next answer; `None` when the connection ended without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let head = in_time("an answer or the end", self.reader.head()).await?;
        let (body, ended) = in_time("the whole body", self.reader.body(&head, true)).await;
        Some(Answer { status: head.status(), headers: head.headers, body, ended })
    }

    /// The next answer's head alone, as for HEAD.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let head = in_time("a head or the end", self.reader.head()).await?;
        Some(Answer {
            status: head.status(),
            headers: head.headers,
            body: Bytes::new(),
            ended: super::http1::Ended::Whole,
        })
    }

    /// Reads up to the end of the connection.
    pub(crate) async fn read_to_end(&mut self) -> Bytes {
        in_time("the end of the connection", self.reader.gone()).await;
        self.reader.rest()
    }
}

/// Sends `bytes` on a connection of its own and gives the answer, if any.
pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut client = RawClient::connect(address).await;
    client.send(bytes).await;
    client.answer().await
}
