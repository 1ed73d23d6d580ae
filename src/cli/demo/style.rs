//! Colours, and text that fits into columns.

use anstyle::{AnsiColor, Style};

use crate::telemetry::escape;

/// The colours of the demo, or none. Colour never says anything alone: a word beside it does too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette(pub(super) bool);

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// It goes well.
    Good,
    /// Somebody should look.
    Warning,
    /// It went wrong.
    Bad,
    /// It matters less.
    Quiet,
    /// A heading.
    Strong,
}

impl Palette {
    /// `text` in its tone; what of it is not ours to trust must be escaped before.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Quiet => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// Text of others, made harmless for a terminal.
pub(super) fn plain(text: &str) -> String {
    escape(text)
}

/// `text` cut to `width` columns; an ellipsis says that something is missing. Colours take no columns.
pub(super) fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut clipped, mut used, mut coloured) = (String::new(), 0, false);
    for piece in pieces(text) {
        let wide = columns(piece);
        if used + wide + 1 > width {
            break;
        }
        coloured |= wide == 0;
        used += wide;
        clipped.push_str(piece);
    }
    clipped + "…" + if coloured { "\u{1b}[0m" } else { "" }
}

/// `text` in exactly `width` columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = clip(text, width);
    let gap = width.saturating_sub(columns(&text));
    text + &" ".repeat(gap)
}

/// Columns `text` takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    pieces(text).map(|piece| if piece.starts_with('\u{1b}') { 0 } else { piece.chars().map(wide).sum() }).sum()
}

/// East Asian characters and pictures take two columns; good enough for names, wrong for rare scripts.
fn wide(c: char) -> usize {
    let double = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}');
    if double { 2 } else { 1 }
}

/// Single characters, and colour sequences (`ESC [ ... m`) as a whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = match rest.find('m') {
            Some(end) if first == '\u{1b}' => end + 1,
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_and_colours_take_none() {
        for (text, width, expected) in [
            ("production", 10, "production"),
            ("production", 6, "produ…"),
            ("模型模型", 5, "模型…"),
            ("\u{1b}[31mred\u{1b}[0m", 3, "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[31mredder\u{1b}[0m", 4, "\u{1b}[31mred…\u{1b}[0m"),
        ] {
            assert_eq!(clip(text, width), expected);
            assert!(columns(&clip(text, width)) <= width);
        }
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(columns(&fit("模型模型", 4)), 4);
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Palette(false).paint(Tone::Bad, "x"), "x");
        assert_eq!(Palette(true).paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
