//! A transform of an export of about a gigabyte, against jq with the same program: wall clock, time of processors, memory.

use crate::backup::run;
use crate::rounds::{Times, ratio};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use switchback_flow::transform::{Bench, Recipe, transform};
use switchback_labs::agola::write_large_export;
use switchback_model::program::Named;
use switchback_model::records::Shape;
use switchback_site::Tell;
use switchback_site::jq_child::JqChild;

/// What both run over each record: a base64 field decoded and read, fields taken out and put in, parts of it mapped.
const PROGRAM: &str = r#"
  .data_type as $kind | .id as $id
  | if $kind == "run" or $kind == "runconfig" then
      .data | @base64d | fromjson
      | {exportMeta: {kind: $kind}, old: $id, creationTime: "now"} + del(.id)
      | if .tasks then .tasks |= map_values(.task_timeout_interval = 0) else . end
    else {exportMeta: {kind: $kind}, old: $id, Value: (.data | @base64d | fromjson)} end"#;

pub fn measure(switchback: &Path, scratch: &Path, runs: u32, rounds: usize) {
    let (from, into) = (scratch.join("export"), scratch.join("migrated"));
    let mut out = BufWriter::new(File::create(&from).unwrap());
    let written = write_large_export(runs, 7, &mut out).unwrap();
    out.flush().unwrap();
    drop(out);
    println!("{} records, {:.1} MB", written.records, written.bytes as f64 / 1e6);
    let child = JqChild::new(switchback.to_owned());
    let recipe = Recipe {
        passes: vec![Named { name: "program".into(), program: PROGRAM.into() }],
        ..Recipe::default()
    };
    let bench = |workers| Bench {
        child: &child,
        from: &from,
        shape: Shape::Values,
        into: &into,
        scratch,
        seed: "bench",
        now: "2026-01-01T00:00:00Z",
        workers,
        memory: 64 << 20,
        patience: Duration::from_secs(60),
    };
    let (mut ours, mut alone, mut theirs) = (Times::none(), Times::none(), Times::none());
    for _ in 0..rounds {
        let made = ours.take(|| transform(&recipe, &bench(2), &Tell::quiet()).unwrap());
        assert_eq!(made.tally.outputs, written.records);
        alone.take(|| transform(&recipe, &bench(1), &Tell::quiet()).unwrap());
        let (input, output) = (File::open(&from).unwrap(), File::create(scratch.join("by-jq")).unwrap());
        theirs.take(|| {
            run(Command::new("jq").args(["-c", PROGRAM]).stdin(Stdio::from(input)).stdout(output));
        });
    }
    ours.say("transform, two workers of at most 64 MiB");
    alone.say("transform, one worker");
    theirs.say("jq, the same program");
    ratio("jq ÷ two workers (wanted ≥ 5)", &theirs, &ours, 5.0);
    ratio("jq ÷ one worker (wanted ≥ 3)", &theirs, &alone, 3.0);
}
