//! `fetch`, `transform` and `send`: what is kept between them, and an endpoint that keeps what it is sent in a database.

use super::file;
use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use switchback_engine::step::AnyStep;
use switchback_flow::same::Canon;
use switchback_flow::transform::Recipe;
use switchback_model::artifact::{Artifact, ArtifactFormat};
use switchback_model::equation::Equation;
use switchback_model::program::{IndexOf, Named};
use switchback_model::target::TargetDef;
use switchback_site::http::Method;
use switchback_steps::backup::Backup;
use switchback_steps::fetch::Fetch;
use switchback_steps::send::Send;
use switchback_steps::start::Start;
use switchback_steps::transform::{By, Transform};

const OLD: &str = r#"{"t":"run","id":"a"}{"t":"config","id":"a"} {"t":"config","id":"b \"; DROP"}"#;

const NEW: &str = "{\"kind\":\"Run\",\"id\":\"b \\\"; DROP\"}\n{\"kind\":\"Config\",\"id\":\"a\"}\n";

pub fn fetch() -> Fixture {
    Fixture::of::<Fetch>("fetch", || bench(Mood::Fine, |api| vec![get(api)], 0))
}

pub fn fetch_pages() -> Fixture {
    Fixture::of::<Fetch>("fetch-pages", || {
        bench(
            Mood::Fine,
            |api| {
                let pages = json!({
                    "records": { "name": "records", "program": ".items[]" },
                    "next": { "name": "next", "program": ".next" },
                    "total": { "name": "total", "program": ".total" },
                });
                let pages = serde_json::from_value(pages).unwrap();
                let url = format!("{api}/pages/1");
                vec![Box::new(Fetch { url, pages: Some(pages), ..fetched(api) })]
            },
            0,
        )
    })
}

pub fn send_each() -> Fixture {
    Fixture::of::<Send>("send-each", || {
        bench(
            Mood::Fine,
            |api| {
                let item = json!({
                    "item": { "name": "item", "program": r#"{path: "items/\(.id | @uri)", body: .}"# },
                    "at_once": 1,
                });
                let each = serde_json::from_value(item).unwrap();
                let mut steps = sending(api);
                steps.pop();
                let url = api.to_owned();
                steps.push(Box::new(Send { each: Some(each), method: Method::Put, url, ..sent(api) }));
                steps
            },
            3,
        )
    })
}

pub fn transform() -> Fixture {
    Fixture::of::<Transform>("transform", || {
        bench(Mood::Fine, |api| vec![get(api), Box::new(programs(By::Programs))], 1)
    })
}

pub fn transform_by_both() -> Fixture {
    Fixture::of::<Transform>("transform-both", || {
        bench(Mood::Fine, |api| vec![get(api), Box::new(programs(By::Auto))], 1)
    })
}

pub fn send() -> Fixture {
    Fixture {
        foreign_before: &[("a record of somebody else", a_record)],
        ..Fixture::of::<Send>("send", || bench(Mood::Fine, sending, 3))
    }
}

pub fn send_without_reply() -> Fixture {
    Fixture::of::<Send>("send-loses-replies", || bench(Mood::LosesReplies, sending, 3))
}

pub fn send_takes_half() -> Fixture {
    Fixture::of::<Send>("send-half", || bench(Mood::TakesHalfAtFirst, sending, 3))
}

/// Somebody has stored something before anything was sent.
fn a_record(bench: &Bench) {
    let connection = Connection::open(bench.path("store.db")).unwrap();
    connection.execute("INSERT INTO records VALUES ('{\"foreign\":1}')", []).unwrap();
}

fn sent(api: &str) -> Send {
    Send {
        from: artifact("made", ArtifactFormat::JsonLines),
        to: "api".into(),
        method: Method::Post,
        url: format!("{api}/import"),
        back_url: format!("{api}/records"),
        back: artifact("back", ArtifactFormat::JsonLines),
        same: Canon::default(),
        headers: BTreeMap::new(),
        content_type: "application/json".into(),
        service: "app".into(),
        restored: true,
        settles: None,
        each: None,
        idle_ms: 5_000,
        within_ms: 200,
    }
}

fn sending(api: &str) -> Vec<Box<dyn AnyStep>> {
    vec![
        Box::new(Backup { target: "db".into() }),
        Box::new(Start { service: "app".into() }),
        Box::new(Fetch {
            url: format!("{api}/new"),
            into: artifact("made", ArtifactFormat::JsonLines),
            ..fetched(api)
        }),
        Box::new(sent(api)),
    ]
}

fn artifact(name: &str, format: ArtifactFormat) -> Artifact {
    let holds = format!("lab.{name}");
    Artifact { name: name.into(), member: None, holds, format, secret: true, unlike: Vec::new() }
}

fn get(api: &str) -> Box<dyn AnyStep> {
    Box::new(fetched(api))
}

fn fetched(api: &str) -> Fetch {
    Fetch {
        from: "api".into(),
        url: format!("{api}/old"),
        headers: BTreeMap::new(),
        pages: None,
        into: artifact("export", ArtifactFormat::JsonValues),
        twice: true,
        empty: false,
        idle_ms: 5_000,
    }
}

fn programs(by: By) -> Transform {
    let named = |name: &str, program: &str| Named { name: name.into(), program: program.into() };
    let index = IndexOf {
        name: "runs".into(),
        of: "select(.t == \"run\") | .id".into(),
        gives: None,
        ascending: true,
    };
    let recipe = Recipe {
        indexes: vec![index],
        passes: vec![
            named("configs.jq", "select(.t == \"config\" and known(\"runs\"; .id)) | {kind: \"Config\", id}"),
            named("runs.jq", "select(.t == \"run\") | {kind: \"Run\", id: uuid(.id), at: $now}"),
        ],
        kind_in: Some(".t".into()),
        kind_out: Some(".kind".into()),
        id: Some(".id".into()),
        counted: vec![named("dropped", "select(.t == \"config\" and (known(\"runs\"; .id) | not))")],
        equations: ["out.Run = in.run", "out.Config = in.config - dropped"]
            .map(|text| Equation::parse(text).unwrap())
            .to_vec(),
    };
    // Says what it leaves out, leaves a file with what it has read behind, and gives its own ids in another order.
    let script = "cat > $TMPDIR/secret; echo 'no run for b' >&2; \
                  echo '{\"kind\":\"Run\",\"id\":\"x\",\"at\":0}'; echo '{\"id\":\"a\",\"kind\":\"Config\"}'";
    let foreign = json!({
        "argv": ["/bin/sh", "-c", script], "loses": "^no run", "counted": "dropped", "within_ms": 5000,
        "same": { "program": { "name": "same", "program": "if .kind == \"Run\" then {kind} else . end" } },
    });
    let command = serde_json::from_value(foreign).unwrap();
    Transform {
        from: artifact("export", ArtifactFormat::JsonValues),
        into: artifact("made", ArtifactFormat::JsonLines),
        recipe,
        command: (by == By::Auto).then_some(command),
        by,
    }
}

fn bench(mood: Mood, steps: fn(&str) -> Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    Bench::new(|folder| {
        let store = folder.join("store.db");
        Connection::open(&store).unwrap().execute_batch("CREATE TABLE records(line TEXT)").unwrap();
        let keeper = Keeper::start(mood, &store);
        let flag = folder.join("app.pid");
        let sh = |script: &str| json!(["/bin/sh", "-c", script, flag.display().to_string()]);
        let spec = json!({ "command": {
            "start": sh("echo new > \"$0\""), "start_old": sh("echo old > \"$0\""), "stop": sh("rm -f \"$0\""),
            "status": sh("test -e \"$0\""), "grace": 10,
        }});
        let service = TargetDef::Service {
            spec,
            stores: vec!["db".into()],
            entrance: false,
            old: None,
            new: None,
            rehearse: None,
        };
        let endpoint = TargetDef::Http {
            base: keeper.base.clone(),
            served_by: Some("app".into()),
            maintenance: None,
            component: None,
            accepts: Vec::new(),
        };
        let mut targets = BTreeMap::from([("api".to_owned(), endpoint), ("app".to_owned(), service)]);
        targets.insert(
            "db".to_owned(),
            TargetDef::Sqlite { path: store.display().to_string(), made_by_us: false },
        );
        targets.insert("flag".to_owned(), file(&flag));
        let steps = steps(&keeper.base);
        Plan { targets, steps, done, commands: true, company: Some(Box::new(keeper)), ..Plan::default() }
    })
}

/// What is wrong with the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Every import is heard, and the connection closed without a reply.
    LosesReplies,
    /// The first import takes one record, and is answered with 200.
    TakesHalfAtFirst,
}

/// An endpoint that gives an old export, and keeps what is imported in a database.
struct Keeper {
    base: String,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(mood: Mood, store: &Path) -> Keeper {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (over, store, imports) = (Arc::new(AtomicBool::new(false)), store.to_owned(), AtomicU32::new(0));
        let is_over = over.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away in the middle is its own affair.
                let _ = stream.and_then(|stream| serve(stream, mood, &store, &imports));
            }
        });
        Keeper { base, over, thread: Some(thread) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, mood: Mood, store: &PathBuf, imports: &AtomicU32) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let answer = if head.starts_with("GET /old") {
        OLD.to_owned()
    } else if head.starts_with("GET /pages/1") {
        r#"{"items":[{"id":1},{"id":2}],"next":"/pages/2","total":3}"#.to_owned()
    } else if head.starts_with("GET /pages/2") {
        r#"{"items":[{"id":3}],"total":3}"#.to_owned()
    } else if head.starts_with("PUT /items/") {
        let connection = Connection::open(store).unwrap();
        let line = String::from_utf8(body).unwrap();
        let sql = "INSERT INTO records SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM records WHERE line = ?1)";
        connection.execute(sql, [&line]).unwrap();
        String::new()
    } else if head.starts_with("GET /new") {
        NEW.to_owned()
    } else if head.starts_with("GET /records") {
        let connection = Connection::open(store).unwrap();
        let mut rows = connection.prepare("SELECT line FROM records ORDER BY line").unwrap();
        let lines = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        lines.map(|line| line.unwrap() + "\n").collect()
    } else {
        let mut connection = Connection::open(store).unwrap();
        let import = imports.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8(body).unwrap();
        let half = mood == Mood::TakesHalfAtFirst && import == 0;
        let transaction = connection.transaction().unwrap();
        transaction.execute("DELETE FROM records", []).unwrap();
        for line in text.lines().take(if half { 1 } else { usize::MAX }) {
            transaction.execute("INSERT INTO records VALUES (?1)", [line]).unwrap();
        }
        transaction.commit().unwrap();
        if mood == Mood::LosesReplies {
            return Ok(());
        }
        String::new()
    };
    let length = answer.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}")
}
