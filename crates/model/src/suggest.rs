//! "Did you mean": the known name that is nearest to a misspelt one.

/// Longest name that is compared; the distance costs the product of both lengths.
const LONGEST: usize = 64;

/// Returns the candidate that `given` most likely meant, or `None` when nothing is near.
///
/// Case and the difference between `-` and `_` cost nothing. Otherwise a third of the longer name may differ,
/// which is the measure rustc uses for its own suggestions.
pub fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.chars().count() > LONGEST {
        return None;
    }
    let wanted = folded(given);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count() <= LONGEST)
        .filter_map(|candidate| {
            let known = folded(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &known);
            let longer = wanted.chars().count().max(known.chars().count());
            (distance <= (longer / 3).max(1) && distance < longer).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// Returns the text between backticks, fit for one line of a message: control characters are escaped and the
/// middle of a long text is cut.
pub fn quoted(text: &str) -> String {
    const HEAD: usize = 60;
    let mut shown = String::with_capacity(text.len().min(4 * HEAD) + 2);
    shown.push('`');
    for (index, char) in text.chars().enumerate() {
        if index == HEAD {
            shown.push('…');
            break;
        }
        push_printable(&mut shown, char);
    }
    shown.push('`');
    shown
}

/// Returns the text with what a terminal would obey, or what would hide text from a reader, written as an escape.
/// Line feeds are kept.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => shown.push('\n'),
            _ => push_printable(&mut shown, char),
        }
    }
    shown
}

/// Returns the text as one line, for a value that stands in a line with others: as [`printable`], line feeds too.
pub fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|char| push_printable(&mut shown, char));
    shown
}

fn push_printable(shown: &mut String, char: char) {
    // The bidirectional controls can make a line read as something else than it is (CVE-2021-42574).
    let deceives = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}');
    if char.is_control() || deceives {
        shown.extend(char.escape_default());
    } else {
        shown.push(char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["rename_columns", "foreign_keys", "indexes", "in", "stop"];

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(closest("forein_keys", KEYS), Some("foreign_keys"));
        assert_eq!(closest("Rename-Columns", KEYS), Some("rename_columns"));
        assert_eq!(closest("sotp", KEYS), Some("stop"));
    }

    #[test]
    fn a_name_that_is_like_nothing_gets_no_suggestion() {
        assert_eq!(closest("colour", KEYS), None);
        assert_eq!(closest("", KEYS), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest(&"indexes".repeat(10_000), KEYS), None);
    }

    #[test]
    fn quoted_text_cannot_reach_the_terminal_raw() {
        assert_eq!(quoted("a\u{1b}[31mb\0\n"), "`a\\u{1b}[31mb\\u{0}\\n`");
        assert_eq!(quoted("x\u{202e}y"), "`x\\u{202e}y`");
        assert_eq!(quoted("grün"), "`grün`");
        assert_eq!(quoted(&"x".repeat(1_000)).chars().count(), 63);
    }
}
