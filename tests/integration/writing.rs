//! What editing commands write, seen through the real binary: several at once, killed at any moment, under load, and in
//! files of every shape.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::config::in_order;
use crate::support::{Client, Desk, Proxy, Request, Upstream, file};

const FILE: &str = "version: 1\nprofiles:\n  team:\n    description: x\n";

/// Starts a command line and waits for nothing.
fn begin(desk: &Desk, line: &str) -> Child {
    let mut command = desk.command(env!("CARGO_BIN_EXE_qcc"));
    command.args(line.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

#[test]
fn of_editors_at_once_none_loses_its_change() {
    let desk = Desk::with(FILE);
    let mut waiting: Vec<usize> = (0..8).collect();
    for _ in 0..8 {
        let begun: Vec<(usize, Child)> = waiting.iter().map(|&n| (n, begin(&desk, &format!("add p{n}")))).collect();
        waiting.clear();
        for (n, child) in begun {
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let written = desk.text().contains(&format!("p{n}:"));
            assert_eq!(output.status.success(), written, "who is told that it is done has it done: {said}");
            if !written {
                assert!(output.status.code() == Some(1) && said.contains("try again"), "{said}");
                waiting.push(n);
            }
        }
    }
    assert_eq!(waiting, [0; 0], "each time at least one gets through");
    assert_eq!(desk.qcc("list").done().lines().count(), 10);
}

#[test]
fn a_killed_editor_leaves_the_old_file_or_the_new_one() {
    let desk = Desk::with(&format!("{FILE}{}", "# More.\n".repeat(2000)));
    let begun = Instant::now();
    let old = desk.text();
    desk.edit("config set profiles.team.description y");
    let (new, whole) = (desk.text(), begun.elapsed() / 3);
    let mut seen = [0, 0];
    for _ in 0..100 {
        desk.save(&old);
        let mut child = begin(&desk, "config set profiles.team.description y");
        // The moment is the scenario.
        std::thread::sleep(whole.mul_f64(fastrand::f64()));
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        let text = desk.text();
        assert!(text == old || text == new, "half a file: {} bytes", text.len());
        seen[usize::from(text == new)] += 1;
    }
    assert!(seen[0] > 0, "some were killed in time: {seen:?}");
    desk.save(&old);
    desk.edit("config set profiles.team.description y");
    let left: Vec<_> =
        fs::read_dir(desk.path("")).expect("it is ours").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["qcc.yaml"], "what the killed ones left is gone");
}

#[test]
fn every_patch_applies_to_the_byte_whatever_the_file_looks_like() {
    let plain = "version: 1 # 版本\nprofiles:\n  team: # 我们的\n    description: 主要账户\n    endpoints:\n      # 第一个\n      - { id: 工作, base_url: https://a.example, api_key: { env: A } }\n";
    let shapes = [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        plain.trim_end().to_owned(),
        plain.replace('\n', "\r\n").trim_end().to_owned(),
        format!("\u{FEFF}{plain}"),
    ];
    for shape in shapes {
        let desk = Desk::with(&shape);
        desk.edit("add 备用 --description 当账户用完时 --tier secondary --url https://b.example --key-env B");
        desk.edit("endpoint add team --url https://c.example --key-env C --id 第二");
        desk.edit("endpoint set 工作 -w 5");
        desk.edit("priority policy --cooldown 1m");
        desk.edit("endpoint remove 工作 --yes");
        desk.edit("remove 备用 --yes");
        assert_eq!(desk.text().contains('\r'), shape.contains('\r'));
        assert_eq!(desk.text().matches('\n').count() == desk.text().matches("\r\n").count(), shape.contains('\r'));
    }
}

#[test]
fn a_file_with_errors_can_be_repaired_and_a_whole_one_not_broken() {
    let desk = Desk::with("version: 1\nfailover: { coldown: 5m, failure_threshold: 0 }\nprofiles: {}\n");
    assert_eq!(desk.qcc("validate").code, Some(1));
    let repaired = desk.qcc("config unset failover.coldown");
    assert!(repaired.stderr.contains("still has 1 error"), "{}", repaired.stderr);
    desk.edit("priority policy --failure-threshold 3");
    assert_eq!(desk.qcc("validate").code, Some(0));
    let before = desk.text();
    desk.qcc("config set failover.failure_threshold 0").failed(1, "would not be valid");
    assert_eq!(desk.text(), before);
}

#[test]
fn links_and_permissions_stay() {
    let desk = Desk::with(FILE);
    fs::rename(desk.file(), desk.home("real.yaml")).expect("the directory is ours");
    fs::set_permissions(desk.home("real.yaml"), fs::Permissions::from_mode(0o640)).expect("the file is ours");
    symlink("../real.yaml", desk.file()).expect("the directory is ours");
    assert!(desk.qcc("add home").done().starts_with("--- a/real.yaml\n"));
    assert_eq!(fs::read_link(desk.file()).expect("still a link").to_string_lossy(), "../real.yaml");
    let found = fs::metadata(desk.home("real.yaml")).expect("it is there");
    assert_eq!(found.permissions().mode() & 0o777, 0o640);
    assert!(desk.text().contains("home:"));
}

#[tokio::test]
async fn an_edit_under_load_is_live_soon_and_fails_no_request() {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([first.url()])])).await;
    let stop = tokio::sync::watch::Sender::new(false);
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (address, stop) = (proxy.address, stop.subscribe());
            tokio::spawn(async move {
                let mut client = Client::h1(address).await;
                let mut served = 0_usize;
                while !*stop.borrow() {
                    client.send(&Request::unary()).await.assert_served();
                    served += 1;
                }
                served
            })
        })
        .collect();
    let path = proxy.path.display().to_string();
    for (at, url) in [second.url(), first.url(), second.url()].iter().enumerate() {
        let before = proxy.count_log("reloaded");
        let args = ["-c", &path, "endpoint", "set", "a", "--url", url];
        let edited = tokio::process::Command::new(env!("CARGO_BIN_EXE_qcc")).args(args).output().await;
        assert!(edited.expect("the binary runs").status.success());
        let written = Instant::now();
        proxy.wait_log_times("reloaded", before + 1).await;
        let took = written.elapsed();
        // 500 ms on a machine of its own; this one may be shared.
        assert!(took < Duration::from_secs(2), "live after {took:?}, edit {at}");
    }
    stop.send_replace(true);
    for task in load {
        assert!(task.await.expect("no request failed") > 0);
    }
    assert!(second.count() > 0, "the edited address was asked");
}
