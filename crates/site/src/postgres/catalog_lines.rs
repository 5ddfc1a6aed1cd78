//! Every object of some schemas as one line: what it is called, and all that a dump would have to bring back of it.
//!
//! Definitions are printed by the server in a session without a search path, so every name in them is in full. Parts of
//! extensions are left out, as a dump leaves them out: the extension itself is a line. Left out as well is what belongs to
//! the whole database (its settings, event triggers, large objects) or to the server (roles).

use postgres::GenericClient;

use super::catalog_sql;

/// Reads the lines, sorted, each with the schema that it is of.
pub(super) fn read(
    client: &mut impl GenericClient,
    schemas: &[String],
) -> Result<Vec<(String, String)>, postgres::Error> {
    let mut lines = Vec::new();
    for sql in catalog_sql::kinds(client)? {
        for row in client.query(&sql, &[&schemas])? {
            let line: String = row.get(1);
            lines.push((settle(&line.replace('\n', "\\n")), row.get(0)));
        }
    }
    lines.sort();
    Ok(lines)
}

/// Brings a list of texts to the form that it has after a dump and a restore.
///
/// `x IN ('a', 'b')` over a varchar is kept as an array that is cast as a whole, and printed so; what is printed is read
/// back as an array of casts, and from then on stays that. Both mean the same, and no other rewriting of this kind is known.
fn settle(line: &str) -> String {
    const OPEN: &str = "(ARRAY[";
    const CLOSE: &str = "])::text[]";
    let (mut settled, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(OPEN) {
        let (before, list) = rest.split_at(at);
        settled.push_str(before);
        let list = &list[OPEN.len()..];
        match elements(list) {
            Some((elements, after)) if after.starts_with(CLOSE) => {
                let casts: Vec<String> =
                    elements.iter().map(|element| format!("({element})::text")).collect();
                settled.push_str(&format!("ARRAY[{}]", casts.join(", ")));
                rest = &after[CLOSE.len()..];
            }
            _ => {
                settled.push_str(OPEN);
                rest = list;
            }
        }
    }
    settled.push_str(rest);
    settled
}

/// Reads `'a'::character varying, 'b'::character varying` and returns what stands behind it.
fn elements(mut list: &str) -> Option<(Vec<&str>, &str)> {
    const CAST: &str = "::character varying";
    let mut found = Vec::new();
    loop {
        let mut end = 1;
        let bytes = list.as_bytes();
        if bytes.first() != Some(&b'\'') {
            return None;
        }
        while *bytes.get(end)? != b'\'' || bytes.get(end + 1) == Some(&b'\'') {
            end += if bytes[end] == b'\'' { 2 } else { 1 };
        }
        let element = list.get(..end + 1 + CAST.len())?;
        if !element.ends_with(CAST) {
            return None;
        }
        found.push(element);
        list = &list[element.len()..];
        match list.strip_prefix(", ") {
            Some(more) => list = more,
            None => return Some((found, list)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_varchars_reads_as_it_does_after_a_restore() {
        let before = "CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'it''s ]'::character varying])::text[])))";
        let after = "CHECK (((a)::text = ANY (ARRAY[('x'::character varying)::text, ('it''s ]'::character varying)::text])))";
        assert_eq!(settle(before), after);
        assert_eq!(settle(after), after);
        for other in ["(ARRAY[1, 2])::text[]", "(ARRAY['a'::text])::text[]", "(ARRAY['a", "x"] {
            assert_eq!(settle(other), other);
        }
    }
}
