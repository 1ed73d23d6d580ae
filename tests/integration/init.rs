//! `qcc init` as it is typed, in an environment of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const CANARY: &str = "sk-ant-canary-0123456789";

/// A home with a project in it, and nothing else in the environment.
struct Desk {
    root: TempDir,
}

/// What a command said and did.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(root.path().join("project")).expect("creates");
        Self { root }
    }

    fn project(&self) -> std::path::PathBuf {
        self.root.path().join("project")
    }

    fn settings(&self, text: &str) {
        let directory = self.root.path().join(".claude");
        fs::create_dir_all(&directory).expect("creates");
        fs::write(directory.join("settings.json"), text).expect("writes");
    }

    fn qcc(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qcc"));
        command.env_clear().env("HOME", self.root.path()).envs(env.iter().copied());
        command.current_dir(self.project()).args(args).stdin(Stdio::null());
        let output = command.output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("qcc speaks UTF-8");
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).unwrap_or_default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[test]
fn init_writes_a_file_that_validates_and_never_overwrites_it() {
    let desk = Desk::new();
    let said = desk.qcc(&["init"], &[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    assert!(said.stderr.contains("qcc proxy start"), "{}", said.stderr);
    assert!(said.stderr.contains("export ANTHROPIC_API_KEY=..."), "the key is missing: {}", said.stderr);
    let said = desk.qcc(&["validate", "--deny-warnings", "qcc.yaml"], &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);

    fs::write(desk.project().join("qcc.yaml"), "# mine").expect("writes");
    let said = desk.qcc(&["init", "--yes"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("exists"), "{}", said.stderr);
    assert_eq!(desk.read("qcc.yaml"), "# mine");
}

#[test]
fn init_writes_where_it_is_told() {
    let desk = Desk::new();
    fs::create_dir(desk.project().join("deploy")).expect("creates");
    for (args, env, file) in [
        (["init", "a.yaml"].as_slice(), [].as_slice(), "a.yaml"),
        (&["init", "-c", "b.yaml"], &[], "b.yaml"),
        (&["init"], &[("QCC_CONFIG", "c.yaml")], "c.yaml"),
        (&["init", "deploy"], &[], "deploy/qcc.yaml"),
    ] {
        assert_eq!(desk.qcc(args, env).code, Some(0), "{args:?}");
        assert!(desk.read(file).contains("profiles:"), "{file}");
    }
    let said = desk.qcc(&["init", "missing/qcc.yaml"], &[]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("there is no directory"), "{}", said.stderr);
}

#[test]
fn the_schema_beside_a_new_file_is_the_one_qcc_prints() {
    let desk = Desk::new();
    assert_eq!(desk.qcc(&["init"], &[]).code, Some(0));
    assert!(desk.read("qcc.yaml").starts_with("# yaml-language-server: $schema=./qcc.schema.json\n"));
    assert_eq!(desk.read("qcc.schema.json"), desk.qcc(&["schema"], &[]).stdout);
}

#[test]
fn without_a_terminal_nothing_is_taken_over_unless_yes_is_said() {
    let desk = Desk::new();
    desk.settings(&format!(
        r#"{{"env":{{"ANTHROPIC_AUTH_TOKEN":"{CANARY}","ANTHROPIC_BASE_URL":"https://relay.example"}}}}"#
    ));
    let said = desk.qcc(&["init"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("ANTHROPIC_AUTH_TOKEN") && said.stderr.contains("--yes"), "{}", said.stderr);
    assert!(!said.stderr.contains(CANARY) && !desk.project().join(".env").exists());
    assert!(!desk.read("qcc.yaml").contains("relay.example"));
}

#[test]
fn keys_in_settings_move_into_a_private_ignored_env_file() {
    let desk = Desk::new();
    desk.settings(&format!(
        r#"{{"env":{{"ANTHROPIC_AUTH_TOKEN":"{CANARY}","ANTHROPIC_BASE_URL":"https://relay.example"}}}}"#
    ));
    let said = desk.qcc(&["init", "--yes"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let file = desk.read("qcc.yaml");
    assert!(file.contains("https://relay.example") && file.contains("auth: bearer"), "{file}");
    assert!(!file.contains(CANARY) && !said.stderr.contains(CANARY) && !said.stdout.contains(CANARY));
    assert_eq!(desk.read(".env"), format!("QCC_ANTHROPIC_AUTH_TOKEN={CANARY}\n"));
    assert_eq!(mode(&desk.project().join(".env")), 0o600);
    assert_eq!(desk.read(".gitignore"), ".env\n");
    assert!(said.stderr.contains("prefers the ANTHROPIC_BASE_URL"), "{}", said.stderr);

    let said = desk.qcc(&["validate", "--resolve", "qcc.yaml"], &[]);
    assert_eq!(said.code, Some(0), "the proxy would find the key: {}{}", said.stdout, said.stderr);
}

#[test]
fn a_repository_that_is_made_later_does_not_take_the_keys_in() {
    let desk = Desk::new();
    desk.settings(&format!(r#"{{"env":{{"ANTHROPIC_AUTH_TOKEN":"{CANARY}"}}}}"#));
    desk.qcc(&["init", "--yes"], &[]);
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(desk.project()).output().expect("git runs");
        String::from_utf8(output.stdout).expect("git speaks UTF-8")
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    let taken = git(&["ls-files"]);
    assert!(taken.contains("qcc.yaml") && !taken.contains(".env"), "{taken}");

    git(&["add", "-f", ".env"]);
    fs::remove_file(desk.project().join("qcc.yaml")).expect("the file is ours");
    desk.settings(&format!(r#"{{"env":{{"ANTHROPIC_AUTH_TOKEN":"{CANARY}-new"}}}}"#));
    let said = desk.qcc(&["init", "--yes"], &[("PATH", "/usr/bin:/bin")]);
    assert!(said.stderr.contains("git tracks `.env` already"), "{}", said.stderr);
}

#[test]
fn keys_of_the_environment_are_referred_to() {
    let desk = Desk::new();
    let env = [("ANTHROPIC_AUTH_TOKEN", CANARY), ("ANTHROPIC_BASE_URL", "https://api.z.ai/api/anthropic")];
    let said = desk.qcc(&["init", "--yes"], &env);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let file = desk.read("qcc.yaml");
    assert!(
        file.contains("{ env: ANTHROPIC_AUTH_TOKEN }") && file.contains("https://api.z.ai/api/anthropic"),
        "{file}"
    );
    assert!(!file.contains(CANARY) && !said.stderr.contains(CANARY) && !desk.project().join(".env").exists());
}
