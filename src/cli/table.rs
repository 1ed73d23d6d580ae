//! Columns for people.

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
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let body = rows.iter().map(|(row, notes)| {
        let notes: String = notes.iter().map(|note| wrapped(note, "    ")).collect();
        line(row, &widths) + &notes
    });
    line(&head, &widths) + &body.collect::<String>()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// How wide the cells of `column` can be, if the table is to fit.
pub(super) fn room(head: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].len()]).max().unwrap_or(0)
    };
    let others: usize = (0..head.len()).filter(|at| *at != column).map(|at| width(at) + 2).sum();
    WIDTH.saturating_sub(others).max(LEAST)
}

/// `text` in lines that fit, each behind `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one from the start");
        if !last.is_empty() && indent.len() + last.chars().count() + 1 + word.chars().count() > WIDTH {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["production".to_owned(), "1".to_owned()], vec!["备用".to_owned(), String::new()]];
        assert_eq!(table(&["name", "n"], &rows), "name        n\nproduction  1\n备用\n");
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
