//! The application, which this test program becomes: in its old release it exports what a file has, in its new one it
//! keeps in a database what is imported. In both a maintenance mode is asked for first and reached later, with a port
//! that refuses in between. Whatever it has taken it writes down, for the test to count.

use rusqlite::Connection;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the test that is the application.
pub const PROGRAM: &str = "http::depot::serves";

/// What the old release exports: records behind each other, one of them without what it belongs to.
const EXPORT: &str = r#"{"t":"part","id":"a","secret":"made-up-secret-of-a-part"}{"t":"box","id":1,"part":"a"}
{"t":"box","id":2,"part":"gone"} {"t":"part","id":"O'Brien \"x\"; DROP/../%"}{"t":"part","id":"c"}"#;

/// Between a wish for a mode and its port that refuses, and for how long that is.
const DELAY: Duration = Duration::from_millis(10);
const REFUSED: Duration = Duration::from_millis(15);

#[test]
#[ignore = "a service that the tests start"]
fn serves() {
    let value = |name: &str| std::env::var(name).unwrap();
    let (new, root) = (value("DEPOT_RELEASE") == "2", PathBuf::from(value("DEPOT_ROOT")));
    let config = std::fs::read_to_string(root.join("etc/config.yaml")).unwrap();
    // As real ones do: a release does not start on the config of another.
    assert_eq!(config.contains("release: \"2\""), new, "this is not my config: {config}");
    assert!(!new || config.contains("key: "), "a key is missing");
    let depot = Depot { kept: new.then(|| open(&root.join("var/parts.db"))), root };
    let port = value("DEPOT_PORT").parse().unwrap();
    let mut on = depot.wish();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        depot.answer_until_another_mode_is_wanted(&listener, on);
        drop(listener);
        std::thread::sleep(REFUSED);
        on = depot.wish();
    }
}

struct Depot {
    /// What the new release has.
    kept: Option<Connection>,
    root: PathBuf,
}

impl Depot {
    fn answer_until_another_mode_is_wanted(&self, listener: &TcpListener, on: bool) {
        listener.set_nonblocking(true).unwrap();
        let mut since = None;
        loop {
            if let Ok((stream, _)) = listener.accept() {
                // A client that goes away in the middle is its own affair.
                let _ = stream.set_nonblocking(false).and_then(|()| self.answer(stream, on));
            }
            if self.wish() == on {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() > DELAY {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The mode that is wanted survives the process: beside the data in the old release, within it in the new one.
    fn wish(&self) -> bool {
        match &self.kept {
            Some(kept) => !ask(kept, "SELECT 'on' FROM mode").is_empty(),
            None => self.flag().exists(),
        }
    }

    fn flag(&self) -> PathBuf {
        self.root.join("var/maintenance")
    }

    fn set_wish(&self, on: bool) {
        match (&self.kept, on) {
            (Some(kept), true) => kept.execute_batch("INSERT OR IGNORE INTO mode VALUES (1)").unwrap(),
            (Some(kept), false) => kept.execute_batch("DELETE FROM mode").unwrap(),
            (None, true) => std::fs::write(self.flag(), "").unwrap(),
            (None, false) => drop(std::fs::remove_file(self.flag())),
        }
    }

    fn answer(&self, mut stream: TcpStream, on: bool) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (line, body) = read(&mut stream)?;
        let (method, path) = line.split_once(' ').unwrap_or_default();
        let path = path.split_once(' ').unwrap_or_default().0;
        let mode = format!("{{\"on\":{on}}}");
        let (status, answer) = match (method, path, &self.kept) {
            ("GET", "/release", None) => (200, "{\"release\":\"1\"}".to_owned()),
            ("GET", "/release", Some(_)) => (200, "{\"release\":\"2\"}".to_owned()),
            ("GET", "/mode", _) => (200, mode),
            ("POST", wish @ ("/enter" | "/leave"), _) => {
                self.set_wish(wish == "/enter");
                (200, mode)
            }
            ("GET", "/export", None) => (200, EXPORT.to_owned()),
            ("GET", "/export", Some(kept)) => (200, ask(kept, "SELECT line FROM records").concat()),
            ("GET", "/labels", Some(kept)) => (200, ask(kept, "SELECT line FROM labels").concat()),
            ("POST", "/import", Some(kept)) if on => {
                import(kept, std::str::from_utf8(&body).unwrap());
                // The first reply is lost, as replies are: what was taken must not be sent again for that.
                if self.note("import") == 1 {
                    return Ok(());
                }
                (200, String::new())
            }
            ("PUT", path, Some(kept)) if on && path.starts_with("/labels/") => {
                let line = String::from_utf8(body).unwrap() + "\n";
                let sql =
                    "INSERT INTO labels VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET line = excluded.line";
                kept.execute(sql, [path, &line]).unwrap();
                self.note(path);
                (200, String::new())
            }
            _ => (400, String::new()),
        };
        let length = answer.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        )
    }

    /// Writes down what was taken, and returns how often it was by now.
    fn note(&self, what: &str) -> usize {
        let file = self.root.join("heard");
        let mut heard = OpenOptions::new().append(true).create(true).open(&file).unwrap();
        writeln!(heard, "{what}").unwrap();
        heard_of(&self.root).into_iter().filter(|line| line == what).count()
    }
}

/// Everything that the new release has taken so far.
pub fn heard_of(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("heard")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn open(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    let schema = "CREATE TABLE IF NOT EXISTS records(line TEXT); CREATE TABLE IF NOT EXISTS mode(is_on INTEGER PRIMARY KEY); \
                  CREATE TABLE IF NOT EXISTS labels(id TEXT PRIMARY KEY, line TEXT)";
    connection.execute_batch(schema).unwrap();
    connection
}

/// The texts that a query gives.
pub fn ask(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Drops before it loads.
fn import(kept: &Connection, records: &str) {
    let transaction = kept.unchecked_transaction().unwrap();
    transaction.execute("DELETE FROM records", []).unwrap();
    for line in records.split_inclusive('\n') {
        transaction.execute("INSERT INTO records VALUES (?1)", [line]).unwrap();
    }
    transaction.commit().unwrap();
}

/// Reads one request: its first line, and its body.
fn read(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        line.to_lowercase().strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body))
}
