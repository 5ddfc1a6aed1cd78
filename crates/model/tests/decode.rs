#![allow(missing_docs, clippy::unwrap_used)]
//! Typed decoding: everything wrong at once, with a place and a suggestion; schemas from the same declarations.

use serde_json::json;
use switchback_model::decode::{self, Decode, Duration, Keyed, OneOrMany, Spanned, json_schema};
use switchback_model::diagnostic::{Diagnostics, Source, Span};
use switchback_model::text::Template;
use switchback_model::tree::{self, Node};
use switchback_model::version::{Range, Version};
use switchback_model::{choice, record};

choice! {
    /// When a step runs.
    pub enum Phase {
        /// Before writers
        /// go out.
        Prepare = "prepare",
        /// After they came back.
        AfterThaw = "after-thaw",
    }
}

record! {
    /// A probe.
    ///
    /// It looks.
    pub struct Probe {
        /// The database.
        pub r#in: String,
        /// The query.
        pub sql: Template,
        /// What to say.
        pub r#else: Option<String>,
        /// How long to poll.
        pub within: Option<Duration>,
        /// How many rows to show.
        pub show: u64 = 10,
    }
}

record! {
    /// A book.
    pub struct Book {
        /// The name.
        pub name: Spanned<String>,
        /// From where.
        pub from: Range,
        /// To where.
        pub to: Version,
        /// When.
        pub phase: Phase,
        /// Probes.
        pub probes: Vec<Probe>,
        /// Words.
        pub words: OneOrMany<String>,
        /// Ports by name.
        pub ports: Keyed<u16>,
        /// Whether it is private.
        pub private: Option<bool>,
        /// Anything.
        pub body: Option<Node>,
        /// A book inside.
        pub inner: Option<Box<Book>>,
    }
}

record! {
    /// Nothing inside.
    struct Empty {}
}

fn read<T: Decode>(text: &str) -> (Option<T>, String) {
    let source = Source::new("p.yaml", text);
    let mut out = Diagnostics::default();
    let value = tree::parse(&source, &mut out).and_then(|node| decode::decode(&node, &mut out));
    assert_eq!(value.is_none(), out.has_errors());
    (value, out.render_all(Some(&source)))
}

fn good<T: Decode>(text: &str) -> T {
    let (value, shown) = read(text);
    assert_eq!(shown, "");
    value.unwrap()
}

const BOOK: &str = "\
name: \"O'Brien \\\"lab\\\"\"
from: \">=1.1, <1.4\"
to: 1.10
phase: after-thaw
probes:
  - {in: db, sql: SELECT 1, within: 90s}
  - {in: db, sql: \"${q}\", else: no, show: 3}
words: one
ports: {web: 80, \"db é\": 5432}
private: true
body: {x: [1, '2']}
";

#[test]
fn a_record_reads_all_its_fields_by_their_types() {
    let book: Book = good(BOOK);
    assert_eq!(*book.name, "O'Brien \"lab\"");
    assert_eq!(book.name.span, Span::new(6, 23));
    assert_eq!(book.to.to_string(), "1.10");
    assert!(book.from.contains(&"1.3".parse().unwrap()));
    assert_eq!(book.phase, Phase::AfterThaw);
    assert_eq!(book.probes[0].within.unwrap().get(), std::time::Duration::from_secs(90));
    assert_eq!((book.probes[0].show, book.probes[1].show), (10, 3));
    assert_eq!(book.probes[1].r#else.as_deref(), Some("no"));
    assert_eq!(*book.words, ["one"]);
    assert_eq!(book.ports.names().collect::<Vec<_>>(), ["web", "db é"]);
    assert_eq!(book.ports.get("db é"), Some(&5432));
    let (key, _) = book.ports.iter().next_back().unwrap();
    assert_eq!(&BOOK[key.span.start..key.span.end], "\"db é\"");
    assert_eq!(book.private, Some(true));
    assert_eq!(book.inner, None);
}

#[test]
fn a_record_survives_its_stored_form() {
    let book: Book = good(BOOK);
    let stored = serde_json::to_string(&book).unwrap();
    assert_eq!(serde_json::from_str::<Book>(&stored).unwrap(), book);
    assert!(
        stored.contains(r#""in":"db""#)
            && stored.contains(r#""phase":"after-thaw""#)
            && stored.contains(r#""within":"90s""#)
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "\
nam: x
from: 1.x
to: [1]
phase: prepair
probes:
  - {in: db, sqll: x, within: 5 min}
  - just text
  - {in: , sql: \"${\", show: many}
words: {a: b}
ports: {web: 70000, db: x, \"a\\eb\": -1}
private: yes
colour: red
";
    insta::assert_snapshot!(read::<Book>(text).1, @r#"
    error[P006]: key `name` is missing
     --> p.yaml:1:1
      |
    1 | nam: x
      | ^^^^^^ needs `name`
    help: add `name:`

    error[P005]: unknown key `nam`
     --> p.yaml:1:1
      |
    1 | nam: x
      | ^^^
    note: known here: name, from, to, phase, probes, words, ports, private, body, inner
    help: did you mean `name`?

    error[P008]: cannot read `1.x` as a range: cannot read `1.x` as a version: `x` cannot be part of one
     --> p.yaml:2:7
      |
    2 | from: 1.x
      |       ^^^
    help: write a range such as `">=1.1, <1.4"`, `<2`, `=0.7.27`, or a series such as `0.6`

    error[P007]: expected a version, found a list
     --> p.yaml:3:5
      |
    3 | to: [1]
      |     ^^^
    help: write a version here

    error[P008]: `prepair` is not possible here
     --> p.yaml:4:8
      |
    4 | phase: prepair
      |        ^^^^^^^
    help: did you mean `prepare`? possible are: prepare, after-thaw

    error[P006]: key `sql` is missing
     --> p.yaml:6:5
      |
    6 |   - {in: db, sqll: x, within: 5 min}
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ needs `sql`
    help: add `sql:`

    error[P005]: unknown key `sqll`
     --> p.yaml:6:14
      |
    6 |   - {in: db, sqll: x, within: 5 min}
      |              ^^^^
    note: known here: in, sql, else, within, show
    help: did you mean `sql`?

    error[P008]: `5 min` is not a span of time
     --> p.yaml:6:31
      |
    6 |   - {in: db, sqll: x, within: 5 min}
      |                               ^^^^^
    help: write a whole number with its unit, such as `500ms`, `120s`, `10m` or `2h`

    error[P007]: expected a map, found `just text`
     --> p.yaml:7:5
      |
    7 |   - just text
      |     ^^^^^^^^^
    help: write a map here

    error[P007]: expected text, found nothing
     --> p.yaml:8:6
      |
    8 |   - {in: , sql: "${", show: many}
      |      ^^ no value
    help: write the value, or remove the key

    error[P008]: `${` without `}`
     --> p.yaml:8:18
      |
    8 |   - {in: , sql: "${", show: many}
      |                  ^^
    help: add the `}`, or write `$${` for a literal `${`

    error[P008]: `many` is not a whole number
     --> p.yaml:8:29
      |
    8 |   - {in: , sql: "${", show: many}
      |                             ^^^^
    help: write digits alone, such as `5432`

    error[P007]: expected text, found a map
     --> p.yaml:9:8
      |
    9 | words: {a: b}
      |        ^^^^^^
    help: write text here

    error[P008]: `70000` is out of range
      --> p.yaml:10:14
       |
    10 | ports: {web: 70000, db: x, "a\eb": -1}
       |              ^^^^^
    help: possible are 0 to 65535

    error[P008]: `x` is not a whole number
      --> p.yaml:10:25
       |
    10 | ports: {web: 70000, db: x, "a\eb": -1}
       |                         ^
    help: write digits alone, such as `5432`

    error[P008]: `-1` is out of range
      --> p.yaml:10:36
       |
    10 | ports: {web: 70000, db: x, "a\eb": -1}
       |                                    ^^
    help: possible are 0 to 65535

    error[P008]: `yes` is neither `true` nor `false`
      --> p.yaml:11:10
       |
    11 | private: yes
       |          ^^^
    help: write `true`

    error[P005]: unknown key `colour`
      --> p.yaml:12:1
       |
    12 | colour: red
       | ^^^^^^
    note: known here: name, from, to, phase, probes, words, ports, private, body, inner
    help: remove it
    "#);
}

#[test]
fn a_key_that_stands_for_one_that_is_there_is_to_be_removed() {
    insta::assert_snapshot!(read::<Probe>("in: a\nsql: b\nSQL: c\n").1, @r#"
    error[P005]: unknown key `SQL`
     --> p.yaml:3:1
      |
    3 | SQL: c
      | ^^^
    note: known here: in, sql, else, within, show
    help: remove it; `sql` is there already
    "#);
    insta::assert_snapshot!(read::<Empty>("a: b\n").1, @r#"
    error[P005]: unknown key `a`
     --> p.yaml:1:1
      |
    1 | a: b
      | ^
    note: no key is known here
    help: remove it
    "#);
}

#[test]
fn numbers_and_booleans_are_taken_as_written_and_not_guessed() {
    assert_eq!(good::<i64>("-9223372036854775808"), i64::MIN);
    assert_eq!(good::<u64>("18446744073709551615"), u64::MAX);
    assert_eq!(good::<f64>("1.5e3"), 1500.0);
    assert_eq!(good::<String>("1.10"), "1.10");
    assert!(good::<bool>("true"));
    let message = |shown: String| shown.lines().next().unwrap_or_default().to_owned();
    let help = |shown: String| shown.lines().last().unwrap_or_default().to_owned();
    assert_eq!(message(read::<u64>("-1").1), "error[P008]: `-1` is out of range");
    assert_eq!(help(read::<u16>("65536").1), "help: possible are 0 to 65535");
    assert_eq!(
        message(read::<u64>(&"9".repeat(500)).1),
        format!("error[P008]: `{}…` is out of range", "9".repeat(60))
    );
    assert_eq!(message(read::<u64>("0644").1), "error[P008]: `0644` begins with a zero");
    assert_eq!(message(read::<u64>("'5'").1), "error[P008]: `5` is text, not a number");
    for text in ["0x1F", "1_000", "+1", "1.0", "--1", "１"] {
        assert!(message(read::<i64>(text).1).ends_with("is not a whole number"), "{text}");
    }
    for text in [".inf", "inf", "NaN", "1,5", "x"] {
        assert!(message(read::<f64>(text).1).ends_with("is not a number"), "{text}");
    }
    assert_eq!(message(read::<f64>("1e999").1), "error[P008]: `1e999` is out of range");
    assert_eq!(help(read::<bool>("Yes").1), "help: write `true`");
    assert_eq!(help(read::<bool>("'false'").1), "help: write `false`, without quotes");
    assert_eq!(message(read::<String>("~").1), "error[P007]: expected text, found nothing");
    assert_eq!(message(read::<String>("[a]").1), "error[P007]: expected text, found a list");
}

#[test]
fn a_span_of_time_has_a_unit_and_an_end() {
    for (text, shown) in [
        ("500ms", "500ms"),
        ("120s", "2m"),
        ("90s", "90s"),
        ("120m", "2h"),
        ("0ms", "0s"),
        ("8784h", "8784h"),
    ] {
        assert_eq!(good::<Duration>(text).to_string(), shown);
    }
    for text in ["5", "", "s", "5 s", "-5s", "1.5h", "5d", "5S", "٣s"] {
        assert!(text.parse::<Duration>().is_err(), "{text}");
    }
    for text in ["8785h", "99999999999999999999s", "18446744073709551615h"] {
        let error = text.parse::<Duration>().unwrap_err().to_string();
        assert_eq!(error, format!("take `{text}` for a span of time: it is longer than a year"));
    }
}

#[test]
fn a_choice_knows_its_words() {
    assert_eq!(Phase::ALL, [Phase::Prepare, Phase::AfterThaw]);
    assert_eq!(format!("{:>12}|", Phase::Prepare), "     prepare|");
    assert_eq!("after-thaw".parse(), Ok(Phase::AfterThaw));
    let error = "Prepare\n".parse::<Phase>().unwrap_err().to_string();
    assert_eq!(error, "take `Prepare\\n` for one of prepare, after-thaw");
    assert_eq!(serde_json::to_value(Phase::AfterThaw).unwrap(), json!("after-thaw"));
}

#[test]
fn the_schema_says_what_the_decoder_takes() {
    let schema = json_schema::<Book>("book");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "book");
    assert_eq!(schema["$ref"], "#/$defs/Book");
    assert_eq!(
        schema["$defs"]["Probe"],
        json!({
            "type": "object",
            "description": "A probe.\n\nIt looks.",
            "additionalProperties": false,
            "properties": {
                "in": { "type": ["string", "number", "boolean"], "description": "The database." },
                "sql": { "type": ["string", "number", "boolean"], "description": "The query." },
                "else": { "type": ["string", "number", "boolean"], "description": "What to say." },
                "within": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "description": "How long to poll." },
                "show": { "type": "integer", "minimum": 0, "maximum": u64::MAX, "description": "How many rows to show." },
            },
            "required": ["in", "sql"],
        })
    );
    assert_eq!(
        schema["$defs"]["Phase"],
        json!({
            "description": "When a step runs.",
            "oneOf": [
                { "const": "prepare", "description": "Before writers go out." },
                { "const": "after-thaw", "description": "After they came back." },
            ],
        })
    );
    let book = &schema["$defs"]["Book"];
    assert_eq!(book["required"], json!(["name", "from", "to", "phase"]));
    assert_eq!(
        book["properties"]["inner"],
        json!({ "$ref": "#/$defs/Book", "description": "A book inside." })
    );
    assert_eq!(book["properties"]["ports"]["additionalProperties"]["maximum"], 65535);
}

#[test]
fn a_decoder_without_a_word_is_not_believed() {
    #[derive(Debug)]
    struct Mute;
    impl Decode for Mute {
        fn decode(_: &Node, _: &mut decode::Decoder) -> Option<Self> {
            None
        }
        fn schema(_: &mut decode::Schemas) -> serde_json::Value {
            json!({})
        }
    }
    assert!(read::<Mute>("a: 1").1.starts_with("error[P007]: this cannot be read"));
}

#[test]
fn a_file_of_nothing_but_errors_is_read_in_linear_time() {
    let text: String = (0..50_000).map(|index| format!("unknown_key_number_{index}: x\n")).collect();
    let (_, shown) = read::<Book>(&text);
    assert!(shown.ends_with("and 49804 more\n"), "{}", &shown[shown.len() - 80..]);
}

mod elsewhere {
    switchback_model::record! {
        /// Another probe of the same name.
        pub struct Probe {
            /// The first.
            pub first: Option<super::Probe>,
        }
    }
}

#[test]
fn two_types_of_one_name_have_two_definitions() {
    let schema = json_schema::<elsewhere::Probe>("two");
    assert_eq!(schema["$ref"], "#/$defs/Probe");
    assert_eq!(schema["$defs"]["Probe"]["properties"]["first"]["$ref"], "#/$defs/Probe2");
}
