//! What people copy is valid: every file in `examples/` and every YAML block of the README, without any of their variables set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `qcc validate --deny-warnings FILE`, in an empty environment.
fn validate(file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qcc"));
    command.env_clear().args(["validate", "--deny-warnings"]).arg(file);
    command.output().expect("the binary runs")
}

fn assert_valid(what: &str, file: &Path) {
    let Output { status, stdout, stderr } = validate(file);
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(status.success(), "{what}: {status}\n{said}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_is_valid_without_a_warning() {
    let entries = fs::read_dir(root().join("examples")).expect("examples/ is there");
    let paths = entries.map(|entry| entry.expect("can be listed").path());
    let files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    assert!(files.len() >= 5, "only {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("an example is text");
        let modeline = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let schema = modeline.unwrap_or_else(|| panic!("{} begins with no modeline", file.display()));
        assert!(root().join("examples").join(schema).is_file(), "{schema} is not there");
        assert_valid(&file.display().to_string(), &file);
    }
}

#[test]
fn every_yaml_block_of_the_readme_is_valid_without_a_warning() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let blocks: Vec<&str> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "the README shows {} files", blocks.len());
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (index, block) in blocks.iter().enumerate() {
        let file = directory.path().join(format!("block-{index}.yaml"));
        fs::write(&file, block).expect("can be written");
        assert_valid(block, &file);
    }
}

#[test]
fn the_defaults_shown_in_the_readme_are_the_defaults() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let defaults = readme.split("with its defaults").nth(1).and_then(|rest| rest.split("```yaml\n").nth(1));
    let block = defaults.and_then(|rest| rest.split("```").next()).expect("the section has a block");
    let loaded = qcc::config::load_bytes(Path::new("qcc.yaml"), block.as_bytes());
    let shown = loaded.config.expect("it is valid");
    let expected = qcc::config::Config { profiles: shown.profiles.clone(), ..Default::default() };
    assert_eq!(shown, expected);
    for section in ["server", "failover", "retry", "timeouts", "health", "queue", "log"] {
        let text = serde_json::to_value(&expected).expect("serialises")[section].clone();
        for key in text.as_object().expect("a section").keys() {
            assert!(block.contains(&format!("{key}:")), "the README does not show {section}.{key}");
        }
    }
}

/// The arguments of every `qcc validate` in a text of commands.
fn validations(text: &str) -> Vec<Vec<&str>> {
    let commands = text.split("qcc validate").skip(1).map(|rest| rest.lines().next().unwrap_or_default());
    commands
        .map(|rest| rest.split_whitespace().take_while(|word| word.starts_with("--") || *word == "github").collect())
        .collect()
}

#[test]
fn what_others_run_for_us_exists_and_tells_valid_from_invalid() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (good, bad) = (directory.path().join("qcc.yaml"), directory.path().join("bad.yaml"));
    fs::copy(root().join("examples/minimal.yaml"), &good).expect("can be copied");
    fs::write(&bad, "version: 1\nprofile: {}\n").expect("can be written");
    for name in [".pre-commit-hooks.yaml", "examples/ci/validate.yml"] {
        let text = fs::read_to_string(root().join(name)).expect("it is there");
        let _: serde_json::Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entry = text.lines().filter(|line| line.contains("qcc validate") && !line.contains("name:"));
        let found: Vec<Vec<&str>> = entry.flat_map(validations).collect();
        assert!(!found.is_empty(), "{name} runs nothing");
        for arguments in found {
            let code = |file: &Path| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_qcc"));
                command.env_clear().arg("validate").args(&arguments).arg(file).output().expect("it runs").status.code()
            };
            assert_eq!((code(&good), code(&bad)), (Some(0), Some(1)), "{name}: {arguments:?}");
        }
    }
}
