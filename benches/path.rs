//! Micro-benchmarks of what is ours on the way of a request, and of what a save of the file costs: `cargo bench --bench path`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use qcc::config::{self, Loaded};
use qcc::dispatch::call::{Call, Kind};
use qcc::dispatch::facts::Facts;
use qcc::dispatch::gate::Gate;
use qcc::dispatch::inspect::Decoder;
use qcc::dispatch::replay::Replay;
use qcc::dispatch::sse::Scanner;
use qcc::patch::{self, Edit};
use qcc::snapshot::build::{Inputs, build};
use qcc::snapshot::secrets::Secrets;
use qcc::snapshot::{Snapshot, SnapshotCell};
use qcc::time::Moment;
use qcc::upstream::balance::{Picker, Tried};
use qcc::upstream::eligible::Ask;

fn main() {
    divan::main();
}

/// Endpoints of one profile in a file of many.
const EACH: usize = 10;

/// A file with so many endpoints, `each` to a profile.
fn file(endpoints: usize, each: usize) -> String {
    let endpoint = |nth: usize| {
        format!(
            "      - id: e{nth}\n        base_url: https://host-{nth}.example.com/anthropic\n        \
             api_key: sk-ant-bench-{nth}\n        weight: {}\n        models: {{ claude-sonnet-4-5: sonnet }}\n",
            1 + nth % 7
        )
    };
    let profile = |nth: usize| {
        let members: String = (nth * each..endpoints.min((nth + 1) * each)).map(endpoint).collect();
        format!("  profile-{nth}:\n    tier: primary\n    endpoints:\n{members}")
    };
    let profiles: String = (0..endpoints.div_ceil(each)).map(profile).collect();
    format!("version: 1\nprofiles:\n{profiles}")
}

fn loaded(text: &str) -> Loaded {
    config::load_bytes(Path::new("qcc.yaml"), text.as_bytes())
}

fn snapshot(text: &str, previous: Option<&Snapshot>) -> Snapshot {
    let config = Arc::new(loaded(text).config.expect("a valid file"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let resolved = runtime.block_on(Secrets::new(Path::new("qcc.yaml")).resolve(&config));
    build(&Inputs { config, resolved: &resolved, sha256: "", generation: 1, salt: [0; 32] }, previous)
}

/// A request body with the texts, quotes and escapes of code.
fn body(size: usize) -> Replay {
    let text = r#"    let name = \"value\";\n    // and a comment about it\n"#.repeat(size / 58 + 1);
    let whole = Bytes::from(format!(
        r#"{{"model":"claude-sonnet-4-5","stream":true,"metadata":{{"user_id":"user_a_account_b_session_c"}},"messages":[{{"role":"user","content":"{text}"}}]}}"#
    ));
    Replay::new((0..whole.len()).step_by(16_384).map(|at| whole.slice(at..whole.len().min(at + 16_384))).collect())
}

fn call(size: usize) -> Call {
    let headers = [
        ("host", "localhost"),
        ("accept", "application/json"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "claude-code-20250219"),
        ("content-type", "application/json"),
        ("user-agent", "claude-cli/2.0.1 (external, cli)"),
        ("x-app", "cli"),
        ("x-stainless-lang", "js"),
        ("x-stainless-retry-count", "0"),
        ("x-api-key", "sk-ant-client"),
        ("content-length", "2000"),
        ("connection", "keep-alive"),
    ];
    let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let body = body(size);
    Call {
        kind: Kind::Messages,
        method: Method::POST,
        target: PathAndQuery::from_static("/v1/messages?beta=true"),
        headers: HeaderMap::from_iter(headers),
        facts: Facts::of(&body),
        body,
        session: None,
        deadline: tokio::time::Instant::now(),
        room: None,
        stored: false,
    }
}

/// The pieces of a stream of tiny events.
fn events(number: usize) -> Vec<Bytes> {
    let event = |name: &str| Bytes::from(format!("event: {name}\ndata: {{\"type\":\"{name}\",\"index\":0}}\n\n"));
    let mut pieces = vec![event("message_start"), event("content_block_start")];
    pieces.resize(number, event("content_block_delta"));
    pieces
}

#[divan::bench(args = [2, 10_000])]
fn pick(bencher: Bencher<'_, '_>, endpoints: usize) {
    let snapshot = snapshot(&file(endpoints, endpoints), None);
    let (mut picker, ask, tried) = (Picker::new(7), Ask::model(Some("claude-sonnet-4-5")), Tried::new());
    bencher.bench_local(|| picker.pick(&snapshot.chain[0], &ask, &tried, Moment(7)));
}

#[divan::bench]
fn load_snapshot(bencher: Bencher<'_, '_>) {
    let cell = SnapshotCell::new(snapshot(&file(EACH, EACH), None));
    bencher.bench_local(|| cell.load());
}

#[divan::bench(args = [2_000, 100_000, 5_000_000])]
fn scan_body(bencher: Bencher<'_, '_>, size: usize) {
    let body = body(size);
    bencher.counter(BytesCount::new(size)).bench_local(|| Facts::of(black_box(&body)));
}

#[divan::bench(args = [2_000, 100_000, 5_000_000])]
fn splice_model(bencher: Bencher<'_, '_>, size: usize) {
    let (call, name) = (call(size), Bytes::from_static(b"\"sonnet\""));
    bencher.bench_local(|| call.body.splice(&call.facts.model_at, &name));
}

#[divan::bench]
fn rewrite_head(bencher: Bencher<'_, '_>) {
    let (snapshot, call) = (snapshot(&file(2, 2), None), call(2_000));
    let endpoint = &snapshot.chain[0].endpoints[0];
    bencher.bench_local(|| call.request_for(black_box(endpoint)));
}

#[divan::bench]
fn open_gate(bencher: Bencher<'_, '_>) {
    let events = events(2);
    bencher.bench_local(|| {
        let mut gate = Gate::new(Decoder::Identity, true);
        events.iter().map(|piece| gate.feed(piece, Moment(7))).last()
    });
}

#[divan::bench]
fn scan_events(bencher: Bencher<'_, '_>) {
    let events = events(200);
    bencher.counter(ItemsCount::new(events.len())).bench_local(|| {
        let mut scanner = Scanner::default();
        for piece in &events {
            scanner.feed(piece);
        }
        scanner
    });
}

#[divan::bench(args = [10, 1_000, 10_000], sample_count = 20, sample_size = 1)]
fn load_config(bencher: Bencher<'_, '_>, endpoints: usize) {
    let text = file(endpoints, EACH);
    bencher.bench_local(|| loaded(black_box(&text)));
}

#[divan::bench(args = [10, 1_000, 10_000], sample_count = 20, sample_size = 1)]
fn reload(bencher: Bencher<'_, '_>, endpoints: usize) {
    let text = file(endpoints, EACH);
    let previous = snapshot(&text, None);
    bencher.bench_local(|| snapshot(black_box(&text), Some(&previous)));
}

#[divan::bench(args = [10, 1_000], sample_count = 20, sample_size = 1)]
fn patch_weight(bencher: Bencher<'_, '_>, endpoints: usize) {
    let loaded = loaded(&file(endpoints, EACH));
    let path = "profiles.profile-0.endpoints[e1].weight".parse().expect("a path");
    let edits = [Edit::Set { path, value: 9.into() }];
    bencher.bench_local(|| patch::plan(black_box(&loaded), &edits).expect("a valid edit"));
}
