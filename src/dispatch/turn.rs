//! Whose turn it is on a worker.

use std::task::Poll;

/// Lets every task that is ready now go first; where there is none, goes on at once.
///
/// A worker that has several requests at hand takes all of them in before it sends the first one on, and so with their
/// answers: writing wakes whoever reads, and waking several in a row costs less than waking each from its sleep.
pub async fn others_first() {
    let mut is_back = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_back, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    #[tokio::test]
    async fn what_is_ready_comes_before_what_gave_way() {
        let order = Rc::<RefCell<Vec<&str>>>::default();
        let task = |before, after| {
            let order = Rc::clone(&order);
            async move {
                order.borrow_mut().push(before);
                others_first().await;
                order.borrow_mut().push(after);
            }
        };
        let both = async {
            let tasks = [spawn_local(task("one in", "one out")), spawn_local(task("two in", "two out"))];
            for task in tasks {
                task.await.expect("it does not panic");
            }
        };
        LocalSet::new().run_until(both).await;
        assert_eq!(*order.borrow(), ["one in", "two in", "one out", "two out"]);
    }
}
