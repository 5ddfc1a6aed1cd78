//! Both sides of the jq child. This test has a `main` of its own, so that it can be the child too.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};
use switchback_site::jq_child::{JqChild, JqChildError, serve};
use switchback_site::{Failure, Faults, Halt, Tell};

const LONG: Duration = Duration::from_secs(120);
const MEMORY: u64 = 256 * 1024 * 1024;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("jq-child") {
        let served = serve(std::io::stdin().lock(), std::io::stdout().lock());
        std::process::exit(i32::from(served.is_err()));
    }
    outputs_and_errors_come_back();
    hostile_programs_kill_only_the_child();
    what_takes_too_long_is_ended();
    a_binary_that_is_not_ours_is_an_error();
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
