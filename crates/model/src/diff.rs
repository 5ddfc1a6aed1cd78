//! Line diffs for people.

use similar::{ChangeTag, TextDiff};

/// Returns the lines that differ, each with `-` or `+` before it, and one line of context on either side.
pub fn lines(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(1) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign} {}", change.value().trim_end_matches('\n')));
        }
    }
    lines
}

/// Returns the lines that differ as [`lines`] does, each shown as the same line of `shown_before` or `shown_after`: two
/// texts can differ where they must not be shown.
pub fn lines_shown(
    before: &str,
    after: &str,
    shown_before: &[String],
    shown_after: &[String],
) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    let at = |shown: &[String], index: Option<usize>| {
        index.and_then(|index| shown.get(index).cloned()).unwrap_or_default()
    };
    for group in diff.grouped_ops(1) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, line) = match change.tag() {
                ChangeTag::Delete => ('-', at(shown_before, change.old_index())),
                ChangeTag::Insert => ('+', at(shown_after, change.new_index())),
                ChangeTag::Equal => (' ', at(shown_after, change.new_index())),
            };
            lines.push(format!("{sign} {line}"));
        }
    }
    lines
}
