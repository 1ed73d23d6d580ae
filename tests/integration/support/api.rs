//! The JSON API as a program meets it at the control socket.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::config::CANARY;
use super::{Proxy, in_time};

impl Proxy {
    /// Where its control socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        let id = qcc::config::instance_id(&self.path);
        self.path.with_file_name("home").join("run/qcc").join(format!("{id}.sock"))
    }

    /// What `path` says; no answer may hold a key.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    /// What `path` says to a body.
    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask("POST", path, body).await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = in_time("an answer of the API", ask(self.socket(), method, path, body.to_owned())).await;
        assert!(!text.contains(CANARY), "a key in the answer to {path}: {text}");
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("JSON from {path}: {text}")))
    }

    /// What `/v1/status` says.
    pub(crate) async fn status(&self) -> Value {
        let (status, body) = self.get("/v1/status").await;
        assert_eq!(status, 200, "{body:#}");
        body
    }
}

async fn ask(socket: PathBuf, method: &str, path: &str, body: String) -> (u16, String) {
    let stream = UnixStream::connect(&socket).await.expect("the control socket is there");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
    let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    connection.abort();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}
