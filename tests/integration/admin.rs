//! The control socket: what it shows, what it takes, and how editing commands use it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::config::{endpoint, in_order};
use crate::support::{Client, Gate, Proxy, Refused, Reply, Request, Upstream, file, in_time, profile, sha256};

#[tokio::test]
async fn the_status_says_what_runs_and_how_it_is_doing() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let yaml = file(&[in_order([refused.url(), good.url()])]);
    let proxy = Proxy::start(&yaml).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        answer.assert_served();
    }
    let status = proxy.status().await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], proxy.pid().as_raw_pid());
    assert_eq!(status["config"], proxy.path.display().to_string());
    assert_eq!(status["listen"], json!([format!("http://{}", proxy.address)]));
    assert_eq!((&status["phase"], &status["active"]), (&json!("serving"), &json!("production")));
    assert_eq!(status["reload"]["generation"], 1);
    assert_eq!(status["reload"]["sha256"], sha256(yaml.as_bytes()));
    assert_eq!((&status["in_flight"], &status["state"]["standing"]), (&json!(0), &json!("good")));

    let [a, b] = &status["profiles"][0]["endpoints"].as_array().expect("a list")[..] else { panic!("{status:#}") };
    assert_eq!((&a["id"], &a["standing"], &a["total"]["failed"]), (&json!("a"), &json!("ejected"), &json!(3)));
    assert!(a["until"].is_string() && a["reason"].is_string() && a["last_error"]["at"].is_string(), "{a:#}");
    assert_eq!((&b["id"], &b["standing"], &b["total"]["succeeded"]), (&json!("b"), &json!("admitting"), &json!(4)));
    assert_eq!((&b["weight"], &b["effective_weight"]), (&json!(100), &json!(100.0)));
}

#[tokio::test]
async fn requests_in_flight_and_the_drain_are_seen() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let upstream = Upstream::start(move |seen| Reply::served(seen).behind(&waiting)).await;
    let mut proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let mut client = Client::h1(proxy.address).await;
    let request = tokio::spawn(async move { client.send(&Request::unary()).await });
    upstream.wait_for(1).await;
    assert_eq!(proxy.status().await["in_flight"], 1);
    let (code, _) = proxy.post("/v1/stop", "").await;
    assert_eq!(code, 202);
    assert_eq!(proxy.status().await["phase"], "draining");
    gate.open();
    request.await.expect("does not panic").assert_served();
    assert_eq!(proxy.exit().await, Some(0));
    assert!(!proxy.socket().exists(), "the socket is gone");
}

#[tokio::test]
async fn the_socket_is_private_and_a_stale_one_is_replaced() {
    let upstream = Upstream::serving().await;
    let mut first = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let mode = |path: &std::path::Path| fs::metadata(path).expect("is there").permissions().mode() & 0o7777;
    let socket = first.socket();
    assert_eq!((mode(&socket), mode(socket.parent().expect("has one"))), (0o600, 0o700));
    kill_process(first.pid(), Signal::KILL).expect("the process is ours");
    assert_eq!(first.exit().await, None);
    assert!(socket.exists(), "it was left behind");
    let second = first.again().await.expect("it listens");
    assert_eq!(second.status().await["pid"], second.pid().as_raw_pid());
}

#[tokio::test]
async fn an_error_has_one_shape() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let asked = [
        (proxy.get("/v1/nothing").await, 404, "not-found"),
        (proxy.get("/v1/stop").await, 405, "method-not-allowed"),
        (proxy.get("/v1/verdict?sha256=abc").await, 400, "invalid-request"),
        (proxy.get(&format!("/v1/verdict?sha256={:064}&wait=61", 0)).await, 400, "invalid-request"),
        (proxy.post("/v1/endpoints/reset", "{").await, 400, "invalid-request"),
        (proxy.post("/v1/endpoints/reset", r#"{"endpoint":"nobody"}"#).await, 404, "not-found"),
        (proxy.post("/v1/endpoints/reset", &" ".repeat(70_000)).await, 400, "invalid-request"),
    ];
    for ((status, body), expected, code) in asked {
        assert_eq!((status, &body["error"]["code"]), (expected, &json!(code)), "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
}

#[tokio::test]
async fn an_endpoint_reset_by_hand_is_asked_again() {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([refused.url(), good.url()])])).await;
    proxy.send_times(4, &Request::unary()).await;
    assert_eq!(proxy.status().await["profiles"][0]["endpoints"][0]["standing"], "ejected");
    let (code, reset) = proxy.post("/v1/endpoints/reset", r#"{"endpoint":"a"}"#).await;
    let expected = json!({
        "endpoint": "production/a", "was_out": true, "key_was_dead": false, "key_rested": false, "models": [],
    });
    assert_eq!((code, reset), (200, expected));
    let a = proxy.status().await["profiles"][0]["endpoints"][0].clone();
    assert_eq!((&a["standing"], &a["until"], &a["reason"]), (&json!("admitting"), &Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_refused_key_is_shown_and_a_reset_tries_it_again() {
    let upstream = Upstream::always(Reply::error(401, "authentication_error", "no")).await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    proxy.send(&Request::unary()).await;
    let a = proxy.status().await["profiles"][0]["endpoints"][0].clone();
    assert_eq!(a["standing"], "ejected");
    assert!(a["reason"].as_str().is_some_and(|reason| reason.starts_with("its key was refused: ")), "{a:#}");
    let (_, reset) = proxy.post("/v1/endpoints/reset", r#"{"endpoint":"production/a"}"#).await;
    assert_eq!(reset["key_was_dead"], true);
    assert_eq!(proxy.status().await["profiles"][0]["endpoints"][0]["standing"], "admitting");
}

#[tokio::test]
async fn the_verdict_on_a_file_is_waited_for() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let proxy = Proxy::start(&yaml).await;
    let verdict = |text: &str, wait: u32| format!("/v1/verdict?sha256={}&wait={wait}", sha256(text.as_bytes()));
    let running = json!({ "verdict": "accepted", "generation": 1, "restart_required": [] });
    assert_eq!(proxy.get(&verdict(&yaml, 0)).await, (200, running));
    assert_eq!(proxy.get(&verdict("never written", 0)).await, (200, json!({ "verdict": "pending" })));

    let (good, bad) = (format!("{yaml}# changed\n"), format!("{yaml}wrong: true\n"));
    let paths = [verdict(&good, 30), verdict(&bad, 30)];
    let ((_, accepted), ()) = tokio::join!(proxy.get(&paths[0]), proxy.save(&good));
    assert_eq!((&accepted["verdict"], &accepted["generation"]), (&json!("accepted"), &json!(2)));
    let ((_, rejected), ()) = tokio::join!(proxy.get(&paths[1]), proxy.save(&bad));
    assert_eq!(rejected["verdict"], "rejected");
    let why = &rejected["rejection"];
    assert_eq!((&why["errors"], &why["diagnostics"][0]["code"]), (&json!(1), &json!("unknown-key")), "{why:#}");
    let reload = &proxy.status().await["reload"];
    assert_eq!((&reload["generation"], &reload["rejected"]["errors"]), (&json!(2), &json!(1)));

    // What came after it does not change what became of it.
    proxy.reload(&yaml).await;
    assert_eq!(proxy.get(&verdict(&good, 0)).await.1["generation"], 2);
    assert_eq!(proxy.get(&verdict(&bad, 0)).await.1["verdict"], "rejected");
}

#[tokio::test]
async fn an_edit_back_to_an_older_text_hears_of_its_own_generation() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    for (weight, generation) in [("7", 2), ("8", 3), ("7", 4), ("8", 5)] {
        let (_, text) = proxy.run(&["endpoint", "set", "a", "--weight", weight]).await;
        assert!(text.contains(&format!("accepted it as generation {generation}.")), "{text}");
        assert_eq!(proxy.status().await["reload"]["generation"], generation);
    }
}

#[tokio::test]
async fn an_edit_says_what_the_proxy_made_of_it() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let proxy = Proxy::start(&yaml).await;
    let edit = |arguments: &'static str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let proxy = &proxy;
        async move { proxy.run(&arguments).await }
    };
    let (code, text) = edit("endpoint set a --weight 7").await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("accepted it as generation 2."), "{text}");
    let (code, text) = edit("endpoint set a --weight 7").await;
    assert!(code == Some(0) && !text.contains("accepted"), "nothing changed, nothing is waited for: {text}");
    let (_, text) = edit("endpoint set a --weight 8 --dry-run").await;
    assert!(!text.contains("running proxy"), "{text}");
    let (code, text) = edit("config set server.workers 3").await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("generation 3; server.workers wait(s) for a restart"), "{text}");
    let (_, text) = edit("endpoint set a --weight 9 --json").await;
    let document: Value = serde_json::from_str(&text).expect("JSON alone");
    let accepted = json!({ "verdict": "accepted", "generation": 4, "restart_required": ["server.workers"] });
    assert_eq!(document["proxy"], accepted);
    let (code, text) = edit("endpoint set a --weight 10 --no-wait").await;
    assert!(code == Some(0) && !text.contains("running proxy"), "{text}");
}

#[tokio::test]
async fn an_edit_of_a_file_that_stays_wrong_fails_with_what_is_wrong() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let proxy = Proxy::start(&yaml).await;
    proxy.save(&format!("{yaml}wrong: true\n")).await;
    proxy.wait_log("rejected").await;
    let (code, text) = proxy.run(&["endpoint", "set", "a", "--weight", "7"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("did not accept it") && text.contains("unknown-key"), "{text}");
    let (code, text) = proxy.run(&["endpoint", "set", "a", "--weight", "8", "--json"]).await;
    assert_eq!(code, Some(1), "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON alone");
    assert_eq!(document["proxy"]["rejection"]["diagnostics"][0]["code"], "unknown-key");
}

#[tokio::test]
async fn edits_under_load_are_each_accepted_and_no_request_fails() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut client, stopped) = (Client::h1(proxy.address).await, stopped.clone());
        clients.spawn(async move {
            while !*stopped.borrow() {
                client.send(&Request::stream()).await.assert_served();
            }
        });
    }
    for generation in 2..8 {
        let weight = (10 * generation).to_string();
        let (code, text) = proxy.run(&["endpoint", "set", "a", "--weight", &weight]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(&format!("accepted it as generation {generation}.")), "{text}");
    }
    stop.send_replace(true);
    in_time("the last answers", async {
        while clients.join_next().await.transpose().expect("all served").is_some() {}
    })
    .await;
}

#[tokio::test]
async fn without_a_proxy_an_edit_neither_waits_nor_says_so() {
    let setup =
        crate::support::Setup::new(&file(&[profile("x", "tier: primary", &[endpoint("a", "http://127.0.0.1:1", "")])]));
    let (code, text) = setup.run(&["endpoint", "set", "a", "--weight", "7"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("running proxy"), "{text}");
}

#[tokio::test]
async fn the_api_describes_itself() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let document = proxy.described().await;
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let refs = text.matches("\"#/components/schemas/").count();
    assert!(refs > 10, "{refs} references");
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is described");
    }
    let wait = &document["paths"]["/v1/verdict"]["get"]["parameters"];
    assert_eq!((&wait[0]["name"], &wait[0]["required"]), (&json!("sha256"), &json!(true)), "{wait:#}");
    assert_eq!((&wait[1]["name"], &wait[1]["required"]), (&json!("wait"), &json!(false)), "{wait:#}");
}
