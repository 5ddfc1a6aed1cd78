//! Law 6: steps and before-images are plain data, and what an older build wrote can still be read.

use crate::bench::Bench;
use crate::fixture::Fixture;
use serde_json::{Value, json};
use std::path::PathBuf;
use switchback_steps::registry;

/// Both survive a round trip through text, as plan and journal are text.
pub fn survive_as_text(fixture: &Fixture) {
    let bench = prepared(fixture);
    let body: Value = serde_json::from_str(&bench.last().body().to_string()).unwrap();
    let read = registry().read(bench.last().kind(), body.clone()).unwrap();
    assert_eq!(read.body(), body);
    assert_eq!(read.describe(), bench.last().describe());
    let before = bench.before().unwrap();
    assert_eq!(&(fixture.reread)(before.clone()).unwrap(), before);
}

/// The golden copies, made when the form was released, are read as steps and before-images.
pub fn read_the_golden_copy(fixture: &Fixture) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/laws/golden")
        .join(format!("{}.json", fixture.name));
    let golden = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if std::env::var_os("LAWS_WRITE_GOLDEN").is_some() => {
            std::fs::write(&path, copy(fixture)).unwrap();
            copy(fixture)
        }
        Err(_) => panic!("no golden copy of {}: LAWS_WRITE_GOLDEN=1 writes one", fixture.name),
    };
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let kind = golden["kind"].as_str().unwrap();
    let step = registry().read(kind, golden["step"].clone()).unwrap();
    assert_eq!(step.body(), golden["step"]);
    assert_eq!((fixture.reread)(golden["before"].clone()).unwrap(), golden["before"]);
}

fn prepared(fixture: &Fixture) -> Bench {
    let mut bench = (fixture.fresh)();
    bench.prepare();
    bench
}

fn copy(fixture: &Fixture) -> String {
    let bench = prepared(fixture);
    let golden = json!({
        "kind": bench.last().kind(), "step": bench.last().body(), "before": bench.before().unwrap(),
    });
    let golden: Value = serde_json::from_str(&bench.placeless(&golden)).unwrap();
    serde_json::to_string_pretty(&golden).unwrap() + "\n"
}
