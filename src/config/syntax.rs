//! What a YAML parser's complaint means for the person who wrote the file.

use granit_parser::{ErrorKind, ScanError};

use super::parse::{MAX_DEPTH, Problem};

/// The complaint in plain words, where it arose.
pub(super) fn explain(text: &str, error: &ScanError) -> Problem {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    // A text that goes on behind a tab is complained about where the text began: the line before.
    let lines = if matches!(error.kind(), ErrorKind::TabInPlainScalar | ErrorKind::TabNotAllowed) { 2 } else { 1 };
    if let Some(tab) = leading_tab(text, at, lines) {
        return Problem::new("tab", tab..tab + 1, "YAML is indented with spaces, not with tabs")
            .help("replace each tab by two spaces");
    }
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    let (code, message, help) = words(error);
    let problem = Problem::new(code, at..end, message);
    if help.is_empty() { problem } else { problem.help(help) }
}

/// The first tab in the indentation of `lines` lines, from that of `at` on.
fn leading_tab(text: &str, at: usize, lines: usize) -> Option<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let mut begin = start;
    text[start..].split_inclusive('\n').take(lines).find_map(|line| {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = line[..indent].find('\t').map(|offset| begin + offset);
        begin += line.len();
        tab
    })
}

fn words(error: &ScanError) -> (&'static str, String, &'static str) {
    match error.kind() {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("unclosed-quote", "a quote is opened here and never closed".to_owned(), "close it with the same quote")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            ("unclosed-bracket", format!("`{open}` is opened here and never closed"), "")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            ("unclosed-bracket", format!("`{open}` is closed by `{close}`"), "")
        }
        ErrorKind::RecursionLimitExceeded => ("too-deep", format!("more than {MAX_DEPTH} levels of nesting"), ""),
        ErrorKind::UnknownAnchor => (
            "unknown-anchor",
            "this alias names an anchor that is not defined above".to_owned(),
            "define it with `&name`, or put the text in quotes if it is meant to begin with `*`",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            ("syntax", format!("`{}` cannot begin a value", character.escape_default()), "put the text in quotes")
        }
        ErrorKind::TabNotAllowed | ErrorKind::TabInPlainScalar | ErrorKind::TabAtBlockScalarStart => {
            ("tab", "a tab is not allowed here".to_owned(), "replace it by spaces")
        }
        ErrorKind::UnknownQuotedScalarEscape => (
            "syntax",
            "this escape does not exist in a double-quoted text".to_owned(),
            "write `\\\\` for a backslash, or use single quotes",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::SimpleKeyExpected | ErrorKind::InvalidColonPlacement => (
            "syntax",
            "a `:` makes no sense here".to_owned(),
            "check the indentation and the brackets of this line and those above; a text that contains `: ` needs quotes",
        ),
        kind => {
            ("syntax", kind.to_string(), "check the indentation and the punctuation of this line and the one above")
        }
    }
}
