//! The backup of schemas of a PostgreSQL database: a proven dump, or the note that there was nothing.

use super::postgres::{Manifest, guard, moment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::{Condition, Overlay, Preview, StepError, Work};
use switchback_model::target::TargetDef;
use switchback_site::postgres::{self as pg, Catalog};
use switchback_site::{Site, SiteError, Tell};

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
    Err(no_dump(target))
}

/// Only schemas that this upgrade makes are covered: there is nothing in them to dump.
fn no_dump(target: &str) -> StepError {
    StepError::failed(format!(
        "back {target} up: it is neither absent nor empty, and this build makes no dumps"
    ))
    .help("say `made_by_us: true` if this upgrade makes the schemas, and empty them")
}

/// Looks whether the note or the dump is made.
pub(crate) fn check(target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    let made = Manifest::read(work.dir, target)?.is_some();
    Ok(if made { Condition::Applied(measured()) } else { Condition::Pending })
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
    if Manifest::read(work.dir, target)?.is_some() {
        return Ok(measured());
    }
    let manifest = match &before.bare {
        Some(lines) => {
            let now = catalog(site, target, work)?;
            if now.lines() != lines {
                return Err(super::foreign(target, "its schemas were empty, and are so no more".to_owned()));
            }
            Manifest { baseline: moment(site, target, work)?, uncounted: false }
        }
        None => return Err(no_dump(target)),
    };
    manifest.write(target, work)?;
    Ok(measured())
}

/// Brings back what was: nothing, or what the dump holds.
pub(crate) fn undo(
    site: &Site,
    target: &str,
    before: &PostgresBefore,
    work: &Work<'_>,
) -> Result<(), StepError> {
    // Until the manifest is written nothing of ours is in the database.
    if Manifest::read(work.dir, target)?.is_none() {
        return Ok(());
    }
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
    Ok(())
}

fn measured() -> Value {
    json!({ "bytes": 0, "rows": 0 })
}
