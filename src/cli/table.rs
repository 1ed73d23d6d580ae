//! Columns for people.

use super::words::{clipped, split_at_width, width};

/// What is shown is meant to fit.
pub(super) const WIDTH: usize = 80;
/// A column that is made to fit keeps so much.
const LEAST: usize = 16;

/// A row, and what is to be said below it.
pub(super) type Noted = (Vec<String>, Vec<String>);

/// `rows` under `head`, each column as wide as its widest cell, without trailing white space.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let noted: Vec<Noted> = rows.iter().map(|row| (row.clone(), Vec::new())).collect();
    table_with_notes(head, &noted)
}

/// The same, with lines of their own below the rows they belong to, broken between words.
pub(super) fn table_with_notes(head: &[&str], rows: &[Noted]) -> String {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows.iter().map(|(row, _)| row));
    let widest = |column: usize| all().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(widest).collect();
    let body = rows.iter().map(|(row, notes)| {
        let notes: String = notes.iter().map(|note| wrapped(note, "    ")).collect();
        line(row, &widths) + &notes
    });
    line(&head, &widths) + &body.collect::<String>()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| padded(cell, *width)).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// `cell`, filled up to `columns`.
pub(super) fn padded(cell: &str, columns: usize) -> String {
    format!("{cell}{}", " ".repeat(columns.saturating_sub(width(cell))))
}

/// `rows` that fit, because cells of these columns are shortened, the first of them first; an ellipsis says where.
pub(super) fn fitted(head: &[&str], mut rows: Vec<Vec<String>>, columns: &[usize]) -> Vec<Vec<String>> {
    for column in columns {
        let most = room(head, &rows, *column);
        for row in &mut rows {
            row[*column] = clipped(&row[*column], most);
        }
    }
    rows
}

/// The same of rows with notes.
pub(super) fn fitted_with_notes(head: &[&str], rows: Vec<Noted>, columns: &[usize]) -> Vec<Noted> {
    let (rows, notes): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    fitted(head, rows, columns).into_iter().zip(notes).collect()
}

/// How wide the cells of `column` can be, if the table is to fit.
pub(super) fn room(head: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| width(&row[at]));
        cells.chain([head[at].len()]).max().unwrap_or(0)
    };
    let others: usize = (0..head.len()).filter(|at| *at != column).map(|at| widest(at) + 2).sum();
    WIDTH.saturating_sub(others).max(LEAST)
}

/// `text` in lines that fit, each behind `indent`; a word that fits no line is broken.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    let longest = WIDTH.saturating_sub(indent.len()).max(LEAST);
    for word in text.split_whitespace().flat_map(|word| broken(word, longest)) {
        let last = lines.last_mut().expect("there is one from the start");
        if !last.is_empty() && indent.len() + width(last) + 1 + width(word) > WIDTH {
            lines.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines.iter().flat_map(|line| [indent, line.as_str(), "\n"]).collect()
}

/// Lines of `text` that do not fit, broken between words. Indented ones are left alone: they show a file, or a path.
pub(super) fn folded(text: &str) -> String {
    let fits = |line: &str| width(line) <= WIDTH || !line.starts_with(char::is_alphabetic);
    text.lines().map(|line| if fits(line) { format!("{line}\n") } else { wrapped(line, "") }).collect()
}

/// `word` in pieces at most `longest` columns wide.
fn broken(word: &str, longest: usize) -> impl Iterator<Item = &str> {
    let mut left = word;
    std::iter::from_fn(move || {
        let (piece, rest) = split_at_width(left, longest);
        left = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_and_words_are_made_to_fit() {
        let rows = vec![vec!["x".repeat(60), "y".repeat(60), "1".to_owned()]];
        let text = table(&["A", "B", "C"], &fitted(&["A", "B", "C"], rows, &[1, 0]));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("xxx...  yyy") && text.contains("y...  1"), "{text}");
        let text = wrapped(&format!("see {}", "é".repeat(100)), "    ");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), 100, "nothing is lost");
        let text = wrapped(&"线".repeat(100), "    ");
        assert!(text.lines().all(|line| width(line) <= WIDTH) && text.matches('线').count() == 100, "{text}");
    }

    #[test]
    fn only_lines_that_do_not_fit_are_folded() {
        let (long, excerpt) = ("word ".repeat(30), format!("  {}", "x ".repeat(60)));
        let text = folded(&format!("short\n{long}\n{excerpt}"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[3]), (4, "short", excerpt.as_str()));
        assert!(lines[1..3].iter().all(|line| line.len() <= WIDTH && line.starts_with("word")), "{text}");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["production".to_owned(), "1".to_owned()], vec!["备用".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name        n\nproduction  1\n备用        2\n");
    }

    #[test]
    fn a_note_is_below_its_row_and_fits() {
        let rows =
            [(vec!["a".to_owned(), "1".to_owned()], vec!["word ".repeat(30)]), (vec!["b".into(), "2".into()], vec![])];
        let text = table_with_notes(&["name", "n"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines[4]), ("name  n", "a     1", "b     2"));
        assert!(lines[2].starts_with("    word word") && lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn a_column_gets_the_room_that_the_others_leave() {
        let rows = [vec!["x".repeat(10), "y".repeat(100)]];
        assert_eq!(room(&["a", "b"], &rows, 1), WIDTH - 12);
        assert_eq!(room(&["a", "b"], &[vec!["x".repeat(100), String::new()]], 1), LEAST);
    }
}
