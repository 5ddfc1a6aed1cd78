//! An `edit` step as a playbook writes it.

use super::Edit;
use switchback_engine::Kind;
use switchback_engine::registry::Compiled;
use switchback_model::compile::Compile;
use switchback_model::config::{ConfigFormat, Edits, Wanted};
use switchback_model::decode::{Decode, Decoder, Keyed, Spanned};
use switchback_model::diagnostic::{Diagnostic, Span};
use switchback_model::record;
use switchback_model::secret::Sealed;
use switchback_model::text::Template;
use switchback_model::tree::{Node, Value as Tree};

record! {
    /// Changes keys of a config file; comments, order, quoting and line ends of everything else stay.
    pub struct EditBody {
        /// The file target.
        pub file: Spanned<String>,
        /// What the file is; where its name does not say so.
        pub format: Option<ConfigFormat>,
        /// Old key to new key; first of all.
        pub rename: Keyed<Spanned<String>>,
        /// Key to value.
        pub set: Keyed<Node>,
        /// Keys that go with their values.
        pub delete: Vec<Spanned<String>>,
    }
}

/// The kind.
pub struct EditKind;

impl Kind for EditKind {
    type Body = EditBody;
    const NAME: &'static str = "edit";
    const SAYS: &'static str = "changes keys of a config file, and no other byte of it";

    fn compile(body: EditBody, cx: &mut Compile<'_>) -> Compiled {
        let target = cx.target_name(&body.file.value, body.file.span, &["file"])?;
        let format = cx.config_format(&target, body.file.span, body.format)?;
        let keys = keys(&body);
        if keys.is_empty() {
            cx.out.push(
                Diagnostic::error("P006", "this `edit` step does not say what changes")
                    .at(body.file.span, "in this file")
                    .help("give it `set:`, `delete:` or `rename:`"),
            );
            return None;
        }
        check_keys(&keys, format, cx)?;
        let (mut open, mut sealed) = (Vec::new(), Vec::new());
        for (key, value) in body.set.iter() {
            match secret(value, cx) {
                Some(secret) => sealed.push((key.text.clone(), secret?)),
                None => open.push((key, value)),
            }
        }
        let set = open.into_iter().map(|(key, value)| {
            let wanted = cx.wanted(value)?;
            let fits = format != ConfigFormat::Env
                || matches!(&wanted, Wanted::Text(_) | Wanted::Plain(_)) && !value.is_null();
            if !fits {
                cx.out.push(
                    Diagnostic::error(
                        "P007",
                        format!("the value of `{}` is {}", key.text, value.kind_name()),
                    )
                    .at(value.span, "a variable is one text")
                    .help("write a text; `\"\"` is the empty one"),
                );
                return None;
            }
            Some((key.text.clone(), wanted))
        });
        let set: Vec<Option<_>> = set.collect();
        let edits = Edits {
            format,
            rename: body.rename.iter().map(|(from, to)| (from.text.clone(), to.value.clone())).collect(),
            set: set.into_iter().collect::<Option<_>>()?,
            delete: body.delete.iter().map(|key| key.value.clone()).collect(),
        };
        Some(vec![Box::new(Edit { target, edits, sealed })])
    }
}

/// A key, its place, and whether it goes.
type Named<'b> = (&'b str, Span, bool);

/// Every key in the order of [`Edits::keys`].
fn keys(body: &EditBody) -> Vec<Named<'_>> {
    let renamed = body.rename.iter();
    let renamed = renamed
        .flat_map(|(from, to)| [(from.text.as_str(), from.span, true), (to.value.as_str(), to.span, false)]);
    let set = body.set.iter().map(|(key, _)| (key.text.as_str(), key.span, false));
    let deleted = body.delete.iter().map(|key| (key.value.as_str(), key.span, true));
    renamed.chain(set).chain(deleted).collect()
}

fn check_keys(keys: &[Named<'_>], format: ConfigFormat, cx: &mut Compile<'_>) -> Option<()> {
    let editor = format.editor();
    let mut sound = true;
    for (key, span, goes) in keys {
        let checked =
            if *goes { cx.config_key_gone(key, *span, format) } else { cx.config_key(key, *span, format) };
        sound &= checked.is_some();
    }
    for (at, (one, first, _)) in keys.iter().enumerate() {
        for (other, second, _) in &keys[at + 1..] {
            if sound && editor.overlap(one, other) {
                let message = match one == other {
                    true => format!("key `{one}` is changed twice in one step"),
                    false => format!("keys `{one}` and `{other}` are one inside the other"),
                };
                cx.out.push(
                    Diagnostic::error("P013", message)
                        .at(*second, "changed here")
                        .also(*first, "and here")
                        .help("leave one of the two, or make two steps of it"),
                );
                sound = false;
            }
        }
    }
    sound.then_some(())
}

/// A value with a secret in it; `None` for any other.
fn secret(node: &Node, cx: &mut Compile<'_>) -> Option<Option<Sealed>> {
    let Tree::Scalar { .. } = &node.value else { return None };
    // What is wrong with it as a template is said where it is read for good.
    let template = Template::decode(node, &mut Decoder::default())?;
    cx.names_secret(&template).then(|| cx.sealed(&template))
}
