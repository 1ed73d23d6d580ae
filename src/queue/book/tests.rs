//! Who may try an entry, and when.

use super::*;

fn twin(session: &str) -> Twin {
    Twin { client: None, session: session.into(), fingerprint: [7; 32] }
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

/// A book with one entry of session `s`.
fn book(state: State, due: Moment) -> Arc<Book> {
    let book = Arc::new(Book::default());
    let (id, twin) = ("one".into(), Some(twin("s")));
    book.enter(New { id, twin, model: None, state, retries: 2, at: due, handed: false });
    book
}

#[test]
fn an_entry_is_tried_by_one_at_a_time() {
    let book = book(State::Waiting, at(5));
    assert!(book.next(at(4)).is_none(), "it is not due");
    let claim = book.next(at(5)).expect("it is due");
    assert!(book.next(at(9)).is_none());
    let Met::Running(_, running) = book.meet(&twin("s"), at(9)) else { panic!("it is being tried") };
    claim.wait(at(20), 3);
    assert!(running.has_changed().is_err(), "whoever waits for its end is told");
    assert!(matches!(*running.borrow(), End::Open), "it came to nothing");
    let Met::Claim(claim) = book.meet(&twin("s"), at(9)) else { panic!("a re-send need not wait") };
    assert_eq!(claim.retries, 3);
    assert!(book.next(at(99)).is_none());
}

#[test]
fn a_claim_that_is_dropped_puts_the_entry_back() {
    let waits = book(State::Waiting, at(5));
    drop(waits.meet(&twin("s"), at(1)));
    assert!(waits.next(at(4)).is_none());
    assert!(waits.next(at(5)).is_some());
    let dead = book(State::Dead, at(5));
    drop(dead.meet(&twin("s"), at(1)));
    assert!(dead.next(at(99)).is_none(), "a dead one is tried by nobody but who sends it again");
}

fn answer() -> Arc<Answer> {
    Arc::new(Answer { status: 200, headers: Vec::new(), body: b"{}".to_vec() })
}

#[test]
fn all_who_are_attached_get_the_answer_and_nobody_after_them() {
    let book = book(State::Waiting, at(0));
    let claim = book.next(at(0)).expect("it is due");
    assert!(!claim.is_attended());
    let attach = || match book.meet(&twin("s"), at(1)) {
        Met::Running(id, end) => (id, end),
        other => panic!("it is being tried: {other:?}"),
    };
    let (first, second) = (attach(), attach());
    assert!(claim.is_attended());
    claim.done(at(2), answer(), 3, true);
    for (id, end) in [first, second] {
        assert!(matches!(&*end.borrow(), End::Answered(told) if *told == answer()));
        book.handed(&id);
    }
    assert!(matches!(book.meet(&twin("s"), at(3)), Met::Nobody));
}

#[tokio::test]
async fn a_try_knows_when_the_last_who_waits_for_it_has_left() {
    let book = book(State::Waiting, at(0));
    let claim = book.next(at(0)).expect("it is due");
    let own = claim.attach();
    let Met::Running(_, other) = book.meet(&twin("s"), at(1)) else { panic!("it is being tried") };
    drop(own);
    assert!(tokio::time::timeout(Duration::from_millis(1), claim.deserted()).await.is_err());
    drop(other);
    claim.deserted().await;
}

#[test]
fn an_answer_is_handed_out_once_and_only_while_it_is_fresh() {
    let answered = book(State::Waiting, at(0));
    answered.next(at(0)).expect("it is due").done(at(100), answer(), 3, true);
    assert!(matches!(answered.meet(&twin("s"), at(700)), Met::Done(..)));
    assert!(matches!(answered.meet(&twin("s"), at(700)), Met::Nobody));
    assert!(matches!(book(State::Done, at(100)).meet(&twin("s"), at(701)), Met::Nobody), "too old");
}

#[test]
fn another_session_or_another_client_finds_nothing() {
    let book = book(State::Waiting, at(0));
    assert!(book.knows("s") && !book.knows("t"));
    assert!(matches!(book.meet(&twin("t"), at(0)), Met::Nobody));
    let named = Twin { client: Some("alice".into()), ..twin("s") };
    assert!(matches!(book.meet(&named, at(0)), Met::Nobody));
}

#[test]
fn what_is_taken_out_is_gone_also_for_who_tries_it() {
    let book = book(State::Waiting, at(0));
    let claim = book.next(at(0)).expect("it is due");
    book.remove("one");
    claim.wait(at(0), 1);
    assert!(book.next(at(99)).is_none() && !book.knows("s"));
    assert_eq!(book.length.load(Ordering::Relaxed), 0);
}

#[test]
fn by_hand_the_dead_are_due_at_once() {
    let book = book(State::Dead, at(0));
    assert_eq!(book.retriable().len(), 1);
    book.retry("one", at(3));
    let claim = book.next(at(3)).expect("it is due");
    assert_eq!(claim.retries, 0);
    book.clear(Some(State::Waiting));
    assert!(book.knows("s"), "it is running");
    book.clear(None);
    assert!(!book.knows("s"));
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_when_the_first_is_due() {
    let book = Arc::new(Book::default());
    let began = Moment::now();
    let waiting = tokio::spawn({
        let book = Arc::clone(&book);
        async move { book.due().await }
    });
    tokio::task::yield_now().await;
    let new = |id: &str, after| New {
        id: id.into(),
        twin: None,
        model: None,
        state: State::Waiting,
        retries: 0,
        at: began.after(Duration::from_secs(after)),
        handed: false,
    };
    book.enter(new("late", 60));
    book.enter(new("soon", 20));
    waiting.await.expect("no panic");
    assert_eq!(Moment::now().since(began).as_secs(), 20);
}
