//! Every way of saving, with real files and real time. No test asserts how long anything takes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

const OLD: &str = "version: 1\nprofiles: { a: { tier: primary } }\n";
const NEW: &str = "version: 1\nprofiles: { b: { tier: fallback } }\n";
/// Far beyond anything that is waited for.
const EVER: Duration = Duration::from_mins(1);
/// Long enough for a wrong change to show itself: a look, the quiet and some.
const A_WHILE: Duration = Duration::from_millis(700);

/// A directory with a `qcc.yaml` that holds [`OLD`].
fn saved() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    fs::write(&path, OLD).expect("writable");
    (dir, path)
}

fn watch(path: &Path) -> Watch {
    Watch::new(path, Vec::new())
}

/// The next change.
async fn next(watch: &mut Watch) -> Change {
    tokio::time::timeout(EVER, watch.changed()).await.expect("a change is noticed")
}

/// The text of the next change, which is one of the file alone.
async fn text(watch: &mut Watch) -> String {
    let change = next(watch).await;
    assert!(change.file_changed && !change.also_changed && !change.nudged, "{change:?}");
    String::from_utf8(change.bytes.expect("readable").to_vec()).expect("text")
}

/// That nothing is told for a while, and that the file still reads as told.
async fn silent(watch: &mut Watch) {
    let told = tokio::time::timeout(A_WHILE, watch.changed()).await;
    assert!(told.is_err(), "nothing was saved: {told:?}");
}

fn rename_over(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("writable");
    fs::rename(&beside, path).expect("renamed");
}

#[tokio::test]
async fn sees_a_file_written_in_place_and_only_once() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::write(&path, NEW).expect("writable");
    assert_eq!(text(&mut watch).await, NEW);
    silent(&mut watch).await;
}

#[tokio::test]
async fn sees_every_file_renamed_over_it() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    for round in 0..3 {
        let saved = format!("{NEW}# {round}\n");
        rename_over(&path, &saved);
        assert_eq!(text(&mut watch).await, saved);
    }
}

#[tokio::test]
async fn survives_the_backup_dance_of_vim() {
    let (dir, path) = saved();
    let mut watch = watch(&path);
    for saved in [NEW, OLD] {
        // What vim does with `backupcopy=no`.
        fs::write(dir.path().join("4913"), "").expect("a probe");
        fs::remove_file(dir.path().join("4913")).expect("removed");
        fs::rename(&path, dir.path().join("qcc.yaml~")).expect("the backup");
        fs::write(&path, saved).expect("the new file");
        fs::remove_file(dir.path().join("qcc.yaml~")).expect("removed");
        assert_eq!(text(&mut watch).await, saved);
    }
}

#[tokio::test]
async fn reads_a_file_written_in_pieces_once() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    let saving = tokio::spawn(async move {
        let mut file = fs::File::create(&path).expect("truncated");
        for piece in NEW.as_bytes().chunks(12) {
            tokio::time::sleep(Duration::from_millis(60)).await;
            file.write_all(piece).expect("a piece");
        }
    });
    assert_eq!(text(&mut watch).await, NEW);
    saving.await.expect("the writer ended");
    silent(&mut watch).await;
}

#[tokio::test]
async fn keeps_waiting_while_the_text_is_a_prefix() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::write(&path, &OLD[..20]).expect("half of it");
    silent(&mut watch).await;
    fs::write(&path, format!("{OLD}# more\n")).expect("all of it");
    assert_eq!(text(&mut watch).await, format!("{OLD}# more\n"));
}

#[tokio::test]
async fn takes_a_shortened_file_in_the_end() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::write(&path, &OLD[..11]).expect("writable");
    assert_eq!(text(&mut watch).await, &OLD[..11]);
}

#[tokio::test]
async fn tells_of_a_vanished_and_of_an_empty_file_and_of_its_return() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::remove_file(&path).expect("removed");
    let gone = next(&mut watch).await;
    assert!(gone.file_changed);
    assert_eq!(gone.bytes.expect_err("it is gone").kind(), io::ErrorKind::NotFound);
    fs::write(&path, "").expect("writable");
    assert_eq!(text(&mut watch).await, "");
    rename_over(&path, NEW);
    assert_eq!(text(&mut watch).await, NEW);
}

#[tokio::test]
async fn a_file_gone_and_back_the_same_is_no_change() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, OLD).expect("writable");
    silent(&mut watch).await;
}

#[tokio::test]
async fn a_touch_is_no_change() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    let file = fs::File::options().append(true).open(&path).expect("writable");
    file.set_modified(std::time::SystemTime::now()).expect("touched");
    rename_over(&path, OLD);
    silent(&mut watch).await;
}

/// A directory as Kubernetes mounts a ConfigMap: `qcc.yaml -> ..data/qcc.yaml`, `..data -> ..v1`.
fn mounted(dir: &Path) -> PathBuf {
    release(dir, "..v1", OLD);
    symlink("..v1", dir.join("..data")).expect("a link");
    symlink("..data/qcc.yaml", dir.join("qcc.yaml")).expect("a link");
    dir.join("qcc.yaml")
}

fn release(dir: &Path, name: &str, text: &str) {
    fs::create_dir(dir.join(name)).expect("a directory");
    fs::write(dir.join(name).join("qcc.yaml"), text).expect("writable");
}

/// Points the link `name` in `dir` at `target`, at once.
fn swap(dir: &Path, name: &str, target: &Path) {
    let beside = dir.join("link.new");
    symlink(target, &beside).expect("a link");
    fs::rename(beside, dir.join(name)).expect("swapped");
}

#[tokio::test]
async fn survives_configmap_swaps() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut watch = watch(&mounted(dir.path()));
    for round in 2..5 {
        let saved = format!("{NEW}# {round}\n");
        let name = format!("..v{round}");
        release(dir.path(), &name, &saved);
        swap(dir.path(), "..data", Path::new(&name));
        fs::remove_dir_all(dir.path().join(format!("..v{}", round - 1))).expect("the old one goes");
        assert_eq!(text(&mut watch).await, saved);
    }
}

#[tokio::test]
async fn survives_symlink_swap() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    fs::create_dir_all(&here).expect("a directory");
    fs::create_dir_all(&there).expect("a directory");
    for (name, text) in [("one.yaml", OLD), ("two.yaml", NEW)] {
        fs::write(there.join(name), text).expect("writable");
    }
    swap(&here, "qcc.yaml", &there.join("one.yaml"));
    let mut watch = watch(&here.join("qcc.yaml"));
    swap(&here, "qcc.yaml", &there.join("two.yaml"));
    assert_eq!(text(&mut watch).await, NEW);
    // And what the link leads to now is followed in its own directory.
    rename_over(&there.join("two.yaml"), "version: 1\n# renamed over behind the link\n");
    assert!(text(&mut watch).await.contains("behind the link"));
    fs::write(there.join("one.yaml"), "nobody looks there any more").expect("writable");
    silent(&mut watch).await;
}

#[tokio::test]
async fn survives_a_swap_of_a_linked_directory_elsewhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    release(dir.path(), "v1", OLD);
    release(dir.path(), "v2", NEW);
    symlink("v1", dir.path().join("now")).expect("a link");
    let site = tempfile::tempdir().expect("a temporary directory");
    symlink(dir.path().join("now"), site.path().join("conf")).expect("a link");
    let mut watch = watch(&site.path().join("conf/qcc.yaml"));
    swap(dir.path(), "now", Path::new("v2"));
    let change = next(&mut watch).await;
    assert_eq!((&change.bytes.expect("readable")[..], change.mode), (NEW.as_bytes(), Mode::Events));
}

#[tokio::test]
async fn survives_replaced_parent_directories() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    release(dir.path(), "conf", OLD);
    let mut watch = watch(&dir.path().join("conf/qcc.yaml"));
    for saved in [NEW, OLD] {
        release(dir.path(), "conf.new", saved);
        fs::rename(dir.path().join("conf"), dir.path().join("conf.old")).expect("moved away");
        fs::rename(dir.path().join("conf.new"), dir.path().join("conf")).expect("moved in");
        assert_eq!(text(&mut watch).await, saved);
        fs::remove_dir_all(dir.path().join("conf.old")).expect("removed");
    }
    // Removed and made again, as a checkout does; the new directory may get the old inode.
    fs::remove_dir_all(dir.path().join("conf")).expect("removed");
    release(dir.path(), "conf", NEW);
    assert_eq!(text(&mut watch).await, NEW);
    fs::write(dir.path().join("conf/qcc.yaml"), OLD).expect("writable");
    let change = next(&mut watch).await;
    assert_eq!((change.file_changed, change.mode), (true, Mode::Events));
}

#[tokio::test]
async fn awaits_a_file_in_a_directory_that_does_not_exist_yet() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("some/where/qcc.yaml");
    let mut watch = watch(&path);
    assert!(watch.current().is_err());
    fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
    fs::write(&path, NEW).expect("writable");
    assert_eq!(text(&mut watch).await, NEW);
}

#[tokio::test]
async fn sees_a_hard_link_written_under_another_name() {
    // As with a bind-mounted file, the directory of the watched name hears nothing.
    let (dir, path) = saved();
    let elsewhere = tempfile::tempdir_in(dir.path()).expect("a directory on the same filesystem");
    let other = elsewhere.path().join("source.yaml");
    fs::hard_link(&path, &other).expect("a hard link");
    let mut watch = watch(&path);
    fs::write(&other, NEW).expect("written through the other name");
    let change = next(&mut watch).await;
    assert_eq!((&change.bytes.expect("readable")[..], change.mode), (NEW.as_bytes(), Mode::Events));
}

#[tokio::test]
async fn ends_with_the_last_of_a_hundred_saves() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    let saving = tokio::spawn(async move {
        for round in 0..100 {
            let saved = format!("{NEW}# {round}\n");
            if round % 2 == 0 {
                rename_over(&path, &saved);
            } else {
                fs::write(&path, &saved).expect("writable");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut changes = 1;
    while !text(&mut watch).await.ends_with("# 99\n") {
        changes += 1;
    }
    saving.await.expect("the writer ended");
    assert!(changes < 20, "a burst is taken together, not {changes} times");
    silent(&mut watch).await;
}

#[tokio::test]
async fn works_without_any_event() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    watch.ears = Arc::new(Mutex::new(Ears::new(None)));
    watch.bell = Arc::default();
    for saved in [NEW, OLD] {
        // Saved while it waits for the tick: nobody else wakes it.
        let saving = async {
            tokio::time::sleep(BURST).await;
            rename_over(&path, saved);
        };
        let (change, ()) = tokio::join!(next(&mut watch), saving);
        assert_eq!((&change.bytes.expect("readable")[..], change.mode), (saved.as_bytes(), Mode::Polling));
    }
}

#[tokio::test]
async fn a_nudge_is_answered_even_if_nothing_changed() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    let nudge = watch.nudge();
    nudge.now();
    let change = next(&mut watch).await;
    assert!(change.nudged && !change.file_changed && !change.also_changed, "{change:?}");
    assert_eq!(&change.bytes.expect("readable")[..], OLD.as_bytes());
    silent(&mut watch).await;
}

#[tokio::test]
async fn starts_from_what_the_caller_has_read_before() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    watch.assume(Bytes::from_static(NEW.as_bytes()));
    assert_eq!(text(&mut watch).await, OLD);
}

#[tokio::test]
async fn files_beside_are_told_apart_from_the_file_itself() {
    let (dir, path) = saved();
    let (one, two) = (dir.path().join(".env"), dir.path().join("secrets/key"));
    let mut watch = Watch::new(&path, vec![one.clone()]);
    fs::write(&one, "KEY=1").expect("writable");
    let change = next(&mut watch).await;
    assert!(change.also_changed && !change.file_changed, "{change:?}");
    watch.set_also(vec![one.clone(), two.clone()]);
    fs::create_dir(dir.path().join("secrets")).expect("a directory");
    fs::write(&two, "sk").expect("writable");
    assert!(next(&mut watch).await.also_changed);
    watch.set_also(vec![two]);
    fs::write(&one, "KEY=2").expect("nobody refers to it any more");
    silent(&mut watch).await;
}

#[tokio::test]
async fn a_change_of_a_file_beside_is_not_lost_when_the_list_changes_meanwhile() {
    let (dir, path) = saved();
    let env = dir.path().join(".env");
    let mut watch = Watch::new(&path, vec![env.clone()]);
    fs::write(&env, "KEY=1").expect("writable");
    watch.set_also(vec![env]);
    assert!(next(&mut watch).await.also_changed);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let (_dir, path) = saved();
    let mut watch = watch(&path);
    fs::write(&path, NEW).expect("writable");
    let told = tokio::time::timeout(EVER, async {
        loop {
            if let Ok(change) = tokio::time::timeout(Duration::from_millis(3), watch.changed()).await {
                return change;
            }
        }
    });
    assert!(told.await.expect("a change is noticed").file_changed);
}
