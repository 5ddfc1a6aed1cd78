//! Which versions something holds for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::{Version, VersionError};
use crate::decode::{Decode, Decoder, Schemas};
use crate::suggest::quoted;
use crate::tree::Node;

/// A set of versions: `>=1.1, <1.4`, `<2`, `=0.7.27`, or a series such as `0.6`.
///
/// All conditions between commas must hold. A bare version is the series of that release: `0.6` holds 0.6, 0.6.1 and
/// their pre-releases, and not 0.60; with a suffix it is that one version. `<2` does not hold 2.0.0-rc.1, which is a
/// part of 2 to whoever writes `<2` (the rule of PEP 440's exclusive comparison), unless the bound itself is a pre-release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Condition {
    test: Test,
    bound: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Test {
    AtLeast,
    Above,
    AtMost,
    Below,
    Exactly,
    /// The series with this many numbers: `0.6` and `0.6.0` are equal as versions and not as series.
    Series(usize),
}

/// Why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing, or nothing between two commas.
    #[error("read {} as a range: between commas stands `>=`, `>`, `<=`, `<` or `=` with a version, or a series such as 0.6", quoted(.0))]
    Empty(String),
    /// An operator that is not known.
    #[error("read {} as a range: {} is none of `>=`, `>`, `<=`, `<`, `=`", quoted(.text), quoted(.operator))]
    Operator {
        /// The text.
        text: String,
        /// The operator.
        operator: String,
    },
    /// What follows the operator is no version.
    #[error("read {} as a range", quoted(.text))]
    Version {
        /// The text.
        text: String,
        /// What is wrong with the version.
        source: VersionError,
    },
}

impl Range {
    /// Says whether the version is in the range.
    pub fn contains(&self, version: &Version) -> bool {
        self.0.iter().all(|condition| condition.holds(version))
    }

    /// Returns the range that holds exactly the versions equal to this one.
    pub fn exactly(version: Version) -> Self {
        Self(vec![Condition { test: Test::Exactly, bound: version }])
    }
}

impl Condition {
    fn holds(&self, version: &Version) -> bool {
        let bound = &self.bound;
        match self.test {
            Test::AtLeast => version >= bound,
            Test::Above => version > bound,
            Test::AtMost => version <= bound,
            Test::Below => {
                version < bound
                    && (bound.is_prerelease() || !version.is_prerelease() || !version.same_release(bound))
            }
            Test::Exactly => version == bound,
            Test::Series(_) => version.begins_with(bound.release()),
        }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(|part| condition(text, part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn condition(text: &str, part: &str) -> Result<Condition, RangeError> {
    let is_operator = |char: char| char.is_ascii_punctuation();
    let (operator, version) = part.split_at(part.find(|char| !is_operator(char)).unwrap_or(part.len()));
    if version.trim().is_empty() {
        return Err(RangeError::Empty(text.to_owned()));
    }
    let bound: Version =
        version.parse().map_err(|source| RangeError::Version { text: text.to_owned(), source })?;
    let test = match operator {
        ">=" => Test::AtLeast,
        ">" => Test::Above,
        "<=" => Test::AtMost,
        "<" => Test::Below,
        "=" => Test::Exactly,
        "" if bound.is_release() => Test::Series(bound.release().len()),
        "" => Test::Exactly,
        _ => return Err(RangeError::Operator { text: text.to_owned(), operator: operator.to_owned() }),
    };
    Ok(Condition { test, bound })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Condition { test, bound }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let operator = match test {
                Test::AtLeast => ">=",
                Test::Above => ">",
                Test::AtMost => "<=",
                Test::Below => "<",
                Test::Exactly => "=",
                Test::Series(_) => "",
            };
            write!(f, "{comma}{operator}{bound}")?;
        }
        Ok(())
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(in_full(&error)))
    }
}

impl Decode for Range {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Some(text) = node.as_text() else {
            return cx.wrong_type(node, "a range of versions");
        };
        match text.parse() {
            Ok(range) => Some(range),
            Err(error) => cx.bad_value(
                node,
                in_full(&error),
                "write a range such as `\">=1.1, <1.4\"`, `<2`, `=0.7.27`, or a series such as `0.6`",
            ),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        serde_json::json!({ "type": ["string", "number"] })
    }
}

fn in_full(error: &RangeError) -> String {
    match error {
        RangeError::Version { source, .. } => format!("cannot {error}: cannot {source}"),
        _ => format!("cannot {error}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(range: &str, version: &str) -> bool {
        let range: Range = range.parse().unwrap_or_else(|error| panic!("{error}"));
        range.contains(&version.parse().unwrap())
    }

    #[test]
    fn a_bare_version_is_its_series() {
        for inside in ["0.6", "v0.6.0", "0.6.1", "0.6.0-rc.1", "0.6.12.3"] {
            assert!(holds("0.6", inside), "{inside}");
        }
        for outside in ["0.60", "0.60.1", "0.7", "0.5.9", "6", "1.0.6"] {
            assert!(!holds("0.6", outside), "{outside}");
        }
        assert!(holds("1.0", "1"));
        assert!(!holds("1.0", "1.1"));
        assert!(holds("1", "1.1"));
        assert!(holds("3.1.0a2", "3.1.0-alpha.2"));
        assert!(!holds("3.1.0a2", "3.1.0"));
    }

    #[test]
    fn bounds_hold_from_and_up_to_what_they_say() {
        assert!(holds(">=1.1, <1.4", "1.1"));
        assert!(holds(">=1.1,<1.4", "1.3.9"));
        assert!(!holds(">=1.1, <1.4", "1.4"));
        assert!(!holds(">=1.1, <1.4", "1.0.9"));
        assert!(holds("=0.7.27", "v0.7.27"));
        assert!(!holds("=0.7.27", "0.7.27.1"));
        assert!(!holds(">0.7", "0.7.0") && holds("> 0.7", "0.7.1"));
        assert!(holds("<=0.7", "0.7.0") && !holds("<=0.7", "0.7.1"));
        assert!(holds("0.6, >=0.6.3", "0.6.4") && !holds("0.6, >=0.6.3", "0.6.2"));
    }

    #[test]
    fn a_pre_release_belongs_below_its_release_but_not_below_its_bound() {
        assert!(holds(">=1.2, <2", "1.3.0-rc.1"));
        assert!(!holds("<2", "2.0.0-rc.1"));
        assert!(holds("<2.0.0-rc.2", "2.0.0-rc.1"));
        assert!(!holds(">=2", "2.0.0-rc.1"));
        assert!(holds("<=2", "2.0.0-rc.1"));
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_is_allowed() {
        let refused = |text: &str| in_full(&text.parse::<Range>().unwrap_err());
        let allowed =
            "between commas stands `>=`, `>`, `<=`, `<` or `=` with a version, or a series such as 0.6";
        assert_eq!(refused(""), format!("cannot read `` as a range: {allowed}"));
        assert_eq!(refused(">=1,"), format!("cannot read `>=1,` as a range: {allowed}"));
        assert_eq!(refused(">="), format!("cannot read `>=` as a range: {allowed}"));
        assert_eq!(
            refused("^1.2"),
            "cannot read `^1.2` as a range: `^` is none of `>=`, `>`, `<=`, `<`, `=`"
        );
        assert_eq!(refused("!=1"), "cannot read `!=1` as a range: `!=` is none of `>=`, `>`, `<=`, `<`, `=`");
        assert_eq!(
            refused(">=1 <2"),
            "cannot read `>=1 <2` as a range: cannot read `1 <2` as a version: ` ` cannot be part of one"
        );
    }

    proptest! {
        #[test]
        fn a_range_prints_as_what_reads_back(
            conditions in prop::collection::vec(("(|=|<|>|<=|>=) ?", "v?[0-9]{1,2}(\\.[0-3]){0,2}(-rc\\.[0-9])?"), 1..4),
            version in "[0-9]{1,2}(\\.[0-3]){0,2}(-rc\\.[0-9])?",
        ) {
            let text = conditions.iter().map(|(test, bound)| format!("{test}{bound}")).collect::<Vec<_>>().join(" , ");
            let range: Range = text.parse().unwrap();
            let again: Range = range.to_string().parse().unwrap();
            prop_assert_eq!(&again, &range);
            prop_assert_eq!(again.to_string(), range.to_string());
            let version: Version = version.parse().unwrap();
            prop_assert_eq!(again.contains(&version), range.contains(&version));
        }

        #[test]
        fn any_text_is_a_range_or_refused(text in "\\PC{0,20}") {
            let _ = text.parse::<Range>();
        }
    }
}
