//! The types that cells are moved as.

use super::numeric::Limits;
use std::sync::Arc;

/// What a text of PostgreSQL may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextRule {
    /// Any text: `text`, `varchar`, `citext`.
    Free,
    /// At most so many characters: `varchar(n)`.
    Most(usize),
    /// Exactly so many characters, filled up with spaces: `char(n)`.
    Padded(usize),
    /// A `name`: at most 63 bytes.
    Name,
    /// One of the labels of an enum.
    Label {
        /// The enum.
        name: String,
        /// Its labels.
        labels: Arc<[String]>,
    },
}

/// The type of a cell on its way. On the way every cell is a field of PostgreSQL's binary COPY, whichever its ends are;
/// so two cells are equal if and only if their fields are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// SQLite to SQLite: the storage class in one byte, then the value.
    Raw,
    /// `boolean`.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `oid`.
    Oid,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`. With `free`, trailing zeros after the point mean nothing, because the SQLite end cannot keep them.
    Numeric {
        /// Precision and scale.
        limits: Option<Limits>,
        /// Whether `1.50` and `1.5` are equal.
        free: bool,
    },
    /// Every type whose binary form is its text.
    Text(TextRule),
    /// `json`: the text byte for byte.
    Json,
    /// `jsonb`: the text that PostgreSQL prints.
    Jsonb,
    /// `bytea`.
    Bytea,
    /// `uuid`.
    Uuid,
    /// `date`.
    Date,
    /// `time`, with its digits after the point.
    Time(Option<u8>),
    /// `timetz`.
    TimeTz(Option<u8>),
    /// `timestamp`.
    Timestamp(Option<u8>),
    /// `timestamptz`.
    TimestampTz(Option<u8>),
    /// `interval`.
    Interval(Option<u8>),
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// An array, as JSON in SQLite.
    Array {
        /// The type's number of the elements.
        oid: u32,
        /// Their type.
        element: Box<Kind>,
    },
}

impl Kind {
    /// Returns the type of PostgreSQL with this number and modifier (-1 for none), if it is one that is moved. Enums,
    /// domains, arrays and types of extensions are told apart by the catalog and are not known here.
    pub fn of(oid: u32, modifier: i32) -> Option<Kind> {
        let length = usize::try_from(modifier - 4).ok().filter(|_| modifier >= 4);
        let digits = u8::try_from(modifier).ok();
        Some(match oid {
            16 => Kind::Bool,
            17 => Kind::Bytea,
            19 => Kind::Text(TextRule::Name),
            20 => Kind::Int8,
            21 => Kind::Int2,
            23 => Kind::Int4,
            25 => Kind::Text(TextRule::Free),
            26 => Kind::Oid,
            114 => Kind::Json,
            650 => Kind::Cidr,
            700 => Kind::Float4,
            701 => Kind::Float8,
            869 => Kind::Inet,
            1042 => Kind::Text(length.map_or(TextRule::Free, TextRule::Padded)),
            1043 => Kind::Text(length.map_or(TextRule::Free, TextRule::Most)),
            1082 => Kind::Date,
            1083 => Kind::Time(digits),
            1114 => Kind::Timestamp(digits),
            1184 => Kind::TimestampTz(digits),
            // The high half names the fields of `interval day to second`, all of them by default; the low half the digits.
            1186 if modifier < 0 => Kind::Interval(None),
            1186 if modifier >> 16 == 0x7FFF => Kind::Interval(u8::try_from(modifier & 0xFFFF).ok()),
            1266 => Kind::TimeTz(digits),
            1700 => Kind::Numeric { limits: limits(modifier), free: false },
            2950 => Kind::Uuid,
            3802 => Kind::Jsonb,
            _ => return None,
        })
    }

    /// Names it in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Raw => "a SQLite value",
            Kind::Bool => "boolean",
            Kind::Int2 => "smallint",
            Kind::Int4 => "integer",
            Kind::Int8 => "bigint",
            Kind::Oid => "oid",
            Kind::Float4 => "real",
            Kind::Float8 => "double precision",
            Kind::Numeric { .. } => "numeric",
            Kind::Text(TextRule::Label { .. }) => "enum",
            Kind::Text(_) => "text",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
            Kind::Bytea => "bytea",
            Kind::Uuid => "uuid",
            Kind::Date => "date",
            Kind::Time(_) => "time",
            Kind::TimeTz(_) => "timetz",
            Kind::Timestamp(_) => "timestamp",
            Kind::TimestampTz(_) => "timestamptz",
            Kind::Interval(_) => "interval",
            Kind::Inet => "inet",
            Kind::Cidr => "cidr",
            Kind::Array { .. } => "array",
        }
    }
}

/// Reads the modifier of `numeric(precision, scale)`: the scale is eleven bits with a sign since PostgreSQL 15.
fn limits(modifier: i32) -> Option<Limits> {
    let modifier = modifier.checked_sub(4).filter(|modifier| *modifier >= 0)?;
    Some(Limits { precision: modifier >> 16 & 0xFFFF, scale: ((modifier & 0x7FF) ^ 1024) - 1024 })
}
