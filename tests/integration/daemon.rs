//! One proxy per file, and what it is asked from elsewhere.

use std::path::Path;

use rustix::process::{Signal, kill_process};

use crate::support::config::in_order;
use crate::support::{Proxy, Request, Setup, Upstream, file};

const START: &[&str] = &["proxy", "start"];

#[tokio::test]
async fn a_second_start_on_a_file_says_who_runs_it_and_leaves_the_first_alone() {
    let upstream = Upstream::serving().await;
    let first = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    for _ in 0..2 {
        let (code, text) = first.run(START).await;
        assert_eq!(code, Some(2), "{text}");
        for said in ["qcc.yaml", &format!("process {}", first.pid()), &first.address.to_string(), "qcc proxy stop"] {
            assert!(text.contains(said), "{said:?} in {text}");
        }
    }
    for answer in first.send_times(3, &Request::unary()).await {
        answer.assert_served();
    }
}

#[tokio::test]
async fn a_killed_proxy_is_no_obstacle_for_the_next() {
    let upstream = Upstream::serving().await;
    let mut first = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    kill_process(first.pid(), Signal::KILL).expect("the process is ours");
    assert_eq!(first.exit().await, None);
    let second = first.again().await.expect("it listens");
    second.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn two_files_with_one_state_directory_are_told_apart() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]) + "state: { dir: kept }\n";
    let first = Setup::new(&yaml).with_file("other.yaml", &yaml).start().await;
    let (code, text) = first.run(&["-c", "other.yaml", "proxy", "start"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("qcc.yaml") && text.contains("kept` is in use") && text.contains("state: { dir"), "{text}");
    first.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn without_a_place_for_its_state_it_runs_and_says_so() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new(&file(&[in_order([upstream.url()])])).with_file("flat", "a file");
    let proxy = setup.env("QCC_STATE_DIR", "flat/state").start().await;
    proxy.wait_log("no lock").await;
    proxy.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn no_core_is_dumped() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let limits = std::fs::read_to_string(Path::new("/proc").join(proxy.pid().to_string()).join("limits"));
    let Ok(limits) = limits else { return };
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
