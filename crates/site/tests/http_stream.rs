//! Downloads from servers that cut, hang, change and lie.
#![allow(clippy::unwrap_used, missing_docs)]

mod http_common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_common::{Script, answers, hangs_after, pieces, resets_after, says, serve};
use switchback_model::records::Shape;
use switchback_site::http::{Download, DownloadError, Downloaded, Headers, HttpError, Url, download};
use switchback_site::{Failure, Faults, Halt, Tell};

const IDLE: Duration = Duration::from_millis(400);
const LINES: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";

fn ask<'a>(url: &'a Url, headers: &'a Headers, into: &'a Path) -> Download<'a> {
    Download { url, headers, into, shape: Some(Shape::Lines), idle: IDLE, tries: 1, status: 200 }
}

/// Downloads from a server with these scripts, as often as there are some; returns the content too, and the heads.
fn fetch_with(
    scripts: Vec<Script>,
    shape: Option<Shape>,
) -> (Result<(Downloaded, String), DownloadError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let tries = scripts.len() as u32;
    let (url, heads) = serve(scripts);
    let headers = [("Authorization".to_owned(), "Token pa55word".to_owned())];
    let result = download(&Download { tries, shape, ..ask(&url, &headers, &into) }, &Tell::quiet());
    let result = result.map(|got| (got, std::fs::read_to_string(&into).unwrap()));
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, usize::from(result.is_ok()), "nothing but the whole stays");
    if let Err(error) = &result {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("pa55word") && !shown.contains("s3cret"), "{shown}");
    }
    (result, heads.try_iter().collect())
}

fn fetch(scripts: Vec<Script>) -> Result<(Downloaded, String), DownloadError> {
    fetch_with(scripts, Some(Shape::Lines)).0
}

fn chunked(chunks: &[&str]) -> String {
    let chunks = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks.collect::<String>())
}

#[test]
fn a_whole_body_becomes_a_private_file_with_its_digest_and_count() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let partial = dir.path().join("export.partial");
    std::fs::write(&into, "old").unwrap();
    std::os::unix::fs::symlink("/dev/null", &partial).unwrap();
    let (url, heads) = serve(vec![answers("200 OK", "", LINES), answers("200 OK", "", "")]);
    let got = download(&ask(&url, &[], &into), &Tell::quiet()).unwrap();
    let blake3 = blake3::hash(LINES.as_bytes()).to_hex().to_string();
    assert_eq!(got, Downloaded { bytes: LINES.len() as u64, blake3, records: Some(3) });
    assert_eq!(std::fs::read_to_string(&into).unwrap(), LINES);
    assert_eq!(std::fs::metadata(&into).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(partial.symlink_metadata().is_err());
    let head = heads.recv().unwrap();
    assert!(head.contains("accept-encoding: identity") && !head.contains("gzip"), "{head}");
    let empty = download(&Download { shape: None, ..ask(&url, &[], &into) }, &Tell::quiet()).unwrap();
    assert_eq!((empty.bytes, empty.records), (0, None));
    assert_eq!(std::fs::read_to_string(&into).unwrap(), "");
}

#[test]
fn chunks_and_records_need_not_agree() {
    let text = chunked(&["{\"a\"", ":1}\n{", "\"a\":2}\n{\"a\":3}\n"]) + "0\r\n\r\n";
    let (got, content) = fetch(vec![says(&text)]).unwrap();
    assert_eq!((got.records, content.as_str()), (Some(3), LINES));
    let (got, _) = fetch(vec![answers("200 OK", "", "")]).unwrap();
    assert_eq!((got.bytes, got.records), (0, Some(0)));
    let (got, _) = fetch_with(vec![answers("200 OK", "", "{}{}[1]null")], Some(Shape::Values)).0.unwrap();
    assert_eq!(got.records, Some(4));
}

#[test]
fn what_is_cut_anywhere_is_an_error_and_no_file() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n";
    let chunks = chunked(&["{\"a\":1}\n", "{\"a\":", "2}\n{\"a\":3}\n"]) + "0\r\n\r\n";
    // The last chunk is the end; the empty line behind it is only manners.
    for (whole, needed) in [(format!("{length}{LINES}"), 0), (chunks, "\r\n".len())] {
        let needed = whole.len() - needed;
        for end in 0..=whole.len() {
            let cut = &whole[..end];
            match fetch(vec![says(cut)]) {
                Ok((got, content)) => {
                    assert!(end >= needed, "{cut:?}");
                    assert_eq!((got.records, content.as_str()), (Some(3), LINES));
                }
                Err(error) => {
                    assert!(end < whole.len(), "{cut:?}");
                    let broken =
                        matches!(&error, DownloadError::Http { source: HttpError::Broken { .. }, .. });
                    assert!(broken && error.is_passing(), "{cut:?}: {error:?}");
                }
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for text in [format!("{length}{}", &LINES[..16]), String::new()] {
        let url = resets_after(&text);
        let error = download(&ask(&url, &[], &dir.path().join("export")), &Tell::quiet()).unwrap_err();
        assert!(matches!(&error, DownloadError::Http { source: HttpError::Broken { .. }, .. }), "{error:?}");
    }
}

#[test]
fn a_body_without_an_end_is_refused() {
    let texts = [
        format!("HTTP/1.1 200 OK\r\n\r\n{LINES}"),
        format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LINES}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{LINES}"),
    ];
    for text in texts {
        let error = fetch(vec![says(&text)]).unwrap_err();
        assert!(matches!(error, DownloadError::NoEnd { .. }), "{text:?}: {error:?}");
    }
}

#[test]
fn a_bad_record_is_named_by_number_and_byte_and_never_asked_for_again() {
    let cases = [
        ("{\"a\":1}\n{\"a\":\"s3cret", "record 2 at byte 8: the stream ends at byte 20 in the middle of it"),
        ("{\"a\":1}\n{\"a\":s3cret}\n", "record 2 at byte 8: it is not JSON at its byte 5"),
        ("{\"a\":1}\n{\"a\":1}{}\n", "record 3 at byte 15"),
        ("<html>s3cret</html>", "record 1 at byte 0"),
    ];
    for (body, wanted) in cases {
        let error = fetch(vec![answers("200 OK", "", body), answers("200 OK", "", LINES)]).unwrap_err();
        assert!(matches!(error, DownloadError::Record { .. }), "{error:?}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn slow_is_not_silent() {
    // One byte each half of the time that nothing may come, for much longer than that time.
    let bytes: Vec<&str> = (0..8).map(|at| &LINES[at..=at]).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    let started = Instant::now();
    let (got, _) = fetch(vec![pieces(&[&[head], &bytes[..]].concat(), IDLE / 2)]).unwrap();
    assert_eq!(got.records, Some(1));
    assert!(started.elapsed() > IDLE * 3);
}

#[test]
fn silence_is_a_timeout_wherever_it_begins() {
    for text in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"a\""] {
        let started = Instant::now();
        let error = fetch(vec![hangs_after(text)]).unwrap_err();
        let timeout = matches!(&error, DownloadError::Http { source: HttpError::Timeout { after, .. }, .. } if *after == IDLE);
        assert!(timeout, "{text:?}: {error:?}");
        assert!(started.elapsed() >= IDLE && started.elapsed() < IDLE * 5, "{:?}", started.elapsed());
    }
}

#[test]
fn a_stop_is_obeyed_while_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let (url, _heads) = serve(vec![hangs_after("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{")]);
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    let ask = Download { idle: Duration::from_secs(600), tries: 9, ..ask(&url, &[], &into) };
    let error = download(&ask, &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

const TAGGED: &str = "Accept-Ranges: bytes\r\nETag: \"one\"\r\n";

fn breaks_off(headers: &str) -> Script {
    says(&format!("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n{headers}\r\n{}", &LINES[..11]))
}

#[test]
fn what_broke_off_is_gone_on_with() {
    let rest =
        answers("206 Partial Content", "Content-Range: bytes 11-23/24\r\nETag: \"one\"\r\n", &LINES[11..]);
    let busy = answers("503 Service Unavailable", "", "");
    let (got, heads) = fetch_with(vec![breaks_off(TAGGED), busy, rest], Some(Shape::Lines));
    let (got, content) = got.unwrap();
    assert_eq!((got.records, content.as_str()), (Some(3), LINES));
    assert_eq!(got.blake3, blake3::hash(LINES.as_bytes()).to_hex().as_str());
    assert!(!heads[0].contains("range"), "{heads:?}");
    for head in &heads[1..] {
        assert!(head.contains("range: bytes=11-\r\n") && head.contains("if-range: \"one\"\r\n"), "{head}");
    }
}

#[test]
fn it_is_whole_wherever_it_broke_off() {
    let every: Vec<usize> = (1..LINES.len()).collect();
    every.chunks(8).for_each(|some| {
        std::thread::scope(|scope| {
            for &at in some {
                scope.spawn(move || {
                    let text =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n{TAGGED}\r\n{}", &LINES[..at]);
                    let range = format!("Content-Range: bytes {at}-23/24\r\n");
                    let rest = answers("206 Partial Content", &range, &LINES[at..]);
                    let (got, heads) = fetch_with(vec![says(&text), rest], Some(Shape::Lines));
                    let (got, content) = got.unwrap();
                    assert_eq!((got.records, content.as_str()), (Some(3), LINES));
                    assert_eq!(got.blake3, blake3::hash(LINES.as_bytes()).to_hex().as_str());
                    assert!(heads[1].contains(&format!("range: bytes={at}-\r\n")), "{heads:?}");
                });
            }
        })
    });
}

#[test]
fn what_may_have_changed_is_fetched_from_the_start() {
    let fresh = "[1]\n[2]\n";
    let part = |headers: &str| answers("206 Partial Content", headers, &LINES[11..]);
    // The server has something else and says so by giving the whole.
    let (got, heads) = fetch_with(
        vec![breaks_off(TAGGED), answers("200 OK", "ETag: \"two\"\r\n", fresh)],
        Some(Shape::Lines),
    );
    assert_eq!(got.unwrap().1, fresh);
    assert!(heads[1].contains("range: bytes=11-"));
    // It gives a part that cannot be the rest, or none.
    let parts = [
        part("Content-Range: bytes 11-23/24\r\nETag: \"two\"\r\n"),
        part("Content-Range: bytes 12-23/24\r\n"),
        part("Content-Range: bytes 11-23/25\r\n"),
        part("Content-Range: bytes 11-23/*\r\n"),
        part(""),
        answers("416 Range Not Satisfiable", "", ""),
    ];
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                let scripts = vec![breaks_off(TAGGED), part, answers("200 OK", "", fresh)];
                let (got, heads) = fetch_with(scripts, Some(Shape::Lines));
                let (got, content) = got.unwrap();
                assert_eq!((got.records, content.as_str()), (Some(2), fresh));
                assert!(!heads[2].contains("range"), "{heads:?}");
            });
        }
    });
}

#[test]
fn without_a_sign_that_it_is_the_same_it_is_fetched_from_the_start() {
    for headers in
        ["", "Accept-Ranges: bytes\r\nETag: W/\"one\"\r\n", "ETag: \"one\"\r\n", "Accept-Ranges: none\r\n"]
    {
        let (got, heads) =
            fetch_with(vec![breaks_off(headers), answers("200 OK", "", LINES)], Some(Shape::Lines));
        assert_eq!(got.unwrap().1, LINES);
        assert!(!heads[1].contains("range"), "{heads:?}");
    }
}

#[test]
fn a_busy_server_is_asked_again_and_a_refusal_is_told() {
    let busy = || answers("503 Service Unavailable", "", "busy");
    assert_eq!(fetch(vec![busy(), busy(), answers("200 OK", "", LINES)]).unwrap().1, LINES);
    let error = fetch(vec![busy(), busy()]).unwrap_err();
    assert!(matches!(error, DownloadError::Status { status: 503, .. }), "{error:?}");

    let (error, heads) =
        fetch_with(vec![answers("404 Not Found", "", "no such export\n"), busy()], Some(Shape::Lines));
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("its status is 404, not 200; it says: no such export"), "{text}");
    assert_eq!(heads.len(), 1);
    let echo = answers("401 Unauthorized", "", "bad: Token pa55word");
    assert!(fetch(vec![echo]).unwrap_err().to_string().ends_with("its status is 401, not 200"));
    // A refusal whose text never ends is not waited for.
    let error = fetch(vec![hangs_after("HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nno")]).unwrap_err();
    assert!(error.to_string().ends_with("it says: no"), "{error}");
    // Nobody listens.
    let (url, _) = serve(Vec::new());
    std::thread::sleep(Duration::from_millis(50));
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let error = download(&Download { tries: 2, ..ask(&url, &[], &into) }, &Tell::quiet()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/x?…: ") && text.contains("asked 2 times"), "{text}");
}

#[test]
fn redirects_are_followed_at_home_only() {
    let moved = |to: &str| answers("302 Found", &format!("Location: {to}\r\n"), "");
    let (got, heads) = fetch_with(vec![moved("/there"), answers("200 OK", "", LINES)], Some(Shape::Lines));
    assert_eq!(got.unwrap().1, LINES);
    assert!(heads[1].starts_with("get /there ") && heads[1].contains("pa55word"));
    let error = fetch(vec![moved("http://127.0.0.1:1/y?key=s3cret")]).unwrap_err();
    assert!(error.to_string().ends_with("to http://127.0.0.1:1: it is another origin"), "{error}");
    let around: Vec<Script> = (0..6).map(|_| moved("/x")).collect();
    assert!(matches!(fetch(around), Err(DownloadError::TooManyRedirects { .. })));
}

#[test]
fn a_compressed_body_is_refused() {
    for headers in ["Content-Encoding: gzip\r\n", "content-encoding:br\r\n"] {
        let error = fetch(vec![answers("200 OK", headers, LINES)]).unwrap_err();
        assert!(matches!(error, DownloadError::Encoded { .. }), "{error:?}");
        let text = chunked(&[LINES]).replacen("\r\n", &format!("\r\n{headers}"), 1) + "0\r\n\r\n";
        let error = fetch(vec![says(&text)]).unwrap_err();
        assert!(matches!(error, DownloadError::Encoded { .. }), "{error:?}");
    }
}

#[test]
fn headers_that_the_transfer_sets_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let (url, heads) = serve(vec![]);
    let headers = [("RANGE".to_owned(), "bytes=5-".to_owned())];
    let error = download(&ask(&url, &headers, &into), &Tell::quiet()).unwrap_err();
    assert!(error.to_string().contains("the header \"RANGE\""), "{error}");
    assert!(heads.try_recv().is_err());
    let headers = [("X".to_owned(), "pa55word".to_owned())];
    let shown = format!("{:?}", ask(&url, &headers, &into));
    assert!(!shown.contains("pa55word") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_cut_leaves_the_old_file_or_the_new_one_and_the_repeat_is_whole() {
    let points = Arc::new(Faults::none());
    let run = |faults: Arc<Faults>, into: &Path| {
        let (url, _heads) = serve(vec![answers("200 OK", "", LINES)]);
        download(&ask(&url, &[], into), &Tell::with_faults(faults))
    };
    let dir = tempfile::tempdir().unwrap();
    run(points.clone(), &dir.path().join("export")).unwrap();
    assert_eq!(points.passed(), 6, "before the part, request, answer, rename (both sides), folder");
    for at in 1..=points.passed() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("export");
        std::fs::write(&into, "old").unwrap();
        let error = run(Arc::new(Faults::cut(at)), &into).unwrap_err();
        assert_eq!(error.halt(), Some(Halt::Cut));
        let content = std::fs::read_to_string(&into).unwrap();
        assert_eq!(content, if at <= 4 { "old" } else { LINES });
        let partial = dir.path().join("export.partial").exists();
        assert_eq!(partial, (2..=4).contains(&at), "{at}");
        run(Arc::new(Faults::none()), &into).unwrap();
        assert_eq!(std::fs::read_to_string(&into).unwrap(), LINES);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
    let error = run(Arc::new(Faults::full(3)), &dir.path().join("other")).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Full));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_large_body_takes_little_memory_and_tells_how_far_it_is() {
    const RECORD: usize = 4096;
    const RECORDS: usize = 16 * 1024;
    let big: Script = Box::new(|stream| {
        let length = RECORD * RECORDS;
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).unwrap();
        let record = format!("\"{}\"\n", "x".repeat(RECORD - 3)).repeat(16);
        for _ in 0..RECORDS / 16 {
            stream.write_all(record.as_bytes()).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let (url, _heads) = serve(vec![big]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let told = told.clone();
        Arc::new(move |progress| told.lock().unwrap().push(progress))
    };
    let faults = Arc::new(Faults::none());
    let tell = Tell::new(sink, Arc::new(AtomicBool::new(false)), faults.clone());
    let before = peak();
    let got = download(&ask(&url, &[], &into), &tell).unwrap();
    assert_eq!((got.bytes, got.records), ((RECORD * RECORDS) as u64, Some(RECORDS as u64)));
    assert!(peak() - before < 24 << 20, "{} bytes more at the peak", peak() - before);
    let told = told.lock().unwrap();
    assert!(told.iter().all(|it| it.total == Some(got.bytes)) && !told.is_empty());
    assert!(told.is_sorted_by_key(|it| it.done));
    assert_eq!(faults.passed(), 6 + 256, "one a block of 256 KiB, however it came");
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
