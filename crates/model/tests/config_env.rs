//! Edits of `.env` files: only what was meant changes, or nothing does.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use switchback_model::config::{ConfigFormat, EditError, Edits, Format, Wanted};

const FILE: &str = "\
# database
DB_NAME=old   # the old one
export DB_USER='me'
DB_PASSWORD=\"a \\\"b\\\"\"
EMPTY=
NOTE= # nothing
BARE
KEY_PEM='line 1
line 2'
URL=postgres://$DB_USER@host/${DB_NAME}
";

fn env() -> &'static dyn Format {
    ConfigFormat::Env.editor()
}

#[track_caller]
fn set(before: &str, key: &str, value: &str, after: &str) {
    let value = Wanted::Text(value.to_owned());
    assert_eq!(env().set(before, key, &value).unwrap(), after);
    assert_eq!(env().set(after, key, &value).unwrap(), after, "twice is once");
}

#[track_caller]
fn refused(result: Result<String, EditError>, words: &str) {
    let said = result.unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_value_changes_where_it_stands_and_as_it_was_quoted() {
    set(FILE, "DB_NAME", "new", &FILE.replace("=old ", "=new "));
    set(FILE, "DB_NAME", "it is new", &FILE.replace("=old ", "='it is new' "));
    set(FILE, "DB_USER", "you", &FILE.replace("'me'", "'you'"));
    set(FILE, "DB_USER", "it's", &FILE.replace("'me'", "\"it's\""));
    set(FILE, "DB_PASSWORD", "x", &FILE.replace("\"a \\\"b\\\"\"", "\"x\""));
    set(FILE, "DB_PASSWORD", "a$b", &FILE.replace("\"a \\\"b\\\"\"", "'a$b'"));
    set(FILE, "DB_PASSWORD", "a \"b\"", FILE);
    set(FILE, "EMPTY", "x", &FILE.replace("EMPTY=", "EMPTY=x"));
    set(FILE, "NOTE", "x", &FILE.replace("NOTE= #", "NOTE=x #"));
    set(FILE, "BARE", "x", &FILE.replace("BARE\n", "BARE=x\n"));
    set(FILE, "BARE", "", &FILE.replace("BARE\n", "BARE=\n"));
    set(FILE, "KEY_PEM", "a\nb", &FILE.replace("line 1\nline 2", "a\nb"));
    set("A=1\r\nB=2\r\n", "A", "3", "A=3\r\nB=2\r\n");
    set("\u{feff}A=1\nB=2", "A", "3", "\u{feff}A=3\nB=2");
    set("  A =  1  \n", "A", "3", "  A =  3  \n");
    set("A=x#y\n", "A", "x#z", "A='x#z'\n");
    set("A=$B\n", "A", "$B", "A='$B'\n");
}

#[test]
fn a_new_variable_comes_last_in_the_manner_of_the_others() {
    set("A=1\n", "B", "2", "A=1\nB=2\n");
    set("A=1", "B", "2", "A=1\nB=2");
    set("A=1\r\n", "B", "2", "A=1\r\nB=2\r\n");
    set("export A=1\n", "B", "a b", "export A=1\nexport B='a b'\n");
    set("", "B", "2", "B=2\n");
    set("# A=1\n", "A", "2", "# A=1\nA=2\n");
}

#[test]
fn a_deleted_variable_takes_its_lines_along() {
    let delete = |before: &str, key: &str| env().delete(before, key).unwrap();
    assert_eq!(delete(FILE, "KEY_PEM"), FILE.replace("KEY_PEM='line 1\nline 2'\n", ""));
    assert_eq!(delete(FILE, "DB_NAME"), FILE.replace("DB_NAME=old   # the old one\n", ""));
    assert_eq!(delete(FILE, "NOWHERE"), FILE);
    assert_eq!(delete("A=1\r\nB=2", "B"), "A=1");
    assert_eq!(delete("A=1", "A"), "");
    assert_eq!(delete("\u{feff}A=1\n", "A"), "\u{feff}");
}

#[test]
fn a_renamed_variable_keeps_its_line() {
    let renamed = env().rename(FILE, "DB_USER", "USER_NAME").unwrap();
    assert_eq!(renamed, FILE.replace("export DB_USER", "export USER_NAME"));
    assert_eq!(env().rename(&renamed, "DB_USER", "USER_NAME").unwrap(), renamed);
    assert_eq!(env().references(&renamed, "DB_USER"), [10]);
    refused(env().rename(FILE, "DB_USER", "DB_NAME"), "both are there");
    refused(env().rename(FILE, "DB_USER", "1X"), "take `1X` for a key");
}

#[test]
fn a_value_is_read_as_a_program_reads_it() {
    let get = |key: &str| env().get(FILE, key).unwrap();
    assert_eq!(get("DB_NAME"), Some(json!("old")));
    assert_eq!(get("DB_USER"), Some(json!("me")));
    assert_eq!(get("DB_PASSWORD"), Some(json!("a \"b\"")));
    assert_eq!(get("EMPTY"), Some(json!("")));
    assert_eq!(get("NOTE"), Some(json!("")));
    assert_eq!(get("BARE"), Some(Value::Null));
    assert_eq!(get("KEY_PEM"), Some(json!("line 1\nline 2")));
    assert_eq!(get("NOWHERE"), None);
}

#[test]
fn what_readers_differ_on_is_refused() {
    let set = |before: &str, value: &str| env().set(before, "A", &Wanted::Text(value.to_owned()));
    refused(set("A=1\nB=2\nA=3\n", "4"), "it stands in line 1 and in line 3");
    refused(env().delete("A=1\nA=3\n", "A"), "it stands in line 1 and in line 2");
    refused(set("A='1\nB=2\n", "4"), "line 1: the quote `'` is never closed");
    refused(set("B=1\nA=\"x\"y\n", "4"), "line 2: there is more behind the closing quote");
    refused(set("this is no file\n", "4"), "line 1: it is neither");
    refused(set("A=1\n", "${B}"), "it contains `${`");
    refused(set("A=1\n", "it's $5"), "no way of quoting it");
    refused(set("A=1\n", "a\rb"), "control character");
    refused(env().set("A=1\n", "A B", &Wanted::Text("x".into())), "take `A B` for a key");
}

#[test]
fn edits_of_one_file_are_one_change() {
    let edits = Edits {
        format: ConfigFormat::Env,
        rename: vec![("DB_NAME".into(), "DATABASE".into()), ("NOWHERE".into(), "THERE".into())],
        set: vec![("DB_SCHEMA".into(), Wanted::Text("shared".into()))],
        delete: vec!["DB_USER".into(), "GONE".into()],
    };
    let outcome = edits.of(FILE).unwrap();
    let expected = FILE.replace("DB_NAME=old", "DATABASE=old").replace("export DB_USER='me'\n", "");
    assert_eq!(outcome.text, expected + "DB_SCHEMA=shared\n");
    assert_eq!(outcome.removed, ["DB_USER"]);
    assert_eq!(
        outcome.notes,
        [
            "there is no `NOWHERE` to rename",
            "line 9 still refers to `DB_NAME`",
            "line 9 still refers to `DB_USER`"
        ]
    );
    let again = edits.of(&outcome.text).unwrap();
    assert_eq!((again.text, again.removed), (outcome.text, Vec::new()));
    assert_eq!(edits.clash(), None);
    let clash = Edits { delete: vec!["DB_SCHEMA".into()], ..edits };
    assert_eq!(clash.clash(), Some(("DB_SCHEMA", "DB_SCHEMA")));
}
