use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::Secret;

const CANARY: &str = "sk-canary";

/// A file in a directory of its own, whose process has a few variables set.
fn secrets(dir: &tempfile::TempDir) -> Secrets {
    Secrets::with_env(&dir.path().join("qcc.yaml"), |name| match name {
        "SET" => Some("sk-canary-env".into()),
        "EMPTY" => Some("".into()),
        "PLACEHOLDER" => Some("proxy-managed".into()),
        "BOTH" => Some("sk-canary-own".into()),
        "BROKEN" => Some("sk-canary\r\nx-evil: 1".into()),
        "SPACED" => Some("sk-canary two".into()),
        "LONG" => Some("k".repeat(16 * 1024 + 1).into()),
        _ => None,
    })
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn env(name: &str) -> SecretSpec {
    spec(&format!(r#"{{"env":"{name}"}}"#))
}

fn spec(json: &str) -> SecretSpec {
    serde_json::from_str(json).expect(json)
}

fn sh(script: &str) -> SecretSpec {
    SecretSpec::Command(CommandRef {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        refresh: crate::config::units::Dur::secs(3600),
        timeout: crate::config::units::Dur::secs(60),
    })
}

/// A configuration with one serving endpoint for each of `specs`.
fn config(specs: &[SecretSpec]) -> Config {
    let endpoints: Vec<_> = specs.iter().enumerate().map(|(n, spec)| endpoint(n, spec)).collect();
    serde_json::from_value(serde_json::json!({
        "profiles": { "p": { "tier": "primary", "endpoints": endpoints } }
    }))
    .expect("a configuration")
}

fn endpoint(n: usize, spec: &SecretSpec) -> serde_json::Value {
    let key = match spec {
        SecretSpec::Literal(secret) => secret.expose().into(),
        other => serde_json::to_value(other).expect("it serialises"),
    };
    serde_json::json!({ "id": format!("e{n}"), "base_url": "https://a.example", "api_key": key })
}

fn shown(answer: Result<&Secret, &Unresolved>) -> String {
    answer.map_or_else(ToString::to_string, |secret| secret.expose().to_owned())
}

async fn resolve_one(dir: &tempfile::TempDir, spec: &SecretSpec) -> String {
    shown(secrets(dir).resolve(&config(std::slice::from_ref(spec))).await.get(spec))
}

#[tokio::test]
async fn every_kind_of_reference_resolves_or_says_why_not() {
    let dir = dir();
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).expect("writable");
    write(
        ".env",
        b"export FROM_FILE='sk-canary-dotenv' # ours\nBOTH=other\nPLACEHOLDER=sk-filled-too\nEMPTY=sk-filled\nBLANK=\n",
    );
    write("key", b"\n  sk-canary-file \r\n");
    write("blank", b" \n");
    write("two", b"sk-canary\nsk-canary");
    write("binary", b"sk-canary\xff");
    write("big", &vec![b'k'; 1024 * 1024 + 1]);
    for (spec, expected) in [
        (spec("\"sk-literal\""), "sk-literal"),
        (spec("\"\""), "the literal is empty"),
        (env("SET"), "sk-canary-env"),
        (env("BOTH"), "sk-canary-own"),
        (env("EMPTY"), "sk-filled"),
        (env("PLACEHOLDER"), "sk-filled-too"),
        (env("FROM_FILE"), "sk-canary-dotenv"),
        (env("WORK_ANTHROPIC_KEY"), "WORK_ANTHROPIC_KEY is not set"),
        (env("BLANK"), "BLANK is empty"),
        (env("BROKEN"), "BROKEN has a line break or NUL in it"),
        (env("SPACED"), "SPACED has characters in it that are not visible ASCII"),
        (env("LONG"), "LONG is longer than 16KiB"),
        (spec(r#"{"file":"key"}"#), "sk-canary-file"),
        (spec(r#"{"file":"/run/none/glm"}"#), "/run/none/glm cannot be read: No such file or directory"),
        (spec(r#"{"file":"blank"}"#), "blank is empty"),
        (spec(r#"{"file":"two"}"#), "two has a line break or NUL in it"),
        (spec(r#"{"file":"binary"}"#), "binary has characters in it that are not visible ASCII"),
        (spec(r#"{"file":"big"}"#), "big cannot be read: it is larger than 1MiB"),
        (spec(r#"{"file":"."}"#), ". cannot be read: it is a directory"),
        (sh("echo sk-canary-command"), "sk-canary-command"),
        (sh("echo sk-canary; exit 1"), "command sh exited with 1"),
        (spec(r#"{"command":["/none/op","sk-canary"]}"#), "command /none/op cannot be run: No such file or directory"),
        (spec(r#"{"command":["sleep","60"],"timeout":"100ms"}"#), "command sleep timed out after 100ms"),
    ] {
        assert_eq!(resolve_one(&dir, &spec).await, expected, "{spec:?}");
    }
}

#[tokio::test]
async fn no_secret_is_shown_by_anything() {
    let dir = dir();
    fs::write(dir.path().join("key"), CANARY).expect("writable");
    fs::write(dir.path().join(".env"), format!("FROM_FILE={CANARY}\nSPLIT=\"{CANARY}\\n\"")).expect("writable");
    let specs = [
        env("SET"),
        env("BROKEN"),
        env("SPACED"),
        env("FROM_FILE"),
        env("SPLIT"),
        spec(r#"{"file":"key"}"#),
        sh("echo sk-can''ary; echo sk-can''ary >&2; exit 1"),
        sh("printf 'sk-can%s' 'ary two'"),
        spec("\"sk-canary\""),
    ];
    let resolved = secrets(&dir).resolve(&config(&specs)).await;
    let mut text = format!("{resolved:?}");
    for answer in specs.iter().map(|spec| resolved.get(spec)) {
        text += &answer.map_or_else(|why| format!("{why} {why:?}"), |secret| format!("{secret} {secret:?}"));
    }
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_private_key_may_have_lines_and_its_certificate_is_read_too() {
    let dir = dir();
    let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    fs::write(dir.path().join("server.key"), format!("{pem}\n")).expect("writable");
    let mut config = config(&[]);
    let key = spec(r#"{"file":"server.key"}"#);
    config.server.tls = Some(crate::config::model::ServerTls { cert: "server.pem".into(), key: key.clone() });
    let mut secrets = secrets(&dir);
    assert_eq!(shown(secrets.resolve(&config).await.get(&key)), pem);
    fs::write(dir.path().join("server.pem"), "certificates").expect("writable");
    let before = secrets.resolve(&config).await;
    assert_eq!(before.certificate(Path::new("server.pem")), Ok(b"certificates".as_slice()));
    fs::remove_file(dir.path().join("server.pem")).expect("removed");
    assert_ne!(before, secrets.resolve(&config).await, "a certificate that changed is news");
    let watched = secrets.files(&config);
    assert_eq!(watched, [".env", "server.key", "server.pem"].map(|name| dir.path().join(name)));
}

#[tokio::test]
async fn what_takes_no_traffic_is_left_alone() {
    let dir = dir();
    let run = sh("touch ran; echo sk-1");
    let mut config = config(&[run.clone(), run.clone(), run.clone()]);
    let profile = config.profiles.get_mut("p").expect("it is there");
    profile.endpoints[0].fields.enabled = false;
    profile.endpoints[1].fields.auth = crate::config::model::Auth::Passthrough;
    let stored = profile.endpoints.pop().expect("three endpoints");
    let spare = crate::config::model::ProfileSpec { endpoints: vec![stored], ..Default::default() };
    config.profiles.insert("no tier".to_owned(), spare);
    let resolved = secrets(&dir).resolve(&config).await;
    assert_eq!(resolved.get(&run), Err(&Unresolved::Unused));
    assert!(!dir.path().join("ran").exists());
}

#[tokio::test]
async fn a_dotenv_that_others_can_read_is_warned_about_only_where_it_is_needed() {
    let dir = dir();
    let path = dir.path().join(".env");
    fs::write(&path, "KEY=sk-1").expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    let warnings = async |spec| secrets(&dir).resolve(&config(&[spec])).await.warnings;
    assert_eq!(warnings(env("SET")).await, Vec::<String>::new());
    let expected = format!("{} can be read by other users; `chmod 600` it", path.display());
    assert_eq!(warnings(env("KEY")).await, [expected]);
}

#[tokio::test]
async fn files_and_variables_are_read_anew_each_time_and_programs_are_not() {
    let dir = dir();
    let (file, run) = (spec(r#"{"file":"key"}"#), sh("echo x >> runs; wc -l < runs | tr -d ' '"));
    let config = config(&[env("KEY"), file.clone(), run.clone()]);
    let mut secrets = secrets(&dir);
    for round in ["one", "two"] {
        fs::write(dir.path().join("key"), round).expect("writable");
        fs::write(dir.path().join(".env"), format!("KEY={round}")).expect("writable");
        let resolved = secrets.resolve(&config).await;
        assert_eq!([&env("KEY"), &file, &run].map(|spec| shown(resolved.get(spec))), [round, round, "1"]);
    }
}

#[tokio::test]
async fn a_refused_key_has_its_program_run_again() {
    let dir = dir();
    let run = sh("echo x >> runs; wc -l < runs | tr -d ' '");
    let config = config(std::slice::from_ref(&run));
    let mut secrets = secrets(&dir);
    assert_eq!(shown(secrets.resolve(&config).await.get(&run)), "1");
    assert!(secrets.refresh_now(&run) && !secrets.refresh_now(&env("KEY")));
    secrets.refreshed().await;
    assert_eq!(shown(secrets.resolve(&config).await.get(&run)), "2");
}

#[tokio::test]
async fn a_program_is_run_again_when_its_answer_is_due_and_keeps_the_last_good_one() {
    let dir = dir();
    // Answers, fails, then answers something else.
    let mut run = sh("echo x >> runs; n=$(wc -l < runs | tr -d ' '); [ $n = 2 ] && exit 1; echo sk-$n");
    let SecretSpec::Command(spec) = &mut run else { panic!("a command") };
    spec.refresh = crate::config::units::Dur(Duration::from_millis(50));
    let config = config(std::slice::from_ref(&run));
    let mut secrets = secrets(&dir);
    assert_eq!(shown(secrets.resolve(&config).await.get(&run)), "sk-1");
    secrets.refreshed().await;
    assert_eq!(shown(secrets.resolve(&config).await.get(&run)), "sk-3");
}

#[tokio::test]
async fn a_slow_program_does_not_hold_up_the_others() {
    let dir = dir();
    let (slow, quick) = (sh("until [ -e go ]; do sleep 0.02; done; echo sk-slow"), sh("echo sk-quick"));
    let config = config(&[slow.clone(), env("SET")]);
    let mut secrets = secrets(&dir);
    let resolved = secrets.resolve_within(&config, Duration::from_millis(10)).await;
    assert_eq!(shown(resolved.get(&slow)), "command sh has not answered yet");
    assert_eq!(shown(resolved.get(&env("SET"))), "sk-canary-env");
    let config = super::tests::config(&[slow.clone(), quick.clone()]);
    fs::write(dir.path().join("go"), "").expect("writable");
    let resolved = secrets.resolve(&config).await;
    assert_eq!([shown(resolved.get(&slow)), shown(resolved.get(&quick))], ["sk-slow", "sk-quick"]);
}

#[test]
fn check_looks_things_up_and_runs_nothing() {
    let dir = dir();
    fs::write(dir.path().join(".env"), "KEY=sk-1").expect("writable");
    let shown = |spec: &SecretSpec| check(spec, dir.path()).map_err(|why| why.to_string());
    assert_eq!(shown(&env("KEY")), Ok(()));
    assert_eq!(shown(&env("QCC_TEST_NONE")), Err("QCC_TEST_NONE is not set".to_owned()));
    assert_eq!(shown(&sh("touch ran")), Ok(()));
    assert!(!dir.path().join("ran").exists());
}
