//! The rebuild of a table by `alter` against the same rebuild typed into the sqlite3 shell.

use crate::backup::{remove, run, settle};
use crate::rounds::{Times, ratio};
use rusqlite::Connection;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use switchback_site::Tell;
use switchback_site::sqlite::alter::{AlterSpec, TableChange, execute};

/// What both sides run under: those of `alter`, said out loud to the shell.
const PRAGMAS: &str = "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON; PRAGMA secure_delete=OFF; \
                       PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;";

pub fn measure(database: &Path, scratch: &Path, rounds: usize) {
    let (shell, ours) = (scratch.join("shell.db"), scratch.join("alter.db"));
    // As after `take`: the log is in the file, and the journal is one of rollback.
    let folded = scratch.join("folded.db");
    remove(&[&folded]);
    let source = Connection::open(database).unwrap();
    source.execute("VACUUM INTO ?1", [folded.to_str().unwrap()]).unwrap();
    drop(source);
    let (typed, checked) = (script(&folded, false), script(&folded, true));
    let (mut by_shell, mut by_careful_shell, mut by_alter) = (Times::none(), Times::none(), Times::none());
    for _ in 0..rounds {
        for (script, times) in [(&typed, &mut by_shell), (&checked, &mut by_careful_shell)] {
            fresh(&folded, &shell);
            times.take(|| type_into_shell(&shell, script));
        }
        remove(&[&shell]);
        fresh(&folded, &ours);
        let copied = by_alter.take(|| alter(&ours));
        println!("alter copied {copied:?}");
        remove(&[&ours]);
    }
    remove(&[&folded]);
    let version = Command::new("sqlite3").arg("--version").output().unwrap().stdout;
    println!(
        "ours is SQLite {}, the shell is {}",
        rusqlite::version(),
        String::from_utf8_lossy(&version).trim()
    );
    by_shell.say("typed into the shell");
    by_careful_shell.say("the same with a check of the foreign keys");
    by_alter.say("alter (counts, storage classes, foreign keys proven)");
    ratio("alter ÷ shell", &by_alter, &by_shell, 1.1);
    ratio("alter ÷ shell with a check of the foreign keys", &by_alter, &by_careful_shell, 1.1);
}

fn fresh(from: &Path, to: &Path) {
    remove(&[to]);
    run(Command::new("cp").arg("--reflink=never").arg(from).arg(to));
    settle();
}

/// The rebuild as a careful person types it (sqlite.org/lang_altertable.html#otheralter), with the table's own texts.
fn script(database: &Path, checked: bool) -> String {
    let connection = Connection::open(database).unwrap();
    let table: String = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'backups'", [], |row| row.get(0))
        .unwrap();
    let mut indexes = connection
        .prepare(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = 'backups' AND type = 'index' AND sql IS NOT NULL",
        )
        .unwrap();
    let indexes: Vec<String> = indexes.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let table = table.replacen("backups", "backups_new", 1);
    let check = if checked { "PRAGMA foreign_key_check(backups);" } else { "" };
    format!(
        "{PRAGMAS}\nBEGIN;\n{table};\nINSERT INTO backups_new SELECT * FROM backups;\nDROP TABLE backups;\n\
         ALTER TABLE backups_new RENAME TO backups;\n{};\n{check}\nCOMMIT;\n",
        indexes.join(";\n")
    )
}

fn type_into_shell(database: &Path, script: &str) {
    let mut shell = Command::new("sqlite3")
        .arg("-bail")
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

fn alter(database: &Path) -> Vec<(String, u64)> {
    let mut connection = Connection::open(database).unwrap();
    connection.execute_batch("PRAGMA foreign_keys=OFF; PRAGMA synchronous=FULL").unwrap();
    let change = TableChange { rebuild: true, ..TableChange::default() };
    let spec = AlterSpec { tables: vec![("backups".into(), change)], and: None };
    execute(&mut connection, &spec, &[], &mut |_| Ok(()), &Tell::quiet()).unwrap().copied
}
