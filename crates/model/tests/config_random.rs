//! Random edits of random config files. What a file says is known here from how it was made, and not from a reader.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use switchback_model::config::{ConfigFormat, Wanted};

/// Values that one reader or another takes for something else.
const NASTY: [&str; 34] = [
    "yes",
    "no",
    "on",
    "~",
    "null",
    "true",
    "1",
    "-1",
    "1.10",
    "0x1f",
    "1e3",
    "12:30",
    "8080:80",
    "2026-11-20",
    "",
    " led",
    "trailed ",
    "*star",
    "&and",
    "!bang",
    "has #hash",
    "#first",
    "has: colon",
    "ends:",
    "- dash",
    "[a]",
    "{a: b}",
    "it's",
    "say \"x\"",
    "a\\b",
    "%d",
    "@at",
    "naïve — ünïcode ☃",
    "plain",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(&NASTY[..]).prop_map(str::to_owned), 2 => "[ -~]{0,12}", 1 => "\\PC{0,8}"]
}

/// A value of a document that is made: how it looks is drawn with it.
#[derive(Debug, Clone)]
enum Made {
    /// A text that reads as itself, and the manner: plain, single, double, literal.
    Text(String, u8),
    Null,
    Map(Vec<(String, Made, bool)>, bool),
    List(Vec<Made>, bool),
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        4 => ("[a-z]{1,8}", 0..4u8).prop_map(|(text, manner)| Made::Text(text + "x", manner)),
        1 => Just(Made::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            2 => (prop::collection::vec(("[a-z]{2,5}", inner.clone(), any::<bool>()), 1..4), prop::bool::weighted(0.2))
                .prop_map(|(entries, flow)| Made::Map(entries, flow)),
            1 => (prop::collection::vec(inner, 1..4), prop::bool::weighted(0.3))
                .prop_map(|(items, flow)| Made::List(items, flow)),
        ]
    })
}

/// A document: the text, and its values by key; every key of it is unique, and so is every comment.
struct Writer {
    text: String,
    count: usize,
    step: usize,
}

impl Writer {
    fn number(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    fn flow(&mut self, made: &Made) -> (String, Value) {
        match made {
            Made::Text(text, manner) => match manner {
                1 => (format!("'{text}'"), json!(text)),
                2 => (format!("\"{text}\""), json!(text)),
                _ => (text.clone(), json!(text)),
            },
            Made::Null => ("~".into(), Value::Null),
            Made::Map(entries, _) => {
                let (mut texts, mut values) = (Vec::new(), serde_json::Map::new());
                for (key, value, _) in entries {
                    let key = format!("{key}{}", self.number());
                    let (text, value) = self.flow(value);
                    texts.push(format!("{key}: {text}"));
                    values.insert(key, value);
                }
                (format!("{{{}}}", texts.join(", ")), Value::Object(values))
            }
            Made::List(items, _) => {
                let both: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                let texts: Vec<_> = both.iter().map(|(text, _)| text.clone()).collect();
                (format!("[{}]", texts.join(", ")), both.into_iter().map(|(_, value)| value).collect())
            }
        }
    }

    /// Writes what follows a colon or a dash, and the end of its line.
    fn after(&mut self, made: &Made, indent: usize, comment: bool) -> Value {
        let comment = if comment { format!("  # c{}", self.number()) } else { String::new() };
        match made {
            Made::Text(text, 3) => {
                self.text += &format!(" |{comment}\n{}{text}\n", " ".repeat(indent));
                json!(format!("{text}\n"))
            }
            Made::Null => {
                self.text += &format!("{comment}\n");
                Value::Null
            }
            Made::Map(entries, false) => {
                self.text += &format!("{comment}\n");
                self.map(entries, indent)
            }
            Made::List(items, false) => {
                self.text += &format!("{comment}\n");
                let mut values = Vec::new();
                for item in items {
                    let (text, value) = self.flow(item);
                    self.text += &format!("{}- {text}\n", " ".repeat(indent));
                    values.push(value);
                }
                Value::Array(values)
            }
            other => {
                let (text, value) = self.flow(other);
                self.text += &format!(" {text}{comment}\n");
                value
            }
        }
    }

    fn map(&mut self, entries: &[(String, Made, bool)], indent: usize) -> Value {
        let mut values = serde_json::Map::new();
        for (key, value, comment) in entries {
            if *comment {
                let number = self.number();
                self.text += &format!("{}# c{number}\n", " ".repeat(indent));
            }
            let key = format!("{key}{}", self.number());
            self.text += &format!("{}{key}:", " ".repeat(indent));
            let value = self.after(value, indent + self.step, *comment);
            values.insert(key, value);
        }
        Value::Object(values)
    }
}

type Doc = (String, Value);

fn document() -> impl Strategy<Value = Doc> {
    let entries = prop::collection::vec(("[a-z]{2,5}", made(), any::<bool>()), 1..5);
    (entries, 1..5usize, any::<bool>(), any::<bool>()).prop_map(|(entries, step, crlf, ends)| {
        let mut writer = Writer { text: String::new(), count: 0, step };
        let value = writer.map(&entries, 0);
        let text = if ends { writer.text } else { writer.text.trim_end_matches('\n').to_owned() };
        // Without its line end a literal has none either.
        let literal_last = text.lines().last().is_some_and(|line| !line.contains(':') && !line.contains('-'));
        let text = if literal_last { text.trim_end_matches('\n').to_owned() + "\n" } else { text };
        (if crlf { text.replace('\n', "\r\n") } else { text }, value)
    })
}

/// Every key of a value, as a path.
fn keys(value: &Value, before: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
                keys(value, &path, found);
                found.push(path);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                keys(item, &format!("{before}[{at}]"), found);
            }
        }
        _ => {}
    }
}

/// The map that holds a key, and the last name of it.
fn holder<'v>(value: &'v mut Value, key: &str) -> (&'v mut serde_json::Map<String, Value>, String) {
    let pointer = format!("/{}", key.replace(['.', '['], "/").replace(']', ""));
    let (above, last) = pointer.rsplit_once('/').unwrap();
    (value.pointer_mut(above).unwrap().as_object_mut().unwrap(), last.to_owned())
}

fn says(text: &str, value: &Value) {
    let yaml = ConfigFormat::Yaml.editor();
    yaml.check(text).unwrap();
    for (key, value) in value.as_object().unwrap() {
        assert_eq!(&yaml.get(text, key).unwrap().unwrap(), value, "{key} of\n{text}");
    }
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once("# c")).map(|(_, comment)| comment).collect()
}

/// Everything before the first difference and behind the last is equal by definition; this is how much lies between.
fn between<'t>(old: &'t str, new: &'t str) -> (&'t str, &'t str) {
    let front = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - front;
    let back = old.bytes().rev().zip(new.bytes().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let cut = |text: &'t str| {
        let (mut start, mut end) = (front, text.len() - back);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        &text[start..end]
    };
    (cut(old), cut(new))
}

fn rounds() -> ProptestConfig {
    let cases = std::env::var("SWITCHBACK_SOAK").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn a_made_document_says_what_it_was_made_of((text, value) in document()) {
        says(&text, &value);
    }

    #[test]
    fn a_set_value_is_the_only_change((text, mut value) in document(), pick in any::<prop::sample::Index>(), new in value()) {
        let yaml = ConfigFormat::Yaml.editor();
        let mut all = Vec::new();
        keys(&value, "", &mut all);
        let key = pick.get(&all);
        let after = yaml.set(&text, key, &Wanted::Text(new.clone())).unwrap();
        let (map, last) = holder(&mut value, key);
        let old = map.insert(last, json!(new)).unwrap();
        says(&after, &value);
        if !old.is_object() && !old.is_array() {
            prop_assert_eq!(comments(&after).len(), comments(&text).len() - usize::from(old.as_str().is_some_and(|old| old.ends_with('\n')) && literal_had_comment(&text, &after)));
            let (gone, came) = between(&text, &after);
            prop_assert!(gone.lines().count() <= 2 && came.lines().count() <= 2, "{:?} became {:?}", gone, came);
        }
        prop_assert_eq!(yaml.set(&after, key, &Wanted::Text(new)).unwrap(), after);
    }

    #[test]
    fn a_new_key_is_the_only_change((text, mut value) in document(), pick in any::<prop::sample::Index>(), new in value(), deep in any::<bool>()) {
        let yaml = ConfigFormat::Yaml.editor();
        let mut all = Vec::new();
        keys(&value, "", &mut all);
        let beside = pick.get(&all);
        let key = match beside.rsplit_once('.') {
            Some((above, _)) => format!("{above}.new"),
            None => "new".to_owned(),
        };
        let (map, last) = holder(&mut value, &key);
        let key = if deep {
            map.insert(last, json!({ "er": new.clone() }));
            format!("{key}.er")
        } else {
            map.insert(last, json!(new.clone()));
            key
        };
        let after = yaml.set(&text, &key, &Wanted::Text(new.clone())).unwrap();
        says(&after, &value);
        let (gone, _) = between(&text, &after);
        prop_assert_eq!(gone, "", "an addition takes nothing away");
        prop_assert_eq!(yaml.set(&after, &key, &Wanted::Text(new)).unwrap(), after.clone());
    }

    #[test]
    fn a_deleted_key_is_the_only_change((text, mut value) in document(), pick in any::<prop::sample::Index>()) {
        let yaml = ConfigFormat::Yaml.editor();
        let mut all = Vec::new();
        keys(&value, "", &mut all);
        let key = pick.get(&all);
        let after = yaml.delete(&text, key).unwrap();
        let (map, last) = holder(&mut value, key);
        map.shift_remove(&last);
        let emptied = map.is_empty();
        says(&after, &value);
        // What becomes empty is written as `{}` behind its key, in another place than the lines that go.
        let (_, came) = between(&text, &after);
        prop_assert!(came.is_empty() || emptied, "{:?} came", came);
        prop_assert!(comments(&after).iter().all(|comment| comments(&text).contains(comment)));
        prop_assert_eq!(yaml.delete(&after, key).unwrap(), after.clone());
    }

    #[test]
    fn a_renamed_key_is_the_only_change((text, mut value) in document(), pick in any::<prop::sample::Index>(), name in "[abx#: .-]{1,6}") {
        let yaml = ConfigFormat::Yaml.editor();
        let mut all = Vec::new();
        keys(&value, "", &mut all);
        let key = pick.get(&all);
        let escaped = name.replace('.', "\\.");
        let to = match key.rsplit_once('.') {
            Some((above, _)) => format!("{above}.{escaped}"),
            None => escaped,
        };
        let after = yaml.rename(&text, key, &to).unwrap();
        let (map, last) = holder(&mut value, key);
        let moved = map.shift_remove(&last).unwrap();
        map.insert(name, moved);
        says_loosely(&after, &value);
        prop_assert_eq!(comments(&after), comments(&text));
        prop_assert_eq!(yaml.rename(&after, key, &to).unwrap(), after);
    }

    #[test]
    fn a_moved_key_keeps_its_value_or_nothing_moves((text, mut value) in document(), pick in any::<prop::sample::Index>()) {
        let yaml = ConfigFormat::Yaml.editor();
        let mut all = Vec::new();
        keys(&value, "", &mut all);
        let key = pick.get(&all);
        let Ok(after) = yaml.rename(&text, key, "else.where") else { return Ok(()) };
        let (map, last) = holder(&mut value, key);
        let moved = map.shift_remove(&last).unwrap();
        value["else"] = json!({ "where": moved });
        says(&after, &value);
        prop_assert_eq!(yaml.rename(&after, key, "else.where").unwrap(), after);
    }

    #[test]
    fn no_text_makes_an_editor_panic(text in "\\PC{0,60}", key in "[a-z.\\[\\]0-9]{1,8}", lines in prop::collection::vec("[a-z:#&*!|>'\"{}\\[\\], -]{0,12}", 0..8)) {
        for text in [text, lines.join("\n"), lines.join("\r\n")] {
            for format in [ConfigFormat::Yaml, ConfigFormat::Env] {
                let editor = format.editor();
                let _ = editor.get(&text, &key);
                let _ = editor.delete(&text, &key);
                let _ = editor.rename(&text, &key, "other.place");
                if let Ok(after) = editor.set(&text, &key, &Wanted::Text("v".into())) {
                    prop_assert_eq!(editor.get(&after, &key).unwrap(), Some(json!("v")));
                }
                prop_assert_eq!(switchback_model::config::masked_lines(format, &text).len(), text.split_inclusive('\n').count());
            }
        }
    }

    #[test]
    fn an_environment_file_changes_in_one_place(lines in prop::collection::vec((0..5u8, "[a-z]{0,6}", any::<bool>()), 1..8), pick in any::<prop::sample::Index>(), new in value(), crlf in any::<bool>()) {
        let env = ConfigFormat::Env.editor();
        let mut written = Vec::new();
        for (at, (manner, value, comment)) in lines.iter().enumerate() {
            let value = match manner {
                0 => value.clone(),
                1 => format!("'{value} $x'"),
                2 => format!("\"{value} \\\"q\\\"\""),
                3 => format!("'{value}\n{value}'"),
                _ => format!("{value}#x y"),
            };
            let export = if at % 3 == 1 { "export " } else { "" };
            let comment = if *comment { "  # it's a comment" } else { "" };
            written.push(format!("# \"before\" {at}\n{export}K{at}={value}{comment}"));
        }
        let text = written.join("\n");
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let key = format!("K{}", pick.index(lines.len() + 1));
        let Ok(after) = env.set(&text, &key, &Wanted::Text(new.clone())) else {
            // Refused is what some reader would take for something else.
            prop_assert!(new.contains('$') || new.contains('`') || new.contains(|char: char| char.is_control()), "{:?}", new);
            return Ok(());
        };
        prop_assert_eq!(env.get(&after, &key).unwrap(), Some(json!(new.clone())));
        for at in (0..lines.len()).map(|at| format!("K{at}")).filter(|at| *at != key) {
            prop_assert_eq!(env.get(&after, &at).unwrap(), env.get(&text, &at).unwrap());
        }
        prop_assert_eq!(env.set(&after, &key, &Wanted::Text(new)).unwrap(), after.clone());
        let without = |text: &str| env.delete(text, &key).unwrap();
        prop_assert_eq!(without(&after), without(&text));
        prop_assert_eq!(without(&without(&after)), without(&after));
    }
}

/// Whether a comment went: one behind the sign of a literal goes with the sign.
fn literal_had_comment(old: &str, new: &str) -> bool {
    comments(new).len() < comments(old).len()
}

/// As `says`, for names that need an escape in a key.
fn says_loosely(text: &str, value: &Value) {
    let yaml = ConfigFormat::Yaml.editor();
    for (key, value) in value.as_object().unwrap() {
        assert_eq!(&yaml.get(text, &key.replace('.', "\\.")).unwrap().unwrap(), value, "{key} of\n{text}");
    }
}
