//! Text with references: `${name}` or `${name.field}`.
//!
//! A reference stands for a typed value. What it becomes — an argument, a bound parameter, a path segment — is decided
//! by the place where the text stands; nothing here puts values into text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::decode::{Decode, Decoder, Schemas};
use crate::diagnostic::{Diagnostic, Span};
use crate::suggest::quoted;
use crate::tree::{Node, Value};

/// A text with references. `$${` stands for a literal `${`; a `$` before anything else is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
    span: Span,
    /// The byte of the file at which the text begins, when it stands there without escapes or folds.
    origin: Option<usize>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Lit(String),
    /// A reference.
    Ref(Reference),
}

/// A name, and the way into its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The fields after it, outermost first; mostly none or one.
    pub fields: Vec<String>,
    /// Where it stands: in the playbook for a template that was decoded, else in the text.
    pub span: Span,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

/// Why a text is no template, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("find the `}}` of the `${{` at byte {offset}")]
    Open {
        /// The byte of the `$`.
        offset: usize,
    },
    /// What stands between the braces is no reference.
    #[error("take {} for a reference: it is a name, or a name and fields with a dot between", quoted(.found))]
    Name {
        /// The byte of the `$`.
        offset: usize,
        /// What stands between the braces.
        found: String,
    },
}

impl TemplateError {
    /// Returns the byte in the text at which the reference begins.
    pub fn offset(&self) -> usize {
        match self {
            Self::Open { offset } | Self::Name { offset, .. } => *offset,
        }
    }
}

impl Template {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let offset = at + found;
            // In `$$${x}` the first dollar is text; the last two before the brace escape it.
            if text[at..offset].ends_with('$') {
                literal.push_str(&text[at..offset - 1]);
                literal.push_str("${");
                at = offset + 2;
                continue;
            }
            literal.push_str(&text[at..offset]);
            let inner = &text[offset + 2..];
            let end = inner.find('}').ok_or(TemplateError::Open { offset })?;
            let after = offset + 2 + end + 1;
            let reference = reference(&inner[..end], Span::new(offset, after))
                .ok_or_else(|| TemplateError::Name { offset, found: inner[..end].to_owned() })?;
            if !literal.is_empty() {
                parts.push(Part::Lit(std::mem::take(&mut literal)));
            }
            parts.push(Part::Ref(reference));
            at = after;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Lit(literal));
        }
        Ok(Self { written: text.to_owned(), parts, span: Span::new(0, text.len()), origin: Some(0) })
    }

    /// Returns the template whose value is this text, whatever it contains.
    pub fn literal(text: &str) -> Self {
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::Lit(text.to_owned())] };
        let written = text.replace("${", "$${");
        Self { span: Span::new(0, written.len()), written, parts, origin: Some(0) }
    }

    /// Returns the pieces; two literals never follow each other, and none is empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the references in order, repeated ones repeated.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Lit(_) => None,
            Part::Ref(reference) => Some(reference),
        })
    }

    /// Returns the reference when the template is nothing else: then the value keeps its type.
    pub fn as_reference(&self) -> Option<&Reference> {
        match self.parts.as_slice() {
            [Part::Ref(reference)] => Some(reference),
            _ => None,
        }
    }

    /// Returns the text of a template without references.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Lit(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the text as it was written, with references and escapes.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Returns where it stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Moves it to its place in a file. References keep places of their own when `origin` says where the text begins.
    fn placed(mut self, span: Span, origin: Option<usize>) -> Self {
        self.span = span;
        self.origin = origin;
        for part in &mut self.parts {
            if let Part::Ref(reference) = part {
                reference.span = shifted(reference.span, span, origin);
            }
        }
        self
    }
}

fn shifted(inner: Span, outer: Span, origin: Option<usize>) -> Span {
    origin.map_or(outer, |origin| Span::new(origin + inner.start, origin + inner.end))
}

fn reference(inner: &str, span: Span) -> Option<Reference> {
    let mut names = inner.split('.');
    let name = names.next().filter(|name| is_name(name))?.to_owned();
    let fields = names.map(|field| is_name(field).then(|| field.to_owned())).collect::<Option<_>>()?;
    Some(Reference { name, fields, span })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Returns the byte of the file at which the text of a scalar begins, when it stands there without escapes or folds.
fn origin(node: &Node, text: &str, plain: bool) -> Option<usize> {
    let length = node.span.end.checked_sub(node.span.start)?;
    match plain {
        true if length == text.len() => Some(node.span.start),
        false if length == text.len() + 2 => Some(node.span.start + 1),
        _ => None,
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Decode for Template {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Value::Scalar { text, plain } = &node.value else {
            return cx.wrong_type(node, "text");
        };
        let origin = origin(node, text, *plain);
        match Self::parse(text) {
            Ok(template) => Some(template.placed(node.span, origin)),
            Err(error) => {
                let rest = &text[error.offset()..];
                let (length, help) = match &error {
                    TemplateError::Open { .. } => (2, "add the `}`, or write `$${` for a literal `${`"),
                    TemplateError::Name { found, .. } => {
                        (found.len() + 3, "write `${name}` or `${name.field}`, or `$${` for a literal `${`")
                    }
                };
                let inner = Span::new(error.offset(), error.offset() + length.min(rest.len()));
                let message = match &error {
                    TemplateError::Open { .. } => "`${` without `}`".to_owned(),
                    TemplateError::Name { found, .. } => {
                        format!("{} is not a reference", quoted(&format!("${{{found}}}")))
                    }
                };
                cx.push(
                    Diagnostic::error("P008", message).at(shifted(inner, node.span, origin), "").help(help),
                );
                None
            }
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        crate::decode::text_schema()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    text: String,
    span: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<usize>,
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored { text: self.written.clone(), span: self.span, origin: self.origin }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { text, span, origin } = Stored::deserialize(deserializer)?;
        let template =
            Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("cannot {error}")))?;
        Ok(template.placed(span, origin))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::{Diagnostics, Source};

    fn parts(text: &str) -> Vec<String> {
        let template = Template::parse(text).unwrap();
        template
            .parts()
            .iter()
            .map(|part| match part {
                Part::Lit(text) => text.clone(),
                Part::Ref(reference) => format!("<{reference}>"),
            })
            .collect()
    }

    #[test]
    fn text_and_references_alternate() {
        assert_eq!(parts("a ${b}/${c.d}${e-f_1.g.h}"), ["a ", "<b>", "/", "<c.d>", "<e-f_1.g.h>"]);
        assert_eq!(parts(""), [""; 0]);
        assert_eq!(parts("$5 and {x} and $"), ["$5 and {x} and $"]);
    }

    #[test]
    fn a_doubled_dollar_escapes() {
        assert_eq!(parts("a$${b}c"), ["a${b}c"]);
        assert_eq!(parts("$$${b}"), ["$${b}"]);
        assert_eq!(parts("${a}$${b}${c}"), ["<a>", "${b}", "<c>"]);
    }

    #[test]
    fn what_is_no_reference_is_refused_with_its_offset() {
        for (text, offset) in [
            ("ab${", 2),
            ("${a", 0),
            ("é${}", 2),
            ("${a.}", 0),
            ("${.a}", 0),
            ("${1}", 0),
            ("${a b}", 0),
            ("${a${b}}", 0),
            ("${a[0]}", 0),
            ("${ä}", 0),
        ] {
            assert_eq!(Template::parse(text).unwrap_err().offset(), offset, "{text}");
        }
    }

    #[test]
    fn a_lone_reference_and_a_lone_text_are_known_as_such() {
        assert_eq!(Template::parse("${a.b}").unwrap().as_reference().unwrap().fields, ["b"]);
        assert!(Template::parse("${a} ").unwrap().as_reference().is_none());
        assert_eq!(Template::parse("$${a}").unwrap().as_literal(), Some("${a}"));
        assert_eq!(Template::parse("").unwrap().as_literal(), Some(""));
    }

    fn read(text: &str) -> (Option<Vec<Template>>, String) {
        let source = Source::new("p.yaml", text);
        let mut out = Diagnostics::default();
        let node = crate::tree::parse(&source, &mut out).unwrap();
        (crate::decode::decode(&node, &mut out), out.render_all(Some(&source)))
    }

    #[test]
    fn references_keep_their_place_in_the_file() {
        let text = "- née ${a}\n- \"é ${b}\"\n- \"\\u00e9 ${c}\"\n- >-\n  x\n  ${d}\n";
        let (templates, shown) = read(text);
        assert_eq!(shown, "");
        let spans: Vec<Span> = templates
            .unwrap()
            .iter()
            .flat_map(Template::references)
            .map(|reference| reference.span)
            .collect();
        assert_eq!(&text[spans[0].start..spans[0].end], "${a}");
        assert_eq!(&text[spans[1].start..spans[1].end], "${b}");
        // Where the text is not the bytes of the file, the whole scalar is the place.
        assert_eq!(&text[spans[2].start..spans[2].end], "\"\\u00e9 ${c}\"");
    }

    #[test]
    fn a_bad_reference_is_pointed_at_inside_its_text() {
        let (templates, shown) = read("- a ${b c} d\n- 'é ${x'\n");
        assert!(templates.is_none());
        insta::assert_snapshot!(shown, @r#"
        error[P008]: `${b c}` is not a reference
         --> p.yaml:1:5
          |
        1 | - a ${b c} d
          |     ^^^^^^
        help: write `${name}` or `${name.field}`, or `$${` for a literal `${`

        error[P008]: `${` without `}`
         --> p.yaml:2:6
          |
        2 | - 'é ${x'
          |      ^^
        help: add the `}`, or write `$${` for a literal `${`
        "#);
    }

    #[test]
    fn the_stored_form_keeps_text_and_places() {
        let (templates, _) = read("- née ${a} $${x}\n- \"\\u00e9 ${c}\"\n");
        let templates = templates.unwrap();
        let stored = serde_json::to_string(&templates).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Template>>(&stored).unwrap(), templates);
        assert!(serde_json::from_str::<Template>(r#"{"text":"${","span":[0,2]}"#).is_err());
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_any_text_can_be_a_literal(text in "[${}a.$ é]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text.clone());
            }
            let literal = Template::literal(&text);
            prop_assert_eq!(literal.as_literal(), Some(&*text));
            let again = Template::parse(literal.as_str()).unwrap();
            prop_assert_eq!(again.as_literal(), Some(&*text));
        }
    }
}
