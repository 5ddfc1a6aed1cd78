//! Moving all lanes, one after the other: a thread reads and encodes while this one writes.

use std::sync::mpsc::sync_channel;

use switchback_site::postgres::ledger;
use switchback_site::tell::Tell;

use super::hand::Hand;
use super::lane::Lane;
use super::plan::lanes;
use super::track::Track;
use super::wire::{Cursor, Piece, Portions, WAITING};
use super::{
    postgres_finish, postgres_sink, postgres_source, reactions, sqlite_finish, sqlite_sink, sqlite_source,
};
use crate::end::{CursorKey, End, Options, Report};
use crate::error::FlowError;
use crate::job::TableMove;
use crate::postgres::session::{end_dead, session_name};

/// Says whether `moves` fit the two databases. Reads only.
pub fn check(moves: &[TableMove], from: &End, to: &End, _tell: &Tell) -> Result<(), FlowError> {
    reactions::refuse_one_file(from, to)?;
    let (mut from, mut to) = (Hand::reader(from, "switchback")?, Hand::reader(to, "switchback")?);
    let mut lanes = lanes(moves, &mut from, &mut to)?;
    reactions::refuse(&lanes, &mut to)?;
    if let Hand::Postgres(client) = &mut to {
        postgres_finish::in_order(client, &mut lanes)?;
    }
    Ok(())
}

/// Moves rows between SQLite and PostgreSQL, or between two SQLite files; see [`crate::run()`].
pub fn run(
    moves: &[TableMove],
    from: &End,
    to: &End,
    key: &CursorKey,
    options: Options,
    tell: &Tell,
) -> Result<Report, FlowError> {
    run_with(Portions::default(), options, moves, from, to, key, tell)
}

/// The same in portions of another size.
pub fn run_in(
    portions: Portions,
    moves: &[TableMove],
    from: &End,
    to: &End,
    key: &CursorKey,
    tell: &Tell,
) -> Result<Report, FlowError> {
    run_with(portions, Options::default(), moves, from, to, key, tell)
}

/// The same in portions of another size, with options.
pub fn run_with(
    portions: Portions,
    options: Options,
    moves: &[TableMove],
    from: &End,
    to: &End,
    key: &CursorKey,
    tell: &Tell,
) -> Result<Report, FlowError> {
    reactions::refuse_one_file(from, to)?;
    let name = session_name(key);
    let (mut reader, mut writer) = (Hand::reader(from, &name)?, Hand::writer(to, &name)?);
    let mut lanes = lanes(moves, &mut reader, &mut writer)?;
    reactions::refuse(&lanes, &mut writer)?;
    begin(&mut reader)?;
    if let Hand::Postgres(client) = &mut writer {
        end_dead(client, &name, tell)?;
        tell.point("flow.ledger")?;
        ledger::ensure(client)?;
        postgres_finish::set_aside(&mut reader, client, &mut lanes, key, options, tell)?;
        postgres_finish::in_order(client, &mut lanes)?;
    }
    let mut report = Report::default();
    for lane in &mut lanes {
        lane.portions = portions;
        let cursor = cursor_of(&mut writer, lane, key)?;
        let cursor = if cursor.done {
            report.found += 1;
            cursor
        } else {
            stream(&mut reader, &mut writer, lane, key, cursor, tell)?
        };
        report.rows += cursor.moved.rows;
    }
    if let (Hand::Postgres(client), End::Postgres(to)) = (&mut writer, to) {
        postgres_finish::put_back(to, client, &lanes, key, options, report.rows, tell)?;
        report.sequences = postgres_finish::sequences(client, &lanes, tell)?;
        postgres_finish::make_durable(client, key, tell)?;
    }
    if let Hand::Sqlite(connection) = &writer {
        sqlite_finish::references(connection, &lanes)?;
    }
    Ok(report)
}

/// Begins the snapshot of a reader.
pub(super) fn begin(reader: &mut Hand) -> Result<(), FlowError> {
    match reader {
        Hand::Sqlite(connection) => sqlite_source::begin(connection),
        Hand::Postgres(client) => postgres_source::begin(client),
    }
}

/// Reads how far a lane has come.
pub(super) fn cursor_of(writer: &mut Hand, lane: &Lane, key: &CursorKey) -> Result<Cursor, FlowError> {
    match writer {
        Hand::Sqlite(connection) => Ok(sqlite_sink::cursor(connection, lane, key)?.0),
        Hand::Postgres(client) => postgres_sink::cursor(client, lane, key),
    }
}

/// Hands every piece of a lane behind `after` to `take`, until that says false.
pub(super) fn each_piece(
    reader: &mut Hand,
    lane: &Lane,
    after: Option<&str>,
    tell: &Tell,
    take: &mut dyn FnMut(Piece) -> Result<bool, FlowError>,
) -> Result<(), FlowError> {
    match reader {
        Hand::Sqlite(connection) => sqlite_source::each_piece(connection, lane, after, tell, take),
        Hand::Postgres(client) => postgres_source::each_piece(client, lane, after, tell, take),
    }
}

fn stream(
    reader: &mut Hand,
    writer: &mut Hand,
    lane: &Lane,
    key: &CursorKey,
    cursor: Cursor,
    tell: &Tell,
) -> Result<Cursor, FlowError> {
    let mut track = Track::new(tell, format!("moving {}", lane.to.describe()));
    let after = cursor.after.clone();
    std::thread::scope(|scope| {
        let (outlet, inlet) = sync_channel(WAITING);
        scope.spawn(move || {
            let read = each_piece(reader, lane, after.as_deref(), tell, &mut |piece| {
                Ok(outlet.send(Ok(Some(piece))).is_ok())
            });
            // Nobody listens any more when the writer failed: then it has the word.
            let _ = outlet.send(read.map(|()| None));
        });
        // The inlet goes when the writer ends, so that a reader that waits for room is told.
        let inlet = inlet;
        match writer {
            Hand::Sqlite(connection) => {
                sqlite_sink::write(connection, lane, key, cursor, &inlet, &mut track, tell)
            }
            Hand::Postgres(client) => {
                postgres_sink::write(client, lane, key, cursor, &inlet, &mut track, tell)
            }
        }
    })
}
