//! Words of state in colour, on a terminal. Colour says nothing alone: the word is what is coloured.

use anstyle::{AnsiColor, Style};

/// Words that are coloured where they fill a column.
const GOOD: [&str; 2] = ["healthy", "success"];
const DOUBTFUL: [&str; 3] = ["warning", "rate_limited", "overloaded"];
const BAD: [&str; 6] = ["unhealthy", "failure", "timeout", "invalid_key", "model_error", "REJECTED"];
const QUIET: [&str; 2] = ["disabled", "not asked"];

/// `text`, whose columns stand two spaces apart, with its words of state in colour if `on`.
pub(super) fn painted(text: &str, on: bool) -> String {
    if on { text.split_inclusive('\n').map(line).collect() } else { text.to_owned() }
}

fn line(line: &str) -> String {
    let columns: Vec<String> = line.split("  ").map(column).collect();
    columns.join("  ")
}

/// What stands between two gaps: an odd space of the gap, a word, the end of the line.
fn column(text: &str) -> String {
    let word = text.trim();
    match style(word) {
        Some(style) => text.replacen(word, &format!("{style}{word}{style:#}"), 1),
        None => text.to_owned(),
    }
}

fn style(word: &str) -> Option<Style> {
    let is_in = |words: &[&str]| words.contains(&word);
    match () {
        () if is_in(&GOOD) => Some(AnsiColor::Green.on_default()),
        () if is_in(&DOUBTFUL) => Some(AnsiColor::Yellow.on_default()),
        () if is_in(&BAD) => Some(AnsiColor::Red.on_default()),
        () if is_in(&QUIET) => Some(Style::new().dimmed()),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "ENDPOINT   HEALTH\na/healthy  warning\nb/b        unhealthy   83%\n    a warning in words\nc/c  disabled\n";

    #[test]
    fn a_column_that_is_a_word_of_state_is_coloured_and_nothing_else() {
        let painted = painted(TEXT, true);
        for coloured in
            ["\u{1b}[33mwarning\u{1b}[0m\n", "\u{1b}[31munhealthy\u{1b}[0m   83%", "\u{1b}[2mdisabled\u{1b}[0m"]
        {
            assert!(painted.contains(coloured), "{painted:?}");
        }
        assert_eq!(painted.matches('\u{1b}').count(), 6, "{painted:?}");
        let bare = ["[33m", "[31m", "[2m", "[0m"]
            .iter()
            .fold(painted, |text, code| text.replace(&format!("\u{1b}{code}"), ""));
        assert_eq!(bare, TEXT, "the layout is the same");
    }

    #[test]
    fn without_colour_it_is_as_it_was() {
        assert_eq!(painted(TEXT, false), TEXT);
    }
}
