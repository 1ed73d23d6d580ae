//! The JSON API as a program meets it at the control socket.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::response::Parts;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

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
        // First: the answer may be the proxy's last.
        let described = self.described().await;
        let (status, text) = in_time("an answer of the API", ask(self.socket(), method, path, body.to_owned())).await;
        assert!(!text.contains(CANARY), "a key in the answer to {path}: {text}");
        let answer = serde_json::from_str(&text).unwrap_or_else(|_| panic!("JSON from {path}: {text}"));
        assert_described(&described, method, path, status, &answer);
        (status, answer)
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        let (status, text) = in_time("the metrics", ask(self.socket(), "GET", "/metrics", String::new())).await;
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains(CANARY), "a key in the metrics");
        text
    }

    /// The description of the API.
    pub(crate) async fn described(&self) -> Value {
        let document = ask(self.socket(), "GET", "/v1/openapi.json", String::new());
        let (_, document) = in_time("the description", document).await;
        serde_json::from_str(&document).expect("the description is JSON")
    }

    /// What `/v1/status` says.
    pub(crate) async fn status(&self) -> Value {
        let (status, body) = self.get("/v1/status").await;
        assert_eq!(status, 200, "{body:#}");
        body
    }
}

/// A whole exchange at the control socket.
async fn ask(socket: PathBuf, method: &str, path: &str, body: String) -> (u16, String) {
    let stream = UnixStream::connect(&socket).await.expect("the control socket is there");
    let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
    let (head, body) = exchange(stream, request.expect("a request")).await;
    (head.status.as_u16(), body)
}

/// A whole `GET` at a TCP address, with exactly these headers.
pub(crate) async fn get_at(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (Parts, String) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let request = http::Request::builder().uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    in_time("an answer over TCP", exchange(stream, request.body(Full::default()).expect("a request"))).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Full<Bytes>>,
) -> (Parts, String) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    connection.abort();
    (head, String::from_utf8(body.to_vec()).expect("text"))
}

/// The description of the API holds for this answer.
fn assert_described(document: &Value, method: &str, path: &str, status: u16, answer: &Value) {
    let path = path.split('?').next().expect("has a beginning");
    let known = &document["paths"][path][method.to_ascii_lowercase()]["responses"];
    let schema = match (status, known) {
        (404 | 405, Value::Null) => &json!({ "$ref": "#/components/schemas/Error" }),
        (200..300, known) => &known["2XX"]["content"]["application/json"]["schema"],
        (_, known) => &known["default"]["content"]["application/json"]["schema"],
    };
    assert!(schema.is_object(), "{method} {path} is not described");
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{method} {path}: {wrong:?} in {answer:#}");
}
