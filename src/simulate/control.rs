//! Changing behaviours from outside: `POST /simulate/[ENDPOINT/]BEHAVIOUR`, `GET /simulate`.

use http::{Method, Response, StatusCode};
use serde_json::json;

use super::answer::json as answer;
use super::behaviour::Behaviour;
use super::body::AnswerBody;
use super::server::Endpoint;

/// The path all control requests begin with.
const PATH: &str = "/simulate";

/// Answers a control request that reached `own`; `None` if it is none.
pub(super) async fn control(
    all: &[Endpoint],
    own: &Endpoint,
    method: &Method,
    path: &str,
) -> Option<Response<AnswerBody>> {
    let rest = path.strip_prefix(PATH).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let words: Vec<_> = rest.split('/').filter(|word| !word.is_empty()).collect();
    Some(match (method, &words[..]) {
        (&Method::GET, []) => answer(StatusCode::OK, &state(all)),
        (&Method::POST, [behaviour]) => change(own, behaviour).await,
        (&Method::POST, [id, behaviour]) => match all.iter().find(|endpoint| endpoint.id == *id) {
            Some(endpoint) => change(endpoint, behaviour).await,
            None => wrong(&format!("no endpoint `{}` here", id.escape_debug())),
        },
        _ => wrong("POST /simulate/BEHAVIOUR, POST /simulate/ENDPOINT/BEHAVIOUR or GET /simulate"),
    })
}

async fn change(endpoint: &Endpoint, word: &str) -> Response<AnswerBody> {
    match word.parse::<Behaviour>() {
        Ok(behaviour) => {
            endpoint.behave(behaviour).await;
            answer(StatusCode::OK, &json!({ "endpoint": endpoint.id, "behaviour": behaviour.as_str() }))
        }
        Err(unknown) => wrong(&unknown.to_string()),
    }
}

fn state(all: &[Endpoint]) -> serde_json::Value {
    let entry = |endpoint: &Endpoint| json!({ "endpoint": endpoint.id, "address": endpoint.address.to_string(), "behaviour": endpoint.behaviour().as_str() });
    all.iter().map(entry).collect()
}

fn wrong(message: &str) -> Response<AnswerBody> {
    answer(StatusCode::BAD_REQUEST, &json!({ "error": message }))
}
