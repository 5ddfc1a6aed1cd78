//! What a server says when it refuses.

use std::io::Read;
use std::time::{Duration, Instant};

use super::client::Headers;
use super::url::Url;

/// How much is shown.
const SHOWN: usize = 200;

/// How much is read, so that a secret that begins in what is shown is seen as a whole.
const READ: usize = 4096;

/// How long it is listened to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shorter words are no secrets.
const WORD: usize = 4;

/// Returns the beginning of a refusal, on one line; `None` when it is no text, or holds a part of a header or of the query
/// that was sent.
pub(super) fn said(body: &mut dyn Read, headers: &Headers, urls: &[&Url]) -> Option<String> {
    let (mut bytes, started) = (Vec::new(), Instant::now());
    let mut buffer = [0; READ];
    while bytes.len() < READ && started.elapsed() < PATIENCE {
        match body.read(&mut buffer[..READ - bytes.len()]) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    shown(&bytes, headers, urls)
}

fn shown(bytes: &[u8], headers: &Headers, urls: &[&Url]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The last character may have been cut off by the limit.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if text.chars().any(|char| char.is_control() && !char.is_whitespace()) {
        return None;
    }
    let queries = urls.iter().filter_map(|url| url.as_str().split_once('?')).map(|(_, query)| query);
    let sent = headers.iter().map(|(_, value)| value.as_str()).chain(queries);
    let mut words = sent.flat_map(|value| value.split([' ', '\t', ',', ';', '=', '&', '"', ':']));
    if words.any(|word| word.len() >= WORD && text.contains(word)) {
        return None;
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(SHOWN).collect();
    let more = if short.len() < line.len() { "…" } else { "" };
    (!short.is_empty()).then(|| format!("{short}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_unless_it_is_no_text_or_repeats_what_was_sent() {
        let headers = [("Authorization".to_owned(), "Token pa55word".to_owned())];
        let url = Url::parse("http://h/x?key=s3cret&n=1").unwrap();
        let show = |bytes: &[u8]| shown(bytes, &headers, &[&url]);
        assert_eq!(show(b"no such\n  thing 1\n").as_deref(), Some("no such thing 1"));
        assert_eq!(show("é".repeat(300).as_bytes()), Some(format!("{}…", "é".repeat(200))));
        assert_eq!(show(b"cut \xc3").as_deref(), Some("cut"));
        for hidden in [&b"not pa55word"[..], b"/x?key=s3cret", b"\xff\xfe", b"\x1b[31mred", b"", b" "] {
            assert_eq!(show(hidden), None, "{hidden:?}");
        }
        let late = format!("{}pa55word", " x".repeat(500));
        assert_eq!(show(late.as_bytes()), None);
    }
}
