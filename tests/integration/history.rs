//! Accepted files: kept by the proxy, listed, compared, gone back to, started from; and what a save would do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::config::{in_order, with};
use crate::support::{Proxy, Request, Upstream, file};

/// `qcc ...` beside the proxy that has to end with `code`.
async fn said(proxy: &Proxy, line: &str, code: i32) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (ended, text) = proxy.run(&words).await;
    assert_eq!(ended, Some(code), "{line}: {text}");
    assert!(!text.contains("sk-canary"), "{line}: {text}");
    text
}

/// Waits until so many files are kept; they are written after they are live.
async fn kept(proxy: &Proxy, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let json: Value = serde_json::from_str(&said(proxy, "config history --json", 0).await).expect("JSON");
        let revisions = json["revisions"].as_array().expect("a list").clone();
        if revisions.len() == count {
            return revisions;
        }
        tokio::task::yield_now().await;
    }
    panic!("{count} files are not kept");
}

#[tokio::test]
async fn accepted_files_are_kept_listed_compared_and_gone_back_to() {
    let upstream = Upstream::serving().await;
    let first = file(&[in_order([upstream.url()])]);
    let second = with("timeouts: { connect: 7s }   # slow\n", &[in_order([upstream.url()])]);
    let proxy = Proxy::start(&first).await;
    kept(&proxy, 1).await;
    proxy.reload(&second).await;
    proxy.save("version: 9\n").await;
    proxy.wait_log("rejected; the running file stays").await;
    let revisions = kept(&proxy, 2).await;
    let numbers: Vec<&Value> = revisions.iter().map(|each| &each["revision"]).collect();
    assert_eq!(numbers, [2, 1], "the newest first; what was not accepted is not kept");
    assert_eq!(revisions[0]["changes"][0], "timeouts.connect 5s -> 7s");
    assert_eq!(said(&proxy, "config show 2", 0).await, second);
    assert!(said(&proxy, "config diff 1 2", 1).await.contains("+timeouts: { connect: 7s }   # slow"));
    assert_eq!(said(&proxy, "config diff 2 2", 0).await, "");
    assert!(said(&proxy, "config show 9", 1).await.contains("1 to 2 are kept"));
    let text = said(&proxy, "config rollback 1 --json", 0).await;
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&json["revision"], &json["written"]), (&1.into(), &true.into()), "{json:#}");
    assert_eq!(fs::read_to_string(&proxy.path).expect("the file"), first);
    kept(&proxy, 3).await;
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn revisions_go_on_counting_after_a_restart() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    kept(&proxy, 1).await;
    let proxy = proxy.killed_and_again().await;
    proxy.wait_log("(generation 1)").await;
    fs::write(&proxy.path, with("timeouts: { connect: 7s }\n", &[in_order([upstream.url()])])).expect("it is ours");
    proxy.wait_log("reloaded").await;
    kept(&proxy, 2).await;
    let proxy = proxy.killed_and_again().await;
    proxy.wait_log("(generation 2)").await;
    assert_eq!(kept(&proxy, 2).await.len(), 2, "the same file again is the same revision");
}

#[tokio::test]
async fn a_key_in_clear_is_not_kept_and_comes_back_only_from_the_file() {
    let upstream = Upstream::serving().await;
    let clear = file(&[in_order([upstream.url()])]).replace("{ env: KEY_A }", "sk-canary-in-clear");
    assert!(clear.contains("sk-canary-in-clear"), "{clear}");
    let proxy = Proxy::start(&clear).await;
    kept(&proxy, 1).await;
    assert!(said(&proxy, "config show 1", 0).await.contains("REDACTED"));
    let commented = format!("# Changed.\n{clear}");
    proxy.reload(&commented).await;
    kept(&proxy, 2).await;
    said(&proxy, "config rollback 1", 0).await;
    assert_eq!(fs::read_to_string(&proxy.path).expect("the file"), clear, "the key came from the file");
    let without = clear.replace("sk-canary-in-clear", "{ env: KEY_A }");
    kept(&proxy, 3).await;
    proxy.reload(&without).await;
    kept(&proxy, 4).await;
    let refused = said(&proxy, "config rollback 1", 1).await;
    assert!(refused.contains("api_key` stood in clear in revision 1"), "{refused}");
    assert_eq!(fs::read_to_string(&proxy.path).expect("the file"), without);
    let folder = proxy.accepted();
    for entry in fs::read_dir(folder).expect("the kept files") {
        let path = entry.expect("an entry").path();
        assert!(!fs::read_to_string(&path).expect("text").contains("canary"), "{}", path.display());
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn with_a_broken_file_it_starts_from_the_last_good_one_if_told_to() {
    let upstream = Upstream::serving().await;
    let good = file(&[in_order([upstream.url()])]);
    let mut proxy = Proxy::start(&good).await;
    kept(&proxy, 1).await;
    fs::write(&proxy.path, "version: 1\nnonsense: true\n").expect("it is ours");
    proxy.wait_log("rejected; the running file stays").await;
    proxy.signal(rustix::process::Signal::KILL);
    proxy.exit().await;
    assert_eq!(proxy.again().await.err(), Some(Some(2)), "without the flag it refuses");
    let proxy = proxy.again_with(&["-c", "qcc.yaml", "proxy", "start", "--use-last-good"]).await.expect("it listens");
    proxy.wait_log("starting from the last good one").await;
    proxy.wait_log("rejected; the running file stays").await;
    proxy.send(&Request::unary()).await.assert_served();
    proxy.reload(&good).await;
    let again = kept(&proxy, 2).await;
    assert_eq!(again[0]["sha256"], again[1]["sha256"], "the next good save is taken, also the same one");
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn a_plan_says_what_a_save_would_do() {
    let upstream = Upstream::serving().await;
    let first = file(&[in_order([upstream.url(), upstream.url()])]);
    let proxy = Proxy::start(&first).await;
    kept(&proxy, 1).await;
    assert!(said(&proxy, "plan", 0).await.contains("Nothing would change"));
    assert_eq!(said(&proxy, "diff", 0).await, "");
    // Beside the proxy: what runs is compared with a file it does not watch.
    let next = first.replace("127.0.0.1:0", "127.0.0.1:1").replace("id: b", "id: c") + "timeouts: { connect: 9s }\n";
    let mut stopped = proxy;
    stopped.signal(rustix::process::Signal::KILL);
    stopped.exit().await;
    fs::write(&stopped.path, &next).expect("it is ours");
    let json: Value = serde_json::from_str(&said(&stopped, "plan --json", 2).await).expect("JSON");
    let endpoints = &json["endpoints"];
    assert_eq!(
        (&endpoints["added"][0], &endpoints["removed"][0]),
        (&"production/c".into(), &"production/b".into()),
        "{json:#}"
    );
    assert_eq!((&endpoints["health_kept"], &json["restart_required"][0]), (&1.into(), &"server.listen".into()));
    let words = said(&stopped, "plan", 2).await;
    assert!(
        words.contains("timeouts.connect 5s -> 9s") && words.contains("server.listen: taken at the next start"),
        "{words}"
    );
    assert!(said(&stopped, "diff", 1).await.contains("+timeouts: { connect: 9s }"));
    fs::write(&stopped.path, "version: 2\n").expect("it is ours");
    assert!(said(&stopped, "plan", 1).await.contains("qcc validate"));
    fs::remove_dir_all(stopped.accepted()).expect("it is ours");
    fs::write(&stopped.path, &first).expect("it is ours");
    assert!(said(&stopped, "plan", 2).await.contains("endpoint production/a added"));
    assert!(said(&stopped, "diff", 2).await.contains("no proxy has run"));
}
