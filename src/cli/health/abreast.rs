//! Endpoints that are asked at the same time, as few as the proxy's own checks are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// So many at once.
const AT_ONCE: usize = 2;

/// Asks all `of` them; each answer is told when it comes, and all are given in the order of the questions.
pub(super) fn ask_all<T: Sync, A: Send>(of: &[T], ask: impl Fn(&T) -> A + Sync, mut tell: impl FnMut(&A)) -> Vec<A> {
    let (next, ask) = (AtomicUsize::new(0), &ask);
    let (told, answers) = mpsc::channel();
    let mut given: Vec<(usize, A)> = thread::scope(|scope| {
        for told in vec![told; AT_ONCE.min(of.len())] {
            let next = &next;
            scope.spawn(move || {
                while let Some((at, one)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, of.get(at)?)))
                {
                    // Whoever listens stays until the last answer.
                    drop(told.send((at, ask(one))));
                }
            });
        }
        answers.iter().inspect(|(_, answer)| tell(answer)).collect()
    });
    given.sort_by_key(|(at, _)| *at);
    given.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn two_are_asked_at_once_and_answers_keep_the_order_of_the_questions() {
        let (pair, busy, most) = (Barrier::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        let ask = |number: &usize| {
            let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            pair.wait();
            busy.fetch_sub(1, Ordering::SeqCst);
            number * 10
        };
        let mut told = Vec::new();
        let answers = ask_all(&[1, 2, 3, 4, 5, 6], ask, |answer| told.push(*answer));
        assert_eq!(answers, [10, 20, 30, 40, 50, 60]);
        told.sort_unstable();
        assert_eq!((told, most.into_inner()), (answers, 2));
        assert_eq!(ask_all(&[], |number: &usize| *number, |_| ()), [0; 0]);
    }
}
