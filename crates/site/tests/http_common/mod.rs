//! A server whose every connection follows a script of the test, however hostile.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use switchback_site::http::Url;

/// What is done with one connection, whose request head was read.
pub type Script = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// Follows a script for each connection, in order, then refuses; hands over the heads of the requests.
pub fn serve(scripts: Vec<Script>) -> (Url, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/x?key=s3cret", listener.local_addr().unwrap())).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for script in scripts {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = sender.send(head_of(&mut stream));
            script(&mut stream);
        }
    });
    (url, receiver)
}

/// Says this once without having read what it was asked, so that hanging up is a reset.
pub fn resets_after(text: &str) -> Url {
    let text = text.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.peek(&mut [0]).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    });
    url
}

pub fn head_of(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// Sends these pieces, with a pause behind each, and hangs up.
pub fn pieces(pieces: &[&str], pause: Duration) -> Script {
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    Box::new(move |stream| {
        for piece in pieces {
            if stream.write_all(piece.as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(pause);
        }
    })
}

/// Sends this and hangs up.
pub fn says(text: &str) -> Script {
    pieces(&[text], Duration::ZERO)
}

/// Answers wholly.
pub fn answers(status: &str, headers: &str, body: &str) -> Script {
    says(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
}

/// Sends this and then nothing, without hanging up, until the other end does.
pub fn hangs_after(text: &str) -> Script {
    let text = text.to_owned();
    Box::new(move |stream| {
        stream.write_all(text.as_bytes()).unwrap();
        let _ = stream.read(&mut [0; 16]);
    })
}
