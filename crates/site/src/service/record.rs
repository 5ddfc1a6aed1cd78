//! The record of a started process: a locked file that says which process it is.
//!
//! The lock is on the open file description, which the service inherits and so holds for its life: a held lock *is*
//! the running service, whatever became of us. The text in the file, written by the child itself before it becomes
//! the service, says which process and which version; it also finds a daemon that closed the descriptor.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::proc;
use super::spec::Which;

/// First line of a record.
const MAGIC: &str = "switchback-service 1";

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) pid: i32,
    pub(super) start: u64,
    pub(super) which: Which,
    pub(super) boot: String,
}

/// What is in a record file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing, or the beginning of a text that a cut ended.
    Torn,
    Record(Record),
    /// Something that we never wrote.
    Foreign,
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

/// Opens an existing record for a look.
pub(super) fn open_existing(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock exclusively, or says that it is held.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Says whether somebody holds the lock exclusively, by taking it shared for a moment.
pub(super) fn is_held(file: &File) -> io::Result<bool> {
    let free = flock(file, FlockOperation::NonBlockingLockShared)?;
    if free {
        flock(file, FlockOperation::NonBlockingUnlock)?;
    }
    Ok(!free)
}

/// Gives up the lock for every copy of the descriptor.
pub(super) fn unlock(file: &File) -> io::Result<()> {
    flock(file, FlockOperation::NonBlockingUnlock).map(drop)
}

fn flock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn read(file: &mut File) -> io::Result<Content> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(4096).read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Content {
    if !text.ends_with("end\n") {
        let ours = text.starts_with(MAGIC) || MAGIC.starts_with(text);
        return if ours { Content::Torn } else { Content::Foreign };
    }
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let record = || {
        let which = match value("which")? {
            "old" => Which::Old,
            "new" => Which::New,
            _ => return None,
        };
        let pid = value("pid")?.parse().ok().filter(|pid| *pid > 1)?;
        Some(Record { pid, start: value("start")?.parse().ok()?, which, boot: value("boot")?.to_owned() })
    };
    match text.lines().next() {
        Some(MAGIC) => record().map_or(Content::Foreign, Content::Record),
        _ => Content::Foreign,
    }
}

/// What the child needs to write its record between fork and exec, where no memory may be allocated.
pub(super) struct Pen {
    head: Vec<u8>,
    foot: Vec<u8>,
}

impl Pen {
    pub(super) fn new(which: Which) -> Pen {
        let head = format!("{MAGIC}\nwhich {which}\nboot {}\npid ", proc::boot()).into_bytes();
        Pen { head, foot: b"\nend\n".to_vec() }
    }

    /// Writes the record of the calling process. Only system calls and the stack are used.
    pub(super) fn write(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let mut stat = [0_u8; 1024];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open(c"/proc/self/stat", flags, rustix::fs::Mode::empty())?;
        let len = rustix::io::read(&own, &mut stat)?;
        let (pid, start) = pid_and_start(&stat[..len]).ok_or(Errno::IO)?;
        let mut text = [0_u8; 512];
        let mut end = 0;
        for part in [&self.head, pid, b"\nstart ", start, &self.foot] {
            let room = text.get_mut(end..end + part.len()).ok_or(Errno::NOSPC)?;
            room.copy_from_slice(part);
            end += part.len();
        }
        // One write: a reader sees nothing or all of it.
        if rustix::io::pwrite(to, &text[..end], 0)? == end { Ok(()) } else { Err(Errno::NOSPC.into()) }
    }
}

/// Finds the first and the 22nd field of a stat line without allocating.
fn pid_and_start(stat: &[u8]) -> Option<(&[u8], &[u8])> {
    let pid = stat.split(|byte| *byte == b' ').next()?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let start = stat.get(name_end + 2..)?.split(|byte| *byte == b' ').nth(22 - 3)?;
    Some((pid, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_the_pen_writes_is_read_back() {
        let path = tempfile::tempdir().unwrap();
        let mut file = open(&path.path().join("record")).unwrap();
        assert_eq!(read(&mut file).unwrap(), Content::Torn);
        Pen::new(Which::New).write(file.as_fd()).unwrap();
        let Content::Record(record) = read(&mut file).unwrap() else { panic!("no record") };
        let me = proc::see(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!((record.pid, record.start, record.which), (me.pid, me.start, Which::New));
        assert_eq!(record.boot, proc::boot());
    }

    #[test]
    fn torn_and_foreign_contents_are_told_apart() {
        assert_eq!(parse("switchback-ser"), Content::Torn);
        assert_eq!(parse("switchback-service 1\nwhich new\npid 4"), Content::Torn);
        for foreign in
            ["4242\n", "\u{0}", "x end\n", "switchback-service 1\nwhich new\npid -1\nstart 1\nend\n"]
        {
            assert_eq!(parse(foreign), Content::Foreign, "{foreign:?}");
        }
    }
}
