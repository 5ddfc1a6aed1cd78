//! From text to a tree in which everything knows its place: anchors, aliases and merge keys included.

use super::super::error::{EditError, line_of};
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use std::collections::HashMap;

pub(super) const FORMAT: &str = "YAML";

/// How deep lists and maps may nest.
const MAX_DEPTH: usize = 100;

/// A node and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// First byte, anchor and tag included.
    pub(super) outer: usize,
    /// First byte of the value; for a block scalar that of its first line.
    pub(super) start: usize,
    /// Behind the last byte of the value, before the end of its last line.
    pub(super) end: usize,
    pub(super) anchor: Option<Anchor>,
    pub(super) tag: Option<String>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) id: usize,
    pub(super) name: String,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar { text: String, style: ScalarStyle },
    Alias { id: usize },
    List { items: Vec<Node>, flow: bool },
    Map { entries: Vec<Entry>, flow: bool },
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Node,
    /// Behind the colon; `None` when key and value stand in a form that is not edited.
    pub(super) colon: Option<usize>,
    pub(super) value: Node,
}

/// A file.
#[derive(Debug)]
pub(super) struct Doc<'t> {
    pub(super) text: &'t str,
    /// `None`: there is nothing but comments.
    pub(super) root: Option<Node>,
    /// Where each anchor is used, by its number.
    pub(super) uses: HashMap<usize, Vec<usize>>,
}

impl Node {
    /// Whether nothing was written for it.
    pub(super) fn is_unwritten(&self) -> bool {
        self.start == self.end && matches!(&self.kind, Kind::Scalar { style: ScalarStyle::Plain, .. })
    }

    pub(super) fn is_block_scalar(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. })
    }

    pub(super) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } => "a single value",
            Kind::Alias { .. } => "an alias",
            Kind::List { .. } => "a list",
            Kind::Map { .. } => "a map",
        }
    }
}

impl Entry {
    /// The text of the key, when it is one.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.key.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Reads a file of one document; a key that stands twice in one map is an error, as it is to most programs.
pub(super) fn parse(text: &str) -> Result<Doc<'_>, EditError> {
    let wrong =
        |at: usize, problem: String| EditError::Syntax { format: FORMAT, line: line_of(text, at), problem };
    if let Some(at) =
        text.find(|char: char| char.is_control() && !matches!(char, '\t' | '\n' | '\r' | '\u{85}'))
    {
        return Err(wrong(at, "there is a control character".to_owned()));
    }
    let options = granit_parser::options! { emit_anchor_events: true, emit_comments: false };
    let mut builder =
        Builder { doc: Doc { text, root: None, uses: HashMap::new() }, frames: Vec::new(), documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                return Err(wrong(at, error.kind().to_string().replace('\n', " ")));
            }
        }
    }
    Ok(builder.doc)
}

struct Frame {
    outer: usize,
    start: usize,
    anchor: Option<Anchor>,
    tag: Option<String>,
    shape: Shape,
    flow: bool,
}

enum Shape {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Node> },
}

struct Builder<'t> {
    doc: Doc<'t>,
    frames: Vec<Frame>,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: &Span) -> Result<(), EditError> {
        let (start, end) = (at.start.byte_offset().unwrap_or(0), at.end.byte_offset().unwrap_or(0));
        let tag_at = at.tag_span().and_then(|tag| tag.start.byte_offset());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(
                        self.wrong(start, "a second document begins here, and only files of one are edited")
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let end = if block { self.end_of_block(start, end) } else { end };
                let kind = Kind::Scalar { text: text.into_owned(), style };
                let node = Node {
                    outer: tag_at.unwrap_or(start),
                    start,
                    end,
                    anchor: numbered(anchor),
                    tag: tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix())),
                    kind,
                };
                self.place(node)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
                self.open(tag_at, start, anchor, tag, style, Shape::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
                self.open(tag_at, start, anchor, tag, style, Shape::Map { entries: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(end)?,
            Event::Anchor(id, name) => self.name_anchor(id, &name, start),
            Event::Alias(id) => {
                self.doc.uses.entry(id).or_default().push(start);
                self.place(Node {
                    outer: start,
                    start,
                    end,
                    anchor: None,
                    tag: None,
                    kind: Kind::Alias { id },
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn wrong(&self, at: usize, problem: impl Into<String>) -> EditError {
        EditError::Syntax { format: FORMAT, line: line_of(self.doc.text, at), problem: problem.into() }
    }

    fn open(
        &mut self,
        tag_at: Option<usize>,
        start: usize,
        anchor: usize,
        tag: Option<String>,
        style: StructureStyle,
        shape: Shape,
    ) -> Result<(), EditError> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.wrong(start, "lists and maps nest too deep"));
        }
        let flow = style == StructureStyle::Flow;
        let outer = tag_at.unwrap_or(start);
        self.frames.push(Frame { outer, start, anchor: numbered(anchor), tag, shape, flow });
        Ok(())
    }

    /// The name of an anchor comes right after the node that carries it.
    fn name_anchor(&mut self, id: usize, name: &str, at: usize) {
        let named = |outer: &mut usize, anchor: &mut Option<Anchor>| {
            if let Some(anchor) = anchor.as_mut().filter(|anchor| anchor.id == id) {
                name.clone_into(&mut anchor.name);
                *outer = at.min(*outer);
            }
        };
        let Some(frame) = self.frames.last_mut() else {
            if let Some(root) = &mut self.doc.root {
                named(&mut root.outer, &mut root.anchor);
            }
            return;
        };
        named(&mut frame.outer, &mut frame.anchor);
        let last = match &mut frame.shape {
            Shape::List(items) => items.last_mut(),
            Shape::Map { key: Some(key), .. } => Some(key),
            Shape::Map { entries, .. } => entries.last_mut().map(|entry| &mut entry.value),
        };
        if let Some(node) = last {
            named(&mut node.outer, &mut node.anchor);
        }
    }

    fn close(&mut self, end: usize) -> Result<(), EditError> {
        let Some(Frame { outer, start, anchor, tag, shape, flow }) = self.frames.pop() else { return Ok(()) };
        // The end of a block collection is reported at the token that ended it, lines later; its last item ends it.
        let (kind, last) = match shape {
            Shape::List(items) => {
                let last = items.last().map(|item| item.end);
                (Kind::List { items, flow }, last)
            }
            Shape::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.end.max(entry.key.end));
                (Kind::Map { entries, flow }, last)
            }
        };
        let end = if flow { end } else { last.unwrap_or(end) };
        self.place(Node { outer, start, end, anchor, tag, kind })
    }

    /// Puts a finished node into what is open.
    fn place(&mut self, mut node: Node) -> Result<(), EditError> {
        let text = self.doc.text;
        let Some(frame) = self.frames.last_mut() else {
            self.doc.root = Some(node);
            return Ok(());
        };
        match &mut frame.shape {
            Shape::List(items) => items.push(node),
            Shape::Map { key: slot @ None, .. } => *slot = Some(node),
            Shape::Map { entries, key } => {
                let Some(key) = key.take() else { return Ok(()) };
                let colon = colon(text, key.end);
                // What was not written is reported where the key ends.
                if let Some(colon) = colon.filter(|_| node.is_unwritten() && node.start < colon.unwrap_or(0))
                {
                    (node.outer, node.start, node.end) = (colon, colon, colon);
                }
                let entry = Entry { key, colon, value: node };
                let first = entry.name().and_then(|name| entries.iter().find(|one| one.name() == Some(name)));
                if let (Some(first), Some(name)) = (first, entry.name()) {
                    return Err(EditError::Twice {
                        key: name.to_owned(),
                        first: line_of(text, first.key.start),
                        second: line_of(text, entry.key.start),
                    });
                }
                entries.push(entry);
            }
        }
        Ok(())
    }

    /// The reader counts the blank lines behind a block scalar to it; they belong to it only where it keeps them (`+`).
    fn end_of_block(&self, start: usize, end: usize) -> usize {
        let text = self.doc.text;
        let end = end.max(start).min(text.len());
        let header = text[..start].trim_end().rsplit('\n').next().unwrap_or_default();
        let keeps = header.rsplit(['|', '>']).next().is_some_and(|signs| {
            signs.trim_end().starts_with(|char: char| char == '+' || char.is_ascii_digit())
                && signs.contains('+')
        });
        let body = text[start..end].trim_end_matches([' ', '\t']);
        let kept = if keeps { body.strip_suffix('\n').unwrap_or(body) } else { body.trim_end() };
        start + kept.strip_suffix('\r').unwrap_or(kept).len()
    }
}

fn numbered(id: usize) -> Option<Anchor> {
    (id > 0).then(|| Anchor { id, name: String::new() })
}

/// Returns the place behind the colon of a key that stands in one line.
fn colon(text: &str, key_end: usize) -> Option<usize> {
    let rest = &text[key_end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest[blanks..].starts_with(':').then_some(key_end + blanks + 1)
}
