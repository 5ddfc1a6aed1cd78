//! One version, compared leniently and shown as it was written.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::decode::{Decode, Decoder, Schemas};
use crate::suggest::quoted;
use crate::tree::Node;

/// Longest text that is taken for a version.
const LONGEST: usize = 128;

/// A release number such as `0.6`, `v0.7.27`, `3.1.0a2`, `2.0.0-rc.1` or `2025-01-15`.
///
/// A leading `v` is cosmetic and missing parts count as 0, so that `v0.7` equals `0.7.0`; but `3.1.0a2` is not `3.1.0`.
/// Pre-releases sort before their release by the rules of Semantic Versioning (semver.org, item 11), after that of
/// PEP 440 spellings are made alike (`a` is `alpha`, `b` is `beta`, `c` is `rc`, `.dev` comes first, `.post` comes after
/// the release). Build metadata after `+` is shown and does not count. `Display` gives the text back.
#[derive(Debug, Clone)]
pub struct Version {
    written: String,
    release: Vec<u64>,
    stage: Stage,
}

/// Where a version stands beside its release; the order of the variants is the order of versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Before(Vec<Part>),
    Release,
    After(Vec<Part>),
}

/// A part of a suffix, which always ends with `End`: `rc.1.dev2` is before `rc.1`, and `rc` before `rc.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Dev,
    End,
    Number(u64),
    Word(String),
}

/// The words that a dot can set off from the release.
const DOTTED: [&str; 11] = ["dev", "post", "rev", "a", "alpha", "b", "beta", "c", "rc", "pre", "preview"];

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing, or only blanks.
    #[error("read a version from an empty text")]
    Empty,
    /// It does not begin with a number.
    #[error("read {} as a version: it begins with a number, such as 1.10 or v0.7.27", quoted(.0))]
    NoNumber(String),
    /// A part is empty or has a character that no version has.
    #[error("read {} as a version: {} cannot be part of one", quoted(.text), quoted(.part))]
    BadPart {
        /// The text.
        text: String,
        /// What is wrong in it.
        part: String,
    },
    /// The text or a number in it is too long.
    #[error("read {} as a version: it is too long", quoted(.0))]
    TooLong(String),
}

impl Version {
    /// Returns the numbers of the release as written, without a suffix.
    pub fn release(&self) -> &[u64] {
        &self.release
    }

    /// Says whether it comes before the release whose numbers it carries.
    pub fn is_prerelease(&self) -> bool {
        matches!(self.stage, Stage::Before(_))
    }

    /// Says whether it is the release itself: no suffix but build metadata.
    pub fn is_release(&self) -> bool {
        self.stage == Stage::Release
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Says whether both carry the numbers of one release, whatever their suffixes.
    pub fn same_release(&self, other: &Self) -> bool {
        significant(&self.release) == significant(&other.release)
    }

    /// Says whether the release begins with these numbers; a missing one counts as 0.
    pub(super) fn begins_with(&self, series: &[u64]) -> bool {
        series.iter().enumerate().all(|(index, part)| self.release.get(index).copied().unwrap_or(0) == *part)
    }
}

/// Cuts trailing zeros, which do not count.
fn significant(release: &[u64]) -> &[u64] {
    let length = release.iter().rposition(|part| *part != 0).map_or(0, |index| index + 1);
    &release[..length]
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let written = text.trim();
        if written.is_empty() {
            return Err(VersionError::Empty);
        }
        if written.len() > LONGEST {
            return Err(VersionError::TooLong(written.to_owned()));
        }
        let bare = written.strip_prefix(['v', 'V']).unwrap_or(written);
        if !bare.starts_with(|char: char| char.is_ascii_digit()) {
            return Err(VersionError::NoNumber(written.to_owned()));
        }
        let (core, build) = match bare.split_once('+') {
            Some((core, build)) => (core, Some(build)),
            None => (bare, None),
        };
        if let Some(build) = build {
            check_identifiers(written, build)?;
        }
        let (numbers, suffix) = split_release(core);
        let separators: &[char] = if is_date(numbers) { &['.', '-'] } else { &['.'] };
        let release =
            numbers.split(separators).map(|part| number(written, part)).collect::<Result<_, _>>()?;
        Ok(Self { written: written.to_owned(), release, stage: stage(written, suffix)? })
    }
}

/// Splits `1.2.3-rc.1` before the suffix; a date `2025-01-15` is all release.
fn split_release(core: &str) -> (&str, &str) {
    if let Some(date) = core.get(..10).filter(|date| is_date(date))
        && !core[10..].starts_with(|char: char| char.is_ascii_digit())
    {
        return core.split_at(date.len());
    }
    let end = core.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(core.len());
    let numbers = core[..end].strip_suffix('.').filter(|_| end < core.len()).unwrap_or(&core[..end]);
    core.split_at(numbers.len())
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn number(text: &str, part: &str) -> Result<u64, VersionError> {
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        let part = if part.is_empty() { ".." } else { part };
        return Err(VersionError::BadPart { text: text.to_owned(), part: part.to_owned() });
    }
    part.parse().map_err(|_| VersionError::TooLong(text.to_owned()))
}

fn check_identifiers(text: &str, suffix: &str) -> Result<(), VersionError> {
    let bad = |part: &str| VersionError::BadPart { text: text.to_owned(), part: part.to_owned() };
    if let Some(char) =
        suffix.chars().find(|char| !char.is_ascii_alphanumeric() && !['.', '-', '_'].contains(char))
    {
        return Err(bad(char.encode_utf8(&mut [0; 4])));
    }
    if suffix.split(['.', '-', '_']).any(str::is_empty) {
        return Err(bad(suffix));
    }
    Ok(())
}

fn stage(text: &str, suffix: &str) -> Result<Stage, VersionError> {
    if suffix.is_empty() {
        return Ok(Stage::Release);
    }
    // After a dot only the words of PEP 440 are a suffix: `1.x` is a wish for a series, `5.3.Final` no pre-release.
    if let Some(word) = suffix.strip_prefix('.').and_then(|rest| rest.chunk_runs().next())
        && !DOTTED.iter().any(|known| known.eq_ignore_ascii_case(word))
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        return Err(VersionError::BadPart { text: text.to_owned(), part: word.to_owned() });
    }
    let suffix = suffix.strip_prefix(['.', '-', '_']).filter(|rest| !rest.is_empty()).unwrap_or(suffix);
    check_identifiers(text, suffix)?;
    let mut parts = Vec::new();
    let mut after = false;
    for identifier in suffix.split(['.', '-', '_']) {
        for run in identifier.chunk_runs() {
            if run.starts_with(|char: char| char.is_ascii_digit()) {
                parts.push(Part::Number(number(text, run)?));
                continue;
            }
            match run.to_ascii_lowercase().as_str() {
                "post" | "rev" if parts.is_empty() => after = true,
                "dev" => parts.push(Part::Dev),
                "a" => parts.push(Part::Word("alpha".to_owned())),
                "b" => parts.push(Part::Word("beta".to_owned())),
                "c" | "pre" | "preview" => parts.push(Part::Word("rc".to_owned())),
                word => parts.push(Part::Word(word.to_owned())),
            }
        }
    }
    parts.push(Part::End);
    Ok(if after { Stage::After(parts) } else { Stage::Before(parts) })
}

/// Cuts a text where letters and digits meet, so that `rc10` comes after `rc9`.
trait ChunkRuns {
    fn chunk_runs(&self) -> impl Iterator<Item = &str>;
}

impl ChunkRuns for str {
    fn chunk_runs(&self) -> impl Iterator<Item = &str> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let digit = rest.bytes().next()?.is_ascii_digit();
            let end = rest.bytes().position(|byte| byte.is_ascii_digit() != digit).unwrap_or(rest.len());
            let (run, left) = rest.split_at(end);
            rest = left;
            Some(run)
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        significant(&self.release).cmp(significant(&other.release)).then_with(|| self.stage.cmp(&other.stage))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        significant(&self.release).hash(state);
        self.stage.hash(state);
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("cannot {error}")))
    }
}

impl Decode for Version {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Some(text) = node.as_text() else {
            return cx.wrong_type(node, "a version");
        };
        match text.parse() {
            Ok(version) => Some(version),
            Err(error) => cx.bad_value(
                node,
                format!("cannot {error}"),
                "write a version such as `0.6`, `v0.7.27` or `2.0.0-rc.1`",
            ),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        serde_json::json!({ "type": ["string", "number"] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn versions_are_ordered_as_people_mean_them() {
        let ascending = [
            "0",
            "0.6",
            "v0.6.1",
            "0.7.27",
            "0.60",
            "1.2",
            "1.3.0-rc.1",
            "1.3",
            "1.10",
            "2.0.0-alpha",
            "2.0.0-alpha.1",
            "2.0.0-beta.2",
            "2.0.0-rc.1",
            "2.0.0-rc9",
            "2.0.0rc10",
            "2.0.0",
            "2.0.0.post1",
            "2.0.1.dev1",
            "2.0.1a1.dev1",
            "2.0.1a1",
            "2.0.1",
            "3.1.0a1",
            "3.1.0a2",
            "3.1.0b1",
            "3.1.0rc1",
            "3.1.0",
            "16-alpine",
            "16",
            "2024.12.3",
            "2025-01-15",
            "2025-02-01",
            "2025.10",
        ];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                assert!(version(low) < version(high), "{low} < {high}");
            }
        }
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        for (one, other) in [
            ("v0.7", "0.7.0"),
            ("1.0", "1"),
            ("0.0", "0"),
            ("3.1.0a2", "3.1.0-alpha.2"),
            ("1.0.0-RC.1", "v1rc1"),
            ("1.0+build.5", "1.0.0"),
            ("1.0c1", "1.0.0-pre1"),
            ("01.02", "1.2"),
            ("1.0.post1", "1.0-post1"),
            ("2025.1.15", "2025-01-15"),
        ] {
            assert_eq!(version(one), version(other));
        }
        assert_ne!(version("3.1.0a2"), version("3.1.0"));
    }

    #[test]
    fn the_written_text_is_kept() {
        for text in ["v0.7.27", "1.10", "3.1.0a2", "2.0.0-rc.1+sha.5"] {
            assert_eq!(version(text).to_string(), text);
            let stored = serde_json::to_string(&version(text)).unwrap();
            assert_eq!(serde_json::from_str::<Version>(&stored).unwrap().as_str(), text);
        }
        assert_eq!(version(" 1.2 ").as_str(), "1.2");
    }

    #[test]
    fn what_is_no_version_is_refused_with_the_reason() {
        let refused = [
            ("", "read a version from an empty text"),
            ("latest", "read `latest` as a version: it begins with a number, such as 1.10 or v0.7.27"),
            ("vv1", "read `vv1` as a version: it begins with a number, such as 1.10 or v0.7.27"),
            ("1..2", "read `1..2` as a version: `..` cannot be part of one"),
            ("1.2.", "read `1.2.` as a version: `..` cannot be part of one"),
            ("1.2 beta", "read `1.2 beta` as a version: ` ` cannot be part of one"),
            ("1.2-", "read `1.2-` as a version: `-` cannot be part of one"),
            ("1.x", "read `1.x` as a version: `x` cannot be part of one"),
            ("1.*", "read `1.*` as a version: `*` cannot be part of one"),
            ("1\0", "read `1\\u{0}` as a version: `\\u{0}` cannot be part of one"),
            ("1é", "read `1é` as a version: `é` cannot be part of one"),
            ("99999999999999999999999", "read `99999999999999999999999` as a version: it is too long"),
        ];
        for (text, reason) in refused {
            assert_eq!(text.parse::<Version>().map_err(|error| error.to_string()), Err(reason.to_owned()));
        }
        assert!(matches!("1".repeat(10_000).parse::<Version>(), Err(VersionError::TooLong(_))));
        assert!("2025-01-1é".parse::<Version>().is_err());
    }

    fn any_version() -> impl Strategy<Value = String> {
        "v?[0-9]{1,2}(\\.[0-3]){0,3}([-.]?(a|b|rc|alpha|dev|post|x)[.-]?[0-3]?){0,2}(\\+[a-z0-9]{1,3})?"
            .prop_map(|text| text)
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_agrees_with_equality(a in any_version(), b in any_version(), c in any_version()) {
            let parsed: Vec<Version> = [a, b, c].iter().filter_map(|text| text.parse().ok()).collect();
            for x in &parsed {
                prop_assert_eq!(x.to_string().parse::<Version>().unwrap().cmp(x), Ordering::Equal);
                for y in &parsed {
                    prop_assert_eq!(x.cmp(y), y.cmp(x).reverse());
                    prop_assert_eq!(x == y, x.cmp(y) == Ordering::Equal);
                    for z in &parsed {
                        if x <= y && y <= z {
                            prop_assert!(x <= z);
                        }
                    }
                }
            }
        }

        #[test]
        fn equal_versions_hash_alike(a in any_version(), zeros in "(\\.0){0,2}") {
            use std::collections::HashSet;
            if let Ok(one) = a.parse::<Version>() && one.is_release() && !a.contains('+') {
                let other = version(&format!("{a}{zeros}"));
                prop_assert!(HashSet::from([one]).contains(&other));
            }
        }

        #[test]
        fn any_text_is_a_version_or_refused(text in "\\PC{0,20}") {
            let _ = text.parse::<Version>();
        }
    }
}
