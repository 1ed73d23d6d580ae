//! Diagnostics for people: the line in question and its neighbours, secrets blanked.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::diagnostic::{Diagnostic, LineIndex, Severity};
use super::load::Loaded;
use super::mask::Mask;

/// More are only counted.
const SHOWN: usize = 50;
/// Longer lines (generated files) are not shown.
const LONGEST_LINE: usize = 2000;

/// The report of a loaded file; empty if nothing is wrong.
pub(super) fn render(loaded: &Loaded, mask: &Mask, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let page = Page { path: display(&loaded.path), text: &loaded.text, lines: LineIndex::new(&loaded.text), mask };
    let mut report = String::new();
    for diagnostic in loaded.diagnostics.iter().take(SHOWN) {
        report.push_str(&renderer.render(&page.groups(diagnostic)));
        report.push_str("\n\n");
    }
    if let Some(more) = loaded.diagnostics.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        report.extend(["and ", &more.to_string(), " more\n"]);
    }
    report
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

struct Page<'a> {
    path: String,
    text: &'a str,
    lines: LineIndex<'a>,
    mask: &'a Mask,
}

impl Page<'_> {
    fn groups<'d>(&'d self, diagnostic: &'d Diagnostic) -> Vec<Group<'d>> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
        let excerpt = diagnostic.span.as_ref().and_then(|span| self.excerpt(span));
        let place = excerpt.unwrap_or_else(|| self.origin(diagnostic));
        let help = diagnostic.help.iter().map(|help| Element::from(Level::HELP.message(help.as_str())));
        vec![title.elements(std::iter::once(place).chain(help))]
    }

    fn origin(&self, diagnostic: &Diagnostic) -> Element<'_> {
        let origin = Origin::path(self.path.as_str());
        let origin = origin.line(diagnostic.line as usize).char_column(diagnostic.column as usize);
        Element::from(origin)
    }

    fn excerpt(&self, span: &Range<usize>) -> Option<Element<'_>> {
        let window = self.window(span);
        if self.text.get(window.clone())?.lines().any(|line| line.len() > LONGEST_LINE) {
            return None;
        }
        let first = self.lines.position(window.start).0;
        let (source, span) = self.mask.blank(self.text, &window, span);
        let snippet = Snippet::source(source).path(self.path.as_str()).line_start(first as usize).fold(false);
        Some(snippet.annotation(AnnotationKind::Primary.span(span)).into())
    }

    /// The lines of `span`, one above and one below.
    fn window(&self, span: &Range<usize>) -> Range<usize> {
        let own = self.lines.line(span.start);
        let above = own.start.checked_sub(1).map_or(own.start, |newline| self.lines.line(newline).start);
        let last = self.lines.line(span.end.max(own.start));
        let next = (last.end..self.text.len()).find(|at| self.text.as_bytes()[*at] == b'\n');
        let end = next.map_or(last.end, |newline| self.lines.line(newline + 1).end);
        above..end.max(span.end)
    }
}
