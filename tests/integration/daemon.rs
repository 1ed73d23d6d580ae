//! One proxy per file, and what it is asked from elsewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Signal, kill_process};
use tokio::net::UnixDatagram;

use crate::support::client::{collect, read_until};
use crate::support::config::{in_order, with, with_server};
use crate::support::http1::Ended;
use crate::support::{Client, Daemon, Gate, Proxy, Reply, Request, Setup, Upstream, file, in_time, messages};

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
async fn commands_find_a_proxy_whose_runtime_directory_was_another_one() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let setup = Setup::new(&yaml).with_file("home/elsewhere/x", "");
    let proxy = setup.clone().start().await;
    let other = setup.path().with_file_name("home").join("elsewhere");
    let there = setup.env("XDG_RUNTIME_DIR", &other.display().to_string());
    let (code, text, stderr) = there.said(&["status", "--json"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status["pid"].as_i64(), Some(proxy.pid().as_raw_nonzero().get().into()), "{text}");
    for line in [&["endpoint", "reset", "a"][..], &["endpoint", "set", "a", "--weight", "7"]] {
        let (code, _, stderr) = there.said(line).await;
        assert!(code == Some(0) && !stderr.contains("No proxy"), "{line:?}: {stderr}");
    }
    proxy.wait_log("generation=2").await;
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

/// The processes whose command line names a file in the directory of `setup`.
fn processes(setup: &Setup) -> Vec<String> {
    let path = setup.path().display().to_string();
    let entries = std::fs::read_dir("/proc").expect("there is a /proc").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&path)).collect()
}

/// A file whose proxy has a stream under way that ends when the gate opens.
async fn streaming(drain: &str) -> (Daemon, Gate, Upstream, http::Response<hyper::body::Incoming>, Client) {
    let gate = Gate::closed();
    let [head @ .., block, delta, stop] = &messages::stream_events("early")[..] else { panic!("a stream has events") };
    let upstream = Upstream::always(Reply::sse(head.to_vec()).then(&gate, [&block[..], delta, stop].concat())).await;
    let daemon = Daemon::start(&with_server(&format!("drain: {drain}"), "", &[in_order([upstream.url()])])).await;
    let mut client = Client::h1(daemon.address()).await;
    let mut response = client.begin(&Request::stream()).await.expect("a head");
    read_until(response.body_mut(), "early").await;
    (daemon, gate, upstream, response, client)
}

#[tokio::test]
async fn in_the_background_it_returns_once_it_listens_and_says_where() {
    let upstream = Upstream::serving().await;
    let setup = Setup::new(&file(&[in_order([upstream.url()])]));
    let daemon = Daemon { setup };
    let (code, text) = daemon.proxy(&["status"]).await;
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
    assert_eq!(code, Some(0), "{text}");
    let holder = daemon.holder();
    let log = daemon.setup.state().join("proxy.log").display().to_string();
    for said in [&holder.addresses[0], &format!("process {}", holder.pid), &log] {
        assert!(text.contains(said), "{said} in {text}");
    }
    daemon.send(&Request::unary()).await.assert_served();
    let (code, text) = daemon.proxy(&["status"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&holder.addresses[0]) && text.contains(&holder.pid.to_string()), "{text}");
    let (code, text) = daemon.proxy(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &status["running"], &status["pid"]), (Some(0), &true.into(), &holder.pid.into()));
    assert_eq!(status["generation"], 1);
    let (code, text) = daemon.proxy(&["stop"]).await;
    assert_eq!((code, text), (Some(0), format!("qcc: stopped (process {})\n", holder.pid)));
    let (code, text) = daemon.proxy(&["stop"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no proxy runs on"), "{text}");
    assert_eq!(processes(&daemon.setup), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_start_in_the_background_leaves_the_first_and_its_log_alone() {
    let upstream = Upstream::serving().await;
    let daemon = Daemon::start(&file(&[in_order([upstream.url()])])).await;
    let before = (daemon.holder(), std::fs::read_to_string(&daemon.log_files()[0]).expect("a log"));
    let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("process {}", before.0.pid)), "{text}");
    assert_eq!((daemon.holder(), std::fs::read_to_string(&daemon.log_files()[0]).expect("a log")), before);
    daemon.send(&Request::unary()).await.assert_served();
}

#[tokio::test]
async fn what_cannot_start_in_the_background_says_why_and_leaves_no_process() {
    let upstream = Upstream::serving().await;
    let first = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let busy = file(&[in_order([upstream.url()])]).replace("127.0.0.1:0", &first.address.to_string());
    for (yaml, reason) in [("profiles: [", "qcc.yaml:1:11"), (&busy, "is in use")] {
        let daemon = Daemon { setup: Setup::new(yaml) };
        let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
        assert_eq!(code, Some(2), "{text}");
        assert_eq!(text.matches(reason).count(), 1, "{text}");
        assert_eq!(processes(&daemon.setup), Vec::<String>::new());
        assert_eq!(daemon.proxy(&["status"]).await.0, Some(1));
    }
    let setup = Setup::new(&file(&[in_order([upstream.url()])])).with_file("flat", "a file");
    let daemon = Daemon { setup: setup.env("QCC_STATE_DIR", "flat/state") };
    let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("flat/state` cannot be written") && text.contains("state: { dir"), "{text}");
}

#[tokio::test]
async fn stop_waits_for_a_running_stream() {
    let (daemon, gate, _upstream, response, _client) = streaming("10m").await;
    let pid = daemon.holder().pid;
    let told = async {
        let draining = async {
            while daemon.holder().draining != Some(1) {
                tokio::task::yield_now().await;
            }
        };
        in_time("the drain", draining).await;
        let (code, text) = daemon.proxy(&["status"]).await;
        assert!(code == Some(0) && text.contains("finishes 1 request"), "{text}");
        gate.open();
        collect(response).await
    };
    let ((code, text), rest) = tokio::join!(daemon.proxy(&["stop"]), told);
    assert_eq!(rest.ended, Ended::Whole);
    assert!(rest.text().contains("message_stop") && !rest.text().contains("event: error"), "{}", rest.text());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with(&format!("qcc: stopped (process {pid})\n")), "{text}");
}

#[tokio::test]
async fn a_second_stop_waits_too_and_stop_now_ends_the_stream() {
    let (daemon, _gate, _upstream, response, _client) = streaming("10m").await;
    let begun = async {
        let draining = async {
            while daemon.holder().draining != Some(1) {
                tokio::task::yield_now().await;
            }
        };
        in_time("the drain", draining).await;
        let mut second = daemon.spawn(&["stop"]);
        second.until("finishes 1 request, for up to 10m").await;
        let (code, text) = daemon.proxy(&["stop", "--now"]).await;
        assert_eq!(code, Some(0), "{text}");
        second.until("stopped").await;
    };
    let ((code, text), ()) = tokio::join!(daemon.proxy(&["stop"]), begun);
    assert_eq!(code, Some(0), "{text}");
    assert_ne!(collect(response).await.ended, Ended::Whole);
}

#[tokio::test]
async fn a_restart_is_another_process_on_the_same_file() {
    let upstream = Upstream::serving().await;
    let yaml = file(&[in_order([upstream.url()])]);
    let daemon = Daemon::start(&yaml).await;
    let first = daemon.holder().pid;
    std::fs::write(daemon.setup.path(), "profiles: [").expect("the file is ours");
    let (code, text) = daemon.proxy(&["restart"]).await;
    assert_eq!((code, daemon.holder().pid), (Some(1), first), "{text}");
    assert!(text.contains("qcc.yaml:1:11") && text.contains("not restarted"), "{text}");
    std::fs::write(daemon.setup.path(), yaml).expect("the file is ours");
    let (code, text) = daemon.proxy(&["restart"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_ne!(daemon.holder().pid, first);
    daemon.send(&Request::unary()).await.assert_served();
    assert_eq!(processes(&daemon.setup).len(), 1);
}

#[tokio::test]
async fn after_kill_9_it_starts_again() {
    let upstream = Upstream::serving().await;
    let daemon = Daemon::start(&file(&[in_order([upstream.url()])])).await;
    daemon.signal(Signal::KILL);
    let gone = async {
        while qcc::app::lock::holder(&daemon.setup.state()).expect("a lock").is_some() {
            tokio::task::yield_now().await;
        }
    };
    in_time("its end", gone).await;
    let (code, text) = daemon.proxy(&["status"]).await;
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
    assert_eq!(code, Some(0), "{text}");
    daemon.send(&Request::unary()).await.assert_served();
}

/// Sends requests that are known by their numbers.
async fn send_numbered(daemon: &Daemon, numbers: std::ops::Range<u32>) {
    for number in numbers {
        daemon.send(&Request::new("GET", &format!("/v1/numbered/{number}/"))).await;
    }
}

#[tokio::test]
async fn the_log_is_put_aside_by_size_and_followed_without_a_gap() {
    let upstream = Upstream::serving().await;
    let yaml = with("log: { max_bytes: 2KiB, max_files: 20 }", &[in_order([upstream.url()])]);
    let daemon = Daemon::start(&yaml).await;
    let mut lines = daemon.spawn(&["logs", "-f", "-n", "1"]);
    lines.until("generation 1").await;
    let (seen, ()) = tokio::join!(lines.until("/v1/numbered/59/"), send_numbered(&daemon, 0..60));
    let numbers: Vec<&str> =
        seen.iter().filter_map(|line| line.split("/v1/numbered/").nth(1)?.split('/').next()).collect();
    let all: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(numbers, all);
    let files = daemon.log_files();
    assert!(files.len() > 3, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.ends_with('\n') && text.len() < 4096, "whole lines: {text}");
        assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    let (code, text) = daemon.proxy(&["logs", "-n", "30"]).await;
    assert_eq!((code, text.lines().count()), (Some(0), 30), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.contains("/v1/numbered/59/")), "{text}");
    std::fs::write(daemon.setup.path(), yaml.replace("max_files: 20", "max_files: 1")).expect("the file is ours");
    lines.until("reloaded generation=2").await;
    let (_, ()) = tokio::join!(lines.until("/v1/numbered/89/"), send_numbered(&daemon, 60..90));
    assert_eq!(daemon.log_files().len(), 2);
}

#[tokio::test]
async fn a_proxy_in_the_foreground_has_no_log_file() {
    let upstream = Upstream::serving().await;
    let proxy = Proxy::start(&file(&[in_order([upstream.url()])])).await;
    let (code, text) = proxy.run(&["proxy", "logs"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("logs to its standard error"), "{text}");
}

#[tokio::test]
async fn a_supervisor_is_told_when_it_is_ready_reloads_and_stops() {
    let upstream = Upstream::serving().await;
    let dir = tempfile::tempdir().expect("a directory");
    let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
    let path = dir.path().join("notify").display().to_string();
    let setup = Setup::new(&with_server("drain: 90s", "", &[in_order([upstream.url()])]));
    let mut proxy = setup.env("NOTIFY_SOCKET", &path).start().await;
    let heard = async || {
        let mut message = vec![0; 4096];
        let length = in_time("a message", socket.recv(&mut message)).await.expect("a message");
        String::from_utf8(message[..length].to_vec()).expect("text")
    };
    assert_eq!(heard().await, "READY=1\nSTATUS=running generation 1\n");
    proxy.signal(Signal::HUP);
    let reloading = heard().await;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard().await, "READY=1\nSTATUS=running generation 1\n");
    proxy.save("profiles: [").await;
    assert_eq!(heard().await, "READY=1\nSTATUS=running generation 1; the last save was rejected\n");
    proxy.signal(Signal::TERM);
    assert_eq!(heard().await, "STOPPING=1\nEXTEND_TIMEOUT_USEC=100000000\nSTATUS=finishing requests\n");
    assert_eq!(proxy.exit().await, Some(0));
}

/// What the service's file says, without what differs between machines.
async fn printed(setup: &Setup, manager: &str) -> String {
    let output = setup.command().args(["proxy", "install-service", "--print", "--manager", manager]).output().await;
    let text = String::from_utf8(output.expect("the binary runs").stdout).expect("text");
    let dir = setup.path().parent().expect("a directory").display().to_string();
    text.replace(&dir, "DIR").replace(env!("CARGO_BIN_EXE_qcc"), "/usr/bin/qcc")
}

#[tokio::test]
async fn a_service_is_printed_for_systemd_and_for_launchd() {
    let setup = Setup::new(&file(&[])).env("QCC_STATE_DIR", "/a b/100%\"&<$x\\");
    insta::assert_snapshot!(printed(&setup, "systemd").await, @r##"
    # Written by `qcc proxy install-service`.
    [Unit]
    Description=qcc, the proxy of DIR/qcc.yaml
    StartLimitIntervalSec=60
    StartLimitBurst=5

    [Service]
    Type=notify
    NotifyAccess=main
    ExecStart="/usr/bin/qcc" --config "DIR/qcc.yaml" proxy start
    ExecReload=/bin/kill -HUP $MAINPID
    WorkingDirectory=DIR
    Environment="QCC_STATE_DIR=/a b/100%%\"&<$x\\"
    Environment="XDG_STATE_HOME=DIR/home/state"
    Restart=on-failure
    RestartSec=2
    TimeoutStartSec=120

    [Install]
    WantedBy=default.target
    "##);
    insta::assert_snapshot!(printed(&setup, "launchd").await, @r##"
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
    <!-- Written by `qcc proxy install-service`. -->
    <plist version="1.0">
    <dict>
      <key>Label</key>
      <string>qcc</string>
      <key>ProgramArguments</key>
      <array>
        <string>/usr/bin/qcc</string>
        <string>--config</string>
        <string>DIR/qcc.yaml</string>
        <string>proxy</string>
        <string>start</string>
        <string>--log-file</string>
      </array>
      <key>WorkingDirectory</key>
      <string>DIR</string>
      <key>EnvironmentVariables</key>
      <dict>
        <key>QCC_STATE_DIR</key>
        <string>/a b/100%"&amp;&lt;$x\</string>
        <key>XDG_STATE_HOME</key>
        <string>DIR/home/state</string>
      </dict>
      <key>RunAtLoad</key>
      <true/>
      <key>KeepAlive</key>
      <dict>
        <key>SuccessfulExit</key>
        <false/>
      </dict>
    </dict>
    </plist>
    "##);
}

#[tokio::test]
async fn a_service_is_installed_and_never_overwritten_silently() {
    let setup = Setup::new(&file(&[]));
    let install = async |more: &[&str]| {
        let arguments = [&["proxy", "install-service", "--manager", "systemd"], more].concat();
        setup.run(&arguments).await
    };
    let unit = setup.path().with_file_name("home").join("config/systemd/user/qcc.service");
    for _ in 0..2 {
        let (code, text) = install(&[]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("systemctl --user enable --now qcc.service") && text.contains("/.env"), "{text}");
    }
    std::fs::write(&unit, "mine").expect("it is there");
    let (code, text) = install(&[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(std::fs::read_to_string(&unit).expect("text"), "mine");
    let (code, text) = install(&["--replace"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(std::fs::read_to_string(&unit).expect("text").contains("Type=notify"));
    let (code, text) = install(&["--name", "../x"]).await;
    assert_eq!(code, Some(2), "{text}");
}
