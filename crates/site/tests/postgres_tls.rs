//! Protected connections to a real server: whom each mode trusts, what it refuses and how it says so, beside what psql does.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use postgres_common::authority::Certificates;
use postgres_common::{Server, value, writer};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::{Access, Database, backup, prove, watched};
use switchback_site::{Faults, Tell};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own, whose certificate is changed as the test goes.
struct Lab {
    server: Server,
    certs: Certificates,
}

impl Lab {
    fn start() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
        let certs = Certificates::new(&folder.path().join("certs"));
        Lab { server: Server { cluster, folder }, certs }
    }

    /// Lets the server show the certificate `name`.
    fn show(&self, name: &str) {
        let folder = self.server.cluster.folder();
        for kind in ["crt", "key"] {
            self.certs.hand_over(&format!("{name}.{kind}"), &folder.join(format!("server.{kind}")));
        }
        let at = folder.display();
        for (setting, value) in [("ssl_key_file", "server.key"), ("ssl_cert_file", "server.crt")] {
            self.server.run("postgres", &format!("ALTER SYSTEM SET {setting} = '{at}/{value}'"));
        }
        self.server.run("postgres", "ALTER SYSTEM SET ssl = on");
        self.reload();
    }

    /// Waits until the settings are read; who connects afterwards meets them.
    fn reload(&self) {
        let log = self.server.cluster.folder().join("log");
        let count = || fs::read_to_string(&log).unwrap().matches("received SIGHUP").count();
        let (before, clock) = (count(), Instant::now());
        self.server.run("postgres", "SELECT pg_reload_conf()");
        while count() == before {
            assert!(clock.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn text(&self, host: &str, more: &str) -> String {
        format!("host={host} port={} dbname=postgres {more}", self.server.cluster.port())
    }

    /// Connects as we do and as psql does, which must agree; returns what we say.
    fn both(&self, host: &str, more: &str) -> Result<bool, String> {
        let more = if more.contains("user=") { more.to_owned() } else { format!("user=postgres {more}") };
        let text = self.text(host, &more);
        let ours = connected(&text);
        let theirs = psql(&text);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text}: we {ours:?}, psql {theirs:?}");
        ours
    }
}

/// Connects, and says whether the session is encrypted.
fn connected(text: &str) -> Result<bool, String> {
    let opened = Database::parse(text).and_then(|database| database.connect("test", Access::ReadOnly));
    let mut client = opened.map_err(|error| {
        assert!(!error.is_away(), "waiting mends nothing: {error}");
        error.to_string()
    })?;
    Ok(value(&mut client, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "true")
}

fn psql(text: &str) -> Result<(), String> {
    let mut command = Command::new("psql");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // A home without certificates; ours is not looked into, as the tests name everything.
    command.env("HOME", "/nonexistent").args(["-X", "-w", "-c", "SELECT 1", text]).stdin(Stdio::null());
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn each_mode_trusts_whom_psql_trusts_and_says_what_is_wrong() {
    let lab = Lab::start();
    let certs = &lab.certs;
    // Nothing is encrypted yet.
    let said = lab.both("localhost", "sslmode=require").unwrap_err();
    assert!(said.contains("does not support TLS") && said.contains("turn `ssl` on"), "{said}");
    assert_eq!(lab.both("localhost", "sslmode=prefer"), Ok(false));

    certs.authority("ca", "ca");
    certs.authority("stranger", "stranger");
    let ca = format!("sslrootcert={}", certs.path("ca.crt").display());
    let stranger = format!("sslrootcert={}", certs.path("stranger.crt").display());
    let refused = |host: &str, more: &str, words: [&str; 2]| {
        let said = lab.both(host, more).unwrap_err();
        assert!(
            said.starts_with("connect to ") && words.iter().all(|word| said.contains(word)),
            "{more}: {said}"
        );
    };
    let misnamed = ["not valid for name", "write the name that the certificate is for"];
    let unknown = ["UnknownIssuer", "stranger.crt; name the file"];

    // As authorities of today make them; and as the manual of PostgreSQL has it: version 1, a common name.
    certs.signed("proper", "db", "ca", Some("san"), "5");
    certs.signed("manual", "localhost", "ca", None, "5");
    for name in ["proper", "manual"] {
        lab.show(name);
        assert_eq!(lab.both("localhost", "sslmode=disable"), Ok(false));
        for mode in ["prefer", "require"] {
            assert_eq!(lab.both("127.0.0.1", &format!("sslmode={mode}")), Ok(true), "{name}");
        }
        assert_eq!(lab.both("127.0.0.1", &format!("sslmode=verify-ca {ca}")), Ok(true), "{name}");
        assert_eq!(lab.both("localhost", &format!("sslmode=verify-full {ca}")), Ok(true), "{name}");
        assert_eq!(lab.both("localhost", &format!("hostaddr=127.0.0.1 sslmode=verify-full {ca}")), Ok(true));
        // With an authority named, `require` verifies.
        assert_eq!(lab.both("127.0.0.1", &format!("sslmode=require {ca}")), Ok(true), "{name}");
        refused("127.0.0.1", &format!("sslmode=verify-full {ca}"), misnamed);
        refused("127.0.0.1", &format!("sslmode=require {stranger}"), unknown);
        refused("localhost", &format!("sslmode=verify-full {stranger}"), unknown);
    }
    // Work over TLS is cancelled over TLS.
    let stop = Arc::new(AtomicBool::new(true));
    let tell = Tell::new(Arc::new(|_| ()), stop, Arc::new(Faults::none()));
    let text = lab.text("localhost", &format!("user=postgres sslmode=verify-full {ca}"));
    let (mut client, clock) = (writer(&Database::parse(&text).unwrap()), Instant::now());
    assert!(watched(&mut client, &tell, |client| client.batch_execute("SELECT pg_sleep(30)")).is_err());
    assert!(clock.elapsed() < PATIENCE);

    // One that signed itself is trusted where it is named, and nowhere else.
    certs.authority("self", "localhost");
    lab.show("self");
    let own = format!("sslrootcert={}", certs.path("self.crt").display());
    assert_eq!(lab.both("localhost", &format!("sslmode=verify-full {own}")), Ok(true));
    refused("127.0.0.1", &format!("sslmode=verify-full {own}"), misnamed);
    assert!(
        lab.both("localhost", &format!("sslmode=verify-ca {ca}"))
            .unwrap_err()
            .contains("ca.crt; name the file")
    );

    // What is over is over, whoever signed it.
    certs.signed("late", "localhost", "ca", Some("san"), "-1");
    certs.signed("late manual", "localhost", "ca", None, "-1");
    for name in ["late", "late manual"] {
        lab.show(name);
        assert_eq!(lab.both("localhost", "sslmode=require"), Ok(true), "{name}");
        refused(
            "localhost",
            &format!("sslmode=verify-ca {ca}"),
            ["xpired", "renew the certificate of the server"],
        );
    }

    // What was taken back.
    certs.list("none.crl", "ca", None);
    certs.list("taken.crl", "ca", Some("proper"));
    lab.show("proper");
    let crl = |name: &str| format!("sslmode=verify-full {ca} sslcrl={}", certs.path(name).display());
    assert_eq!(lab.both("localhost", &crl("none.crl")), Ok(true));
    refused("localhost", &crl("taken.crl"), ["Revoked", "it was taken back"]);
}

#[test]
fn the_tools_come_in_as_we_do_with_our_certificate_or_bound_to_the_channel() {
    let lab = Lab::start();
    let certs = &lab.certs;
    certs.authority("ca", "ca");
    certs.signed("server", "db", "ca", Some("san"), "5");
    certs.signed("me", "certified", "ca", None, "5");
    certs.signed("other", "somebody", "ca", None, "5");
    let folder = lab.server.cluster.folder();
    certs.hand_over("ca.crt", &folder.join("ca.crt"));
    lab.server.run("postgres", &format!("ALTER SYSTEM SET ssl_ca_file = '{}/ca.crt'", folder.display()));
    lab.server.run(
        "postgres",
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE certified LOGIN SUPERUSER; \
         CREATE ROLE bound LOGIN SUPERUSER PASSWORD 'secret'; \
         CREATE SCHEMA app; CREATE TABLE app.t AS SELECT generate_series(1, 10) AS a",
    );
    let hba = folder.join("data/pg_hba.conf");
    let before = fs::read_to_string(&hba).unwrap();
    let ours =
        "hostssl all certified all cert\nhost all certified all reject\nhost all bound all scram-sha-256\n";
    fs::write(&hba, format!("{ours}{before}")).unwrap();
    lab.show("server");
    let ca = format!("sslmode=verify-full sslrootcert={}", certs.path("ca.crt").display());
    let with = |cert: &str, key: &str| {
        format!(
            "user=certified {ca} sslcert={} sslkey={}",
            certs.path(cert).display(),
            certs.path(key).display()
        )
    };

    // Who has no certificate, somebody else's, or one whose key is not kept, is told.
    let said = lab.both("localhost", &format!("user=certified {ca}")).unwrap_err();
    assert!(said.contains("client certificate") && said.contains("name yours with sslcert"), "{said}");
    assert!(lab.both("localhost", &with("other.crt", "other.key")).unwrap_err().contains("certified"));
    mode(&certs.path("me.key"), 0o644);
    let said = lab.both("localhost", &with("me.crt", "me.key")).unwrap_err();
    assert!(said.contains("me.key for TLS: others can read it: chmod 600 it"), "{said}");
    mode(&certs.path("me.key"), 0o600);
    let said = lab.both("localhost", &with("me.crt", "me.crt")).unwrap_err();
    assert!(
        said.contains("others can read it") || said.contains("no private key that can be read"),
        "{said}"
    );
    assert_eq!(lab.both("localhost", &with("me.crt", "me.key")), Ok(true));

    // What pg_dump and pg_restore need is handed to them: the server lets this user in with a certificate only.
    let database = Database::parse(&lab.text("localhost", &with("me.crt", "me.key"))).unwrap();
    assert!(dumped(&database, &lab.server.folder.path().join("certified")));

    // Bound to the channel, by a password that only the file has.
    let passfile = certs.path("pgpass");
    fs::write(&passfile, "*:*:*:bound:secret\n").unwrap();
    mode(&passfile, 0o600);
    let bound =
        |more: &str| format!("user=bound channel_binding=require passfile={} {more}", passfile.display());
    assert_eq!(lab.both("localhost", &bound(&ca)), Ok(true));
    let said = lab.both("localhost", &bound("sslmode=disable")).unwrap_err();
    assert!(said.contains("channel binding") && said.contains("wants TLS"), "{said}");
    let database = Database::parse(&lab.text("localhost", &bound(&ca))).unwrap();
    assert!(dumped(&database, &lab.server.folder.path().join("bound")));
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Dumps and restores, and says whether every row came through.
fn dumped(database: &Database, dir: &Path) -> bool {
    let report = backup(database, &["app".to_owned()], dir, "run", &Tell::quiet()).unwrap();
    let proven = prove(database, dir, &report, "run", &Tell::quiet()).unwrap();
    matches!(proven, switchback_site::postgres::Proven::Restored) && report.rows["app.t"] == 10
}
