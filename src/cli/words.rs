//! Times, sizes and texts as people are told them.

use std::time::{Duration, SystemTime};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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

/// For how long it goes on until then.
pub(super) fn left(time: Time, now: SystemTime) -> String {
    short(time.0.duration_since(now).unwrap_or_default())
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

/// Columns that `text` takes on a terminal; a Chinese character takes two.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` up to what takes `most` columns, and the rest.
pub(super) fn split_at_width(text: &str, most: usize) -> (&str, &str) {
    let mut taken = 0;
    let fits = |(_, c): &(usize, char)| {
        taken += UnicodeWidthChar::width(*c).unwrap_or(1);
        taken <= most
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    text.split_at(end)
}

/// The same without control characters, at most `most` columns wide.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let clean = clean(text);
    if width(&clean) <= most { clean } else { format!("{}...", split_at_width(&clean, most - 3).0) }
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
        assert_eq!((clipped("备用线路", 7), clipped("备用线路", 8)), ("备用...".to_owned(), "备用线路".to_owned()));
        assert_eq!(clipped("备用线路和别的", 10), "备用线...", "half a character is none");
    }
}
