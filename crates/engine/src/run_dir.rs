//! The run directory: everything that a run writes outside the site.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use switchback_model::plan::{Plan, PlanError};

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The file system said no.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plan in it is not one of ours.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Paths of one run. The folder has mode 0700: backups and before-images hold what the site holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Names an existing run directory.
    pub fn at(root: impl Into<PathBuf>) -> RunDir {
        RunDir { root: root.into() }
    }

    /// Makes the directory of a new run, with its plan in it. After `Ok` both survive a power cut.
    pub fn create(root: &Path, plan: &Plan) -> Result<RunDir, RunDirError> {
        let dir = RunDir::at(root);
        for folder in [root.to_owned(), dir.keep(), dir.backups(), dir.logs(), dir.artifacts()] {
            make_private(&folder).map_err(|source| RunDirError::Io {
                doing: "create",
                path: folder.clone(),
                source,
            })?;
        }
        let path = root.join("plan.json");
        write_durably(&path, plan.write().as_bytes()).map_err(|source| RunDirError::Io {
            doing: "write",
            path,
            source,
        })?;
        if let Some(parent) = root.parent() {
            sync_folder(parent).map_err(|source| RunDirError::Io {
                doing: "sync",
                path: parent.to_owned(),
                source,
            })?;
        }
        Ok(dir)
    }

    /// Reads the plan of the run, and proves that it was not changed.
    pub fn plan(&self) -> Result<Plan, RunDirError> {
        let path = self.root.join("plan.json");
        let text = std::fs::read_to_string(&path).map_err(|source| RunDirError::Io {
            doing: "read",
            path,
            source,
        })?;
        Ok(Plan::read(&text)?)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the run: the last part of the path.
    pub fn name(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// Before-images too large for the journal.
    pub fn keep(&self) -> PathBuf {
        self.root.join("keep")
    }

    /// Backups.
    pub fn backups(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// The backup of one target, whether it is there or not.
    pub fn backup_of(&self, target: &str) -> PathBuf {
        self.backups().join(format!("{target}.backup"))
    }

    /// Typed outputs of steps.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// What commands and services print.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The file whose lock says that a process has the run.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// Makes a folder that only its owner can read, and every folder above it that is missing; an existing one is left as it
/// is. After `Ok` the names of those that were made survive a power cut.
pub fn make_private(folder: &Path) -> io::Result<()> {
    // The outermost first: a name is synced in its parent before anything is put below it.
    for missing in missing(folder).into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(missing) {
            // Somebody else made it meanwhile. Whether its name is synced nobody knows, so it is synced as well.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && missing.is_dir() => {}
            made => made?,
        }
        sync_folder(parent_of(missing))?;
    }
    // Also says what is wrong with a path that is there and is no folder.
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The folder and those above it that are not there, the innermost first.
fn missing(folder: &Path) -> Vec<&Path> {
    let there = |path: &Path| path == Path::new("") || path.symlink_metadata().is_ok();
    folder.ancestors().take_while(|path| !there(path)).collect()
}

/// The parent of a bare name is the empty path, which stands for the folder that we are in.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes a file of ours whole: beside, synced, renamed. After `Ok` it survives a power cut.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("partial");
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(parent_of(path))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_folder_that_is_missing_is_made_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b/c");
        assert_eq!(missing(&inner), [inner.as_path(), &root.path().join("a/b"), &root.path().join("a")]);
        make_private(&inner).unwrap();
        assert!(missing(&inner).is_empty());
        for made in ["a", "a/b", "a/b/c"] {
            let mode = root.path().join(made).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
        make_private(&inner).unwrap();
        assert_eq!(missing(Path::new("not-here")), [Path::new("not-here")]);
        assert_eq!(parent_of(Path::new("not-here")), Path::new("."));
    }

    #[test]
    fn an_existing_folder_is_left_as_it_is_and_a_file_in_its_place_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        make_private(root.path()).unwrap();
        assert_eq!(root.path().metadata().unwrap().permissions().mode() & 0o777, 0o755);
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(make_private(&root.path().join("file")).is_err());
        assert!(make_private(&root.path().join("file/below")).is_err());
    }
}
