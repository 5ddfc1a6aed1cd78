//! The artifacts of a run: files that one step leaves for later ones, each with a note of what it is.
//!
//! The file comes first and the note last, so a note says that the file beside it was whole. A file is believed only while it
//! has the digest that its note says.

use crate::file::shown;
use crate::tell::{Failure, Halt, Tell, Unit};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use switchback_model::artifact::{Artifact, ArtifactFacts};

/// Why an artifact cannot be kept or believed. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The operation was ended from outside.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// The file system said no.
    #[error("{doing} {}: {source}", shown(path))]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The note beside it is none of ours.
    #[error("read the note {}: {source}", shown(path))]
    Note {
        /// The note.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No step of this run has made it, or not to its end.
    #[error("take {label}: no step of this run has made it whole")]
    Missing {
        /// The artifact.
        label: String,
    },
    /// Its file is not what its step left.
    #[error("believe {label}: {} is not the file that `{step}` left ({wrong})", shown(path))]
    Changed {
        /// The artifact.
        label: String,
        /// The file.
        path: PathBuf,
        /// The step that made it.
        step: String,
        /// What differs.
        wrong: &'static str,
    },
    /// Two artifacts have one content and should not.
    #[error("believe {label}: it is byte for byte {other}, and the playbook says that they differ")]
    Same {
        /// The artifact.
        label: String,
        /// The other one.
        other: String,
    },
}

impl Failure for ArtifactError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ArtifactError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// What may follow the name of an artifact in its folder: the note first, without which nothing else is believed.
const SUFFIXES: [&str; 7] =
    [".note", ".note.new", "", ".partial", ".partial.partial", ".second", ".second.partial"];

/// The folder of a run's artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// Names the folder, which only its owner may read.
    pub fn at(folder: &Path) -> Artifacts {
        Artifacts { folder: folder.to_owned() }
    }

    /// Returns where the file of an artifact is, or will be.
    pub fn file(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(artifact.file_name())
    }

    /// Returns where a step writes until it is whole.
    pub fn partial(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(format!("{}.partial", artifact.file_name()))
    }

    /// Returns where a step puts what it gets a second time, to compare it.
    pub fn second(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(format!("{}.second", artifact.file_name()))
    }

    /// Returns a folder for what is there only while a step makes the artifact.
    pub fn scratch(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(format!("{}.scratch", artifact.file_name()))
    }

    fn note(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(format!("{}.note", artifact.file_name()))
    }

    /// Returns the note of an artifact; `None` where no step has finished it.
    pub fn noted(&self, artifact: &Artifact) -> Result<Option<ArtifactFacts>, ArtifactError> {
        read_note(&self.note(artifact))
    }

    /// Returns an artifact that is whole, with its file compared with the digest that its step noted.
    pub fn whole(&self, artifact: &Artifact, tell: &Tell) -> Result<(PathBuf, ArtifactFacts), ArtifactError> {
        let label = artifact.label();
        let Some(facts) = self.noted(artifact)? else { return Err(ArtifactError::Missing { label }) };
        let path = self.file(artifact);
        let wrong = match digest(&path, tell) {
            Ok((bytes, _)) if bytes != facts.bytes => "another size",
            Ok((_, digest)) if digest != facts.blake3 => "another content",
            Ok(_) => return Ok((path, facts)),
            Err(ArtifactError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                "it is gone"
            }
            Err(error) => return Err(error),
        };
        Err(ArtifactError::Changed { label, path, step: facts.step, wrong })
    }

    /// Returns whether this step has made the artifact and it is still what it was.
    ///
    /// `None` says that nothing of it is there, `Some(false)` that a part is.
    pub fn standing(
        &self,
        artifact: &Artifact,
        step: &str,
        tell: &Tell,
    ) -> Result<Option<bool>, ArtifactError> {
        match self.whole(artifact, tell) {
            Ok((_, facts)) => Ok(Some(facts.step == step)),
            Err(ArtifactError::Halt(halt)) => Err(halt.into()),
            Err(ArtifactError::Missing { .. } | ArtifactError::Changed { .. }) => {
                let any = [self.file(artifact), self.partial(artifact), self.note(artifact)]
                    .iter()
                    .any(|path| path.symlink_metadata().is_ok());
                Ok(any.then_some(false))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives what was written beside its name, and notes what it is. The bytes must be synced. After `Ok` both survive a power
    /// cut; a cut before leaves a part that the next life writes over.
    pub fn keep(&self, artifact: &Artifact, facts: &ArtifactFacts, tell: &Tell) -> Result<(), ArtifactError> {
        self.refuse_same(artifact, facts)?;
        let (from, to) = (self.partial(artifact), self.file(artifact));
        tell.point("artifact: before name")?;
        std::fs::rename(&from, &to).map_err(wrong("rename", &from))?;
        sync_folder(&self.folder)?;
        tell.point("artifact: before note")?;
        let note = self.note(artifact);
        let text =
            serde_json::to_vec(facts).map_err(|source| ArtifactError::Note { path: note.clone(), source })?;
        write_private(&note, &text)?;
        tell.point("artifact: noted")?;
        Ok(())
    }

    /// Two members that should differ and do not are one component's export twice. Two that are empty may be so by right.
    fn refuse_same(&self, artifact: &Artifact, facts: &ArtifactFacts) -> Result<(), ArtifactError> {
        for member in artifact.unlike.iter().filter(|_| facts.bytes > 0) {
            let other = artifact.sibling(member);
            if self.noted(&other)?.is_some_and(|its| its.blake3 == facts.blake3) {
                return Err(ArtifactError::Same { label: artifact.label(), other: other.label() });
            }
        }
        Ok(())
    }

    /// Takes an artifact away with all that belongs to it. After `Ok` it is gone for good; the note goes first.
    pub fn remove(&self, artifact: &Artifact, tell: &Tell) -> Result<(), ArtifactError> {
        let base = artifact.file_name();
        for suffix in SUFFIXES {
            let path = self.folder.join(format!("{base}{suffix}"));
            tell.point("artifact: before removal")?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(wrong("remove", &path)(error));
                }
                _ => {}
            }
        }
        let scratch = self.scratch(artifact);
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(wrong("remove", &scratch)(error));
            }
            _ => {}
        }
        // A folder that is not there has lost nothing.
        if self.folder.is_dir() { sync_folder(&self.folder) } else { Ok(()) }
    }

    /// Takes away what is there only while a step works. A life that was cut before its step was on record leaves some, and no
    /// undo knows of it.
    pub fn remove_scratch(&self) -> Result<(), ArtifactError> {
        for entry in self.entries()? {
            if entry.extension().is_some_and(|ending| ending == "scratch") && entry.is_dir() {
                std::fs::remove_dir_all(&entry).map_err(wrong("remove", &entry))?;
                sync_folder(&self.folder)?;
            }
        }
        Ok(())
    }

    /// Returns since when secrets lie in this folder, RFC 3339; `None` if there are none.
    pub fn secret_since(&self) -> Result<Option<String>, ArtifactError> {
        let mut since: Option<String> = None;
        for (_, facts) in self.notes()? {
            if facts.secret && since.as_ref().is_none_or(|known| facts.since < *known) {
                since = Some(facts.since);
            }
        }
        Ok(since)
    }

    /// Takes away what holds secrets, whole or not, and returns how many artifacts that were. What no note speaks of may hold
    /// one too.
    pub fn remove_secrets(&self) -> Result<usize, ArtifactError> {
        let open: Vec<PathBuf> = self
            .notes()?
            .into_iter()
            .filter(|(_, facts)| !facts.secret)
            .flat_map(|(note, _)| [note.with_extension(""), note])
            .collect();
        let mut gone = 0;
        for entry in self.entries()? {
            if open.contains(&entry) {
                continue;
            }
            gone += usize::from(entry.extension().is_none_or(|ending| ending != "note"));
            let removed =
                if entry.is_dir() { std::fs::remove_dir_all(&entry) } else { std::fs::remove_file(&entry) };
            removed.map_err(wrong("remove", &entry))?;
        }
        if self.folder.is_dir() {
            sync_folder(&self.folder)?;
        }
        Ok(gone)
    }

    fn notes(&self) -> Result<Vec<(PathBuf, ArtifactFacts)>, ArtifactError> {
        let notes =
            self.entries()?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "note"));
        notes.filter_map(|path| read_note(&path).map(|facts| Some((path, facts?))).transpose()).collect()
    }

    fn entries(&self) -> Result<Vec<PathBuf>, ArtifactError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(wrong("list", &self.folder))?,
        };
        let entries: Result<Vec<PathBuf>, io::Error> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        entries.map_err(wrong("list", &self.folder))
    }
}

/// Returns size and BLAKE3 of a file.
pub fn digest(path: &Path, tell: &Tell) -> Result<(u64, String), ArtifactError> {
    let mut file = File::open(path).map_err(wrong("read", path))?;
    let total = file.metadata().map_err(wrong("read", path))?.len();
    let (mut hasher, mut bytes, mut chunk) = (blake3::Hasher::new(), 0, vec![0; 1 << 20]);
    loop {
        tell.go_on()?;
        let count = file.read(&mut chunk).map_err(wrong("read", path))?;
        if count == 0 {
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&chunk[..count]);
        bytes += count as u64;
        tell.progress("comparing an artifact with its digest", bytes, Some(total), Unit::Bytes);
    }
}

/// Creates a file that its owner alone can read; one that an earlier life left is written over.
pub fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A file that was there keeps its mode, whatever that was.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn read_note(path: &Path) -> Result<Option<ArtifactFacts>, ArtifactError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| ArtifactError::Note { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong("read", path)(error)),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file = create_private(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(wrong("write", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), ArtifactError> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(wrong("sync", folder))
}

fn wrong(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchback_model::artifact::ArtifactFormat;

    fn artifact(member: &str, secret: bool) -> Artifact {
        Artifact {
            name: "export".to_owned(),
            member: Some(member.to_owned()),
            holds: "app.export.v1".to_owned(),
            format: ArtifactFormat::JsonLines,
            secret,
            unlike: ["users", "runs"].iter().filter(|it| **it != member).map(ToString::to_string).collect(),
        }
    }

    fn keep(artifacts: &Artifacts, artifact: &Artifact, bytes: &[u8]) -> Result<(), ArtifactError> {
        let path = artifacts.partial(artifact);
        create_private(&path).unwrap().write_all(bytes).unwrap();
        let (bytes, blake3) = digest(&path, &Tell::quiet()).unwrap();
        let secret = artifact.secret;
        let step = "fetch".to_owned();
        let since = "2026-01-01T00:00:00Z".to_owned();
        artifacts.keep(
            artifact,
            &ArtifactFacts { bytes, blake3, step, since, secret, ..Default::default() },
            &Tell::quiet(),
        )
    }

    #[test]
    fn a_file_is_believed_only_with_its_note_and_its_digest() {
        let (folder, tell) = (tempfile::tempdir().unwrap(), Tell::quiet());
        let (artifacts, runs) = (Artifacts::at(folder.path()), artifact("runs", true));
        assert_eq!(artifacts.standing(&runs, "fetch", &tell).unwrap(), None);
        std::fs::write(artifacts.partial(&runs), "{").unwrap();
        assert_eq!(artifacts.standing(&runs, "fetch", &tell).unwrap(), Some(false));
        keep(&artifacts, &runs, b"{}\n").unwrap();
        assert_eq!(artifacts.standing(&runs, "fetch", &tell).unwrap(), Some(true));
        assert_eq!(artifacts.standing(&runs, "another", &tell).unwrap(), Some(false));
        let mode = artifacts.file(&runs).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (content, wrong) in [("[]\n", "another content"), ("{}", "another size")] {
            std::fs::write(artifacts.file(&runs), content).unwrap();
            assert!(artifacts.whole(&runs, &tell).unwrap_err().to_string().contains(wrong), "{content}");
        }
        std::fs::remove_file(artifacts.file(&runs)).unwrap();
        assert!(artifacts.whole(&runs, &tell).unwrap_err().to_string().contains("it is gone"));
        artifacts.remove(&runs, &tell).unwrap();
        assert_eq!(artifacts.standing(&runs, "fetch", &tell).unwrap(), None);
    }

    #[test]
    fn one_export_under_two_names_is_noticed_and_two_empty_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::at(folder.path());
        let (runs, users) = (artifact("runs", false), artifact("users", false));
        keep(&artifacts, &runs, b"").unwrap();
        keep(&artifacts, &users, b"").unwrap();
        keep(&artifacts, &runs, b"{}").unwrap();
        let same = keep(&artifacts, &users, b"{}").unwrap_err().to_string();
        assert_eq!(
            same,
            "believe export[users]: it is byte for byte export[runs], and the playbook says that they differ"
        );
    }

    #[test]
    fn what_holds_secrets_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::at(folder.path());
        let (runs, users) = (artifact("runs", false), artifact("users", true));
        assert_eq!(artifacts.secret_since().unwrap(), None);
        keep(&artifacts, &runs, b"1").unwrap();
        keep(&artifacts, &users, b"2").unwrap();
        // What a killed life left: nobody knows what is in it.
        std::fs::write(artifacts.partial(&runs), "3").unwrap();
        assert_eq!(artifacts.secret_since().unwrap().as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(artifacts.remove_secrets().unwrap(), 2);
        assert_eq!(artifacts.secret_since().unwrap(), None);
        assert!(artifacts.noted(&users).unwrap().is_none() && !artifacts.file(&users).exists());
        assert!(artifacts.whole(&runs, &Tell::quiet()).is_ok());
        assert_eq!(Artifacts::at(&folder.path().join("gone")).remove_secrets().unwrap(), 0);
    }
}
