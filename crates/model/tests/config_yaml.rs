//! Edits of YAML files: only what was meant changes, or nothing does.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use switchback_model::config::{ConfigFormat, EditError, Format, Wanted};

fn yaml() -> &'static dyn Format {
    ConfigFormat::Yaml.editor()
}

fn text(value: &str) -> Wanted {
    Wanted::Text(value.to_owned())
}

fn plain(value: &str) -> Wanted {
    Wanted::Plain(value.to_owned())
}

#[track_caller]
fn set(before: &str, key: &str, value: Wanted, after: &str) {
    assert_eq!(yaml().set(before, key, &value).unwrap(), after);
    assert_eq!(yaml().set(after, key, &value).unwrap(), after, "twice is once");
}

#[track_caller]
fn delete(before: &str, key: &str, after: &str) {
    assert_eq!(yaml().delete(before, key).unwrap(), after);
    assert_eq!(yaml().delete(after, key).unwrap(), after, "twice is once");
}

#[track_caller]
fn rename(before: &str, from: &str, to: &str, after: &str) {
    assert_eq!(yaml().rename(before, from, to).unwrap(), after);
    assert_eq!(yaml().rename(after, from, to).unwrap(), after, "twice is once");
}

#[track_caller]
fn refused(result: Result<String, EditError>, words: &str) {
    let said = result.unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_scalar_is_replaced_where_it_stands() {
    set("a: 1   # one\nb: 2\n", "a", plain("3"), "a: 3   # one\nb: 2\n");
    set("a:\n    b:   old  # c\n    c: x\n", "a.b", text("new"), "a:\n    b:   new  # c\n    c: x\n");
    set("a: \"old\" # c\n", "a", text("new"), "a: \"new\" # c\n");
    set("a: 'old'\n", "a", text("it's"), "a: 'it''s'\n");
    set("a: \"old\"\n", "a", plain("true"), "a: true\n");
    set("a: {b: 1, c: \"x\"}\n", "a.c", text("y, z"), "a: {b: 1, c: \"y, z\"}\n");
    set("a:\n- x\n- y # c\n", "a[1]", text("z"), "a:\n- x\n- z # c\n");
    set("a: one\n  two\nb: 1\n", "a", text("x"), "a: x\nb: 1\n");
    set("a: |\n  one\n  two\n\n# c\nb: 1\n", "a", text("x"), "a: x\n\n# c\nb: 1\n");
    set("a: >-  # c\n  one\nb: 1\n", "a", text("x"), "a: x\nb: 1\n");
    set("a: 1\r\nb: 2\r\n", "a", plain("3"), "a: 3\r\nb: 2\r\n");
    set("\u{feff}a: 1", "a", plain("3"), "\u{feff}a: 3");
    set("a: &x 1\nb: 2\n", "a", plain("3"), "a: &x 3\nb: 2\n");
}

#[test]
fn a_text_is_quoted_where_a_reader_could_take_it_for_something_else() {
    for (value, written) in [
        ("yes", "\"yes\""),
        ("1.10", "\"1.10\""),
        ("8080:80", "\"8080:80\""),
        ("12:30:45", "\"12:30:45\""),
        ("2026-11-20", "\"2026-11-20\""),
        ("", "\"\""),
        ("*star", "\"*star\""),
        ("has #hash", "\"has #hash\""),
        ("has: colon", "\"has: colon\""),
        (" led", "\" led\""),
        ("say \"x\"", "'say \"x\"'"),
        ("two\nlines", "\"two\\nlines\""),
        ("bell\u{7}", "\"bell\\u0007\""),
        ("http://127.0.0.1:80/x", "http://127.0.0.1:80/x"),
        ("v1.2", "v1.2"),
    ] {
        set("a: old\n", "a", text(value), &format!("a: {written}\n"));
    }
}

#[test]
fn a_value_that_was_not_written_is() {
    set("a:\nb: 1\n", "a", text("x"), "a: x\nb: 1\n");
    set("a:   # c\nb: 1\n", "a", text("x"), "a: x   # c\nb: 1\n");
    set("a: ~\n", "a", text("x"), "a: x\n");
    set("a:\n", "a", plain("null"), "a:\n");
    set("{a, b: 1}\n", "b", plain("2"), "{a, b: 2}\n");
}

#[test]
fn a_list_or_map_is_replaced_whole() {
    set("a:   # c\n  b: 1\n  c: 2\nd: 3\n", "a", text("x"), "a: x   # c\nd: 3\n");
    set("a: [1, 2] # c\n", "a", text("x"), "a: x # c\n");
    set("a: old # c\nb: 1\n", "a", Wanted::Map(vec![("k".into(), text("v"))]), "a: # c\n  k: v\nb: 1\n");
    set("a: {b: 1}\n", "a", Wanted::Map(vec![("k".into(), plain("1"))]), "a: {k: 1}\n");
    set(
        "a:\n   b: 1\nc:\n",
        "c",
        Wanted::List(vec![text("x"), text("z")]),
        "a:\n   b: 1\nc:\n   - x\n   - z\n",
    );
    set("a:\n  b: 1", "a", Wanted::Map(vec![("c".into(), plain("1"))]), "a:\n  c: 1");
}

#[test]
fn a_new_key_comes_behind_its_neighbours() {
    set("a:\n  b: 1 # c\n\n# d\nd: 1\n", "a.c", plain("2"), "a:\n  b: 1 # c\n  c: 2\n\n# d\nd: 1\n");
    set("a: 1", "b", plain("2"), "a: 1\nb: 2");
    set("a: 1\r\n", "b", plain("2"), "a: 1\r\nb: 2\r\n");
    set("a: {}\n", "a.b", plain("2"), "a: {b: 2}\n");
    set("a: { b: 1 }\n", "a.c.d", plain("2"), "a: { b: 1, c: {d: 2} }\n");
    set("a:\n    b: 1\n", "c.d.e", text("x"), "a:\n    b: 1\nc:\n    d:\n        e: x\n");
    set("a: # c\nb: 1\n", "a.c", plain("2"), "a: # c\n  c: 2\nb: 1\n");
    set("a: ~ # c\n", "a.c", plain("2"), "a: {c: 2} # c\n");
    set(
        "- a: 1\n  b: |\n    x\n\n- c: 2\n",
        "[0].d",
        plain("3"),
        "- a: 1\n  b: |\n    x\n  d: 3\n\n- c: 2\n",
    );
    set("", "a.b", plain("1"), "a:\n  b: 1\n");
    set("# only\n", "a", plain("1"), "# only\na: 1\n");
    set("---\na: 1\n", "b", plain("2"), "---\na: 1\nb: 2\n");
    set("a.b: 1\n", r"a\.b", plain("2"), "a.b: 2\n");
    set("a:\n  - x\n", "b", text("#"), "a:\n  - x\nb: \"#\"\n");
    set("a:\n  b: 1\n", "a.yes", plain("2"), "a:\n  b: 1\n  \"yes\": 2\n");
}

#[test]
fn a_deleted_key_takes_its_lines_along() {
    delete("a: 1\nb: 2 # c\n# d\nc: 3\n", "b", "a: 1\n# d\nc: 3\n");
    delete("a: 1\nb:\n  c: 1\n  # deep\n# d\ne: 3\n", "b", "a: 1\n# d\ne: 3\n");
    delete("a:\n  b: 1\nc: 2\n", "a.b", "a: {}\nc: 2\n");
    delete("a: 1\nb: 2", "b", "a: 1");
    delete("a: 1\nb: |+\n  x\n\nc: 2\n", "b", "a: 1\nc: 2\n");
    delete("a: {b: 1, c: 2, d: 3}\n", "a.b", "a: {c: 2, d: 3}\n");
    delete("a: {b: 1, c: 2, d: 3}\n", "a.d", "a: {b: 1, c: 2}\n");
    delete("a: { b: 1 }\n", "a.b", "a: {}\n");
    delete("- a: 1\n  b: 2\n- c: 3\n", "[0].a", "- b: 2\n- c: 3\n");
    refused(yaml().delete("a: [x, y]\n", "a[1]"), "no name by which one could tell that it is gone");
    refused(yaml().rename("a: [x, y]\n", "a[1]", "b"), "no name by which");
    delete("a: 1\n", "x.y", "a: 1\n");
    delete("a: 1\n", "a", "{}\n");
}

#[test]
fn a_renamed_key_keeps_its_place_and_its_value() {
    rename("a: 1 # c\nb: 2\n", "a", "z", "z: 1 # c\nb: 2\n");
    rename("\"a\": 1\n", "a", "z", "\"z\": 1\n");
    rename(
        "s:\n  web: &w  # c\n    x: 1\n  o: *w\n",
        "s.web",
        "s.front",
        "s:\n  front: &w  # c\n    x: 1\n  o: *w\n",
    );
    rename("a: {b: 1, c: 2}\n", "a.b", "a.yes", "a: {\"yes\": 1, c: 2}\n");
    rename("a: 1\n", "x", "y", "a: 1\n");
}

#[test]
fn a_moved_key_takes_its_value_along_as_it_stands() {
    rename(
        "a:\n  b: # c\n    - 'x'  # d\n    - y\n  k: 1\nz:\n  w: 1\n",
        "a.b",
        "z.b",
        "a:\n  k: 1\nz:\n  w: 1\n  b: # c\n    - 'x'  # d\n    - y\n",
    );
    rename("a:\n  b: |\n    x\n      y\n  c: 1\n", "a.b", "d", "a:\n  c: 1\nd: |\n  x\n    y\n");
    rename("a: \"v\" # c\nb: 1\n", "a", "p.m.a", "b: 1\np:\n  m:\n    a: \"v\" # c\n");
    rename("a: {b: 'x', c: 1}\nd: 2\n", "a.b", "b", "a: {c: 1}\nd: 2\nb: 'x'\n");
    rename("a: 'x'\nb: {}\n", "a", "b.a", "b: {a: 'x'}\n");
    rename("a:\n  b:\n    c: 1\n", "a.b.c", "a.d", "a:\n  b: {}\n  d: 1\n");
}

#[test]
fn what_is_shared_is_not_changed() {
    let shared = "base: &b\n  image: x\n  list: &l [1]\nweb:\n  <<: *b\n  own: *l\n";
    refused(yaml().set(shared, "base.image", &text("y")), "shared as `&b` with line 5");
    refused(yaml().set(shared, "base.new", &text("y")), "shared as `&b`");
    refused(yaml().delete(shared, "base"), "shared as `&b`");
    refused(yaml().set(shared, "base.list", &text("y")), "shared as");
    // What is used nowhere but in the value goes with it.
    let own = "a: {url: &u http://x, web: *u}\nb: 1\n";
    assert_eq!(yaml().delete(own, "a").unwrap(), "b: 1\n");
    assert_eq!(yaml().set(own, "a", &text("new")).unwrap(), "a: new\nb: 1\n");
    refused(yaml().delete(own, "a.url"), "shared as `&u` with line 1");
    refused(yaml().delete(shared, "web.image"), "merge key");
    refused(yaml().set(shared, "web.own.x", &text("y")), "an alias");
    set(
        shared,
        "web.image",
        text("z"),
        "base: &b\n  image: x\n  list: &l [1]\nweb:\n  <<: *b\n  own: *l\n  image: z\n",
    );
    set(shared, "web.own", text("z"), "base: &b\n  image: x\n  list: &l [1]\nweb:\n  <<: *b\n  own: z\n");
}

#[test]
fn what_cannot_be_edited_surely_is_refused() {
    refused(yaml().set("a: !reset x\n", "a", &text("z")), "the tag `!reset`");
    refused(yaml().set("a: 1\na: 2\n", "b", &text("x")), "it stands in line 1 and in line 2");
    refused(yaml().set("a: 1\n---\nb: 1\n", "a", &text("x")), "line 2: a second document");
    refused(yaml().set("a: !reset x\n", "a", &text("x")), "the tag `!reset`");
    refused(yaml().set("a: [1\n", "a", &text("x")), "line");
    refused(yaml().set("a: 1\n", "a.b", &text("x")), "in line 1 there is a single value");
    refused(yaml().set("a: [1]\n", "a[3]", &text("x")), "no list with so many items");
    refused(yaml().set("? a\n: 1\n", "a", &text("x")), "a form that is not edited");
    refused(yaml().rename("a: 1\nb: 2\n", "a", "b"), "both are there");
    refused(yaml().set("a: *x\n", "a", &text("y")), "line 1");
    refused(yaml().set("a: \u{1}\n", "a", &text("y")), "control character");
}

#[test]
fn a_value_is_read_as_a_program_reads_it() {
    let doc = "base: &b {image: x, n: 1.10}\nweb:\n  <<: *b\n  l: [1, {k: }]\n  own: *b\nq: 'yes'\n";
    let get = |key: &str| yaml().get(doc, key).unwrap();
    assert_eq!(get("web.image"), Some(json!("x")));
    assert_eq!(get("web.own.n"), Some(json!("1.10")));
    assert_eq!(get("web.own"), Some(json!({"image": "x", "n": "1.10"})));
    assert_eq!(get("web.l"), Some(json!(["1", {"k": null}])));
    assert_eq!(get("web.l[1].k"), Some(Value::Null));
    assert_eq!(get("web.l[7]"), None);
    assert_eq!(get("q"), Some(json!("yes")));
    assert_eq!(get("q.r"), None);
    assert!(yaml().get(doc, "web").is_err(), "aliases inside");
}
