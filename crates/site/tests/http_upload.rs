//! Uploads to servers that refuse early, hang up, are slow, or say nothing.
#![allow(clippy::unwrap_used, missing_docs)]

mod http_common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_common::{Script, answers, resets_after, serve};
use switchback_site::http::{Headers, HttpError, Method, Response, Upload, Url, upload};
use switchback_site::{Failure, Faults, Halt, Tell};

const IDLE: Duration = Duration::from_millis(400);
/// More than what the system holds of a connection.
const LARGE: usize = 24 << 20;

struct Sent {
    dir: tempfile::TempDir,
    answer_within: Duration,
    headers: Vec<(String, String)>,
}

impl Sent {
    fn of(content: &[u8]) -> Sent {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("export"), content).unwrap();
        let headers = vec![("Authorization".to_owned(), "Token pa55word".to_owned())];
        Sent { dir, answer_within: IDLE * 2, headers }
    }

    fn to(&self, url: &Url, tell: &Tell) -> Result<Response, HttpError> {
        self.by(Method::Post, url, &self.headers, tell)
    }

    fn by(&self, method: Method, url: &Url, headers: &Headers, tell: &Tell) -> Result<Response, HttpError> {
        let ask = Upload {
            method,
            url,
            headers,
            from: &self.dir.path().join("export"),
            content_type: "application/x-ndjson",
            idle: IDLE,
            answer_within: self.answer_within,
        };
        let result = upload(&ask, tell);
        let shown = match &result {
            Ok(_) => format!("{ask:?}"),
            Err(error) => format!("{ask:?} {error} {error:?}"),
        };
        assert!(!shown.contains("pa55word") && !shown.contains("s3cret"), "{shown}");
        result
    }
}

/// Reads `length` bytes, then does `then`; the bytes are handed over.
fn takes(length: usize, then: impl FnOnce(&mut TcpStream) + Send + 'static) -> (Script, Receiver<Vec<u8>>) {
    let (sender, receiver) = channel();
    let script: Script = Box::new(move |stream| {
        let mut body = vec![0; length];
        let read = stream.read_exact(&mut body);
        let _ = sender.send(if read.is_ok() { body } else { Vec::new() });
        then(stream);
    });
    (script, receiver)
}

fn says(text: &'static str) -> impl FnOnce(&mut TcpStream) + Send + 'static {
    move |stream| {
        let _ = stream.write_all(text.as_bytes());
    }
}

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn a_file_is_sent_once_with_its_length_and_any_status_is_an_answer() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7) as u8).collect();
    let sent = Sent::of(&content);
    let (first, body) = takes(content.len(), says(CREATED));
    let moved = answers("307 Temporary Redirect", "Location: /elsewhere\r\n", "");
    let refused = answers("500 Internal Server Error", "", "{\"code\":\"\"}");
    let (url, heads) = serve(vec![first, refused, moved, answers("200 OK", "", "")]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let told = told.clone();
        Arc::new(move |progress| told.lock().unwrap().push(progress))
    };
    let tell = Tell::new(sink, Arc::new(AtomicBool::new(false)), Arc::new(Faults::none()));
    let answer = sent.to(&url, &tell).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"{}"[..]));
    assert!(body.recv().unwrap() == content, "what arrives is what the file holds");
    let head = heads.recv().unwrap();
    assert!(head.starts_with("post /x?key=s3cret http/1.1\r\n"), "{head}");
    assert!(head.contains("content-length: 3000000\r\n") && !head.contains("chunked"), "{head}");
    assert!(head.contains("content-type: application/x-ndjson\r\n"), "{head}");
    let told = told.lock().unwrap();
    assert!(told.iter().all(|it| it.total == Some(3_000_000)) && told.is_sorted_by_key(|it| it.done));

    let nothing = Sent::of(b"");
    let answer = nothing.to(&url, &Tell::quiet()).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (500, &b"{\"code\":\"\"}"[..]));
    assert!(heads.recv().unwrap().contains("content-length: 0\r\n"));
    assert_eq!(nothing.to(&url, &Tell::quiet()).unwrap().status, 307);
    let kind = [("content-type".to_owned(), "text/plain".to_owned())];
    assert_eq!(nothing.by(Method::Put, &url, &kind, &Tell::quiet()).unwrap().status, 200);
    let head = heads.try_iter().last().unwrap();
    assert!(head.starts_with("put /x") && head.contains("content-type: text/plain\r\n"), "{head}");
    assert!(!head.contains("ndjson"), "{head}");
}

#[test]
fn a_refusal_before_all_was_sent_is_the_answer() {
    let sent = Sent::of(&vec![b'x'; LARGE]);
    let too_large = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong";
    // It hangs up with much unread, which is a reset.
    let (hangs_up, _) = takes(1000, says(too_large));
    // It says so after a word that is no answer, and waits for us to stop.
    let (waits, _) = takes(1000, move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        std::thread::sleep(IDLE / 4);
        let _ = stream.write_all(too_large.as_bytes());
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read == 0) {}
        std::thread::sleep(IDLE);
    });
    // What is good so early cannot be about the whole.
    let (believes, _) = takes(1000, says(CREATED));
    let (url, _heads) = serve(vec![hangs_up, waits, believes]);
    for _ in 0..2 {
        let started = Instant::now();
        let answer = sent.to(&url, &Tell::quiet()).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (413, &b"long"[..]));
        assert!(started.elapsed() < IDLE * 3, "{:?}", started.elapsed());
    }
    let error = sent.to(&url, &Tell::quiet()).unwrap_err();
    assert!(error.to_string().ends_with("it answered 201 before it had all"), "{error}");
}

#[test]
fn a_lost_reply_is_told_apart_from_a_place_that_was_never_reached() {
    let small = Sent::of(b"{}\n");
    let (orderly, _) = takes(3, |_| ());
    let (half, _) = takes(3, says("HTTP/1.1 200 OK\r\nContent-"));
    let (body, _) = takes(3, says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"));
    let (url, _heads) = serve(vec![orderly, half, body]);
    for _ in 0..3 {
        let error = small.to(&url, &Tell::quiet()).unwrap_err();
        assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
    }
    let error = small.to(&resets_after(""), &Tell::quiet()).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
    // In the middle of the body.
    let (cut, _) = takes(1000, |_| ());
    let (url, _heads) = serve(vec![cut]);
    let error = Sent::of(&vec![b'x'; LARGE]).to(&url, &Tell::quiet()).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
    let (url, _) = serve(Vec::new());
    std::thread::sleep(Duration::from_millis(50));
    let error = small.to(&url, &Tell::quiet()).unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error:?}");
}

#[test]
fn silence_is_a_timeout_and_slowness_is_not() {
    // Takes everything and says nothing.
    let (silent, _) = takes(3, |stream| drop(stream.read(&mut [0; 16])));
    let (url, _heads) = serve(vec![silent]);
    let started = Instant::now();
    let error = Sent::of(b"{}\n").to(&url, &Tell::quiet()).unwrap_err();
    assert!(matches!(&error, HttpError::Timeout { after, .. } if *after == IDLE * 2), "{error:?}");
    assert!(started.elapsed() >= IDLE * 2 && started.elapsed() < IDLE * 6, "{:?}", started.elapsed());
    // Takes a little and then nothing.
    let (full, _) = takes(1000, |_| std::thread::sleep(IDLE * 4));
    let (url, _heads) = serve(vec![full]);
    let large = Sent::of(&vec![b'x'; LARGE]);
    let error = large.to(&url, &Tell::quiet()).unwrap_err();
    assert!(matches!(&error, HttpError::Timeout { after, .. } if *after == IDLE), "{error:?}");
    // Takes it slowly, for longer than all the times that are allowed.
    let slow: Script = Box::new(|stream| {
        let mut piece = vec![0; LARGE / 12];
        for _ in 0..12 {
            std::thread::sleep(IDLE / 3);
            stream.read_exact(&mut piece).unwrap();
        }
        stream.write_all(CREATED.as_bytes()).unwrap();
    });
    // What the system holds counts as sent.
    let large = Sent { answer_within: IDLE * 8, ..large };
    let (url, _heads) = serve(vec![slow]);
    let started = Instant::now();
    assert_eq!(large.to(&url, &Tell::quiet()).unwrap().status, 201);
    assert!(started.elapsed() >= IDLE * 3);
}

#[test]
fn a_stop_and_a_cut_end_the_upload() {
    let small = Sent::of(b"{}\n");
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let (silent, _) = takes(3, move |stream| {
        stop.store(true, Ordering::Relaxed);
        let _ = stream.read(&mut [0; 16]);
    });
    let (url, _heads) = serve(vec![silent]);
    assert_eq!(small.to(&url, &tell).unwrap_err().halt(), Some(Halt::Interrupted));

    let content = vec![b'x'; 300_000];
    let three = Sent::of(&content);
    let points = Arc::new(Faults::none());
    let (whole, _) = takes(content.len(), says(CREATED));
    let (url, _heads) = serve(vec![whole]);
    three.to(&url, &Tell::with_faults(points.clone())).unwrap();
    assert!(points.passed() >= 4, "before, between the chunks, answered: {}", points.passed());
    for at in 1..=points.passed() {
        let (whole, body) = takes(content.len(), says(CREATED));
        let (url, heads) = serve(vec![whole]);
        let error = three.to(&url, &Tell::with_faults(Arc::new(Faults::cut(at)))).unwrap_err();
        assert_eq!(error.halt(), Some(Halt::Cut));
        if at == 1 {
            assert!(heads.try_recv().is_err(), "nothing was sent");
        } else {
            assert_eq!(body.recv().unwrap().len() == content.len(), at == points.passed(), "{at}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_or_shrinks_is_not_sent() {
    let (url, heads) = serve(vec![]);
    let sent = Sent::of(b"");
    std::fs::remove_file(sent.dir.path().join("export")).unwrap();
    assert!(matches!(sent.to(&url, &Tell::quiet()), Err(HttpError::File { .. })));
    std::fs::create_dir(sent.dir.path().join("export")).unwrap();
    assert!(matches!(sent.to(&url, &Tell::quiet()), Err(HttpError::File { .. })));
    assert!(heads.try_recv().is_err());

    let sent = Sent::of(&vec![b'x'; LARGE]);
    let file = sent.dir.path().join("export");
    let shrinks: Script = Box::new(move |stream| {
        std::fs::File::options().write(true).open(file).unwrap().set_len(1000).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let (url, _heads) = serve(vec![shrinks]);
    let error = sent.to(&url, &Tell::quiet()).unwrap_err();
    assert!(error.to_string().ends_with("it became shorter meanwhile"), "{error}");
}
