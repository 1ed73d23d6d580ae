//! The demo's own traffic: one streaming conversation a second through the proxy, each with a session of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::secret::PLACEHOLDER;

/// Time between two requests.
const BEAT: Duration = Duration::from_secs(1);

/// Requests under way at once; a beat is left out when they all wait.
const UNDER_WAY: usize = 32;

/// What is asked, in turn.
const PROMPTS: [&str; 4] =
    ["Good morning.", "Which endpoint is this?", "Count to ten, please.", "What happens when you are overloaded?"];

type Caller = Client<HttpConnector, Full<Bytes>>;

/// Asks the proxy at `address` until dropped, or until `limit` requests are answered; returns how many failed.
pub(super) async fn pulse(address: SocketAddr, limit: Option<u32>) -> u32 {
    let caller: Caller = Client::builder(TokioExecutor::new()).build_http();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked = JoinSet::new();
    let (mut number, mut failed) = (0, 0);
    while limit.is_none_or(|limit| number < limit) {
        beat.tick().await;
        while let Some(ended) = asked.try_join_next() {
            failed += u32::from(!ended.unwrap_or(false));
        }
        if asked.len() < UNDER_WAY {
            asked.spawn(ask(caller.clone(), address, number));
            number = number.wrapping_add(1);
        }
    }
    while let Some(ended) = asked.join_next().await {
        failed += u32::from(!ended.unwrap_or(false));
    }
    failed
}

/// Asks once; whether a whole answer came.
async fn ask(caller: Caller, address: SocketAddr, number: u32) -> bool {
    let Ok(request) = request(address, number) else { return false };
    let Ok(response) = caller.request(request).await else { return false };
    let fine = response.status().is_success();
    fine && response.into_body().collect().await.is_ok()
}

fn request(address: SocketAddr, number: u32) -> http::Result<Request<Full<Bytes>>> {
    let prompt = PROMPTS[number as usize % PROMPTS.len()];
    let body = serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": 200, "stream": true,
        "messages": [{ "role": "user", "content": prompt }],
    });
    Request::post(format!("http://{address}/v1/messages"))
        .header("content-type", "application/json")
        .header("anthropic-version", "2023-06-01")
        .header("x-api-key", PLACEHOLDER)
        .header("user-agent", "qcc-demo")
        .header("x-claude-code-session-id", format!("demo-{number}"))
        .body(Full::new(Bytes::from(body.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Behaviour, SimulatedEndpoint, Simulator};

    #[tokio::test]
    async fn it_asks_as_often_as_told_and_counts_what_failed() {
        let endpoint = SimulatedEndpoint { id: "work".to_owned(), port: 0, pace: Duration::ZERO };
        let simulator = Simulator::start(vec![endpoint]).await.expect("a free port");
        let address = simulator.address("work").expect("started");
        assert_eq!(pulse(address, Some(1)).await, 0);
        for broken in [Behaviour::Overloaded, Behaviour::Cut, Behaviour::Refuse] {
            simulator.behave("work", broken).await;
            assert_eq!(pulse(address, Some(1)).await, 1, "{broken}");
        }
    }
}
