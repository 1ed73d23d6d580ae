//! Times, sizes and texts as people are told them.

use std::time::{Duration, SystemTime};

use crate::admin::view::Time;

/// A point in time, to the second, in UTC.
pub(super) fn when(time: Time) -> String {
    humantime::format_rfc3339_seconds(time.0).to_string()
}

/// How long ago it was.
pub(super) fn ago(time: Time, now: SystemTime) -> String {
    format!("{} ago", short(now.duration_since(time.0).unwrap_or_default()))
}

/// How long it is until then.
pub(super) fn until(time: Time, now: SystemTime) -> String {
    time.0.duration_since(now).map_or_else(|_| "now".to_owned(), |left| format!("in {}", short(left)))
}

/// In the one unit that says most.
pub(super) fn short(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Without control characters: what an endpoint said must not move the cursor.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, at most `most` characters long.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= most { clean } else { clean.chars().take(most - 3).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_one_unit() {
        let told: Vec<_> = [5, 119, 120, 7200, 172_800].map(|seconds| short(Duration::from_secs(seconds))).into();
        assert_eq!(told, ["5s", "119s", "2m", "2h", "2d"]);
    }

    #[test]
    fn a_text_is_clipped_and_moves_no_cursor() {
        assert_eq!(clipped("a\u{1b}[31m and so on", 10), "a [31m ...");
        assert_eq!(clipped("short", 5), "short");
    }
}
