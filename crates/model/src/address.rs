//! The address of a PostgreSQL database: a URL or `keyword=value` pairs. A password is never part of it.

/// Returns whether a text is shaped like an address of a PostgreSQL database.
pub fn is_address(text: &str) -> bool {
    is_url(text) || keywords(text).any(|(keyword, _)| ["host", "dbname", "service"].contains(&keyword))
}

/// Returns whether a text is a URL of a PostgreSQL database.
pub fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Returns whether an address holds a password. Where that cannot be told for sure, it does: what is in an address gets into
/// plans, journals and process lists.
pub fn holds_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://").filter(|_| is_url(text)) else {
        return keywords(text).any(|(keyword, _)| keyword == "password");
    };
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let user = place.rsplit_once('@').map_or("", |(user, _)| user);
    // A password may hold a `?` or an `@` that somebody forgot to encode.
    let hidden = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':') && user.contains('?'));
    user.contains(':')
        || hidden
        || parameters.split('&').any(|pair| pair.split('=').next().is_some_and(|name| name == "password"))
}

/// Returns the address of another database on the same server. `dbname` consists of letters, digits and `_`.
pub fn beside(text: &str, dbname: &str) -> String {
    if !is_url(text) {
        // A keyword that stands on the command line of libpq wins over its service; standing twice it is refused.
        let kept = text.split_whitespace().filter(|word| !word.starts_with("dbname"));
        return kept.chain([format!("dbname={dbname}").as_str()]).collect::<Vec<_>>().join(" ");
    }
    let (place, parameters) = text.split_once('?').unwrap_or((text, ""));
    let scheme_end = place.find("://").map_or(0, |at| at + 3);
    let host_end = place[scheme_end..].find('/').map_or(place.len(), |at| scheme_end + at);
    let kept: Vec<_> =
        parameters.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("dbname=")).collect();
    let parameters = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{}/{dbname}{parameters}", &place[..host_end])
}

fn keywords(text: &str) -> impl Iterator<Item = (&str, &str)> {
    // Spaces around the sign are allowed (libpq, "Keyword/Value Connection Strings").
    text.match_indices('=').map(move |(at, _)| {
        let before = text[..at].trim_end();
        let name = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or("");
        (name, &text[at + 1..])
    })
}

/// Returns why a text cannot name a thing inside a database, if it cannot.
pub fn not_an_identifier(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("it is empty"),
        // The server cuts longer names off without an error (PostgreSQL, "Identifiers and Key Words").
        long if long.len() > 63 => Some("it is longer than 63 bytes"),
        nul if nul.contains('\0') => Some("it holds a NUL"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_hides() {
        for with in [
            "postgres://app:secret@db/app",
            "postgresql://app:@db/app",
            "postgres://app:se?cret@db/app",
            "postgres://app:se@cret@db/app",
            "postgres://db/app?sslmode=require&password=secret",
            "host=db password=secret",
            "host=db password = 'secret'",
        ] {
            assert!(holds_password(with), "{with}");
        }
        for without in [
            "postgres://app@db:5432/app",
            "postgres://[::1]:5432/app",
            "postgres:///app",
            "service=app user=a:b",
        ] {
            assert!(!holds_password(without), "{without}");
            assert!(is_address(without), "{without}");
        }
    }

    #[test]
    fn another_database_of_a_server_is_reached_the_same_way() {
        for (from, to) in [
            ("postgres://u@h:1/app?sslmode=require", "postgres://u@h:1/x_1?sslmode=require"),
            ("postgres://h", "postgres://h/x_1"),
            ("postgresql:///app?host=/run/pg&dbname=app", "postgresql:///x_1?host=/run/pg"),
            ("service=app", "service=app dbname=x_1"),
            ("host=h dbname=app user=u", "host=h user=u dbname=x_1"),
        ] {
            assert_eq!(beside(from, "x_1"), to);
        }
    }

    #[test]
    fn what_is_no_address_is_not_taken_for_one() {
        for text in ["", "http://db/app", "app", "/srv/app.db", "a=b"] {
            assert!(!is_address(text), "{text}");
        }
    }
}
