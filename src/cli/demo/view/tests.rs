//! The view as it reads at 80 columns.

use std::time::Duration;

use super::super::cast::Seat;
use super::super::style::{Palette, columns};
use super::View;
use crate::config::model::Tier;
use crate::simulate::Behaviour;
use crate::telemetry::Event;
use crate::telemetry::event::{AttemptRecord, RequestRecord};
use crate::time::Moment;

const NONE: Palette = Palette(false);

fn seat(profile: &str, id: &str, tier: Tier, weight: u32) -> Seat {
    Seat { profile: profile.to_owned(), id: id.to_owned(), tier, weight, base_url: String::new() }
}

fn view() -> View {
    let seats = vec![
        seat("production", "work", Tier::Primary, 3),
        seat("production", "personal", Tier::Primary, 1),
        seat("production", "glm", Tier::Primary, 1),
        seat("backup", "reserve", Tier::Secondary, 100),
        seat("emergency", "emergency", Tier::Fallback, 100),
    ];
    View::new(seats, Some("production".to_owned()), at(0))
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

fn attempt(endpoint: &str, outcome: &'static str, status: u16) -> AttemptRecord {
    AttemptRecord { endpoint: endpoint.to_owned(), outcome, status, detail: String::new(), took: Duration::ZERO }
}

/// A request answered by `endpoint` after the failures of `others`.
fn answered(endpoint: &str, others: &[(&str, &'static str, u16)]) -> Event {
    let (profile, id) = endpoint.split_once('/').expect("PROFILE/ID");
    let mut attempts: Vec<_> = others.iter().map(|(name, outcome, status)| attempt(name, outcome, *status)).collect();
    attempts.push(attempt(endpoint, "success", 200));
    Event::Request(Box::new(RequestRecord {
        method: "POST".to_owned(),
        path: "/v1/messages".to_owned(),
        profile: Some(profile.into()),
        endpoint: Some(id.into()),
        attempts,
        status: 200,
        result: "ok",
        first_byte: Some(Duration::from_millis(140)),
        ..RequestRecord::default()
    }))
}

fn failed() -> Event {
    Event::Request(Box::new(RequestRecord {
        method: "POST".to_owned(),
        path: "/v1/messages".to_owned(),
        attempts: vec![attempt("production/work", "local", 0), attempt("backup/reserve", "auth", 401)],
        status: 503,
        result: "no_endpoint",
        ..RequestRecord::default()
    }))
}

fn hear(view: &mut View, seconds: u64, event: &Event) -> String {
    view.hear(event, at(seconds), 80, NONE).join("\n")
}

#[test]
fn a_fresh_table_shows_every_seat_and_nothing_served() {
    insta::assert_snapshot!(view().table(at(0), 80, NONE), @r"
    ── generation 1 ── active production ── 0 requests, 0 failed ────────── 00:00 ──
     ENDPOINT             WEIGHT  SHARE OF LAST 60    ALL    TTFB  STATE
     production/work           3                 0%     0       -  ready
     production/personal       1                 0%     0       -  ready
     production/glm            1                 0%     0       -  ready
     backup/reserve          100                 0%     0       -  standby
     emergency/emergency     100                 0%     0       -  standby
    ");
}

#[test]
fn shares_times_and_troubles_stand_in_the_table() {
    let mut view = view();
    for (endpoint, count) in [("production/work", 9), ("production/glm", 3), ("backup/reserve", 1)] {
        for _ in 0..count {
            assert_eq!(hear(&mut view, 5, &answered(endpoint, &[])), "");
        }
    }
    let reason = "3 failures in a row".to_owned();
    hear(
        &mut view,
        60,
        &Event::Ejected { endpoint: "production/personal".to_owned(), reason, duration: Some(Duration::from_secs(31)) },
    );
    let behaviours = [("production/glm", Behaviour::Slow), ("production/work", Behaviour::Healthy)];
    view.behave(behaviours.map(|(name, behaviour)| (name.to_owned(), behaviour)));
    hear(&mut view, 61, &Event::Rejected { report: "error: no".to_owned(), errors: 2 });
    hear(
        &mut view,
        62,
        &Event::Switched { from: "production".into(), to: "backup".into(), cause: "manual", reason: String::new() },
    );
    insta::assert_snapshot!(view.table(at(65), 80, NONE), @r"
    ── generation 1 ── save rejected ── active backup ── 13 requests, 0 failed ───
     ENDPOINT             WEIGHT  SHARE OF LAST 60    ALL    TTFB  STATE
     production/work           3  ████████▎     69%     9   140ms  standby
     production/personal       1                 0%     0       -  out 26s: 3 failu…
     production/glm            1  ██▊           23%     3   140ms  simulates slow
     backup/reserve          100  ▉              8%     1   140ms  serving
     emergency/emergency     100                 0%     0       -  standby
     00:05  production/glm  200  140 ms
     00:05  production/glm  200  140 ms
     00:05  backup/reserve  200  140 ms
    ");
}

#[test]
fn an_ejected_endpoint_counts_down_is_tried_and_returns() {
    let mut view = view();
    let endpoint = "production/work".to_owned();
    let ejected =
        Event::Ejected { endpoint: endpoint.clone(), reason: "529".to_owned(), duration: Some(Duration::from_secs(2)) };
    hear(&mut view, 1, &ejected);
    let state =
        |view: &View, seconds| view.table(at(seconds), 80, NONE).lines().nth(2).unwrap_or_default()[50..].to_owned();
    assert!(state(&view, 2).contains("out 1s: 529"), "{}", state(&view, 2));
    assert!(state(&view, 4).contains("on probation"));
    hear(&mut view, 5, &Event::Admitted { endpoint });
    assert!(state(&view, 6).contains("ready"));
}

#[test]
fn everything_but_plain_success_is_said() {
    let mut view = view();
    let mut said = String::new();
    for (seconds, event) in [
        (1, answered("production/work", &[])),
        (2, answered("production/glm", &[("production/work", "server", 529), ("production/personal", "local", 0)])),
        (3, failed()),
        (
            4,
            Event::Reloaded {
                generation: 2,
                changes: vec!["production/work: weight 3 -> 1".to_owned()],
                restart_required: vec!["server.listen".to_owned()],
            },
        ),
        (5, Event::Rejected { report: "error: unknown key `wieght`\n --> qcc.yaml:16:9\n".to_owned(), errors: 1 }),
        (
            66,
            Event::Switched {
                from: "production".into(),
                to: "backup".into(),
                cause: "failover",
                reason: "3 requests in a row".to_owned(),
            },
        ),
        (
            67,
            Event::Ejected {
                endpoint: "production/work".to_owned(),
                reason: "3 failures in a row, of which the last said something very long\u{1b}[2J".to_owned(),
                duration: Some(Duration::from_millis(30_500)),
            },
        ),
        (68, Event::Admitted { endpoint: "production/work".to_owned() }),
    ] {
        let lines = hear(&mut view, seconds, &event);
        said += &lines;
        said += if lines.is_empty() { "" } else { "\n" };
    }
    insta::assert_snapshot!(said, @r"
    00:02  failover  work (server 529) -> personal (local) -> production/glm  200  140 ms
    00:03  failed    production/work (local) -> backup/reserve (auth 401)  503  no_endpoint
    00:04  reloaded  generation 2
           production/work: weight 3 -> 1
           server.listen needs a restart
    00:05  rejected  1 error; the running file stays
           error: unknown key `wieght`
            --> qcc.yaml:16:9
    01:06  switched  production -> backup (failover): 3 requests in a row
    01:07  ejected   production/work for 31 s: 3 failures in a row, of which the last said something very long\u{1b}[2J
    01:08  admitted  production/work
    ");
    assert!(view.table(at(70), 80, NONE).contains("3 requests, 1 failed"), "{}", view.table(at(70), 80, NONE));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut view = view();
    view.reseat(vec![seat("生产环境的配置文件", "工作账户工作账户", Tier::Primary, 1_000_000)]);
    for _ in 0..100 {
        view.hear(&answered("生产环境的配置文件/工作账户工作账户", &[("a/b", "server", 529)]), at(1), 80, NONE);
    }
    let reason = "x".repeat(300);
    let lines = view.hear(
        &Event::Ejected {
            endpoint: "生产环境的配置文件/工作账户工作账户".to_owned(), reason, duration: None
        },
        at(2),
        40,
        Palette(true),
    );
    assert!(lines.iter().all(|line| columns(line) <= 160), "{lines:?}");
    for width in [40, 80, 120, 160] {
        let table = view.table(at(3), width, Palette(true));
        assert!(table.lines().all(|line| columns(line) <= width), "{table}");
    }
}

#[test]
fn shares_follow_the_last_requests_only() {
    let mut view = view();
    for endpoint in [["production/work"; 60], ["production/glm"; 60]].concat() {
        hear(&mut view, 1, &answered(endpoint, &[]));
    }
    let table = view.table(at(2), 80, NONE);
    let row = |name: &str| table.lines().find(|line| line.contains(name)).expect("a row").to_owned();
    assert!(row("production/glm").contains("100%") && row("production/work").contains("  0%"), "{table}");
    assert!(row("production/work").contains("   60 "), "{table}");
}
