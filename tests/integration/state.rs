//! What lasts, as it lies on the disk.

use std::path::Path;

use crate::support::config::{CANARY, endpoint};
use crate::support::{Proxy, Refused, Request, Setup, Upstream, file, profile};

/// Every file below the state directory, by name.
fn files(state: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(state).expect("is there").map(|entry| entry.expect("is there").path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() {
            return files(&path);
        }
        vec![(path.display().to_string(), std::fs::read(&path).expect("is a file"))]
    };
    entries.flat_map(read).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// A proxy whose primary is dead, after it has switched.
async fn switched() -> (Proxy, Upstream) {
    let (refused, good) = (Refused::new(), Upstream::serving().await);
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &refused.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &good.url(), "")]),
    ];
    let yaml = format!("{}state: {{ dir: kept }}\n", file(&profiles));
    let proxy = Proxy::start(&yaml).await;
    for answer in proxy.send_times(4, &Request::unary()).await {
        answer.assert_served();
    }
    proxy.wait_log("switched").await;
    (proxy, good)
}

#[tokio::test]
async fn a_switch_is_kept_and_no_key_is() {
    let (mut proxy, _good) = switched().await;
    proxy.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.exit().await, Some(0));
    let files = files(&proxy.path.with_file_name("kept"));
    let state = files.iter().find(|(name, _)| name.ends_with("state.db")).expect("there is a database");
    assert!(holds(&state.1, "failover") && holds(&state.1, "production"), "the switch is in it");
    for (name, bytes) in files {
        assert!(!holds(&bytes, CANARY), "a key is in {name}");
    }
}

#[tokio::test]
async fn a_state_that_is_none_refuses_to_start_and_is_left_alone() {
    let good = Upstream::serving().await;
    let profiles = [profile("production", "tier: primary", &[endpoint("a", &good.url(), "")])];
    let setup = Setup::new(&file(&profiles)).with_file("kept/state.db", "not a database").env("QCC_STATE_DIR", "kept");
    let (code, text) = setup.run(&["-c", "qcc.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("kept/state.db` is not a database; move it away"), "{text}");
}

#[tokio::test]
async fn without_a_place_for_state_it_serves_and_says_so() {
    let good = Upstream::serving().await;
    let profiles = [profile("production", "tier: primary", &[endpoint("a", &good.url(), "")])];
    let setup = Setup::new(&file(&profiles)).with_file("taken", "").env("QCC_STATE_DIR", "taken/state");
    let proxy = setup.start().await;
    proxy.wait_log("state is kept in memory only").await;
    proxy.send(&Request::unary()).await.assert_served();
}
