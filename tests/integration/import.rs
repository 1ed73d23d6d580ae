//! `qcc import` as it is typed: what another tool was set up with becomes profiles, and no key is seen on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::desk::{Desk, Said};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)
}

/// A desk whose home has these files of other tools.
fn desk(files: &[(&str, &str)]) -> Desk {
    let desk = Desk::empty();
    for (name, from) in files {
        let path = desk.home(name);
        fs::create_dir_all(path.parent().expect("it is in the home")).expect("the directory is ours");
        fs::copy(fixture(from), path).expect("the fixture is there");
    }
    desk
}

const OLD: [(&str, &str); 2] = [(".fastcc/cache.json", "qcc/cache.json"), (".qcc/priority.json", "qcc/priority.json")];
const CLAUDE: (&str, &str) = (".claude/settings.json", "claude/settings.json");

/// It ended well, and showed no key.
fn done(said: Said) -> (String, String) {
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("canary"), "{}{}", said.stdout, said.stderr);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    (said.stdout, said.stderr)
}

fn golden(name: &str) -> String {
    fs::read_to_string(fixture(name).join("golden.yaml")).expect("the golden result")
}

#[test]
fn the_files_of_every_tool_make_a_file_that_validates() {
    for (name, file) in [
        ("claude", "settings.json"),
        ("litellm", "config.yaml"),
        ("claude-code-router", "config.json"),
        ("cc-switch", "config.json"),
        ("cc-switch-sql", "export.sql"),
    ] {
        let desk = Desk::empty();
        let line = format!("import {}", fixture(name).join(file).display());
        let (text, talk) = done(desk.qcc(&format!("{line} --dry-run")));
        assert!(!desk.file().exists(), "{name}: a rehearsal writes nothing");
        assert!(text.ends_with(golden(name).trim_start_matches("version: 1\n")), "{name}: {text}");
        assert!(talk.contains("Not carried over"), "{name}: {talk}");
        assert_eq!(done(desk.qcc(&line)).0, text);
        assert_eq!(desk.text(), text);
        desk.qcc("validate --deny-warnings qcc.yaml").done();
        assert!(!desk.path(".env").exists(), "{name}: nobody said that keys may go there");
    }
}

#[test]
fn without_a_file_the_tool_is_found_where_it_keeps_its_own() {
    let desk = desk(&OLD);
    let (text, talk) = done(desk.qcc("import"));
    assert!(text.ends_with(golden("qcc").trim_start_matches("version: 1\n")), "{text}");
    assert!(talk.contains("cache.json") && talk.contains("priority.json"), "{talk}");
    let listed: Value = serde_json::from_str(&desk.qcc("list --json").done()).expect("JSON");
    let tiers: Vec<&Value> = listed["profiles"].as_array().expect("a list").iter().map(|each| &each["tier"]).collect();
    assert_eq!(tiers, ["primary", "secondary"]);
    assert_eq!(listed["profiles"][0]["default"], true);
}

#[test]
fn of_several_tools_one_is_to_be_named() {
    let desk = desk(&[OLD[0], CLAUDE]);
    desk.qcc("import").failed(2, "--from: qcc, claude");
    assert!(done(desk.qcc("import --from claude --dry-run")).0.contains("open.bigmodel.cn"));
    desk.qcc("import --from litellm").failed(1, "litellm_config.yaml");
    Desk::empty().qcc("import").failed(1, ".claude/settings.json");
}

#[test]
fn what_is_no_file_of_a_tool_is_refused_with_what_to_do() {
    let desk = Desk::with("version: 1\nprofiles: {}\n");
    for (name, text, words) in [
        ("x.json", "{\"key\": \"sk-canary-1\"", "it is not JSON (line 1"),
        ("x.yaml", "version: 1\nprofiles: {}\n", "qcc config import"),
        ("y.yaml", "a: 1\n", "of no tool that is known"),
    ] {
        fs::write(desk.path(name), text).expect("the directory is ours");
        desk.qcc(&format!("import {name}")).failed(2, words);
    }
    desk.qcc("import nowhere.json").failed(2, "nowhere.json");
    fs::create_dir_all(desk.home(".cc-switch")).expect("the directory is ours");
    fs::write(desk.home(".cc-switch/cc-switch.db"), "").expect("the directory is ours");
    desk.qcc("import --from cc-switch").failed(2, "export them in its settings");
    fs::write(desk.path("none.json"), "{\"Providers\": []}").expect("the directory is ours");
    let said = desk.qcc("import none.json");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert_eq!(desk.text(), "version: 1\nprofiles: {}\n");
}

#[test]
fn keys_go_into_a_private_ignored_env_file_when_asked_for() {
    let desk = desk(&OLD);
    let rehearsed = done(desk.qcc("import --keys-to-env --dry-run"));
    assert!(!desk.path(".env").exists() && rehearsed.1.contains("PRODUCTION_WORK_KEY"), "{}", rehearsed.1);
    done(desk.qcc("import --keys-to-env"));
    let env = fs::read_to_string(desk.path(".env")).expect("it was written");
    assert!(env.contains("PRODUCTION_WORK_KEY=sk-ant-canary-work\nPRODUCTION_GLM_KEY=canary.glm\n"), "{env}");
    let mode = fs::metadata(desk.path(".env")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(desk.path(".gitignore")).expect("it was written"), ".env\n");
    assert!(!desk.text().contains("canary"));
    desk.qcc("validate --resolve --deny-warnings qcc.yaml").done();
    let before = desk.text();
    assert!(done(desk.qcc("import --keys-to-env")).1.contains("Nothing to change"));
    assert_eq!((desk.text(), fs::read_to_string(desk.path(".env")).expect("it is there")), (before, env));
}

const FILE: &str = "\
# Ours.
version: 1
profiles:
  # Pays for itself.
  claude: { tier: primary, base_url: https://api.anthropic.com, api_key: { env: WORK_KEY } }   # for now
";

#[test]
fn an_existing_file_gets_a_patch_and_keeps_what_it_says() {
    let desk = desk(&[CLAUDE]);
    desk.save(FILE);
    let patch = desk.edit("import");
    assert!(patch.starts_with("--- a/deploy/qcc.yaml\n") && patch.contains("+  claude-2:"), "{patch}");
    assert!(desk.text().starts_with(FILE) && !desk.text().contains("canary"), "{}", desk.text());
    desk.nothing("import");
}

#[test]
fn a_new_file_can_be_had_as_a_patch_and_everything_as_a_document() {
    let desk = desk(&OLD);
    let said = desk.qcc("import --json --dry-run --patch-out new.patch");
    let json: Value = serde_json::from_str(&done(said).0).expect("JSON");
    assert_eq!((&json["tool"], &json["changed"], &json["written"]), (&"qcc".into(), &true.into(), &false.into()));
    assert_eq!(json["profiles"][1]["from"], "backup plan");
    assert_eq!(json["profiles"][1]["name"], "backup-plan");
    assert_eq!(json["keys"][0]["env"], "PRODUCTION_WORK_KEY");
    let left = fs::read_to_string(fixture("qcc/left.txt")).expect("the golden result");
    assert_eq!(json["left"].as_array().expect("a list").len(), left.lines().count());
    let applied = desk.run("git", &["-C", "..", "apply", "deploy/new.patch"], "");
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(desk.text().ends_with(golden("qcc").trim_start_matches("version: 1\n")));
}
