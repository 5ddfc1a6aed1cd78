#![allow(missing_docs, clippy::unwrap_used)]
//! Reading YAML: what is kept, what is refused, and where it is said to be.

use switchback_model::diagnostic::{Diagnostics, Source, Span};
use switchback_model::tree::{MAX_DEPTH, Node, Value, parse};

fn read(text: &str) -> (Option<Node>, String) {
    let source = Source::new("p.yaml", text);
    let mut out = Diagnostics::default();
    let node = parse(&source, &mut out);
    assert!(node.is_some() || out.has_errors(), "a missing tree is explained");
    (node, out.render_all(Some(&source)))
}

fn good(text: &str) -> Node {
    let (node, shown) = read(text);
    assert_eq!(shown, "");
    node.unwrap()
}

fn slice(text: &str, span: Span) -> &str {
    &text[span.start..span.end]
}

#[test]
fn scalars_keep_their_text() {
    let node = good("a: 1.10\nb: 'true'\nc: ~\nd:\ne: \"null\"\nf: 0x1F\n");
    assert_eq!(node.get("a").unwrap().value, Value::Scalar { text: "1.10".to_owned(), plain: true });
    assert_eq!(node.get("b").unwrap().value, Value::Scalar { text: "true".to_owned(), plain: false });
    assert!(node.get("c").unwrap().is_null() && node.get("d").unwrap().is_null());
    assert_eq!(node.get("e").unwrap().as_text(), Some("null"));
    assert_eq!(node.get("f").unwrap().as_text(), Some("0x1F"));
    assert_eq!(node.get("g"), None);
}

#[test]
fn spans_are_bytes_of_the_text_even_after_multibyte_text() {
    let text =
        "# né 名前 🦀\nclé: \"🦀 ü\"\nliste:\n  - é: [ä, 'ö']\n  - 名\nlast: plain text \u{2003}x # ü\n";
    let node = good(text);
    let entries = node.entries().unwrap();
    assert_eq!(slice(text, entries[0].0.span), "clé");
    assert_eq!(slice(text, entries[0].1.span), "\"🦀 ü\"");
    let items = entries[1].1.items().unwrap();
    let (key, inner) = &items[0].entries().unwrap()[0];
    assert_eq!(slice(text, key.span), "é");
    assert_eq!(slice(text, inner.span), "[ä, 'ö']");
    assert_eq!(slice(text, inner.items().unwrap()[1].span), "'ö'");
    assert_eq!(slice(text, items[0].span), "é: [ä, 'ö']");
    assert_eq!(slice(text, items[1].span), "名");
    assert_eq!(slice(text, entries[1].1.span), "- é: [ä, 'ö']\n  - 名");
    assert_eq!(slice(text, entries[2].1.span), "plain text \u{2003}x");
    assert_eq!(node.span, Span::new(text.find("clé").unwrap(), text.find(" # ü").unwrap()));
}

#[test]
fn spans_hold_with_a_byte_order_mark_and_windows_line_ends() {
    let text = "\u{feff}a: ü\r\nb: [x]\r\n";
    let node = good(text);
    assert_eq!(slice(text, node.entries().unwrap()[0].0.span), "a");
    assert_eq!(slice(text, node.get("a").unwrap().span), "ü");
    assert_eq!(slice(text, node.get("b").unwrap().span), "[x]");
}

#[test]
fn a_value_that_is_not_there_points_at_its_key() {
    let text = "é:\nb: {c: , d: }\nl:\n  -\n  - x\n";
    let node = good(text);
    assert_eq!(slice(text, node.get("é").unwrap().span), "é");
    assert_eq!(slice(text, node.get("b").unwrap().get("c").unwrap().span), "c");
    assert!(node.get("l").unwrap().items().unwrap()[0].is_null());
}

#[test]
fn everything_forbidden_is_said_in_one_reading() {
    let (node, shown) =
        read("on: 1\na: &x 1\nb: *x\na: !!str 2\n<<: {c: 1}\n? [k]\n: 2\nNo: *missing\n\"off\": fine\n");
    assert!(node.is_none());
    insta::assert_snapshot!(shown, @r#"
    error[P004]: key `on` is a boolean to YAML 1.1 readers
     --> p.yaml:1:1
      |
    1 | on: 1
      | ^^
    help: quote it: `"on":`

    error[P003]: anchor `x` is not part of the language
     --> p.yaml:2:4
      |
    2 | a: &x 1
      |    ^^
    help: write the value out where it is needed

    error[P003]: alias `x` is not part of the language
     --> p.yaml:3:4
      |
    3 | b: *x
      |    ^^
    help: write the value out here; text that begins with `*` needs quotes

    error[P002]: key `a` stands twice in one map
     --> p.yaml:4:1
      |
    2 | a: &x 1
      | - first here
    3 | b: *x
    4 | a: !!str 2
      | ^ again here
    help: keep one of the two

    error[P003]: tag `!!str` is not part of the language
     --> p.yaml:4:4
      |
    4 | a: !!str 2
      |    ^^^^^
    help: remove the tag; text that begins with `!` needs quotes

    error[P003]: merge key `<<` is not part of the language
     --> p.yaml:5:1
      |
    5 | <<: {c: 1}
      | ^^
    help: write the keys out here

    error[P003]: a list or map as a key is not part of the language
     --> p.yaml:6:3
      |
    6 | ? [k]
      |   ^
    help: a key is one text

    error[P004]: key `No` is a boolean to YAML 1.1 readers
     --> p.yaml:8:1
      |
    8 | No: *missing
      | ^^
    help: quote it: `"No":`

    error[P003]: alias `missing` is not part of the language
     --> p.yaml:8:5
      |
    8 | No: *missing
      |     ^^^^^^^^
    help: write the value out here; text that begins with `*` needs quotes
    "#);
}

#[test]
fn a_tree_without_holes_comes_with_its_errors() {
    let (node, shown) = read("a: 1\na: 2\nyes: &x !t 3\n? {k: v}\n: [1]\nz: 1\n");
    let node = node.unwrap();
    assert_eq!(node.get("a").unwrap().as_text(), Some("1"));
    assert_eq!(
        node.entries().unwrap().iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>(),
        ["a", "yes", "z"]
    );
    assert_eq!(shown.matches("error[").count(), 5, "{shown}");
}

#[test]
fn a_second_document_and_a_directive_are_refused() {
    insta::assert_snapshot!(read("a: 1\n---\nb: 2\n").1, @r#"
    error[P003]: more than one document in the file
     --> p.yaml:2:1
      |
    2 | ---
      | ^^^ a second document starts here
    help: keep one document, and give the other a file of its own
    "#);
    insta::assert_snapshot!(read("%YAML 1.1\n---\na: 1\n").1, @r#"
    error[P003]: directives such as `%YAML` are not part of the language
     --> p.yaml:1:1
      |
    1 | %YAML 1.1
      | ^
    help: remove the line
    "#);
}

#[test]
fn an_empty_file_is_refused() {
    for text in ["", "# nothing\n", "\n\n"] {
        assert_eq!(read(text).0, None);
    }
    insta::assert_snapshot!(read("").1, @r#"
    error[P001]: the file is empty
    help: a playbook begins with `playbook:`, a site file with the playbook it uses
    "#);
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
    good(&nested(MAX_DEPTH));
    for depth in [MAX_DEPTH + 1, 200, 100_000] {
        let (node, shown) = read(&nested(depth));
        assert!(node.is_none());
        assert!(shown.starts_with("error[P001]: lists and maps nest deeper than 64 levels"), "{shown}");
    }
    assert!(read(&"- ".repeat(100_000)).0.is_none());
    assert!(read(&"{a: ".repeat(100_000)).0.is_none());
}

#[test]
fn what_yaml_cannot_hold_is_refused_before_it_cuts_the_file_off() {
    insta::assert_snapshot!(read("a: 1\nb: x\0y\nc: 2\n").1, @r#"
    error[P001]: character U+0000 is not allowed in YAML
     --> p.yaml:2:5
      |
    2 | b: x␀y
      |     ^
    help: write it as an escape in double quotes, such as "\x1b", or check that this is the right file
    "#);
    assert!(read("a: \u{1b}[31m").0.is_none());
    assert!(read("a: x\u{feff}y").0.is_none());
}

#[test]
fn syntax_errors_say_what_to_do() {
    let texts = [
        "a:\n\tb: 1\n",
        "a: \"x\nb: 2\n",
        "a: [1, 2\nb: 3\n",
        "a: b: c\n",
        "a: 1\n  b: 2\n",
        "a: @x\n",
        "a: 'x' y\n",
        "a: 1\njust text\n",
        "a: [1}\n",
        "a: \"\\d\"\n",
    ];
    let shown: Vec<String> = texts.iter().map(|text| read(text).1).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error[P001]: a tab cannot indent
     --> p.yaml:2:2
      |
    2 |     b: 1
      |     ^
    help: indent with spaces

    error[P001]: the text in quotes goes on in a line that is not indented
     --> p.yaml:2:1
      |
    2 | b: 2
      | ^
    help: close the quote, or indent the line deeper than its key

    error[P001]: a `:` where no key can be
     --> p.yaml:2:2
      |
    2 | b: 3
      |  ^
    help: quote text that contains `: `, line up the keys of one map, and close the brackets above

    error[P001]: a `:` where no key can be
     --> p.yaml:1:5
      |
    1 | a: b: c
      |     ^
    help: quote text that contains `: `, line up the keys of one map, and close the brackets above

    error[P001]: a `:` where no key can be
     --> p.yaml:2:4
      |
    2 |   b: 2
      |    ^
    help: quote text that contains `: `, line up the keys of one map, and close the brackets above

    error[P001]: text cannot begin with `@`
     --> p.yaml:1:4
      |
    1 | a: @x
      |    ^
    help: put the text in quotes

    error[P001]: text after the closing quote
     --> p.yaml:1:8
      |
    1 | a: 'x' y
      |        ^
    help: quote the whole value, or separate items with a comma

    error[P001]: a line without `:` where a key must be
     --> p.yaml:2:1
      |
    2 | just text
      | ^
    help: quote text that contains `: `, line up the keys of one map, and close the brackets above

    error[P001]: `[` is closed by `}`
     --> p.yaml:1:4
      |
    1 | a: [1}
      |    ^
    help: close each bracket with its own kind

    error[P001]: an escape that YAML does not know
     --> p.yaml:1:4
      |
    1 | a: "\d"
      |    ^
    help: in double quotes a backslash is written `\\`; single quotes leave it alone
    "#);
}

proptest::proptest! {
    #[test]
    fn reading_is_total_and_its_spans_fit(text in "[-a:\\[\\]{}, \n\t#&*!|>'\"%é?<~🦀]{0,40}") {
        let source = Source::new("p.yaml", text.as_str());
        let mut out = Diagnostics::default();
        if let Some(node) = parse(&source, &mut out) {
            check(&node, &text);
            let stored = serde_json::to_string(&node).unwrap();
            assert_eq!(serde_json::from_str::<Node>(&stored).unwrap(), node);
        } else {
            assert!(out.has_errors());
        }
        out.render_all(Some(&source));
    }
}

fn check(node: &Node, text: &str) {
    assert!(text.get(node.span.start..node.span.end).is_some(), "{node:?}");
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| check(item, text)),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            assert!(text.get(key.span.start..key.span.end).is_some(), "{key:?}");
            check(value, text);
        }),
        Value::Scalar { text: plain, plain: true } => {
            let slice = slice(text, node.span);
            assert!(slice.contains('\n') || slice == plain, "{slice:?} is not {plain:?}");
        }
        Value::Null | Value::Scalar { .. } => {}
    }
}
