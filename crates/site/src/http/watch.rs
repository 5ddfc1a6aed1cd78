//! What a transfer and its connection tell each other.

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ureq::{Error, Timeout};

use super::client::classify;
use super::error::HttpError;
use super::url::Url;
use crate::tell::Tell;

/// How long an end that took nothing more is given to say why.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The state of one exchange, shared between the transfer and the layers of its connection.
pub(super) struct Watch {
    tell: Tell,
    /// From the last byte sent to the status line; `None`: as long as for any byte.
    answer_within: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    /// How long nothing may happen.
    idle: Duration,
    /// Whether the request has begun, behind connecting and encryption.
    asked: bool,
    /// When something was sent last.
    sent: Instant,
    /// Whether the other end takes no more, because it answered, hung up, or took nothing for too long.
    deaf: bool,
    /// How long it had taken nothing.
    stuck: Option<Duration>,
    /// The head of the answer, once it was seen.
    head: Option<Head>,
    /// The time that ran out.
    timed_out: Option<Duration>,
}

/// What the client does not show of the head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// How the body is encoded, if it is.
    pub encoding: Option<String>,
}

impl Watch {
    pub(super) fn new(tell: &Tell, idle: Duration, answer_within: Option<Duration>) -> Watch {
        let state = State {
            idle,
            asked: false,
            sent: Instant::now(),
            deaf: false,
            stuck: None,
            head: None,
            timed_out: None,
        };
        Watch { tell: tell.clone(), answer_within, state: Mutex::new(state) }
    }

    /// Returns how long nothing may happen.
    pub(super) fn idle(&self) -> Duration {
        self.with(|state| state.idle)
    }

    /// Makes the patience at most `idle` from now on.
    pub(super) fn hurry(&self, idle: Duration) {
        self.with(|state| state.idle = state.idle.min(idle));
    }

    /// Says whether the other end took less than all.
    pub(super) fn is_deaf(&self) -> bool {
        self.with(|state| state.deaf)
    }

    /// Returns what was seen of the head of the answer.
    pub(super) fn head(&self) -> Option<Head> {
        self.with(|state| state.head.clone())
    }

    /// Returns the error for what the client says.
    pub(super) fn fail(&self, error: Error, url: &Url) -> HttpError {
        if let Err(halt) = self.tell.go_on() {
            return halt.into();
        }
        match self.with(|state| state.timed_out) {
            Some(after) => HttpError::Timeout { url: url.to_string(), after },
            None => classify(error, url, self.idle()),
        }
    }

    pub(super) fn go_on(&self) -> Result<(), Error> {
        self.tell.go_on().map_err(|halt| Error::Io(io::Error::other(halt)))
    }

    pub(super) fn asked(&self) {
        self.with(|state| state.asked = true);
    }

    pub(super) fn sent(&self) {
        self.with(|state| state.sent = Instant::now());
    }

    pub(super) fn deafened(&self, stuck: Option<Duration>) {
        self.with(|state| (state.deaf, state.stuck) = (true, stuck));
    }

    /// Returns since when to wait for the next byte, and how long.
    pub(super) fn patience(&self) -> (Instant, Duration) {
        self.with(|state| match self.answer_within {
            _ if state.stuck.is_some() && state.head.is_none() => (state.sent, LAST_WORDS),
            Some(within) if state.asked && state.head.is_none() => (state.sent, within),
            _ => (Instant::now(), state.idle),
        })
    }

    pub(super) fn timed_out(&self, patience: Duration) -> Error {
        self.with(|state| state.timed_out = Some(state.stuck.unwrap_or(patience)));
        Error::Timeout(Timeout::PerRead)
    }

    /// Looks for a whole head in what has come, from its first byte. Interim answers are passed over.
    pub(super) fn look_at_head(&self, mut input: &[u8]) {
        self.with(|state| {
            while state.head.is_none()
                && let Some(end) = head_end(input)
            {
                let interim = input.get(9) == Some(&b'1');
                if !interim {
                    state.head = Some(Head { encoding: encoding(&input[..end]) });
                }
                input = &input[end..];
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Returns where the empty line ends. Lines may end without a carriage return, as the client's parser has it.
fn head_end(input: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = input[from..].iter().position(|byte| *byte == b'\n') {
        from += found + 1;
        match &input[from..] {
            [b'\n', ..] => return Some(from + 1),
            [b'\r', b'\n', ..] => return Some(from + 2),
            _ => {}
        }
    }
    None
}

fn encoding(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut values = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().to_ascii_lowercase();
        let encoded = name.trim().eq_ignore_ascii_case("content-encoding") && !value.is_empty();
        (encoded && value != "identity").then_some(value)
    });
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(chunks: &[&str]) -> Option<Head> {
        let watch = Watch::new(&Tell::quiet(), Duration::from_secs(1), None);
        chunks.iter().for_each(|chunk| watch.look_at_head(chunk.as_bytes()));
        watch.head()
    }

    #[test]
    fn the_encoding_is_read_from_the_last_head_only() {
        let plain = Some(Head { encoding: None });
        let gzip = Some(Head { encoding: Some("gzip".to_owned()) });
        assert_eq!(seen(&["HTTP/1.1 200 OK\r\nA: b\r\n"]), None);
        assert_eq!(seen(&["HTTP/1.1 200 OK\r\nA: b\r\n\r\nContent-Encoding: gzip\r\n\r\n"]), plain);
        assert_eq!(seen(&["HTTP/1.1 200 OK\nContent-encoding:GZIP\n\nx"]), gzip);
        assert_eq!(seen(&["HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n"]), plain);
        let both = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        assert_eq!(seen(&["HTTP/1.1 100 Continue\r\n\r\n", both]), gzip);
    }
}
