//! From text to tree, with every complaint that can be made in one reading.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::{Key, Node, Value, syntax};
use crate::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use crate::suggest::quoted;

/// How deep lists and maps may nest. The sketched playbooks need 12.
pub const MAX_DEPTH: usize = 64;

/// Reads a source as one YAML document.
///
/// What is wrong goes to `out`. `None` when there is no tree, or when a part of it could not be kept (an alias, a
/// merge key, nesting that is too deep), so that no decoder complains about the hole. A tree can come with errors all
/// the same: a key that stands twice is kept once, an anchor or a tag is left off.
pub fn parse(source: &Source, out: &mut Diagnostics) -> Option<Node> {
    let text = &*source.text;
    if let Some(problem) = syntax::unprintable(text) {
        out.push(problem);
        return None;
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
    };
    let mut builder = Builder {
        text,
        out,
        frames: Vec::new(),
        skipped: 0,
        skipped_at: 0,
        documents: 0,
        root: None,
        whole: true,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                if !builder.take(event, &span) {
                    return None;
                }
            }
            Err(error) => {
                let at = offset(error.marker()).unwrap_or(text.len());
                builder.out.push(syntax::explain(error.kind(), text, at));
                return None;
            }
        }
    }
    let Builder { root, whole, out, .. } = builder;
    match root {
        None => {
            out.push(
                Diagnostic::error("P001", "the file is empty")
                    .help("a playbook begins with `playbook:`, a site file with the playbook it uses"),
            );
            None
        }
        Some(root) => whole.then_some(root),
    }
}

fn offset(marker: &Marker) -> Option<usize> {
    marker.byte_offset()
}

/// A list or map that is still open.
struct Frame {
    start: usize,
    shape: Shape,
}

enum Shape {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashMap<String, Span>, slot: Slot },
}

/// What the next node of a map is.
enum Slot {
    Key,
    ValueOf(Key),
    /// The value of a key that was refused.
    Dropped,
}

struct Builder<'a> {
    text: &'a str,
    out: &'a mut Diagnostics,
    frames: Vec<Frame>,
    /// How many lists and maps are open below the deepest that is kept.
    skipped: usize,
    skipped_at: usize,
    documents: usize,
    root: Option<Node>,
    whole: bool,
}

impl Builder<'_> {
    /// Takes one event; `false` ends the reading.
    fn take(&mut self, event: Event<'_>, at: &granit_parser::Span) -> bool {
        let span = Span::new(offset(&at.start).unwrap_or(0), offset(&at.end).unwrap_or(0));
        let tag = at
            .tag_span()
            .map(|tag| Span::new(offset(&tag.start).unwrap_or(0), offset(&tag.end).unwrap_or(0)));
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.forbid(
                        span,
                        "more than one document in the file",
                        "a second document starts here",
                        "keep one document, and give the other a file of its own",
                    );
                    return false;
                }
            }
            Event::Scalar(text, style, _, tagged) => {
                self.tagged(tagged.is_some(), tag, span);
                if self.skipped == 0 {
                    self.scalar(text, style, span);
                }
            }
            Event::SequenceStart(_, _, tagged) => {
                self.tagged(tagged.is_some(), tag, span);
                self.open(span, Shape::List(Vec::new()));
            }
            Event::MappingStart(_, _, tagged) => {
                self.tagged(tagged.is_some(), tag, span);
                self.open(span, Shape::Map { entries: Vec::new(), seen: HashMap::new(), slot: Slot::Key });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Anchor(_, name) => {
                let message = format!("anchor {} is not part of the language", quoted(&name));
                self.forbid(span, message, "", "write the value out where it is needed");
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let name = self.text.get(span.start + 1..span.end).unwrap_or_default();
                let message = format!("alias {} is not part of the language", quoted(name));
                self.forbid(
                    span,
                    message,
                    "",
                    "write the value out here; text that begins with `*` needs quotes",
                );
                if self.skipped == 0 {
                    self.place_hole(span);
                }
            }
            _ => {}
        }
        true
    }

    fn forbid(&mut self, span: Span, message: impl Into<String>, label: &str, help: &str) {
        self.out.push(Diagnostic::error("P003", message).at(span, label).help(help));
    }

    fn tagged(&mut self, tagged: bool, tag: Option<Span>, node: Span) {
        if tagged {
            let span = tag.unwrap_or(node);
            let name = self.text.get(span.start..span.end).unwrap_or_default();
            let message = format!("tag {} is not part of the language", quoted(name));
            self.forbid(span, message, "", "remove the tag; text that begins with `!` needs quotes");
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, span: Span) {
        let plain = style == ScalarStyle::Plain;
        if self.wants_key() {
            self.key(text.into_owned(), plain, span);
            return;
        }
        let value = match (plain, &*text) {
            (true, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
            _ => Value::Scalar { text: text.into_owned(), plain },
        };
        // A value that was not written is nowhere; its key is where a reader looks for it.
        let span = match (&value, self.frames.last()) {
            (Value::Null, Some(Frame { shape: Shape::Map { slot: Slot::ValueOf(key), .. }, .. }))
                if span.start == span.end =>
            {
                key.span
            }
            _ => span,
        };
        self.place(Node { span, value });
    }

    fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { shape: Shape::Map { slot: Slot::Key, .. }, .. }))
    }

    fn key(&mut self, text: String, plain: bool, span: Span) {
        let slot = if plain && text == "<<" {
            self.forbid(span, "merge key `<<` is not part of the language", "", "write the keys out here");
            self.whole = false;
            Slot::Dropped
        } else if plain && text.is_empty() {
            self.forbid(
                span,
                "a key without a name",
                "",
                "write the name before the `:`, or quotes for the empty name",
            );
            Slot::Dropped
        } else {
            if plain && boolean_like(&text) {
                // The YAML 1.1 types document takes all of these for booleans (yaml.org/type/bool.html), and
                // PyYAML still does: an editor or a linter would see another key than we do.
                self.out.push(
                    Diagnostic::error("P004", format!("key `{text}` is a boolean to YAML 1.1 readers"))
                        .at(span, "")
                        .help(format!("quote it: `\"{text}\":`")),
                );
            }
            self.seen(text, span)
        };
        if let Some(Frame { shape: Shape::Map { slot: expected, .. }, .. }) = self.frames.last_mut() {
            *expected = slot;
        }
    }

    fn seen(&mut self, text: String, span: Span) -> Slot {
        let Some(Frame { shape: Shape::Map { seen, .. }, .. }) = self.frames.last_mut() else {
            return Slot::Dropped;
        };
        if let Some(first) = seen.get(&text) {
            self.out.push(
                Diagnostic::error("P002", format!("key {} stands twice in one map", quoted(&text)))
                    .at(span, "again here")
                    .also(*first, "first here")
                    .help("keep one of the two"),
            );
            return Slot::Dropped;
        }
        seen.insert(text.clone(), span);
        Slot::ValueOf(Key { text, span })
    }

    fn open(&mut self, span: Span, shape: Shape) {
        if self.skipped > 0 || self.frames.len() >= MAX_DEPTH {
            if self.skipped == 0 {
                self.skipped_at = span.start;
                self.out.push(syntax::too_deep(span));
            }
            self.skipped += 1;
            return;
        }
        if self.wants_key() {
            self.forbid(span, "a list or map as a key is not part of the language", "", "a key is one text");
        }
        self.frames.push(Frame { start: span.start, shape });
    }

    fn close(&mut self, end: Span) {
        if self.skipped > 0 {
            self.skipped -= 1;
            if self.skipped == 0 {
                self.place_hole(Span::new(self.skipped_at, self.skipped_at));
            }
            return;
        }
        let Some(Frame { start, shape }) = self.frames.pop() else { return };
        // The end of a block collection is reported at the token that ended it, lines later; its last item ends it.
        let (value, last) = match shape {
            Shape::List(items) => {
                let last = items.last().map(|node| node.span.end);
                (Value::List(items), last)
            }
            Shape::Map { entries, .. } => {
                let last = entries.last().map(|(key, node)| key.span.end.max(node.span.end));
                (Value::Map(entries), last)
            }
        };
        let end = match last {
            Some(last) if end.start == end.end => last,
            _ => end.end,
        };
        self.place(Node { span: Span::new(start, end), value });
    }

    fn place_hole(&mut self, span: Span) {
        self.whole = false;
        self.place(Node { span, value: Value::Null });
    }

    /// Puts a finished node into what is open.
    fn place(&mut self, node: Node) {
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(Frame { shape: Shape::List(items), .. }) => items.push(node),
            Some(Frame { shape: Shape::Map { entries, slot, .. }, .. }) => {
                *slot = match std::mem::replace(slot, Slot::Key) {
                    // What ends in the place of a key is a key that was refused when it began.
                    Slot::Key => Slot::Dropped,
                    Slot::ValueOf(key) => {
                        entries.push((key, node));
                        Slot::Key
                    }
                    Slot::Dropped => Slot::Key,
                };
            }
        }
    }
}

fn boolean_like(key: &str) -> bool {
    ["on", "off", "yes", "no", "y", "n"].iter().any(|word| key.eq_ignore_ascii_case(word))
}
