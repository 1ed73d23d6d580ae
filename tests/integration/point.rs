//! Claude Code is pointed somewhere: in its settings, in a shell, for one command.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::config::{CANARY, in_order, key};
use crate::support::{Client, Desk, Proxy, Request, Upstream, file};

const FILE: &str = "\
version: 1
default: work
profiles:
  work:
    endpoints:
      - { id: off, base_url: https://off.example, api_key: { env: OFF_KEY }, enabled: false }
      - { id: one, base_url: https://api.anthropic.com, api_key: { env: WORK_KEY } }
  relay: { base_url: https://relay.example/anthropic, api_key: { file: relay.key }, auth: bearer }
  bare: {}
";

/// The settings of a user who has some.
const SETTINGS: &str = "\
{
    \"model\": \"opus\",
    \"env\": {
        \"ANTHROPIC_AUTH_TOKEN\": \"sk-canary-old\",
        \"DISABLE_TELEMETRY\": \"1\"
    },
    \"permissions\": { \"allow\": [\"Bash(ls:*)\"] }
}
";

/// A desk with settings of Claude Code.
fn desk(file: &str, settings: &str) -> Desk {
    let desk = Desk::with(file).env("WORK_KEY", &key("work"));
    fs::create_dir(desk.home(".claude")).expect("the home is ours");
    fs::write(desk.home(".claude/settings.json"), settings).expect("the home is ours");
    desk
}

fn settings(desk: &Desk) -> String {
    fs::read_to_string(desk.home(".claude/settings.json")).expect("the settings are there")
}

fn value(desk: &Desk) -> Value {
    serde_json::from_str(&settings(desk)).expect("JSON")
}

/// What a shell command prints.
fn sh(desk: &Desk, script: &str) -> String {
    desk.run("sh", &["-c", script], "").done()
}

#[test]
fn a_profile_is_used_without_its_key_leaving_the_file_that_refers_to_it() {
    let desk = desk(FILE, SETTINGS);
    let said = desk.qcc("use");
    let told = [said.stdout.as_str(), &said.stderr].concat();
    assert!(said.stderr.contains("work/one") && said.stderr.contains("env WORK_KEY"), "{told}");
    said.done();
    let now = value(&desk);
    assert_eq!(now["env"], json!({ "DISABLE_TELEMETRY": "1", "ANTHROPIC_BASE_URL": "https://api.anthropic.com" }));
    assert_eq!(now["permissions"], json!({ "allow": ["Bash(ls:*)"] }));
    assert!(!settings(&desk).contains("canary") && !told.contains("canary"), "{told}");
    let helper = now["apiKeyHelper"].as_str().expect("a command");
    assert_eq!(sh(&desk, helper), format!("{}\n", key("work")));
    fs::write(desk.path(".env"), "WORK_KEY=sk-canary-of-the-file\n").expect("the directory is ours");
    assert_eq!(sh(&desk, &format!("unset WORK_KEY; cd /; {helper}")), "sk-canary-of-the-file\n");
}

#[test]
fn what_makes_claude_code_do_otherwise_is_said() {
    let models = FILE.replace("auth: bearer }", "auth: bearer, models: { claude-*: small } }");
    let desk = desk(&models, SETTINGS).env("ANTHROPIC_API_KEY", "sk-canary-shell");
    fs::create_dir(desk.path(".claude")).expect("the directory is ours");
    let project = "{ \"env\": { \"ANTHROPIC_BASE_URL\": \"https://p.example\" } }";
    fs::write(desk.path(".claude/settings.local.json"), project).expect("the directory is ours");
    let said = desk.qcc("use relay").stderr;
    for words in ["ANTHROPIC_API_KEY is set here", ".claude/settings.local.json sets", "`models` of this endpoint"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    let said = desk.qcc("use --proxy").stderr;
    assert!(!said.contains("ANTHROPIC_API_KEY is set") && !said.contains("`models`"), "the settings win: {said}");
}

#[test]
fn every_use_can_be_taken_back_and_keeps_what_was_changed_since() {
    let desk = desk(FILE, SETTINGS);
    let rehearsed = desk.qcc("use --proxy --dry-run").done();
    assert!(rehearsed.contains("+        \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:7860\""), "{rehearsed}");
    assert!(!rehearsed.contains("canary"), "{rehearsed}");
    assert_eq!((settings(&desk).as_str(), fs::read_dir(desk.home(".claude")).expect("lists").count()), (SETTINGS, 1));

    let json: Value = serde_json::from_str(&desk.qcc("use --proxy --json").done()).expect("JSON");
    assert_eq!((&json["written"], &json["key"]), (&json!(true), &json!("proxy-managed")));
    let backup = json["backup"].as_str().expect("a path");
    assert_eq!(fs::metadata(backup).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(backup).expect("it is there"), SETTINGS);
    let expected = SETTINGS.replace(
        "        \"ANTHROPIC_AUTH_TOKEN\": \"sk-canary-old\",\n        \"DISABLE_TELEMETRY\": \"1\"\n",
        "        \"DISABLE_TELEMETRY\": \"1\",\n        \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:7860\",\n        \"ANTHROPIC_API_KEY\": \"proxy-managed\"\n",
    );
    assert_eq!(settings(&desk), expected, "no other byte");
    assert!(desk.qcc("proxy use").stderr.contains("Nothing to change"));

    desk.qcc("use relay").done();
    desk.qcc("use --undo").done();
    assert_eq!(settings(&desk), expected, "one step back");
    desk.qcc("use --undo").done();
    assert_eq!(settings(&desk), SETTINGS, "and all the way");
    desk.qcc("use --undo").failed(1, "no way back");

    desk.qcc("use --proxy").done();
    fs::write(desk.home(".claude/settings.json"), settings(&desk).replace("opus", "haiku")).expect("writes");
    desk.qcc("use --undo").done();
    assert_eq!(value(&desk), serde_json::from_str::<Value>(&SETTINGS.replace("opus", "haiku")).expect("JSON"));
}

#[test]
fn settings_that_are_not_there_are_made_and_go_again() {
    let desk = Desk::with(FILE);
    let desk = {
        let other = desk.home("other").display().to_string();
        desk.env("CLAUDE_CONFIG_DIR", &other)
    };
    desk.qcc("use --proxy").done();
    let path = desk.home("other/settings.json");
    let made: Value = serde_json::from_str(&fs::read_to_string(&path).expect("it was made")).expect("JSON");
    assert_eq!(
        made,
        json!({ "env": { "ANTHROPIC_BASE_URL": "http://127.0.0.1:7860", "ANTHROPIC_API_KEY": "proxy-managed" } })
    );
    desk.qcc("use --undo").done();
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_used_is_said_and_nothing_is_touched() {
    let broken = desk(FILE, "{ \"env\": canary");
    let said = broken.qcc("use --proxy");
    said.failed(1, "not JSON (line 1, column 10)");
    assert!(!said.stderr.contains("canary") && settings(&broken) == "{ \"env\": canary");
    let desk = desk(&FILE.replace("default: work\n", ""), SETTINGS);
    desk.qcc("use").failed(2, "qcc default NAME");
    desk.qcc("use nobody").failed(1, "no profile `nobody`");
    desk.qcc("use bare").failed(1, "no enabled endpoint");
    desk.qcc("use work --proxy").failed(2, "cannot be used with");
    assert_eq!(settings(&desk), SETTINGS);
}

#[test]
fn a_proxy_that_knows_its_clients_is_called_as_one_of_them() {
    let clients = "server: { clients: [{ name: alice, token: { env: ALICE } }, { name: bob, token: { env: BOB } }] }\n";
    let desk = desk(&format!("{FILE}{clients}"), SETTINGS).env("BOB", &key("bob"));
    desk.qcc("use --proxy").failed(2, "--client NAME`: alice, bob");
    desk.qcc("use --proxy --client bob").done();
    let now = value(&desk);
    assert_eq!(now["env"].get("ANTHROPIC_API_KEY"), None);
    assert_eq!(sh(&desk, now["apiKeyHelper"].as_str().expect("a command")), format!("{}\n", key("bob")));
}

#[test]
fn exports_are_evaluated_by_a_shell_and_show_no_key() {
    let desk = desk(FILE, SETTINGS);
    let text = desk.qcc("env work --shell sh").done();
    assert!(!text.contains(CANARY), "{text}");
    let script = |shown: &str| format!("ANTHROPIC_AUTH_TOKEN=old; {text}echo {shown}");
    assert_eq!(
        sh(&desk, &script("\"$ANTHROPIC_BASE_URL $ANTHROPIC_API_KEY $ANTHROPIC_AUTH_TOKEN\"")),
        format!("https://api.anthropic.com {} \n", key("work"))
    );
    fs::write(desk.path("relay.key"), format!("{}\n", key("relay"))).expect("the directory is ours");
    let text = desk.qcc("env relay").done();
    assert_eq!(
        sh(&desk, &format!("{text}echo \"$ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN\"")),
        format!("https://relay.example/anthropic {}\n", key("relay"))
    );
    assert_eq!(
        desk.qcc("env --proxy --shell fish").done(),
        "set -gx ANTHROPIC_BASE_URL http://127.0.0.1:7860\nset -gx ANTHROPIC_API_KEY proxy-managed\nset -e ANTHROPIC_AUTH_TOKEN\n"
    );
    assert!(
        desk.qcc("env --proxy --shell powershell")
            .done()
            .starts_with("$env:ANTHROPIC_BASE_URL = 'http://127.0.0.1:7860'\n")
    );
}

/// `qcc run -- sh -c SCRIPT` with pipes on both sides.
fn start(desk: &Desk, script: &str) -> Child {
    let mut command = desk.command(env!("CARGO_BIN_EXE_qcc"));
    command.args(["run", "--", "sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("the binary runs")
}

/// The next line the command prints.
fn line(child: &mut Child) -> String {
    let mut line = String::new();
    // Unbuffered enough: the command says one line, then waits.
    BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{url:?}"))
}

/// Lets the command end, and gives the code of `qcc run`.
fn finish(mut child: Child) -> Option<i32> {
    child.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
    child.wait().expect("it ends").code()
}

const TELL: &str = "echo $ANTHROPIC_BASE_URL; read go; exit 7";

#[tokio::test]
async fn a_command_gets_a_proxy_for_as_long_as_it_runs() {
    let upstream = Upstream::serving().await;
    let desk = Desk::with(&file(&[in_order([upstream.url()])])).env("KEY_A", &key("a"));
    let mut child = start(&desk, TELL);
    let address = address(&line(&mut child));
    Client::h1(address).await.send(&Request::unary()).await.assert_served();
    assert_eq!(upstream.only().values("x-api-key"), [key("a").as_str()]);
    let stopped = desk.run(env!("CARGO_BIN_EXE_qcc"), &["proxy", "stop"], "");
    assert_eq!(stopped.code, Some(2));
    assert!(stopped.stderr.contains("`qcc run`"), "{}", stopped.stderr);
    assert_eq!(finish(child), Some(7));
    assert!(std::net::TcpStream::connect(address).is_err(), "it ended with the command");
}

#[tokio::test]
async fn a_proxy_that_listens_is_used_and_replaced_when_it_goes() {
    let upstream = Upstream::serving().await;
    let text = file(&[in_order([upstream.url()])]);
    let mut proxy = Proxy::start(&text).await;
    let desk = Desk::with(&text.replace("127.0.0.1:0", &proxy.address.to_string())).env("KEY_A", &key("a"));
    let mut child = start(&desk, TELL);
    assert_eq!(address(&line(&mut child)), proxy.address);
    let address = proxy.address;
    proxy.signal(rustix::process::Signal::KILL);
    assert_eq!(proxy.exit().await, None);
    let served = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Client::h1(address).await.send(&Request::unary()).await.assert_served();
    };
    crate::support::in_time("a proxy in the place of the one that went", served).await;
    assert_eq!(finish(child), Some(7));
}

#[test]
fn a_command_ends_as_it_ends_and_hears_what_is_sent() {
    let desk = desk(FILE, SETTINGS);
    let run = |words: &[&str]| {
        desk.run(env!("CARGO_BIN_EXE_qcc"), &[&["run", "--profile", "work", "--"], words].concat(), "")
    };
    let shown = run(&["sh", "-c", "echo $ANTHROPIC_BASE_URL $ANTHROPIC_API_KEY"]);
    assert_eq!(shown.done(), format!("https://api.anthropic.com {}\n", key("work")));
    for (words, code) in [
        (["sh", "-c", "exit 7"].as_slice(), 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["there-is-no-such-program"], 127),
        (&["/"], 126),
    ] {
        assert_eq!(run(words).code, Some(code), "{words:?}");
    }
    desk.qcc("use --proxy").done();
    run(&["claude"]).failed(127, "sets another ANTHROPIC_BASE_URL");
}

#[test]
fn a_signal_goes_to_the_command() {
    let desk = Desk::with("version: 1\nserver: { listen: '127.0.0.1:0' }\n");
    let mut child = start(&desk, "trap 'exit 9' TERM; echo ready; while :; do read -r go; done");
    assert_eq!(line(&mut child), "ready");
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("the process is ours");
    // At its end the shell acts on what it was sent.
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(9));
}
