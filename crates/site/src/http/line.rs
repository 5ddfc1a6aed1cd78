//! The connection of a transfer: what it waits for is progress, and it can be stopped while nothing comes.
//!
//! The client's own timeouts limit one read or a whole phase, and a read that waits cannot be interrupted. So a transfer
//! brings its own socket: it waits in short slices, looks between them whether it shall stop, and counts the time since
//! the last byte. A write that times out in the middle is gone on with, which the client's own socket cannot do either.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, Transport,
};
use ureq::{Error, Timeout};

use super::client::config;
use super::error::HttpError;
use super::url::Url;
use super::watch::Watch;

/// Longest time without a look at the stop flag.
const SLICE: Duration = Duration::from_millis(100);

/// Longest wait for one address to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Returns an agent for one exchange with `url` under `watch`.
pub(super) fn agent(url: &Url, watch: &Arc<Watch>) -> Result<ureq::Agent, HttpError> {
    let patience = watch.idle().min(CONNECT);
    let config = config(url)?.timeout_resolve(Some(patience)).timeout_connect(Some(patience)).build();
    let chain =
        ().chain(ConnectProxyConnector::default())
            .chain(LineConnector(watch.clone()))
            .chain(RustlsConnector::default())
            .chain(HeadConnector(watch.clone()));
    Ok(ureq::Agent::with_parts(config, chain, DefaultResolver::default()))
}

/// Opens the socket.
#[derive(Debug)]
struct LineConnector(Arc<Watch>);

impl<In: Transport> Connector<In> for LineConnector {
    type Out = Either<In, Line>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            // The way through a proxy, which was opened by this connector too.
            return Ok(chained.map(Either::A));
        }
        let mut last = Error::ConnectionFailed;
        for address in &*details.addrs {
            self.0.go_on()?;
            match TcpStream::connect_timeout(address, self.0.idle().min(CONNECT)) {
                Ok(stream) => return Ok(Some(Either::B(Line::new(stream, details, &self.0)?))),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    last = Error::Timeout(Timeout::Connect);
                }
                Err(error) => last = Error::Io(error),
            }
        }
        Err(last)
    }
}

/// A socket that is watched.
struct Line {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// What comes in can be read: there is no encryption above.
    plain: bool,
    watch: Arc<Watch>,
}

impl Line {
    fn new(stream: TcpStream, details: &ConnectionDetails<'_>, watch: &Arc<Watch>) -> io::Result<Line> {
        let slice = SLICE.min(watch.idle() / 4).max(Duration::from_millis(1));
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(slice))?;
        stream.set_write_timeout(Some(slice))?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Line { stream, buffers, plain: !details.needs_tls(), watch: watch.clone() })
    }

    /// Says whether the other end has begun to answer already. `100 Continue` and its like are no answer.
    fn answers_early(&self) -> io::Result<bool> {
        if !self.plain {
            // Encrypted bytes that come now may as well be housekeeping.
            return Ok(false);
        }
        let mut start = [0; 10];
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut start);
        self.stream.set_nonblocking(false)?;
        Ok(matches!(peeked, Ok(10)) && start[9] != b'1')
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let (mut at, mut since) = (0, Instant::now());
        while at < amount && !self.watch.is_deaf() {
            match (&self.stream).write(&self.buffers.output()[at..amount]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => (at, since) = (at + written, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_slice(&error) => {
                    self.watch.go_on()?;
                    if self.answers_early()? {
                        self.watch.deafened(None);
                    } else if since.elapsed() >= self.watch.idle() {
                        // It may have answered where that cannot be seen from here.
                        self.watch.deafened(Some(self.watch.idle()));
                    }
                }
                // It has hung up, but may have said why before.
                Err(_) => self.watch.deafened(None),
            }
        }
        self.watch.sent();
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let (started, patience) = self.watch.patience();
        loop {
            let buffer = self.buffers.input_append_buf();
            match (&self.stream).read(buffer) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_slice(&error) => {
                    self.watch.go_on()?;
                    if started.elapsed() >= patience {
                        return Err(self.watch.timed_out(patience));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Asked for a second exchange, and there is none.
        false
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({:?})", self.stream.peer_addr().ok())
    }
}

fn is_slice(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Puts a look at the head of the answer above encryption.
#[derive(Debug)]
struct HeadConnector(Arc<Watch>);

impl<In: Transport> Connector<In> for HeadConnector {
    type Out = Head<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|line| Head { line, watch: self.0.clone() }))
    }
}

/// Sees the head of the answer as it was sent: the client decompresses a body and then hides that it was compressed.
#[derive(Debug)]
struct Head<T> {
    line: T,
    watch: Arc<Watch>,
}

impl<T: Transport> Transport for Head<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.line.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.watch.asked();
        if self.watch.is_deaf() {
            return Ok(());
        }
        self.line.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let progress = self.line.await_input(timeout)?;
        self.watch.look_at_head(self.line.buffers().input());
        Ok(progress)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.line.is_tls()
    }
}
