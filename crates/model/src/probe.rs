//! The one probe grammar: a question to the site and the answer that is wanted.

use crate::artifact::{Artifact, ArtifactFormat};
use crate::config::ConfigFormat;
use crate::program::{IndexOf, Named};
use crate::schema_file::SchemaDescription;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A database, or the copy of it that this run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Name of the target.
    pub target: String,
    /// Whether the backup of this run is meant (`db@backup`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordsFrom {
    /// An artifact of this run.
    Artifact(Artifact),
    /// The answer to a GET, of any size.
    Url(String),
}

impl RecordsFrom {
    /// Names it for people.
    pub fn describe(&self) -> String {
        match self {
            RecordsFrom::Artifact(artifact) => artifact.label(),
            RecordsFrom::Url(url) => url.clone(),
        }
    }
}

/// The question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// Rows of a query.
    Sql {
        /// Where.
        store: Store,
        /// One statement that reads.
        sql: String,
        /// Values of its named parameters.
        params: BTreeMap<String, Value>,
    },
    /// All rows of a table; columns are given as *here → there* when compared.
    Table {
        /// Where.
        store: Store,
        /// The schema of the table; none in SQLite, which has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<String>,
        /// The table.
        table: String,
        /// Column of this table → column of the other; `*` → `*` stands for all that are not named.
        columns: BTreeMap<String, String>,
    },
    /// An HTTP answer.
    Get {
        /// Full URL.
        url: String,
        /// What to take from its JSON; without it, the whole.
        jq: Option<String>,
        /// The status that the answer must have; `None` means any of 200 to 299.
        status: Option<u16>,
    },
    /// What a jq program makes of records: each output is a row.
    Records {
        /// Where they are.
        from: RecordsFrom,
        /// How they follow each other.
        format: ArtifactFormat,
        /// The program, run over each of them.
        program: Named,
        /// Made from them first; the program looks into these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        index: Vec<IndexOf>,
        /// Whether the number of outputs is the answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        count: bool,
    },
    /// A text known beforehand.
    Text {
        /// The text.
        text: String,
    },
    /// The content of a file target.
    File {
        /// Name of the target.
        target: String,
    },
    /// What differs between a schema and its description.
    Schema {
        /// Where.
        store: Store,
        /// The schema.
        schema: String,
        /// The file of the playbook that describes it.
        file: String,
        /// What it says.
        expected: Box<SchemaDescription>,
    },
    /// What differs from the fingerprint that was taken when the writers had gone.
    Unchanged {
        /// Name of the target.
        target: String,
    },
    /// The value of a key of a config file, as text; null where there is no such key.
    Config {
        /// Name of the file target.
        target: String,
        /// What the file is.
        format: ConfigFormat,
        /// The key.
        key: String,
    },
    /// What a command prints.
    Run {
        /// Program and arguments.
        argv: Vec<String>,
        /// The exit status that it must have.
        exit: i32,
    },
}

/// The wanted answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// There is an answer, and it is not `false` and not `null`; for SQL, at least one row.
    Holds,
    /// The answer is exactly one of these values.
    Is {
        /// The values.
        any: Vec<Value>,
    },
    /// There is no row.
    None,
    /// The answer equals another's.
    SameAs {
        /// The other question.
        other: Box<Ask>,
    },
    /// The answer, as text, matches.
    Matches {
        /// A regular expression.
        regex: String,
    },
    /// The answer, as text, does not match.
    Lacks {
        /// A regular expression.
        regex: String,
    },
}

/// A question, the answer that is wanted, and what to say when it is another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The question.
    pub ask: Ask,
    /// The wanted answer.
    pub verdict: Verdict,
    /// What is wrong when the answer is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// What mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// For how long the question is asked again, in milliseconds.
    #[serde(default)]
    pub within_ms: u64,
}

impl Ask {
    /// Says what is asked, as a noun phrase.
    pub fn describe(&self) -> String {
        match self {
            Ask::Sql { store, sql, .. } => format!("`{}` in {}", shorten(sql), store.describe()),
            Ask::Table { store, schema: Some(schema), table, .. } => {
                format!("table `{schema}.{table}` in {}", store.describe())
            }
            Ask::Table { store, table, .. } => format!("table `{table}` in {}", store.describe()),
            Ask::Get { url, jq: Some(jq), .. } => format!("`{}` of {url}", shorten(jq)),
            Ask::Get { url, .. } => url.clone(),
            Ask::Records { from, program: Named { name, program }, count, .. } => {
                let program = if name.ends_with(".jq") { name.clone() } else { shorten(program) };
                let what = if *count { "the number of " } else { "" };
                format!("{what}`{program}` of {}", from.describe())
            }
            Ask::Text { text } => format!("`{}`", shorten(text)),
            Ask::File { target } => format!("file {target}"),
            Ask::Schema { store, schema, file, .. } => {
                format!("what differs between {file} and schema {schema} in {}", store.describe())
            }
            Ask::Config { target, key, .. } => format!("`{key}` in {target}"),
            Ask::Unchanged { target } => format!("what changed in {target} since the writers went"),
            Ask::Run { argv, .. } => format!("`{}`", argv.join(" ")),
        }
    }

    /// The artifact that it looks into.
    pub fn artifact(&self) -> Option<&Artifact> {
        match self {
            Ask::Records { from: RecordsFrom::Artifact(artifact), .. } => Some(artifact),
            _ => None,
        }
    }

    /// The stores that it looks into.
    pub fn store(&self) -> Option<&Store> {
        match self {
            Ask::Sql { store, .. } | Ask::Table { store, .. } | Ask::Schema { store, .. } => Some(store),
            _ => None,
        }
    }
}

impl Store {
    /// Reads `db` or `db@backup`.
    pub fn parse(text: &str) -> Store {
        match text.strip_suffix("@backup") {
            Some(target) => Store { target: target.to_owned(), backup: true },
            None => Store { target: text.to_owned(), backup: false },
        }
    }

    /// Names it for people.
    pub fn describe(&self) -> String {
        if self.backup { format!("the backup of {}", self.target) } else { self.target.clone() }
    }
}

impl Probe {
    /// Says what is wanted, as a sentence without a full stop.
    pub fn describe(&self) -> String {
        if let Ask::Unchanged { target } = &self.ask {
            return format!("{target} is as it was when the writers had gone");
        }
        if let Ask::Schema { store, schema, file, .. } = &self.ask {
            return format!("schema {schema} in {} is as {file} describes it", store.describe());
        }
        let ask = self.ask.describe();
        match &self.verdict {
            Verdict::Holds => format!("{ask} holds"),
            Verdict::Is { any } => {
                let values: Vec<_> = any.iter().map(ToString::to_string).collect();
                format!("{ask} is {}", values.join(" or "))
            }
            Verdict::None => format!("{ask} finds nothing"),
            Verdict::SameAs { other } => format!("{ask} equals {}", other.describe()),
            Verdict::Matches { regex } => format!("{ask} matches `{regex}`"),
            Verdict::Lacks { regex } => format!("{ask} does not match `{regex}`"),
        }
    }

    /// Every artifact that it looks into.
    pub fn artifacts(&self) -> Vec<&Artifact> {
        let other = match &self.verdict {
            Verdict::SameAs { other } => Some(other.as_ref()),
            _ => None,
        };
        self.ask.artifact().into_iter().chain(other.and_then(Ask::artifact)).collect()
    }

    /// Every store that it looks into.
    pub fn stores(&self) -> Vec<&Store> {
        let other = match &self.verdict {
            Verdict::SameAs { other } => other.store(),
            _ => None,
        };
        self.ask.store().into_iter().chain(other).collect()
    }
}

/// The first line of a program, cut to a length that fits a line.
fn shorten(text: &str) -> String {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--")).unwrap_or("");
    if line.chars().count() <= 60 && text.lines().count() <= 1 {
        line.to_owned()
    } else {
        line.chars().take(57).collect::<String>() + "…"
    }
}
