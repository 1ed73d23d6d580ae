//! `qcc config export`, `import` and `reset` as they are typed.

use std::fs;

use serde_json::Value;

use crate::support::desk::Desk;

const FILE: &str = "\
# Ours.
version: 1
x-note: kept
failover: { cooldown: 1m }   # shorter
log:
  level: debug
profiles:
  # Pays for itself.
  work:
    tier: primary
    base_url: https://api.anthropic.com
    api_key: { env: WORK_KEY }
";

const CLEAR: &str = "\
version: 1
notify: [{ on: [switch], webhook: 'https://hooks.example/canary' }]
profiles:
  work:
    tier: primary
    base_url: https://api.anthropic.com
    api_key: sk-canary-0123456789
    proxy: http://me:canary@proxy.example:3128
    headers: { x-team: canary }
";

#[test]
fn what_is_exported_holds_the_same_shows_no_key_and_validates() {
    for (text, format) in [(FILE, "yaml"), (FILE, "json"), (CLEAR, "yaml"), (CLEAR, "json")] {
        let desk = Desk::with(text);
        let exported = desk.qcc(&format!("config export --format {format}")).done();
        assert!(!exported.contains("canary"), "{exported}");
        assert!(exported.contains("failure_threshold"), "defaults are filled in: {exported}");
        let before = desk.qcc("config list --json").done();
        desk.save(&exported);
        assert_eq!(desk.run(env!("CARGO_BIN_EXE_qcc"), &["validate", "qcc.yaml"], "").code, Some(0), "{exported}");
        let shown = |text: String| text.replace("[redacted]", "REDACTED");
        assert_eq!(shown(desk.qcc("config list --json").done()), shown(before), "{format}");
    }
    assert!(!Desk::with(CLEAR).qcc("config list").done().contains("canary"));
    Desk::with("version: 2\n").qcc("config export").failed(1, "qcc validate");
}

#[test]
fn a_path_or_everything_goes_back_to_the_defaults() {
    let desk = Desk::with(FILE);
    desk.qcc("config reset failover").failed(2, "--yes");
    desk.qcc("config reset").failed(2, "--all");
    desk.qcc("config reset nonsense --yes").failed(1, "nonsense");
    desk.qcc("config reset profiles.work.base_url --yes").failed(1, "would not be valid");
    desk.nothing("config reset queue --yes");
    assert_eq!(desk.text(), FILE);
    desk.edit("config reset failover --yes");
    assert_eq!(desk.text(), FILE.replace("failover: { cooldown: 1m }   # shorter\n", ""));
    desk.save(FILE);
    desk.edit("config reset --all --yes");
    let kept = FILE.replace("failover: { cooldown: 1m }   # shorter\nlog:\n  level: debug\n", "");
    assert_eq!(desk.text(), kept);
    desk.nothing("config reset --all --yes");
}

const OTHER: &str = "\
version: 1
log: { level: warn }
profiles:
  work: { tier: primary, base_url: https://other.example, api_key: { file: keys/other } }
  home:
    tier: fallback
    endpoints:
      - { id: one, base_url: https://one.example, api_key: sk-canary-0123456789, ca_file: one.pem }
      - { id: two, base_url: https://two.example, api_key: { env: TWO }, models: { \"claude-*\": two } }
";

#[test]
fn profiles_of_another_file_are_merged_under_names_that_are_free() {
    let desk = Desk::with(FILE);
    fs::create_dir(desk.path("team")).expect("the directory is ours");
    fs::write(desk.path("team/qcc.yaml"), OTHER).expect("the directory is ours");
    let said = desk.qcc("config import team/qcc.yaml --dry-run");
    assert!(
        said.stderr.contains("`work-2` (there: `work`)") && said.stderr.contains("only profiles are: `log`"),
        "{}",
        said.stderr
    );
    let patch = desk.edit("config import team/qcc.yaml");
    assert!(!patch.contains("canary"), "{patch}");
    let text = desk.text();
    assert!(text.starts_with(FILE), "what was there stays, with its comments: {text}");
    let json: Value = serde_json::from_str(&desk.qcc("config list --json").done()).expect("JSON");
    let profiles = &json["profiles"];
    assert_eq!(profiles["work-2"]["api_key"]["file"], "team/keys/other");
    assert_eq!(profiles["home"]["endpoints"][0]["api_key"]["env"], "HOME_ONE_KEY");
    assert_eq!(profiles["home"]["endpoints"][0]["ca_file"], "team/one.pem");
    assert_eq!(profiles["home"]["endpoints"][1]["models"]["claude-*"], "two");
    desk.nothing("config import team/qcc.yaml");
}

#[test]
fn keys_of_another_file_go_to_env_only_when_asked_for() {
    let desk = Desk::with(FILE);
    fs::write(desk.path("other.yaml"), OTHER).expect("the directory is ours");
    let said = desk.qcc("config import other.yaml --keys-to-env --json");
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("canary"), "{}", said.stderr);
    let json: Value = serde_json::from_str(&said.done()).expect("JSON");
    assert_eq!((&json["keys"][0]["env"], &json["keys"][0]["stored"]), (&"HOME_ONE_KEY".into(), &true.into()));
    assert_eq!((&json["profiles"][0]["name"], &json["left"][0]["what"]), (&"work-2".into(), &"log".into()));
    let env = fs::read_to_string(desk.path(".env")).expect("it was written");
    assert_eq!(env, "HOME_ONE_KEY=sk-canary-0123456789\n");
    desk.nothing("config import other.yaml --keys-to-env");
    desk.save("version: 2\n");
    fs::write(desk.path("other.yaml"), "version: 3\n").expect("the directory is ours");
    desk.qcc("config import other.yaml").failed(1, "qcc validate other.yaml");
}
