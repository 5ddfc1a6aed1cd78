//! Exact decimal numbers: between their text, whole numbers, reals and the binary form of `numeric`.

use super::refuse::CellError;

/// More digits than this before the point are no `numeric` (postgresql.org/docs/current/datatype-numeric.html).
const MOST_BEFORE: i64 = 131_072;
/// More digits than this after the point are no `numeric`.
const MOST_AFTER: i64 = 16_383;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;

/// Limits of a `numeric(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Digits in all.
    pub precision: i32,
    /// Digits after the point; negative rounds before it.
    pub scale: i32,
}

/// A number as people write it: digits, where the point is, and how many digits after it are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    sort: Sort,
    /// Significant digits, 0 to 9 each, without leading and trailing zeros.
    digits: Vec<u8>,
    /// How many of the digits stand before the point; may be negative or more than there are.
    point: i32,
    /// How many digits after the point are shown, trailing zeros included.
    scale: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Positive,
    Negative,
    NaN,
    Infinity,
    MinusInfinity,
}

impl Decimal {
    /// Reads `-12.50`, `1.5e-3`, `NaN`, `Infinity` or `-Infinity`. The digits after the point are kept as written.
    pub fn parse(text: &[u8]) -> Result<Decimal, CellError> {
        let odd = CellError::Form { wanted: "a number like -12.50" };
        let special = |sort| Ok(Decimal { sort, digits: Vec::new(), point: 0, scale: 0 });
        let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
        if is("nan") {
            return special(Sort::NaN);
        } else if is("infinity") || is("+infinity") {
            return special(Sort::Infinity);
        } else if is("-infinity") {
            return special(Sort::MinusInfinity);
        }
        let (negative, rest) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            Some((b'+', rest)) => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..]).ok_or_else(|| odd.clone())?),
            None => (rest, 0),
        };
        let (before, after) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &mantissa[..0]),
        };
        let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if before.len() + after.len() == 0 || !all_digits(before) || !all_digits(after) {
            return Err(odd);
        }
        let range = CellError::Range { wanted: "numeric" };
        let lengths = i64::try_from(before.len()).ok().zip(i64::try_from(after.len()).ok());
        let (length, fraction) = lengths.ok_or_else(|| range.clone())?;
        let (point, scale) = (length + exponent, (fraction - exponent).max(0));
        if scale > MOST_AFTER {
            return Err(range);
        }
        let digits: Vec<u8> = before.iter().chain(after).map(|byte| byte - b'0').collect();
        Decimal::normal(negative, digits, point, scale)
    }

    /// Returns the number of an integer.
    pub fn integer(value: i64) -> Decimal {
        let digits: Vec<u8> = value.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        let point = digits.len() as i64;
        let zero = Decimal { sort: Sort::Positive, digits: Vec::new(), point: 0, scale: 0 };
        Decimal::normal(value < 0, digits, point, 0).unwrap_or(zero)
    }

    /// Returns the shortest number that reads back as `value`, as both databases print it.
    pub fn real(value: f64) -> Result<Decimal, CellError> {
        let sort = if value.is_nan() {
            Sort::NaN
        } else if value == f64::INFINITY {
            Sort::Infinity
        } else if value == f64::NEG_INFINITY {
            Sort::MinusInfinity
        } else {
            return Decimal::parse(value.to_string().as_bytes());
        };
        Ok(Decimal { sort, digits: Vec::new(), point: 0, scale: 0 })
    }

    /// Reads the binary form.
    pub fn decode(bytes: &[u8]) -> Result<Decimal, CellError> {
        let broken = CellError::Broken { wanted: "numeric" };
        let word = |at: usize| {
            bytes
                .get(2 * at..2 * at + 2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .ok_or(broken.clone())
        };
        let (groups, weight, sign, scale) =
            (usize::from(word(0)?), i64::from(word(1)?.cast_signed()), word(2)?, i64::from(word(3)?));
        if bytes.len() != 8 + 2 * groups {
            return Err(broken);
        }
        let special = |sort| Ok(Decimal { sort, digits: Vec::new(), point: 0, scale: 0 });
        let negative = match sign {
            0 => false,
            NEGATIVE => true,
            NAN => return special(Sort::NaN),
            INFINITE => return special(Sort::Infinity),
            MINUS_INFINITE => return special(Sort::MinusInfinity),
            _ => return Err(broken),
        };
        let mut digits = Vec::with_capacity(4 * groups);
        for at in 0..groups {
            let group = word(4 + at)?;
            if group > 9999 {
                return Err(broken);
            }
            digits.extend(
                [group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| digit as u8),
            );
        }
        Decimal::normal(negative, digits, 4 * (weight + 1), scale)
    }

    /// Appends the binary form, as the server itself would send it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let word = |out: &mut Vec<u8>, value: u16| out.extend_from_slice(&value.to_be_bytes());
        let sign = match self.sort {
            Sort::Positive => 0,
            Sort::Negative => NEGATIVE,
            Sort::NaN => NAN,
            Sort::Infinity => INFINITE,
            Sort::MinusInfinity => MINUS_INFINITE,
        };
        // Groups of four digits, aligned at the point.
        let weight = (self.point + 3).div_euclid(4) - 1;
        let lead = usize::try_from(4 * (weight + 1) - self.point).unwrap_or(0);
        let groups = if self.digits.is_empty() { 0 } else { (lead + self.digits.len()).div_ceil(4) };
        word(out, groups as u16);
        word(out, if groups == 0 { 0 } else { (weight as i16).cast_unsigned() });
        word(out, sign);
        word(out, self.scale as u16);
        for group in 0..groups {
            let digit = |at: usize| {
                let at = (4 * group + at).checked_sub(lead);
                u16::from(at.and_then(|at| self.digits.get(at)).copied().unwrap_or(0))
            };
            word(out, digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3));
        }
    }

    /// Gives it the scale of its column, as the server does; refuses what the server would round.
    pub fn fit(mut self, limits: Option<Limits>) -> Result<Decimal, CellError> {
        let Some(limits) = limits else { return Ok(self) };
        match self.sort {
            Sort::NaN => return Ok(self),
            Sort::Infinity | Sort::MinusInfinity => {
                return Err(CellError::Range { wanted: "its numeric type" });
            }
            Sort::Positive | Sort::Negative => {}
        }
        if self.point > limits.precision - limits.scale && !self.digits.is_empty() {
            return Err(CellError::Range { wanted: "its numeric type" });
        }
        if self.digits.len() as i64 - i64::from(self.point) > i64::from(limits.scale)
            && !self.digits.is_empty()
        {
            return Err(CellError::Digits { wanted: "its numeric type" });
        }
        self.scale = limits.scale.max(0);
        Ok(self)
    }

    /// Drops trailing zeros after the point: `1.50` and `1.5` are the same number.
    pub fn shortest(mut self) -> Decimal {
        self.scale = (self.digits.len() as i32 - self.point).max(0);
        if self.digits.is_empty() {
            self.scale = 0;
        }
        self
    }

    /// Appends the text, as the server prints it.
    pub fn print(&self, out: &mut String) {
        match self.sort {
            Sort::NaN => return out.push_str("NaN"),
            Sort::Infinity => return out.push_str("Infinity"),
            Sort::MinusInfinity => return out.push_str("-Infinity"),
            Sort::Negative => out.push('-'),
            Sort::Positive => {}
        }
        let digit = |at: i32| {
            let at = usize::try_from(at).ok();
            char::from(b'0' + at.and_then(|at| self.digits.get(at)).copied().unwrap_or(0))
        };
        if self.point <= 0 {
            out.push('0');
        }
        (0..self.point).for_each(|at| out.push(digit(at)));
        if self.scale > 0 {
            out.push('.');
            (self.point..self.point + self.scale).for_each(|at| out.push(digit(at)));
        }
    }

    /// Returns it as an integer, if it is one that SQLite holds.
    pub fn to_integer(&self) -> Option<i64> {
        if matches!(self.sort, Sort::Positive | Sort::Negative)
            && (self.digits.is_empty() || (self.digits.len() as i32) <= self.point && self.point <= 19)
        {
            let mut text = String::new();
            self.clone().shortest().print(&mut text);
            text.parse().ok()
        } else {
            None
        }
    }

    /// Returns the real number that prints as exactly this, if there is one.
    pub fn to_real(&self) -> Option<f64> {
        if !matches!(self.sort, Sort::Positive | Sort::Negative) {
            return None;
        }
        let (mut text, wanted) = (String::new(), self.clone().shortest());
        wanted.print(&mut text);
        let value: f64 = text.parse().ok()?;
        let back = Decimal::real(value).ok()?.shortest();
        (value.is_finite() && back == wanted).then_some(value)
    }

    fn normal(negative: bool, mut digits: Vec<u8>, point: i64, scale: i64) -> Result<Decimal, CellError> {
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..leading);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let point = if digits.is_empty() { 0 } else { point - leading as i64 };
        if point > MOST_BEFORE || digits.len() as i64 - point > MOST_AFTER || scale > MOST_AFTER {
            return Err(CellError::Range { wanted: "numeric" });
        }
        let sort = if negative && !digits.is_empty() { Sort::Negative } else { Sort::Positive };
        Ok(Decimal { sort, digits, point: point as i32, scale: scale as i32 })
    }
}

/// Reads an exponent that leaves room to add to it.
fn exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Far out of range either way: the limits refuse it.
    Some(text.parse().unwrap_or(i64::from(i32::MAX)).clamp(-1_000_000, 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: &Decimal) -> String {
        let mut out = String::new();
        number.print(&mut out);
        out
    }

    fn bytes(number: &Decimal) -> Vec<u8> {
        let mut out = Vec::new();
        number.encode(&mut out);
        out
    }

    #[test]
    fn texts_come_back_as_the_server_prints_them() {
        for (given, wanted) in [
            ("0", "0"),
            ("-0.00", "0.00"),
            ("1.50", "1.50"),
            ("+007.100", "7.100"),
            ("1e5", "100000"),
            ("1.50e1", "15.0"),
            ("1.5e-3", "0.0015"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-123456789.000000001", "-123456789.000000001"),
            ("10000", "10000"),
            ("0.0001", "0.0001"),
            ("0.00001", "0.00001"),
            ("nan", "NaN"),
            ("-INFINITY", "-Infinity"),
        ] {
            let number = Decimal::parse(given.as_bytes()).unwrap();
            assert_eq!(text(&number), wanted);
            assert_eq!(Decimal::decode(&bytes(&number)).unwrap(), number, "{given}");
        }
        for odd in ["", ".", "-", "1e", "1e+", "0x10", "1 ", "１", "1e999999", "1e-99999", "--1", "inf"] {
            assert!(Decimal::parse(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_binary_form_is_the_servers() {
        let form = |text: &str| bytes(&Decimal::parse(text.as_bytes()).unwrap());
        assert_eq!(form("12345.67"), [0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 0x09, 0x29, 0x1A, 0x2C]);
        assert_eq!(form("-0.0001"), [0, 1, 0xFF, 0xFF, 0x40, 0, 0, 4, 0, 1]);
        assert_eq!(form("0.0"), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes(&Decimal::integer(i64::MIN)), form("-9223372036854775808"));
    }

    #[test]
    fn limits_pad_and_refuse_to_round() {
        let limits = Some(Limits { precision: 5, scale: 2 });
        let fit = |text: &str| Decimal::parse(text.as_bytes()).unwrap().fit(limits);
        assert_eq!(text(&fit("1.5").unwrap()), "1.50");
        assert_eq!(text(&fit("1.5000").unwrap()), "1.50");
        assert_eq!(fit("1.505"), Err(CellError::Digits { wanted: "its numeric type" }));
        assert_eq!(fit("1000"), Err(CellError::Range { wanted: "its numeric type" }));
        assert_eq!(text(&fit("0").unwrap()), "0.00");
        let hundreds = Some(Limits { precision: 3, scale: -2 });
        assert_eq!(text(&Decimal::integer(12300).fit(hundreds).unwrap()), "12300");
        assert!(Decimal::integer(12345).fit(hundreds).is_err());
    }

    #[test]
    fn reals_are_exact_or_none() {
        let number = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
        assert_eq!(number("0.10").to_real(), Some(0.1));
        assert_eq!(number("0.1000000000000000055511151231257827").to_real(), None);
        assert_eq!(number("9223372036854775807").to_integer(), Some(i64::MAX));
        assert_eq!(number("-9223372036854775808").to_integer(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").to_integer(), None);
        assert_eq!(number("1.0").to_integer(), Some(1));
        assert_eq!(number("1.1").to_integer(), None);
    }
}
