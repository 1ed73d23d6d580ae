use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::load_bytes;
use crate::dispatch::plan::Plan;
use crate::snapshot::build::{Inputs, build};
use crate::snapshot::secrets::glance;
use crate::upstream::balance::Picker;
use crate::upstream::outcome::RateLimit;
use crate::upstream::rest::Scope;

/// `production` with a, b (three times the weight), c (second priority) and d (stand-by); `backup` with e.
fn snapshot(more: &str) -> Snapshot {
    let endpoint = |id: &str, keys: &str| {
        format!("      - {{ id: {id}, base_url: \"http://127.0.0.1:1/{id}\", api_key: key-{id}, {keys} }}\n")
    };
    let production: String = [("a", "weight: 100"), ("b", "weight: 300"), ("c", "priority: 2"), ("d", "weight: 0")]
        .map(|(id, keys)| endpoint(id, keys))
        .concat();
    let text = format!(
        "version: 1\n{more}profiles:\n  production:\n    tier: primary\n    endpoints:\n{production}  backup:\n    tier: secondary\n    endpoints:\n{}",
        endpoint("e", "weight: 1")
    );
    let loaded = load_bytes(Path::new("/qcc.yaml"), text.as_bytes());
    let config = Arc::new(loaded.config.clone().unwrap_or_else(|| panic!("{}", loaded.report(false))));
    let resolved = glance(&config, Path::new("/"), None);
    build(&Inputs { config, resolved: &resolved, sha256: "", generation: 1, salt: [0; 32] }, None)
}

/// Ids by their turn; those that are not asked after a bar.
fn told(snapshot: &Snapshot, request: &Request<'_>) -> String {
    let place = |candidate: &Candidate<'_>| match candidate.place {
        Place::Asked { turn, share, .. } => {
            format!("{turn}{}{:.0}", candidate.endpoint.id.id, 100.0 * share.unwrap_or(9.0))
        }
        Place::Blocked(blocked) => format!("{}:{}", candidate.endpoint.id.id, blocked.why.word()),
        Place::Confined => format!("{}:confined", candidate.endpoint.id.id),
    };
    explain(snapshot, request, Moment::now()).iter().map(place).collect::<Vec<_>>().join(" ")
}

fn find<'s>(snapshot: &'s Snapshot, id: &str) -> &'s Arc<Endpoint> {
    snapshot.endpoints().find(|endpoint| &*endpoint.id.id == id).expect(id)
}

fn sticky(snapshot: &Snapshot, id: &str) -> Request<'static> {
    let endpoint = find(snapshot, id);
    let sticky = Sticky { endpoint: endpoint.id.clone(), group: Arc::clone(&endpoint.group), last: Moment::now() };
    Request { sticky: Some(sticky), ..Request::default() }
}

#[test]
fn turns_go_by_priority_stand_by_and_chain_and_those_of_one_turn_share() {
    let snapshot = snapshot("");
    assert_eq!(told(&snapshot, &Request::default()), "1b75 1a25 2d100 3c100 4e100");
}

#[test]
fn a_conversation_comes_first_and_what_broke_it_last() {
    let snapshot = snapshot("");
    assert_eq!(told(&snapshot, &sticky(&snapshot, "c")), "1c100 2b75 2a25 3d100 4e100");
    let avoided = Request { avoided: Some(find(&snapshot, "b").id.clone()), ..Request::default() };
    assert_eq!(told(&snapshot, &avoided), "1a100 2d100 3c100 4e100 5b100");
}

#[test]
fn whoever_cannot_take_it_says_why() {
    let snapshot = snapshot("");
    let now = Moment::now();
    let limit = RateLimit { wait: Some(Duration::from_mins(1)), whole_key: true };
    find(&snapshot, "a").key.rest(Scope::Own { model: None }, limit, now);
    find(&snapshot, "b").state.restore(now.after(Duration::from_mins(1)), "down", 1, now);
    assert_eq!(told(&snapshot, &Request::default()), "1d100 2c100 3e100 a:rate_limited b:ejected");
    for endpoint in snapshot.endpoints() {
        endpoint.state.restore(now.after(Duration::from_mins(1)), "down", 1, now);
    }
    assert!(told(&snapshot, &Request::default()).starts_with("1b100 a:rate_limited"), "the last resort");
}

#[test]
fn confined_requests_stay_in_the_active_profile() {
    let snapshot = snapshot("failover: { auto_failover: false }\n");
    assert_eq!(told(&snapshot, &Request::default()), "1b75 1a25 2d100 3c100 e:confined");
}

/// Whatever is told, a real plan goes the same way.
#[test]
fn a_plan_asks_in_the_order_that_was_told() {
    for sticks_to in [None, Some("c"), Some("e")] {
        let snapshot = snapshot("");
        let request = sticks_to.map_or_else(Request::default, |id| sticky(&snapshot, id));
        let candidates = explain(&snapshot, &request, Moment::now());
        for seed in 0..20 {
            let mut plan = Plan::new(&snapshot, request.sticky.clone(), None, false, None);
            let (mut picker, mut before) = (Picker::new(seed), 0);
            while let Some(ticket) = plan.first_chance(&mut picker, &request.ask, Moment::now()) {
                let asked = candidates.iter().find(|candidate| Arc::ptr_eq(candidate.endpoint, ticket.endpoint()));
                let Some(Place::Asked { turn, .. }) = asked.map(|asked| asked.place) else { panic!("was not told") };
                assert!(turn >= before, "turn {turn} after {before}");
                before = turn;
            }
            assert!(before >= 4, "all were asked");
        }
    }
}
