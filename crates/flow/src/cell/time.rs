//! Dates, times and intervals: between their texts and microseconds, as PostgreSQL counts them from 2000-01-01.

use super::refuse::CellError;
use std::fmt::Write;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH: i64 = 10_957;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// The earliest day, 4714-11-24 BC, which is Julian day 0.
const FIRST_DAY: i64 = -2_451_545;
/// The first day after the last: 5874898-01-01.
const LAST_DAY: i64 = 2_145_031_949;
/// Timestamps end before 294277-01-01 (src/include/datatype/timestamp.h, END_TIMESTAMP).
const LAST_STAMP: i64 = 9_223_371_331_200_000_000;
const FIRST_STAMP: i64 = FIRST_DAY * DAY;

const DATE: &str = "a date like 2024-02-29";
const TIME: &str = "a time like 23:59:59.123456";
const STAMP: &str = "a time stamp like 2024-02-29 23:59:59.123456";
const SPAN: &str = "an ISO 8601 duration like P1M2DT3H4M5.6S";

/// Reads a date into days; a midnight behind it is allowed.
pub fn parse_date(text: &str) -> Result<i32, CellError> {
    match infinite(text) {
        Some(true) => return Ok(i32::MAX),
        Some(false) => return Ok(i32::MIN),
        None => {}
    }
    let (text, before_christ) = era(text);
    let (day, rest) = day(text, before_christ).ok_or(CellError::Form { wanted: DATE })?;
    if !rest.is_empty() && clock(rest.get(1..).unwrap_or("x")) != Some((0, "")) {
        return Err(CellError::Form { wanted: DATE });
    }
    if !(FIRST_DAY..LAST_DAY).contains(&day) {
        return Err(CellError::Range { wanted: "date" });
    }
    i32::try_from(day).map_err(|_| CellError::Range { wanted: "date" })
}

/// Reads a time of day into microseconds.
pub fn parse_time(text: &str) -> Result<i64, CellError> {
    match clock(text) {
        Some((micros, "")) => Ok(micros),
        _ => Err(CellError::Form { wanted: TIME }),
    }
}

/// Reads a time of day with its zone into microseconds and seconds *west* of Greenwich.
pub fn parse_zoned_time(text: &str) -> Result<(i64, i32), CellError> {
    let odd = || CellError::Form { wanted: "a time with its zone like 23:59:59+02:00" };
    let (micros, rest) = clock(text).ok_or_else(odd)?;
    let east = zone(rest).ok_or_else(odd)?;
    Ok((micros, -east))
}

/// Reads a time stamp into microseconds. With `zoned`, an offset is taken in, and without one it is UTC, as SQLite's own
/// functions have it; else an offset is refused, because it would be lost.
pub fn parse_stamp(text: &str, zoned: bool) -> Result<i64, CellError> {
    match infinite(text) {
        Some(true) => return Ok(i64::MAX),
        Some(false) => return Ok(i64::MIN),
        None => {}
    }
    let odd = || CellError::Form { wanted: STAMP };
    let (text, before_christ) = era(text);
    let (day, rest) = day(text, before_christ).ok_or_else(odd)?;
    let (micros, east) = match rest.as_bytes().first() {
        None => (0, 0),
        Some(b' ' | b'T') => {
            let (micros, rest) = clock(&rest[1..]).ok_or_else(odd)?;
            match rest {
                "" => (micros, 0),
                _ if zoned => (micros, zone(rest).ok_or_else(odd)?),
                _ => return Err(odd()),
            }
        }
        Some(_) => return Err(odd()),
    };
    let range = CellError::Range { wanted: if zoned { "timestamptz" } else { "timestamp" } };
    let stamp = day
        .checked_mul(DAY)
        .and_then(|stamp| stamp.checked_add(micros))
        .and_then(|stamp| stamp.checked_sub(i64::from(east) * 1_000_000));
    match stamp {
        Some(stamp) if (FIRST_STAMP..LAST_STAMP).contains(&stamp) => Ok(stamp),
        _ => Err(range),
    }
}

/// Refuses microseconds that a precision of `digits` after the point would round.
pub fn fits(micros: i64, digits: Option<u8>) -> Result<(), CellError> {
    let Some(digits) = digits.filter(|digits| *digits < 6) else { return Ok(()) };
    if matches!(micros, i64::MIN | i64::MAX) || micros % 10_i64.pow(6 - u32::from(digits)) == 0 {
        Ok(())
    } else {
        Err(CellError::Digits { wanted: "the precision of its column" })
    }
}

/// Appends a date.
pub fn print_date(out: &mut String, days: i32) {
    if let Some(word) = infinity(i64::from(days), i64::from(i32::MIN), i64::from(i32::MAX)) {
        return out.push_str(word);
    }
    if print_day(out, i64::from(days)) {
        out.push_str(" BC");
    }
}

/// Appends a time of day.
pub fn print_time(out: &mut String, micros: i64) {
    let seconds = micros / 1_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    print_fraction(out, micros % 1_000_000);
}

/// Appends a time of day with its zone, given in seconds west of Greenwich.
pub fn print_zoned_time(out: &mut String, micros: i64, west: i32) {
    print_time(out, micros);
    let (sign, west) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
    let _ = write!(out, "{sign}{:02}:{:02}", west / 3600, west / 60 % 60);
    if !west.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", west % 60);
    }
}

/// Appends a time stamp; with `zoned`, as UTC and saying so.
pub fn print_stamp(out: &mut String, stamp: i64, zoned: bool) {
    if let Some(word) = infinity(stamp, i64::MIN, i64::MAX) {
        return out.push_str(word);
    }
    let before_christ = print_day(out, stamp.div_euclid(DAY));
    out.push(' ');
    print_time(out, stamp.rem_euclid(DAY));
    if zoned {
        out.push_str("+00:00");
    }
    if before_christ {
        out.push_str(" BC");
    }
}

/// An interval: its three parts are independent, because months and days have no fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Months, 12 a year.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// Reads an ISO 8601 duration; every part has its own sign: `P-1M2DT-0.5S`. Years are 12 months, weeks 7 days.
    pub fn parse(text: &str) -> Result<Interval, CellError> {
        let mut parts = (0i64, 0i64, 0i128);
        let read = |text: &str, parts: &mut (i64, i64, i128)| -> Option<()> {
            let text = text.strip_prefix('P')?;
            let (date, time) = match text.split_once('T') {
                Some((_, "")) => return None,
                Some((date, time)) => (date, time),
                None => (text, ""),
            };
            if date.is_empty() && time.is_empty() {
                return None;
            }
            for (number, unit) in pieces(date)? {
                let number: i64 = number.parse().ok()?;
                match unit {
                    'Y' => parts.0 = parts.0.checked_add(number.checked_mul(12)?)?,
                    'M' => parts.0 = parts.0.checked_add(number)?,
                    'W' => parts.1 = parts.1.checked_add(number.checked_mul(7)?)?,
                    'D' => parts.1 = parts.1.checked_add(number)?,
                    _ => return None,
                }
            }
            for (number, unit) in pieces(time)? {
                let micros = match unit {
                    'H' => i128::from(number.parse::<i64>().ok()?) * 3_600_000_000,
                    'M' => i128::from(number.parse::<i64>().ok()?) * 60_000_000,
                    'S' => seconds(number)?,
                    _ => return None,
                };
                parts.2 = parts.2.checked_add(micros)?;
            }
            Some(())
        };
        read(text, &mut parts).ok_or(CellError::Form { wanted: SPAN })?;
        let range = |_| CellError::Range { wanted: "interval" };
        Ok(Interval {
            months: i32::try_from(parts.0).map_err(range)?,
            days: i32::try_from(parts.1).map_err(range)?,
            micros: i64::try_from(parts.2).map_err(range)?,
        })
    }

    /// Appends it as an ISO 8601 duration.
    pub fn print(&self, out: &mut String) {
        out.push('P');
        for (number, unit) in [(self.months / 12, 'Y'), (self.months % 12, 'M'), (self.days, 'D')] {
            if number != 0 {
                let _ = write!(out, "{number}{unit}");
            }
        }
        if self.micros == 0 && (self.months, self.days) != (0, 0) {
            return;
        }
        out.push('T');
        let seconds = self.micros / 1_000_000;
        for (number, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if number != 0 {
                let _ = write!(out, "{number}{unit}");
            }
        }
        let (rest, fraction) = (seconds % 60, self.micros % 1_000_000);
        if rest != 0 || fraction != 0 || self.micros == 0 {
            let sign = if self.micros < 0 { "-" } else { "" };
            let _ = write!(out, "{sign}{}", rest.unsigned_abs());
            print_fraction(out, fraction.abs());
            out.push('S');
        }
    }
}

/// Splits `3H-4.5S` into numbers and their units.
fn pieces(text: &str) -> Option<Vec<(&str, char)>> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for (at, unit) in text.char_indices().filter(|(_, letter)| letter.is_ascii_alphabetic()) {
        pieces.push((text.get(from..at)?, unit));
        from = at + 1;
    }
    (from == text.len()).then_some(pieces)
}

/// Reads seconds with at most six digits after the point that mean something.
fn seconds(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, rest) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let (fraction, rest) = fraction(rest)?;
    let value = i128::from(whole.parse::<i64>().ok()?) * 1_000_000 + i128::from(fraction);
    rest.is_empty().then_some(if negative { -value } else { value })
}

fn infinite(text: &str) -> Option<bool> {
    match text {
        "infinity" => Some(true),
        "-infinity" => Some(false),
        _ => None,
    }
}

fn infinity(value: i64, least: i64, most: i64) -> Option<&'static str> {
    (value == most).then_some("infinity").or((value == least).then_some("-infinity"))
}

fn era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

/// Reads `YYYY-MM-DD` off the front; years may have more than four digits.
fn day(text: &str, before_christ: bool) -> Option<(i64, &str)> {
    let dash = text.find('-').filter(|at| (4..=7).contains(at))?;
    let rest = text.get(dash + 6..)?;
    let bytes = text.as_bytes();
    if bytes[dash + 3] != b'-' {
        return None;
    }
    let number = |part: &str| -> Option<i64> {
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let year = number(&text[..dash])?;
    let month = number(text.get(dash + 1..dash + 3)?)?;
    let day = number(text.get(dash + 4..dash + 6)?)?;
    if year == 0 {
        return None;
    }
    // 1 BC is the year 0 of the arithmetic.
    let year = if before_christ { 1 - year } else { year };
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=longest).contains(&day).then(|| (days_from_civil(year, month, day) - EPOCH, rest))
}

/// Reads `HH:MM[:SS[.ffffff]]` off the front; `24:00:00` is the end of a day.
fn clock(text: &str) -> Option<(i64, &str)> {
    let two = |at: usize| -> Option<i64> {
        let part = text.get(at..at + 2)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (hours, minutes) = (two(0)?, two(3)?);
    if text.as_bytes()[2] != b':' {
        return None;
    }
    let (seconds, rest) = match text.as_bytes().get(5) {
        Some(b':') => (two(6)?, text.get(8..)?),
        _ => (0, text.get(5..)?),
    };
    let (fraction, rest) = fraction(rest)?;
    let micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    (minutes < 60 && seconds < 60 && micros <= DAY && hours <= 24).then_some((micros, rest))
}

/// Reads `.ffffff` off the front, if it is there; more digits must be zeros, because they would be rounded.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = rest.split_at(length);
    let (digits, zeros) = digits.split_at(length.min(6));
    if length == 0 || zeros.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let value: i64 = digits.parse().ok()?;
    Some((value * 10_i64.pow(6 - digits.len() as u32), rest))
}

/// Reads `Z`, `+HH`, `+HHMM`, `+HH:MM` or `+HH:MM:SS` into seconds east of Greenwich.
fn zone(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits: String = rest.split(':').collect();
    let shape = matches!((rest.len(), digits.len()), (2, 2) | (4, 4) | (5, 4) | (8, 6));
    let colons = rest.bytes().enumerate().all(|(at, byte)| (byte == b':') == (rest.len() > 4 && at % 3 == 2));
    if !shape || !colons || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| -> i32 { digits.get(at..at + 2).and_then(|part| part.parse().ok()).unwrap_or(0) };
    let (hours, minutes, seconds) = (part(0), part(2), part(4));
    // The server takes less than 16 hours (src/include/datatype/timestamp.h, MAX_TZDISP_HOUR).
    (hours < 16 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn print_day(out: &mut String, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days + EPOCH);
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    year <= 0
}

fn print_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (howardhinnant.github.io/date_algorithms.html).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(print: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        print(&mut out);
        out
    }

    #[test]
    fn dates_come_back_over_the_whole_range() {
        for (text, days) in [
            ("2000-01-01", 0),
            ("1999-12-31", -1),
            ("2024-02-29", 8825),
            ("4714-11-24 BC", -2_451_545),
            ("5874897-12-31", 2_145_031_948),
            ("0001-12-31 BC", -730_120),
            ("infinity", i32::MAX),
            ("-infinity", i32::MIN),
        ] {
            assert_eq!(parse_date(text), Ok(days), "{text}");
            assert_eq!(shown(|out| print_date(out, days)), text);
        }
        assert_eq!(parse_date("2024-02-29 00:00:00"), Ok(8825));
        for odd in [
            "2023-02-29",
            "2024-02-29 00:00:01",
            "24-01-01",
            "0000-01-01",
            "2024-1-1",
            "2024-01-01x",
            "",
            "2024-01-01 ",
        ] {
            assert!(parse_date(odd).is_err(), "{odd}");
        }
        assert!(parse_date("4714-11-23 BC").is_err());
    }

    #[test]
    fn stamps_keep_microseconds_and_say_their_zone() {
        assert_eq!(parse_stamp("2000-01-01T00:00:00.000001", false), Ok(1));
        assert_eq!(parse_stamp("2000-01-01 02:00:00+02:00", true), Ok(0));
        assert_eq!(parse_stamp("2000-01-01 00:00Z", true), Ok(0));
        assert_eq!(parse_stamp("1999-12-31 18:30:00-0530", true), Ok(0));
        assert_eq!(parse_stamp("2000-01-01", true), Ok(0));
        for odd in
            ["2000-01-01 00:00:00+00", "2000-01-01 00:00:00.0000001", "2000-01-01 00:60:00", "946684800"]
        {
            assert!(parse_stamp(odd, false).is_err(), "{odd}");
        }
        for stamp in [0, 1, -1, FIRST_STAMP, LAST_STAMP - 1, i64::MAX, i64::MIN, -63_145_440_000_000_000] {
            for zoned in [false, true] {
                let text = shown(|out| print_stamp(out, stamp, zoned));
                assert_eq!(parse_stamp(&text, zoned), Ok(stamp), "{text}");
            }
        }
        assert_eq!(shown(|out| print_stamp(out, 1_500_000, true)), "2000-01-01 00:00:01.5+00:00");
        assert!(fits(1_500_000, Some(0)).is_err() && fits(1_500_000, Some(1)).is_ok());
    }

    #[test]
    fn times_with_zones_keep_them() {
        for (text, west) in [("23:59:59.5+02:00", -7200), ("24:00:00-15:59:59", 57599), ("00:00:00+00:00", 0)]
        {
            let (micros, found) = parse_zoned_time(text).unwrap();
            assert_eq!(found, west);
            assert_eq!(shown(|out| print_zoned_time(out, micros, west)), text);
        }
        assert!(parse_zoned_time("12:00:00").is_err());
        assert!(parse_time("24:00:00.000001").is_err());
        assert!(parse_time("12:00:00+00").is_err());
    }

    #[test]
    fn intervals_keep_their_three_parts() {
        for (text, months, days, micros) in [
            ("PT0S", 0, 0, 0),
            ("P1Y2M3DT4H5M6.5S", 14, 3, 14_706_500_000),
            ("P-1Y-2M3DT-4H-5M-6.5S", -14, 3, -14_706_500_000),
            ("PT-0.000001S", 0, 0, -1),
            ("P1D", 0, 1, 0),
            ("PT2562047788H54.775807S", 0, 0, i64::MAX),
        ] {
            let wanted = Interval { months, days, micros };
            let text = if micros == i64::MAX { shown(|out| wanted.print(out)) } else { text.to_owned() };
            assert_eq!(Interval::parse(&text), Ok(wanted), "{text}");
            assert_eq!(shown(|out| wanted.print(out)), text);
        }
        let least = Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN };
        assert_eq!(Interval::parse(&shown(|out| least.print(out))), Ok(least));
        for odd in ["", "P", "PT", "1 day", "P1", "PT1.0000001S", "P1S", "P1DT"] {
            assert!(Interval::parse(odd).is_err(), "{odd}");
        }
    }
}
