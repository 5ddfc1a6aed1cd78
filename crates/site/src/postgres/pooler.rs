//! Poolers that hand a session over after each transaction: how one is recognised.

use postgres::Client;

use super::connect::{Database, OpenError};
use super::said::code;

/// The name under which we look.
const NAME: &str = "switchback";
/// How often the first session is asked again. A pool that turns its sessions round shows another one soon.
const LOOKS: usize = 5;
/// A transaction that stays open while we look, whatever the role's own time limits are. It leaves nothing in the session.
const HELD: &str =
    "BEGIN READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0";

/// Says whether the way to `database` gives one server session to several of our connections, or several to one.
///
/// A connection keeps its server process as long as it lives, or a pooler stands between. Two connections are opened. The
/// second begins a transaction: were it given the process that served the first a moment ago, that process is shared. While
/// the transaction holds its process, the first asks again: were it served by another one now, processes are handed round.
pub(super) fn hands_sessions_over(database: &Database) -> Result<bool, OpenError> {
    let failed = |source| OpenError::SetUp { place: database.place(), source };
    let mut first = database.plain(NAME)?;
    let served_by = process(&mut first).map_err(failed)?;
    let mut second = database.plain(NAME)?;
    match second.batch_execute(HELD) {
        // No server refuses to begin. One that hands a session over after each statement does, and hangs up over it.
        Err(error) if code(&error) == "08P01" => return Ok(true),
        Err(error) if error.is_closed() && process(&mut first).is_ok() => return Ok(true),
        began => began.map_err(failed)?,
    }
    let mut shared = process(&mut second).map_err(failed)? == served_by;
    for _ in 0..LOOKS {
        shared = shared || process(&mut first).map_err(failed)? != served_by;
    }
    second.batch_execute("ROLLBACK").map_err(failed)?;
    Ok(shared)
}

/// Asks in the simple protocol: old poolers fail on prepared statements, which would hide what is the matter.
fn process(client: &mut Client) -> Result<String, postgres::Error> {
    let answer = client.simple_query("SELECT pg_catalog.pg_backend_pid()")?;
    let row = answer.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(row.unwrap_or_default())
}
