//! Reading secrets from where they lie.

use std::path::PathBuf;
use std::{env, fmt, fs, io};

use switchback_model::digest::Digest;
use switchback_model::secret::{SecretPlace, SecretRef};

/// The most that a secret may hold: 64 KiB. A file that is longer is another file.
const LIMIT: u64 = 64 * 1024;

/// Why a secret cannot be had. The text fits after "cannot", and nothing of the secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such variable, or nothing is in it.
    #[error("read secret `{name}`: {place} is not set")]
    Missing {
        /// The input.
        name: String,
        /// Where it should lie.
        place: SecretPlace,
    },
    /// The file cannot be read.
    #[error("read secret `{name}` from {}: {source}", path.display())]
    File {
        /// The input.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What lies there is no secret that can be handed over.
    #[error("use secret `{name}`: {place} {why}")]
    Unfit {
        /// The input.
        name: String,
        /// Where it lies.
        place: SecretPlace,
        /// What is wrong.
        why: &'static str,
    },
}

/// A secret in memory. It has no way to be printed but [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns what a plan may know: a digest of the secret under a salt that does not leave the state folder, in which
    /// equal secrets of two sites are not seen to be equal.
    pub fn digest(&self, salt: &[u8; 32]) -> Digest {
        let salted = [salt.as_slice(), self.0.as_bytes()].concat();
        Digest::of(&salted)
    }
}

/// Reads a secret. A file may end in one line end, which is not part of it.
pub fn read(secret: &SecretRef) -> Result<Secret, SecretError> {
    let (name, place) = (secret.secret.clone(), secret.lies.clone());
    let unfit =
        |why| Err(SecretError::Unfit { name: secret.secret.clone(), place: secret.lies.clone(), why });
    let text = match &secret.lies {
        SecretPlace::Env(variable) => match env::var(variable) {
            Ok(text) => text,
            Err(env::VarError::NotPresent) => return Err(SecretError::Missing { name, place }),
            Err(env::VarError::NotUnicode(_)) => return unfit("is not UTF-8 text"),
        },
        SecretPlace::File(path) => {
            let path = PathBuf::from(path);
            let meta = fs::metadata(&path);
            let bytes = match meta {
                Ok(meta) if meta.len() > LIMIT => return unfit("holds more than 64 KiB"),
                Ok(_) => fs::read(&path),
                Err(error) => Err(error),
            };
            let bytes = bytes.map_err(|source| SecretError::File { name, path, source })?;
            let Ok(mut text) = String::from_utf8(bytes) else { return unfit("is not UTF-8 text") };
            for end in ["\n", "\r"] {
                text.truncate(text.strip_suffix(end).unwrap_or(&text).len());
            }
            text
        }
    };
    match text {
        text if text.is_empty() => unfit("is empty"),
        text if text.contains('\0') => unfit("holds a NUL"),
        text => Ok(Secret(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(content: &[u8]) -> Result<Secret, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, content).unwrap();
        let lies = SecretPlace::File(path.display().to_string());
        read(&SecretRef { secret: "key".to_owned(), lies })
    }

    #[test]
    fn one_line_end_of_a_file_is_not_part_of_the_secret() {
        for content in [&b"a b"[..], b"a b\n", b"a b\r\n"] {
            assert_eq!(in_file(content).unwrap().reveal(), "a b");
        }
        assert_eq!(in_file(b"a\n\n").unwrap().reveal(), "a\n");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for (content, why) in [(&b"\n"[..], "is empty"), (b"hunter\0", "NUL"), (b"hunter\xff", "UTF-8")] {
            let said = in_file(content).unwrap_err().to_string();
            assert!(said.contains(why) && !said.contains("hunter"), "{said}");
        }
        let lies = SecretPlace::Env("SWITCHBACK_TEST_NOT_SET".to_owned());
        let said = read(&SecretRef { secret: "key".to_owned(), lies }).unwrap_err().to_string();
        assert_eq!(said, "read secret `key`: the environment variable SWITCHBACK_TEST_NOT_SET is not set");
    }

    #[test]
    fn a_digest_tells_secrets_apart_and_sites_as_well() {
        let (one, other) = (in_file(b"one").unwrap(), in_file(b"other").unwrap());
        assert_ne!(one.digest(&[1; 32]), other.digest(&[1; 32]));
        assert_ne!(one.digest(&[1; 32]), one.digest(&[2; 32]));
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }
}
