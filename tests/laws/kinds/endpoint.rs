//! A tiny endpoint with a maintenance mode, and the moods that endpoints have.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Nothing.
    Fine,
    /// A change takes hold only when it has been asked for its mode twice.
    Slow,
    /// Every wish is heard, and the connection closed without a reply.
    LosesReplies,
    /// Every third connection is closed before a word was read.
    Unreachable,
}

#[derive(Debug, Default)]
struct Mode {
    on: bool,
    /// Wishes heard that have not taken hold, with how many looks they still take.
    wishes: VecDeque<(bool, u32)>,
    connections: u64,
    over: bool,
}

/// The endpoint. It ends when it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    pub base: String,
    mode: Arc<Mutex<Mode>>,
    thread: Option<JoinHandle<()>>,
}

/// Whether it is on once every wish has taken hold.
#[derive(Debug, Clone)]
pub struct Settled(Arc<Mutex<Mode>>);

impl Settled {
    pub fn is_on(&self) -> bool {
        let mode = hold(&self.0);
        mode.wishes.back().map_or(mode.on, |(on, _)| *on)
    }
}

impl Endpoint {
    pub fn start(mood: Mood) -> Endpoint {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mode = Arc::new(Mutex::new(Mode::default()));
        let shared = mode.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if hold(&shared).over {
                    return;
                }
                // A client that goes away in the middle is its own affair.
                let _ = stream.and_then(|stream| serve(stream, mood, &shared));
            }
        });
        Endpoint { base, mode, thread: Some(thread) }
    }

    pub fn settled(&self) -> Settled {
        Settled(self.mode.clone())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        hold(&self.mode).over = true;
        // A last connection wakes the thread, so that it sees that it is over.
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, mood: Mood, mode: &Mutex<Mode>) -> std::io::Result<()> {
    let mut mode = hold(mode);
    mode.connections += 1;
    if mood == Mood::Unreachable && mode.connections.is_multiple_of(3) {
        return Ok(());
    }
    let request = read_head(&mut stream)?;
    let wish = [("POST /enter ", true), ("POST /leave ", false)];
    let wish = wish.iter().find(|(line, _)| request.starts_with(line)).map(|(_, on)| *on);
    match wish {
        Some(on) if mood == Mood::Slow => mode.wishes.push_back((on, 2)),
        Some(on) => mode.on = on,
        None => mode.look(),
    }
    if wish.is_some() && mood == Mood::LosesReplies {
        return Ok(());
    }
    let body = format!("{{\"on\":{}}}", mode.on);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Mode {
    fn look(&mut self) {
        match self.wishes.front_mut() {
            Some((on, 0)) => {
                self.on = *on;
                self.wishes.pop_front();
            }
            Some((_, looks)) => *looks -= 1,
            None => {}
        }
    }
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn hold(mode: &Mutex<Mode>) -> MutexGuard<'_, Mode> {
    mode.lock().unwrap()
}
