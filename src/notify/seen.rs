//! What was told about which thing, so that it is not told again and again. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Moment;

/// How long the same about the same thing is no news.
const STALE: Duration = Duration::from_mins(1);
/// Things that are remembered.
const MOST: usize = 1024;

/// The last news of each thing.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<String, (String, Moment)>);

impl Seen {
    /// Whether `news` differs from the last of `subject`, or that was told a minute ago. What is news is remembered.
    pub(super) fn is_news(&mut self, subject: &str, news: &str, now: Moment) -> bool {
        let told = self.0.get(subject);
        if told.is_some_and(|(last, at)| last == news && now.since(*at) < STALE) {
            return false;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, at)| now.since(*at) < STALE);
        }
        // Still full of what is fresh: then something is told twice rather than kept forever.
        if self.0.len() < MOST || self.0.contains_key(subject) {
            self.0.insert(subject.to_owned(), (news.to_owned(), now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_and_whatever_differs_at_once() {
        let (mut seen, start) = (Seen::default(), Moment::now());
        let at = |seconds| start.after(Duration::from_secs(seconds));
        for (second, subject, news, told) in [
            (0, "a", "ejected", true),
            (59, "a", "ejected", false),
            (59, "b", "ejected", true),
            (60, "a", "ejected", true),
            (61, "a", "recovered", true),
            (62, "a", "ejected", true),
            (63, "a", "ejected", false),
        ] {
            assert_eq!(seen.is_news(subject, news, at(second)), told, "{second}: {subject} {news}");
        }
    }

    #[test]
    fn its_memory_is_bounded() {
        let (mut seen, now) = (Seen::default(), Moment::now());
        for number in 0..2 * MOST {
            assert!(seen.is_news(&number.to_string(), "new", now));
        }
        assert_eq!(seen.0.len(), MOST);
        assert!(seen.is_news("later", "new", now.after(STALE)));
        assert_eq!(seen.0.len(), 1);
    }
}
