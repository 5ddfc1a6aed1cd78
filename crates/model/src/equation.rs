//! Equations over counts: what has to come out of a transform for what went in.

use std::collections::BTreeMap;
use std::fmt;

/// What was counted. A kind that did not come up counts zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// All records that went in, and by kind.
    pub input: (u64, BTreeMap<String, u64>),
    /// All records that came out, and by kind.
    pub output: (u64, BTreeMap<String, u64>),
    /// Counts that the playbook measures by programs of its own, by name.
    pub named: BTreeMap<String, u64>,
}

/// Two sums that must be equal, such as `out.RunConfig = in.runconfig - dropped`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Equation {
    text: String,
    left: Vec<(bool, Term)>,
    right: Vec<(bool, Term)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    In(Option<String>),
    Out(Option<String>),
    Named(String),
    Number(u64),
}

/// Why a text is no equation. The text fits after "cannot".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{text}` as an equation: {wrong}")]
pub struct EquationError {
    text: String,
    wrong: String,
}

impl Equation {
    /// Reads an equation. Terms are `in`, `out`, `in.KIND`, `out.KIND`, numbers and names of measured counts, with spaces and
    /// `+` or `-` between them.
    pub fn parse(text: &str) -> Result<Equation, EquationError> {
        let wrong = |wrong: String| EquationError { text: text.to_owned(), wrong };
        let sides: Vec<&str> = text.split(" = ").collect();
        let [left, right] = sides.as_slice() else {
            return Err(wrong("it has two sides and ` = ` between them".to_owned()));
        };
        let side = |side: &str| sum(side).map_err(wrong);
        Ok(Equation { text: text.to_owned(), left: side(left)?, right: side(right)? })
    }

    /// The names of the counts that it needs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.left.iter().chain(&self.right).filter_map(|(_, term)| match term {
            Term::Named(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns what is wrong when the sides differ: both sums, with what they are made of.
    pub fn check(&self, counts: &Counts) -> Result<(), String> {
        let sum = |side: &[(bool, Term)]| -> Result<i128, String> {
            side.iter().try_fold(0, |sum: i128, (minus, term)| {
                let value = i128::from(term.value(counts)?);
                Ok(if *minus { sum - value } else { sum + value })
            })
        };
        let (left, right) = (sum(&self.left)?, sum(&self.right)?);
        if left == right {
            return Ok(());
        }
        let mut parts = Vec::new();
        for (_, term) in self.left.iter().chain(&self.right) {
            if !matches!(term, Term::Number(_)) {
                parts.push(format!("{term} is {}", term.value(counts)?));
            }
        }
        Err(format!("`{}` does not hold: {left} is not {right} ({})", self.text, parts.join(", ")))
    }
}

impl Term {
    fn value(&self, counts: &Counts) -> Result<u64, String> {
        let of = |(all, kinds): &(u64, BTreeMap<String, u64>), kind: &Option<String>| match kind {
            Some(kind) => kinds.get(kind).copied().unwrap_or(0),
            None => *all,
        };
        Ok(match self {
            Term::In(kind) => of(&counts.input, kind),
            Term::Out(kind) => of(&counts.output, kind),
            Term::Number(number) => *number,
            Term::Named(name) => {
                *counts.named.get(name).ok_or_else(|| format!("nothing measures `{name}`"))?
            }
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::In(None) => f.write_str("in"),
            Term::In(Some(kind)) => write!(f, "in.{kind}"),
            Term::Out(None) => f.write_str("out"),
            Term::Out(Some(kind)) => write!(f, "out.{kind}"),
            Term::Named(name) => f.write_str(name),
            Term::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Equation {
    type Error = EquationError;

    fn try_from(text: String) -> Result<Equation, EquationError> {
        Equation::parse(&text)
    }
}

impl From<Equation> for String {
    fn from(equation: Equation) -> String {
        equation.text
    }
}

/// Reads terms with signs between them. A kind may hold anything but spaces, so signs stand alone.
fn sum(side: &str) -> Result<Vec<(bool, Term)>, String> {
    let (mut terms, mut minus, mut wants_term) = (Vec::new(), false, true);
    for word in side.split_whitespace() {
        match (word, wants_term) {
            ("+" | "-", false) => (minus, wants_term) = (word == "-", true),
            ("+" | "-", true) => return Err(format!("a count is missing before `{word}`")),
            (_, false) => return Err(format!("`+` or `-` is missing before `{word}`")),
            (_, true) => {
                terms.push((minus, term(word)?));
                wants_term = false;
            }
        }
    }
    if wants_term { Err("a count is missing at the end of a side".to_owned()) } else { Ok(terms) }
}

fn term(word: &str) -> Result<Term, String> {
    if let Ok(number) = word.parse() {
        return Ok(Term::Number(number));
    }
    let is_name = |name: &str| name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    match word.split_once('.') {
        Some((_, "")) => Err(format!("`{word}` names no kind")),
        Some(("in", kind)) => Ok(Term::In(Some(kind.to_owned()))),
        Some(("out", kind)) => Ok(Term::Out(Some(kind.to_owned()))),
        None if word == "in" => Ok(Term::In(None)),
        None if word == "out" => Ok(Term::Out(None)),
        None if is_name(word) => Ok(Term::Named(word.to_owned())),
        _ => Err(format!("`{word}` is no count; write `in`, `out`, `in.KIND`, `out.KIND` or a name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let kinds = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
        let counts = Counts {
            input: (20, kinds("run-config", 17)),
            output: (13, kinds("RunConfig", 13)),
            named: BTreeMap::from([("dropped".to_owned(), 4)]),
        };
        Equation::parse(text).map_err(|error| error.to_string())?.check(&counts)
    }

    #[test]
    fn sums_of_counts_are_compared() {
        assert_eq!(check("out.RunConfig = in.run-config - dropped"), Ok(()));
        assert_eq!(check("in - 7 = out + in.none"), Ok(()));
        assert_eq!(
            check("out.RunConfig = in.run-config"),
            Err("`out.RunConfig = in.run-config` does not hold: 13 is not 17 (out.RunConfig is 13, in.run-config is 17)".into())
        );
        assert_eq!(check("out = lost"), Err("nothing measures `lost`".into()));
    }

    #[test]
    fn what_is_no_equation_says_why() {
        for (text, wrong) in [
            ("out", "it has two sides"),
            ("out = = in", "`=` is no count"),
            ("out = in in", "`+` or `-` is missing before `in`"),
            ("out = in -", "a count is missing at the end"),
            ("out = + in", "a count is missing before `+`"),
            ("out. = in", "`out.` names no kind"),
            ("out.a = out.a", ""),
        ] {
            match check(text) {
                Err(error) => assert!(!wrong.is_empty() && error.contains(wrong), "{text}: {error}"),
                Ok(()) => assert!(wrong.is_empty(), "{text}"),
            }
        }
    }
}
