//! The editing commands as they are typed: what they print is what git would do, and what they write is what was asked.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::config::{KEYS, in_order, key};
use crate::support::{Desk, Proxy, Request, Upstream, file};

const FILE: &str = "\
# Ours.
version: 1
profiles:
  # Pays for itself.
  work:
    tier: primary   # for now
    base_url: https://api.anthropic.com
    api_key: { env: WORK_KEY }
  team:
    endpoints:
      # The first.
      - { id: one, base_url: https://api.anthropic.com, api_key: { env: ONE_KEY } }
      # The second.
      - { id: two, base_url: https://api.anthropic.com, api_key: { env: TWO_KEY } }   # spare
";

#[test]
fn a_profile_is_added_renamed_made_the_default_and_removed() {
    let desk = Desk::with(FILE);
    let patch =
        desk.edit("add home --description 'At home' --tier fallback --url https://x.example --key-file key.txt");
    assert!(patch.starts_with("--- a/deploy/qcc.yaml\n+++ b/deploy/qcc.yaml\n"), "{patch}");
    let added: Vec<&str> = patch.lines().filter(|line| line.starts_with("+ ")).collect();
    assert_eq!(added[..3], ["+  home:", "+    description: At home", "+    tier: fallback"], "{patch}");
    desk.edit("default home");
    desk.nothing("default home");
    desk.edit("rename home house");
    assert!(desk.text().contains("default: house"), "{}", desk.text());
    desk.edit("remove house --yes");
    assert_eq!(desk.text(), FILE);
}

#[test]
fn a_profile_is_not_removed_without_a_yes() {
    let desk = Desk::with(FILE);
    desk.qcc("remove work").failed(2, "--yes");
    desk.qcc("endpoint remove two").failed(2, "--yes");
    assert_eq!(desk.text(), FILE);
    assert!(desk.qcc("remove work --dry-run").done().contains("-  work:"));
}

#[test]
fn a_refusal_says_why_and_changes_nothing() {
    let desk = Desk::with(FILE);
    for (line, code, words) in [
        ("add work", 1, "there is a `profiles.work` already"),
        ("add x --key-env X", 2, "--url"),
        ("add x --url https://x.example", 1, "would not be valid"),
        ("default nobody", 1, "no profile `nobody`; profiles: work, team"),
        ("rename work team", 1, "already"),
        ("rename nobody x", 1, "no profile `nobody`"),
        ("remove nobody --yes", 1, "no profile `nobody`"),
        ("list --config nowhere.yaml", 2, "nowhere.yaml"),
    ] {
        desk.qcc(line).failed(code, words);
    }
    assert_eq!(desk.qcc("add x --url https://x.example --key sk-canary").code, Some(2), "no flag takes a key");
    assert_eq!(desk.text(), FILE);
}

#[test]
fn the_patch_and_a_document_can_be_had() {
    let desk = Desk::with(FILE);
    let json: Value = serde_json::from_str(&desk.qcc("add x --json --patch-out x.patch").done()).expect("JSON");
    assert_eq!((&json["changed"], &json["written"]), (&Value::Bool(true), &Value::Bool(true)));
    let patch = fs::read_to_string(desk.path("x.patch")).expect("it was written");
    assert_eq!(json["diff"], patch.as_str());
    let codes: Vec<&Value> = json["warnings"].as_array().expect("a list").iter().map(|each| &each["code"]).collect();
    assert_eq!(codes.len(), 1, "a profile without endpoints is a warning: {json:#}");
    let reverse = desk.run("git", &["-C", "..", "apply", "-R", "-"], &patch);
    assert_eq!((reverse.code, desk.text().as_str()), (Some(0), FILE), "{}", reverse.stderr);
}

#[test]
fn profiles_are_listed() {
    let desk = Desk::with(FILE);
    let text = desk.qcc("list").done();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1..], [vec!["work", "primary", "1"], vec!["team", "-", "2"]]);
    let json: Value = serde_json::from_str(&desk.qcc("list --json").done()).expect("JSON");
    assert_eq!(json["profiles"][0]["tier"], "primary");
    desk.save("version: 2\n");
    desk.qcc("list").failed(1, "qcc validate");
}

#[test]
fn a_key_in_clear_is_blanked_in_the_patch_unless_asked_for() {
    let clear = FILE.replace("{ env: WORK_KEY }", "sk-canary-1");
    let desk = Desk::with(&clear);
    let said = desk.qcc("endpoint add team -f work --dry-run");
    assert!(!said.stdout.contains("canary") && said.stderr.contains("--show-secrets"), "{}", said.stdout);
    desk.qcc("endpoint add team -f work --patch-out x.patch").failed(1, "--show-secrets");
    assert_eq!(desk.text(), clear);
    desk.edit("endpoint add team -f work --show-secrets");
    assert!(!desk.qcc("endpoint list").done().contains("canary"));
}

#[test]
fn the_same_endpoint_is_updated_and_a_taken_id_gives_way() {
    let desk = Desk::with(FILE);
    desk.edit("endpoint add team -f work -w 5");
    assert!(
        desk.text().contains("id: work, base_url: https://api.anthropic.com, api_key: { env: WORK_KEY }, weight: 5")
    );
    desk.nothing("endpoint add team -f work");
    desk.edit("endpoint add team -f work -w 7 --model claude-*=small");
    assert!(desk.text().contains("weight: 7, models: "), "{}", desk.text());
    desk.edit("add other --url https://x.example --key-env X");
    desk.edit("rename work was");
    desk.edit("rename other work");
    desk.edit("endpoint add team -f work");
    assert!(desk.text().contains("id: work-work, base_url: https://x.example"), "{}", desk.text());
    desk.edit("endpoint add work -f team");
    let listed = desk.qcc("endpoint list work").done();
    let rows = listed.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(rows.count(), 5, "its own became the first of a list, and one of the four is it: {listed}");
}

#[test]
fn an_endpoint_is_added_by_address() {
    let desk = Desk::with(FILE);
    desk.edit(
        "endpoint add team --url https://api.z.ai/api/anthropic --key-command 'op read op://x/y' --auth bearer -p 2",
    );
    let json: Value = serde_json::from_str(&desk.qcc("endpoint list team --json").done()).expect("JSON");
    let added = &json["endpoints"][2];
    assert_eq!((&added["id"], &added["key"]), (&Value::from("z.ai"), &Value::from("command op")));
    assert_eq!((&added["auth"], &added["priority"]), (&Value::from("bearer"), &Value::from(2)));
    assert!(
        desk.text().contains("command: [op, read, \"op://x/y\"]")
            || desk.text().contains("command: [op, read, op://x/y]")
    );
    desk.edit("endpoint add team --url https://api.z.ai/api/anthropic --key-env OTHER --id other");
    desk.qcc("endpoint add team --url https://q.example --key-env OTHER --id other")
        .failed(1, "endpoint set team/other");
    desk.qcc("endpoint add team").failed(2, "--from-profile");
    desk.qcc("endpoint add nobody -f work").failed(1, "no profile `nobody`");
}

#[test]
fn an_endpoint_is_changed_moved_switched_and_removed_with_its_comments() {
    let desk = Desk::with(FILE);
    let patch = desk.edit("endpoint set two -w 5 --key-file two.key");
    assert!(
        patch.contains(
            "+      - { id: two, base_url: https://api.anthropic.com, api_key: { file: two.key }, weight: 5 }   # spare"
        ),
        "{patch}"
    );
    desk.save(FILE);
    desk.edit("endpoint set work/work -p 3");
    assert!(desk.text().contains("    priority: 3\n"), "a shorthand is changed at the profile: {}", desk.text());
    desk.edit("endpoint disable work");
    desk.nothing("endpoint disable work");
    assert!(desk.qcc("endpoint list work").done().lines().nth(1).is_some_and(|line| line.contains("disabled")));
    desk.edit("endpoint enable work");
    desk.nothing("endpoint enable work");
    desk.save(FILE);
    for line in ["endpoint move two --to 1", "endpoint move one --after two"] {
        desk.save(FILE);
        desk.edit(line);
        let text = desk.text();
        assert!(text.find("# The second.") < text.find("id: two"), "{text}");
        assert!(text.find("id: two") < text.find("# The first."), "{text}");
    }
    desk.nothing("endpoint move team/one --after two");
    desk.edit("endpoint remove team/two --yes");
    assert!(!desk.text().contains("second") && desk.text().contains("# The first."));
    desk.qcc("endpoint remove work/work --yes").failed(1, "qcc remove work");
    desk.qcc("endpoint set nobody -w 1").failed(1, "endpoints: work/work, team/one");
    desk.qcc("endpoint set one").failed(2, "say what to set");
    desk.qcc("endpoint move one --before nobody").failed(1, "no other endpoint `nobody`");
}

#[test]
fn a_name_that_two_endpoints_have_is_refused() {
    let desk = Desk::with(FILE);
    desk.edit("endpoint add team -f work");
    desk.qcc("endpoint disable work").failed(1, "work/work, team/work");
    desk.edit("endpoint disable team/work");
}

#[tokio::test]
async fn an_edit_reaches_a_running_proxy() {
    let (first, second) = (Upstream::serving().await, Upstream::serving().await);
    let proxy = Proxy::start(&file(&[in_order([first.url()])])).await;
    assert!(KEYS.contains('B'), "the proxy finds KEY_B in its environment");
    let path = proxy.path.display().to_string();
    let url = second.url();
    let args = ["-c", &path, "endpoint", "add", "production", "--url", &url, "--key-env", "KEY_B", "--id", "b"];
    let edited = Command::new(env!("CARGO_BIN_EXE_qcc")).args(args).output().expect("the binary runs");
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    proxy.wait_log("reloaded").await;
    let moved = Command::new(env!("CARGO_BIN_EXE_qcc"))
        .args(["-c", &path, "endpoint", "move", "b", "--to", "1"])
        .output()
        .expect("the binary runs");
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    proxy.wait_log_times("reloaded", 2).await;
    proxy.send(&Request::unary()).await.assert_served();
    assert_eq!((first.count(), second.only().values("x-api-key")), (0, vec![key("b").as_str()]));
}

#[test]
fn the_chain_is_ordered_and_its_policy_set() {
    let desk = Desk::with(FILE);
    desk.edit("priority set team secondary");
    desk.nothing("priority set team secondary");
    desk.edit("priority policy --no-auto-recovery --failure-threshold 5 --cooldown 90");
    assert!(desk.text().contains("auto_recovery: false"), "{}", desk.text());
    desk.nothing("priority policy --cooldown 1m30s");
    let listed = desk.qcc("priority list").done();
    let words: Vec<&str> = listed.split_whitespace().collect();
    let tiers = ["primary", "work", "secondary", "team", "fallback", "-"];
    let policy = ["auto-failover", "on", "auto-recovery", "off", "failure-threshold", "5", "cooldown", "1m30s"];
    assert_eq!(words, [tiers.as_slice(), policy.as_slice()].concat());
    assert!(listed.ends_with(&desk.qcc("priority policy").done()));
    let json: Value = serde_json::from_str(&desk.qcc("priority list --json").done()).expect("JSON");
    assert_eq!(json["tiers"]["secondary"][0], "team");
    assert_eq!(json["policy"]["failure_threshold"], 5);
    desk.edit("priority set team none");
    desk.nothing("priority set team none");
    desk.qcc("priority set nobody primary").failed(1, "no profile `nobody`");
    desk.qcc("priority policy --failure-threshold 0").failed(1, "failover.failure_threshold");
    assert_eq!(desk.qcc("priority policy --cooldown soon").code, Some(2));
}

#[test]
fn checks_and_the_queue_are_set_by_flags_and_shown_without() {
    let desk = Desk::with(FILE);
    desk.edit("health config --disable --interval 30 --recovery-interval 5s --timeout 10s --probe models");
    desk.edit("health config --enable --disable-weight-adjustment --min-checks 5 --model small");
    let shown = desk.qcc("health config").done();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let times = ["enabled", "on", "interval", "30s", "recovery-interval", "5s", "timeout", "10s", "probe", "models"];
    assert_eq!(words, [times.as_slice(), &["model", "small", "adjust-weights", "off", "min-checks", "5"]].concat());
    desk.nothing("health config --interval 30s --disable-weight-adjustment");
    for both in ["health config --enable --disable", "queue config --reuse --no-reuse"] {
        desk.qcc(both).failed(2, "cannot be used with");
    }
    desk.edit("queue config --disable --hold 0 --strategy fixed --base 2s --max-delay 1m --max-retries 0 --no-reuse");
    desk.edit("queue config --enable --keep 1h --max-entries 10 --reuse");
    let json: Value = serde_json::from_str(&desk.qcc("queue config --json").done()).expect("JSON");
    let values =
        ["enabled", "hold", "strategy", "max_retries", "keep", "max_entries", "reuse"].map(|key| json[key].clone());
    let expected = serde_json::json!([true, "0s", "fixed", 0, "1h", 10, true]);
    assert_eq!(Value::from(values.to_vec()), expected);
    assert!(desk.text().starts_with(FILE.trim_end()), "{}", desk.text());
    desk.qcc("queue config --strategy sometimes").failed(2, "exponential, fixed, immediate");
    desk.qcc("health config --min-checks 0").failed(1, "health.min_checks");
}

#[test]
fn single_values_are_read_and_changed_by_their_path() {
    let desk = Desk::with(FILE);
    assert_eq!(desk.qcc("config get profiles.team.endpoints[two].weight").done(), "100\n", "the default");
    desk.edit("config set profiles.team.endpoints[two].weight 7");
    assert_eq!(desk.qcc("config get profiles.team.endpoints[two].weight").done(), "7\n");
    desk.nothing("config set profiles.team.endpoints[two].weight 7");
    desk.edit("config unset profiles.team.endpoints[two].weight");
    assert_eq!(desk.text(), FILE);
    desk.edit("config set profiles.work.description 5");
    assert_eq!(desk.qcc("config get profiles.work.description").done(), "5\n", "a text, because it has to be one");
    desk.edit("config set profiles.work.api_key '{ file: key.txt }'");
    assert!(desk.qcc("config list profiles.work").done().contains("profiles.work.api_key.file = \"key.txt\"\n"));
    let before = desk.text();
    for (line, code, words) in [
        ("config set profiles.work.api_key sk-canary-1", 1, "reference"),
        ("config set profiles.work.wieght 5", 1, "weight"),
        ("config set profiles.taem.endpoints[two].weight 5", 1, "did you mean `profiles.team"),
        ("config unset failover.cooldown", 1, "its default holds already"),
        ("config unset failover.coldown", 1, "did you mean `failover.cooldown`?"),
        ("config get nothing.at.all", 1, "`nothing.at.all`"),
        ("config get failover.coldown", 1, "did you mean `failover.cooldown`?"),
        ("config get profiles.team.endpoints[twoo].weight", 1, "did you mean `profiles.team.endpoints[two]`?"),
        ("config set failovr.cooldown 5m", 1, "failover"),
        ("config unset profiles.team.endpoints[twoo].weight", 1, "did you mean `profiles.team.endpoints[two]`?"),
        ("config get a..b", 2, "not a path"),
    ] {
        let said = desk.qcc(line);
        said.failed(code, words);
        assert!(!said.stderr.contains("canary"), "{}", said.stderr);
    }
    assert_eq!(desk.text(), before);
}
