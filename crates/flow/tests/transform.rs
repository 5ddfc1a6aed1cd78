//! Transforms, with this test as the child that runs jq.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use switchback_flow::transform::{Bench, Made, Recipe, TransformError, transform};
use switchback_model::equation::Equation;
use switchback_model::program::{IndexOf, Named};
use switchback_model::records::Shape;
use switchback_site::jq_child::{JqChild, serve};
use switchback_site::{Failure, Faults, Halt, Tell};

fn main() {
    if std::env::args().nth(1).as_deref() == Some("jq-child") {
        let served = serve(std::io::stdin().lock(), std::io::stdout().lock(), std::io::stderr());
        std::process::exit(i32::from(served.is_err()));
    }
    passes_follow_each_other_and_are_counted();
    what_does_not_add_up_is_not_trusted();
    an_index_that_does_not_ascend_is_refused();
    a_cut_leaves_a_half_that_a_repeat_writes_over();
}

fn named(name: &str, program: &str) -> Named {
    Named { name: name.into(), program: program.into() }
}

fn recipe() -> Recipe {
    Recipe {
        indexes: vec![IndexOf {
            name: "runs".into(),
            of: "select(.t == \"run\") | .id".into(),
            gives: None,
            ascending: true,
        }],
        passes: vec![
            named(
                "configs.jq",
                "select(.t == \"config\" and known(\"runs\"; .id)) | {kind: \"Config\", id: uuid(.id)}",
            ),
            named(
                "runs.jq",
                "select(.t == \"run\") | {kind: \"Run\", n: (rank(\"runs\"; .id) + 1), config: uuid(.id), at: $now}",
            ),
        ],
        kind_in: Some(".t".into()),
        kind_out: Some(".kind".into()),
        id: Some(".id".into()),
        counted: vec![named("dropped", "select(.t == \"config\" and (known(\"runs\"; .id) | not))")],
        equations: ["out.Run = in.run", "out.Config = in.config - dropped"]
            .map(|text| Equation::parse(text).unwrap())
            .to_vec(),
    }
}

const INPUT: &str = r#"{"t":"run","id":"a"}{"t":"run","id":"c"}{"t":"config","id":"a"}{"t":"config","id":"b"}{"t":"config","id":"c"}"#;

fn run(dir: &Path, recipe: &Recipe, input: &str, tell: &Tell) -> Result<(Made, String), TransformError> {
    let (from, into, child) =
        (dir.join("from"), dir.join("into"), JqChild::new(std::env::current_exe().unwrap()));
    std::fs::write(&from, input).unwrap();
    let bench = Bench {
        child: &child,
        from: &from,
        shape: Shape::Values,
        into: &into,
        scratch: dir,
        seed: "run",
        now: "2026-01-01T00:00:00Z",
        workers: 2,
        memory: 256 << 20,
        patience: Duration::from_secs(60),
    };
    let made = transform(recipe, &bench, tell);
    let left: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(left.iter().all(|name| name == "from" || name == "into"), "{left:?}");
    Ok((made?, std::fs::read_to_string(&into).unwrap()))
}

fn passes_follow_each_other_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (made, text) = run(dir.path(), &recipe(), INPUT, &Tell::quiet()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Config", "Config", "Run", "Run"]);
    assert_eq!(lines[0]["id"], lines[2]["config"]);
    assert_eq!(lines[3]["n"], 2);
    assert_eq!(
        json!(made.tally),
        json!({
            "records": 5, "outputs": 4, "kinds_in": {"config": 3, "run": 2}, "kinds_out": {"Config": 2, "Run": 2},
        })
    );
    assert_eq!((made.counted["dropped"], made.bytes), (1, text.len() as u64));
    assert_eq!(made.blake3, blake3::hash(text.as_bytes()).to_hex().to_string());
    let again = run(dir.path(), &recipe(), INPUT, &Tell::quiet()).unwrap();
    assert!(again == (made, text));
}

fn what_does_not_add_up_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.equations =
        vec![Equation::parse("out.Config = in.config").unwrap(), Equation::parse("out = 4").unwrap()];
    let error = run(dir.path(), &recipe, INPUT, &Tell::quiet()).unwrap_err().to_string();
    assert_eq!(
        error,
        "trust what came out: `out.Config = in.config` does not hold: 2 is not 3 (out.Config is 2, in.config is 3)"
    );
}

fn an_index_that_does_not_ascend_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = r#"{"t":"run","id":"c"}{"t":"run","id":"a"}"#;
    let error = run(dir.path(), &recipe(), input, &Tell::quiet()).unwrap_err().to_string();
    assert_eq!(
        error,
        "make index `runs`: index key 2, `a`: it is not above the key before it, and the index says `ascending`"
    );
}

fn a_cut_leaves_a_half_that_a_repeat_writes_over() {
    let dir = tempfile::tempdir().unwrap();
    let (_, whole) = run(dir.path(), &recipe(), INPUT, &Tell::quiet()).unwrap();
    for at in 1..=3 {
        let tell = Tell::with_faults(std::sync::Arc::new(Faults::cut(at)));
        let error = run(dir.path(), &recipe(), INPUT, &tell).unwrap_err();
        assert_eq!(error.halt(), Some(Halt::Cut), "{at}");
        assert_eq!(run(dir.path(), &recipe(), INPUT, &Tell::quiet()).unwrap().1, whole);
    }
}
