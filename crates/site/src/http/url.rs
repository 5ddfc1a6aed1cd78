//! URLs: a base that an operator gave, a path that a playbook wrote, and values that data brought.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::HttpError;

/// Everything but the unreserved characters (RFC 3986, section 2.3): a value can never end its segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An `http` or `https` URL without a user name, a password and a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    /// Length of `scheme://host:port`.
    origin: usize,
}

/// A piece of a path and query: what the playbook says, or a value to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Taken as it is; may hold `/`, `?`, `&` and `=`.
    Text(&'a str),
    /// One value, percent-encoded. It stays inside its path segment or its query value.
    Value(&'a str),
}

impl Url {
    /// Reads a URL that an operator or a playbook gave.
    pub fn parse(text: &str) -> Result<Url, HttpError> {
        let bad = |why| {
            // Nothing but the beginning is shown: what follows may be a password.
            let shown = text.chars().take_while(|char| !"@?#".contains(*char)).take(60).collect();
            HttpError::BadUrl { shown, why }
        };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| bad("it does not begin with http:// or https://"))?;
        if scheme != "http" && scheme != "https" {
            return Err(bad("it does not begin with http:// or https://"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic())
            || text.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}'])
        {
            return Err(bad("it has characters that must be percent-encoded"));
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.contains('@') {
            return Err(bad("a user name or a password does not belong there; send a header instead"));
        }
        if text.contains('#') {
            return Err(bad("it has a fragment, which is never sent"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        if name.is_empty() {
            return Err(bad("it names no host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(bad("its port is not a number up to 65535"));
        }
        Ok(Url { text: text.to_owned(), origin: scheme.len() + 3 + host.len() })
    }

    /// Appends a path with values to this URL, whose own path stays in front.
    ///
    /// A value that would be an empty path segment, `.` or `..` is refused, since it would lead to another place.
    pub fn join(&self, parts: &[Part<'_>]) -> Result<Url, HttpError> {
        let bad = |why| HttpError::BadUrl { shown: self.to_string(), why };
        if self.text.contains('?') {
            return Err(bad("a path cannot be appended to a query"));
        }
        let (mut out, mut segment, mut holds_value, mut in_query) = (String::new(), 0, false, false);
        let check = |segment: &str, holds_value: bool| match segment {
            "" | "." | ".." if holds_value => {
                Err(bad("a value would make an empty path segment, `.` or `..`"))
            }
            _ => Ok(()),
        };
        for part in parts {
            match part {
                Part::Value(value) => {
                    out.extend(utf8_percent_encode(value, ENCODED));
                    holds_value = true;
                }
                Part::Text(text) => {
                    for char in text.chars() {
                        if !in_query && (char == '/' || char == '?') {
                            check(&out[segment..], holds_value)?;
                            (segment, holds_value) = (out.len() + 1, false);
                            in_query = char == '?';
                        }
                        out.push(char);
                    }
                }
            }
        }
        if !in_query {
            check(&out[segment..], holds_value)?;
        }
        let base = self.text.trim_end_matches('/');
        let slash = if out.is_empty() || out.starts_with(['/', '?']) { "" } else { "/" };
        Url::parse(&format!("{base}{slash}{out}"))
    }

    /// Returns the whole text, with the query. It may hold secrets: show the `Display` form instead.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `scheme://host:port`.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin]
    }

    pub(super) fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.origin().split_once("://").map_or("", |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => host,
        };
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    }

    /// Returns where a redirect leads, if that is on the same origin.
    pub(super) fn redirected(&self, location: &str) -> Option<Url> {
        let next = if location.starts_with('/') && !location.starts_with("//") {
            Url::parse(&format!("{}{location}", self.origin())).ok()?
        } else {
            Url::parse(location).ok()?
        };
        next.origin().eq_ignore_ascii_case(self.origin()).then_some(next)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Text, Value};

    #[test]
    fn values_stay_in_their_segment_and_in_their_query_value() {
        let base = Url::parse("http://127.0.0.1:9666/app/").unwrap();
        let hostile = "O'Brien \"lab\"; DROP/../?a=b&c#é%";
        let url =
            base.join(&[Text("/api/machines/"), Value(hostile), Text("/x?q="), Value(hostile)]).unwrap();
        let encoded = "O%27Brien%20%22lab%22%3B%20DROP%2F..%2F%3Fa%3Db%26c%23%C3%A9%25";
        assert_eq!(url.as_str(), format!("http://127.0.0.1:9666/app/api/machines/{encoded}/x?q={encoded}"));
        assert_eq!(url.to_string(), format!("http://127.0.0.1:9666/app/api/machines/{encoded}/x?…"));
        assert_eq!(url.origin(), "http://127.0.0.1:9666");
    }

    #[test]
    fn values_that_would_lead_elsewhere_are_refused() {
        let base = Url::parse("http://h").unwrap();
        for value in ["", ".", ".."] {
            assert!(base.join(&[Text("/a/"), Value(value), Text("/b")]).is_err(), "{value:?}");
            assert!(base.join(&[Text("/a/"), Value(value)]).is_err(), "{value:?}");
            assert!(base.join(&[Text("/a?q="), Value(value)]).is_ok(), "{value:?}");
        }
        assert!(base.join(&[Text("/a/."), Value(".")]).is_err());
        assert_eq!(base.join(&[Text("a/v"), Value(".")]).unwrap().as_str(), "http://h/a/v.");
    }

    #[test]
    fn what_is_no_usable_url_is_refused_without_showing_secrets() {
        for text in [
            "",
            "ftp://h",
            "http://",
            "http://:80",
            "http://h:99999",
            "http://h/a b",
            "http://h/\n",
            "//h",
            "http://h/#x",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        let error = Url::parse("http://u:pa55@h/").unwrap_err().to_string();
        assert!(error.contains("password does not belong"), "{error}");
        assert!(!Url::parse("http://h/x y?token=pa55").unwrap_err().to_string().contains("pa55"));
        assert!(Url::parse("http://[::1]:80/x").unwrap().is_loopback());
    }

    #[test]
    fn redirects_are_followed_on_the_same_origin_only() {
        let url = Url::parse("http://h:1/a").unwrap();
        assert_eq!(url.redirected("/b").unwrap().as_str(), "http://h:1/b");
        assert_eq!(url.redirected("http://h:1/b").unwrap().as_str(), "http://h:1/b");
        for location in ["//evil/b", "http://evil/b", "https://h:1/b", "http://h:2/b", "b", ""] {
            assert_eq!(url.redirected(location), None, "{location}");
        }
    }
}
