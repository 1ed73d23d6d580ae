//! What a shell is told when Tab is pressed, and the manual pages.

use std::fs;

use crate::support::Desk;

const FILE: &str = "\
version: 1
profiles:
  production:
    endpoints:
      - { id: work, base_url: https://a.example, api_key: { env: A } }
      - { id: home, base_url: https://a.example, api_key: { env: B } }
  backup: {}
";

/// What bash offers for the last of these words.
fn offered(desk: &Desk, words: &[&str]) -> Vec<String> {
    let mut command = desk.command(env!("CARGO_BIN_EXE_qcc"));
    let index = words.len().to_string();
    command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", index);
    command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "false");
    let output = command.args(["--", "qcc"]).args(words).output().expect("the binary runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn names_come_from_the_file_and_values_from_the_schema() {
    let desk = Desk::with(FILE);
    assert_eq!(offered(&desk, &["remove", "pro"]), ["production"]);
    assert_eq!(offered(&desk, &["endpoint", "disable", "production/"]), ["production/work", "production/home"]);
    assert_eq!(offered(&desk, &["endpoint", "add", "backup", "-f", "p"]), ["production"]);
    assert_eq!(offered(&desk, &["priority", "set", "backup", "f"]), ["fallback"]);
    assert_eq!(offered(&desk, &["config", "get", "failover.c"]), ["failover.cooldown"]);
    assert_eq!(offered(&desk, &["config", "set", "profiles.production.endpoints[work].auth", "b"]), ["bearer"]);
    assert_eq!(offered(&desk, &["queue", "config", "--strategy", "f"]), ["fixed"]);
    fs::rename(desk.file(), desk.path("other.yaml")).expect("the directory is ours");
    assert_eq!(offered(&desk, &["remove", "pro"]), [""; 0], "no file, nothing to offer, nothing to say");
    assert_eq!(offered(&desk, &["-c", "other.yaml", "remove", "pro"]), ["production"]);
}

#[test]
fn commands_and_options_are_offered_in_their_order() {
    let desk = Desk::with(FILE);
    assert_eq!(offered(&desk, &["help", "endpoint", "a"]), ["add"]);
    assert_eq!(offered(&desk, &["endpoint", "help", "a"]), ["add"]);
    assert_eq!(offered(&desk, &["list", "--"]), ["--json", "--config", "--help", "--version"]);
}

#[test]
fn every_shell_gets_a_script() {
    let desk = Desk::with(FILE);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = desk.qcc(&format!("completions {shell}")).done();
        assert!(script.contains("COMPLETE") && script.contains("qcc"), "{script}");
    }
    desk.qcc("completions csh").failed(2, "bash");
    let asked =
        desk.run("bash", &["-c", "source <(\"$0\" completions bash); complete -p qcc", env!("CARGO_BIN_EXE_qcc")], "");
    assert!(asked.done().contains("-F _clap_complete_qcc"));
}

#[test]
fn every_command_has_a_page() {
    let desk = Desk::with(FILE);
    assert!(desk.qcc("man").done().starts_with(".ie"));
    desk.qcc("man pages").done();
    let page = |name: &str| fs::read_to_string(desk.path("pages").join(name)).unwrap_or_default();
    assert!(page("qcc.1").contains("qcc\\-use(1)"));
    assert!(page("qcc-endpoint-add.1").contains("from\\-profile"));
}
