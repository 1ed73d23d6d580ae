//! `tests/fixtures/patch/NAME/`: `before.yaml`, `edit.json`, and `after.yaml`, or `refused.txt` if the edits are refused.
//! `QCC_BLESS=1` rewrites the expectations.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::config::load_bytes;
use crate::patch::{Edit, Patch, PatchError, plan};

struct Case {
    dir: PathBuf,
    before: Vec<u8>,
    edits: Vec<Edit>,
}

impl Case {
    fn load(dir: PathBuf) -> Self {
        let before = std::fs::read(dir.join("before.yaml")).expect("a file to edit");
        let edits = std::fs::read_to_string(dir.join("edit.json")).expect("edits");
        let edits: Vec<Map<String, Value>> = serde_json::from_str(&edits).expect("a list of edits");
        Self { dir, before, edits: edits.iter().map(edit).collect() }
    }

    fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn plan(&self) -> Result<Patch, PatchError> {
        plan(&load_bytes(Path::new("qcc.yaml"), &self.before), &self.edits)
    }
}

fn edit(json: &Map<String, Value>) -> Edit {
    let (kind, first) = json.iter().next().expect("an edit has a kind");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let path = || text(first).parse().expect("a path");
    let number = |key: &str| json.get(key).and_then(Value::as_u64).map(|n| usize::try_from(n).expect("a position"));
    let fields = || json["fields"].as_object().expect("fields").clone();
    match kind.as_str() {
        "set" => Edit::Set { path: path(), value: json["value"].clone() },
        "unset" => Edit::Unset { path: path() },
        "add_profile" => Edit::AddProfile { name: text(first), fields: fields() },
        "rename_profile" => Edit::RenameProfile { from: text(first), to: text(&json["to"]) },
        "remove_profile" => Edit::RemoveProfile { name: text(first) },
        "add_endpoint" => Edit::AddEndpoint { profile: text(first), fields: fields(), at: number("at") },
        "move_endpoint" => {
            Edit::MoveEndpoint { profile: text(first), id: text(&json["id"]), to: number("to").expect("a position") }
        }
        "remove_endpoint" => Edit::RemoveEndpoint { profile: text(first), id: text(&json["id"]) },
        other => panic!("{other} is no edit"),
    }
}

fn cases() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/patch");
    let entries = std::fs::read_dir(&dir).expect("the table of edits");
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    dirs.sort();
    assert!(dirs.len() >= 80, "only {} cases in {}", dirs.len(), dir.display());
    dirs.into_iter().map(Case::load).collect()
}

fn bless(dir: &Path, result: &Result<Patch, PatchError>) {
    let (written, gone, text) = match result {
        Ok(patch) => ("after.yaml", "refused.txt", patch.after.clone()),
        Err(error) => ("refused.txt", "after.yaml", format!("{error}\n")),
    };
    std::fs::write(dir.join(written), text).expect("the expectation can be written");
    let _ = std::fs::remove_file(dir.join(gone));
}

#[test]
fn every_edit_makes_the_change_a_person_would_have_made() {
    let mut wrong = Vec::new();
    for case in cases() {
        let result = case.plan();
        if std::env::var_os("QCC_BLESS").is_some() {
            bless(&case.dir, &result);
        }
        let found = match &result {
            Ok(patch) => ("after.yaml", patch.after.clone()),
            Err(error) => ("refused.txt", format!("{error}\n")),
        };
        let expected = std::fs::read_to_string(case.dir.join(found.0)).unwrap_or_default();
        if expected != found.1 {
            wrong.push(format!(
                "== {}\n{}",
                case.name(),
                result.map_or_else(|e| e.to_string(), |p| p.diff("qcc.yaml", true))
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `git apply` of `diff` in a directory that holds `before`.
fn git_apply(dir: &Path, before: &[u8], diff: &str) -> Vec<u8> {
    let file = dir.join("sub dir/qcc.yaml");
    std::fs::create_dir_all(file.parent().expect("it has a directory")).expect("a directory");
    std::fs::write(&file, before).expect("writable");
    std::fs::write(dir.join("change.patch"), diff).expect("writable");
    let mut git = Command::new("git");
    git.current_dir(dir).args(["apply", "--whitespace=nowarn", "change.patch"]);
    let git = git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
    let output = git.output().expect("git is installed");
    assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&file).expect("readable")
}

#[test]
fn git_applies_every_diff_to_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut applied = 0;
    for case in cases() {
        let Ok(patch) = case.plan() else { continue };
        let diff = patch.diff("sub dir/qcc.yaml", true);
        assert_eq!(diff.is_empty(), patch.is_empty(), "{}", case.name());
        if patch.is_empty() {
            continue;
        }
        assert_eq!(
            String::from_utf8(git_apply(dir.path(), &case.before, &diff)),
            Ok(patch.after.clone()),
            "{}",
            case.name()
        );
        if !patch.withholds() {
            let shown = patch.diff("sub dir/qcc.yaml", false);
            assert_eq!(git_apply(dir.path(), &case.before, &shown), patch.after.as_bytes(), "{}", case.name());
        }
        applied += 1;
    }
    assert!(applied >= 80, "only {applied} diffs");
}
