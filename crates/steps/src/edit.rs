//! `edit`: changes keys of a config file, and no other byte of it.

mod body;

use crate::secrets::revealed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::config::{ConfigFormat, EditError, Edits, Outcome, Wanted, masked_lines};
use switchback_model::diff;
use switchback_model::digest::Digest;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::secret::{MASK, Sealed};
use switchback_model::words::count;
use switchback_site::Site;
use switchback_site::file::{Before, Image, capture, put_back, read, replace};

pub use body::{EditBody, EditKind};

/// Mode of a new file; an edit never makes one.
const NEW_MODE: u32 = 0o600;

/// The step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Name of the target.
    pub target: String,
    /// The edits.
    pub edits: Edits,
    /// Keys whose values are secrets: set as the last of those that are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<(String, Sealed)>,
}

/// The bytes before and after, as far as the before-image tells them.
struct Ends {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Ends {
    /// Whether a file that is written in place (a mount point cannot be renamed over) was left half way: the new bytes up
    /// to a place, the old ones behind it. Both ends are none.
    fn is_between(&self, now: &[u8]) -> bool {
        let (old, new) = (&self.old, &self.new);
        let written = now.iter().zip(new).take_while(|(one, other)| one == other).count();
        let rest = old.get(written..).unwrap_or_default();
        let begun = now.get(written..) == Some(rest);
        // All of it was written, and what was longer before was not cut off yet.
        let uncut = old.len() > new.len()
            && now.len() == old.len()
            && now.starts_with(new)
            && now.ends_with(&old[new.len()..]);
        (begun || uncut) && now != old.as_slice() && now != new.as_slice()
    }
}

impl Edit {
    fn cannot(&self, path: &Path, error: &EditError) -> StepError {
        StepError::failed(format!("edit {}: {error}", path.display())).help(error.help())
    }

    fn outcome(&self, path: &Path, bytes: Vec<u8>) -> Result<(String, Outcome), StepError> {
        let text = String::from_utf8(bytes).map_err(|_| {
            StepError::failed(format!("edit {}: it is not UTF-8 text", path.display()))
                .help("check that this is the right file")
        })?;
        let outcome = self.revealed()?.of(&text).map_err(|error| self.cannot(path, &error))?;
        Ok((text, outcome))
    }

    /// The edits with the secrets in them.
    fn revealed(&self) -> Result<Edits, StepError> {
        let mut edits = self.edits.clone();
        for (key, sealed) in &self.sealed {
            edits.set.push((key.clone(), Wanted::Text(revealed(sealed)?)));
        }
        Ok(edits)
    }

    /// Where the bytes after an edit with secrets are kept from `prepare` on: from there every life and the way back knows
    /// them, whether the secret is at hand by then or another.
    fn kept_after(kept: &Path) -> PathBuf {
        let mut name = kept.as_os_str().to_owned();
        name.push(".after");
        PathBuf::from(name)
    }

    /// The bytes that the step leaves, from those that it found; `None` where a copy of them was not made yet.
    fn bytes_after(&self, path: &Path, kept: &Path, old: Vec<u8>) -> Result<Option<Vec<u8>>, StepError> {
        match self.sealed.is_empty() {
            true => Ok(Some(self.outcome(path, old)?.1.text.into_bytes())),
            false => Ok(read(&Edit::kept_after(kept))?),
        }
    }

    /// The diff for people. A key that is set to a secret is named, and its value is shown neither before nor after.
    fn lines(&self, path: &Path, before: &str, after: &str) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        let hidden = |text: &str, key: &String| -> Result<String, EditError> {
            let editor = self.edits.format.editor();
            match editor.get(text, key)? {
                Some(_) => editor.set(text, key, &Wanted::Text(MASK.to_owned())),
                None => Ok(text.to_owned()),
            }
        };
        let (mut shown_before, mut shown_after) = (before.to_owned(), after.to_owned());
        for (key, sealed) in &self.sealed {
            let names: Vec<&str> = sealed.secrets().map(|secret| secret.secret.as_str()).collect();
            let editor = self.edits.format.editor();
            let cannot = |error: EditError| self.cannot(path, &error);
            let same = editor.get(before, key).map_err(cannot)? == editor.get(after, key).map_err(cannot)?;
            if !same {
                lines.push(format!("`{key}` is set, with secret {}", names.join(", ")));
            }
            shown_before = hidden(&shown_before, key).map_err(cannot)?;
            shown_after = hidden(&shown_after, key).map_err(cannot)?;
        }
        lines.extend(shown(self.edits.format, &shown_before, &shown_after));
        Ok(lines)
    }

    /// Reads the kept copy, proves that it is the before-image, and makes the edits on it.
    fn ends(&self, path: &Path, before: &Before) -> Result<Ends, StepError> {
        let kept = before.kept.as_deref();
        let old = kept.map(read).transpose()?.flatten();
        let digest = before.image.file().map(|file| file.digest.clone());
        let whole = old.filter(|old| Some(Digest::of(old).to_string()) == digest);
        let old = whole.ok_or_else(|| {
            let kept = kept.unwrap_or(path).display();
            StepError::failed(format!(
                "rely on the copy of {} kept in {kept}: it is missing or damaged",
                path.display()
            ))
        })?;
        let after = kept.map(|kept| self.bytes_after(path, kept, old.clone())).transpose()?.flatten();
        let new = after.ok_or_else(|| {
            StepError::failed(format!(
                "rely on what was kept for {}: the bytes after it are missing",
                path.display()
            ))
        })?;
        Ok(Ends { old, new })
    }

    /// The keys whose values left the file.
    fn removed(&self, old: &[u8]) -> Vec<String> {
        let gone = |text: &str| self.edits.of(text).map(|outcome| outcome.removed).unwrap_or_default();
        std::str::from_utf8(old).map(gone).unwrap_or_default()
    }

    /// Whether the file is as it was, or as this step leaves it, whole or half: owner, mode, attributes and links stay.
    fn is_ours(&self, path: &Path, now: &Image, before: &Before) -> Result<bool, StepError> {
        if now == &before.image {
            return Ok(true);
        }
        if !now.differs_in_content_only(&before.image) {
            return Ok(false);
        }
        let ends = self.ends(path, before)?;
        let bytes = read(path)?.unwrap_or_default();
        Ok(bytes == ends.new || ends.is_between(&bytes))
    }
}

impl Step for Edit {
    const KIND: &'static str = "edit";
    type Before = Before;

    fn describe(&self) -> String {
        let quoted = |keys: Vec<&str>| match keys.as_slice() {
            [] | [_] | [_, _] | [_, _, _] => {
                keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
            }
            more => count(more.len() as u64, "key"),
        };
        let mut parts = Vec::new();
        let edits = &self.edits;
        let set = edits.set.iter().map(|(key, _)| key).chain(self.sealed.iter().map(|(key, _)| key));
        let set: Vec<&str> = set.map(String::as_str).collect();
        if !edits.rename.is_empty() {
            parts.push(format!(
                "rename {}",
                quoted(edits.rename.iter().map(|(from, _)| from.as_str()).collect())
            ));
        }
        if !set.is_empty() {
            parts.push(format!("set {}", quoted(set)));
        }
        if !edits.delete.is_empty() {
            parts.push(format!("delete {}", quoted(edits.delete.iter().map(String::as_str).collect())));
        }
        format!("{} in {}", parts.join(", "), self.target)
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
        let path = world.site.file(&self.target)?;
        let bytes = match world.left(&self.target, "text").and_then(Value::as_str) {
            Some(text) => text.as_bytes().to_vec(),
            None => there(&path, read(&path)?)?,
        };
        let (before, outcome) = self.outcome(&path, bytes)?;
        let mut lines = Vec::new();
        if outcome.text == before {
            lines.push("nothing changes: the file says all of it already".to_owned());
        }
        lines.extend(outcome.removed.iter().map(|key| {
            format!("`{key}` leaves this file: what still needs its value must have it elsewhere")
        }));
        lines.extend(outcome.notes);
        lines.extend(self.lines(&path, &before, &outcome.text)?);
        world.leave(&self.target, "text", Value::from(outcome.text));
        Ok(Preview::of(lines, 10))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let path = site.file(&self.target)?;
        let Some(now) = read(&path)? else { return Ok(Condition::Pending) };
        // Once there is a before-image, only its edits are ours: half a file can say all that was wanted.
        let kept = work.dir.keep().join(work.step);
        let Some(old) = read(&kept)? else {
            let (before, outcome) = self.outcome(&path, now)?;
            return Ok(if outcome.text == before { Condition::applied() } else { Condition::Pending });
        };
        // A copy that was cut short has edits of its own, or none: the file is then not taken for done.
        let Ok(Some(new)) = self.bytes_after(&path, &kept, old.clone()) else {
            return Ok(Condition::Pending);
        };
        let ends = Ends { old, new };
        Ok(match now {
            now if now == ends.new => Condition::Applied(json!({ "removed": self.removed(&ends.old) })),
            now if ends.is_between(&now) => Condition::Partial,
            _ => Condition::Pending,
        })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Before, StepError> {
        let path = site.file(&self.target)?;
        let kept = work.dir.keep().join(work.step);
        self.outcome(&path, there(&path, read(&path)?)?)?;
        let before = capture(&path, &kept)?;
        if !self.sealed.is_empty() {
            // Of the copy: the file may have changed since it was read above.
            let outcome = self.outcome(&path, there(&kept, read(&kept)?)?)?.1;
            let after = Edit::kept_after(&kept);
            write_durably(&after, outcome.text.as_bytes())
                .map_err(|error| StepError::failed(format!("write {}: {error}", after.display())))?;
        }
        Ok(before)
    }

    fn apply(&self, site: &Site, before: &Before, work: &Work<'_>) -> Result<Value, StepError> {
        let path = site.file(&self.target)?;
        if !self.is_ours(&path, &Image::read(&path)?, before)? {
            return Err(StepError::conflict(format!("{} was changed since this step began", path.display())));
        }
        replace(&path, &self.ends(&path, before)?.new, NEW_MODE, work.tell)?;
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, before: &Before, work: &Work<'_>) -> Result<(), StepError> {
        let path = site.file(&self.target)?;
        if !work.losing_writes && !self.is_ours(&path, &Image::read(&path)?, before)? {
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

fn there(path: &Path, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, StepError> {
    bytes.ok_or_else(|| {
        StepError::failed(format!("edit {}: there is no such file", path.display()))
            .help("name the file that the program reads in the site file")
    })
}

/// The diff for people: no value of a key that looks secret is in it. A line end that the last line lacks is no change.
fn shown(format: ConfigFormat, before: &str, after: &str) -> Vec<String> {
    let ended = |text: &str| {
        if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
    };
    let (masked_before, masked_after) = (masked_lines(format, before), masked_lines(format, after));
    diff::lines_shown(&ended(before), &ended(after), &masked_before, &masked_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_told_from_both_ends_and_from_foreign_work() {
        let ends = |old: &str, new: &str| Ends { old: old.into(), new: new.into() };
        let longer = ends("A=1\nB=2\n", "A=1\nB=22\nC=3\n");
        let shorter = ends("A=1\nB=2\nC=3\n", "A=1\nC=3\n");
        for ends in [&longer, &shorter] {
            for at in 0..=ends.new.len() {
                let old = ends.old.get(at..).unwrap_or_default();
                let half = [&ends.new[..at], old].concat();
                let is_end = half == ends.old || half == ends.new;
                assert_eq!(ends.is_between(&half), !is_end, "{:?}", String::from_utf8_lossy(&half));
            }
            assert!(!ends.is_between(b"A=9\nB=2\n"));
            assert!(!ends.is_between(b""));
        }
    }
}
