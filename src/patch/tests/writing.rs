//! On disk: the old file or the new one, and nobody's change lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path as File;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::config::load;
use crate::patch::write::{Replace, in_place, replace};
use crate::patch::{Edit, Patch, Path, WriteError, plan, write};

fn patch(before: &str, after: &str) -> Patch {
    Patch { before: before.into(), after: after.to_owned(), diagnostics: Vec::new() }
}

fn names(dir: &File) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_new_text_keeps_mode_and_owner_and_leaves_nothing_beside() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    fs::write(&path, "old").expect("writable");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
    let old = fs::metadata(&path).expect("it is there");
    write(&path, &patch("old", "new")).expect("written");
    let new = fs::metadata(&path).expect("it is there");
    assert_eq!(fs::read_to_string(&path).expect("readable"), "new");
    assert_eq!((new.mode(), new.uid(), new.gid()), (old.mode(), old.uid(), old.gid()));
    assert_ne!(new.ino(), old.ino(), "it was renamed into place, not overwritten");
    assert_eq!(names(dir.path()), ["qcc.yaml"]);
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    fs::write(&path, "theirs").expect("writable");
    let error = write(&path, &patch("old", "new")).expect_err("not what it was");
    assert!(matches!(error, WriteError::Changed { .. }) && error.to_string().contains("try again"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), "theirs");
    fs::remove_file(&path).expect("ours");
    assert!(matches!(write(&path, &patch("old", "new")), Err(WriteError::Io { .. })));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_file_that_changed_while_the_new_one_was_written_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    fs::write(&path, "theirs").expect("writable");
    // What is called once the file was as expected.
    assert!(matches!(replace(&path, dir.path(), &patch("old", "new")), Err(Replace::Changed)));
    let error = in_place(&path, &path, dir.path(), &patch("old", "new")).expect_err("not what it was");
    assert!(matches!(error, WriteError::Changed { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), "theirs");
    assert_eq!(names(dir.path()), ["qcc.yaml"]);
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = dir.path().join("real/qcc.yaml");
    fs::create_dir(dir.path().join("real")).expect("a directory");
    fs::write(&target, "old").expect("writable");
    symlink("real/qcc.yaml", dir.path().join("one")).expect("a link");
    symlink("one", dir.path().join("two")).expect("a link");
    write(&dir.path().join("two"), &patch("old", "new")).expect("written");
    assert_eq!(fs::read_to_string(&target).expect("readable"), "new");
    assert!(dir.path().join("two").is_symlink() && dir.path().join("one").is_symlink());
}

#[test]
fn of_many_writers_no_update_is_lost() {
    const WRITERS: usize = 6;
    const EACH: u64 = 10;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = Arc::new(dir.path().join("qcc.yaml"));
    fs::write(&*path, "version: 1\nx-count: 0\n").expect("writable");
    let count = |path: &File| {
        let text = fs::read_to_string(path).expect("readable at any moment");
        let number = text.strip_prefix("version: 1\nx-count: ").and_then(|rest| rest.strip_suffix('\n'));
        number.and_then(|number| number.parse::<u64>().ok()).expect("never half a file")
    };
    let increment = |path: &File| {
        loop {
            let loaded = load(path);
            let value =
                loaded.text.trim_end().rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number") + 1;
            let edit = Edit::Set { path: Path::of(&["x-count"]), value: value.into() };
            match write(path, &plan(&loaded, &[edit]).expect("a patch")) {
                Ok(()) => return,
                Err(WriteError::Changed { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let path = Arc::clone(&path);
            scope.spawn(move || (0..EACH).for_each(|_| increment(&path)));
        }
        while count(&path) < WRITERS as u64 * EACH {
            std::thread::yield_now();
        }
    });
    assert_eq!(count(&path), WRITERS as u64 * EACH);
}

#[test]
fn a_file_that_cannot_be_renamed_over_is_overwritten() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    fs::write(&path, "a longer old text").expect("writable");
    let inode = fs::metadata(&path).expect("it is there").ino();
    in_place(&path, &path, dir.path(), &patch("a longer old text", "new")).expect("written");
    assert_eq!(fs::read_to_string(&path).expect("readable"), "new");
    assert_eq!(fs::metadata(&path).expect("it is there").ino(), inode);
    assert_eq!(names(dir.path()), ["qcc.yaml"], "the backup is gone");
}

const LARGE: usize = 300_000;
const TARGET: &str = "QCC_TEST_WRITES_TO";

/// What the process that is killed does.
#[test]
#[ignore = "the writer of the test below; it does not end by itself"]
fn writes_without_end() {
    let Some(path) = std::env::var_os(TARGET) else { return };
    let (old, new) = ("a".repeat(LARGE), "b".repeat(LARGE));
    loop {
        for (before, after) in [(&old, &new), (&new, &old)] {
            match write(File::new(&path), &patch(before, after)) {
                Ok(()) | Err(WriteError::Changed { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_killed_writer_leaves_the_old_text_or_the_new_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    let (old, new) = ("a".repeat(LARGE), "b".repeat(LARGE));
    fs::write(&path, &old).expect("writable");
    for round in 1..=8 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--ignored", "patch::tests::writing::writes_without_end"])
            .env(TARGET, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let inode = || fs::metadata(&path).expect("always there").ino();
        let mut last = inode();
        for _ in 0..round {
            while inode() == last {
                assert!(child.try_wait().expect("ours").is_none(), "the writer gave up");
                std::thread::yield_now();
            }
            last = inode();
        }
        child.kill().expect("ours");
        child.wait().expect("ours");
        let text = fs::read_to_string(&path).expect("readable");
        assert!(text == old || text == new, "half a file of {} bytes", text.len());
    }
}
