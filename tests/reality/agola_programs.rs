//! Our programs over the exports that the real old services wrote, against what the real tool made of them: equal under the
//! canonical programs, and the broken inputs that the tool was tried with.

use crate::support::BINARY;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchback_model::program::Named;
use switchback_model::records::Shape;
use switchback_site::Tell;
use switchback_site::jq_child::{IndexWriter, JqChild, Part, Question};

const MEMORY: u64 = 256 << 20;

/// An index: name, program, whether the keys must ascend.
type Index = (&'static str, &'static str, bool);

/// The indexes of each component.
const INDEXES: [(&str, &[Index]); 2] = [
    (
        "runservice",
        &[
            ("runs", r#"select(.data_type == "run") | .id"#, true),
            ("runconfigs", r#"select(.data_type == "runconfig") | .id"#, false),
            // A record that is there twice is refused, whatever it is.
            ("records", r#""\(.data_type) \(.id)""#, false),
        ],
    ),
    (
        "configstore",
        &[
            ("users", r#"select(.data_type == "user") | .id"#, false),
            ("orgs", r#"select(.data_type == "org") | .id"#, false),
            ("remotesources", r#"select(.data_type == "remotesource") | .id"#, false),
            ("records", r#""\(.data_type) \(.id)""#, false),
        ],
    ),
];
const PASSES: [(&str, &[&str]); 2] = [
    ("runservice", &["runservice_configs.jq", "runservice_runs.jq"]),
    (
        "configstore",
        &[
            "configstore_remotesources.jq",
            "configstore_users.jq",
            "configstore_tokens.jq",
            "configstore_accounts.jq",
            "configstore_rest.jq",
        ],
    ),
];

pub fn shared() -> Option<PathBuf> {
    crate::unstract::real_data()?.parent().map(|data| data.join("agola")).filter(|data| data.is_dir())
}

fn child() -> JqChild {
    JqChild::new(PathBuf::from(BINARY))
}

fn of<T: Copy>(table: &[(&str, T)], component: &str) -> T {
    table.iter().find(|(name, _)| *name == component).map(|(_, it)| *it).unwrap()
}

fn run(question: &Question, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut outputs = Vec::new();
    let mut sink = |_: usize, bytes: &[u8]| {
        outputs.extend_from_slice(bytes);
        Ok(())
    };
    let input = (Shape::Values, &mut &*input as &mut (dyn std::io::Read + Send));
    child().stream(question, input, &mut sink, &Tell::quiet()).map_err(|error| error.to_string())?;
    Ok(outputs)
}

fn question(name: &str, program: &str) -> Question {
    Question {
        parts: vec![Part::kept(Named { name: name.to_owned(), program: program.to_owned() })],
        vars: vec![("now".to_owned(), json!("2026-11-21T00:00:00Z"))],
        seed: "run".to_owned(),
        id: Some(".id".to_owned()),
        memory: MEMORY,
        patience: Duration::from_secs(60),
        workers: 2,
        ..Question::default()
    }
}

/// What the playbook's `transform` does, without its files.
pub fn migrate(component: &str, programs: &[(String, String)], input: &[u8]) -> Result<Vec<Value>, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut indexes: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut runs = 0;
    for (name, program, ascending) in of(&INDEXES, component) {
        let path = dir.path().join(name);
        let mut index = IndexWriter::create(&path, *ascending).map_err(|error| error.to_string())?;
        let keys = run(&question(name, program), input)?;
        let count = index.lines(&keys).and_then(|()| index.finish()).map_err(|error| error.to_string())?;
        runs = if *name == "runs" { count } else { runs };
        indexes.insert((*name).to_owned(), path);
    }
    let mut records = Vec::new();
    for (name, program) in programs {
        let mut question = Question { indexes: indexes.clone(), ..question(name, program) };
        // Only the programs of the generation before 0.8 ask for it.
        question.vars.push(("runs".to_owned(), json!(runs)));
        let text = String::from_utf8(run(&question, input)?).unwrap();
        records.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    Ok(records)
}

pub fn shipped(component: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/agola");
    let read = |name: &&str| ((*name).to_owned(), std::fs::read_to_string(folder.join(name)).unwrap());
    of(&PASSES, component).iter().map(read).collect()
}

pub fn canonical(data: &Path, program: &str, generation: &str, records: &[Value]) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("canonical").join(program)).unwrap();
    let vars = [("gen".to_owned(), json!(generation))];
    // The programs are written for a slurped file.
    let outputs =
        child().eval(&text, &vars, &json!(records), Duration::from_secs(60), MEMORY, &Tell::quiet()).unwrap();
    let mut lines: Vec<(String, Value)> =
        outputs.into_iter().map(|it| (sorted(&it).to_string(), it)).collect();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.into_iter().map(|(_, value)| value).collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            json!(fields)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

pub fn values(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect()
}

#[test]
fn our_programs_make_of_the_real_exports_what_the_real_tool_made() {
    let Some(data) = shared() else { return };
    for (component, count) in [("runservice", 31), ("configstore", 45)] {
        let (ours, theirs) = both(&data, component, &shipped(component), ("v08", "migrated-v0.8.0"));
        assert_eq!(ours.len(), count, "{component}");
        let kinds = |records: &[Value]| -> Vec<String> {
            records.iter().map(|it| it["exportMeta"]["kind"].to_string()).collect()
        };
        assert_eq!(kinds(&ours), kinds(&theirs), "{component}: the order in which the new version loads");
        let ids: std::collections::BTreeSet<_> = ours.iter().map(|it| it["id"].to_string()).collect();
        assert_eq!(ids.len(), count, "{component}: a record without an id of its own");
    }
}

#[test]
fn the_generation_before_is_understood_as_well() {
    let Some(data) = shared() else { return };
    let programs = [
        ("runservice", include_str!("agola_pre08/runservice.jq"), 32),
        ("configstore", include_str!("agola_pre08/configstore.jq"), 46),
    ];
    for (component, program, count) in programs {
        let programs = [("before.jq".to_owned(), program.to_owned())];
        let (ours, _) = both(&data, component, &programs, ("pre08", "migrated-pre08"));
        assert_eq!(ours.len(), count, "{component}");
    }
}

/// What our programs and what the real tool made of a real export, compared under the canonical program.
fn both(
    data: &Path,
    component: &str,
    programs: &[(String, String)],
    (generation, folder): (&str, &str),
) -> (Vec<Value>, Vec<Value>) {
    let export = std::fs::read(data.join("export-v0.7.1").join(format!("{component}-export"))).unwrap();
    let ours = migrate(component, programs, &export).unwrap();
    let theirs = values(&data.join(folder).join(format!("{component}-migrated")));
    assert_eq!(ours.len(), theirs.len(), "{component} {generation}");
    let program = format!("new_{component}_to_canonical.jq");
    let [a, b] = [&ours, &theirs].map(|records| canonical(data, &program, generation, records));
    assert_eq!(a.len(), b.len());
    for (ours, theirs) in a.iter().zip(&b) {
        assert_eq!(ours, theirs, "{component} {generation}");
    }
    (ours, theirs)
}

#[test]
fn broken_inputs_are_refused_or_come_out_right() {
    let Some(data) = shared() else { return };
    let mut said = String::new();
    let mut try_one = |name: &str, component: &str, path: PathBuf| {
        let end = match migrate(component, &shipped(component), &std::fs::read(path).unwrap()) {
            Ok(records) => format!("{} records", records.len()),
            Err(error) => error,
        };
        said += &format!("{name} as {component}: {end}\n");
    };
    let mut names: Vec<_> = std::fs::read_dir(data.join("broken-inputs")).unwrap().flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let name = entry.file_name().into_string().unwrap();
        for component in ["runservice", "configstore"] {
            let other = if component == "runservice" { "configstore" } else { "runservice" };
            if !name.ends_with(other) {
                try_one(&name, component, entry.path());
            }
        }
    }
    for (component, other) in [("runservice", "configstore"), ("configstore", "runservice")] {
        try_one("the other's export", component, data.join("export-v0.7.1").join(format!("{other}-export")));
    }
    // What is empty or cut between two records is still a stream: `fetch` refuses the empty one and takes every export
    // twice, and the counts of the proof find the missing records.
    insta::assert_snapshot!(said, @r#"
    dup-configstore as configstore: index key 7, `21bfa11c-2365-4fa0-893a-efa37a753e24`: it was there before
    dup-runservice as runservice: index key 14, `0000001lg0bko-0000000000001`: it is not above the key before it, and the index says `ascending`
    empty as runservice: 0 records
    empty as configstore: 0 records
    null-record as runservice: run runservice_configs.jq on record 1 at byte 0: a runservice has no records of the kind null
    null-record as configstore: run configstore_rest.jq on record 1 at byte 0: a configstore has no records of the kind null
    rcfirst-configstore as configstore: 45 records
    rcfirst-runservice as runservice: 31 records
    reversed-configstore as configstore: 45 records
    reversed-runservice as runservice: index key 2, `0000001lg0bko-000000000000c`: it is not above the key before it, and the index says `ascending`
    trunc-bound-configstore as configstore: 22 records
    trunc-bound-runservice as runservice: run runservice_runs.jq on record 5 at byte 14028 (`0000001lg0bko-0000000000005`): this run has no config in the export
    trunc-mid-configstore as configstore: read record 28 at byte 8848: the stream ends at byte 9000 in the middle of it
    trunc-mid-runservice as runservice: read record 9 at byte 28056: the stream ends at byte 30000 in the middle of it
    the other's export as runservice: run runservice_configs.jq on record 1 at byte 0 (`21bfa11c-2365-4fa0-893a-efa37a753e24`): a runservice has no records of the kind "user"
    the other's export as configstore: run configstore_rest.jq on record 1 at byte 0 (`0000001lg0bko-0000000000001`): a configstore has no records of the kind "run"
    "#);
}
