//! Conversations that are kept.

use super::super::Store;
use super::super::conversations::{Conversation, all, save};

fn conversation(session: &str, endpoint: &str, last: i64) -> Conversation {
    let [session, profile, endpoint, group] = [session, "production", endpoint, "group"].map(str::to_owned);
    Conversation { session, profile, endpoint, group, last }
}

async fn saved(store: &Store, conversations: Vec<Conversation>, since: i64) -> Vec<Conversation> {
    store.write(move |tx| save(tx, &conversations, since)).await.expect("is written");
    store.read(all).await.expect("is readable")
}

#[tokio::test]
async fn each_is_kept_where_it_was_served_last_until_it_is_too_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let (one, two) = (conversation("one", "a", 10), conversation("two", "b", 20));
    assert_eq!(saved(&store, vec![two.clone(), one.clone()], 0).await, [one, two.clone()]);
    let moved = conversation("one", "c", 30);
    assert_eq!(saved(&store, vec![moved.clone()], 20).await, [two, moved.clone()]);
    assert_eq!(saved(&store, vec![], 21).await, [moved]);
}

#[tokio::test]
async fn ten_thousand_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let many = (0..10_005).map(|nth| conversation(&nth.to_string(), "a", nth)).collect();
    let kept = saved(&store, many, 0).await;
    assert_eq!((kept.len(), kept[0].last, kept[9_999].last), (10_000, 5, 10_004));
}
