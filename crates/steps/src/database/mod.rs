//! What every step on a database shares: the backup before it, our rows in it, and whose hands were on it.

pub(crate) mod postgres;
pub(crate) mod postgres_backup;
pub(crate) mod sqlite;
pub(crate) mod sqlite_backup;
pub(crate) mod sqlite_made;

use std::collections::BTreeMap;
use switchback_engine::{Condition, StepError, Work};
use switchback_site::Site;
use switchback_site::ledger_row::LedgerRow;

/// Finds transactions that are not ours: since the database was taken, every one of ours left its trace in the ledger.
///
/// Without a backup by this run there is nothing to measure from, and nothing is found.
pub(crate) fn guard(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match site.is_postgres(target) {
        true => postgres::guard(site, target, work),
        false => sqlite::guard(site, target, work),
    }
}

/// Stops counting before a foreign program works on the database for this run.
pub(crate) fn stop_counting(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match site.is_postgres(target) {
        true => postgres::stop_counting(site, target, work),
        false => sqlite::stop_counting(site, target, work),
    }
}

/// Counts again, now that the foreign program is done: whoever writes from here on is somebody else.
pub(crate) fn count_again(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match site.is_postgres(target) {
        true => postgres::count_again(site, target, work),
        false => sqlite::count_again(site, target, work),
    }
}

/// Returns whether no foreign program works on the database for this run.
pub(crate) fn is_counted(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    Ok(match site.is_postgres(target) {
        true => postgres::Manifest::read(work.dir, target)?.is_none_or(|manifest| !manifest.uncounted),
        false => sqlite::Manifest::read(work.dir, target)?.is_none_or(|manifest| !manifest.uncounted),
    })
}

/// Returns whether this run backed the database up, so that the way back makes it what it was.
pub(crate) fn goes_back(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    Ok(match site.is_postgres(target) {
        true => postgres::Manifest::read(work.dir, target)?.is_some(),
        false => sqlite::Manifest::read(work.dir, target)?.is_some(),
    })
}

/// Returns whether the ledger says that this step's transaction is in.
pub(crate) fn is_in(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    match site.is_postgres(target) {
        true => postgres::is_in(site, target, work),
        false => sqlite::is_in(site, target, work),
    }
}

/// Looks where this step's transaction stands, and leaves one that died half way as it is.
pub(crate) fn standing(site: &Site, target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    if !site.is_postgres(target) {
        return sqlite::standing(site, target, work);
    }
    // A transaction that died half way was rolled back by the server.
    Ok(if postgres::is_in(site, target, work)? { Condition::applied() } else { Condition::Pending })
}

/// Returns the row that says so, for the step's own transaction.
pub(crate) fn ledger_row(work: &Work<'_>) -> LedgerRow {
    LedgerRow {
        run: work.run.to_owned(),
        step: work.step.to_owned(),
        at: work.now.to_owned(),
        state_dir: work.dir.root().display().to_string(),
        note: String::new(),
    }
}

/// Says in the ledger that this step is in, for an effect that took many transactions: after it the step is `Applied`.
pub(crate) fn enter(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match site.is_postgres(target) {
        true => postgres::run_script(site, target, "", &BTreeMap::new(), work).map(drop),
        false => sqlite::enter(site, target, work),
    }
}

/// Makes sure that nobody else wrote, and that transactions of ours are counted from here on; a SQLite file is taken for
/// ourselves.
pub(crate) fn own(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    match site.is_postgres(target) {
        true => postgres::guard(site, target, work),
        false => sqlite::take_counted(site, target, work).map(drop),
    }
}

/// Returns whether some of the transactions of this step are in a SQLite file.
pub(crate) fn is_begun(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    sqlite::is_begun(site, target, work)
}

/// Words the finding that somebody else wrote.
pub(crate) fn foreign(target: &str, what: String) -> StepError {
    StepError::conflict(format!("{target} was written by somebody else while this run had it: {what}")).help(
        "find out what wrote there and keep what it wrote; then `switchback rollback --losing-writes` restores the backup all the same",
    )
}
