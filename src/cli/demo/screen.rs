//! The terminal: lines that scroll, and a table below them that is drawn anew.
//!
//! Nothing is switched on that would have to be switched off again: no raw mode, no alternate screen, no hidden cursor.
//! What scrolled by stays in the terminal's own history, and an abrupt end leaves a usable terminal.

use std::io::{self, Write};

use super::style::columns;

/// Columns assumed where the terminal does not tell.
const USUAL: usize = 80;

/// A terminal that shows a table below scrolling lines.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    /// Widths of the table's lines as they stand there.
    table: Vec<usize>,
}

impl<W: Write> Screen<W> {
    /// A screen on `out`, whose cursor is at the beginning of a line.
    pub(super) fn new(out: W) -> Self {
        Self { out, table: Vec::new() }
    }

    /// Says `lines` above, and shows `table` in the place of the one before; `width` is the terminal's, now.
    pub(super) fn show(&mut self, lines: &[String], table: &str, width: usize) -> io::Result<()> {
        let mut text = self.erase(width);
        text.extend(lines.iter().flat_map(|line| [line, "\n"]));
        text.push_str(table);
        self.table = table.lines().map(columns).collect();
        // One write: a terminal that draws between two would flicker.
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// What takes the table away. A terminal that became narrower has wrapped its lines.
    fn erase(&self, width: usize) -> String {
        let rows: usize = self.table.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\u{1b}[{rows}F\u{1b}[J") }
    }
}

/// Columns of the terminal at standard output.
pub(super) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL } else { columns.clamp(40, 160) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_and_lines_stay_above_it() {
        let mut screen = Screen::new(Vec::new());
        screen.show(&[], "one\ntwo\n", 80).expect("a vector takes everything");
        screen.show(&["said".to_owned()], "three\n", 80).expect("a vector takes everything");
        let text = String::from_utf8(screen.out).expect("text");
        assert_eq!(text, "one\ntwo\n\u{1b}[2F\u{1b}[Jsaid\nthree\n");
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_the_old_table() {
        let mut screen = Screen::new(Vec::new());
        screen.show(&[], &format!("{}\n{}\n", "x".repeat(80), "y"), 80).expect("a vector takes everything");
        assert_eq!(screen.erase(40), "\u{1b}[3F\u{1b}[J");
    }
}
