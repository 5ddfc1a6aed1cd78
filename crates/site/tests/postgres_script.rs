//! Scripts: all or nothing, with their row.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{reader, server, value, writer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use switchback_site::postgres::ledger::{LedgerRow, has};
use switchback_site::postgres::{Client, ScriptError, run_script};
use switchback_site::{Faults, Halt, Tell};

fn row() -> LedgerRow {
    let text = |text: &str| text.to_owned();
    LedgerRow { run: text("r"), step: text("s"), at: text("now"), state_dir: text("/s"), note: text("") }
}

fn run(client: &mut Client, script: &str, params: &[(&str, Value)], tell: &Tell) -> Result<u64, ScriptError> {
    let params: BTreeMap<String, Value> =
        params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    run_script(client, script, &params, "2026-01-02T03:04:05Z", &row(), tell)
}

const TABLE: &str =
    "CREATE TABLE public.machines (id int PRIMARY KEY, name text, at timestamptz, extra jsonb)";

#[test]
fn a_script_commits_with_its_row_and_counts_what_it_changed() {
    let server = server();
    let database = server.database(TABLE);
    let mut client = writer(&database);
    let script = "-- a machine; of a customer\nINSERT INTO public.machines VALUES (1, :name, :now, :extra), (2, 'x', NULL, NULL);\n\
                  UPDATE public.machines SET id = :id WHERE id = 2; CREATE INDEX \"i;\" ON public.machines (name);\n\
                  DO $$ BEGIN DELETE FROM public.machines WHERE id = 9; END $$; SELECT * FROM public.machines";
    let name = "O'Brien \"lab\"; DROP TABLE public.machines;--";
    let params = [("name", json!(name)), ("id", json!(9)), ("extra", json!({"a": [1, "'"]}))];
    assert_eq!(run(&mut client, script, &params, &Tell::quiet()).unwrap(), 4);
    assert_eq!(value(&mut client, "SELECT name FROM public.machines"), name);
    assert_eq!(value(&mut client, "SELECT at FROM public.machines"), "2026-01-02 03:04:05+00");
    assert_eq!(value(&mut client, "SELECT extra FROM public.machines"), "{\"a\": [1, \"'\"]}");
    assert!(has(&mut reader(&database), "r", "s").unwrap());
}

#[test]
fn a_script_that_fails_or_is_cut_leaves_nothing() {
    let server = server();
    let database = server.database(TABLE);
    let mut client = writer(&database);
    let good = "INSERT INTO public.machines VALUES (1)";
    let error =
        run(&mut client, &format!("{good};\n\nINSERT INTO public.machines\nVALUES (1)"), &[], &Tell::quiet());
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("run line 3 of the script: duplicate key") && text.contains("(id)=(1)"),
        "{text}"
    );
    let cut = Tell::with_faults(Arc::new(Faults::cut(1)));
    assert!(matches!(run(&mut client, good, &[], &cut), Err(ScriptError::Halt(Halt::Cut))));
    assert_eq!(value(&mut client, "SELECT count(*) FROM public.machines"), "0");
    assert!(!has(&mut client, "r", "s").unwrap());
    // Behind the second point it is in, with its row.
    let cut = Tell::with_faults(Arc::new(Faults::cut(2)));
    assert!(matches!(run(&mut client, good, &[], &cut), Err(ScriptError::Halt(Halt::Cut))));
    assert!(has(&mut client, "r", "s").unwrap());
}

#[test]
fn what_no_transaction_can_hold_is_refused_before_anything_runs() {
    let server = server();
    let database = server.database(&format!(
        "{TABLE}; CREATE PROCEDURE public.ends() LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.machines VALUES (5); COMMIT; END'"
    ));
    let mut client = writer(&database);
    let mut said = |script: &str| run(&mut client, script, &[], &Tell::quiet()).unwrap_err().to_string();
    assert!(
        said("INSERT INTO public.machines VALUES (1); COMMIT").contains("COMMIT controls the transaction")
    );
    assert!(
        said("CREATE INDEX CONCURRENTLY i ON public.machines (name)").contains("cannot run in a transaction")
    );
    assert!(said("SET search_path = public").contains("SET LOCAL"));
    assert!(said("CALL public.ends()").contains("in a transaction"));
    assert!(said("INSERT INTO machines VALUES (1)").contains("does not exist"));
    assert!(said("SELECT :nobody").contains(":nobody"));
    assert_eq!(value(&mut client, "SELECT count(*) FROM public.machines"), "0");
}

#[test]
fn a_lock_that_others_hold_is_waited_for_without_blocking_readers() {
    let server = server();
    let database = server.database(TABLE);
    let (mut other, mut client) = (writer(&database), writer(&database));
    let mut holding = other.transaction().unwrap();
    holding.execute("SELECT * FROM public.machines", &[]).unwrap();
    std::thread::scope(|scope| {
        let script =
            scope.spawn(|| run(&mut client, "ALTER TABLE public.machines ADD b int", &[], &Tell::quiet()));
        // Readers who queue behind the script get their turn between its tries.
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let clock = std::time::Instant::now();
            let mut reader = database.connect("reads", switchback_site::postgres::Access::ReadOnly).unwrap();
            reader.batch_execute("SET lock_timeout = 0").unwrap();
            reader.query("SELECT * FROM public.machines", &[]).unwrap();
            slowest = slowest.max(clock.elapsed());
        }
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        holding.rollback().unwrap();
        script.join().unwrap().unwrap();
    });
}

#[test]
fn an_interrupt_cancels_the_statement_at_work() {
    let server = server();
    let database = server.database(TABLE);
    let mut client = writer(&database);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        run(&mut client, "INSERT INTO public.machines VALUES (1); SELECT pg_sleep(60)", &[], &tell)
    });
    assert!(matches!(result, Err(ScriptError::Halt(Halt::Interrupted))), "{result:?}");
    assert_eq!(value(&mut client, "SELECT count(*) FROM public.machines"), "0");
}
