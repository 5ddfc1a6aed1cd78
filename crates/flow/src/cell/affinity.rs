//! What a column of SQLite makes of a value that it is given (sqlite.org/datatype3.html §3).

use super::refuse::CellError;
use switchback_model::digest::Cell;

/// The affinity of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// Numbers become text.
    Text,
    /// Texts that are numbers become numbers, reals that are whole become integers. INTEGER is the same when storing.
    Numeric,
    /// As NUMERIC, and integers become reals.
    Real,
    /// Everything stays.
    Blob,
}

impl Affinity {
    /// Returns the affinity of a declared type, by the five rules in their order; `ANY` of a STRICT table keeps everything.
    pub fn of(declared: &str, strict: bool) -> Affinity {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if strict && declared == "ANY" {
            Affinity::Blob
        } else if has("INT") {
            Affinity::Numeric
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") || declared.is_empty() {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }

    /// Names it.
    pub fn name(self) -> &'static str {
        match self {
            Affinity::Text => "TEXT",
            Affinity::Numeric => "NUMERIC or INTEGER",
            Affinity::Real => "REAL",
            Affinity::Blob => "no",
        }
    }

    /// Refuses a value that would be stored as another.
    pub fn keeps(self, cell: Cell<'_>) -> Result<(), CellError> {
        let refuse = |becomes, declare| Err(CellError::Affinity { affinity: self.name(), becomes, declare });
        match (self, cell) {
            (Affinity::Text, Cell::Integer(_) | Cell::Real(_)) => refuse("a text", "INTEGER, REAL or BLOB"),
            (Affinity::Numeric | Affinity::Real, Cell::Text(text)) if looks_numeric(text) => {
                refuse("a number", "TEXT")
            }
            (Affinity::Real, Cell::Integer(_)) => refuse("a real", "INTEGER"),
            (Affinity::Numeric, Cell::Real(value)) if becomes_integer(value) => refuse("an integer", "REAL"),
            // Stored as the integer 0 to save space, and read back as a real without its sign.
            (Affinity::Real, Cell::Real(value)) if value == 0.0 && value.is_sign_negative() => {
                refuse("0.0 without its sign", "BLOB")
            }
            _ => Ok(()),
        }
    }
}

/// Hands over what a column of this affinity stores when it is given a constant as text.
pub fn stored<T>(affinity: Affinity, text: &str, with: impl FnOnce(Cell<'_>) -> T) -> T {
    let number = matches!(affinity, Affinity::Numeric | Affinity::Real) && looks_numeric(text.as_bytes());
    if !number {
        return with(Cell::Text(text.as_bytes()));
    }
    let text = text.trim_ascii();
    match (text.parse(), text.parse()) {
        (Ok(value), _) if affinity == Affinity::Numeric => with(Cell::Integer(value)),
        (_, Ok(value)) if affinity == Affinity::Numeric && becomes_integer(value) => {
            with(Cell::Integer(value as i64))
        }
        (_, Ok(value)) => with(Cell::Real(value)),
        (_, Err(_)) => with(Cell::Text(text.as_bytes())),
    }
}

/// Says whether SQLite takes the text for a number: an integer or real literal, spaces around it.
pub fn looks_numeric(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let (mut rest, mut fraction) = (&text[whole..], 0);
    if let Some(after) = rest.strip_prefix(b".") {
        fraction = digits(after);
        rest = &after[fraction..];
    }
    if whole + fraction == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

/// Says whether NUMERIC affinity stores the real as an integer.
fn becomes_integer(value: f64) -> bool {
    value.trunc() == value && value.abs() < 9_223_372_036_854_775_808.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLite is asked what it stores.
    #[test]
    fn sqlite_agrees_about_what_is_kept() {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let texts = [
            "1",
            " 1 ",
            "1.5",
            "1e3",
            "+.5",
            "5.",
            ".",
            "-",
            "1 2",
            "",
            "abc",
            "2024-01-01",
            "inf",
            "nan",
            "0x10",
            "1e",
            "1e+",
            "\t7\n",
            "12:00",
            "1_000",
            "９",
        ];
        let mut cells: Vec<Cell<'_>> = texts.iter().map(|text| Cell::Text(text.as_bytes())).collect();
        cells.extend([Cell::Integer(0), Cell::Integer(i64::MAX), Cell::Null, Cell::Blob(b"1")]);
        cells.extend([0.5, 3.0, -0.0, 1e18, 1e19, -1e300, f64::INFINITY, 9.3e18].map(Cell::Real));
        for declared in [
            "TEXT",
            "INTEGER",
            "DECIMAL(10,2)",
            "REAL",
            "BLOB",
            "",
            "VARCHAR(3)",
            "DATETIME",
            "FLOATING POINT",
        ] {
            let affinity = Affinity::of(declared, false);
            connection
                .execute_batch(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t(a {declared})"))
                .unwrap();
            for cell in &cells {
                let value = match *cell {
                    Cell::Null => ValueRef::Null,
                    Cell::Integer(value) => ValueRef::Integer(value),
                    Cell::Real(value) => ValueRef::Real(value),
                    Cell::Text(bytes) => ValueRef::Text(bytes),
                    Cell::Blob(bytes) => ValueRef::Blob(bytes),
                };
                connection.execute("DELETE FROM t", []).unwrap();
                connection.execute("INSERT INTO t VALUES (?1)", [ToSqlOutput::Borrowed(value)]).unwrap();
                connection
                    .query_row("SELECT a FROM t", [], |row| {
                        let stored = row.get_ref(0)?;
                        let bits = |value: ValueRef<'_>| match value {
                            ValueRef::Real(real) => Some(real.to_bits()),
                            _ => None,
                        };
                        let same = stored == value && bits(stored) == bits(value);
                        let kept = affinity.keeps(*cell);
                        assert_eq!(kept.is_ok(), same, "{declared}: {cell:?} became {stored:?}, {kept:?}");
                        Ok(())
                    })
                    .unwrap();
            }
        }
    }
}
