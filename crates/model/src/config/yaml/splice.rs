//! Lines and places of a text.

use std::ops::Range;

/// Returns the text with another piece in one place.
pub(super) fn splice(text: &str, at: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..at.start], &text[at.end..])
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    if start == 0 && text.starts_with('\u{feff}') { '\u{feff}'.len_utf8().min(at) } else { start }
}

/// The end of a line, before `\n` or `\r\n`.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |found| at + found);
    if end > at && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
}

/// The beginning of the next line, or the end of the text.
pub(super) fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |found| at + found + 1)
}

/// Takes whole lines away; a text without a line end at its end keeps none.
pub(super) fn without_lines(text: &str, lines: Range<usize>) -> String {
    let mut start = lines.start;
    if lines.end == text.len() && !text.ends_with('\n') {
        let before = text[..start].strip_suffix('\n');
        start = before.map_or(start, |kept| kept.strip_suffix('\r').unwrap_or(kept).len());
    }
    splice(text, start..lines.end, "")
}

/// The line end of the file.
pub(super) fn eol(text: &str) -> &'static str {
    if text.find('\n').is_some_and(|at| text[..at].ends_with('\r')) { "\r\n" } else { "\n" }
}

/// What stands before a place in its line, if it is spaces alone.
pub(super) fn indent(text: &str, at: usize) -> Option<usize> {
    let before = &text[line_start(text, at)..at];
    before.bytes().all(|byte| byte == b' ').then_some(before.len())
}

/// The column of a place, in bytes; before the key of a block map there are spaces, dashes and question marks alone.
pub(super) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}
