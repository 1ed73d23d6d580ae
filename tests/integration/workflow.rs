//! The workflow of the first promise, word for word, from an empty directory: what is typed, what the file becomes, and a
//! proxy that runs it. On a terminal where a person is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rexpect::session::{PtySession, spawn_command};
use serde_json::Value;

use crate::support::{Client, Desk, PATIENCE, Request, Upstream};

/// What is typed where nothing may be shown.
const TYPED: &str = "sk-canary-typed-0123456789";

/// Types a command line on a terminal.
fn on_terminal(desk: &Desk, line: &str) -> PtySession {
    let mut command = desk.command(env!("CARGO_BIN_EXE_qcc"));
    command.args(line.split_whitespace());
    let patience = u64::try_from(PATIENCE.as_millis()).expect("it is short");
    spawn_command(command, Some(patience)).expect("there are terminals")
}

/// Waits for each question and answers it; gives everything that was on the screen.
fn talk(desk: &Desk, line: &str, answers: &[(&str, &str)]) -> String {
    let mut session = on_terminal(desk, line);
    let mut screen = String::new();
    for (question, answer) in answers {
        screen
            .push_str(&session.exp_string(question).unwrap_or_else(|error| panic!("{question:?}: {error}\n{screen}")));
        session.send_line(answer).expect("it reads");
    }
    screen.push_str(&session.exp_eof().expect("it ends"));
    screen
}

fn read(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.path(name)).unwrap_or_default()
}

/// The number of the line that offers `what`.
fn number(screen: &str, what: &str) -> usize {
    let line = screen.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what:?} in {screen}"));
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[tokio::test]
async fn the_workflow_runs_word_for_word_and_leaves_a_file_to_be_glad_of() {
    let desk = Desk::empty();
    assert_eq!(desk.qcc("init").code, Some(0));
    for line in [
        "add work --url https://api.anthropic.com --key-env WORK_KEY",
        "add personal --url https://api.anthropic.com --key-env PERSONAL_KEY",
        "add production --description 'What the team works with'",
        "add backup --description 'When the accounts are out'",
        "add emergency --description 'Better than nothing'",
        "endpoint add production -f work",
        "endpoint add production -f personal",
        "endpoint add production -f work -w 100 -p 1",
    ] {
        desk.edit(line);
    }
    desk.qcc("endpoint add production").failed(2, "--from-profile");
    let screen = talk(&desk, "endpoint add production", &[("Number, 1 to ", "5"), ("Key, to be kept", TYPED)]);
    assert_eq!(read(&desk, ".env"), format!("MOONSHOT_API_KEY={TYPED}\n"), "{screen}");
    for line in [
        "priority set production primary",
        "priority set backup secondary",
        "priority set emergency fallback",
        "priority policy --auto-failover --auto-recovery --failure-threshold 3 --cooldown 300",
    ] {
        desk.edit(line);
    }
    assert_eq!(desk.qcc("validate").code, Some(0));
    golden(&desk.text());
    assert!(desk.qcc("priority list").done().contains("main, production"));
    let listed = desk.qcc("endpoint list production").done();
    let ids: Vec<&str> = listed
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(ids, ["production/work", "production/personal", "production/moonshot.cn"]);
    serves(desk).await;
}

/// The file as it is kept beside the tests; `QCC_BLESS=1` rewrites it.
fn golden(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workflow/qcc.yaml");
    if std::env::var_os("QCC_BLESS").is_some() {
        fs::write(&path, text).expect("the fixtures are ours");
    }
    let stored = fs::read_to_string(&path).expect("the fixture is there");
    assert_eq!(text, stored);
}

/// A proxy runs the file: at a free port, over an upstream at hand, and with what is exported at the end.
async fn serves(desk: Desk) {
    let upstream = Upstream::serving().await;
    desk.edit("config set server.listen 127.0.0.1:0");
    for name in ["production/work", "production/personal", "moonshot.cn"] {
        desk.edit(&format!("endpoint set {name} --url {}", upstream.url()));
    }
    desk.edit("remove main --yes");
    let desk = desk.env("WORK_KEY", "sk-canary-work");
    let mut session = on_terminal(&desk, "proxy start");
    session.exp_string("listening on http://").expect("it starts");
    let address = session.read_line().expect("an address").trim().parse().expect("an address");
    session.exp_string("generation 1").expect("it says what it runs");
    Client::h1(address).await.send(&Request::unary()).await.assert_served();
    let recorded = upstream.only();
    let sent = [recorded.values("x-api-key"), recorded.values("authorization")].concat();
    assert!(["sk-canary-work", &format!("Bearer {TYPED}")].contains(&sent[0]), "{sent:?}");
    session.send_control('c').expect("it listens");
    session.exp_eof().expect("it ends");
}

#[test]
fn a_key_typed_in_the_wizard_is_not_shown_and_not_in_the_file() {
    let desk = Desk::with(
        "version: 1\nprofiles:\n  work: { base_url: https://a.example, api_key: { env: API_KEY } }\n  team: {}\n",
    );
    let offered = talk(&desk, "endpoint add team", &[("Number, 1 to ", "0"), ("none of them", "\u{4}")]);
    assert_eq!(number(&offered, "profile `work`"), 1, "those that are there come first");
    assert_eq!(number(&offered, "https://api.anthropic.com"), 2);
    let other = number(&offered, "another address").to_string();
    let answers = [
        ("Number, 1 to ", other.as_str()),
        ("Address", "https://b.example"),
        ("Header", "bearer"),
        ("Key, to be kept", "two words"),
        ("once more", TYPED),
    ];
    let screen = talk(&desk, "endpoint add team", &answers);
    assert!(!screen.contains("canary") && !desk.text().contains("canary"), "{screen}");
    assert!(screen.contains("`.env` is now in .gitignore.") && screen.contains("API_KEY_2"), "{screen}");
    assert_eq!(read(&desk, ".env"), format!("API_KEY_2={TYPED}\n"), "API_KEY is meant for another");
    assert_eq!(fs::metadata(desk.path(".env")).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&desk, ".gitignore"), ".env\n");
    assert!(desk.text().contains("base_url: https://b.example") && desk.text().contains("{ env: API_KEY_2 }"));
    assert_eq!(desk.qcc("key b.example").done(), format!("{TYPED}\n"));
}

#[test]
fn a_wizard_that_is_left_changes_nothing() {
    let desk = Desk::with("version: 1\nprofiles:\n  team: {}\n");
    let before = desk.text();
    let mut session = on_terminal(&desk, "endpoint add team");
    session.exp_string("Number, 1 to ").expect("it asks");
    session.send_line("1").expect("it reads");
    session.exp_string("Key, to be kept").expect("it asks");
    session.send_control('c').expect("it reads");
    assert!(session.exp_eof().expect("it ends").contains("nothing was changed"));
    assert_eq!((desk.text(), read(&desk, ".env")), (before, String::new()));
    let screen =
        talk(&desk, "endpoint add team", &[("Number, 1 to ", "1"), ("Key, to be kept", ""), ("variable", "MINE")]);
    assert!(desk.text().contains("{ env: MINE }") && read(&desk, ".env").is_empty(), "{screen}");
}

#[test]
fn init_asks_for_a_key_where_there_is_none() {
    let desk = Desk::empty();
    let screen = talk(&desk, "init", &[("not shown", TYPED)]);
    assert!(!screen.contains("canary"), "{screen}");
    assert_eq!(read(&desk, ".env"), format!("QCC_ANTHROPIC_API_KEY={TYPED}\n"));
    assert!(desk.text().contains("env: QCC_ANTHROPIC_API_KEY"), "{}", desk.text());
    let said = desk.qcc("validate --resolve --format json");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let _: Value = serde_json::from_str(&said.done()).expect("JSON");
}
