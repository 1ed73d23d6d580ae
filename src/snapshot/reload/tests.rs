//! The publisher over real files: saved, told, swapped.

use std::fs;
use std::path::PathBuf;

use tokio::sync::broadcast::Receiver;
use tokio::sync::oneshot;

use super::*;
use crate::time::Moment;
use crate::upstream::breaker::{Policy, SOLE_EJECTION, Standing};
use crate::upstream::eligible::Ask;
use crate::upstream::endpoint::Credential;
use crate::upstream::outcome::Outcome;

const EVER: Duration = Duration::from_mins(1);

/// A publisher at work on a file in a directory of its own.
struct Running {
    dir: tempfile::TempDir,
    cell: SnapshotCell,
    control: Control,
    heard: Receiver<Arc<Event>>,
    /// Dropped, it ends the publisher.
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(text: &str) -> Self {
        Self::start_with(text, |_| ()).await
    }

    /// `prepare` may put other files beside the file.
    async fn start_with(text: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        prepare(dir.path());
        let path = dir.path().join("qcc.yaml");
        fs::write(&path, text).expect("writable");
        let events = Events::new();
        let heard = events.listen();
        let past = Past { salt: [7; 32], ..Past::default() };
        let opened = Publisher::open(config::load(&path), past, events).await;
        let publisher = opened.map_err(|loaded| loaded.report(false)).expect("a valid file");
        let (cell, control) = (publisher.cell(), publisher.control());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(publisher.run(async move { drop(stopped.await) }));
        Self { dir, cell, control, heard, _stop: stop }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn save(&self, text: &str) {
        fs::write(self.path("new"), text).expect("writable");
        fs::rename(self.path("new"), self.path("qcc.yaml")).expect("renamed");
    }

    /// The next event, in words.
    async fn told(&mut self) -> String {
        let event = tokio::time::timeout(EVER, self.heard.recv()).await.expect("something happens").expect("told");
        match &*event {
            Event::Reloaded { generation, changes, restart_required } => {
                format!("{generation}: {} {restart_required:?}", changes.join("; "))
            }
            Event::Rejected { errors, report } => format!("rejected {errors}: {}", report.lines().next().unwrap_or("")),
            Event::Switched { from, to, cause, reason } => format!("{from} -> {to} ({cause}): {reason}"),
            Event::Ejected { endpoint, reason, .. } => format!("{endpoint} out: {reason}"),
            Event::DeadKey { endpoint, reason } => format!("{endpoint} dead: {reason}"),
            Event::Admitted { endpoint } => format!("{endpoint} in"),
            Event::Request(_) | Event::QueueDone { .. } | Event::QueueDead { .. } => panic!("nobody asked"),
        }
    }

    /// The snapshot once it is of `epoch`.
    async fn epoch(&self, epoch: u64) -> Arc<Snapshot> {
        let wait = async {
            while self.cell.load().epoch < epoch {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(EVER, wait).await.expect("it is published");
        self.cell.load()
    }

    fn active(&self) -> String {
        self.cell.load().active_profile().map(|profile| profile.name.to_string()).unwrap_or_default()
    }
}

/// A file whose profiles have one endpoint `a` with this key each, by tier.
fn file(profiles: &[(&str, &str)]) -> String {
    let tiers = ["primary", "secondary", "fallback"];
    let profiles = profiles.iter().zip(tiers).map(|((name, key), tier)| {
        let endpoint = format!("{{ id: a, base_url: https://a.example, api_key: {key} }}");
        format!("  {name}:\n    tier: {tier}\n    endpoints:\n      - {endpoint}\n")
    });
    format!("version: 1\nprofiles:\n{}", profiles.collect::<String>())
}

fn one(key: &str) -> String {
    file(&[("production", key)])
}

#[tokio::test]
async fn a_saved_file_is_live_and_told_in_words() {
    let mut running = Running::start(&one("sk-1")).await;
    let state = Arc::clone(&running.cell.load().chain[0].endpoints[0].state);
    running.save(&one("sk-1, weight: 50"));
    assert_eq!(running.told().await, "2: endpoint production/a: weight 100 -> 50 []");
    let after = running.cell.load();
    assert_eq!((after.generation, after.chain[0].endpoints[0].weight), (2, 50));
    assert!(Arc::ptr_eq(&state, &after.chain[0].endpoints[0].state), "its health is kept");
}

#[tokio::test]
async fn keeps_the_old_snapshot_when_the_file_is_wrong() {
    let mut running = Running::start(&one("sk-1")).await;
    let before = running.cell.load();
    let status = running.control.status();
    for (wrong, told) in [("profiles: 7\n", "rejected 1: error[wrong-type]"), ("", "rejected 1: error[empty-file]")] {
        running.save(wrong);
        let heard = running.told().await;
        assert!(heard.starts_with(told), "{heard}");
        assert!(status.borrow().rejected.as_ref().is_some_and(|rejection| !rejection.report.is_empty()));
    }
    fs::remove_file(running.path("qcc.yaml")).expect("removed");
    assert!(running.told().await.starts_with("rejected 1: error[file-missing]"));
    assert!(Arc::ptr_eq(&before, &running.cell.load()));
    // Back to what runs: nothing to publish, but no longer wrong.
    running.save(&one("sk-1"));
    assert_eq!(running.told().await, "1:  []");
    assert!(status.borrow().rejected.is_none() && Arc::ptr_eq(&before, &running.cell.load()));
}

#[tokio::test]
async fn a_comment_is_a_generation_without_changes() {
    let mut running = Running::start(&one("sk-1")).await;
    running.save(&format!("{}# reviewed\n", one("sk-1")));
    assert_eq!(running.told().await, "2:  []");
    let (status, snapshot) = (running.control.status(), running.cell.load());
    assert_eq!(status.borrow().sha256, *snapshot.sha256);
    assert_eq!(status.borrow().short_sha256().len(), 12);
}

#[tokio::test]
async fn a_file_that_was_wrong_from_the_start_is_given_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let opened = Publisher::open(config::load(&dir.path().join("qcc.yaml")), Past::default(), Events::new()).await;
    assert!(opened.is_err_and(|loaded| loaded.unread()));
}

#[tokio::test]
async fn an_endpoint_comes_in_when_its_key_appears_and_goes_out_when_it_is_gone() {
    let mut running = Running::start(&one("{ env: QCC_TEST_RELOAD_KEY }")).await;
    assert_eq!(running.told().await, "production/a out: no key: QCC_TEST_RELOAD_KEY is not set");
    fs::write(running.path(".env"), "QCC_TEST_RELOAD_KEY=sk-1\n").expect("writable");
    assert_eq!(running.told().await, "production/a in");
    fs::write(running.path(".env"), "QCC_TEST_RELOAD_KEY=\n").expect("writable");
    assert_eq!(running.told().await, "production/a out: no key: QCC_TEST_RELOAD_KEY is empty");
    assert_eq!(running.cell.load().generation, 1);
}

#[tokio::test]
async fn a_rotated_secret_file_is_taken_in_without_a_new_generation() {
    let write = |dir: &Path| fs::write(dir.join("key"), "sk-1").expect("writable");
    let running = Running::start_with(&one("{ file: key }"), write).await;
    let before = running.cell.load();
    fs::write(running.path("key"), "sk-2").expect("writable");
    let after = running.epoch(2).await;
    assert_eq!((before.generation, after.generation), (1, 1));
    let credential = |snapshot: &Snapshot| match &snapshot.chain[0].endpoints[0].credential {
        crate::upstream::endpoint::Credential::Header(_, value) => value.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!([credential(&before), credential(&after)], [b"sk-1", b"sk-2"]);
}

#[tokio::test]
async fn a_reload_does_not_wait_for_a_slow_program() {
    let slow = "{ command: [sh, -c, 'until [ -e go ]; do sleep 0.02; done; echo sk-1'] }";
    let mut running = Running::start(&one("sk-1")).await;
    running.save(&one(slow));
    assert!(running.told().await.starts_with("2: endpoint production/a: key a literal -> command sh"));
    assert_eq!(running.told().await, "production/a out: no key: command sh has not answered yet");
    fs::write(running.path("go"), "").expect("writable");
    assert_eq!(running.told().await, "production/a in");
}

#[tokio::test]
async fn a_refused_key_is_fetched_again() {
    let counting = "{ command: [sh, -c, 'echo x >> runs; wc -l < runs | tr -d \" \"'] }";
    let running = Running::start(&one(counting)).await;
    let endpoint = running.cell.load().chain[0].endpoints[0].id.clone();
    running.control.renew(endpoint);
    running.epoch(2).await;
    assert_eq!(fs::read_to_string(running.path("runs")).expect("it ran"), "x\nx\n");
}

#[tokio::test]
async fn cold_keys_are_reported_until_the_file_says_again_what_runs() {
    let mut running = Running::start(&one("sk-1")).await;
    let elsewhere = format!("server: {{ listen: '127.0.0.1:1' }}\n{}", one("sk-1"));
    running.save(&elsewhere);
    assert_eq!(running.told().await, r#"2:  ["server.listen"]"#);
    running.save(&format!("{elsewhere}# still\n"));
    assert_eq!(running.told().await, r#"3:  ["server.listen"]"#);
    running.save(&one("sk-1"));
    assert_eq!(running.told().await, "4:  []");
}

#[tokio::test]
async fn asked_for_a_reload_it_reads_everything_again() {
    let mut running = Running::start(&one("sk-1")).await;
    running.save("profiles: 7\n");
    running.control.reload();
    assert!(running.told().await.starts_with("rejected"));
    running.control.reload();
    assert!(running.told().await.starts_with("rejected"), "asked again, it says so again");
}

#[tokio::test]
async fn switches_and_reloads_are_published_by_turns() {
    let mut running = Running::start(&file(&[("main", "sk-1"), ("backup", "sk-2"), ("last", "sk-3")])).await;
    let switch = |to: &str| Switch { to: to.into(), cause: "manual", reason: "a drill".to_owned(), pinned: false };
    for to in ["nowhere", "main", "backup"] {
        running.control.switch(switch(to), None);
    }
    assert_eq!(running.told().await, "main -> backup (manual): a drill");
    running.save(&file(&[("main", "sk-1"), ("backup", "sk-2"), ("last", "sk-4")]));
    assert!(running.told().await.starts_with("2: endpoint last/a: key changed"));
    assert_eq!(running.active(), "backup", "a reload leaves a switch alone");
    running.save(&file(&[("main", "sk-1"), ("last", "sk-4")]));
    assert!(running.told().await.starts_with("3: profile backup removed"));
    assert_eq!(running.told().await, "backup -> main (reload): backup left the chain");
    assert_eq!(running.active(), "main");
}

#[tokio::test]
async fn no_secret_is_told() {
    let mut running = Running::start(&one("sk-canary-1")).await;
    running.save(&one("sk-canary-2"));
    let accepted = running.told().await;
    running.save(&one("sk-canary-3, wait: 1"));
    let rejected = running.told().await;
    let told = format!("{accepted} {rejected} {:?} {:?}", running.control.status().borrow(), running.cell.load());
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test]
async fn an_ejected_endpoint_that_becomes_the_only_one_is_back_within_seconds() {
    let mut running = Running::start(&file(&[("production", "sk-1"), ("backup", "sk-2")])).await;
    let endpoint = |running: &Running| Arc::clone(&running.cell.load().chain[0].endpoints[0]);
    let ask = Ask::default();
    let ticket = endpoint(&running).begin(&ask, Moment::now()).expect("it admits");
    let policy = Policy { threshold: 1, sole: false };
    ticket.finish(&Outcome::FAILED, "down", &ask, Moment::now(), policy, 0.5).expect("it is ejected");
    let out_for = |running: &Running| match endpoint(running).state.standing(Moment::now()) {
        Standing::Ejected { until, .. } => until.since(Moment::now()),
        _ => Duration::ZERO,
    };
    assert!(out_for(&running) > SOLE_EJECTION, "there is another endpoint");
    running.save(&file(&[("production", "sk-1")]));
    running.told().await;
    assert!(out_for(&running) <= SOLE_EJECTION, "{:?}", out_for(&running));
}

#[tokio::test]
async fn a_certificate_that_is_no_file_keeps_its_endpoint_out_and_nobody_waiting() {
    let running = Running::start_with(&one("sk-1, ca_file: fifo"), |dir| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
    })
    .await;
    let endpoint = Arc::clone(&running.cell.load().chain[0].endpoints[0]);
    let Credential::Missing(why) = &endpoint.credential else { panic!("{endpoint:?}") };
    assert!(why.contains("fifo") && why.contains("not a regular file"), "{why}");
}

#[tokio::test]
async fn an_endpoint_that_takes_no_traffic_for_a_while_finds_its_state_if_it_is_still_the_same() {
    let text = |backup: &str| file(&[("main", "sk-1"), ("backup", backup)]);
    let mut running = Running::start(&text("sk-2")).await;
    let last = |running: &Running| running.cell.load().endpoints().last().cloned().expect("it is in the chain");
    let before = last(&running);
    for out in ["sk-2, enabled: false", "sk-2, enabled: false, weight: 7"] {
        running.save(&text(out));
        running.told().await;
        let snapshot = running.cell.load();
        assert_eq!((snapshot.endpoints().count(), snapshot.aside.len()), (1, 1));
        let aside = &snapshot.aside[0];
        assert!(matches!(aside.credential, Credential::Missing(_)) && aside.target.is_none(), "its key is gone");
    }
    running.save(&text("sk-2"));
    running.told().await;
    let after = last(&running);
    assert!(Arc::ptr_eq(&before.state, &after.state) && Arc::ptr_eq(&before.key, &after.key));
    assert!(running.cell.load().aside.is_empty());
    for next in ["sk-3, enabled: false", "sk-3"] {
        running.save(&text(next));
        running.told().await;
    }
    assert!(!Arc::ptr_eq(&after.state, &last(&running).state), "with another key it is another one");
    for next in [one("sk-1").replace("production", "main"), text("sk-3")] {
        assert!(running.cell.load().aside.is_empty(), "what is removed is forgotten");
        running.save(&next);
        running.told().await;
    }
}
