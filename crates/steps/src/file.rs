//! `file`: puts a file of the playbook in the place of a file of the site, or takes one away.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::diagnostic::Diagnostic;
use switchback_model::digest::Digest;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::record;
use switchback_model::text::Template;
use switchback_site::Site;
use switchback_site::file::{Before, Image, capture, put_back, read, remove, replace};

/// Mode of a file that was not there before, as `umask` would not know better.
const NEW_MODE: u32 = 0o644;

record! {
    /// Gives a file another content, or takes it away. Owner, mode and attributes stay.
    pub struct FileBody {
        /// The file target.
        pub at: Spanned<String>,
        /// A file of the playbook with the new content.
        pub from: Option<Spanned<String>>,
        /// The new content itself.
        pub text: Option<Template>,
        /// `true`: the file goes.
        pub absent: Option<bool>,
    }
}

/// The kind.
pub struct FileKind;

impl Kind for FileKind {
    type Body = FileBody;
    const NAME: &'static str = "file";
    const SAYS: &'static str = "gives a file another content, or takes it away";

    fn compile(body: FileBody, cx: &mut Compile<'_>) -> Compiled {
        let target = cx.target_name(&body.at.value, body.at.span, &["file"])?;
        let content = match (&body.from, &body.text, body.absent) {
            (Some(from), None, None) => Some(cx.file(&from.value, from.span)?),
            (None, Some(text), None) => Some(cx.text(text)?),
            (None, None, Some(true)) => None,
            _ => {
                cx.out.push(
                    Diagnostic::error("P013", "a `file` step says one thing about its file")
                        .at(body.at.span, "about this one")
                        .help("give it one of `from:`, `text:`, `absent: true`"),
                );
                return None;
            }
        };
        Some(vec![Box::new(PutFile { target, content })])
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutFile {
    /// Name of the target.
    pub target: String,
    /// The wanted content; `None` takes the file away.
    pub content: Option<String>,
}

impl PutFile {
    fn is_there(&self, image: &Image) -> bool {
        match (&self.content, image.file()) {
            (Some(content), Some(file)) => file.digest == Digest::of(content.as_bytes()).to_string(),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether the file is as it was, or as this step leaves it: owner, mode, attributes and links stay.
    fn is_ours(&self, now: &Image, before: &Image) -> bool {
        let kept = match (now.file(), before.file()) {
            (Some(now), Some(before)) => {
                (now.mode, now.uid, now.gid, &now.xattrs)
                    == (before.mode, before.uid, before.gid, &before.xattrs)
            }
            (Some(now), None) => now.mode == NEW_MODE,
            (None, _) => true,
        };
        now == before || self.is_there(now) && kept && now.links() == before.links()
    }
}

impl Step for PutFile {
    const KIND: &'static str = "file";
    type Before = Before;

    fn describe(&self) -> String {
        match self.content {
            Some(_) => format!("write {}", self.target),
            None => format!("take {} away", self.target),
        }
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Writes)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let before = match world.left(&self.target, "text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => {
                let bytes = read(&world.site.file(&self.target)?)?.unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        let after = self.content.clone().unwrap_or_default();
        let lines = switchback_model::diff::lines(&before, &after);
        world.leave(&self.target, "text", Value::from(after));
        Ok(Preview::of(lines, 10))
    }

    fn check(&self, site: &Site, _work: &Work<'_>) -> Result<Condition, StepError> {
        let image = Image::read(&site.file(&self.target)?)?;
        Ok(if self.is_there(&image) { Condition::applied() } else { Condition::Pending })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Before, StepError> {
        Ok(capture(&site.file(&self.target)?, &work.dir.keep().join(work.step))?)
    }

    fn apply(&self, site: &Site, before: &Before, work: &Work<'_>) -> Result<Value, StepError> {
        let path = site.file(&self.target)?;
        let now = Image::read(&path)?;
        if !self.is_ours(&now, &before.image) {
            return Err(StepError::conflict(format!("{} was changed since this step began", path.display())));
        }
        match &self.content {
            Some(content) => replace(&path, content.as_bytes(), NEW_MODE, work.tell)?,
            None => remove(&path, work.tell)?,
        };
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, before: &Before, work: &Work<'_>) -> Result<(), StepError> {
        let path = site.file(&self.target)?;
        let now = Image::read(&path)?;
        if !self.is_ours(&now, &before.image) && !work.losing_writes {
            return Err(StepError::conflict(format!(
                "{} was changed by somebody else since",
                path.display()
            ))
            .help(format!(
                "keep what it holds now; the file as it was is in {}",
                work.dir.keep().display()
            )));
        }
        put_back(&path, before, work.tell)?;
        if Image::read(&path)? != before.image {
            return Err(StepError::failed(format!("put {} back as it was", path.display())));
        }
        Ok(())
    }
}
