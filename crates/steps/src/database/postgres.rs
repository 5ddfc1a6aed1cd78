//! PostgreSQL: the manifest of a backup, scripts with their row in the ledger, and the hands of others.

use super::{foreign, ledger_row};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{RunDir, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::diagnostic::{Diagnostic, Span};
use switchback_site::postgres::{self as pg, Baseline, guard as hands, ledger};
use switchback_site::{Site, SiteError};

/// What is kept of a backup, in the run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What was copied; `None` where the schemas were absent or empty, which needs no copy.
    pub report: Option<pg::BackupReport>,
    /// The moment from which on every row that others write is theirs.
    pub baseline: Baseline,
    /// Whether a foreign program works on the database for this run: until that is done, whose rows are whose cannot be told.
    #[serde(default)]
    pub uncounted: bool,
}

impl Manifest {
    fn path(dir: &RunDir, target: &str) -> PathBuf {
        dir.backups().join(format!("{target}.json"))
    }

    /// Reads the manifest of a backup that this run made.
    pub fn read(dir: &RunDir, target: &str) -> Result<Option<Manifest>, StepError> {
        let path = Manifest::path(dir, target);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| StepError::failed(format!("read {}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StepError::failed(format!("read {}: {e}", path.display()))),
        }
    }

    /// Writes it. After `Ok` it survives a power cut.
    pub fn write(&self, target: &str, work: &Work<'_>) -> Result<(), StepError> {
        let path = Manifest::path(work.dir, target);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::failed(format!("write a manifest: {e}")))?;
        work.tell.point("backup.manifest")?;
        write_durably(&path, &text)
            .map_err(|e| StepError::failed(format!("write {}: {e}", path.display())))?;
        work.tell.point("backup.manifest-written")?;
        Ok(())
    }
}

/// Finds rows that are not ours, since the moment of the backup.
pub(crate) fn guard(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    if work.losing_writes {
        return Ok(());
    }
    let Some(manifest) = Manifest::read(work.dir, target)?.filter(|manifest| !manifest.uncounted) else {
        return Ok(());
    };
    let schemas = site.schemas(target, work.tell)?;
    let found = hands::foreign(&mut site.reader(target)?, &schemas, &manifest.baseline, work.run);
    match found.map_err(SiteError::from)?.as_slice() {
        [] => Ok(()),
        found => Err(foreign(target, format!("rows of {}", words(found.len()))).details(found.to_vec())),
    }
}

fn words(tables: usize) -> String {
    switchback_model::words::count(tables as u64, "table")
}

/// Stops counting before a foreign program works on the database for this run.
pub(crate) fn stop_counting(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    guard(site, target, work)?;
    match Manifest::read(work.dir, target)? {
        Some(manifest) => Manifest { uncounted: true, ..manifest }.write(target, work),
        None => Ok(()),
    }
}

/// Whatever is in the database now was put there before this moment; what comes is counted.
pub(crate) fn count_again(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    let Some(mut manifest) = Manifest::read(work.dir, target)?.filter(|manifest| manifest.uncounted) else {
        return guard(site, target, work);
    };
    manifest.baseline = moment(site, target, work)?;
    manifest.uncounted = false;
    manifest.write(target, work)
}

/// Notes this moment.
pub(crate) fn moment(site: &Site, target: &str, work: &Work<'_>) -> Result<Baseline, StepError> {
    let schemas = site.schemas(target, work.tell)?;
    Ok(hands::baseline(&mut site.reader(target)?, &schemas).map_err(SiteError::from)?)
}

/// Returns whether the ledger says that this step's transaction is in.
pub(crate) fn is_in(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    Ok(ledger::has(&mut site.reader(target)?, work.run, work.step).map_err(SiteError::from)?)
}

/// Returns whether nothing of this run is left in the database but its mark, which goes with the run.
pub(crate) fn is_swept(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    let mut client = site.reader(target)?;
    let rows = ledger::rows(&mut client).map_err(SiteError::from)?;
    if rows.iter().any(|row| row.run == work.run) {
        return Ok(false);
    }
    let cursors = "SELECT EXISTS (SELECT FROM switchback.cursor WHERE run = $1)";
    let present = ledger::present(&mut client).map_err(SiteError::from)?;
    Ok(!present || !client.query_one(cursors, &[&work.run]).map_err(SiteError::from)?.get::<_, bool>(0))
}

/// Takes everything of the run out of the database.
pub(crate) fn sweep(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    let mut client = site.writer(target, work.run, work.tell)?;
    ledger::sweep(&mut client, work.run, work.tell).map_err(SiteError::from)?;
    Ok(())
}

/// Whatever is in the database now is ours, as was proven: the rows that said whose it is are gone.
pub(crate) fn count_from_here(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match Manifest::read(work.dir, target)? {
        Some(manifest) => Manifest { baseline: moment(site, target, work)?, ..manifest }.write(target, work),
        None => Ok(()),
    }
}

/// The fingerprint that the backup holds; of absent or empty schemas, what they are now if they are so again.
pub(crate) fn backed_up(site: &Site, target: &str, work: &Work<'_>) -> Result<Option<Value>, StepError> {
    let Some(manifest) = Manifest::read(work.dir, target)? else { return Ok(None) };
    match manifest.report {
        Some(report) => Ok(serde_json::to_value(report.fingerprint).ok()),
        None if site.is_bare(target, work.tell)? => Ok(Some(site.fingerprint(target, work.tell)?)),
        None => Ok(None),
    }
}

/// Runs a script in one transaction with its row, and returns how many rows it changed.
pub(crate) fn run_script(
    site: &Site,
    target: &str,
    script: &str,
    params: &BTreeMap<String, Value>,
    work: &Work<'_>,
) -> Result<u64, StepError> {
    guard(site, target, work)?;
    let mut client = site.writer(target, work.run, work.tell)?;
    let row = ledger_row(work);
    pg::run_script(&mut client, script, params, work.now, &row, work.tell).map_err(|error| {
        let statement: Vec<String> = match &error {
            pg::ScriptError::Statement { text, .. } => text.lines().take(8).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        StepError::from(error).details(statement)
    })
}

/// Says what a script must not hold: the transaction is ours, so that the ledger row commits with it.
pub(crate) fn check_script(script: &str, span: Span, cx: &mut Compile<'_>) -> Option<()> {
    let Some((_, word, why)) = pg::has_transaction_control(script) else { return Some(()) };
    let diagnostic = match word.as_str() {
        "UNREADABLE" => Diagnostic::error("P024", "this script cannot be told apart into statements")
            .at(span, "ends inside a quote, a body or a comment")
            .help("close every quote, every `$$` and every `/*`"),
        _ => Diagnostic::error("P021", format!("this script has a {word} in it"))
            .at(span, "runs inside one transaction, with the row that says it is in")
            .help(format!("{word} {why}")),
    };
    cx.out.push(diagnostic);
    None
}
