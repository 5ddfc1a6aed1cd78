//! Why a config file cannot be read or edited.

/// Why a look at a config file, or an edit of it, has no result. The text fits after "cannot"; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file does not follow its format.
    #[error("read it as {format}: line {line}: {problem}")]
    Syntax {
        /// The format, as people call it.
        format: &'static str,
        /// The line, counted from one.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A key stands more than once, and readers differ on which one counts.
    #[error("tell which `{key}` counts: it stands in line {first} and in line {second}")]
    Twice {
        /// The key.
        key: String,
        /// Line of the first.
        first: usize,
        /// Line of the second.
        second: usize,
    },
    /// The key is none in this format.
    #[error("take `{key}` for a key: {problem}")]
    Key {
        /// The key as written.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Something else stands where the key would lead.
    #[error("follow `{key}`: in line {line} there is {what}")]
    InTheWay {
        /// The key.
        key: String,
        /// Line of what is there.
        line: usize,
        /// What is there, with its article.
        what: String,
    },
    /// What would change is used in other places as well.
    #[error("change `{key}` alone: what stands in line {line} is shared as `{anchor}` with {others}")]
    Shared {
        /// The key.
        key: String,
        /// Line of the anchor.
        line: usize,
        /// The anchor with its sign.
        anchor: String,
        /// Where it is used.
        others: String,
    },
    /// Both names of a rename are there.
    #[error("rename `{from}` to `{to}`: both are there")]
    Both {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// The value cannot be written so that every reader of the format takes it for the same.
    #[error("write the value of `{key}`: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The edit would have changed more than it was meant to, or something else.
    #[error("change `{key}` and nothing else: {problem}")]
    Unsure {
        /// The key.
        key: String,
        /// What came out instead.
        problem: String,
    },
}

impl EditError {
    pub(super) fn unsure(key: &str, problem: impl Into<String>) -> EditError {
        EditError::Unsure { key: key.to_owned(), problem: problem.into() }
    }

    /// Returns what to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            EditError::Syntax { .. } => "mend that line, then plan again",
            EditError::Twice { .. } => "remove the one that does not count, then plan again",
            EditError::Shared { .. } => "write the value out where the anchor is used, then plan again",
            EditError::Both { .. } => "keep the one that counts, then plan again",
            EditError::Key { .. } | EditError::Value { .. } => "mend the playbook or the input it comes from",
            EditError::InTheWay { .. } | EditError::Unsure { .. } => {
                "edit the file by hand as the step says, then plan again"
            }
        }
    }
}

/// Returns the line of a byte, counted from one.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
