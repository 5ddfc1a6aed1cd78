//! How a service is run privately in a rehearsal, as a playbook writes it.

use super::Compile;
use crate::config::{ConfigFormat, Edits, Wanted};
use crate::decode::Spanned;
use crate::diagnostic::Diagnostic;
use crate::each::Item;
use crate::playbook::{PrivateBody, PrivateFileBody};
use crate::private::{FOLDER, PORT, PRIVATE, PrivateDef, PrivateFile};
use crate::tree::Key;

impl Compile<'_> {
    pub(super) fn private(&mut self, body: &PrivateBody) -> Option<PrivateDef> {
        let url = match &body.url {
            Some(url) => Some(self.url(url)?.trim_end_matches('/').to_owned()),
            None => None,
        };
        // What only a rehearsal knows stays as it is written until there is one.
        let known = [("port", PORT), ("folder", FOLDER)];
        let item = Item {
            key: PRIVATE.to_owned(),
            fields: known.map(|(name, text)| (name.to_owned(), text.into())).into(),
            ..Item::default()
        };
        let files: Vec<Option<Option<PrivateFile>>> = self.at_item(PRIVATE, item, |cx| {
            body.reads.iter().map(|(name, file)| cx.private_file(name, file)).collect()
        });
        let files: Option<Vec<Option<PrivateFile>>> = files.into_iter().collect();
        Some(PrivateDef { url, reads: files?.into_iter().flatten().collect() })
    }

    /// Returns nothing for a file that the site does not have.
    fn private_file(&mut self, name: &Key, body: &PrivateFileBody) -> Option<Option<PrivateFile>> {
        if self.broken.contains(&name.text) {
            return Some(None);
        }
        let target = self.target_name(&name.text, name.span, &["file"])?;
        let format = self.config_format(&target, name.span, body.format)?;
        let mut set = Vec::new();
        for (key, value) in body.set.iter() {
            self.config_key(&key.text, key.span, format)?;
            set.push((key.text.clone(), self.wanted(value)?));
        }
        let mut delete = Vec::new();
        for key in &body.delete {
            self.config_key_gone(&key.value, key.span, format)?;
            delete.push(key.value.clone());
        }
        let keep = self.kept(&body.keep, format)?;
        let edits = Edits { format, rename: Vec::new(), set, delete };
        if let Some((one, other)) = edits.clash() {
            self.out.push(
                Diagnostic::error("P013", format!("keys `{one}` and `{other}` are changed over one another"))
                    .at(name.span, "in the copy of this file")
                    .help("leave one of the two"),
            );
            return None;
        }
        let text_only = format == ConfigFormat::Env;
        if text_only && edits.set.iter().any(|(_, value)| matches!(value, Wanted::List(_) | Wanted::Map(_))) {
            self.out.push(
                Diagnostic::error("P007", "a variable is one text")
                    .at(name.span, "in the copy of this file")
                    .help("write a text for each; `\"\"` is the empty one"),
            );
            return None;
        }
        Some(Some(PrivateFile { target, edits, keep }))
    }

    fn kept(&mut self, keys: &[Spanned<String>], format: ConfigFormat) -> Option<Vec<String>> {
        let checked = keys.iter().map(|key| {
            self.config_key(&key.value, key.span, format)?;
            Some(key.value.clone())
        });
        checked.collect()
    }
}
