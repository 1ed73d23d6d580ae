//! The rules the tree rests on, held by reading the source: which way imports point, and who may name what.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders from the ground up; each may use those before it.
const FLOORS: [&[&str]; 13] = [
    &["time", "limit", "config"],
    &["telemetry", "net", "store"],
    &["upstream", "patch", "simulate"],
    &["snapshot", "import"],
    &["failover"],
    &["health"],
    &["dispatch"],
    &["queue"],
    &["proxy", "notify"],
    &["admin"],
    &["app"],
    &["cli"],
    &["main", "lib"],
];

/// Crates that have one home.
const HOMES: [(&str, &[&str]); 11] = [
    ("rusqlite", &["store"]),
    ("axum", &["admin"]),
    ("prometheus_client", &["admin"]),
    ("arc_swap", &["snapshot"]),
    ("notify", &["snapshot"]),
    ("rustls", &["net"]),
    ("tokio_rustls", &["net"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("jsonc_parser", &["cli"]),
    ("granit_parser", &["config", "patch"]),
];

/// Every source file but those of tests, with the folder it belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours") {
            let path = entry.expect("an entry of ours").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("below src");
                if is_test(inside) {
                    continue;
                }
                let folder_name = inside.components().next().expect("a name").as_os_str().to_string_lossy();
                let source = fs::read_to_string(&path).expect("text");
                found.push((folder_name.trim_end_matches(".rs").to_owned(), path, source));
            }
        }
    }
    assert!(found.len() > 100, "the source was found");
    found
}

fn is_test(path: &Path) -> bool {
    let name = path.file_stem().expect("a name").to_string_lossy();
    name.ends_with("tests") || name == "fixture" || path.components().any(|part| part.as_os_str() == "tests")
}

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&room))
        .unwrap_or_else(|| panic!("`{room}` has no floor: give it one"))
}

/// Whether `line` names `krate` as the beginning of a path.
fn names(line: &str, krate: &str) -> bool {
    let path = format!("{krate}::");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    })
}

/// Code up to the tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let ended = text.split("#[cfg(test)]").next().unwrap_or_default();
    ended.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn imports_point_one_way() {
    for (room, path, text) in sources() {
        for line in code(&text) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = FLOORS.iter().flat_map(|floor| floor.iter()).any(|name| *name == used);
                assert!(!known || floor(&used) <= floor(&room), "{}: `{room}` uses `{used}`: {line}", path.display());
            }
        }
    }
}

#[test]
fn some_crates_have_one_home() {
    for (room, path, text) in sources() {
        for (krate, homes) in HOMES {
            let elsewhere = code(&text).find(|line| names(line, krate)).filter(|_| !homes.contains(&room.as_str()));
            assert_eq!(elsewhere, None, "{}: `{krate}` belongs to {homes:?}", path.display());
        }
    }
}

#[test]
fn nothing_in_src_is_unsafe_or_unwraps() {
    for (_, path, text) in sources() {
        let found = code(&text).find(|line| line.contains(".unwrap()") || line.contains("unsafe {"));
        assert_eq!(found, None, "{}", path.display());
    }
}
