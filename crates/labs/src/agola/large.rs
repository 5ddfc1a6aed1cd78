//! Exports of any size, written as they are drawn: for measuring what reads them.

use std::io::{self, Write};

use super::old_store::Record;
use super::records::{OneRun, Size};
use crate::draw::Draw;

/// How many projects the runs belong to in turn.
const PROJECTS: u32 = 50;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Writes the export of a runservice with so many archived runs, their configs, and their counters, in constant memory.
/// A run and its config are about 3 KB. Equal arguments give equal bytes.
pub fn write_large_export(runs: u32, seed: u64, out: &mut impl Write) -> io::Result<Written> {
    let mut draw = Draw(seed);
    let mut projects: Vec<String> = (0..PROJECTS).map(|_| draw.uuid()).collect();
    projects.sort();
    let size = Size { runs, seed, ..Size::default() };
    let mut written = Written::default();
    let mut write = |record: &Record| {
        let line = record.line();
        written.records += 1;
        written.bytes += line.len() as u64;
        out.write_all(line.as_bytes())
    };
    let run = |number: u32| OneRun {
        number,
        counter: u64::from(number / PROJECTS) + 1,
        project: &projects[(number % PROJECTS) as usize],
        task: Draw(seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).uuid(),
        live: false,
    };
    for number in 0..runs {
        write(&run(number).run(&size))?;
    }
    for number in 0..runs {
        write(&run(number).config())?;
    }
    for (number, project) in (0..PROJECTS).zip(&projects) {
        let count = (runs + PROJECTS - 1 - number) / PROJECTS;
        if count > 0 {
            write(&Record::new("runcounter", project, count.into()))?;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agola::{Component, migrate};

    #[test]
    fn a_large_export_is_one_that_the_tool_takes() {
        let mut export = Vec::new();
        let written = write_large_export(120, 3, &mut export).unwrap();
        assert_eq!(written, Written { records: 120 + 120 + 50, bytes: export.len() as u64 });
        assert_eq!(migrate(Component::Runservice, export.as_slice()).unwrap().lines.len(), 290);
        let mut again = Vec::new();
        write_large_export(120, 3, &mut again).unwrap();
        assert!(again == export);
    }
}
