//! A real 0.6.1 database, upgraded and taken back; and one as `kill -9` of the real application left it.

use crate::support::{Options, Site, rows, setting, shape};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use switchback_site::sqlite::open_immutable;

fn real_data() -> Option<PathBuf> {
    let named = std::env::var_os("SWITCHBACK_SHARED").map(|dir| PathBuf::from(dir).join("data"));
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("shared/data"));
    let found = named.into_iter().chain(beside).map(|dir| dir.join("duplistatus")).find(|dir| dir.is_dir());
    if found.is_none() {
        let _ = writeln!(
            std::io::stdout(),
            "reality: no real data of duplistatus on this machine, nothing was tested"
        );
    }
    found
}

/// A site over copies of real files, each by the suffix that it gets.
fn site_over(files: &[(&Path, &str)]) -> Site {
    let site = Site::with(&Options { bare: true, ..Options::default() });
    for (from, suffix) in files {
        // Written and not copied: the originals are read-only, and their mode would come along.
        let to = format!("{}{suffix}", site.database.display());
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    }
    site
}

fn after(data: &Path) -> Connection {
    open_immutable(&data.join("after.db")).unwrap()
}

/// Every value of a table with its storage class, in an order of its own.
fn table(connection: &Connection, table: &str) -> Vec<String> {
    let columns = rows(connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
    let cells: Vec<String> =
        columns.iter().map(|column| format!("typeof(\"{column}\") || ':' || hex(\"{column}\")")).collect();
    let cells = cells.join(", ");
    rows(connection, &format!("SELECT {cells} FROM \"{table}\" ORDER BY {cells}"))
}

/// Compares what the upgrade made with what the real application made of the same data.
fn expect_as_the_application(site: &Site, data: &Path) {
    let (ours, real) = (site.open(), after(data));
    assert_eq!(shape(&ours), shape(&real));
    for name in ["servers", "backups"] {
        assert_eq!(table(&ours, name), table(&real, name), "{name}");
    }
    assert_eq!(rows(&ours, "SELECT version FROM db_version"), ["3.0"]);
    assert_eq!(rows(&ours, "PRAGMA integrity_check"), ["ok"]);
    let others = "SELECT key, value FROM configurations \
                  WHERE key NOT IN ('backup_settings', 'overdue_notifications', 'notifications') ORDER BY key";
    assert_eq!(rows(&ours, others), rows(&real, others));
    for key in rows(&real, "SELECT key FROM configurations") {
        match key.as_str() {
            // The real rewrite drops what it cannot tell apart; ours has all that it has.
            "backup_settings" | "overdue_notifications" => {
                let (ours, real) = (setting(&ours, &key), setting(&real, &key));
                for (name, value) in real.as_object().unwrap() {
                    assert_eq!(ours.get(name), Some(value), "{key}: {name}");
                }
            }
            // The real one keeps a variable that it does not know any more.
            "notifications" => {
                let (ours, real) = (setting(&ours, &key), setting(&real, &key));
                let text = real["templates"].to_string().replace("{machine_name}", "{server_name}");
                assert_eq!(ours["templates"], serde_json::from_str::<Value>(&text).unwrap());
                assert_eq!(ours["ntfy"], real["ntfy"]);
            }
            _ => {}
        }
    }
}

fn upgrade(site: &Site) -> i32 {
    let losses = site.run(&["plan", "--json"]);
    let plan: Value = serde_json::from_str(&losses.out).unwrap();
    let mut args = vec!["apply".to_owned(), "--yes".to_owned()];
    for loss in plan["losses"].as_array().unwrap() {
        if loss["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            args.extend(["--accept".to_owned(), loss["id"].as_str().unwrap().to_owned()]);
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    site.run(&args).expect(0, &["5 rows equal", "156 rows equal", "seen: 156", "upgraded"]).code
}

#[test]
fn a_real_database_is_upgraded_as_the_application_does_and_taken_back() {
    let Some(data) = real_data() else { return };
    let mut site = site_over(&[(&data.join("before.db"), "")]);
    let before = site.fingerprint();
    site.start_old();
    assert_eq!(upgrade(&site), 0);
    expect_as_the_application(&site, &data);
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.get("/api/summary").1["totalBackups"], 156);
    site.kill_service();
    let back = site.fingerprint();
    // Starting the application puts a database into WAL mode, as it did before the upgrade.
    assert_eq!((back.schema, back.objects, back.tables), (before.schema, before.objects, before.tables));
}

#[test]
fn what_a_killed_application_left_is_upgraded_whole_and_backed_up_whole() {
    let Some(data) = real_data() else { return };
    let raw = data.join("before_raw_after_kill9");
    let [main, wal] = ["backups.db", "backups.db-wal"].map(|name| raw.join(name));
    let site = site_over(&[(&main, ""), (&wal, "-wal")]);
    let before = site.fingerprint();
    assert_eq!(counts(&site.open_read()), [5, 156]);
    // What `cp` of the main file, and the application's own copy, would have kept.
    assert_eq!(counts(&open_immutable(&main).unwrap()), [3, 123]);
    assert_eq!(upgrade(&site), 0);
    expect_as_the_application(&site, &data);
    // The backup opens on any machine, from a read-only folder, without its log.
    assert_eq!(counts(&open_immutable(&site.backup()).unwrap()), [5, 156]);
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
    assert_eq!(counts(&site.open_read()), [5, 156]);
}

#[test]
fn a_real_database_of_the_new_release_has_nothing_to_do() {
    let Some(data) = real_data() else { return };
    let site = site_over(&[(&data.join("after.db"), "")]);
    site.run(&["plan"]).expect(0, &["nothing to do: 0.7 is installed"]);
}

#[test]
fn the_real_database_passes_a_rehearsal_and_stays_as_it_is() {
    let Some(data) = real_data() else { return };
    let site = site_over(&[(&data.join("before.db"), "")]);
    let before = std::fs::read(&site.database).unwrap();
    site.run(&["rehearse"]).expect(0, &["rehearsed on copies"]);
    assert_eq!(std::fs::read(&site.database).unwrap(), before);
}

fn counts(connection: &Connection) -> [i64; 2] {
    ["SELECT count(*) FROM machines", "SELECT count(*) FROM backups"]
        .map(|sql| connection.query_row(sql, [], |row| row.get(0)).unwrap())
}

impl Site {
    fn open_read(&self) -> Connection {
        let connection =
            Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection
    }
}
