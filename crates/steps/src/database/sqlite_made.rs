//! The backup of a SQLite database that the upgrade makes: the note of what lies there before it.

use super::foreign;
use super::sqlite::{Made, Manifest, guard};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_engine::{Preview, StepError, Work};
use switchback_site::Site;
use switchback_site::sqlite::{JournalMode, Vacancy};

/// What the undo needs: what lies at the place of the database before anybody has made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeBefore {
    vacant: Vacancy,
}

/// Refuses a place at which somebody has something already: its name would be all that is left of it.
pub(crate) fn refuse_occupied(site: &Site, target: &str) -> Result<(), StepError> {
    let found = site.occupied(target)?;
    if found.is_empty() {
        return Ok(());
    }
    Err(StepError::conflict(format!("{target} is to be made by this upgrade, and something is there already"))
        .details(found)
        .help(
            "find out whose it is: an upgrade that was made by hand, or another installation; move it away, or name another \
             place in the site file",
        ))
}

/// Says that there is nothing to copy; `None` where there is a database, if only one of nothing.
pub(crate) fn preview(site: &Site, target: &str) -> Result<Option<Preview>, StepError> {
    if !site.is_made_sqlite(target) {
        return Ok(None);
    }
    refuse_occupied(site, target)?;
    let nothing = |vacancy: Vacancy| Preview::of([format!("nothing to copy: {}", vacancy.words())], 20);
    Ok(site.vacancy(target)?.map(nothing))
}

/// Notes what lies there; `None` where a copy has to be made.
pub(crate) fn prepare(site: &Site, target: &str) -> Result<Option<MadeBefore>, StepError> {
    if !site.is_made_sqlite(target) {
        return Ok(None);
    }
    refuse_occupied(site, target)?;
    Ok(site.vacancy(target)?.map(|vacant| MadeBefore { vacant }))
}

/// Writes the note down: from here on what is made there is made for this run.
pub(crate) fn apply(
    site: &Site,
    target: &str,
    before: &MadeBefore,
    work: &Work<'_>,
) -> Result<Value, StepError> {
    if let Some(manifest) = Manifest::read(work.dir, target)? {
        return Ok(manifest.measured());
    }
    refuse_occupied(site, target)?;
    let vacant = site.vacancy(target)?;
    if vacant.as_ref() != Some(&before.vacant) {
        let was = before.vacant.words();
        return Err(foreign(target, format!("{was} when this step began, and something else now")));
    }
    let made = Made { was: before.vacant.clone(), vacant };
    let manifest = Manifest {
        report: None,
        journal_mode: JournalMode::Delete,
        counter: None,
        uncounted: false,
        made: Some(made),
    };
    manifest.write(work.dir, target, work)?;
    Ok(manifest.measured())
}

/// Makes the place as vacant as it was. What is there by then is this run's, or is left alone.
pub(crate) fn undo(site: &Site, target: &str, before: &MadeBefore, work: &Work<'_>) -> Result<(), StepError> {
    // Until the note is written nothing of ours is there.
    if Manifest::read(work.dir, target)?.is_none() {
        return Ok(());
    }
    let now = site.vacancy(target)?;
    // Whoever made it as it was: so it is. An empty file may be a half of our own way back to one.
    let ours = match (&now, &before.vacant) {
        (Some(now), was) if now == was => true,
        (Some(_), Vacancy::Empty(_)) => true,
        _ => false,
    };
    if !ours {
        guard(site, target, work)?;
    }
    Ok(site.vacate(target, &before.vacant, work.tell)?)
}
