//! HTTP against small servers of our own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use switchback_site::http::{HttpError, Method, Part, Request, Url, delete, get, post, put, send};
use switchback_site::{Failure, Faults, Halt, Tell};

const LONG: Duration = Duration::from_secs(60);

/// Answers each connection with the next of `answers`, and hands over what was asked.
fn serve(answers: Vec<Vec<u8>>) -> (Url, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&asked).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            asked.extend(body);
            let _ = sender.send(String::from_utf8(asked).unwrap());
            let _ = stream.write_all(&answer);
        }
    });
    (url, receiver)
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
        .into_bytes()
}

#[test]
fn a_get_brings_status_headers_and_body_and_says_who_asks() {
    let (url, asked) = serve(vec![answer("404 Not Found", "X-One: 1\r\n", "<html>")]);
    let url =
        url.join(&[Part::Text("/api/"), Part::Value("a/b"), Part::Text("?q="), Part::Value("&")]).unwrap();
    let headers = [("Authorization".to_owned(), "Bearer pa55".to_owned())];
    let response = get(&url, &headers, LONG).unwrap();
    assert_eq!((response.status, response.body.as_slice()), (404, &b"<html>"[..]));
    assert_eq!(response.header("x-one"), Some("1"));
    let asked = asked.recv().unwrap();
    assert!(asked.starts_with("GET /api/a%2Fb?q=%26 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("switchback/"), "{asked}");
    assert!(asked.contains("Bearer pa55"), "{asked}");
}

#[test]
fn bodies_are_sent_once_with_their_length() {
    let tell = Tell::quiet();
    let created = || answer("201 Created", "", "{}");
    let (url, asked) = serve(vec![created(), created(), created(), created()]);
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
    assert_eq!(post(&url, &headers, b"{\"a\": 1}", LONG, &tell).unwrap().status, 201);
    let text = asked.recv().unwrap();
    assert!(text.starts_with("POST / ") && text.ends_with("\r\n\r\n{\"a\": 1}"), "{text}");
    put(&url, &[], None, LONG, &tell).unwrap();
    let text = asked.recv().unwrap().to_ascii_lowercase();
    assert!(text.starts_with("put ") && text.contains("content-length: 0"), "{text}");
    delete(&url, &[], None, LONG, &tell).unwrap();
    assert!(asked.recv().unwrap().starts_with("DELETE "));
    let request =
        Request { method: Method::Delete, url: &url, headers: &[], body: Some(b"x"), timeout: LONG };
    send(request, &tell).unwrap();
    assert!(asked.recv().unwrap().ends_with("\r\n\r\nx"));
}

#[test]
fn redirects_are_followed_at_home_only() {
    let moved = |location: &str| answer("302 Found", &format!("Location: {location}\r\n"), "");
    let (url, asked) = serve(vec![moved("/there"), answer("200 OK", "", "x"), moved("http://127.0.0.1:1/x")]);
    assert_eq!(get(&url, &[], LONG).unwrap().body, b"x");
    asked.recv().unwrap();
    assert!(asked.recv().unwrap().starts_with("GET /there "));
    assert_eq!(get(&url, &[], LONG).unwrap().status, 302);
}

#[test]
fn a_closed_port_is_not_yet_and_a_broken_answer_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/x?token=pa55")).unwrap();
    let error = get(&url, &[], LONG).unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }) && error.is_not_yet(), "{error}");
    assert!(!error.to_string().contains("pa55") && !format!("{error:?}").contains("pa55"));

    let (url, _asked) = serve(vec![Vec::new()]);
    let error = post(&url, &[], b"x", LONG, &Tell::quiet()).unwrap_err();
    assert!(!matches!(error, HttpError::Unreachable { .. }), "it was heard: {error:?}");
}

#[test]
fn silence_is_a_timeout_and_nonsense_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let error = get(&url, &[], Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error:?}");
    let (url, _asked) = serve(vec![b"SSH-2.0-x\r\n\r\n".to_vec()]);
    let error = get(&url, &[], LONG).unwrap_err();
    assert!(matches!(error, HttpError::Protocol { .. }), "{error:?}");
    let error = get(&url, &[("a b".to_owned(), "x".to_owned())], LONG).unwrap_err();
    assert!(matches!(error, HttpError::BadHeader { .. }), "{error:?}");
    let error = get(&url, &[("a".to_owned(), "pa55\n".to_owned())], LONG).unwrap_err();
    assert!(!error.to_string().contains("pa55"));
}

#[test]
fn a_server_without_tls_is_no_answer_over_https() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&answer("200 OK", "", "x"));
    });
    let error = get(&url, &[], LONG).unwrap_err();
    assert!(!matches!(error, HttpError::Unreachable { .. } | HttpError::BadUrl { .. }), "{error:?}");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let error = get(&url, &[], LONG).unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_cut_stands_before_and_after_what_changes_something() {
    let (url, asked) = serve(vec![answer("200 OK", "", "")]);
    let tell = Tell::with_faults(Arc::new(Faults::cut(1)));
    assert_eq!(post(&url, &[], b"x", LONG, &tell).unwrap_err().halt(), Some(Halt::Cut));
    assert!(asked.try_recv().is_err(), "nothing was sent");
    let tell = Tell::with_faults(Arc::new(Faults::cut(2)));
    assert_eq!(post(&url, &[], b"x", LONG, &tell).unwrap_err().halt(), Some(Halt::Cut));
    assert!(asked.recv().is_ok());
}
