//! Keys and values of config files.

use super::Compile;
use crate::config::{ConfigFormat, EditError, Wanted};
use crate::decode::{Decode, Decoder};
use crate::diagnostic::{Diagnostic, Span};
use crate::target::TargetDef;
use crate::text::{Part, Template};
use crate::tree::{Node, Value as Tree};

impl Compile<'_> {
    /// Returns the format of a file target, as written or as the name of the file says; else says that one is needed.
    pub fn config_format(
        &mut self,
        target: &str,
        span: Span,
        written: Option<ConfigFormat>,
    ) -> Option<ConfigFormat> {
        let guessed = match self.targets.get(target) {
            Some(TargetDef::File { path }) => ConfigFormat::of_name(path),
            _ => None,
        };
        if written.or(guessed).is_none() {
            let known: Vec<_> = ConfigFormat::ALL.iter().map(|format| format.as_str()).collect();
            self.out.push(
                Diagnostic::error("P006", format!("the name of file `{target}` does not say its format"))
                    .at(span, "which format has it?")
                    .help(format!("add `format:`; possible are: {}", known.join(", "))),
            );
        }
        written.or(guessed)
    }

    /// Says what is wrong with a key of a config file, if anything is.
    pub fn config_key(&mut self, key: &str, span: Span, format: ConfigFormat) -> Option<()> {
        self.sound(format.editor().check_key(key), span, format)
    }

    /// As [`Compile::config_key`], for a key that is to be taken away.
    pub fn config_key_gone(&mut self, key: &str, span: Span, format: ConfigFormat) -> Option<()> {
        self.sound(format.editor().check_gone(key), span, format)
    }

    fn sound(&mut self, checked: Result<(), EditError>, span: Span, format: ConfigFormat) -> Option<()> {
        let Err(error) = checked else { return Some(()) };
        let diagnostic = Diagnostic::error("P008", format!("cannot {error}")).at(span, "");
        self.out.push(match format {
            ConfigFormat::Env => diagnostic.help("write the name of one variable"),
            ConfigFormat::Yaml => {
                diagnostic.help("keys inside one another have a dot between, and `\\.` is a dot in a name")
            }
        });
        None
    }

    /// Returns a value as written: typed where it stands without quotes, a text where a reference is in it.
    pub fn wanted(&mut self, node: &Node) -> Option<Wanted> {
        match &node.value {
            Tree::Null => Some(Wanted::Plain("null".to_owned())),
            Tree::Scalar { plain, .. } => {
                let mut decoder = Decoder::default();
                let template = Template::decode(node, &mut decoder);
                self.out.extend(decoder.into_diagnostics());
                let template = template?;
                match template.parts() {
                    [Part::Ref(_)] => match self.whole(&template)? {
                        serde_json::Value::String(text) => Some(Wanted::Text(text)),
                        serde_json::Value::Number(number) => Some(Wanted::Plain(number.to_string())),
                        // Says that it is none.
                        _ => self.text(&template).map(Wanted::Text),
                    },
                    [] | [Part::Lit(_)] => Some(Wanted::scalar(&self.text(&template)?, *plain)),
                    _ => self.text(&template).map(Wanted::Text),
                }
            }
            Tree::List(items) => {
                items.iter().map(|item| self.wanted(item)).collect::<Option<Vec<_>>>().map(Wanted::List)
            }
            Tree::Map(entries) => {
                let pairs = entries.iter().map(|(key, value)| Some((key.text.clone(), self.wanted(value)?)));
                pairs.collect::<Option<Vec<_>>>().map(Wanted::Map)
            }
        }
    }
}
