//! `qcc validate` and `qcc schema` as they are typed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str =
    "version: 1\nprofiles:\n  p: { tier: primary, base_url: 'https://a.example', api_key: { env: A_KEY } }\n";
const DOUBTFUL: &str = "version: 1\n";
const BAD: &str = "version: 1\n服务器: 1\nserver: { 说明: 中文, listn: x }\n";

/// A directory with a `qcc.yaml`, and nothing in the environment.
struct Desk {
    root: TempDir,
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new(text: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::write(root.path().join("qcc.yaml"), text).expect("can be written");
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("can be written");
    }

    fn qcc(&self, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qcc"));
        command.env_clear().envs(env.iter().copied()).current_dir(self.root.path()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut input = child.stdin.take().expect("standard input is piped");
        // It need not be read.
        let _ = input.write_all(stdin.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("the binary ends");
        let text = |bytes| String::from_utf8(bytes).expect("qcc speaks UTF-8");
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn validate(&self, args: &[&str]) -> Said {
        self.qcc(&[&["validate"], args].concat(), &[], "")
    }

    fn json(&self, args: &[&str]) -> Value {
        let said = self.validate(args);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", said.stdout, said.stderr))
    }
}

#[test]
fn the_exit_code_says_valid_invalid_or_unreadable() {
    for (text, args, code) in [
        (GOOD, ["qcc.yaml"].as_slice(), 0),
        (DOUBTFUL, &["qcc.yaml"], 0),
        (DOUBTFUL, &["--deny-warnings", "qcc.yaml"], 1),
        (BAD, &["qcc.yaml"], 1),
        (GOOD, &["missing.yaml"], 2),
        (BAD, &["qcc.yaml", "."], 2),
        (GOOD, &["qcc.yaml", "qcc.yaml"], 0),
        (GOOD, &["--format", "nonsense"], 2),
    ] {
        let said = Desk::new(text).validate(args);
        assert_eq!(said.code, Some(code), "{args:?}\n{}{}", said.stdout, said.stderr);
    }
}

#[test]
fn people_get_an_excerpt_and_one_line_per_file() {
    let said = Desk::new(GOOD).validate(&[]);
    assert!(said.stdout.ends_with("qcc.yaml: valid, 1 profile, 1 endpoint\n"), "{}", said.stdout);
    assert_eq!(said.stderr, "");

    let said = Desk::new(BAD).validate(&["qcc.yaml"]);
    let excerpt = "\
error[unknown-key]: `listn` is not a key of `server`
 --> qcc.yaml:3:19
  |
2 | 服务器: 1
3 | server: { 说明: 中文, listn: x }
  |                       ^^^^^
  |
  = help: did you mean `listen`?
";
    assert!(said.stdout.contains(excerpt), "{}", said.stdout);
    assert!(said.stdout.ends_with("\nqcc.yaml: invalid, 3 errors, 1 warning\n"), "{}", said.stdout);
    assert!(!said.stdout.contains('\u{1b}'), "colour without a terminal");
}

#[test]
fn a_file_with_denied_warnings_is_called_invalid() {
    let desk = Desk::new(DOUBTFUL);
    let said = desk.validate(&["--deny-warnings", "qcc.yaml"]);
    assert!(said.stdout.contains("\nqcc.yaml: invalid, "), "{}", said.stdout);
    for (args, valid) in [(["--format", "json"].as_slice(), true), (&["--format", "json", "--deny-warnings"], false)] {
        let found = desk.json(args);
        assert_eq!((&found["valid"], &found["files"][0]["valid"]), (&Value::from(valid), &Value::from(valid)));
    }
}

#[test]
fn the_file_is_found_named_or_piped() {
    let desk = Desk::new(BAD);
    desk.write("other.yaml", GOOD);
    fs::create_dir_all(desk.path("deep/er")).expect("can be created");
    assert_eq!(desk.validate(&[]).code, Some(1));
    assert_eq!(desk.qcc(&["-c", "other.yaml", "validate"], &[], "").code, Some(0));
    assert_eq!(desk.qcc(&["validate"], &[("QCC_CONFIG", "other.yaml")], "").code, Some(0));
    assert_eq!(desk.qcc(&["validate"], &[("QCC_CONFIG", "")], "").code, Some(1), "empty is not set");
    let said = desk.qcc(&["validate", "-"], &[], GOOD);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "<stdin>: valid, 1 profile, 1 endpoint\n"));
    assert_eq!(desk.qcc(&["validate", "-"], &[], BAD).code, Some(1));

    fs::remove_file(desk.path("qcc.yaml")).expect("can be removed");
    let said = desk.validate(&[]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("qcc init") && said.stdout.is_empty(), "{}{}", said.stdout, said.stderr);
}

#[test]
fn resolve_looks_for_what_the_file_refers_to_and_runs_nothing() {
    let text = "version: 1\nserver: { tls: { cert: missing.pem, key: { file: key } } }\nprofiles:\n  p:\n    tier: primary\n    endpoints:\n      \
                - { id: a, base_url: 'https://a.example', api_key: { env: A_KEY } }\n      \
                - { id: b, base_url: 'https://a.example', api_key: { env: B_KEY } }\n      \
                - { id: c, base_url: 'https://a.example', api_key: { env: C_KEY } }\n      \
                - { id: d, base_url: 'https://a.example', api_key: { command: [touch, ran] } }\n";
    let desk = Desk::new(text);
    desk.write("key", "canary");
    desk.write(".env", "# comment\nexport B_KEY='canary'\nC_KEY=\n");
    fs::set_permissions(desk.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
    assert_eq!(desk.validate(&[]).code, Some(0));
    let said = desk.qcc(&["validate", "--resolve", "--format", "json"], &[("A_KEY", "canary")], "");
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    let value: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let found = value["files"][0]["diagnostics"].as_array().expect("a list");
    let paths: Vec<&str> = found.iter().filter_map(|diagnostic| diagnostic["path"].as_str()).collect();
    assert_eq!(paths, ["server.tls.cert", "profiles.p.endpoints[c].api_key.env"]);
    assert!(!said.stdout.contains("canary") && !desk.path("ran").exists());
}

#[test]
fn json_tells_every_diagnostic() {
    let value = Desk::new(BAD).json(&["--format", "json", "qcc.yaml"]);
    assert_eq!(value["valid"], false);
    let file = &value["files"][0];
    assert_eq!((&file["errors"], &file["warnings"]), (&Value::from(3), &Value::from(1)));
    let last = file["diagnostics"].as_array().and_then(|all| all.last()).expect("there are some");
    assert_eq!((&last["code"], &last["line"], &last["column"]), (&"unknown-key".into(), &3.into(), &19.into()));
    assert_eq!((&last["path"], &last["severity"]), (&"server.listn".into(), &"error".into()));
    let span = last["span"].as_array().expect("a span");
    let at = |n: usize| usize::try_from(span[n].as_u64().expect("a number")).expect("fits");
    assert_eq!(&BAD[at(0)..at(1)], "listn");
}

#[test]
fn github_commands_are_one_line_each() {
    let said = Desk::new(BAD).validate(&["--format", "github", "qcc.yaml"]);
    assert_eq!(said.stdout.lines().count(), 4, "{}", said.stdout);
    let line = "::error file=qcc.yaml,line=3,col=19,title=unknown-key::`listn` is not a key of `server`%0Adid you mean `listen`?";
    assert_eq!(said.stdout.lines().last(), Some(line));
    assert!(said.stdout.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")));
}

/// What section 3 of the specification of SARIF 2.1.0 demands of the parts we write.
#[test]
fn sarif_fits_its_specification() {
    let desk = Desk::new(BAD);
    desk.write("a b.yaml", BAD);
    let value = desk.json(&["--format", "sarif", "qcc.yaml", "a b.yaml", "missing.yaml"]);
    assert_eq!(value["version"], "2.1.0");
    assert!(value["$schema"].as_str().is_some_and(|uri| uri.ends_with("sarif-schema-2.1.0.json")));
    let run = &value["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "qcc");
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 9);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("fits");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(matches!(result["level"].as_str(), Some("error" | "warning")));
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().expect("a URI");
        assert!(!uri.contains(' '), "{uri}");
        let region = |key: &str| place["region"][key].as_u64().expect("a number");
        assert!(region("startLine") >= 1 && region("startColumn") >= 1 && region("endColumn") >= region("startColumn"));
    }
    let listn =
        results.iter().find(|result| result["message"]["text"].as_str().is_some_and(|text| text.contains("listn")));
    let region = &listn.expect("the misspelt key")["locations"][0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&3.into(), &19.into(), &24.into())
    );
}

#[test]
fn no_format_shows_a_secret() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let desk = Desk::new(GOOD);
    let mut shown = 0;
    for file in ["invalid/dozen.yaml", "invalid/base_urls.yaml", "warning/literals.yaml", "warning/proxy_password.yaml"]
    {
        let file = fixtures.join(file);
        assert!(file.is_file(), "{}", file.display());
        for format in ["human", "json", "github", "sarif"] {
            let said = desk.validate(&["--format", format, &file.display().to_string()]);
            assert!(!said.stdout.contains("canary") && !said.stderr.contains("canary"), "{}", said.stdout);
            shown += said.stdout.len();
        }
    }
    assert!(shown > 1000);
}

#[test]
fn schema_prints_the_schema_of_the_repository() {
    let stored = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/qcc.schema.json"));
    let said = Desk::new(GOOD).qcc(&["schema"], &[], "");
    assert_eq!((said.code, said.stdout), (Some(0), stored.expect("the schema is stored")));
}
