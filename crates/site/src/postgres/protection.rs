//! What an address says about TLS, resolved as libpq does: the mode, the authorities, our own certificate.

use std::path::{Path, PathBuf};

use super::address::AddressError;

/// How the connection is protected, as libpq's `sslmode` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Never.
    Disable,
    /// Where the server offers it, without looking at its certificate.
    Prefer,
    /// Always, without looking at the certificate.
    Require,
    /// Always, and an authority that we trust vouches for the certificate.
    VerifyCa,
    /// Always, and the certificate is for this host.
    VerifyFull,
}

/// The settings of an address that are about TLS, resolved.
pub(super) struct Trust {
    pub protection: Protection,
    pub root_cert: Option<PathBuf>,
    pub revoked: Option<PathBuf>,
    pub client_cert: Option<(PathBuf, PathBuf)>,
    pub channel_binding: Option<String>,
}

impl Trust {
    /// Takes the settings by libpq's names. What is not given lies in `.postgresql` of the home folder, as for libpq
    /// (libpq-ssl, "SSL Client File Usage"): `root.crt` and `root.crl` make `require` verify, `postgresql.crt` and
    /// `postgresql.key` say who we are.
    ///
    /// A file that is named and not there is refused: libpq would verify nothing then.
    pub fn resolve(
        take: &mut impl FnMut(&str) -> Option<String>,
        home: Option<&Path>,
    ) -> Result<Trust, AddressError> {
        let mode = take("sslmode");
        let named = take("sslrootcert");
        let system = named.as_deref() == Some("system");
        let usual =
            |name: &str| home.map(|home| home.join(".postgresql").join(name)).filter(|path| path.is_file());
        let root = match named {
            Some(_) if system => None,
            Some(path) => Some(PathBuf::from(path)),
            None => usual("root.crt"),
        };
        let protection = protection(mode, system, root.is_some())?;
        let verifies = protection >= Protection::VerifyCa;
        let root_cert = root.filter(|_| verifies);
        let revoked = take("sslcrl").map(PathBuf::from).or_else(|| usual("root.crl")).filter(|_| verifies);
        for (key, path) in [("sslrootcert", &root_cert), ("sslcrl", &revoked)] {
            if let Some(path) = path.as_ref().filter(|path| !path.is_file()) {
                let (value, why) =
                    (path.display().to_string(), "there is no such file to verify the server by");
                return Err(AddressError::Value { key, value, why });
            }
        }
        let client_cert = match (take("sslcert"), take("sslkey")) {
            (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
            (None, None) => usual("postgresql.crt").zip(usual("postgresql.key")),
            (Some(value), None) | (None, Some(value)) => {
                let why = "a certificate and its key go together: give sslcert and sslkey";
                return Err(AddressError::Value { key: "sslcert", value, why });
            }
        };
        let channel_binding = take("channel_binding");
        if let Some(value) = &channel_binding
            && !["disable", "prefer", "require"].contains(&value.as_str())
        {
            let why = "it is disable, prefer or require";
            return Err(AddressError::Value { key: "channel_binding", value: value.clone(), why });
        }
        Ok(Trust { protection, root_cert, revoked, client_cert, channel_binding })
    }
}

fn protection(mode: Option<String>, system: bool, rooted: bool) -> Result<Protection, AddressError> {
    let found = match mode.as_deref() {
        Some("disable") => Protection::Disable,
        // libpq tries `allow` in the clear first; that is not worth having where TLS is offered.
        Some("prefer" | "allow") => Protection::Prefer,
        // With an authority at hand, libpq verifies by it (libpq-ssl, "Client Verification of Server Certificates").
        Some("require") if rooted => Protection::VerifyCa,
        Some("require") => Protection::Require,
        Some("verify-ca") => Protection::VerifyCa,
        Some("verify-full") => Protection::VerifyFull,
        None if system => Protection::VerifyFull,
        None => Protection::Prefer,
        Some(other) => {
            let why = "it is disable, allow, prefer, require, verify-ca or verify-full";
            return Err(AddressError::Value { key: "sslmode", value: other.to_owned(), why });
        }
    };
    if system && found != Protection::VerifyFull {
        let why = "with sslrootcert=system libpq demands verify-full, and so do we";
        return Err(AddressError::Value { key: "sslmode", value: mode.unwrap_or_default(), why });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::address::{Address, Surroundings};
    use super::*;

    fn parse(text: &str, home: Option<&Path>) -> Result<Address, String> {
        let around = Surroundings { home: home.map(Path::to_owned), ..Surroundings::default() };
        Address::parse(text, &around).map_err(|error| error.to_string())
    }

    #[test]
    fn authorities_make_require_stricter_and_never_laxer() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.crt");
        std::fs::write(&root, "x").unwrap();
        let named = format!("host=h sslmode=require sslrootcert={}", root.display());
        assert_eq!(parse(&named, None).unwrap().protection, Protection::VerifyCa);
        assert_eq!(parse("host=h sslrootcert=system", None).unwrap().protection, Protection::VerifyFull);
        let refusal = |text: &str| parse(text, None).unwrap_err();
        assert!(refusal("host=h sslmode=require sslrootcert=system").contains("verify-full"));
        assert!(refusal("host=h sslmode=require sslrootcert=/no/such").contains("there is no such file"));
        assert!(refusal("host=h sslmode=verify-full sslcrl=/no/such").contains("sslcrl=/no/such"));
        assert!(refusal("host=h sslcert=a").contains("sslkey"));
        assert!(refusal("host=h channel_binding=on").contains("prefer or require"));
    }

    #[test]
    fn what_is_not_named_lies_where_libpq_looks_for_it() {
        let home = tempfile::tempdir().unwrap();
        let usual = home.path().join(".postgresql");
        std::fs::create_dir(&usual).unwrap();
        let read = |mode: &str| parse(&format!("host=h sslmode={mode}"), Some(home.path())).unwrap();
        assert_eq!((read("require").protection, read("require").client_cert), (Protection::Require, None));
        for name in ["root.crt", "root.crl", "postgresql.crt", "postgresql.key"] {
            std::fs::write(usual.join(name), "x").unwrap();
        }
        let found = read("require");
        assert_eq!((found.protection, found.root_cert), (Protection::VerifyCa, Some(usual.join("root.crt"))));
        assert_eq!(found.revoked, Some(usual.join("root.crl")));
        assert_eq!(found.client_cert, Some((usual.join("postgresql.crt"), usual.join("postgresql.key"))));
        // What is not to be verified has no authority.
        assert_eq!((read("prefer").protection, read("prefer").root_cert), (Protection::Prefer, None));
    }
}
