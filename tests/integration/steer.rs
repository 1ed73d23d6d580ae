//! What people see and steer from the command line: with a running proxy, and with what it left.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::config::{CANARY, endpoint, with};
use crate::support::messages::MODEL;
use crate::support::{Proxy, Refused, Reply, Request, Setup, Upstream, profile};

/// Primary `a` and `z`, the latter disabled; secondary `b`; and `spare`, which takes no traffic.
fn chain(more: &str, primary: &str, secondary: &str) -> String {
    let profiles = [
        profile(
            "production",
            "tier: primary",
            &[endpoint("a", primary, "max_failures: 1000"), endpoint("c", primary, "enabled: false")],
        ),
        profile("backup", "tier: secondary", &[endpoint("b", secondary, "")]),
        profile("spare", "", &[endpoint("d", secondary, "")]),
    ];
    with(more, &profiles)
}

/// Runs a command on the file: its exit code, and what it printed. No command shows a key or needs more than 80 columns.
async fn qcc(setup: &Setup, line: &str) -> (Option<i32>, String, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (code, stdout, stderr) = setup.said(&words).await;
    assert!(!stdout.contains(CANARY) && !stderr.contains(CANARY), "a key: {stdout}{stderr}");
    if !line.contains("--json") && !line.contains("--prometheus") {
        let wide: Vec<&str> = stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }
    (code, stdout, stderr)
}

/// The same, of a command that does what it should.
async fn done(setup: &Setup, line: &str) -> String {
    let (code, stdout, stderr) = qcc(setup, line).await;
    assert_eq!(code, Some(0), "{line}: {stdout}{stderr}");
    stdout
}

async fn json(setup: &Setup, line: &str) -> Value {
    let (_, stdout, stderr) = qcc(setup, &format!("{line} --json")).await;
    serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("JSON from {line}: {stdout}{stderr}"))
}

/// Stops it in order; what it knew is on disk then.
async fn stopped(mut proxy: Proxy) -> Setup {
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit().await, Some(0));
    proxy.setup().clone()
}

fn failing() -> Reply {
    Reply::error(500, "api_error", "down")
}

/// A proxy whose primary failed three requests, so that `backup` is active.
async fn failed_over() -> (Proxy, Upstream, Upstream) {
    let (primary, secondary) = (Upstream::always(failing()).await, Upstream::serving().await);
    let proxy = Proxy::start(&chain("", &primary.url(), &secondary.url())).await;
    for answer in proxy.send_times(3, &Request::unary()).await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    proxy.wait_log("switched").await;
    (proxy, primary, secondary)
}

/// Names of endpoints, and one of their values.
fn of_endpoints<'v>(status: &'v Value, key: &str) -> Vec<(&'v str, &'v Value)> {
    let profiles = status["profiles"].as_array().expect("profiles");
    let endpoints = profiles.iter().flat_map(|profile| profile["endpoints"].as_array().expect("endpoints"));
    endpoints.map(|endpoint| (endpoint["id"].as_str().expect("an id"), &endpoint[key])).collect()
}

#[tokio::test]
async fn the_status_fits_one_screen_and_is_the_same_when_the_proxy_is_gone() {
    let (proxy, _primary, _secondary) = failed_over().await;
    let setup = proxy.setup().clone();
    let text = done(&setup, "status").await;
    for words in
        ["pid ", "generation 1 (", "kept on disk", "backup, since", "production (primary) > backup (secondary)"]
    {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(text.lines().count() <= 24, "{text}");
    let row = |name: &str| {
        let row = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((&row("production/a")[1], &row("production/a")[3]), (&"warning".to_owned(), &"0%".to_owned()));
    assert_eq!((&row("production/c")[1], &row("backup/b")[1]), (&"disabled".to_owned(), &"healthy".to_owned()));
    assert!(text.contains("last error"), "{text}");

    let before = json(&setup, "status").await;
    assert_eq!(
        (&before["running"], &before["active"], &before["pinned"]),
        (&true.into(), &"backup".into(), &false.into())
    );
    assert!(before["pid"].is_u64() && before["queue"]["size"].is_u64() && before["reload"]["sha256"].is_string());
    assert_eq!(before["failover"]["switches"][0]["cause"], "failover");
    assert!(done(&setup, "status --prometheus").await.contains("# EOF"));
    let setup = stopped(proxy).await;
    let (code, text, talk) = qcc(&setup, "status").await;
    assert_eq!(code, Some(0));
    assert!(
        text.contains("not running") && talk.contains("No proxy is running") && talk.contains("ago"),
        "{text}{talk}"
    );
    let (code, _, stderr) = qcc(&setup, "status --prometheus").await;
    assert!(code == Some(2) && stderr.contains("qcc proxy start"), "{stderr}");
    let after = json(&setup, "status").await;
    assert_eq!((&after["running"], &after["pid"]), (&false.into(), &Value::Null));
    assert!(after["as_of"].is_string());
    assert_eq!(after["active"], "backup");
    for key in ["success_rate", "health", "total", "last_error", "weight"] {
        if key == "last_error" {
            assert_eq!(of_endpoints(&after, key)[0].1["message"], of_endpoints(&before, key)[0].1["message"]);
            continue;
        }
        assert_eq!(of_endpoints(&after, key), of_endpoints(&before, key), "{key}");
    }
}

#[tokio::test]
async fn a_rejected_save_is_seen_in_the_status() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&chain("", &upstream.url(), &upstream.url())).await;
    proxy.save("version: 1\nprofiles: 5\n").await;
    proxy.wait_log("rejected; the running file stays").await;
    let text = done(proxy.setup(), "status").await;
    assert!(text.contains("REJECTED") && text.contains("qcc validate"), "{text}");
}

#[tokio::test]
async fn a_switch_by_hand_holds_for_the_next_request_until_it_is_ended() {
    let (primary, secondary) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&chain("", &primary.url(), &secondary.url())).await;
    let setup = proxy.setup().clone();
    let (code, stdout, stderr) = qcc(&setup, "priority switch backup --reason maintenance").await;
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    assert!(stderr.contains("backup is active instead of production") && stderr.contains("--auto"), "{stderr}");
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    assert!(done(&setup, "priority list").await.contains("backup (active, pinned)"));
    assert_eq!(json(&setup, "priority list").await["pinned"], true);
    for words in ["backup stays active and is no longer pinned", "Nothing was pinned: backup is active"] {
        let (code, _, stderr) = qcc(&setup, "priority switch --auto").await;
        assert!(code == Some(0) && stderr.contains(words), "{stderr}");
    }
    assert_eq!(json(&setup, "priority switch --auto").await["pinned"], false);
    assert_eq!(json(&setup, "priority failover --reason drill").await["active"], "production");
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    let (code, _, stderr) = qcc(&setup, "priority switch spare").await;
    assert!(code == Some(1) && stderr.contains("production, backup"), "{stderr}");
    let (code, _, stderr) = qcc(&setup, "priority switch").await;
    assert!(code == Some(2) && stderr.contains("--auto"), "{stderr}");

    let history = json(&setup, "priority history -n 5").await;
    let switches = history["switches"].as_array().expect("a list");
    let seen: Vec<[&str; 4]> = switches
        .iter()
        .map(|switch| ["from", "to", "type", "reason"].map(|key| switch[key].as_str().expect(key)))
        .collect();
    assert_eq!(seen, [["backup", "production", "manual", "drill"], ["production", "backup", "manual", "maintenance"]]);
    let text = done(&setup, "priority history -n 1").await;
    assert!(text.contains("drill") && !text.contains("maintenance"), "{text}");
}

#[tokio::test]
async fn without_a_proxy_a_switch_is_what_the_next_one_begins_with() {
    let (primary, secondary) = (Upstream::serving().await, Upstream::serving().await);
    let setup = Setup::new(&chain("", &primary.url(), &secondary.url()));
    let list = done(&setup, "priority list").await;
    assert!(!list.contains("active)"), "nothing is active yet: {list}");
    let (code, _, stderr) = qcc(&setup, "priority switch backup").await;
    assert!(code == Some(0) && stderr.contains("No proxy is running"), "{stderr}");
    assert!(done(&setup, "priority list").await.contains("backup (active, pinned)"));
    let (code, _, stderr) = qcc(&setup, "priority switch spare").await;
    assert!(code == Some(1) && stderr.contains("production, backup"), "{stderr}");
    let proxy = setup.clone().start().await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    let setup = stopped(proxy).await;
    let (code, _, stderr) = qcc(&setup, "priority switch --auto").await;
    assert!(code == Some(0) && stderr.contains("no longer pinned") && stderr.contains("No proxy"), "{stderr}");
    assert_eq!(json(&setup, "priority switch --auto").await["active"], "backup");
    assert_eq!(json(&setup, "priority failover").await["active"], "production");
    let history = json(&setup, "priority history").await;
    assert_eq!(history["switches"].as_array().map(Vec::len), Some(2));
    let proxy = setup.start().await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "a");
    assert_eq!(json(proxy.setup(), "priority list").await["pinned"], false);
}

#[tokio::test]
async fn endpoints_are_tested_from_here_without_a_proxy() {
    let (good, bad, refused) = (Upstream::serving().await, Upstream::always(failing()).await, Refused::new());
    let with_command =
        format!("      - {{ id: e, base_url: \"{}\", api_key: {{ command: [\"touch\", \"ran\"] }} }}\n", good.url());
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &good.url(), ""), endpoint("b", &bad.url(), "")]),
        profile("spare", "", &[endpoint("c", &refused.url(), ""), with_command]),
    ];
    let setup = Setup::new(&with("", &profiles));
    let (code, text, _) = qcc(&setup, "health test -v").await;
    assert_eq!(code, Some(1), "two of them fail");
    let line = |name: &str| text[text.find(name).expect(name)..].lines().take(3).collect::<String>();
    assert!(
        line("production/a").contains("success") && line("production/b").contains("status 500: api_error"),
        "{text}"
    );
    assert!(line("spare/c").contains("failure") && line("spare/e").contains("run by the proxy only"), "{text}");
    assert!(text.contains("asked for claude-haiku-4-5"), "{text}");
    assert!(good.requests().iter().all(|request| request.path() == "/v1/messages"));
    assert_eq!(qcc(&setup, "health test a").await.0, Some(0));
    assert_eq!(qcc(&setup, "endpoint test spare/e").await.0, Some(2));
    assert_eq!(qcc(&setup, "health test nobody").await.0, Some(1));
    let results = json(&setup, "endpoint test b").await;
    assert_eq!(results["results"][0]["check"]["result"], "failure");
    assert!(!setup.path().with_file_name("ran").exists(), "no program is run");
    assert_eq!(json(&setup, "health metrics").await["endpoints"][0]["checks"]["total"], 0, "a test counts nothing");
}

#[tokio::test]
async fn checks_by_hand_are_counted_shown_and_kept() {
    let (good, bad) = (Upstream::serving().await, Upstream::always(failing()).await);
    let setup = Setup::new(&chain("", &good.url(), &bad.url()));
    let (code, _, stderr) = qcc(&setup, "health check").await;
    assert!(code == Some(2) && stderr.contains("qcc proxy start"), "{stderr}");
    let proxy = setup.start().await;
    let setup = proxy.setup().clone();
    let (code, text, _) = qcc(&setup, "health check").await;
    assert!(code == Some(1) && text.contains("production/a") && text.contains("status 500: api_error"), "{text}");
    assert_eq!(qcc(&setup, "health check a").await.0, Some(0));
    assert_eq!(qcc(&setup, "health check c").await.0, Some(1), "it takes no traffic");
    for _ in 0..2 {
        assert_eq!(qcc(&setup, "health check b").await.0, Some(1));
    }
    let before = json(&setup, "health metrics").await;
    // Times are kept in whole milliseconds: what is computed from them may differ a little.
    let checks = |metrics: &Value, at: usize| {
        let mut checks = metrics["endpoints"][at]["checks"].clone();
        checks["recent"] = checks["recent"]["success_rate"].clone();
        checks
    };
    assert_eq!((&checks(&before, 0)["succeeded"], &checks(&before, 1)["failed"]), (&2.into(), &3.into()));
    assert_eq!(before["endpoints"][1]["health"], "unhealthy", "three failed checks eject");
    let text = done(&setup, "health metrics a").await;
    for words in
        ["production/a  healthy", "2: 2 succeeded, 0 failed", "success rate  100.0%", "stability", "2 successes"]
    {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    let text = done(&setup, "health status").await;
    assert!(
        text.contains("unhealthy") && text.contains("3 failures in a row: check: status 500: api_error, until"),
        "{text}"
    );
    let history = json(&setup, "health history b -n 2").await;
    assert_eq!(history["checks"].as_array().map(Vec::len), Some(2));
    assert_eq!((&history["endpoint"], &history["checks"][0]["result"]), (&"backup/b".into(), &"failure".into()));

    let setup = stopped(proxy).await;
    let after = json(&setup, "health metrics").await;
    assert_eq!((checks(&after, 0), checks(&after, 1)), (checks(&before, 0), checks(&before, 1)));
    assert_eq!(after["endpoints"][1]["health"], "unhealthy");
    assert!(done(&setup, "health history b").await.contains("status 500: api_error"));
    assert_eq!(qcc(&setup, "health history nobody").await.0, Some(1));
}

#[tokio::test]
async fn a_reset_brings_an_endpoint_back_with_and_without_a_proxy() {
    let (bad, good) = (Upstream::always(failing()).await, Upstream::serving().await);
    let endpoints = [endpoint("a", &bad.url(), ""), endpoint("b", &good.url(), "")];
    let proxy =
        Proxy::start(&with("", &[profile("production", "tier: primary; strategy: priority", &endpoints)])).await;
    proxy.send_times(3, &Request::unary()).await;
    let setup = proxy.setup().clone();
    let listed = done(&setup, "endpoint list").await;
    assert!(listed.contains("unhealthy") && listed.contains("ejected: ") && listed.contains("env KEY_A"), "{listed}");
    let explained = json(&setup, "explain").await;
    let codes: Vec<&str> =
        explained["candidates"].as_array().expect("a list").iter().filter_map(|of| of["code"].as_str()).collect();
    assert_eq!(codes, ["strategy", "ejected"]);
    assert_eq!(json(&setup, "endpoint reset a").await["was_out"], true);
    assert_eq!(json(&setup, "explain").await["candidates"][0]["endpoint"], "production/a");
    proxy.send_times(3, &Request::unary()).await;
    let setup = stopped(proxy).await;
    assert_eq!(json(&setup, "endpoint list").await["endpoints"][0]["standing"], "ejected");
    let (code, _, stderr) = qcc(&setup, "endpoint reset a").await;
    assert!(code == Some(0) && stderr.contains("it was out"), "{stderr}");
    let listed = json(&setup, "endpoint list").await;
    assert_eq!(
        (&listed["endpoints"][0]["standing"], &listed["endpoints"][0]["key"]),
        (&"admitting".into(), &"env KEY_A".into())
    );
    assert_eq!(qcc(&setup, "endpoint reset nobody").await.0, Some(1));
}

#[tokio::test]
async fn who_would_serve_is_told_with_the_reasons_why_others_would_not() {
    let (limited, good) = (
        Upstream::always(Reply::error(429, "rate_limit_error", "x").header("retry-after", "600")).await,
        Upstream::serving().await,
    );
    let endpoints = [
        endpoint("a", &limited.url(), ""),
        endpoint("b", &good.url(), "weight: 300, models: { \"claude-*\": air }"),
        endpoint("c", &good.url(), "weight: 100"),
        endpoint("d", &good.url(), "enabled: false"),
    ];
    let profiles = [
        profile("production", "tier: primary; strategy: weighted", &endpoints),
        profile("backup", "tier: secondary", &[endpoint("e", &good.url(), "")]),
    ];
    let proxy = Proxy::start(&with("", &profiles)).await;
    while limited.count() == 0 {
        proxy.send(&Request::unary()).await.assert_served();
    }
    let served = proxy.send(&Request::unary().session("s-1")).await;
    let served = format!("production/{}", served.assert_served().endpoint());
    let setup = proxy.setup().clone();
    let explained = json(&setup, &format!("explain --model {MODEL}")).await;
    let of = |name: &str| {
        let all = explained["candidates"].as_array().expect("a list");
        all.iter().find(|candidate| candidate["endpoint"] == name).expect(name).clone()
    };
    let (b, c) = (of("production/b"), of("production/c"));
    assert_eq!((&b["turn"], &c["turn"], &of("backup/e")["turn"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!((&b["share"], &c["share"], &b["sent_model"]), (&75.0.into(), &25.0.into(), &"air".into()));
    assert!(of("production/a")["code"] == "rate_limited" && of("production/a")["until"].is_string());
    assert_eq!(of("production/d")["code"], "disabled");
    let own = json(&setup, "explain --session s-1").await;
    assert_eq!(
        (&own["candidates"][0]["endpoint"], &own["candidates"][0]["code"]),
        (&served.as_str().into(), &"conversation".into())
    );
    let text = done(&setup, &format!("explain --model {MODEL}")).await;
    assert!(text.starts_with("One of production/b, production/c would serve it."), "{text}");
    let setup = stopped(proxy).await;
    let left = json(&setup, &format!("explain --model {MODEL}")).await;
    assert_eq!((&left["running"], &left["candidates"][0]["endpoint"]), (&false.into(), &"production/b".into()));
    let nobody = Setup::new(&with("", &[profile("spare", "", &[endpoint("a", &good.url(), "")])]));
    let (code, text, _) = qcc(&nobody, "explain").await;
    assert!(code == Some(1) && text.contains("no profile has a tier") && text.contains("takes no traffic"), "{text}");
}

#[tokio::test]
async fn a_key_that_only_the_proxy_can_know_does_not_hide_what_is_known() {
    let bad = Upstream::always(failing()).await;
    let with_command = format!(
        "      - {{ id: a, base_url: \"{}\", api_key: {{ command: [\"echo\", \"{CANARY}x\"] }} }}\n",
        bad.url()
    );
    let proxy = Proxy::start(&with(
        "",
        &[
            profile("production", "tier: primary", &[with_command]),
            profile("backup", "tier: secondary", &[endpoint("b", &bad.url(), "")]),
        ],
    ))
    .await;
    proxy.send_times(3, &Request::unary()).await;
    let before = json(proxy.setup(), "status").await;
    assert!(of_endpoints(&before, "total")[0].1["failed"].as_u64().is_some_and(|failed| failed > 0), "{before:#}");
    let setup = stopped(proxy).await;
    let status = json(&setup, "status").await;
    assert_eq!(of_endpoints(&status, "total"), of_endpoints(&before, "total"));
}

#[tokio::test]
async fn a_file_that_is_not_valid_and_one_that_is_not_there_say_what_to_do() {
    let setup = Setup::new("version: 1\nprofiles: 5\n");
    for line in ["status", "explain", "health status", "health metrics", "priority list", "endpoint list"] {
        let (code, stdout, stderr) = qcc(&setup, line).await;
        assert!(code == Some(1) && stdout.is_empty() && stderr.contains("qcc validate"), "{line}: {stderr}");
    }
    for line in ["-c none.yaml status", "-c none.yaml priority history"] {
        let (code, _, stderr) = qcc(&setup, line).await;
        assert!(code == Some(2) && stderr.contains("none.yaml"), "{line}: {stderr}");
    }
}

/// Nothing in it depends on the time or the machine.
#[tokio::test]
async fn what_is_shown_of_a_file_that_was_never_run() {
    let setup = Setup::new(&chain("", "http://127.0.0.1:9", "http://127.0.0.1:9"));
    let shown = done(&setup, "status").await.replace(&setup.path().display().to_string(), "QCC_YAML");
    let status = "\
proxy      not running; `qcc proxy start` starts it
file       QCC_YAML
active     production
chain      production (primary) > backup (secondary)
no traffic spare: without a tier
queue      0 waiting, 0 running, 0 done, 0 dead

ENDPOINT      HEALTH    WEIGHT  SUCCESS  P50/P95 MS  IN FLIGHT
production/a  healthy   100     -        -           0
production/c  disabled  -       -        -           -
backup/b      healthy   100     -        -           0
";
    assert_eq!(shown, status);
    let explained = "\
production/a would serve it. The active profile is production.

TURN  ENDPOINT      TIER       SHARE  MODEL
1     production/a  primary    100%   -
2     backup/b      secondary  100%   -
-     production/c  primary    -      -
    disabled in the file
-     spare/d       -          -      -
    its profile has no tier: it takes no traffic
";
    assert_eq!(done(&setup, "explain").await, explained);
    assert_eq!(done(&setup, "priority history").await, "TIME  FROM  TO  CAUSE  TYPE\n");
    assert_eq!(done(&setup, "health history a").await, "TIME  RESULT  RESPONSE  SCORE  KIND\n");
}

#[tokio::test]
async fn very_long_names_fit_and_are_whole_in_json() {
    let upstream = Upstream::serving().await;
    let (profile_name, id, model) = ("production-".repeat(6), "an-endpoint-of-the-team-".repeat(3), "m-".repeat(40));
    let more = format!("models: {{ \"claude-*\": \"{model}\" }}");
    let profiles = [profile(&profile_name, "tier: primary", &[endpoint(&id, &upstream.url(), &more)])];
    let setup = Setup::new(&with("", &profiles));
    let proxy = setup.clone().start().await;
    let whole = format!("{profile_name}/{id}");
    // That no line is wider than 80 columns is looked at for every command.
    for line in ["status", "explain --model claude-opus-4", "endpoint list", "health status", "health metrics"] {
        let text = done(&setup, line).await;
        assert!(text.contains("production-"), "{line}: {text}");
        let document = json(&setup, line).await.to_string();
        assert!(document.contains(&id), "{line}: {document}");
    }
    assert_eq!(json(&setup, "explain --model claude-opus-4").await["candidates"][0]["endpoint"], whole);
    assert_eq!(json(&setup, "explain --model claude-opus-4").await["candidates"][0]["sent_model"], model);
    drop(proxy);
}

#[tokio::test]
async fn what_was_done_is_shown_by_the_day_with_and_without_a_proxy() {
    let (primary, secondary) = (Upstream::always(failing()).await, Upstream::serving().await);
    let setup = stopped(Proxy::start(&chain("", &primary.url(), &secondary.url())).await).await;
    assert_eq!(json(&setup, "health metrics --days 3").await["days"], serde_json::json!([]));
    let proxy = setup.start().await;
    for answer in proxy.send_times(3, &Request::unary()).await {
        assert_eq!(answer.assert_served().endpoint(), "b");
    }
    // Who comes while it is switched may still ask the primary first.
    proxy.wait_log("switched").await;
    assert_eq!(proxy.send(&Request::unary()).await.assert_served().endpoint(), "b");
    let setup = stopped(proxy).await;
    let left = json(&setup, "health metrics --days 1").await;
    let proxy = setup.clone().start().await;
    let told = json(&setup, "health metrics --days 1").await;
    for document in [&left, &told] {
        let days = document["days"].as_array().expect("a list");
        let seen: Vec<_> = days.iter().map(|day| (day["endpoint"].as_str(), day["succeeded"].as_u64())).collect();
        assert_eq!(seen, [(Some("backup/b"), Some(4)), (Some("production/a"), Some(0))], "{document:#}");
        assert_eq!(days[1]["failed"], 3, "{document:#}");
        assert!(days[0]["day"].as_str().is_some_and(|day| day.len() == 10), "{document:#}");
    }
    let text = done(&setup, "health metrics b --days 400").await;
    assert!(text.starts_with("DAY") && text.contains("backup/b") && !text.contains("production/a"), "{text}");
    assert_eq!(qcc(&setup, "health metrics --days 0").await.0, Some(2));
    drop(proxy);
}
