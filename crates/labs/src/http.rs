//! A tiny HTTP/1.1 server for stand-ins: loopback only, one request a connection, one thread a request.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// The longest request head that is read.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// The longest body that is read.
const BODY_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// How many header lines are read.
const HEADER_LIMIT: usize = 64;
/// How many requests are answered at once; more are refused with 503.
const REQUEST_LIMIT: usize = 64;
/// How long a peer may be silent in the middle of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals as sent.
    pub method: String,
    /// The segments of the path, decoded one by one: a `%2F` does not divide.
    pub path: Vec<String>,
    /// What stood behind the `?`, as sent; empty without one.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns an answer with a JSON body.
    pub fn json(status: u16, value: &serde_json::Value) -> Response {
        Response { status, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    /// Returns an answer with a page.
    pub fn html(status: u16, page: &str) -> Response {
        Response { status, content_type: "text/html; charset=utf-8", body: page.as_bytes().to_vec() }
    }
}

/// A bound, not yet answering server. Connections are queued by the kernel from here on.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

/// Ends a running [`Server`] from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Stopper {
    /// Makes [`Server::run`] return. Requests under way are answered to their end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener from accept. Where nobody listens any more there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

impl Server {
    /// Binds a port of the loopback address; 0 takes a free one.
    pub fn bind(port: u16) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        Ok(Server { listener, address, stopped: Arc::new(AtomicBool::new(false)) })
    }

    /// Returns the port that was bound.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns what ends [`Server::run`].
    pub fn stopper(&self) -> Stopper {
        Stopper { address: self.address, stopped: Arc::clone(&self.stopped) }
    }

    /// Answers requests until it is stopped.
    pub fn run(self, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) {
        let answer = Arc::new(answer);
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else {
                // Out of descriptors, most likely: without a pause this would spin.
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let place = Place::take(&open);
            let answer = Arc::clone(&answer);
            let work = move || {
                let _held = place.held;
                let busy = place.busy;
                // A peer that went away is no trouble of ours.
                let _ = converse(stream, |request| if busy { unavailable() } else { answer(request) });
            };
            // No thread to be had: the connection is dropped, as by a machine under load.
            let _ = std::thread::Builder::new().spawn(work);
        }
    }
}

/// A counted place among the requests under way, given back when dropped.
struct Place {
    held: Held,
    busy: bool,
}

struct Held(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Place {
        let before = open.fetch_add(1, Ordering::SeqCst);
        Place { held: Held(Arc::clone(open)), busy: before >= REQUEST_LIMIT }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn unavailable() -> Response {
    Response::json(503, &serde_json::json!({"error": "too many requests at once"}))
}

fn converse(mut stream: TcpStream, answer: impl Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let response = match read_request(&mut stream)? {
        Ok(request) => {
            let mut response = answer(&request);
            if request.method == "HEAD" {
                response.body.clear();
            }
            response
        }
        Err(status) => Response::json(status, &serde_json::json!({"error": reason(status)})),
    };
    write_response(&mut stream, &response)?;
    stream.shutdown(Shutdown::Write)
}

fn write_response(stream: &mut TcpStream, response: &Response) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        response.status,
        reason(response.status),
        response.content_type,
        response.body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&response.body)
}

/// What the head of a request says about the rest.
struct Head {
    length: usize,
    body_at: usize,
    wants_continue: bool,
    method: String,
    target: String,
}

/// Reads one request. The inner error is the status to refuse it with.
fn read_request(stream: &mut TcpStream) -> io::Result<Result<Request, u16>> {
    let mut bytes = Vec::new();
    let head = loop {
        match parse_head(&bytes) {
            Ok(Some(head)) => break head,
            Ok(None) if bytes.len() > HEAD_LIMIT_BYTES => return Ok(Err(431)),
            Ok(None) => read_more(stream, &mut bytes)?,
            Err(status) => return Ok(Err(status)),
        }
    };
    if head.length > BODY_LIMIT_BYTES {
        return Ok(Err(413));
    }
    if head.wants_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    while bytes.len() < head.body_at + head.length {
        read_more(stream, &mut bytes)?;
    }
    let body = bytes[head.body_at..head.body_at + head.length].to_vec();
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let path = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    Ok(Ok(Request { method: head.method, path, query: query.to_owned(), body }))
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend_from_slice(&buffer[..count]);
            Ok(())
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, u16> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut request = httparse::Request::new(&mut headers);
    let body_at = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(400),
    };
    let mut length = 0;
    let mut wants_continue = false;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| 400_u16)?;
            length = text.trim().parse().map_err(|_| 400_u16)?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            // Nobody who talks to a stand-in sends chunks; better a refusal than half a body.
            return Err(501);
        } else if header.name.eq_ignore_ascii_case("expect") {
            wants_continue = true;
        }
    }
    Ok(Some(Head {
        length,
        body_at,
        wants_continue,
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
    }))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(bytes: &[u8]) -> String {
        let server = Server::bind(0).unwrap();
        let (port, stopper) = (server.port(), server.stopper());
        let thread = std::thread::spawn(move || {
            server.run(|request| {
                let text = format!(
                    "{}|{}|{}|{}",
                    request.method,
                    request.path.join(">"),
                    request.query,
                    request.body.len()
                );
                Response::html(200, &text)
            })
        });
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        stopper.stop();
        thread.join().unwrap();
        answer
    }

    #[test]
    fn a_segment_is_decoded_after_it_is_cut() {
        let answer = ask(b"GET /api/a%2Fb%20%00?x=%41 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\nGET|api>a/b \0|x=%41|0"), "{answer:?}");
    }

    #[test]
    fn a_body_is_read_to_its_length() {
        let answer = ask(b"POST /up HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
        assert!(answer.ends_with("POST|up||5"), "{answer:?}");
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(ask(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn a_body_past_the_limit_is_refused_before_it_is_read() {
        assert!(ask(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n").starts_with("HTTP/1.1 413"));
        assert!(ask(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
}
