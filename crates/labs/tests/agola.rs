//! The installation of agola and its stand-ins, as processes: they do what was measured of the real ones. The program that
//! they run in is this test program, started again.
#![allow(clippy::unwrap_used)]

#[path = "agola/faults.rs"]
mod faults;
#[path = "agola/guide.rs"]
mod guide;
#[path = "agola/imports.rs"]
mod imports;
#[path = "agola/services.rs"]
mod services;
#[path = "agola/tool.rs"]
mod tool;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchback_labs::agola::{Component, Lab, LabOptions, build, stand_in_main};
use switchback_model::config::{ConfigFormat, Wanted};
use switchback_site::service::Launch;

const ARGUMENTS: &str = "LABS_TEST_AGOLA";

/// Not a test: the body of the child process. Alone, it does nothing.
#[test]
#[ignore = "the child of the other tests"]
fn as_a_child() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments: Vec<String> = arguments.lines().map(str::to_owned).collect();
    std::process::exit(stand_in_main(&arguments));
}

/// Builds an installation below a folder that is gone with the returned guard.
fn lab(options: &LabOptions) -> (tempfile::TempDir, Lab) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nshift 2\n{ARGUMENTS}=\"$(printf '%s\\n' \"$@\")\" exec '{}' --exact as_a_child --ignored --nocapture\n",
        this.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lab = build(&dir.path().join("agola"), &program, options).unwrap();
    (dir, lab)
}

/// A running service; it is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(launch: &Launch) -> Child {
    let mut command = Command::new(&launch.argv[0]);
    command.args(&launch.argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Starts a component of the old or the new version and waits until it listens.
fn start(lab: &Lab, component: Component, new: bool) -> Running {
    let spec = lab.service(component);
    let mut running = Running(spawn(if new { spec.new.as_ref().unwrap() } else { &spec.old }));
    let Some(port) = lab.ports.get(&component) else { return running };
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", *port)).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "{}: {}", component.name(), said(&mut running.0));
        assert!(Instant::now() < deadline, "{} does not listen", component.name());
        std::thread::sleep(Duration::from_millis(5));
    }
    running
}

fn said(child: &mut Child) -> String {
    io::read_to_string(child.stderr.take().unwrap()).unwrap()
}

/// Runs a component that refuses to start; what it says.
fn refusal(lab: &Lab, component: Component, new: bool) -> String {
    let spec = lab.service(component);
    let child = spawn(if new { spec.new.as_ref().unwrap() } else { &spec.old });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap().trim().to_owned()
}

/// One request, as curl makes it: an answer with any status, or why there is none.
fn ask(lab: &Lab, component: Component, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.ports[&component]))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} /api/v1alpha/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head[9..12].parse().unwrap();
    let body = &answer[end + 4..];
    if head.contains("chunked") {
        return Ok((status, unchunk(body).ok_or(io::ErrorKind::UnexpectedEof)?));
    }
    Ok((status, body.to_vec()))
}

/// Returns a chunked body; `None` when its end is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|it| it == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let from = line + 2;
        body.extend_from_slice(rest.get(from..from + size)?);
        rest = rest.get(from + size + 2..)?;
        if size == 0 {
            return Some(body);
        }
    }
}

fn status(lab: &Lab, component: Component, method: &str, path: &str) -> u16 {
    ask(lab, component, method, path, b"").unwrap().0
}

fn json(lab: &Lab, component: Component, path: &str) -> Value {
    let (status, body) = ask(lab, component, "GET", path, b"").unwrap();
    assert_eq!(status, 200, "{path}");
    serde_json::from_slice(&body).unwrap()
}

fn export(lab: &Lab, component: Component) -> Vec<u8> {
    let (status, body) = ask(lab, component, "GET", "export", b"").unwrap();
    assert_eq!(status, 200);
    body
}

/// Waits until the maintenance of a new service is so; returns how often its port refused meanwhile.
fn wait_for_maintenance(lab: &Lab, component: Component, wanted: bool) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut refused = 0;
    loop {
        assert!(Instant::now() < deadline, "maintenance is not {wanted}");
        match ask(lab, component, "GET", "maintenance", b"") {
            Ok((200, body)) => {
                let state: Value = serde_json::from_slice(&body).unwrap();
                if state["CurrentStatus"] == wanted {
                    return refused;
                }
            }
            Ok((status, _)) => panic!("{status}"),
            Err(_) => refused += 1,
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Edits the configs as an upgrade does: etcd out, databases in, a key for the gateway.
fn edit_configs(lab: &Lab) {
    let mut paths: Vec<_> = lab.configs.values().collect();
    paths.dedup();
    for path in paths {
        edit_config(lab, path, true);
    }
}

fn edit_config(lab: &Lab, path: &Path, key: bool) {
    let yaml = ConfigFormat::Yaml.editor();
    let mut text = std::fs::read_to_string(path).unwrap();
    let has = |text: &str, name: &str| text.contains(&format!("\n{name}:"));
    for (component, database) in &lab.databases {
        let name = component.name();
        if has(&text, name) {
            text = yaml.delete(&text, &format!("{name}.etcd")).unwrap();
        }
        if has(&text, name) || *component == Component::Runservice {
            for (field, value) in [("type", lab.database_type(*component)), ("connString", database)] {
                let wanted = Wanted::scalar(value, false);
                text = yaml.set(&text, &format!("{name}.db.{field}"), &wanted).unwrap();
            }
        }
    }
    if key && has(&text, "gateway") {
        text = yaml.set(&text, "gateway.cookieSigning.key", &Wanted::scalar("made-up", false)).unwrap();
    }
    std::fs::write(path, text).unwrap();
}
