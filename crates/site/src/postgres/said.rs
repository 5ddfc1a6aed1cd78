//! What a server says, in one line for people.

use std::error::Error;

/// Returns the server's message with its detail and hint, or what went wrong on the way to it.
pub fn said(error: &postgres::Error) -> String {
    let Some(answer) = error.as_db_error() else {
        // The driver's own words name the stage; the cause beneath says what happened.
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        return text;
    };
    let mut text = answer.message().to_owned();
    for more in [answer.detail(), answer.hint()].into_iter().flatten() {
        text = format!("{text}; {}", more.trim_end_matches('.'));
    }
    text.replace('\n', " ")
}

/// Returns the five letters by which the server names an error.
pub fn code(error: &postgres::Error) -> &str {
    error.code().map_or("", postgres::error::SqlState::code)
}

/// Returns whether an error means that the server, or the way to it, is gone or not ready: what was asked may be done or not.
pub fn is_away(error: &postgres::Error) -> bool {
    match error.as_db_error() {
        // It shuts down, has crashed, or is starting up; and the troubles of a connection.
        Some(answer) => {
            ["57P01", "57P02", "57P03"].contains(&answer.code().code())
                || answer.code().code().starts_with("08")
        }
        // A certificate that is refused comes as trouble of the line, and stays refused however long one waits.
        None if broken_trust(error).is_some() => false,
        None => error.is_closed() || error.source().is_some_and(<dyn Error>::is::<std::io::Error>),
    }
}

/// Returns why no protected connection came about, if that is what went wrong.
pub(super) fn broken_trust(error: &postgres::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let within = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = within.and_then(|inner| inner.downcast_ref()).or_else(|| inner.downcast_ref());
        if found.is_some() {
            return found;
        }
        cause = inner.source();
    }
    None
}
