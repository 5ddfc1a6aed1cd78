//! Our own hand: the numbers of our transactions, kept beside what they wrote.

use postgres::Transaction;

/// Notes the number of this transaction as ours, and those of its parts.
///
/// A row carries the number of the innermost part that wrote it (a savepoint, the EXCEPTION block of a function), and no
/// server function says afterwards what such a part belonged to. While the transaction is open, though, a row that is
/// visible and whose writer is still in progress can only be our own: so the numbers are found by looking at the tables
/// that this transaction wrote to. The look is left out when no number was given out since the transaction's own.
pub(super) fn sign(transaction: &mut Transaction<'_>, run: &str) -> Result<(), postgres::Error> {
    // The insert gives the transaction a number if it has none yet.
    transaction.execute("INSERT INTO switchback.hand (run) VALUES ($1) ON CONFLICT DO NOTHING", &[&run])?;
    // Tables in which rows were changed or deleted, and those that were locked alone (TRUNCATE, ALTER, DROP): in the others
    // whatever is gone was taken by somebody else.
    transaction.execute(
        "INSERT INTO switchback.touched (run, name) \
         SELECT $1, format('%I.%I', schemaname, relname) FROM pg_catalog.pg_stat_xact_user_tables \
         WHERE n_tup_upd + n_tup_del > 0 AND schemaname <> 'switchback' \
         UNION SELECT $1, format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_locks l \
         JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relkind = 'r' \
           AND n.nspname <> 'switchback' AND n.nspname NOT LIKE 'pg\\_%' \
         ON CONFLICT DO NOTHING",
        &[&run],
    )?;
    let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric > pg_current_xact_id()::text::numeric + 1";
    if !transaction.query_one(sql, &[])?.get::<_, bool>(0) {
        return Ok(());
    }
    let written = "SELECT format('%I.%I', schemaname, relname) FROM pg_catalog.pg_stat_xact_user_tables \
                   WHERE n_tup_ins + n_tup_upd > 0 AND schemaname <> 'switchback'";
    let tables: Vec<String> = transaction.query(written, &[])?.iter().map(|row| row.get(0)).collect();
    for table in tables {
        let sql = format!(
            "INSERT INTO switchback.hand (xid, run) SELECT {WIDE}, $1 FROM (SELECT DISTINCT xmin FROM ONLY {table}) r \
             WHERE {WIDE} > pg_current_xact_id() AND pg_xact_status({WIDE}) = 'in progress' ON CONFLICT DO NOTHING"
        );
        transaction.execute(&sql, &[&run])?;
    }
    Ok(())
}

/// The number of a row's writer, `r.xmin`, without wrap-around: the newest number that ends in it and was given out already.
/// The three numbers below 3 stand for "frozen" and the like; they stay what they are.
pub(super) const WIDE: &str = "(CASE WHEN r.xmin::text::bigint < 3 THEN r.xmin::text::bigint ELSE \
     (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1 \
      - ((pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1 - r.xmin::text::bigint) & 4294967295)) END)::text::xid8";
