//! Files that are no configuration at all: each gets one clear answer, soon, whatever it is.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::config::{Loaded, MAX_BYTES, load, load_bytes};

fn only_code(loaded: &Loaded) -> &'static str {
    assert!(loaded.config.is_none());
    assert_eq!(loaded.diagnostics.len(), 1, "{}", loaded.report(false));
    assert!(loaded.report(false).contains(loaded.diagnostics[0].code));
    loaded.diagnostics[0].code
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_waiting_for_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("a named pipe");
    let _socket = UnixListener::bind(at("socket")).expect("a socket");
    symlink(at("fifo"), at("link-to-fifo")).expect("a link");
    for path in
        [at("fifo"), at("link-to-fifo"), at("socket"), dir.path().to_owned(), "/dev/zero".into(), "/dev/tty".into()]
    {
        let loaded = load(&path);
        assert_eq!(only_code(&loaded), "not-a-file", "{}", path.display());
        assert!(loaded.unread());
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    symlink(at("b"), at("a")).expect("a link");
    symlink(at("a"), at("b")).expect("a link");
    symlink(at("nowhere"), at("dangling")).expect("a link");
    std::fs::write(at("file"), "version: 1\n").expect("a file");
    for (path, code, words) in [
        (at("missing"), "file-missing", "no such file"),
        (at("dangling"), "file-missing", "no such file"),
        (at("file/qcc.yaml"), "file-missing", "not a directory"),
        (at("a"), "file-unreadable", "circle"),
        // A regular file whose reading fails, also for root.
        ("/proc/self/mem".into(), "file-unreadable", "cannot be read"),
    ] {
        let loaded = load(&path);
        assert_eq!(only_code(&loaded), code, "{}", path.display());
        assert!(loaded.diagnostics[0].message.contains(words), "{}", loaded.diagnostics[0].message);
        assert!(loaded.unread());
    }
}

#[test]
fn a_file_without_permission_is_unreadable() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("qcc.yaml");
    std::fs::write(&path, "version: 1\n").expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("permissions");
    // Root may read everything.
    if !rustix::process::geteuid().is_root() {
        assert_eq!(only_code(&load(&path)), "file-unreadable");
    }
}

#[test]
fn fifty_megabytes_are_refused_unread() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(50 << 20).expect("a sparse file");
    let loaded = load(file.path());
    assert_eq!(only_code(&loaded), "too-large");
    assert!(loaded.text.is_empty() && !loaded.unread());
    let bytes = vec![b'#'; usize::try_from(MAX_BYTES).expect("fits") + 1];
    assert_eq!(only_code(&load_bytes(Path::new("qcc.yaml"), &bytes)), "too-large");
}

#[test]
fn a_huge_alias_bomb_costs_nothing() {
    let level = |level: usize| match level.checked_sub(1) {
        Some(below) => format!("x-{level}: &b{level} [{}]", vec![format!("*b{below}"); 10].join(", ")),
        None => "x-0: &b0 [x, x, x, x, x, x, x, x, x, x]".to_owned(),
    };
    let text: Vec<String> = (0..60).map(level).collect();
    let loaded = load_bytes(Path::new("qcc.yaml"), text.join("\n").as_bytes());
    assert!(matches!(only_code(&loaded), "too-many-nodes" | "too-deep"));
}

#[test]
fn a_million_brackets_do_not_overflow_the_stack() {
    for text in ["[".repeat(1_000_000), "- ".repeat(1_000_000), "{a: ".repeat(300_000), "? ".repeat(300_000)] {
        let loaded = load_bytes(Path::new("qcc.yaml"), text.as_bytes());
        assert!(loaded.errors() > 0);
        let _ = loaded.report(false);
    }
}

#[test]
fn a_report_shows_fifty_and_counts_the_rest() {
    let text: Vec<String> = (0..120).map(|n| format!("bogus{n}: 1")).collect();
    let loaded = load_bytes(Path::new("qcc.yaml"), text.join("\n").as_bytes());
    assert_eq!(loaded.errors(), 120);
    let report = loaded.report(false);
    assert_eq!(report.matches("error[unknown-key]").count(), 49 + 1 - loaded.warnings());
    assert!(report.ends_with(&format!("and {} more\n", 120 + loaded.warnings() - 50)), "{report}");
}

#[test]
fn the_digest_is_that_of_the_raw_bytes() {
    let plain = load_bytes(Path::new("a"), b"version: 1\n");
    let marked = load_bytes(Path::new("a"), b"\xef\xbb\xbfversion: 1\n");
    assert_eq!(plain.text, marked.text);
    assert_ne!(plain.sha256, marked.sha256);
    assert_eq!(plain.sha256, "09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847");
}

#[test]
fn ten_thousand_endpoints_load_soon() {
    let endpoint = |n| {
        let more = "weight: 50, priority: 2, models: { \"claude-*\": m }, timeouts: { first_byte: 2m }";
        format!("      - {{ id: e{n}, base_url: \"https://a{n}.example\", api_key: {{ env: K{n} }}, {more} }}")
    };
    let endpoints: Vec<String> = (0..10_000).map(endpoint).collect();
    let head = "version: 1\nprofiles:\n  p:\n    tier: primary\n    endpoints:\n";
    let text = format!("{head}{}\n", endpoints.join("\n"));
    let start = std::time::Instant::now();
    let loaded = load_bytes(Path::new("qcc.yaml"), text.as_bytes());
    println!("10,000 endpoints, {} KiB: {:?}", text.len() >> 10, start.elapsed());
    assert_eq!(loaded.config.expect("valid").profiles["p"].endpoints.len(), 10_000);
}
