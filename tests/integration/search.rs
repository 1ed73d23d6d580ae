//! A command finds the proxy of its file, and no second one starts, whatever the file and the environment say by now.

use rustix::process::{Signal, kill_process};

use crate::support::config::in_order;
use crate::support::{Daemon, Proxy, Request, Setup, Upstream, file};

/// `setup` as typed in another shell.
fn shell(setup: &Setup, variables: &[(&str, &str)]) -> Setup {
    variables.iter().fold(setup.clone(), |setup, (name, value)| setup.env(name, value))
}

/// Every command of `setup` is about process `pid`, and nothing else can be started.
async fn is_found(setup: &Setup, pid: u32) {
    let json = async |line: &str| {
        let (code, out, err) = setup.said(&line.split(' ').collect::<Vec<_>>()).await;
        assert!(code == Some(0) && !err.contains("No proxy is running"), "{line}: {out}{err}");
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")
    };
    assert_eq!(json("proxy status --json").await["pid"], pid);
    assert_eq!(json("status --json").await["pid"], pid);
    assert_ne!(json("config history --json").await["revisions"], serde_json::json!([]));
    assert_eq!(json("priority switch production --json").await["active"], "production");
    assert_eq!(json("priority list --json").await["pinned"], true);
    assert_eq!(json("queue status --json").await["line"]["length"], 0, "only a proxy has a line");
    let heard = json("priority policy --failure-threshold 4 --json").await;
    assert_eq!(heard["proxy"]["verdict"], "accepted", "{heard}");
    json("priority policy --failure-threshold 5 --json").await;
    let (code, text) = setup.run(&["plan"]).await;
    assert!(code == Some(0) && text.contains("compared with what runs"), "{text}");
    let (code, text) = setup.run(&["proxy", "logs"]).await;
    assert!(code == Some(0) && text.contains("reloaded generation"), "{text}");
    let (code, text) = setup.run(&["proxy", "start", "--daemon"]).await;
    assert!(code == Some(2) && text.contains(&format!("already (process {pid}")), "{text}");
}

/// `setup` can stop it.
async fn is_stopped(setup: &Setup, pid: u32) {
    let (code, text) = setup.run(&["proxy", "stop"]).await;
    assert_eq!((code, text), (Some(0), format!("qcc: stopped (process {pid})\n")));
    assert_ne!(setup.run(&["proxy", "status"]).await.0, Some(0));
}

#[tokio::test]
async fn another_state_dir_or_address_in_the_file_waits_for_a_restart() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let daemon = Daemon::start(&yaml).await;
    let pid = daemon.holder().pid;
    let moved = yaml.replace("127.0.0.1:0", "127.0.0.2:0") + "state: { dir: other }\n";
    assert!(moved.contains("127.0.0.2:0"), "{yaml}");
    std::fs::write(daemon.setup.path(), moved).expect("the file is ours");
    for variables in
        [&[][..], &[("XDG_RUNTIME_DIR", "")], &[("QCC_STATE_DIR", "third"), ("XDG_STATE_HOME", "/nowhere")]]
    {
        is_found(&shell(&daemon.setup, variables), pid).await;
    }
    is_stopped(&daemon.setup, pid).await;
}

#[tokio::test]
async fn other_variables_lose_no_proxy() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new(&file(&[in_order([upstream.url()])]));
    let elsewhere = setup.path().with_file_name("elsewhere").display().to_string();
    let daemon = Daemon { setup: setup.clone() };
    let started = shell(&setup, &[("QCC_STATE_DIR", &elsewhere)]);
    assert_eq!(started.run(&["proxy", "start", "--daemon"]).await.0, Some(0));
    let (_, text, _) = started.said(&["proxy", "status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status["state_dir"], elsewhere);
    let pid = u32::try_from(status["pid"].as_u64().expect("a number")).expect("a process");
    is_found(&setup, pid).await;
    is_found(&shell(&started, &[("XDG_RUNTIME_DIR", "")]), pid).await;
    is_stopped(&setup, pid).await;
    drop(daemon);
}

#[tokio::test]
async fn a_file_that_is_gone_still_names_its_proxy() {
    let upstream = Upstream::serving().await;
    let daemon = Daemon::start(&file(&[in_order([upstream.url()])])).await;
    let pid = daemon.holder().pid;
    std::fs::remove_file(daemon.setup.path()).expect("the file is ours");
    assert_eq!(daemon.setup.run(&["status"]).await.0, Some(0));
    is_stopped(&daemon.setup, pid).await;
    let (code, text) = daemon.setup.run(&["proxy", "stop"]).await;
    assert!(code == Some(2) && text.contains("no qcc.yaml found"), "{text}");
}

#[tokio::test]
async fn what_a_killed_proxy_left_anywhere_is_no_obstacle() {
    let upstream = Upstream::serving().await;
    let mut first = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    kill_process(first.pid(), Signal::KILL).expect("the process is ours");
    assert_eq!(first.exit().await, None);
    let setup = first.setup().clone().env("QCC_STATE_DIR", "elsewhere");
    assert_eq!(setup.run(&["proxy", "status"]).await.0, Some(1));
    setup.start().await.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn without_a_lock_the_socket_is_enough() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new(&file(&[in_order([upstream.url()])])).with_file("flat", "a file");
    let mut proxy = shell(&setup, &[("QCC_STATE_DIR", "flat/state")]).start().await;
    let pid = proxy.pid();
    for setup in [&setup, &proxy.setup().clone()] {
        let (code, text) = setup.run(&["proxy", "start"]).await;
        assert!(code == Some(2) && text.contains(&format!("already (process {pid}")), "{text}");
    }
    let (code, text) = setup.run(&["proxy", "stop"]).await;
    assert_eq!((code, text), (Some(0), format!("qcc: stopped (process {pid})\n")));
    assert_eq!(proxy.exit().await, Some(0));
}
