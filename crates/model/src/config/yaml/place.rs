//! Finding the place of a key, and knowing what else would change with it.

use super::super::error::{EditError, line_of};
use super::parse::{Anchor, Doc, Entry, Kind, Node};
use super::path::Part;
use granit_parser::ScalarStyle;

/// The nodes on the way to a key, from the root, each with its position in the one before it.
pub(super) struct Way<'d> {
    pub(super) nodes: Vec<&'d Node>,
    pub(super) at: Vec<usize>,
}

/// Where a key leads.
pub(super) enum Lookup<'d> {
    Found(Way<'d>),
    /// The way ends in a node, and this many parts are left.
    Missing(Way<'d>, usize),
}

impl<'d> Way<'d> {
    pub(super) fn node(&self) -> &'d Node {
        // The root at least is always there.
        self.nodes[self.nodes.len() - 1]
    }

    /// The list or map that holds the node; `None` for the root.
    pub(super) fn holder(&self) -> Option<(&'d Node, usize)> {
        let before = self.nodes.len().checked_sub(2)?;
        Some((self.nodes[before], self.at[before]))
    }

    /// The way to the list or map that holds the node; the root's is its own.
    pub(super) fn above(&self) -> Way<'d> {
        let nodes = self.nodes[..self.at.len().max(1)].to_vec();
        Way { at: self.at[..nodes.len() - 1].to_vec(), nodes }
    }

    /// The entry of a map that the node is the value of.
    pub(super) fn entry(&self) -> Option<&'d Entry> {
        match self.holder()? {
            (Node { kind: Kind::Map { entries, .. }, .. }, at) => entries.get(at),
            _ => None,
        }
    }

    /// Whether the node, or anything around it, stands in brackets.
    pub(super) fn in_flow(&self) -> bool {
        self.nodes[..self.nodes.len() - 1].iter().any(|node| is_flow(node))
    }
}

pub(super) fn is_flow(node: &Node) -> bool {
    matches!(node.kind, Kind::List { flow: true, .. } | Kind::Map { flow: true, .. })
}

/// Follows a key from the root; an alias on the way, or a value that has no keys, is an error.
pub(super) fn locate<'d>(
    root: &'d Node,
    text: &str,
    key: &str,
    parts: &[Part],
) -> Result<Lookup<'d>, EditError> {
    let mut way = Way { nodes: vec![root], at: Vec::new() };
    for (done, part) in parts.iter().enumerate() {
        let node = way.node();
        let in_the_way = || EditError::InTheWay {
            key: key.to_owned(),
            line: line_of(text, node.start),
            what: node.what().to_owned(),
        };
        let next = match (&node.kind, part) {
            (Kind::Map { entries, .. }, Part::Key(name)) => {
                entries.iter().position(|entry| entry.name() == Some(name)).map(|at| (at, &entries[at].value))
            }
            (Kind::List { items, .. }, Part::Index(at)) => items.get(*at).map(|item| (*at, item)),
            _ if is_nothing(node) => None,
            _ => return Err(in_the_way()),
        };
        let Some((at, next)) = next else { return Ok(Lookup::Missing(way, parts.len() - done)) };
        way.at.push(at);
        way.nodes.push(next);
    }
    Ok(Lookup::Found(way))
}

/// Follows a key to read it: through aliases, and into what a merge key brings in.
pub(super) fn read<'d>(doc: &'d Doc<'_>, parts: &[Part]) -> Option<&'d Node> {
    let root = doc.root.as_ref()?;
    let mut node = root;
    for part in parts {
        node = resolve(root, node)?;
        node = match (&node.kind, part) {
            (Kind::Map { .. }, Part::Key(name)) => value_of(root, node, name, 0)?,
            (Kind::List { items, .. }, Part::Index(at)) => items.get(*at)?,
            _ => return None,
        };
    }
    resolve(root, node)
}

/// Whether a key comes into a map by a merge key, and not from the map itself.
pub(super) fn is_merged(doc: &Doc<'_>, way: &Way<'_>, part: &Part) -> bool {
    match (doc.root.as_ref(), part) {
        (Some(root), Part::Key(name)) => value_of(root, way.node(), name, 0).is_some(),
        _ => false,
    }
}

fn value_of<'d>(root: &'d Node, map: &'d Node, name: &str, depth: usize) -> Option<&'d Node> {
    let Kind::Map { entries, .. } = &map.kind else { return None };
    if let Some(entry) = entries.iter().find(|entry| entry.name() == Some(name)) {
        return Some(&entry.value);
    }
    // Merged maps merge others in turn; a chain of them is short, or it is a mistake.
    if depth > 16 {
        return None;
    }
    let merge = entries.iter().find(
        |entry| matches!(&entry.key.kind, Kind::Scalar { text, style: ScalarStyle::Plain } if text == "<<"),
    )?;
    let merged = resolve(root, &merge.value)?;
    match &merged.kind {
        Kind::Map { .. } => value_of(root, merged, name, depth + 1),
        Kind::List { items, .. } => {
            items.iter().find_map(|item| value_of(root, resolve(root, item)?, name, depth + 1))
        }
        _ => None,
    }
}

fn resolve<'d>(root: &'d Node, node: &'d Node) -> Option<&'d Node> {
    match node.kind {
        Kind::Alias { id } => find(root, &|node| node.anchor.as_ref().is_some_and(|anchor| anchor.id == id)),
        _ => Some(node),
    }
}

fn find<'d>(node: &'d Node, wanted: &dyn Fn(&Node) -> bool) -> Option<&'d Node> {
    if wanted(node) {
        return Some(node);
    }
    match &node.kind {
        Kind::List { items, .. } => items.iter().find_map(|item| find(item, wanted)),
        Kind::Map { entries, .. } => {
            entries.iter().find_map(|entry| find(&entry.key, wanted).or_else(|| find(&entry.value, wanted)))
        }
        _ => None,
    }
}

/// Whether a node is null and carries nothing else: a key may be put below it.
pub(super) fn is_nothing(node: &Node) -> bool {
    let null = matches!(&node.kind, Kind::Scalar { text, style: ScalarStyle::Plain } if super::super::value::is_null(text));
    null && node.tag.is_none()
}

/// Refuses a change that others would see: an anchor that is used elsewhere, on the way or (`inside`) in the value itself. What
/// is used nowhere but in that value goes with it.
pub(super) fn refuse_shared(doc: &Doc<'_>, way: &Way<'_>, key: &str, inside: bool) -> Result<(), EditError> {
    let used = |anchor: &Anchor| doc.uses.contains_key(&anchor.id);
    let carries = |node: &Node| node.anchor.as_ref().is_some_and(used);
    let (own, above) = (way.node(), &way.nodes[..way.nodes.len() - 1]);
    let whole = own.outer..own.end;
    let outside = |anchor: &Anchor| {
        doc.uses.get(&anchor.id).is_some_and(|uses| uses.iter().any(|at| !(inside && whole.contains(at))))
    };
    let leads_out = |node: &Node| node.anchor.as_ref().is_some_and(outside);
    let on_the_way =
        above.iter().copied().find(|node| carries(node)).or(Some(own).filter(|node| leads_out(node)));
    let shared = on_the_way.or_else(|| if inside { find(own, &leads_out) } else { None });
    let Some((node, anchor)) = shared.and_then(|node| Some((node, node.anchor.as_ref()?))) else {
        return Ok(());
    };
    let lines: Vec<usize> = doc.uses[&anchor.id].iter().map(|at| line_of(doc.text, *at)).collect();
    let others = match lines.as_slice() {
        [line] => format!("line {line}"),
        [line, rest @ ..] => format!("line {line} and {} more", rest.len()),
        [] => String::new(),
    };
    Err(EditError::Shared {
        key: key.to_owned(),
        line: line_of(doc.text, node.outer),
        anchor: format!("&{}", anchor.name),
        others,
    })
}

/// Refuses what an edit would have to take apart: a tag says what the value is to one program.
pub(super) fn refuse_tagged(doc: &Doc<'_>, node: &Node, key: &str) -> Result<(), EditError> {
    let Some(tag) = &node.tag else { return Ok(()) };
    Err(EditError::InTheWay {
        key: key.to_owned(),
        line: line_of(doc.text, node.outer),
        what: format!("a value with the tag `{tag}`"),
    })
}
