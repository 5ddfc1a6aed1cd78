//! The password file of libpq: `host:port:database:user:password`, one a line.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a password file has for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The password of the first line that fits.
    Password(String),
    /// A line would fit, but others can read the file, so libpq does not believe it, and neither do we.
    Exposed,
    /// Nothing, or no file.
    Nothing,
}

/// Looks a password up.
pub(super) fn look_up(path: &Path, host: &str, port: u16, dbname: &str, user: &str) -> Found {
    let (Ok(about), Ok(text)) = (path.metadata(), std::fs::read_to_string(path)) else {
        return Found::Nothing;
    };
    // The socket in its usual place is called localhost there (libpq-pgpass).
    let host =
        if ["/var/run/postgresql", "/run/postgresql", "/tmp"].contains(&host) { "localhost" } else { host };
    let wanted = [host, &port.to_string(), dbname, user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let Some(password) = lines.filter_map(|line| password_of(line, &wanted)).next() else {
        return Found::Nothing;
    };
    if about.mode() & 0o077 != 0 { Found::Exposed } else { Found::Password(password) }
}

fn password_of(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // The password is the rest, but a colon in it may be escaped all the same.
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(letters.next()),
            letter => fields.last_mut()?.push(letter),
        }
    }
    let password = fields.get(4)?.clone();
    let fits = |(field, wanted): (&String, &&str)| field == "*" || field == wanted;
    fields.iter().zip(wanted).all(fits).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_line_that_fits_counts_and_escapes_are_read() {
        let line = |line: &str| password_of(line, &["h", "5432", "d:b", "u"]);
        assert_eq!(line(r"h:5432:d\:b:u:se\:c:r\\et").as_deref(), Some(r"se:c:r\et"));
        assert_eq!(line("*:*:*:*:x").as_deref(), Some("x"));
        assert_eq!(line("h:5433:*:*:x"), None);
        assert_eq!(line("nonsense"), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, "# mine\nlocalhost:*:*:u:secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ask = |host: &str| look_up(&path, host, 5432, "d", "u");
        assert_eq!(ask("/var/run/postgresql"), Found::Password("secret".into()));
        assert_eq!(ask("elsewhere"), Found::Nothing);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!((ask("localhost"), ask("elsewhere")), (Found::Exposed, Found::Nothing));
    }
}
