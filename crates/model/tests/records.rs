//! Records: any way of cutting a stream into chunks gives the same records, and a cut stream is never taken for a whole one.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use serde_json::{Value, json};
use switchback_model::records::{RecordError, Shape, Splitter, check};

type Found = Result<Vec<(u64, u64, String)>, RecordError>;

fn split(shape: Shape, chunks: &[&[u8]]) -> Found {
    let (mut splitter, mut found) = (Splitter::new(shape), Vec::new());
    let mut keep = |record: switchback_model::records::Record<'_>| {
        found.push((record.number, record.offset, String::from_utf8_lossy(record.bytes).into_owned()));
        Ok::<_, RecordError>(())
    };
    for chunk in chunks {
        splitter.push(chunk, &mut keep)?;
    }
    splitter.finish(&mut keep)?;
    Ok(found)
}

fn texts(shape: Shape, text: &str) -> Result<Vec<String>, String> {
    let found = split(shape, &[text.as_bytes()]).map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|(_, _, text)| text).collect())
}

#[test]
fn values_need_nothing_between_them() {
    let found = split(Shape::Values, &[br#"{"a":"}\"{"}[1,[]] "x" 12 null{}"#]).unwrap();
    let expected =
        [(0, r#"{"a":"}\"{"}"#), (12, "[1,[]]"), (19, "\"x\""), (23, "12"), (26, "null"), (30, "{}")];
    let expected: Vec<_> = expected
        .iter()
        .zip(1..)
        .map(|((offset, text), number)| (number, *offset, (*text).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_line_is_a_record_and_the_last_may_lack_its_end() {
    assert_eq!(texts(Shape::Lines, "{}\r\n\n[2]\n3").unwrap(), ["{}", "[2]", "3"]);
    let error = texts(Shape::Lines, "{}\n{} {}").unwrap_err();
    assert_eq!(error, "read record 3 at byte 6: it begins on the line of the record before it");
    let error = texts(Shape::Lines, "{}\n{\"a\":\n1}").unwrap_err();
    assert_eq!(error, "read record 2 at byte 3: its line ends at byte 8 in the middle of it");
}

#[test]
fn what_is_no_record_is_told_with_its_number_and_place() {
    let wrong = |text: &str| texts(Shape::Values, text).unwrap_err();
    assert_eq!(wrong("{} ,"), "read record 2 at byte 3: a JSON value does not begin so");
    assert_eq!(wrong("[}"), "read record 1 at byte 0: at byte 1 a bracket is closed by another kind");
    assert_eq!(wrong("{}{\"a\""), "read record 2 at byte 2: the stream ends at byte 6 in the middle of it");
    assert_eq!(
        wrong("nul"),
        "read record 1 at byte 0: it is not JSON at its byte 2: EOF while parsing a value"
    );
    assert!(wrong(&"[".repeat(200)).contains("nested deeper than 127"));
    assert_eq!(wrong("\"a\\"), "read record 1 at byte 0: the stream ends at byte 3 in the middle of it");
}

#[test]
fn the_inside_of_a_record_is_checked_strictly() {
    assert_eq!(check(br#"{"a": [1.5e3, "\u00e9"]}"#), Ok(()));
    for wrong in [&br#"{"a" 1}"#[..], b"{\"a\": NaN}", b"[1,]", b"\"\xff\"", b"[\xff]", b"{} {}", b""] {
        assert!(check(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
    }
    assert_eq!(check(b"[\n1,\n}").unwrap_err(), "it is not JSON at its byte 5: expected value");
}

#[test]
fn a_splitter_goes_on_where_another_stopped() {
    let mut splitter = Splitter::resume(Shape::Values, 7, 100);
    let mut seen = Vec::new();
    let mut see = |it: switchback_model::records::Record<'_>| {
        seen.push((it.number, it.offset));
        Ok::<_, RecordError>(())
    };
    splitter.push(b" {}", &mut see).unwrap();
    assert_eq!(seen, [(8, 101)]);
    assert_eq!((splitter.begun(), splitter.taken()), (8, 103));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        r#"[ -~é\\"{}\[\]]{0,12}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((r#"[a-z"\\]{0,4}"#, inner), 0..4)
                .prop_map(|fields| json!(fields.into_iter().collect::<std::collections::BTreeMap<_, _>>())),
        ]
    })
}

/// Cuts a text at sizes that come round and round.
fn chunks<'a>(mut text: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if text.is_empty() {
            break;
        }
        let (part, rest) = text.split_at((*size).min(text.len()));
        parts.push(part);
        text = rest;
    }
    parts
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_records(
        values in prop::collection::vec(value(), 0..12),
        sizes in prop::collection::vec(1_usize..40, 1..5),
        lines in any::<bool>(),
    ) {
        let shape = if lines { Shape::Lines } else { Shape::Values };
        // Two words in a row need something between them.
        let is_word = |value: &Value| value.is_null() || value.is_number() || value.is_boolean();
        let mut text = String::new();
        for value in &values {
            text += &value.to_string();
            text += if lines { "\n" } else if is_word(value) { " " } else { "" };
        }
        let whole = split(shape, &[text.as_bytes()]).unwrap();
        prop_assert_eq!(whole.len(), values.len());
        for ((number, offset, record), value) in whole.iter().zip(&values) {
            prop_assert_eq!(record, &value.to_string());
            prop_assert_eq!(&text[*offset as usize..][..record.len()], record);
            prop_assert!(*number >= 1);
        }
        prop_assert_eq!(split(shape, &chunks(text.as_bytes(), &sizes)).unwrap(), whole);
    }

    #[test]
    fn a_stream_cut_inside_a_record_is_an_error_or_ends_at_a_whole_one(
        values in prop::collection::vec(value(), 1..6), at in any::<prop::sample::Index>(),
    ) {
        let text: String = values.iter().map(|value| json!([value]).to_string()).collect();
        let at = at.index(text.len());
        prop_assume!(text.is_char_boundary(at));
        let ends: Vec<usize> = values.iter().scan(0, |end, value| { *end += json!([value]).to_string().len(); Some(*end) }).collect();
        let cut = split(Shape::Values, &[&text.as_bytes()[..at]]);
        if at == 0 || ends.contains(&at) {
            prop_assert_eq!(cut.unwrap().len(), ends.iter().filter(|end| **end <= at).count());
        } else {
            prop_assert_eq!(cut.unwrap_err().number as usize, ends.iter().filter(|end| **end <= at).count() + 1);
        }
    }
}
