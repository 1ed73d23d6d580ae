//! The failure queue: nothing that was acknowledged is lost, and nothing is paid for twice.

use std::time::Duration;

use qcc::store::Reader;
use qcc::store::entries::{self, State};

use crate::support::client::read_until;
use crate::support::config::{CANARY, endpoint, in_order, with};
use crate::support::{
    Answer, Client, End, Gate, Proxy, Recorded, Reply, Request, Setup, Upstream, in_time, messages, profile,
};

/// Everything fails at once, and is tried again at once.
const QUEUE: &str = "queue: { hold: 0s, strategy: fixed, base: 200ms, max_retries: 5 }";

/// A proxy that keeps its state below its own directory.
async fn start(queue: &str, upstream: &Upstream) -> Proxy {
    let more =
        format!("{queue}\nfailover: {{ failure_threshold: 1000, auto_recovery: false }}\nstate: {{ dir: state }}");
    Proxy::start(&with(&more, &[in_order([upstream.url()])])).await
}

/// Ends an ejection, so that a test need not wait for its time.
async fn forgive(proxy: &Proxy) {
    assert_eq!(proxy.post("/v1/endpoints/reset", r#"{"endpoint":"a"}"#).await.0, 200);
}

fn failing() -> Reply {
    Reply::error(500, "api_error", "x")
}

/// Asserts that the request was kept, and gives its name.
#[track_caller]
fn queued(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, Some("true")), "{answer:?}");
    let after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("integer retry-after");
    assert!(after <= 55, "{answer:?}");
    answer.header("qcc-queued").expect("it was queued").to_owned()
}

#[tokio::test]
async fn what_failed_is_kept_tried_again_and_handed_to_the_re_send_once() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(QUEUE, &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    assert_eq!(proxy.entries().len(), 1, "it is on disk before the client is told");
    upstream.script(Reply::served);
    proxy.wait_entry(&id, State::Done).await;
    let calls = upstream.count();
    // The client's own fallback: without streaming, with another `max_tokens`.
    let body = format!(
        r#"{{"model":"{}","max_tokens":21333,"messages":[{{"role":"user","content":"say hi"}}]}}"#,
        messages::MODEL
    );
    let answer = proxy.send(&Request::messages(body).session("s")).await;
    assert_eq!(answer.assert_served().header("qcc-queued-answer"), Some(&*id));
    let message: serde_json::Value = serde_json::from_slice(&answer.body).expect("one message");
    assert_eq!(message["content"][0]["text"], "hello");
    assert_eq!(
        (&message["stop_reason"], answer.header("content-type")),
        (&"end_turn".into(), Some("application/json"))
    );
    assert_eq!(upstream.count(), calls, "it was paid for once");
    let (_, shown) = command(&proxy, &["show", &id]).await;
    assert!(shown.contains("reason       answered by production/a\n") && shown.contains("production/a: success 200\n"));
    let again = proxy.send(&Request::stream().session("s")).await;
    assert_eq!(again.assert_served().header("qcc-queued-answer"), None, "handed out once");
    assert_eq!(upstream.count(), calls + 1);
}

#[tokio::test]
async fn a_kept_message_is_told_in_events_where_a_stream_is_asked_for() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(QUEUE, &upstream).await;
    let id = queued(&proxy.send(&Request::unary().session("s")).await);
    upstream.script(Reply::served);
    proxy.wait_entry(&id, State::Done).await;
    let answer = proxy.send(&Request::stream().session("s")).await;
    assert_eq!(answer.assert_served().header("qcc-queued-answer"), Some(&*id));
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")), "{answer:?}");
    assert!(answer.text().contains("event: message_stop") && answer.text().contains("hello"), "{answer:?}");
}

#[tokio::test]
async fn a_re_send_takes_a_waiting_entry_over_and_its_success_ends_it() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start("queue: { hold: 0s, strategy: fixed, base: 10m, max_delay: 10m }", &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let again = queued(&proxy.send(&Request::unary().session("s")).await);
    assert_eq!((again, proxy.entries().len()), (id.clone(), 1), "the same entry, not a second one");
    upstream.script(Reply::served);
    let calls = upstream.count();
    proxy.send(&Request::stream().session("s")).await.assert_served();
    let done = proxy.wait_entry(&id, State::Done).await;
    assert_eq!(upstream.count(), calls + 1);
    assert_eq!((done.attempts.len(), &*done.reason), (calls + 1, "answered to a re-send by production/a"));
}

#[tokio::test]
async fn a_re_send_attaches_to_the_try_that_is_under_way() {
    let (upstream, gate) = (Upstream::always(failing()).await, Gate::closed());
    let proxy = start(QUEUE, &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let (calls, waiting) = (upstream.count(), gate.clone());
    upstream.script(move |seen| Reply::served(seen).behind(&waiting));
    upstream.wait_for(calls + 1).await;
    let mut asked = tokio::task::JoinSet::new();
    let address = proxy.address;
    asked.spawn(async move { Client::h1(address).await.send(&Request::unary().session("s")).await });
    // Another conversation is another request, and so is one without a conversation.
    let count = upstream.count();
    let mut others = tokio::task::JoinSet::new();
    others.spawn(async move { Client::h1(address).await.send(&Request::stream().session("other")).await });
    others.spawn(async move { Client::h1(address).await.send(&Request::stream()).await });
    upstream.wait_for(count + 2).await;
    gate.open();
    let answer = asked.join_next().await.expect("it was asked").expect("no panic");
    assert_eq!(answer.assert_served().header("qcc-queued-answer"), Some(&*id));
    for other in others.join_all().await {
        assert_eq!(other.assert_served().header("qcc-queued-answer"), None);
    }
    assert_eq!(upstream.count(), count + 2, "no second call for what was under way");
}

/// Several re-sends that are waited for together.
type Asked = tokio::task::JoinSet<Answer>;

/// Sends these, each on a connection of its own, and waits until `in_flight` requests are with the proxy in all.
async fn ask(proxy: &Proxy, asked: &mut Asked, requests: &[Request], in_flight: usize) {
    for request in requests {
        let (address, request) = (proxy.address, request.clone());
        asked.spawn(async move { Client::h1(address).await.send(&request).await });
    }
    let line = format!("qcc_requests_in_flight {in_flight}");
    in_time(&line, async { while !proxy.metrics().await.lines().any(|found| found == line) {} }).await;
}

/// A proxy with one waiting entry of session `s`, whose next call upstream is answered behind the gate.
async fn waiting_behind_a_gate(reply: impl Fn(&Recorded, &Gate) -> Reply + Send + Sync + 'static) -> Parked {
    let (upstream, gate) = (Upstream::always(failing()).await, Gate::closed());
    let proxy = start(SLOW, &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let (calls, waiting) = (upstream.count(), gate.clone());
    upstream.script(move |seen| reply(seen, &waiting));
    Parked { proxy, upstream, gate, id, calls }
}

struct Parked {
    proxy: Proxy,
    upstream: Upstream,
    gate: Gate,
    id: String,
    /// Calls upstream so far.
    calls: usize,
}

fn behind(seen: &Recorded, gate: &Gate) -> Reply {
    Reply::served(seen).behind(gate)
}

/// The first half at once, the second behind the gate.
fn half_and_half(_: &Recorded, gate: &Gate) -> Reply {
    let begin = [messages::start(), messages::block_start(0), messages::delta(0, "hel")];
    let rest = [messages::delta(0, "lo"), messages::block_stop(0), messages::message_delta(), messages::message_stop()];
    Reply::sse(begin).then(gate, rest.concat())
}

#[tokio::test]
async fn re_sends_that_overlap_are_one_call_and_all_are_answered() {
    let Parked { proxy, upstream, gate, id, calls } = waiting_behind_a_gate(behind).await;
    let (stream, unary) = (Request::stream().session("s"), Request::unary().session("s"));
    let mut asked = Asked::new();
    ask(&proxy, &mut asked, std::slice::from_ref(&stream), 1).await;
    upstream.wait_for(calls + 1).await;
    proxy.wait_entry(&id, State::Running).await;
    ask(&proxy, &mut asked, &[stream.clone(), unary.clone(), stream, unary], 5).await;
    gate.open();
    let answers = asked.join_all().await;
    let attached = answers.iter().filter(|answer| answer.header("qcc-queued-answer") == Some(&*id)).count();
    assert_eq!((attached, upstream.count()), (4, calls + 1), "paid for once");
    for answer in answers {
        assert!(answer.assert_served().text().contains("hello"), "{answer:?}");
    }
    proxy.wait_entry(&id, State::Done).await;
    let again = proxy.send(&Request::stream().session("s")).await;
    assert_eq!(again.assert_served().header("qcc-queued-answer"), None, "handed out to all who waited, once");
}

#[tokio::test]
async fn all_who_are_attached_to_a_workers_try_are_answered_by_it() {
    let (upstream, gate) = (Upstream::always(failing()).await, Gate::closed());
    let proxy = start(QUEUE, &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let (calls, waiting) = (upstream.count(), gate.clone());
    upstream.script(move |seen| behind(seen, &waiting));
    upstream.wait_for(calls + 1).await;
    let count = upstream.count();
    let mut asked = Asked::new();
    let requests = [Request::unary().session("s"), Request::stream().session("s"), Request::unary().session("s")];
    ask(&proxy, &mut asked, &requests, 3).await;
    gate.open();
    for answer in asked.join_all().await {
        assert_eq!(answer.assert_served().header("qcc-queued-answer"), Some(&*id));
    }
    assert_eq!(upstream.count(), count);
}

/// Attaches two to the try that `first` has begun, lets `first` leave, and sees them answered by that try.
async fn assert_outlives<T>(parked: Parked, first: T, in_flight: usize) {
    let Parked { proxy, upstream, gate, id, calls } = parked;
    let mut asked = Asked::new();
    let requests = [Request::unary().session("s"), Request::stream().session("s")];
    ask(&proxy, &mut asked, &requests, 2 + in_flight).await;
    drop(first);
    ask(&proxy, &mut asked, &[], 2).await;
    gate.open();
    for answer in asked.join_all().await {
        assert_eq!(answer.assert_served().header("qcc-queued-answer"), Some(&*id));
        assert!(answer.text().contains("\"lo\"") || answer.text().contains("hello"), "all of it: {answer:?}");
    }
    assert_eq!(upstream.count(), calls + 1, "paid for once");
}

#[tokio::test]
async fn the_first_leaves_before_its_answer_and_the_others_get_it() {
    let parked = waiting_behind_a_gate(behind).await;
    let (mut client, request) = (Client::h1(parked.proxy.address).await, Request::stream().session("s"));
    let mut pending = Box::pin(async move { client.begin(&request).await.map(drop) });
    tokio::select! {
        answer = &mut pending => panic!("it is behind the gate: {answer:?}"),
        _ = parked.upstream.wait_for(parked.calls + 1) => {}
    }
    assert_outlives(parked, pending, 1).await;
}

#[tokio::test]
async fn the_first_leaves_in_the_middle_and_the_others_get_all_of_it() {
    let parked = waiting_behind_a_gate(half_and_half).await;
    let mut client = Client::h1(parked.proxy.address).await;
    let mut response = client.begin(&Request::stream().session("s")).await.expect("a head");
    read_until(response.body_mut(), "hel").await;
    assert_outlives(parked, (client, response), 1).await;
}

#[tokio::test]
async fn the_last_who_waits_leaves_and_the_call_is_cancelled() {
    let Parked { proxy, upstream, id, calls, .. } = waiting_behind_a_gate(behind).await;
    let mut asked = Asked::new();
    ask(&proxy, &mut asked, &[Request::stream().session("s"), Request::unary().session("s")], 2).await;
    upstream.wait_for(calls + 1).await;
    proxy.wait_entry(&id, State::Running).await;
    asked.shutdown().await;
    upstream.wait_left(calls).await;
    let entry = proxy.wait_entry(&id, State::Waiting).await;
    assert_eq!((entry.retries, upstream.count()), (0, calls + 1), "it stands where it stood");
    upstream.script(Reply::served);
    proxy.send(&Request::stream().session("s")).await.assert_served();
    proxy.wait_entry(&id, State::Done).await;
}

#[tokio::test]
async fn a_re_send_that_breaks_off_leaves_the_entry_for_the_next() {
    let broken = |_: &Recorded, gate: &Gate| {
        Reply::sse([messages::start(), messages::block_start(0), messages::delta(0, "hel")])
            .then(gate, "")
            .end(End::Reset)
    };
    let Parked { proxy, upstream, gate, id, calls } = waiting_behind_a_gate(broken).await;
    let mut first = Client::h1(proxy.address).await;
    let mut response = first.begin(&Request::stream().session("s")).await.expect("a head");
    read_until(response.body_mut(), "hel").await;
    let mut asked = Asked::new();
    ask(&proxy, &mut asked, &[Request::stream().session("s")], 2).await;
    upstream.script(Reply::served);
    gate.open();
    for answer in asked.join_all().await {
        answer.assert_served();
    }
    proxy.wait_entry(&id, State::Done).await;
    assert_eq!(upstream.count(), calls + 2);
}

#[tokio::test]
async fn re_sends_that_wait_for_one_that_fails_are_told_of_the_same_entry() {
    let fails = |_: &Recorded, gate: &Gate| failing().behind(gate);
    let Parked { proxy, upstream, gate, id, calls } = waiting_behind_a_gate(fails).await;
    let mut asked = Asked::new();
    ask(&proxy, &mut asked, &[Request::stream().session("s")], 1).await;
    upstream.wait_for(calls + 1).await;
    ask(&proxy, &mut asked, &[Request::stream().session("s"), Request::unary().session("s")], 3).await;
    gate.open();
    for answer in asked.join_all().await {
        assert_eq!(queued(&answer), id);
    }
    assert_eq!((upstream.count(), proxy.entries().len()), (2 * calls, 1), "one try for all, one entry");
}

#[tokio::test]
async fn a_re_send_whose_entry_was_taken_out_meanwhile_is_kept_anew() {
    let fails = |_: &Recorded, gate: &Gate| failing().behind(gate);
    let Parked { proxy, upstream, gate, id, calls } = waiting_behind_a_gate(fails).await;
    let mut asked = Asked::new();
    ask(&proxy, &mut asked, &[Request::stream().session("s")], 1).await;
    upstream.wait_for(calls + 1).await;
    assert_eq!(command(&proxy, &["remove", &id]).await.0, Some(0));
    gate.open();
    let told = queued(&asked.join_next().await.expect("it was asked").expect("no panic"));
    assert_eq!(proxy.entries().iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), [&*told]);
    assert_ne!(told, id);
}

#[tokio::test]
async fn an_entry_is_given_up_after_its_retries_and_a_re_send_revives_it() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start("queue: { hold: 0s, strategy: immediate, max_retries: 2 }", &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let dead = proxy.wait_entry(&id, State::Dead).await;
    assert_eq!(dead.retries, 2);
    assert!(proxy.wait_log("queue_dead").await.contains(&id));
    assert_eq!(queued(&proxy.send(&Request::stream().session("s")).await), id);
    proxy.wait_entry(&id, State::Dead).await;
    upstream.script(Reply::served);
    proxy.send(&Request::stream().session("s")).await.assert_served();
    proxy.wait_entry(&id, State::Done).await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_so() {
    let upstream = Upstream::always(failing()).await;
    let slow = "hold: 0s, strategy: fixed, base: 10m, max_delay: 10m";
    for (bound, why) in [("max_entries: 2", "full-of-entries"), ("max_bytes: 1000", "full-of-bytes")] {
        let proxy = start(&format!("queue: {{ {slow}, {bound} }}"), &upstream).await;
        let answers = proxy.send_times(12, &Request::stream()).await;
        let refused = answers.iter().filter(|answer| answer.header("qcc-not-queued") == Some(why)).count();
        let kept = proxy.entries().len();
        assert!(kept >= 2 && refused > 0 && kept + refused == 12, "{kept} {refused}");
        let proxy = proxy.killed_and_again().await;
        let line = format!("qcc_queue_refused_total {refused}");
        assert!(proxy.metrics().await.lines().any(|found| found == line), "{line}: figures last");
        let (_, text) = command(&proxy, &["status"]).await;
        assert!(text.contains(&format!("refused      {refused}\n")), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_the_endpoints_affair_is_not_kept() {
    let upstream = Upstream::always(Reply::error(400, "invalid_request_error", "x")).await;
    let proxy = start(QUEUE, &upstream).await;
    for (reply, request) in [
        (Reply::error(400, "invalid_request_error", "x"), Request::stream()),
        (Reply::error(404, "not_found_error", "model: x"), Request::stream()),
        (Reply::error(500, "api_error", "x"), Request::stream().target("/v1/messages/count_tokens")),
        (Reply::error(401, "authentication_error", "x"), Request::stream()),
    ] {
        upstream.script(move |_| reply.clone());
        assert_eq!(proxy.send(&request).await.header("qcc-queued"), None);
    }
    let off = start("queue: { enabled: false, hold: 0s }", &upstream).await;
    upstream.script(|_| failing());
    assert_eq!(off.send(&Request::stream()).await.header("qcc-queued"), None);
    let passed = profile(
        "production",
        "tier: primary",
        &[format!("      - {{ id: a, base_url: \"{}\", auth: passthrough }}\n", upstream.url())],
    );
    let through = Proxy::start(&with(&format!("{QUEUE}\nstate: {{ dir: state }}"), &[passed])).await;
    assert_eq!(through.send(&Request::stream()).await.header("qcc-queued"), None);
    assert_eq!((proxy.entries(), off.entries(), through.entries()), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn an_outage_gives_up_nothing_and_the_return_makes_no_storm() {
    let upstream = Upstream::always(failing()).await;
    let more = "queue: { hold: 0s, strategy: immediate, max_retries: 3 }\nstate: { dir: state }";
    let proxy = Proxy::start(&with(more, &[in_order([upstream.url()])])).await;
    let mut ids = Vec::new();
    for answer in proxy.send_times(60, &Request::stream()).await {
        ids.push(queued(&answer));
    }
    // Long enough for many retries, were they not postponed while nothing admits.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(proxy.entries().iter().all(|entry| entry.state != State::Dead), "{:?}", proxy.entries());
    let before = upstream.count();
    upstream.script(|seen| Reply::served(seen).late(Duration::from_millis(20)));
    for id in &ids {
        proxy.wait_entry(id, State::Done).await;
    }
    assert!(upstream.count() <= before + 62, "{} calls for 60 entries", upstream.count() - before);
}

#[tokio::test]
async fn no_credential_is_in_any_file_and_the_rest_comes_as_it_was() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(QUEUE, &upstream).await;
    let request = Request::messages(messages::ask(messages::MODEL, true)).without("x-api-key").session("s");
    let request = request
        .header("x-api-key", "sk-canary-client")
        .header("authorization", "Bearer sk-canary-client")
        .header("cookie", "sk-canary-client")
        .header("anthropic-beta", "one")
        .header("anthropic-beta", "two")
        .header("connection", "x-hop")
        .header("x-hop", "hop-by-hop")
        .header("keep-alive", "hop-by-hop");
    let id = queued(&proxy.send(&request).await);
    let mut reader = Reader::open(&proxy.state()).expect("the state is readable").expect("it is there");
    let stored = reader.read(|view| entries::request(view, &id)).expect("it is readable").expect("it waits");
    assert!(memchr::memmem::find(&stored.headers, b"hop").is_none(), "what belongs to the connection is not kept");
    for file in std::fs::read_dir(proxy.state()).expect("the state is there") {
        let path = file.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(memchr::memmem::find(&bytes, CANARY.as_bytes()).is_none(), "a key in {}", path.display());
    }
    upstream.script(Reply::served);
    proxy.wait_entry(&id, State::Done).await;
    let (first, last) = (upstream.requests().remove(0), upstream.requests().pop().expect("it was tried again"));
    assert_eq!((first.sha256(), &first.target), (last.sha256(), &last.target));
    assert_eq!(first.values("anthropic-beta"), last.values("anthropic-beta"));
    assert_eq!((last.header("x-api-key"), last.header("cookie")), (Some("sk-canary-a"), None));
}

#[tokio::test]
async fn finished_and_given_up_entries_expire() {
    let upstream = Upstream::always(failing()).await;
    let queue = "queue: { hold: 0s, strategy: immediate, max_retries: 1, keep: 1s }";
    let proxy = start(queue, &upstream).await;
    let id = queued(&proxy.send(&Request::stream()).await);
    proxy.wait_entry(&id, State::Dead).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    // The next start looks at once; a running proxy looks now and then.
    let proxy = proxy.killed_and_again().await;
    in_time("it expires", async {
        while !proxy.entries().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Kills at random moments of a burst: what was acknowledged is there afterwards, and is answered once.
#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_or_paid_twice() {
    let rounds = std::env::var("QCC_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let upstream = Upstream::always(failing()).await;
    let slow = "queue: { hold: 0s, strategy: fixed, base: 10m, max_delay: 10m, max_entries: 100000 }";
    let mut proxy = start(slow, &upstream).await;
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let (address, mut burst) = (proxy.address, tokio::task::JoinSet::new());
        for client in 0..8 {
            burst.spawn(async move {
                let Some(mut connected) = Client::try_h1(address).await else { return Vec::new() };
                let mut told = Vec::new();
                for nth in 0..50 {
                    let request = Request::stream().session(&format!("{round}-{client}-{nth}"));
                    let Ok(answer) = connected.try_send(&request).await else { break };
                    told.extend(answer.header("qcc-queued").map(str::to_owned));
                }
                told
            });
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..150))).await;
        proxy = proxy.killed_and_again().await;
        acknowledged.extend(burst.join_all().await.into_iter().flatten());
        let there: std::collections::HashSet<_> = proxy.entries().into_iter().map(|entry| entry.id).collect();
        let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(*id)).collect();
        assert_eq!(lost, [] as [&String; 0], "lost in round {round}");
    }
    assert!(acknowledged.len() >= rounds, "{} acknowledged", acknowledged.len());
}

/// Kills at random moments while entries are being answered: what is stored as answered is not asked for again.
#[tokio::test]
async fn killed_while_retrying_no_stored_success_is_paid_for_again() {
    let rounds = std::env::var("QCC_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let upstream = Upstream::always(failing()).await;
    let mut proxy = start("queue: { hold: 0s, strategy: fixed, base: 10ms, max_retries: 1000 }", &upstream).await;
    for round in 0..rounds {
        upstream.script(|_| failing());
        for nth in 0..6 {
            let body = format!(r#"{{"model":"m","stream":true,"messages":"{round}-{nth}"}}"#);
            queued(&proxy.send(&Request::messages(body).session(&format!("{round}-{nth}"))).await);
        }
        upstream.script(|seen| Reply::served(seen).late(Duration::from_millis(5)));
        forgive(&proxy).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..120))).await;
        let done = |proxy: &Proxy| proxy.entries().into_iter().filter(|entry| entry.state == State::Done);
        proxy.signal(rustix::process::Signal::KILL);
        assert_eq!(proxy.exit().await, None);
        let stored: Vec<_> = done(&proxy).filter_map(|entry| entry.session).collect();
        let before = upstream.count();
        proxy = proxy.again().await.unwrap_or_else(|code| panic!("the next start ended with {code:?}"));
        forgive(&proxy).await;
        for entry in proxy.entries().into_iter().filter(|entry| entry.state != State::Done) {
            proxy.wait_entry(&entry.id, State::Done).await;
        }
        for request in upstream.requests().into_iter().skip(before) {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            assert!(stored.iter().all(|id| !text.contains(&format!("\"{id}\""))), "paid again: {text}");
        }
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_written_refuses_and_the_proxy_goes_on() {
    let upstream = Upstream::always(failing()).await;
    let more = format!("{QUEUE}\nstate: {{ dir: state }}");
    let setup = Setup::new(&with(&more, &[in_order([upstream.url()])])).with_file("state", "no directory");
    let Ok(proxy) = setup.start_or_exit().await else { return };
    let answer = proxy.send(&Request::stream()).await;
    assert_eq!((answer.header("qcc-queued"), answer.header("qcc-not-queued")), (None, Some("storage-failed")));
    upstream.script(Reply::served);
    proxy.send(&Request::stream()).await.assert_served();
}

#[tokio::test]
async fn several_endpoints_are_tried_before_a_request_is_kept() {
    let late = failing().late(Duration::from_millis(50));
    let (one, two) = (Upstream::always(failing()).await, Upstream::always(late).await);
    let more = format!("{QUEUE}\nstate: {{ dir: state }}");
    let profiles = [
        profile("production", "tier: primary", &[endpoint("a", &one.url(), "")]),
        profile("backup", "tier: secondary", &[endpoint("b", &two.url(), "")]),
    ];
    let proxy = Proxy::start(&with(&more, &profiles)).await;
    let id = queued(&proxy.send(&Request::unary()).await);
    assert!(one.count() >= 1 && two.count() >= 1);
    two.script(Reply::served);
    let attempts = proxy.wait_entry(&id, State::Done).await.attempts;
    let first = attempts.iter().find(|attempt| attempt.endpoint == "backup/b").expect("it was asked");
    assert!(first.at >= attempts[0].at + 50, "each has a time of its own: {attempts:?}");
    let (last, (_, text)) = (attempts.last().expect("some"), command(&proxy, &["show", &id, "--json"]).await);
    assert_eq!((&*last.endpoint, &*last.outcome, last.status), ("backup/b", "success", 200));
    let shown: serde_json::Value = serde_json::from_str(&text).expect("one document");
    let at = shown["attempts"][0]["at"].as_str().expect("a time as any other");
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
}

#[tokio::test]
async fn a_try_whose_answer_breaks_off_is_kept_as_a_failure() {
    let upstream = Upstream::always(failing()).await;
    let proxy =
        start("queue: { hold: 0s, strategy: fixed, base: 10m, max_delay: 10m, max_retries: 1 }", &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let begin = [messages::start(), messages::block_start(0), messages::delta(0, "hel")];
    upstream.script(move |_| Reply::sse(begin.clone()).end(End::Reset));
    assert_eq!(command(&proxy, &["retry", &id]).await.0, Some(0));
    let dead = proxy.wait_entry(&id, State::Dead).await;
    let last = dead.attempts.last().expect("some");
    assert_eq!((&*last.endpoint, &*last.outcome, last.status), ("production/a", "server", 200), "{dead:?}");
    assert_eq!(last.detail, dead.reason);
}

/// Runs `qcc queue` with these words on the proxy's file.
async fn command(proxy: &Proxy, words: &[&str]) -> (Option<i32>, String) {
    proxy.run(&[&["-c", "qcc.yaml", "queue"], words].concat()).await
}

const SLOW: &str = "queue: { hold: 0s, strategy: fixed, base: 10m, max_delay: 10m }";

#[tokio::test]
async fn entries_are_shown_and_changed_by_hand_while_the_proxy_runs() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(SLOW, &upstream).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let (code, text) = command(&proxy, &["list"]).await;
    assert!(code == Some(0) && text.contains(&id) && text.contains("waiting") && text.contains("  in "), "{text}");
    let (_, text) = command(&proxy, &["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&text).expect("one document");
    assert_eq!(
        (&status["enqueued"], &status["size"], &status["by_state"]["waiting"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(status["line"]["length"], 0);
    let (_, text) = command(&proxy, &["show", &id]).await;
    assert!(text.contains("production/a: server 500"), "{text}");
    let (code, text) = command(&proxy, &["show", &id, "--body"]).await;
    assert_eq!((code, text.into_bytes()), (Some(0), messages::ask(messages::MODEL, true).to_vec()));
    for words in [["retry", "nobody"], ["remove", "nobody"], ["show", "nobody"]] {
        let (code, text) = command(&proxy, &words).await;
        assert!(code == Some(1) && text.contains("`nobody`"), "{text}");
    }
    let text = proxy.metrics().await;
    for line in [
        r#"qcc_queue_entries{state="waiting"} 1"#,
        r#"qcc_queue_entries{state="dead"} 0"#,
        r#"qcc_queue_events_total{event="enqueued"} 1"#,
        "qcc_queue_refused_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("\nqcc_queue_oldest_seconds ") && text.contains("\nqcc_queue_bytes "), "{text}");
    let (asked, gate) = (upstream.count(), Gate::closed());
    let waiting = gate.clone();
    upstream.script(move |seen| behind(seen, &waiting));
    let (code, text) = command(&proxy, &["retry", &id]).await;
    assert!(code == Some(0) && text.contains("is tried now"), "{text}");
    upstream.wait_for(asked + 1).await;
    let reason = proxy.wait_entry(&id, State::Running).await.reason;
    assert!(reason.starts_with("production/a: "), "why it waited is told on: {reason}");
    gate.open();
    proxy.wait_entry(&id, State::Done).await;
    let (code, text) = command(&proxy, &["retry-all"]).await;
    assert!(code == Some(0) && text.contains("nothing to try"), "nobody is asked: {text}");
    let (code, text) = command(&proxy, &["show", &id, "--answer"]).await;
    assert!(code == Some(0) && text.contains("message_stop"), "{text}");
    assert_eq!(command(&proxy, &["show", &id, "--body"]).await.0, Some(1), "what was sent is not kept any longer");
    let (_, text) = command(&proxy, &["status"]).await;
    assert!(text.contains("succeeded    1") && text.contains("done 1"), "{text}");
    assert_eq!(command(&proxy, &["remove", &id]).await.0, Some(0));
    assert_eq!(proxy.entries(), []);
}

#[tokio::test]
async fn all_are_retried_or_taken_out_only_by_who_means_it() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(SLOW, &upstream).await;
    let mut ids = Vec::new();
    for session in ["a", "b", "c"] {
        ids.push(queued(&proxy.send(&Request::stream().session(session)).await));
    }
    for words in [["retry-all"].as_slice(), &["clear"]] {
        let (code, text) = command(&proxy, words).await;
        assert!(code == Some(2) && text.contains("--yes"), "{text}");
    }
    upstream.script(Reply::served);
    let (code, text) = command(&proxy, &["retry-all", "--yes", "--json"]).await;
    assert!(code == Some(0) && text.contains("\"count\": 3"), "{text}");
    for id in &ids {
        proxy.wait_entry(id, State::Done).await;
    }
    let (code, text) = command(&proxy, &["clear", "--state", "dead", "--yes"]).await;
    assert!(code == Some(0) && text.contains("nothing"), "{text}");
    assert_eq!(command(&proxy, &["clear", "--state", "done", "--yes"]).await.0, Some(0));
    assert_eq!(proxy.entries(), []);
    let (code, text) = command(&proxy, &["list", "--state", "odd"]).await;
    assert!(code == Some(2) && text.contains("waiting, running, done or dead"), "{text}");
}

#[tokio::test]
async fn a_retry_by_hand_that_nobody_takes_says_so() {
    let upstream = Upstream::always(failing()).await;
    let more = format!("{SLOW}\nfailover: {{ failure_threshold: 1, auto_recovery: false }}\nstate: {{ dir: state }}");
    // Two, so that an ejection lasts.
    let proxy = Proxy::start(&with(&more, &[in_order([upstream.url(), upstream.url()])])).await;
    let id = queued(&proxy.send(&Request::stream().session("s")).await);
    let (code, text) = command(&proxy, &["retry", &id]).await;
    assert!(code == Some(0) && text.contains("not tried yet: no endpoint takes it now"), "{text}");
    let (code, text) = command(&proxy, &["retry-all", "--yes", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&text).expect("one document");
    assert_eq!((code, &told["count"], &told["waits"]), (Some(0), &1.into(), &"no endpoint takes it now".into()));
}

#[tokio::test]
async fn without_a_proxy_everything_works_but_what_has_to_send() {
    let upstream = Upstream::always(failing()).await;
    let mut proxy = start(SLOW, &upstream).await;
    let ids: Vec<_> = proxy.send_times(3, &Request::stream()).await.iter().map(queued).collect();
    proxy.signal(rustix::process::Signal::KILL);
    proxy.exit().await;
    let (code, text) = command(&proxy, &["status"]).await;
    assert!(code == Some(0) && text.contains("waiting 3") && text.contains("no proxy is running"), "{text}");
    assert_eq!(command(&proxy, &["list", "-n", "2"]).await.1.lines().count(), 3);
    for words in [["retry", &ids[0]].as_slice(), &["retry-all", "--yes"]] {
        let (code, text) = command(&proxy, words).await;
        assert!(code == Some(2) && text.contains("`qcc proxy start`"), "{text}");
    }
    assert_eq!(command(&proxy, &["remove", &ids[0]]).await.0, Some(0));
    assert_eq!(proxy.entries().len(), 2);
    assert_eq!(command(&proxy, &["clear", "--yes"]).await.0, Some(0));
    assert_eq!(proxy.entries(), []);
    let proxy = proxy.again().await.unwrap_or_else(|code| panic!("the next start ended with {code:?}"));
    let (_, text) = command(&proxy, &["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&text).expect("one document");
    assert_eq!((&status["enqueued"], &status["size"]), (&3.into(), &0.into()), "figures last");
}

#[tokio::test]
async fn a_state_that_another_program_locks_is_not_waited_for_and_leaves_no_ghost() {
    let upstream = Upstream::always(failing()).await;
    let proxy = start(SLOW, &upstream).await;
    queued(&proxy.send(&Request::stream()).await);
    let other = rusqlite::Connection::open(proxy.state().join("state.db")).expect("the state is there");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let began = std::time::Instant::now();
    let answer = proxy.send(&Request::stream()).await;
    assert_eq!((answer.status, answer.header("qcc-not-queued")), (500, Some("storage-failed")), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    other.execute_batch("ROLLBACK").expect("it is open");
    in_time("it is kept again", async { while proxy.send(&Request::stream()).await.header("qcc-queued").is_none() {} })
        .await;
    assert_eq!(proxy.entries().len(), 2, "what nobody was told of is not kept");
}
