//! Loading a dump: what `pg_restore` prints goes through us into `psql`, between a beginning and an end of our own.
//!
//! `psql` commits nothing by itself here: the transaction ends with the last line, which is written only after `pg_restore`
//! has ended well. So whoever is killed, and wherever, leaves all or nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use super::connect::Database;
use super::tools::{ToolError, Tools, Working};
use crate::tell::{Tell, Unit};

/// What is loaded, and around what.
pub(super) struct Pour<'a> {
    pub(super) tools: &'a Tools,
    pub(super) database: &'a Database,
    pub(super) run: &'a str,
    /// The dump; `None` loads nothing between the beginning and the end.
    pub(super) dump: Option<&'a Path>,
    /// SQL that comes before, in the transaction.
    pub(super) before: &'a str,
    /// SQL that comes after, in the transaction.
    pub(super) after: &'a str,
    /// The settings that the server knows: a newer tool sets others at the start of its script.
    pub(super) settings: &'a BTreeSet<String>,
    /// How many bytes the dump is, for the progress.
    pub(super) total: u64,
}

impl Pour<'_> {
    /// Loads it in one transaction and commits. `tell` passes a fault point before and after the commit.
    pub(super) fn run(&self, tell: &Tell) -> Result<(), ToolError> {
        let mut command = self.tools.command("psql", Some(self.database), self.run);
        command.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]).stdin(Stdio::piped());
        let program = self.tools.program("psql");
        let mut psql = Working::start(&mut command, program.clone())?;
        let mut stdin = psql.child.stdin.take();
        let poured = match &mut stdin {
            Some(stdin) => self.pour(stdin, tell),
            None => Ok(()),
        };
        let poured = poured.and_then(|()| Ok(tell.point("postgres.restore.commit")?)).and_then(|()| {
            let last = stdin.as_mut().map(|stdin| stdin.write_all(b"COMMIT;\n"));
            last.transpose().map(|_| ()).map_err(|source| ToolError::Run { program, source })
        });
        // The end of the input ends psql; without the COMMIT the server then takes everything back.
        drop(stdin);
        match poured {
            Ok(()) => psql.wait("load the dump", tell, || ())?,
            // A pipe that broke was broken by psql, which says why.
            Err(ToolError::Run { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
                psql.wait("load the dump", tell, || ())?;
            }
            Err(error) => {
                psql.end();
                return Err(error);
            }
        }
        Ok(tell.point("postgres.restore.committed")?)
    }

    fn pour(&self, psql: &mut impl Write, tell: &Tell) -> Result<(), ToolError> {
        let failed = |source| ToolError::Run { program: self.tools.program("psql"), source };
        psql.write_all(b"\\set VERBOSITY verbose\nBEGIN;\n").map_err(failed)?;
        psql.write_all(self.before.as_bytes()).map_err(failed)?;
        psql.flush().map_err(failed)?;
        if let Some(dump) = self.dump {
            self.pour_dump(dump, psql, tell)?;
        }
        psql.write_all(self.after.as_bytes()).map_err(failed)
    }

    fn pour_dump(&self, dump: &Path, psql: &mut impl Write, tell: &Tell) -> Result<(), ToolError> {
        let list = list_beside(dump);
        let poured = self.pour_listed(dump, &list, psql, tell);
        // Of use to this call alone; the next one would write it anew.
        let _ = std::fs::remove_file(&list);
        poured
    }

    fn pour_listed(
        &self,
        dump: &Path,
        list: &Path,
        psql: &mut impl Write,
        tell: &Tell,
    ) -> Result<(), ToolError> {
        let chosen = without_schemas(&list_of(self.tools, dump, tell)?);
        let failed = |source| ToolError::Run { program: list.to_owned(), source };
        std::fs::write(list, chosen).map_err(failed)?;
        let mut command = self.tools.command("pg_restore", None, self.run);
        command.arg("--file=-").arg("--use-list").arg(list).arg(dump).stdout(Stdio::piped());
        let program = self.tools.program("pg_restore");
        let mut restore = Working::start(&mut command, program.clone())?;
        let mut done = 0;
        if let Some(stdout) = restore.child.stdout.take() {
            let mut lines = BufReader::with_capacity(1 << 20, stdout);
            let (mut line, mut preamble) = (Vec::new(), true);
            loop {
                line.clear();
                // Lines of COPY are rows: one may be large, but it is one.
                let length = lines
                    .read_until(b'\n', &mut line)
                    .map_err(|source| ToolError::Run { program: program.clone(), source })?;
                if length == 0 {
                    break;
                }
                preamble = preamble && is_preamble(&line);
                if preamble && sets_unknown(&line, self.settings) {
                    continue;
                }
                let failed = |source| ToolError::Run { program: self.tools.program("psql"), source };
                psql.write_all(&line).map_err(failed)?;
                let before = done >> 22;
                done += length as u64;
                if done >> 22 != before {
                    tell.go_on()?;
                    tell.progress("loading", done, (self.total >= done).then_some(self.total), Unit::Bytes);
                }
            }
        }
        restore.wait("read the dump", tell, || ())
    }
}

/// Where the table of contents of what is loaded lies meanwhile.
fn list_beside(dump: &Path) -> std::path::PathBuf {
    let mut name = dump.as_os_str().to_owned();
    name.push(".list");
    name.into()
}

/// Reads the table of contents.
pub(super) fn list_of(tools: &Tools, dump: &Path, tell: &Tell) -> Result<String, ToolError> {
    let mut command = tools.command("pg_restore", None, "");
    command.arg("--list").arg(dump).stdout(Stdio::piped());
    let program = tools.program("pg_restore");
    let mut working = Working::start(&mut command, program.clone())?;
    let mut text = String::new();
    if let Some(mut stdout) = working.child.stdout.take() {
        std::io::Read::read_to_string(&mut stdout, &mut text)
            .map_err(|source| ToolError::Run { program, source })?;
    }
    working.wait("read the dump's table of contents", tell, || ())?;
    Ok(text)
}

/// Leaves out the schemas themselves, their rights and comments: they stay in place, and are set by us, so that a user who may
/// not make schemas can restore, and `public` is no exception.
fn without_schemas(list: &str) -> String {
    let is_schema = |line: &str| {
        let entry = line.split_once(' ').and_then(|(_, rest)| rest.splitn(3, ' ').nth(2)).unwrap_or_default();
        entry.starts_with("SCHEMA - ")
            || entry.starts_with("ACL - SCHEMA ")
            || entry.starts_with("COMMENT - SCHEMA ")
    };
    let kept = list.lines().filter(|line| line.starts_with(';') || !is_schema(line));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Counts the rows that a dump holds, by table as SQL names it: every line between a COPY and its end.
pub(super) fn rows_of(
    tools: &Tools,
    dump: &Path,
    tell: &Tell,
) -> Result<std::collections::BTreeMap<String, u64>, ToolError> {
    let mut command = tools.command("pg_restore", None, "");
    command.args(["--data-only", "--file=-"]).arg(dump).stdout(Stdio::piped());
    let program = tools.program("pg_restore");
    let mut working = Working::start(&mut command, program.clone())?;
    let mut counts = std::collections::BTreeMap::new();
    if let Some(stdout) = working.child.stdout.take() {
        count_rows(BufReader::with_capacity(1 << 20, stdout), &mut counts, tell)
            .map_err(|source| ToolError::Run { program, source })?;
        tell.go_on()?;
    }
    working.wait("read the dump", tell, || ())?;
    Ok(counts)
}

fn count_rows(
    mut lines: impl BufRead,
    counts: &mut std::collections::BTreeMap<String, u64>,
    tell: &Tell,
) -> std::io::Result<()> {
    let (mut line, mut table, mut done) = (Vec::new(), None::<(String, u64)>, 0_u64);
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        if length == 0 || tell.go_on().is_err() {
            return Ok(());
        }
        done += 1;
        if done % 100_000 == 0 {
            tell.progress("reading the backup", done, None, Unit::Rows);
        }
        match &mut table {
            Some((_, rows)) if line != b"\\.\n" => *rows += 1,
            Some(_) => counts.extend(table.take()),
            None => table = copied_table(&line).map(|name| (name, 0)),
        }
    }
}

/// Reads the table out of `COPY a."b c" (x, y) FROM stdin;`
fn copied_table(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("COPY ")?;
    line.trim_end().strip_suffix("FROM stdin;")?;
    let mut quoted = false;
    let end = line.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b' ' && !quoted
    })?;
    Some(line[..end].to_owned())
}

/// The lines before the first object: settings, comments, and what guards psql against the dump.
fn is_preamble(line: &[u8]) -> bool {
    let starts =
        [&b"SET "[..], b"--", b"\n", b"SELECT pg_catalog.set_config(", b"\\restrict", b"\\unrestrict"];
    starts.iter().any(|start| line.starts_with(start))
}

fn sets_unknown(line: &[u8], known: &BTreeSet<String>) -> bool {
    let name = line.strip_prefix(b"SET ").and_then(|rest| rest.split(|byte| *byte == b' ').next());
    name.is_some_and(|name| !known.contains(&String::from_utf8_lossy(name).into_owned()))
}

/// Makes everything in a folder, and the folder itself, survive a power cut.
pub(super) fn sync_all(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.len();
    }
    File::open(folder)?.sync_all()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_out_of_copies_and_rows_counted() {
        assert_eq!(copied_table(b"COPY a.t (x, y) FROM stdin;\n").as_deref(), Some("a.t"));
        assert_eq!(
            copied_table(b"COPY \"a b\".\"c\"\" (\" (x) FROM stdin;\n").as_deref(),
            Some("\"a b\".\"c\"\" (\"")
        );
        assert_eq!(
            copied_table(b"COPY a.\"no columns\"  FROM stdin;\n").as_deref(),
            Some("a.\"no columns\"")
        );
        assert_eq!(copied_table(b"CREATE TABLE x;\n"), None);
        let script = "SET x = y;\nCOPY a.t (x) FROM stdin;\n1\nCOPY a.u (x) FROM stdin;\n\\.\n\n--\nCOPY a.e (x) FROM stdin;\n\\.\n";
        let mut counts = std::collections::BTreeMap::new();
        count_rows(script.as_bytes(), &mut counts, &Tell::quiet()).unwrap();
        assert_eq!(counts, [("a.t".to_owned(), 2), ("a.e".to_owned(), 0)].into());
    }

    #[test]
    fn schemas_are_left_out_of_a_list_and_nothing_else() {
        let list = ";\n; Archive\n5; 2615 16385 SCHEMA - a b postgres\n9; 0 0 ACL - SCHEMA a postgres\n8; 0 0 COMMENT - SCHEMA a postgres\n\
                    7; 1259 1 TABLE SCHEMA - t postgres\n6; 0 0 COMMENT a TABLE t postgres\n";
        assert_eq!(
            without_schemas(list),
            ";\n; Archive\n7; 1259 1 TABLE SCHEMA - t postgres\n6; 0 0 COMMENT a TABLE t postgres\n"
        );
    }

    #[test]
    fn settings_of_a_newer_tool_are_passed_over() {
        let known = BTreeSet::from(["lock_timeout".to_owned()]);
        assert!(sets_unknown(b"SET transaction_timeout = 0;\n", &known));
        assert!(!sets_unknown(b"SET lock_timeout = 0;\n", &known));
        assert!(is_preamble(b"\\restrict abc\n") && !is_preamble(b"CREATE TABLE a.t (\n"));
    }
}
