//! What jaq gets from us: regular expressions that know Unicode, strict parsing, and the pure part of its library.
//!
//! jaq-std only exports its formatting, mathematical and time functions together with its ASCII-only regular
//! expressions, so the ones that transforms use are here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use bytes::Bytes;
use jaq_core::load::parse::Def;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Cv, Error, ValR, ValT as _, ValXs};
use jaq_json::{Map, Val};
use jaq_std::ValT as _;
use regex::{Regex, RegexBuilder};

use super::json;
use super::time;
use super::world::{self, Data};

/// Definitions of the libraries that need what we do not have: outlets, exits, and seldom used mathematics.
const DROPPED_DEFS: &[&str] = &[
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    // Replaced below: jaq reads `"12a" | tonumber` as 12, followed by errors without end.
    "tonumber",
    "toboolean",
];

/// Natives of the libraries that are dropped or replaced below.
const DROPPED_FUNS: &[&str] = &["halt", "fromjson"];

const OUR_DEFS: &str = r#"
def tonumber:  if isnumber  then . else parse_number end;
def toboolean: if isboolean then . elif . == "true" then true elif . == "false" then false
               else error("cannot parse as boolean") end;
"#;

/// Returns the definitions that every program sees.
pub(super) fn defs(over_records: bool) -> Vec<Def<&'static str>> {
    static WORLD: LazyLock<Vec<Def<&'static str>>> =
        LazyLock::new(|| jaq_core::load::parse(world::DEFS, |parser| parser.defs()).unwrap_or_default());
    static DEFS: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
        let ours = jaq_core::load::parse(OUR_DEFS, |parser| parser.defs()).unwrap_or_default();
        let kept = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        kept.filter(|def| !DROPPED_DEFS.contains(&def.name)).chain(ours).collect()
    });
    DEFS.iter().chain(WORLD.iter().filter(|_| over_records)).cloned().collect()
}

/// Returns the native functions that every program sees, and with `over_records` those of a program over records.
pub(super) fn funs(over_records: bool) -> Vec<Fun<Data>> {
    let core = jaq_core::funs::<Data>();
    let std = jaq_std::base_funs::<Data>().chain(jaq_json::funs::<Data>());
    let std = std.filter(|(name, ..)| !DROPPED_FUNS.contains(name));
    let all = core.chain(std).chain(ours());
    if over_records { all.chain(world::funs()).collect() } else { all.collect() }
}

fn ours() -> Vec<Fun<Data>> {
    /// A mathematical function of one number.
    macro_rules! math {
        ($name:literal, $f:expr) => {
            run(($name, v(0), |cv| bome(number(&cv.1).map(|it| Val::from($f(it))))))
        };
    }
    /// A mathematical function of two numbers that ignores its input.
    macro_rules! math2 {
        ($name:literal, $f:expr) => {
            run(($name, v(2), |mut cv| {
                let second = cv.0.pop_var();
                let first = cv.0.pop_var();
                bome(number(&first).and_then(|x| number(&second).map(|y| Val::from($f(x, y)))))
            }))
        };
    }
    /// A function from text to text.
    macro_rules! text {
        ($name:literal, $f:expr) => {
            run(($name, v(0), |cv| bome(text(&cv.1).and_then($f))))
        };
    }
    vec![
        run(("matches", v(2), |cv| found(cv, false, true))),
        run(("split_matches", v(2), |cv| found(cv, true, true))),
        run(("split_", v(2), |cv| found(cv, true, false))),
        text!("fromdateiso8601", |it| time::seconds_of(it)
            .map(val_of)
            .ok_or_else(|| Error::str("cannot parse as a time"))),
        run(("todateiso8601", v(0), |cv| bome(to_date(&cv.1)))),
        run(("fromjson", v(0), |cv| bome(from_json_val(&cv.1)))),
        text!("parse_number", parse_number),
        text!("escape_html", |it| Ok(Val::from(escape_html(it)))),
        text!("unescape_html", |it| Ok(Val::from(unescape_html(it)))),
        text!("encode_uri", |it| Ok(Val::from(encode_uri(it)))),
        text!("decode_uri", decode_uri),
        text!("encode_base64", |it| Ok(Val::from(encode_base64(it.as_bytes())))),
        text!("decode_base64", decode_base64),
        math!("sqrt", f64::sqrt),
        math!("cbrt", f64::cbrt),
        math!("fabs", f64::abs),
        math!("trunc", f64::trunc),
        math!("exp", f64::exp),
        math!("exp2", f64::exp2),
        math!("log", f64::ln),
        math!("log2", f64::log2),
        math!("log10", f64::log10),
        math2!("pow", f64::powf),
        math2!("fmin", f64::min),
        math2!("fmax", f64::max),
        math2!("fmod", |x: f64, y: f64| x % y),
    ]
}

pub(super) fn text(val: &Val) -> Result<&str, Error<Val>> {
    let bytes = val.as_utf8_bytes().ok_or_else(|| Error::typ(val.clone(), "string"))?;
    std::str::from_utf8(bytes).map_err(Error::str)
}

fn number(val: &Val) -> Result<f64, Error<Val>> {
    val.as_f64().ok_or_else(|| Error::typ(val.clone(), "number"))
}

/// Reads exactly one JSON document; `NaN`, comments and what else jaq adds to JSON are refused.
pub(super) fn from_json(source: &Bytes) -> ValR<Val> {
    json::read(source).map_err(|error| Error::str(format_args!("cannot parse as JSON: {error}")))
}

fn from_json_val(val: &Val) -> ValR<Val> {
    match val {
        Val::TStr(source) | Val::BStr(source) => from_json(source),
        other => Err(Error::typ(other.clone(), "string")),
    }
}

fn to_date(val: &Val) -> ValR<Val> {
    // A fraction of a second is cut off, as jq does.
    let seconds =
        val.as_isize().map_or_else(|| number(val).map(|it| it.floor() as i64), |it| Ok(it as i64))?;
    time::text_of(seconds).map(Val::from).ok_or_else(|| Error::str("cannot write as a time"))
}

fn val_of(seconds: i64) -> Val {
    Val::Num(jaq_json::Num::from_integral(seconds))
}

fn parse_number(text: &str) -> ValR<Val> {
    match from_json(&Bytes::copy_from_slice(text.trim().as_bytes())) {
        Ok(val @ Val::Num(_)) => Ok(val),
        _ => Err(Error::str("cannot parse as number")),
    }
}

#[derive(Clone, Copy, Default)]
struct Flags {
    global: bool,
    ignore_empty: bool,
}

/// How many compiled regular expressions a thread keeps.
const REGEX_CACHE: usize = 64;

type Regexes = HashMap<(String, String), Rc<Regex>>;

fn regex_of(re: &str, flags: &str) -> Result<(Rc<Regex>, Flags), Error<Val>> {
    thread_local! {
        static CACHE: RefCell<Regexes> = RefCell::default();
    }
    let mut ours = Flags::default();
    let mut builder = RegexBuilder::new(re);
    for flag in flags.chars() {
        match flag {
            'g' => ours.global = true,
            'n' => ours.ignore_empty = true,
            'i' => drop(builder.case_insensitive(true)),
            'm' => drop(builder.multi_line(true)),
            's' => drop(builder.dot_matches_new_line(true)),
            'p' => drop(builder.multi_line(true).dot_matches_new_line(true)),
            'l' => drop(builder.swap_greed(true)),
            'x' => drop(builder.ignore_whitespace(true)),
            other => return Err(Error::str(format_args!("{other} is not a flag of a regular expression"))),
        }
    }
    let key = (re.to_owned(), flags.to_owned());
    if let Some(regex) = CACHE.with_borrow(|cache| cache.get(&key).cloned()) {
        return Ok((regex, ours));
    }
    let regex = Rc::new(builder.build().map_err(|error| Error::str(one_line(&error)))?);
    CACHE.with_borrow_mut(|cache| {
        if cache.len() >= REGEX_CACHE {
            cache.clear();
        }
        cache.insert(key, regex.clone());
    });
    Ok((regex, ours))
}

fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("invalid regular expression: {}", last.trim_start_matches("error: "))
}

/// The one native under `test`, `match`, `capture`, `scan`, `split`, `sub` and `gsub` of jaq's library: an array with
/// the text between matches (if `between`) and the groups of each match (if `matched`).
fn found<'a>(mut cv: Cv<'a, Data>, between: bool, matched: bool) -> ValXs<'a, Val> {
    let flags = cv.0.pop_var();
    let re = cv.0.pop_var();
    bome(find(&cv.1, &re, &flags, between, matched))
}

fn find(input: &Val, re: &Val, flags: &Val, between: bool, matched: bool) -> ValR<Val> {
    let subject = text(input)?;
    let (regex, flags) = regex_of(text(re)?, text(flags)?)?;
    let mut parts = Vec::new();
    let mut chars = Chars { text: subject, byte: 0, count: 0 };
    let mut last = 0;
    for groups in regex.captures_iter(subject) {
        let Some(whole) = groups.get(0) else { continue };
        if flags.ignore_empty && whole.is_empty() {
            continue;
        }
        if between {
            parts.push(Val::from(subject[last..whole.start()].to_owned()));
            last = whole.end();
        }
        if matched {
            let start = chars.before(whole.start());
            let group = |(group, name): (Option<regex::Match<'_>>, Option<&str>)| {
                group_of(subject, (whole.start(), start), group, name)
            };
            parts.push(groups.iter().zip(regex.capture_names()).map(group).collect::<ValR<Val>>()?);
        }
        if !flags.global {
            break;
        }
    }
    if between {
        parts.push(Val::from(subject[last..].to_owned()));
    }
    Ok(parts.into_iter().collect())
}

/// A group as jq shows it: offsets count characters, and a group that took no part has no text.
fn group_of(
    subject: &str,
    (whole_byte, whole_char): (usize, usize),
    group: Option<regex::Match<'_>>,
    name: Option<&str>,
) -> ValR<Val> {
    let key = |key: &str| Val::from(key.to_owned());
    let mut fields = Map::default();
    let (offset, length, string) = match group {
        Some(group) => {
            let offset = whole_char + subject[whole_byte..group.start()].chars().count();
            (
                Val::from(isize::try_from(offset).map_err(Error::str)?),
                group.as_str().chars().count(),
                Val::from(group.as_str().to_owned()),
            )
        }
        None => (Val::from(-1_isize), 0, Val::Null),
    };
    fields.insert(key("offset"), offset);
    fields.insert(key("length"), Val::from(length));
    fields.insert(key("string"), string);
    if let Some(name) = name {
        fields.insert(key("name"), key(name));
    }
    Val::from_map(fields)
}

/// Counts characters before increasing byte offsets, so that many matches in a long text stay linear.
struct Chars<'a> {
    text: &'a str,
    byte: usize,
    count: usize,
}

impl Chars<'_> {
    fn before(&mut self, byte: usize) -> usize {
        self.count += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.count
    }
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

fn unescape_html(text: &str) -> String {
    // `&amp;` comes last, so that `&amp;lt;` becomes `&lt;` and not `<`.
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Percent-encodes everything but the unreserved characters (RFC 3986, section 2.3).
fn encode_uri(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode_uri(text: &str) -> ValR<Val> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map(Val::from).map_err(|_| Error::str("cannot decode as UTF-8"))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What each byte of base64 stands for; what is above 63 stands for nothing.
const SEXTETS: [u8; 256] = {
    let mut sextets = [0xff; 256];
    let mut at = 0;
    while at < 64 {
        sextets[BASE64[at] as usize] = at as u8;
        at += 1;
    }
    sextets
};

/// Encodes with padding (RFC 4648, section 4).
fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sextet in 0..4 {
            if sextet <= chunk.len() {
                out.push(char::from(BASE64[(word >> (18 - 6 * sextet) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn decode_base64(text: &str) -> ValR<Val> {
    let wrong = || Error::str("cannot decode as base64");
    let body = text.trim_end_matches('=').as_bytes();
    if text.len() - body.len() > 2 || body.len() % 4 == 1 {
        return Err(wrong());
    }
    let sextet = |byte: u8| u32::from(SEXTETS[usize::from(byte)]);
    // One look at all that was found is enough: what stands for nothing has bits that no sextet has.
    let mut seen = 0;
    let (quads, rest) = body.as_chunks::<4>();
    let mut out = Vec::with_capacity(quads.len() * 3 + 3);
    out.resize(quads.len() * 3, 0);
    for (quad, bytes) in quads.iter().zip(out.as_chunks_mut::<3>().0) {
        let [a, b, c, d] = quad.map(sextet);
        seen |= a | b | c | d;
        let word = a << 18 | b << 12 | c << 6 | d;
        *bytes = [(word >> 16) as u8, (word >> 8) as u8, word as u8];
    }
    let last = rest.iter().map(|byte| sextet(*byte)).fold(0, |word, sextet| {
        seen |= sextet;
        word << 6 | sextet
    });
    match rest.len() {
        2 => out.push((last >> 4) as u8),
        3 => out.extend_from_slice(&[(last >> 10) as u8, (last >> 2) as u8]),
        _ => {}
    }
    if seen > 63 {
        return Err(wrong());
    }
    std::str::from_utf8(&out).map_err(|_| Error::str("cannot decode as UTF-8"))?;
    Ok(Val::utf8_str(out))
}
