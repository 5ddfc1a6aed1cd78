//! The backup of schemas of a PostgreSQL database: a proven dump, or the note that there was nothing.

use super::postgres::{Manifest, guard, moment};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use switchback_engine::{Condition, Overlay, Preview, StepError, Work};
use switchback_model::target::TargetDef;
use switchback_model::words;
use switchback_site::postgres::{self as pg, Catalog, Fingerprint, Proven, Rights, Tools};
use switchback_site::{Site, SiteError, Tell};

/// Bytes that a proven dump moves in a millisecond, by a rule of thumb: written, read and digested.
pub(crate) const BYTES_A_MS: u64 = 15_000;

/// What the undo needs even if no backup was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostgresBefore {
    /// Those of the declared schemas that are there.
    schemas: Vec<String>,
    /// Where they are absent or empty: every line of their catalog, which is all that there is to bring back.
    bare: Option<Vec<String>>,
}

fn is_made_by_us(site: &Site, target: &str) -> bool {
    matches!(site.targets().get(target), Some(TargetDef::Postgres { made_by_us: true, .. }))
}

/// Returns whether nothing has to be copied.
pub(crate) fn is_note(site: &Site, target: &str, tell: &Tell) -> Result<bool, StepError> {
    Ok(is_made_by_us(site, target) && site.is_bare(target, tell)?)
}

/// Says how large the dump will be, or that none is needed, and finds what stands in the way of the way back.
pub(crate) fn preview(target: &str, world: &Overlay<'_>) -> Result<Preview, StepError> {
    let (site, tell) = (world.site, Tell::quiet());
    let schemas = site.schemas(target, &tell)?;
    let leaning = pg::outsiders(&mut site.reader(target)?, &schemas).map_err(SiteError::from)?.objects;
    if !leaning.is_empty() {
        return Err(StepError::failed(format!("restore {target}: what is outside of its schemas leans on what is inside"))
            .details(leaning)
            .help("name those schemas as well, if they belong to the application; else drop what leans, and make it again afterwards"));
    }
    if is_note(site, target, &tell)? {
        return Ok(Preview::of([format!("nothing to copy: {} absent or empty", schemas.join(", "))], 20));
    }
    let in_the_way =
        pg::readiness::of_the_server(&mut site.reader(target)?, &schemas).map_err(SiteError::from)?;
    if !in_the_way.is_empty() {
        return Err(StepError::failed(format!("restore {target}: its server would not let it be as it was"))
            .details(in_the_way)
            .help("change that, and plan again: a backup that cannot be brought back is none"));
    }
    let bytes = site.size(target)?.unwrap_or(0);
    let server = Rights::of(&mut site.reader(target)?, &schemas).map_err(SiteError::from)?.server;
    Tools::find(server)?;
    Ok(Preview { keeps: bytes, ..Preview::of([words::bytes(bytes)], 500 + bytes / BYTES_A_MS) })
}

/// Looks whether the note or the dump is made.
pub(crate) fn check(target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    let copy = work.dir.backup_of(target);
    Ok(match Manifest::read(work.dir, target)? {
        Some(manifest) if manifest.report.is_none() || copy.exists() => {
            Condition::Applied(measured(&manifest))
        }
        Some(_) => Condition::Partial,
        None if copy.exists() => Condition::Partial,
        None => Condition::Pending,
    })
}

/// Notes which schemas are there.
pub(crate) fn prepare(site: &Site, target: &str, work: &Work<'_>) -> Result<PostgresBefore, StepError> {
    let catalog = catalog(site, target, work)?;
    let bare = is_note(site, target, work.tell)?.then(|| catalog.lines().to_vec());
    Ok(PostgresBefore { schemas: catalog.schemas, bare })
}

fn catalog(site: &Site, target: &str, work: &Work<'_>) -> Result<Catalog, StepError> {
    let schemas = site.schemas(target, work.tell)?;
    Ok(Catalog::read(&mut site.reader(target)?, &schemas).map_err(SiteError::from)?)
}

/// Makes the note, or the dump and its proof.
pub(crate) fn apply(
    site: &Site,
    target: &str,
    before: &PostgresBefore,
    work: &Work<'_>,
) -> Result<Value, StepError> {
    if let Some(manifest) = Manifest::read(work.dir, target)? {
        return Ok(measured(&manifest));
    }
    let manifest = match &before.bare {
        Some(lines) => {
            let now = catalog(site, target, work)?;
            if now.lines() != lines {
                return Err(super::foreign(target, "its schemas were empty, and are so no more".to_owned()));
            }
            Manifest { report: None, baseline: moment(site, target, work)?, uncounted: false }
        }
        None => {
            let schemas = site.schemas(target, work.tell)?;
            let copy = work.dir.backup_of(target);
            let report = pg::backup(&site.postgres(target)?, &schemas, &copy, work.run, work.tell)?;
            // It was restored from the trial, while nobody waited; here every row of it is counted again.
            Manifest { baseline: report.baseline.clone(), report: Some(report), uncounted: false }
        }
    };
    manifest.write(target, work)?;
    Ok(measured(&manifest))
}

/// Brings back what was: nothing, or what the dump holds.
pub(crate) fn undo(
    site: &Site,
    target: &str,
    before: &PostgresBefore,
    work: &Work<'_>,
) -> Result<(), StepError> {
    // Until the manifest is written nothing of ours is in the database.
    let Some(manifest) = Manifest::read(work.dir, target)? else {
        return remove(&pg::backup::partial_of(&work.dir.backup_of(target)));
    };
    let Some(report) = &manifest.report else {
        let wanted = before.bare.clone().unwrap_or_default();
        if catalog(site, target, work)?.lines() != wanted {
            guard(site, target, work)?;
            site.clear(target, &before.schemas, work.run, work.tell)?;
        }
        let now = catalog(site, target, work)?;
        if now.lines() != wanted {
            let left = now.lines().iter().filter(|line| !wanted.contains(line)).cloned().collect();
            return Err(StepError::failed(format!("take {target} back: it is not as it was")).details(left));
        }
        return Ok(());
    };
    let schemas = site.schemas(target, work.tell)?;
    let database = site.postgres(target)?;
    let read = || Fingerprint::read(&database, &schemas, work.tell).map_err(SiteError::from);
    if read()? != report.fingerprint {
        guard(site, target, work)?;
        pg::restore(
            &work.dir.backup_of(target),
            &database,
            &schemas,
            &report.fingerprint,
            work.run,
            work.tell,
        )?;
    }
    let now = read()?;
    if now != report.fingerprint {
        return Err(StepError::failed(format!("restore {target}: it is not as it was"))
            .details(report.fingerprint.differences(&now)));
    }
    Ok(())
}

/// Makes a dump while the database is in use, and proves it.
pub(crate) fn trial(site: &Site, target: &str, copy: &Path, work: &Work<'_>) -> Result<Value, StepError> {
    let schemas = site.schemas(target, work.tell)?;
    let database = site.postgres(target)?;
    let report = pg::backup(&database, &schemas, copy, work.run, work.tell)?;
    let proven = pg::prove(&database, copy, &report, &scratch_of(work), work.tell)?;
    Ok(json!({ "bytes": report.bytes, "rows": rows(&report), "proven": words_of(&proven) }))
}

/// Drops the scratch databases of this run's trials that a life of it left on the server.
pub(crate) fn drop_scratch(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    let (server, run) = (site.postgres(target)?, scratch_of(work));
    for name in pg::leftovers(&server, &run)? {
        pg::drop_scratch(&server, &name, &run, work.tell)?;
    }
    Ok(())
}

/// Whom a scratch database is marked with: rehearsals elsewhere bear the same name, and theirs may be in use.
fn scratch_of(work: &Work<'_>) -> String {
    format!("{} in {}", work.run, work.dir.root().display())
}

fn measured(manifest: &Manifest) -> Value {
    match &manifest.report {
        Some(report) => json!({ "bytes": report.bytes, "rows": rows(report) }),
        None => json!({ "bytes": 0, "rows": 0 }),
    }
}

fn rows(report: &pg::BackupReport) -> u64 {
    report.rows.values().sum()
}

/// What a dump was proven by, for people.
fn words_of(proven: &Proven) -> String {
    match proven {
        Proven::Restored => "restored into a scratch database, and equal".to_owned(),
        Proven::Listed(why) => format!("read from end to end and counted; not restored: {why}"),
    }
}
