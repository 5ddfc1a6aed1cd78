//! Artifacts: named outputs of steps with a type, kept with the run until it is finalized.

use crate::choice;
use crate::records::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

choice! {
    /// How the bytes of an artifact are to be read.
    pub enum ArtifactFormat {
        /// JSON values with or without white space between them.
        JsonValues = "json-values",
        /// One JSON value a line.
        JsonLines = "json-lines",
        /// Bytes that nobody looks into.
        Bytes = "bytes",
    }
}

impl ArtifactFormat {
    /// Returns how records are cut out of it; `None` where there are none.
    pub fn shape(self) -> Option<Shape> {
        match self {
            ArtifactFormat::JsonValues => Some(Shape::Values),
            ArtifactFormat::JsonLines => Some(Shape::Lines),
            ArtifactFormat::Bytes => None,
        }
    }
}

/// One artifact, as a step names it. Plain data: a plan holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name in the playbook.
    pub name: String,
    /// Which of its members, where there is one for each component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What it holds: its `type` in the playbook.
    pub holds: String,
    /// How it is read.
    pub format: ArtifactFormat,
    /// Whether there are secrets in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The other members, where no two of them may have the same content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<String>,
}

impl Artifact {
    /// Names it for people, and as a playbook does: `export[users]`.
    pub fn label(&self) -> String {
        match &self.member {
            Some(member) => format!("{}[{member}]", self.name),
            None => self.name.clone(),
        }
    }

    /// Names its file. Different artifacts have different files, whatever a playbook calls them.
    pub fn file_name(&self) -> String {
        match &self.member {
            Some(member) => format!("{}.{}", escaped(&self.name), escaped(member)),
            None => escaped(&self.name),
        }
    }

    /// Returns the same artifact of another component.
    pub fn sibling(&self, member: &str) -> Artifact {
        Artifact { member: Some(member.to_owned()), ..self.clone() }
    }
}

/// What fits into a file name stays; every other byte becomes `%XX`, as in a URL. The dot is the mark between two parts.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What is known of an artifact that is whole: the note beside its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFacts {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
    /// How many records it has, where it has records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Records by kind, where whoever made it knows kinds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, u64>,
    /// The step that made it.
    pub step: String,
    /// When that step was started, RFC 3339.
    pub since: String,
    /// Whether there are secrets in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

impl ArtifactFacts {
    /// Says in a few words how much it is.
    pub fn size(&self) -> String {
        let bytes = crate::words::bytes(self.bytes);
        match self.records {
            Some(records) => format!("{}, {bytes}", crate::words::count(records, "record")),
            None => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(name: &str, member: Option<&str>) -> Artifact {
        Artifact {
            name: name.to_owned(),
            member: member.map(str::to_owned),
            holds: "app.export.v1".to_owned(),
            format: ArtifactFormat::JsonValues,
            secret: true,
            unlike: Vec::new(),
        }
    }

    #[test]
    fn no_two_artifacts_share_a_file_and_none_leaves_its_folder() {
        let names = [("a", None), ("a", Some("b")), ("a.b", None), ("a%2Eb", None), ("../a", Some("/b"))];
        let files: Vec<String> =
            names.iter().map(|(name, member)| artifact(name, *member).file_name()).collect();
        assert_eq!(files, ["a", "a.b", "a%2Eb", "a%252Eb", "%2E%2E%2Fa.%2Fb"]);
        assert_eq!(artifact("export", Some("users")).label(), "export[users]");
        assert_eq!(artifact("export", Some("users")).sibling("runs").label(), "export[runs]");
    }
}
