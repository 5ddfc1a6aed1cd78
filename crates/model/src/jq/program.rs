//! Compiling and running a jq program.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use serde_json::Value;

use super::natives;
use super::value::{from_val, to_val};
use super::world::{Around, Data};

/// Longest program text. A program is a page or two; a megabyte of brackets is an attack on the parser.
const TEXT_LIMIT: usize = 64 * 1024;

/// Deepest nesting of brackets in a program text.
const NESTING_LIMIT: usize = 128;

/// The parser and the compiler recurse on the text, so they get a stack that the limits above cannot exhaust.
const COMPILER_STACK: usize = 64 * 1024 * 1024;

/// Why a jq program cannot be compiled or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct JqError {
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// Where it is wrong: a byte offset into the program text. `None` for what only the data can tell.
    pub offset: Option<usize>,
}

impl JqError {
    pub(super) fn new(message: impl Into<String>) -> JqError {
        JqError { message: message.into(), offset: None }
    }

    fn at(text: &str, part: &str, message: String) -> JqError {
        // A part that stems from our own definitions has no place in the text.
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
        JqError { message, offset: start.filter(|start| *start <= text.len()) }
    }
}

/// Says whether `text` compiles without variables.
///
/// A sound program is remembered, as planning asks for the same few again and again, and each costs the parse of the
/// whole library.
pub fn check(text: &str) -> Result<(), JqError> {
    check_with(text, None)
}

/// As [`check`], for a program that is run over records, with variables of these names.
pub fn check_over_records(text: &str, vars: &[&str]) -> Result<(), JqError> {
    check_with(text, Some(vars))
}

fn check_with(text: &str, over_records: Option<&[&str]>) -> Result<(), JqError> {
    static SOUND: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    let sound = || SOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (text.to_owned(), over_records.map_or("-".to_owned(), |vars| vars.join(" ")));
    if !sound().contains(&key) {
        match over_records {
            Some(vars) => Program::over_records(text, vars)?,
            None => Program::compile(text, &[])?,
        };
        sound().insert(key);
    }
    Ok(())
}

/// A compiled jq program with the names of its variables.
///
/// A program can recurse or eat memory without end, and that ends the process: run what a playbook brings in the
/// limited child, and here only what is known to be small.
pub struct Program {
    pub(super) filter: Filter<Data>,
    vars: Vec<String>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("vars", &self.vars).finish_non_exhaustive()
    }
}

impl Program {
    /// Compiles `text`, in which the variables `vars` (named without `$`) are bound.
    ///
    /// An unknown function or variable is an error here, so that a playbook is refused before anything runs.
    pub fn compile(text: &str, vars: &[&str]) -> Result<Program, JqError> {
        Program::compile_with(text, vars, false)
    }

    /// Compiles a program over the records of a stream, which has `uuid`, `rank` and `known` as well.
    pub fn over_records(text: &str, vars: &[&str]) -> Result<Program, JqError> {
        Program::compile_with(text, vars, true)
    }

    fn compile_with(text: &str, vars: &[&str], over_records: bool) -> Result<Program, JqError> {
        check_size(text)?;
        if let Some(name) = vars.iter().find(|name| !is_name(name)) {
            return Err(JqError::new(format!("`{}` is not a name of a jq variable", name.escape_debug())));
        }
        let compile = || compile(text, vars, over_records);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(COMPILER_STACK).spawn_scoped(scope, compile);
            let thread =
                thread.map_err(|error| JqError::new(format!("no thread for the compiler: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(JqError::new("the jq compiler gave up on this program")))
        })
    }

    /// Returns the names of the variables, in the order in which [`Program::run`] wants their values.
    pub fn vars(&self) -> &[String] {
        &self.vars
    }

    /// Runs the program on `input` and returns all outputs; the first error ends it and is the result.
    pub fn run(&self, input: Value, vars: Vec<Value>) -> Result<Vec<Value>, JqError> {
        if vars.len() != self.vars.len() {
            let (given, wanted) = (vars.len(), self.vars.len());
            return Err(JqError::new(format!("{given} values were given for {wanted} variables")));
        }
        let around = Around { lut: &self.filter.lut, world: None };
        let ctx = Ctx::<Data>::new(around, Vars::new(vars.into_iter().map(to_val)));
        let outputs = self.filter.id.run((ctx, to_val(input)));
        let output = |output: Result<_, jaq_core::Exn<'_, _>>| match output {
            Ok(val) => from_val(&val).map_err(JqError::new),
            Err(exception) => Err(match exception.get_err() {
                Ok(error) => JqError::new(shorten(&message_of(error))),
                Err(_) => JqError::new("the program left its own bounds"),
            }),
        };
        outputs.map(output).collect()
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
        && name != "ENV"
}

/// A text given to `error` is shown as it is; any other value as JSON.
pub(super) fn message_of(error: jaq_json::Error) -> String {
    match error.into_val() {
        jaq_json::Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        other => other.to_string(),
    }
}

/// Error texts of jaq quote whole values; a record of a megabyte must not become a message of a megabyte.
pub(super) fn shorten(message: &str) -> String {
    const LIMIT: usize = 400;
    match message.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn check_size(text: &str) -> Result<(), JqError> {
    if text.len() > TEXT_LIMIT {
        return Err(JqError::new(format!("the program is longer than {TEXT_LIMIT} bytes")));
    }
    let mut depth = 0_usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_LIMIT {
            let message = format!("brackets are nested deeper than {NESTING_LIMIT} levels");
            return Err(JqError { message, offset: Some(offset) });
        }
    }
    Ok(())
}

fn compile(text: &str, vars: &[&str], over_records: bool) -> Result<Program, JqError> {
    let arena = Arena::default();
    let loader = Loader::new(natives::defs(over_records));
    let modules = loader.load(&arena, File { code: text, path: () }).map_err(|errors| {
        let error = errors.into_iter().next().map(|(_, error)| error);
        error.map_or_else(|| JqError::new("the program cannot be read"), |error| load_error(text, error))
    })?;
    let names: Vec<String> = vars.iter().map(|name| format!("${name}")).collect();
    let compiler = Compiler::default().with_funs(natives::funs(over_records));
    let filter = compiler.with_global_vars(names.iter().map(String::as_str)).compile(modules);
    let filter = filter.map_err(|errors| {
        let error = errors.into_iter().flat_map(|(_, errors)| errors).next();
        let Some((name, what)) = error else { return JqError::new("the program cannot be compiled") };
        let message = match what {
            jaq_core::compile::Undefined::Filter(arity) => {
                format!("there is no function `{}/{arity}`", name.escape_debug())
            }
            other => format!("there is no {} `{}`", other.as_str(), name.escape_debug()),
        };
        JqError::at(text, name, message)
    })?;
    Ok(Program { filter, vars: vars.iter().map(|&name| name.to_owned()).collect() })
}

fn load_error(text: &str, error: load::Error<&str>) -> JqError {
    let unreadable = || JqError::new("the program cannot be read");
    match error {
        load::Error::Io(errors) => errors.into_iter().next().map_or_else(unreadable, |(part, _)| {
            JqError::at(text, part, "`import` and `include` are not available".to_owned())
        }),
        load::Error::Lex(errors) => errors.into_iter().next().map_or_else(unreadable, |(expected, part)| {
            JqError::at(text, part, format!("expected {} here", expected.as_str()))
        }),
        load::Error::Parse(errors) => {
            errors.into_iter().next().map_or_else(unreadable, |(expected, part)| {
                let found = if part.is_empty() { "the end of the program".to_owned() } else { quote(part) };
                JqError::at(text, part, format!("expected {}, found {found}", expected.as_str()))
            })
        }
    }
}

fn quote(part: &str) -> String {
    format!("`{}`", shorten(part.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(text: &str, input: Value) -> Result<Vec<Value>, JqError> {
        Program::compile(text, &[])?.run(input, Vec::new())
    }

    fn one(text: &str, input: Value) -> Value {
        let mut outputs = run(text, input).unwrap();
        assert_eq!(outputs.len(), 1, "{text} gave {outputs:?}");
        outputs.remove(0)
    }

    #[test]
    fn a_program_maps_records_and_keeps_big_integers() {
        let input =
            json!([{"id": 9_007_199_254_740_993_i64, "name": "O'Brien"}, {"id": u64::MAX, "name": "b"}]);
        let output = one("map({id, title: (.name | ascii_upcase)})", input);
        assert_eq!(
            output,
            json!([{"id": 9_007_199_254_740_993_i64, "title": "O'BRIEN"}, {"id": u64::MAX, "title": "B"}])
        );
    }

    #[test]
    fn variables_are_values_and_never_text() {
        let program = Program::compile("{name: $name, n: ($n + 1)}", &["name", "n"]).unwrap();
        let hostile = "\"} | env | {\"";
        let outputs = program.run(Value::Null, vec![json!(hostile), json!(1)]).unwrap();
        assert_eq!(outputs, [json!({"name": hostile, "n": 2})]);
        assert!(program.run(Value::Null, vec![json!(1)]).is_err());
    }

    #[test]
    fn the_first_error_ends_the_output() {
        let error = run("1, error(\"bad row\"), 3", Value::Null).unwrap_err();
        assert_eq!(error, JqError { message: "bad row".into(), offset: None });
        assert_eq!(run("\"12a\" | tonumber", Value::Null).unwrap_err().message, "cannot parse as number");
        assert_eq!(run("\"1 2\" | fromjson", Value::Null).unwrap_err().offset, None);
        assert_eq!(one("[\"-1.5e3\", 2, \" 3 \"] | map(tonumber)", Value::Null), json!([-1500.0, 2, 3]));
    }

    #[test]
    fn mistakes_are_found_at_compile_time_with_their_place() {
        let offset = |text: &str| Program::compile(text, &[]).unwrap_err().offset;
        assert_eq!(offset(".a | nosuch(1)"), Some(5));
        assert_eq!(offset(".a | $nosuch"), Some(5));
        assert_eq!(offset(".a | ]"), Some(5));
        assert_eq!(offset(".a |"), Some(4));
        assert!(offset("\"open").is_some());
        assert!(Program::compile(".", &["a b"]).is_err());
    }

    #[test]
    fn what_depends_on_place_and_time_is_not_there() {
        for text in [
            "env",
            "$ENV",
            "now",
            "input",
            "inputs",
            "halt",
            "halt(1)",
            "halt_error",
            "debug",
            "stderr",
            "input_filename",
            "localtime",
            "include \"a\"; .",
        ] {
            assert!(Program::compile(text, &[]).is_err(), "{text} compiles");
        }
    }

    #[test]
    fn regular_expressions_know_unicode() {
        assert_eq!(one("test(\"é\"; \"i\")", json!("É")), json!(true));
        assert_eq!(one("test(\"^\\\\w+$\")", json!("grüße")), json!(true));
        assert_eq!(
            one("capture(\"(?<y>\\\\d+)-(?<m>\\\\d+)?\")", json!("2024-")),
            json!({"y": "2024", "m": null})
        );
        assert_eq!(one("[scan(\"\\\\d+\")]", json!("a1b22")), json!(["1", "22"]));
        assert_eq!(one("gsub(\"(?<c>[äö])\"; \"<\\(.c)>\")", json!("aäö")), json!("a<ä><ö>"));
        assert_eq!(one("sub(\"a\"; \"b\")", json!("aa")), json!("ba"));
        assert_eq!(one("split(\", *\"; \"\")", json!("a, b,c")), json!(["a", "b", "c"]));
        assert_eq!(one("match(\"b\").offset", json!("éb")), json!(1));
        assert_eq!(one("[match(\"\"; \"g\").offset]", json!("éb")), json!([0, 1, 2]));
        assert!(run("test(\"(\")", json!("a")).unwrap_err().message.contains("unclosed group"));
    }

    #[test]
    fn times_are_utc_seconds() {
        assert_eq!(one("fromdate", json!("2024-02-29T23:59:59Z")), json!(1_709_251_199));
        assert_eq!(
            one("map(todate)", json!([0, 1_709_251_199.9])),
            json!(["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z"])
        );
        assert!(run("fromdate", json!("2023-02-29T00:00:00Z")).is_err());
        assert!(run("todate", json!(1e300)).is_err());
    }

    #[test]
    fn formats_round_trip() {
        for text in ["", "a", "ab", "abc", "é<&>'\"%41"] {
            assert_eq!(one("@base64 | @base64d", json!(text)), json!(text));
            assert_eq!(one("@uri | @urid", json!(text)), json!(text));
            assert_eq!(one("@html | @htmld", json!(text)), json!(text));
        }
        assert_eq!(one("@base64", json!("ab")), json!("YWI="));
        assert_eq!(one("@uri", json!("a b/é")), json!("a%20b%2F%C3%A9"));
        assert!(run("@base64d", json!("a")).is_err());
    }

    #[test]
    fn hostile_program_texts_are_refused_and_do_not_end_the_process() {
        assert!(Program::compile(&"(".repeat(60_000), &[]).is_err());
        assert!(Program::compile(&"x".repeat(100_000), &[]).is_err());
        assert!(Program::compile(&"-".repeat(20_000), &[]).is_err());
        assert!(Program::compile(&"if ".repeat(20_000), &[]).is_err());
        assert!(Program::compile("\u{0}", &[]).is_err());
        let long = vec!["."; 5_000].join("|");
        assert_eq!(Program::compile(&long, &[]).unwrap().vars().len(), 0);
    }
}
