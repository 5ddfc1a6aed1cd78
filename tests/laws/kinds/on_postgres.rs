//! Kinds that work on any database, on PostgreSQL.

use super::postgres::{over_database, script_of, target};
use super::probe;
use crate::bench::{Bench, Plan, RUN};
use crate::fixture::{Fixture, Hand};
use crate::server::Server;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use switchback_engine::step::AnyStep;
use switchback_model::probe::{Ask, Probe, Store};
use switchback_model::target::TargetDef;
use switchback_site::postgres::{Access, Database, ledger, scratch};
use switchback_steps::backup::Backup;
use switchback_steps::ensure::Ensure;
use switchback_steps::expect::Expect;
use switchback_steps::fingerprint::TakeFingerprint;
use switchback_steps::require::Require;
use switchback_steps::run::Run;
use switchback_steps::start::Start;
use switchback_steps::stop::Stop;
use switchback_steps::sweep::Sweep;
use switchback_steps::trial::Trial;

/// A schema of its own, which is dumped and put back.
const KEPT: &str = r#"
CREATE SCHEMA kept;
CREATE TABLE kept.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data jsonb NOT NULL);
CREATE VIEW kept.some AS SELECT id FROM kept.item WHERE id > 1;
INSERT INTO kept.item (data) VALUES ('{"a": [1.0, null]}'), ('"O''Brien \"lab\""');
"#;

const OF_OTHERS: &[Hand] =
    &[("a row of somebody else", |bench| execute(bench, "new", "INSERT INTO app.member VALUES (7)"))];

/// A dump, whose way back is its restore.
pub fn backup() -> Fixture {
    Fixture {
        foreign_after: &[("a row of somebody else", a_kept_row)],
        ..Fixture::of::<Backup>("backup-postgres-dump", || {
            over_kept(vec![Box::new(Backup { target: "kept".into() })], 0)
        })
    }
}

/// A dump that is restored into a scratch database, of which none is left.
pub fn trial() -> Fixture {
    Fixture::of::<Trial>("trial-postgres", || over_kept(vec![Box::new(Trial { target: "kept".into() })], 0))
}

pub fn sweep() -> Fixture {
    Fixture {
        foreign_before: OF_OTHERS,
        foreign_after: OF_OTHERS,
        ..Fixture::of::<Sweep>("sweep-postgres", || {
            over_new(|_, _| (BTreeMap::new(), vec![Box::new(Sweep { target: "new".into() })], 0))
        })
    }
}

pub fn fingerprint() -> Fixture {
    Fixture::of::<TakeFingerprint>("fingerprint-postgres", || {
        over_database(vec![Box::new(TakeFingerprint { target: "old".into() })], 0)
    })
}

/// A program that knows nothing of us, and commits twice; where `power` is missing, it dies between.
pub fn run() -> Fixture {
    Fixture {
        halves: &[("the command died between its commits", died_between)],
        foreign_before: OF_OTHERS,
        foreign_after: OF_OTHERS,
        ..Fixture::of::<Run>("run-postgres", || {
            over_new(|folder, url| {
                std::fs::write(folder.join("power"), "on").unwrap();
                let sql = "SELECT count(*) FROM app.member".to_owned();
                let store = Store { target: "new".into(), backup: false };
                let step = Run {
                    argv: shell(TWO, folder, url),
                    cwd: None,
                    env: BTreeMap::new(),
                    done_when: probe(Ask::Sql { store, sql, params: BTreeMap::new() }, "2"),
                    writes: vec!["new".into()],
                    files: Vec::new(),
                    undo: None,
                    within_ms: 60_000,
                    rehearsal_env: None,
                };
                (BTreeMap::new(), vec![Box::new(step)], 0)
            })
        })
    }
}

const TWO: &str = "psql -qX \"$1\" -c \"INSERT INTO app.member VALUES (1) ON CONFLICT DO NOTHING\"; \
    test -e \"$0/power\" || kill -9 $$; \
    psql -qX \"$1\" -c \"INSERT INTO app.member VALUES (2) ON CONFLICT DO NOTHING\"";

/// The new release was started while the stores are ours, so what it wrote is the run's. Once it is stopped, a row is a
/// stranger's.
pub fn stop() -> Fixture {
    Fixture {
        foreign_after: OF_OTHERS,
        ..Fixture::of::<Stop>("stop-postgres", || {
            over_new(|folder, url| {
                let start = Box::new(Start { service: "app".into() });
                (service(folder, url), vec![start, Box::new(Stop { service: "app".into() })], 1)
            })
        })
    }
}

pub fn require() -> Fixture {
    Fixture {
        has_effect: false,
        foreign_before: LOST,
        ..Fixture::of::<Require>("require-postgres", || {
            over_kept(vec![Box::new(Require { probe: two_items() })], 0)
        })
    }
}

pub fn ensure() -> Fixture {
    Fixture {
        has_effect: false,
        foreign_before: LOST,
        ..Fixture::of::<Ensure>("ensure-postgres", || {
            over_kept(vec![Box::new(Ensure { probe: two_items() })], 0)
        })
    }
}

/// It never blocks, so no foreign state stops it.
pub fn expect() -> Fixture {
    Fixture {
        has_effect: false,
        ..Fixture::of::<Expect>("expect-postgres", || {
            over_kept(vec![Box::new(Expect { probe: two_items() })], 0)
        })
    }
}

const LOST: &[Hand] =
    &[("a row is gone", |bench| execute(bench, "kept", "DELETE FROM kept.item WHERE id = 2"))];

fn two_items() -> Probe {
    let store = Store { target: "kept".into(), backup: false };
    let ask = Ask::Sql { store, sql: "SELECT count(*) FROM kept.item".into(), params: BTreeMap::new() };
    Probe { otherwise: Some("an item is missing".into()), ..probe(ask, "2") }
}

/// A bench over a schema that is not ours. Scratch databases that are left on the server show.
fn over_kept(steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    Bench::new(|folder| {
        let server = Server::shared();
        let url = server.cluster.url(&server.database(KEPT));
        let place = Database::parse(&url).unwrap();
        let run = format!("{RUN} in {}", folder.with_file_name("run").display());
        let beyond = move || json!({ "scratch databases": scratch::leftovers(&place, &run).unwrap().len() });
        let targets = BTreeMap::from([("kept".to_owned(), target(&url, &["kept"], false, false))]);
        let (beyond, company) = (Box::new(beyond), Box::new(server));
        Plan { targets, steps, done, beyond: Some(beyond), company: Some(company), ..Plan::default() }
    })
}

/// More targets, the steps, and how many of them are done beforehand.
type More = (BTreeMap<String, TargetDef>, Vec<Box<dyn AnyStep>>, usize);

/// A bench whose schema was made by the run, with programs that are given the folder and the address. Our rows show.
fn over_new(more: impl FnOnce(&Path, &str) -> More) -> Bench {
    Bench::new(|folder| {
        let server = Server::shared();
        let url = server.cluster.url(&server.database(""));
        let (mut targets, steps, done) = more(folder, &url);
        targets.insert("new".to_owned(), target(&url, &["app"], false, true));
        let tables = "CREATE SCHEMA app; CREATE TABLE app.member (id int PRIMARY KEY)";
        let mut all: Vec<Box<dyn AnyStep>> =
            vec![Box::new(Backup { target: "new".into() }), script_of("tables", tables)];
        all.extend(steps);
        let place = Database::parse(&url).unwrap();
        let beyond = move || {
            let mut client = place.connect("laws", Access::ReadOnly).unwrap();
            json!({ "rows of ours": ledger::rows(&mut client).unwrap().len() })
        };
        let (beyond, company) = (Box::new(beyond), Box::new(server));
        Plan {
            targets,
            steps: all,
            done: done + 2,
            commands: true,
            beyond: Some(beyond),
            company: Some(company),
            ..Plan::default()
        }
    })
}

/// A service behind commands, which migrates its store when it starts.
fn service(folder: &Path, url: &str) -> BTreeMap<String, TargetDef> {
    let flag = folder.join("app.pid");
    let sh = |script: &str| json!(shell(script, folder, url));
    let migrate = "psql -qX \"$1\" -c \"INSERT INTO app.member VALUES (1) ON CONFLICT DO NOTHING\"; \
                   echo new > \"$0/app.pid\"";
    let spec = json!({ "command": {
        "start": sh(migrate), "start_old": sh("echo old > \"$0/app.pid\""), "stop": sh("rm -f \"$0/app.pid\""),
        "status": sh("test -e \"$0/app.pid\""), "grace": 10,
    }});
    let says = |release: &str| Some(probe(Ask::File { target: "flag".into() }, release));
    let (old, new) = (says("old"), says("new"));
    BTreeMap::from([
        ("flag".to_owned(), super::file(&flag)),
        (
            "app".to_owned(),
            TargetDef::Service { spec, stores: vec!["new".into()], entrance: true, old, new, rehearse: None },
        ),
    ])
}

fn shell(script: &str, folder: &Path, url: &str) -> Vec<String> {
    ["/bin/sh", "-c", script, &folder.display().to_string(), url].map(str::to_owned).to_vec()
}

fn died_between(bench: &Bench) {
    std::fs::rename(bench.path("power"), bench.root().join("power")).unwrap();
    bench.apply().unwrap_err();
    std::fs::rename(bench.root().join("power"), bench.path("power")).unwrap();
}

fn a_kept_row(bench: &Bench) {
    execute(bench, "kept", "INSERT INTO kept.item (data) VALUES ('{}')");
}

/// Somebody does this.
pub(super) fn execute(bench: &Bench, target: &str, sql: &str) {
    let Some(TargetDef::Postgres { url, .. }) = bench.site.targets().get(target) else { return };
    let config: postgres::Config = url.parse().unwrap();
    config.connect(postgres::NoTls).unwrap().batch_execute(sql).unwrap();
}
