//! Both sides of the jq child. This test has a `main` of its own, so that it can be the child too.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};
use switchback_model::program::Named;
use switchback_model::records::Shape;
use switchback_site::jq_child::{
    IndexError, IndexWriter, JqChild, JqChildError, Part, Question, StreamError, Tally, serve,
};
use switchback_site::{Failure, Faults, Halt, Tell};

const LONG: Duration = Duration::from_secs(120);
const MEMORY: u64 = 256 * 1024 * 1024;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("jq-child") {
        let served = serve(std::io::stdin().lock(), std::io::stdout().lock(), std::io::stderr());
        std::process::exit(i32::from(served.is_err()));
    }
    outputs_and_errors_come_back();
    hostile_programs_kill_only_the_child();
    what_takes_too_long_is_ended();
    a_binary_that_is_not_ours_is_an_error();
    a_stream_keeps_its_order_and_is_counted();
    programs_share_one_reading();
    what_goes_wrong_in_a_stream_names_the_record();
    a_stream_can_be_stopped();
    keys_are_joined_by_an_index_on_disk();
}

fn eval_with(text: &str, input: &Value, deadline: Duration, tell: &Tell) -> Result<Vec<Value>, JqChildError> {
    let child = JqChild::new(std::env::current_exe().unwrap());
    child.eval(text, &[("who".into(), json!("O'Brien \"lab\""))], input, deadline, MEMORY, tell)
}

fn eval(text: &str, input: &Value) -> Result<Vec<Value>, JqChildError> {
    eval_with(text, input, LONG, &Tell::quiet())
}

fn outputs_and_errors_come_back() {
    let big = json!({"id": u64::MAX, "text": "é\u{0}".repeat(1_000_000)});
    assert_eq!(eval(".", &big).unwrap(), std::slice::from_ref(&big));
    assert_eq!(eval("$who, .id", &json!({"id": 1})).unwrap(), [json!("O'Brien \"lab\""), json!(1)]);
    let error = eval(".a | nosuch", &Value::Null).unwrap_err();
    assert!(matches!(&error, JqChildError::Program(error) if error.offset == Some(5)), "{error}");
    assert!(matches!(eval("error(\"bad\")", &Value::Null), Err(JqChildError::Program(_))));
}

fn hostile_programs_kill_only_the_child() {
    let help = |text: &str| match eval(text, &Value::Null).unwrap_err() {
        JqChildError::Died { help, .. } => help,
        other => panic!("{text}: {other}"),
    };
    assert!(help("def f: 1 + f; f").contains("calls itself without end"));
    assert!(help("[range(1000000000)] | length").contains("more than 256 MiB"));
}

fn what_takes_too_long_is_ended() {
    let error =
        eval_with("def f: f; f", &Value::Null, Duration::from_millis(300), &Tell::quiet()).unwrap_err();
    assert!(matches!(error, JqChildError::TooSlow { .. }), "{error}");
    let tell = Tell::new(Arc::new(|_| ()), Arc::new(AtomicBool::new(true)), Arc::new(Faults::none()));
    let error = eval_with("def f: f; f", &Value::Null, LONG, &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted));
}

fn a_binary_that_is_not_ours_is_an_error() {
    for program in ["/nonexistent", "/bin/true", "/bin/false", "/bin/cat"] {
        let child = JqChild::new(program.into());
        child.eval(".", &[], &Value::Null, LONG, MEMORY, &Tell::quiet()).unwrap_err();
    }
}

fn part(name: &str, program: &str) -> Part {
    Part::kept(Named { name: name.into(), program: program.into() })
}

fn question(program: &str) -> Question {
    Question {
        parts: vec![part("a.jq", program)],
        seed: "run".into(),
        id: Some(".id".into()),
        memory: MEMORY,
        patience: LONG,
        ..Question::default()
    }
}

fn stream(question: &Question, input: &str, workers: usize) -> Result<(Tally, String), StreamError> {
    let (tally, mut outputs) = stream_all(question, input, workers)?;
    Ok((tally, outputs.swap_remove(0)))
}

fn stream_all(question: &Question, input: &str, workers: usize) -> Result<(Tally, Vec<String>), StreamError> {
    let child = JqChild::new(std::env::current_exe().unwrap());
    let question = Question { workers, ..question.clone() };
    let mut outputs = vec![String::new(); question.parts.len()];
    let mut sink = |part: usize, bytes: &[u8]| {
        outputs[part].push_str(std::str::from_utf8(bytes).unwrap());
        Ok(())
    };
    let tally = child.stream(&question, (Shape::Values, &mut input.as_bytes()), &mut sink, &Tell::quiet())?;
    Ok((tally, outputs))
}

/// Records of a few batches: `{"id":"0","kind":"even","pad":…}`.
fn records(count: usize) -> String {
    let record = |n: usize| {
        json!({"id": n.to_string(), "kind": (if n.is_multiple_of(2) { "even" } else { "odd" }), "pad": "x".repeat(2000)}).to_string()
    };
    (0..count).map(record).collect()
}

fn a_stream_keeps_its_order_and_is_counted() {
    let mut question = question("select(.kind == \"odd\") | {id, kind: \"out\"}, 1.50");
    question.kind_in = Some(".kind".into());
    question.kind_out = Some(".kind? // \"number\"".into());
    for workers in [1, 3] {
        let (tally, outputs) = stream(&question, &records(4000), workers).unwrap();
        let expected: String =
            (0..2000).map(|n| format!("{{\"id\":\"{}\",\"kind\":\"out\"}}\n1.50\n", 2 * n + 1)).collect();
        assert!(outputs == expected, "{workers} workers");
        assert_eq!((tally.records, tally.given[0].outputs), (4000, 4000));
        assert_eq!(json!(tally.kinds), json!({"even": 2000, "odd": 2000}));
        assert_eq!(json!(tally.given[0].kinds), json!({"number": 2000, "out": 2000}));
    }
    let (tally, outputs) = stream(&question, "", 2).unwrap();
    assert_eq!((tally.records, tally.given[0].outputs, outputs.as_str()), (0, 0, ""));
}

fn programs_share_one_reading() {
    let mut question = question("select(.kind == \"odd\") | .id");
    question.parts.push(Part::counted(part("b.jq", ".id, 1").program));
    question.parts.push(part("c.jq", "select(.kind == \"even\") | {id}"));
    question.kind_out = Some("type".into());
    for workers in [1, 3] {
        let (tally, outputs) = stream_all(&question, &records(4000), workers).unwrap();
        let ids = |from: usize| (0..2000).map(move |n| (2 * n + from).to_string());
        assert!(
            outputs[0] == ids(1).map(|id| format!("\"{id}\"\n")).collect::<String>(),
            "{workers} workers"
        );
        assert_eq!(outputs[1], "", "what is only counted is not kept");
        assert!(outputs[2] == ids(0).map(|id| format!("{{\"id\":\"{id}\"}}\n")).collect::<String>());
        let given: Vec<_> = tally.given.iter().map(|given| (given.outputs, json!(given.kinds))).collect();
        let expected = [(2000, json!({"string": 2000})), (8000, json!({})), (2000, json!({"object": 2000}))];
        assert_eq!((tally.records, given.as_slice()), (4000, expected.as_slice()));
    }
    // What goes wrong is said of the program that it goes wrong in, also where the child dies of it.
    let wrong = |program: &str| {
        let mut question = question.clone();
        question.parts[2] = part("c.jq", program);
        stream_all(&question, "{\"id\":\"a\",\"kind\":\"odd\"}", 2).unwrap_err().to_string()
    };
    assert_eq!(wrong("error(\"no\")"), "run c.jq on record 1 at byte 0 (`a`): no");
    assert_eq!(wrong("nosuch"), "use c.jq: there is no function `nosuch/0`");
    assert!(
        wrong("def f: 1 + f; f").starts_with("run c.jq on record 1 at byte 0: the program died of signal")
    );
    // A stream can be counted without any program.
    question.parts.clear();
    let tally = stream_all(&question, "{}{}", 2).unwrap().0;
    assert_eq!((tally.records, tally.given.len()), (2, 0));
}

fn what_goes_wrong_in_a_stream_names_the_record() {
    let wrong = |program: &str, input: &str| stream(&question(program), input, 2).unwrap_err().to_string();
    let many = records(3000);
    let offset = many.find("{\"id\":\"1700\"").unwrap();
    let died = |help: &str| {
        format!("run a.jq on record 1701 at byte {offset}: the program died of signal 6; {help}")
    };
    let at = format!("run a.jq on record 1701 at byte {offset} (`1700`): ");
    let poison = |what: &str| format!("if .id == \"1700\" then {what} else .id end");
    assert_eq!(wrong(&poison(".pad.x"), &many), at.clone() + "cannot index a text");
    assert_eq!(wrong(&poison("error(\"no\")"), &many), at + "no");
    let help = "it calls itself without end, or builds a value that is nested too deeply";
    assert_eq!(wrong(&format!("def f: 1 + f; {}", poison("f")), &many), died(help));
    let help = "it wanted more than 256 MiB of memory";
    assert_eq!(wrong(&poison("[range(1000000000)] | length"), &many), died(help));
    // The first record with an error is named, whatever comes later.
    assert!(wrong(&poison("error(\"no\")"), &(many.clone() + "{\"id")).contains("record 1701"));
    assert_eq!(
        wrong(".id", &(many.clone() + "{\"id")),
        format!(
            "read record 3001 at byte {}: the stream ends at byte {} in the middle of it",
            many.len(),
            many.len() + 4
        )
    );
    assert_eq!(
        wrong(".", "{}{\"a\" 1}"),
        "run a.jq on record 2 at byte 2: it is not JSON: a colon is expected at its byte 5"
    );
    assert_eq!(wrong(". | nosuch", "{}"), "use a.jq: there is no function `nosuch/0`");
    let mut slow = question(&format!("def f: f; {}", poison("f")));
    slow.patience = Duration::from_millis(900);
    let error = stream(&slow, &many, 2).unwrap_err().to_string();
    assert_eq!(error, format!("run a.jq on record 1701 at byte {offset}: it was ended after 0 s"));
    for program in ["/nonexistent", "/bin/true", "/bin/false", "/bin/cat"] {
        let child = JqChild::new(program.into());
        let input = &mut many.as_bytes();
        child.stream(&question("."), (Shape::Values, input), &mut |_, _| Ok(()), &Tell::quiet()).unwrap_err();
    }
    let child = JqChild::new(std::env::current_exe().unwrap());
    let full = &mut |_: usize, _: &[u8]| Err("write: it is full".into());
    let error = child.stream(&question("."), (Shape::Values, &mut many.as_bytes()), full, &Tell::quiet());
    assert_eq!(error.unwrap_err().to_string(), "write: it is full");
}

fn a_stream_can_be_stopped() {
    let child = JqChild::new(std::env::current_exe().unwrap());
    let tell = Tell::new(Arc::new(|_| ()), Arc::new(AtomicBool::new(true)), Arc::new(Faults::none()));
    let input = &mut "{}".as_bytes();
    let error = child.stream(&question("def f: f; f"), (Shape::Values, input), &mut |_, _| Ok(()), &tell);
    assert_eq!(error.unwrap_err().halt(), Some(Halt::Interrupted));
}

fn keys_are_joined_by_an_index_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs index?.db");
    let fill = |keys: &str, ascending: bool| -> Result<u64, IndexError> {
        let mut index = IndexWriter::create(&path, ascending)?;
        index.lines(keys.as_bytes())?;
        index.finish()
    };
    assert!(matches!(fill("\"b\"\n\"a\"\n", true), Err(IndexError::NotAscending { number: 2, .. })));
    assert!(matches!(fill("\"b\"\n\"a\"\n\"b\"\n", false), Err(IndexError::Twice { number: 3, .. })));
    assert!(matches!(fill("1\n", false), Err(IndexError::NotText { number: 1 })));
    assert_eq!(fill("\"b\"\n\"a\"\n", false).unwrap(), 2);
    let mut question = question("[rank(\"runs\"; .id), known(\"runs\"; .id)]");
    question.indexes.insert("runs".into(), path.clone());
    let outputs = stream(&question, r#"{"id":"a"}{"id":"c"}{"id":"b"}"#, 2).unwrap().1;
    assert_eq!(outputs, "[1,true]\n[null,false]\n[0,true]\n");
    question.parts = vec![part("a.jq", "rank(\"users\"; .id)")];
    let error = stream(&question, "{\"id\":\"a\"}", 1).unwrap_err().to_string();
    assert_eq!(error, "run a.jq on record 1 at byte 0 (`a`): there is no index `users` here, only: runs");
}
