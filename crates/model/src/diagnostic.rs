//! What is wrong with a playbook or a site file, where, and what to do about it.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

use crate::suggest::printable;

/// A range of bytes in a source, its end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "(usize, usize)", into = "(usize, usize)")]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// Returns the span from `start` up to `end`, which is empty when `end` comes first.
    pub const fn new(start: usize, end: usize) -> Self {
        let end = if end < start { start } else { end };
        Self { start, end }
    }

    /// Returns the smallest span that covers both.
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

impl From<(usize, usize)> for Span {
    fn from((start, end): (usize, usize)) -> Self {
        Self::new(start, end)
    }
}

impl From<Span> for (usize, usize) {
    fn from(span: Span) -> Self {
        (span.start, span.end)
    }
}

/// A file as it was read: spans are offsets into its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name to show, usually the path as the operator gave it.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// Returns a source of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// How bad it is: an error refuses the file, a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted, the reader is told.
    Warning,
}

/// One finding, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, such as `P014`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where it is.
    pub span: Option<Span>,
    /// What to write beside the caret.
    pub label: Option<String>,
    /// Other places that belong to it, each with what it has to do with it.
    pub related: Vec<(Span, String)>,
    /// Facts that help to understand it.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// Returns a warning without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        Self {
            code,
            severity,
            message,
            span: None,
            label: None,
            related: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Places it, with the text beside the caret; an empty label leaves the caret alone.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = Some(label.into()).filter(|label| !label.is_empty());
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do; a second call replaces the first.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Renders it as plain text that ends with a line feed, with the line of the source under it where there is one.
    ///
    /// Spans may be wrong (a file can have changed since they were taken): they are fitted into the text.
    pub fn render(&self, source: Option<&Source>) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = printable(&self.message).replace('\n', " ");
        let title = level.primary_title(message).id(self.code);
        let report = match (self.span, source) {
            (Some(span), Some(source)) => {
                let primary = first_line(&source.text, span);
                let related: Vec<(Range<usize>, &String)> = self
                    .related
                    .iter()
                    .map(|(span, label)| (first_line(&source.text, *span), label))
                    .collect();
                let window = window(&source.text, related.iter().map(|(range, _)| range).chain([&primary]));
                let inside = |range: &Range<usize>| {
                    let end = range.end.min(window.end) - window.start;
                    (range.start - window.start).min(end)..end
                };
                let primary = AnnotationKind::Primary
                    .span(inside(&primary))
                    .label(self.label.as_deref().map(printable));
                let related = related.iter().map(|(range, label)| {
                    AnnotationKind::Context.span(inside(range)).label(Some(printable(label)))
                });
                let line = line_column(&source.text, window.start).0;
                title.element(
                    Snippet::source(&source.text[window.clone()])
                        .path(printable(&source.name))
                        .line_start(line)
                        .annotation(primary)
                        .annotations(related.collect::<Vec<_>>()),
                )
            }
            _ => title.elements(Vec::<annotate_snippets::Element<'_>>::new()),
        };
        // The renderer leaves the C1 controls of the source as they are, and a terminal can obey them.
        let mut shown = printable(&Renderer::plain().render(&[report]));
        shown.truncate(shown.trim_end().len());
        shown.push('\n');
        // The title alone carries no label, so that what it says must not be lost with the place.
        if let (Some(label), true) = (&self.label, self.span.is_none() || source.is_none()) {
            push_fact(&mut shown, "note", label);
        }
        for note in &self.notes {
            push_fact(&mut shown, "note", note);
        }
        if let Some(help) = &self.help {
            push_fact(&mut shown, "help", help);
        }
        shown
    }

    /// Returns its stored form, with the place as file, line and column.
    pub fn located(&self, source: Option<&Source>) -> Located {
        let place = source.zip(self.span).map(|(source, span)| line_column(&source.text, span.start));
        Located {
            code: self.code.to_owned(),
            severity: self.severity,
            message: self.message.clone(),
            file: source.map(|source| source.name.clone()),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            label: self.label.clone(),
            notes: self.notes.clone(),
            help: self.help.clone(),
        }
    }
}

fn push_fact(shown: &mut String, word: &str, fact: &str) {
    shown.push_str(word);
    shown.push_str(": ");
    shown.push_str(&printable(fact).replace('\n', "\n      "));
    shown.push('\n');
}

/// Fits a span into the text and cuts it at the end of its first line: a caret line under a whole block tells less
/// than one under its first line.
fn first_line(text: &str, span: Span) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end).max(start);
    let line = text[start..end].lines().next().unwrap_or("").trim_end();
    start..start + line.len()
}

/// Returns the whole lines from the first to the last of the ranges: the renderer splits all that it is given.
fn window<'a>(text: &str, ranges: impl Iterator<Item = &'a Range<usize>>) -> Range<usize> {
    let (start, end) =
        ranges.fold((text.len(), 0), |(start, end), range| (start.min(range.start), end.max(range.end)));
    let start = text[..start].rfind('\n').map_or(0, |index| index + 1);
    let end = text[end..].find('\n').map_or(text.len(), |index| end + index);
    // The renderer shows a carriage return at the end of its text, and none before a line feed.
    start..end - usize::from(text[start..end].ends_with('\r'))
}

/// Returns line and column of a byte offset, both counted from 1, the column in characters.
///
/// An offset past the end is taken as the end, one inside a character as that character.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// A diagnostic as `--json` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The stable code.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The file.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
    /// What stands beside the caret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Facts that help to understand it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

/// How many findings are kept; a wrong file can have one in every line, and nobody reads them all.
const KEPT: usize = 200;

/// All findings about one file, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    left_off: usize,
    errors: usize,
}

impl Diagnostics {
    /// Adds a finding; after 200 they are only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.is_full() {
            self.left_off += 1;
        } else {
            self.kept.push(diagnostic);
        }
    }

    /// Leaves one of those that are the same in everything: what several releases share is said once.
    pub fn unique(&mut self) {
        let mut seen: Vec<Diagnostic> = Vec::new();
        for diagnostic in std::mem::take(&mut self.kept) {
            if seen.contains(&diagnostic) {
                self.errors -= usize::from(diagnostic.severity == Severity::Error);
            } else {
                seen.push(diagnostic);
            }
        }
        self.kept = seen;
    }

    /// Says whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Says whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns how many there are, those that were only counted among them.
    pub fn len(&self) -> usize {
        self.kept.len() + self.left_off
    }

    /// Says whether another finding would only be counted.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= KEPT
    }

    /// Adds all of the other's.
    pub fn append(&mut self, other: Self) {
        let (left_off, errors) = (other.left_off, other.errors);
        let kept_errors =
            other.kept.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        self.extend(other.kept);
        self.left_off += left_off;
        self.errors += errors - kept_errors;
    }

    /// Gives every finding from the given one on that has no place this one, so that each leads somewhere.
    pub fn place_from(&mut self, first: usize, span: Span, label: &str) {
        for diagnostic in self.kept.iter_mut().skip(first).filter(|one| one.span.is_none()) {
            diagnostic.span = Some(span);
            diagnostic.label = Some(label.to_owned());
        }
    }

    /// Returns the findings that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// Renders all, in the order of the file, with an empty line between them.
    pub fn render_all(&self, source: Option<&Source>) -> String {
        let mut shown: Vec<String> = self.in_order().map(|diagnostic| diagnostic.render(source)).collect();
        if self.left_off > 0 {
            shown.push(format!("and {} more\n", self.left_off));
        }
        shown.join("\n")
    }

    /// Returns the stored form of all, in the order of the file.
    pub fn located(&self, source: Option<&Source>) -> Vec<Located> {
        self.in_order().map(|diagnostic| diagnostic.located(source)).collect()
    }

    fn in_order(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.kept.iter().collect();
        all.sort_by_key(|diagnostic| diagnostic.span.map_or(usize::MAX, |span| span.start));
        all.into_iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        more.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        let mut text = "line\n".repeat(30);
        text.push_str("        drop: [legacy_id]\nnext: line\n");
        Source::new("playbook.yaml", text)
    }

    fn example() -> Diagnostic {
        Diagnostic::error(
            "P014",
            "step `rebuild-servers` drops column `legacy_id`, and nothing before it backs up `db`",
        )
        .at(Span::new(158, 175), "cannot be undone without a backup")
        .help("remove `backup: none` from target `db`, or declare the loss under `losses:`")
    }

    #[test]
    fn a_diagnostic_points_at_its_place() {
        insta::assert_snapshot!(example().render(Some(&source())), @r#"
        error[P014]: step `rebuild-servers` drops column `legacy_id`, and nothing before it backs up `db`
          --> playbook.yaml:31:9
           |
        31 |         drop: [legacy_id]
           |         ^^^^^^^^^^^^^^^^^ cannot be undone without a backup
        help: remove `backup: none` from target `db`, or declare the loss under `losses:`
        "#);
    }

    #[test]
    fn a_diagnostic_without_a_source_still_says_all() {
        insta::assert_snapshot!(example().note("first\nsecond").render(None), @r#"
        error[P014]: step `rebuild-servers` drops column `legacy_id`, and nothing before it backs up `db`
        note: cannot be undone without a backup
        note: first
              second
        help: remove `backup: none` from target `db`, or declare the loss under `losses:`
        "#);
    }

    #[test]
    fn a_related_place_is_shown_with_its_label() {
        let text = "a: 1\nb: 2\na: 3\n";
        let diagnostic = Diagnostic::warning("P002", "twice")
            .at(Span::new(10, 11), "again")
            .also(Span::new(0, 1), "first here");
        insta::assert_snapshot!(diagnostic.render(Some(&Source::new("x.yaml", text))), @r#"
        warning[P002]: twice
         --> x.yaml:3:1
          |
        1 | a: 1
          | - first here
        2 | b: 2
        3 | a: 3
          | ^ again
        "#);
    }

    #[test]
    fn a_block_is_underlined_on_its_first_line_only() {
        let text = "a:\r\n  b: 1   \r\n  c: 2\r\n";
        let diagnostic = Diagnostic::error("P007", "wrong").at(Span::new(6, text.len()), "");
        insta::assert_snapshot!(diagnostic.render(Some(&Source::new("x.yaml", text))), @r#"
        error[P007]: wrong
         --> x.yaml:2:3
          |
        2 |   b: 1   
          |   ^^^^
        "#);
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let text = "é: ü\n名前: \"x\"";
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, text.find('ü').unwrap()), (1, 4));
        assert_eq!(line_column(text, text.find('x').unwrap()), (2, 6));
        assert_eq!(line_column(text, 1), (1, 1));
        assert_eq!(line_column(text, usize::MAX), (2, 8));
    }

    #[test]
    fn spans_that_do_not_fit_the_text_are_fitted() {
        for (start, end) in [(0, usize::MAX), (usize::MAX, usize::MAX), (1, 2), (5, 0), (3, 3)] {
            for text in ["", "é", "éé\n", "\n\n", "a\r\n\t名\0\u{1b}"] {
                let diagnostic = Diagnostic::error("P001", "odd")
                    .at(Span { start, end }, "here")
                    .also(Span { start: end, end: start }, "x");
                assert!(
                    diagnostic
                        .render(Some(&Source::new("x\u{1b}.yaml", text)))
                        .starts_with("error[P001]: odd\n")
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn rendering_is_total(text in "[a\\r\\n\\té🦀\\x00\\x1b]{0,12}", a in 0..30_usize, b in 0..30_usize, c in 0..30_usize) {
            let diagnostic = Diagnostic::error("P001", "m").at(Span { start: a, end: b }, "l").also(Span { start: b, end: c }, "r");
            diagnostic.render(Some(&Source::new("x", text)));
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_rendered() {
        let source = Source::new("a\u{1b}[2Jb", "k\u{1b}[2J: v\u{9b}2J\u{202e}\n");
        let diagnostic = Diagnostic::error("P001", "m\u{1b}[2J\nm")
            .at(Span::new(0, 3), "l\u{1b}")
            .note("n\u{7}")
            .help("h\u{1b}");
        let shown = diagnostic.render(Some(&source));
        assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
    }

    #[test]
    fn a_line_of_great_length_is_shown_in_part() {
        let source = Source::new("x.yaml", format!("{}KEY{}", "é".repeat(100_000), "x".repeat(100_000)));
        let shown =
            Diagnostic::error("P001", "long").at(Span::new(200_000, 200_003), "here").render(Some(&source));
        assert!(shown.contains("KEY") && shown.len() < 2_000, "{}", shown.len());
    }

    #[test]
    fn the_stored_form_has_file_line_and_column() {
        let stored = serde_json::to_value(example().located(Some(&source()))).unwrap();
        assert_eq!(
            stored,
            serde_json::json!({
                "code": "P014", "severity": "error",
                "message": "step `rebuild-servers` drops column `legacy_id`, and nothing before it backs up `db`",
                "file": "playbook.yaml", "line": 31, "column": 9, "label": "cannot be undone without a backup",
                "help": "remove `backup: none` from target `db`, or declare the loss under `losses:`",
            })
        );
    }

    #[test]
    fn all_are_rendered_in_the_order_of_the_file() {
        let mut all = Diagnostics::default();
        all.push(Diagnostic::warning("P002", "second").at(Span::new(2, 3), ""));
        assert!(!all.has_errors());
        all.push(Diagnostic::error("P001", "first").at(Span::new(0, 1), ""));
        assert!(all.has_errors());
        let shown = all.render_all(Some(&Source::new("x", "a b c")));
        assert!(shown.find("first") < shown.find("second"), "{shown}");
    }

    #[test]
    fn findings_without_end_are_counted_and_not_kept() {
        let mut all = Diagnostics::default();
        (0..1_000).for_each(|_| all.push(Diagnostic::warning("P002", "w")));
        assert!(!all.has_errors());
        all.push(Diagnostic::error("P001", "e"));
        let mut both = Diagnostics::default();
        both.append(all);
        assert!(both.has_errors());
        assert_eq!((both.len(), both.iter().count()), (1_001, 200));
        assert!(both.render_all(None).ends_with("and 801 more\n"));
    }
}
