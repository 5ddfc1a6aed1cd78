//! Why a single value cannot be moved. Nothing is rounded, cut or skipped: what has no exact place is refused.

/// The reason why one value has no exact counterpart at the other end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The storage class is not one that the type is read from.
    #[error("{found} stands where {wanted} belongs")]
    Class {
        /// What is there, with an article.
        found: &'static str,
        /// What belongs there, with an article.
        wanted: &'static str,
    },
    /// The text does not say a value of the type.
    #[error("it is not {wanted}")]
    Form {
        /// What it should be, with an example.
        wanted: &'static str,
    },
    /// The value lies outside of what the type holds.
    #[error("it is out of the range of {wanted}")]
    Range {
        /// The type.
        wanted: &'static str,
    },
    /// Digits would be lost.
    #[error("it has more digits than {wanted} holds, and would be rounded")]
    Digits {
        /// The place.
        wanted: &'static str,
    },
    /// The text is longer than the column.
    #[error("it has {length} {unit}, and the column holds {limit}")]
    Long {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
        /// Characters or bytes.
        unit: &'static str,
    },
    /// PostgreSQL holds no NUL in a text.
    #[error("it holds a NUL byte (at byte {at}), which PostgreSQL cannot store in a text")]
    Nul {
        /// Where, from 0.
        at: usize,
    },
    /// PostgreSQL stores text as UTF-8 only.
    #[error("it is not UTF-8 (from byte {at} on)")]
    NotUtf8 {
        /// Where, from 0.
        at: usize,
    },
    /// SQLite turns NaN into NULL.
    #[error("it is NaN, which SQLite would turn into NULL")]
    NotANumber,
    /// The enum has no such label.
    #[error("the enum {name} has no such label")]
    Label {
        /// The type.
        name: String,
    },
    /// The column takes no NULL.
    #[error("the column takes no NULL")]
    Null,
    /// SQLite would store something else than what it is given.
    #[error("a column of {affinity} affinity would store {becomes} instead; declare the column {declare}")]
    Affinity {
        /// The affinity of the column.
        affinity: &'static str,
        /// What it would become.
        becomes: &'static str,
        /// What to declare it as.
        declare: &'static str,
    },
    /// An array that starts elsewhere than at 1 has no counterpart in JSON.
    #[error("its first index is {first}, and JSON has no place for that; move it as text")]
    Bounds {
        /// The first index.
        first: i32,
    },
    /// The bytes are not what the server sends for the type.
    #[error("the bytes received are not a value of type {wanted}")]
    Broken {
        /// The type.
        wanted: &'static str,
    },
}
