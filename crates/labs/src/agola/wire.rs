//! A small HTTP/1.1 server that streams both ways, hangs up on purpose, and can close its port for a while.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

/// The longest request head that is read.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// How many header lines are read.
const HEADER_LIMIT: usize = 64;
/// How long a peer may be silent in the middle of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a body that nobody wanted is read before the connection is closed, as in the server of Go.
const DRAIN_BYTES: u64 = 256 * 1024;
/// How long a port that is to be opened again may be held by someone else.
const REBIND: Duration = Duration::from_secs(5);

/// One request with the connection that it came on. Dropped without an answer, the peer gets none.
pub(super) struct Exchange {
    /// The method, in capitals as sent.
    pub(super) method: String,
    /// The segments of the path, decoded one by one: a `%2F` does not divide.
    pub(super) path: Vec<String>,
    /// What stood behind the `?`, decoded, in order.
    pub(super) query: Vec<(String, String)>,
    /// The value of `Authorization`.
    pub(super) authorization: Option<String>,
    /// How long the body says that it is; `None` when it comes in chunks.
    pub(super) length: Option<u64>,
    input: BufReader<TcpStream>,
    output: TcpStream,
    left: Left,
}

/// What of a body is still to come.
enum Left {
    Bytes(u64),
    Chunk(u64),
    Ended,
}

impl Exchange {
    /// Returns the last value of a query's key.
    pub(super) fn one(&self, key: &str) -> Option<&str> {
        self.query.iter().rfind(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Returns every value of a query's key.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.query.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Answers with a whole body.
    pub(super) fn answer(mut self, status: u16, content_type: &str, body: &[u8]) -> io::Result<()> {
        self.drain();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            reason(status),
            body.len()
        );
        self.output.write_all(head.as_bytes())?;
        if self.method != "HEAD" {
            self.output.write_all(body)?;
        }
        self.output.shutdown(Shutdown::Write)
    }

    /// Answers with JSON.
    pub(super) fn json(self, status: u16, value: &serde_json::Value) -> io::Result<()> {
        self.answer(status, "application/json", value.to_string().as_bytes())
    }

    /// Answers without a body.
    pub(super) fn empty(self, status: u16) -> io::Result<()> {
        self.answer(status, "text/plain; charset=utf-8", b"")
    }

    /// Begins an answer of unknown length. One that is not [`Chunks::end`]ed is seen to be cut by the peer.
    pub(super) fn chunks(mut self, status: u16) -> io::Result<Chunks> {
        self.drain();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n",
            reason(status)
        );
        self.output.write_all(head.as_bytes())?;
        Ok(Chunks(BufWriter::with_capacity(64 * 1024, Framed(self.output))))
    }

    /// Closes the connection without a word, as a handler that panicked.
    pub(super) fn hang_up(mut self) {
        self.drain();
        // Whoever is gone already needs no end.
        let _ = self.output.shutdown(Shutdown::Both);
    }

    fn drain(&mut self) {
        let _ = io::copy(&mut self.by_ref().take(DRAIN_BYTES), &mut io::sink());
    }

    fn read_from(stream: TcpStream) -> io::Result<Result<Exchange, (TcpStream, u16)>> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let output = stream.try_clone()?;
        let mut input = BufReader::with_capacity(64 * 1024, stream);
        let mut head = Vec::new();
        // A byte at a time out of the buffer: the body begins where the head ends.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if input.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.push(byte[0]);
            if head.len() > HEAD_LIMIT_BYTES {
                return Ok(Err((output, 431)));
            }
        }
        let Some(head) = Head::of(&head) else { return Ok(Err((output, 400))) };
        let mut output = output;
        if head.wants_continue {
            output.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Ok(Exchange {
            path: segments.map(decoded).collect(),
            query: pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decoded(key), decoded(&value.replace('+', " "))))
                .collect(),
            method: head.method,
            authorization: head.authorization,
            length: (!head.chunked).then_some(head.length),
            left: if head.chunked { Left::Chunk(0) } else { Left::Bytes(head.length) },
            input,
            output,
        }))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 256 {
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// The body, to the end that its head or its last chunk says; one that ends before is an error.
impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Left::Chunk(0) = self.left {
            let mut line = self.line()?;
            if line.is_empty() {
                line = self.line()?;
            }
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            self.left = match size.map_err(|_| io::ErrorKind::InvalidData)? {
                0 => Left::Ended,
                size => Left::Chunk(size),
            };
        }
        let (Left::Bytes(left) | Left::Chunk(left)) = &mut self.left else { return Ok(0) };
        let want = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= count as u64;
        Ok(count)
    }
}

/// An answer that is being sent in chunks.
pub(super) struct Chunks(BufWriter<Framed>);

struct Framed(TcpStream);

impl Write for Framed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let head = format!("{:x}\r\n", bytes.len());
            self.0.write_all(&[head.as_bytes(), bytes, b"\r\n"].concat())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Chunks {
    /// Ends the answer as it should be.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.0.flush()?;
        let stream = &mut self.0.get_mut().0;
        stream.write_all(b"0\r\n\r\n")?;
        stream.shutdown(Shutdown::Write)
    }

    /// Sends what there is and closes the connection in the middle.
    pub(super) fn abort(mut self) {
        let _ = self.0.flush();
        let _ = self.0.get_mut().0.shutdown(Shutdown::Both);
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Head {
    method: String,
    target: String,
    authorization: Option<String>,
    length: u64,
    chunked: bool,
    wants_continue: bool,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Head> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut request = httparse::Request::new(&mut headers);
        if !request.parse(bytes).ok()?.is_complete() {
            return None;
        }
        let mut head = Head {
            method: request.method?.to_owned(),
            target: request.path?.to_owned(),
            authorization: None,
            length: 0,
            chunked: false,
            wants_continue: false,
        };
        for header in request.headers.iter() {
            let value = std::str::from_utf8(header.value).ok()?.trim();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok()?,
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "authorization" => head.authorization = Some(value.to_owned()),
                "expect" => head.wants_continue = true,
                _ => {}
            }
        }
        Some(head)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        _ => "Status",
    }
}

/// A port that answers, and can be closed so that it refuses, and opened again.
pub(super) struct Gate {
    address: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

impl Gate {
    /// Makes a gate; nothing is bound before [`Gate::run`].
    pub(super) fn new(address: SocketAddr) -> Arc<Gate> {
        Arc::new(Gate { address, state: Mutex::new(State::Open), changed: Condvar::new() })
    }

    /// Binds the port and gives every request to `answer`, each in a thread of its own, until the port cannot be had.
    pub(super) fn run(
        &self,
        answer: impl Fn(Exchange) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Error {
        let answer = Arc::new(answer);
        loop {
            let listener = match self.bind() {
                Ok(listener) => listener,
                Err(error) => return error,
            };
            for stream in listener.incoming() {
                if *self.state() != State::Open {
                    break;
                }
                let Ok(stream) = stream else {
                    // Out of descriptors, most likely: without a pause this would spin.
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let answer = Arc::clone(&answer);
                let work = move || match Exchange::read_from(stream) {
                    Ok(Ok(exchange)) => answer(exchange),
                    Ok(Err((mut stream, status))) => {
                        write!(stream, "HTTP/1.1 {status} {}\r\nConnection: close\r\n\r\n", reason(status))
                    }
                    Err(error) => Err(error),
                };
                // No thread to be had: the connection is dropped, as by a machine under load.
                let _ = std::thread::Builder::new().spawn(work);
            }
            drop(listener);
            let mut state = self.state();
            *state = State::Closed;
            self.changed.notify_all();
            while *state != State::Open {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Closes the port; when this returns, it refuses connections. Requests under way are answered.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = State::Closing;
        while *state == State::Closing {
            // Wakes the listener from accept.
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(50));
            let waited = self.changed.wait_timeout(state, Duration::from_millis(20));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the port be bound again.
    pub(super) fn open(&self) {
        *self.state() = State::Open;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind(&self) -> io::Result<TcpListener> {
        let began = Instant::now();
        loop {
            match TcpListener::bind(self.address) {
                Err(error) if began.elapsed() < REBIND && error.kind() == io::ErrorKind::AddrInUse => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }
}
