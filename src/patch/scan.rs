//! Small questions to the text: lines, columns, comments, and the marks between values.

use std::ops::Range;

/// Where the line of `at` begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line of `at` ends, before its line end.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    if end > at && text[..end].ends_with('\r') { end - 1 } else { end }
}

/// Where the line that is over at `end` ends, before its line end.
pub(super) fn line_end_above(text: &str, end: usize) -> usize {
    let line = &text[..end];
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line).len()
}

/// Where the line after the one of `at` begins; the end of the text, if there is none.
pub(super) fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The line that begins at `start`, without its line end.
pub(super) fn line(text: &str, start: usize) -> &str {
    &text[start..line_end(text, start)]
}

/// How far `at` is from the beginning of its line.
pub(super) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

/// Spaces at the beginning of a line.
pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Whether a comment reads like an entry or an item: `# - id: old`, `# weight: 5`.
fn is_commented_out(line: &str) -> bool {
    let text = line.trim().trim_start_matches(['#', ' ']);
    let key = text.split_once(':').filter(|(_, value)| value.is_empty() || value.starts_with(' '));
    text.starts_with("- ") || key.is_some_and(|(key, _)| !key.is_empty() && !key.contains(' '))
}

pub(super) fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Whether nothing but spaces stands before `at` in its line.
pub(super) fn is_first(text: &str, at: usize) -> bool {
    is_blank(&text[line_start(text, at)..at])
}

/// Where the lines right above `start` that are comments no deeper than `depth` begin; `start` if there are none. What is
/// commented out there is no comment on what stands below it.
pub(super) fn comments_above(text: &str, start: usize, depth: usize) -> usize {
    let mut above = start;
    while above > 0 {
        let before = line_start(text, above - 1);
        let line = line(text, before);
        if !is_comment(line) || indent(line) > depth || is_commented_out(line) {
            break;
        }
        above = before;
    }
    above
}

/// Where the comments that still belong to what ends before `start` are over: they are as deep as `depth`, and deeper
/// than what follows them. Blank lines may stand between them if `gaps`.
pub(super) fn comments_below(text: &str, start: usize, depth: usize, gaps: bool) -> usize {
    let follows = next_content(text, start);
    let (mut at, mut end) = (start, start);
    while at < text.len() {
        let line = line(text, at);
        let ours = is_comment(line) && indent(line) >= depth && follows.is_none_or(|next| indent(line) > next);
        if !(ours || gaps && is_blank(line)) {
            break;
        }
        at = next_line(text, at);
        if ours {
            end = at;
        }
    }
    end
}

/// The indentation of the first line at or after `start` that says something.
fn next_content(text: &str, start: usize) -> Option<usize> {
    text[start..].lines().find(|line| !is_blank(line) && !is_comment(line)).map(indent)
}

/// Past white space and comments.
fn past_space(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let start = at + rest.len() - rest.trim_start().len();
        if !text[start..].starts_with('#') {
            return start;
        }
        at = line_end(text, start);
    }
}

/// Past white space, comments, anchors and tags.
pub(super) fn past_properties(text: &str, at: usize) -> usize {
    let start = past_space(text, at);
    if text[start..].starts_with(['&', '!']) {
        let rest = &text[start..];
        return past_properties(text, start + rest.find(char::is_whitespace).unwrap_or(rest.len()));
    }
    start
}

/// Right behind the `:` of a key that ends at `key`; `key` itself if its value, at `value`, has none.
pub(super) fn past_colon(text: &str, key: usize, value: usize) -> usize {
    let colon = past_space(text, key);
    if text[colon..].starts_with(':') && (colon < value || value == key) { colon + 1 } else { key }
}

/// The comma that comes next after `at`.
pub(super) fn comma(text: &str, at: usize) -> Option<usize> {
    let next = past_space(text, at);
    text[next..].starts_with(',').then_some(next)
}

/// The `-` of the list item that comes after `at`.
pub(super) fn dash(text: &str, at: usize) -> usize {
    let start = past_properties(text, at);
    let rest = text[start..].starts_with([':', '?', ',']);
    if rest { dash(text, start + 1) } else { start }
}

/// The lines of `range`, from 1.
pub(super) fn line_number(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether `range` of the text holds a comment, or something that looks like one.
pub(super) fn has_comment(text: &str, range: Range<usize>) -> bool {
    text[range].contains('#')
}

/// The spaces between `at` and the comment behind it, if a line beside has its comment in the same column.
pub(super) fn aligned_gap(text: &str, at: usize) -> Option<Range<usize>> {
    let end = at + indent(&text[at..]);
    let column = |line: &str| line.find(" #").map(|hash| line[..=hash].chars().count());
    let start = line_start(text, at);
    let here = text[start..end].chars().count();
    let above = start.checked_sub(1).map(|above| line(text, line_start(text, above)));
    let below = line(text, next_line(text, at));
    let aligned = [above, Some(below)].into_iter().flatten().any(|line| column(line) == Some(here));
    (end > at && text[end..].starts_with('#') && aligned).then_some(at..end)
}
