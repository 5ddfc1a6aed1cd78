//! Reading databases whose application brings collations of its own.
//!
//! SQLite refuses to check an index, or to read a table WITHOUT ROWID, in which a collation occurs that it does not know.
//! A scan of whole tables needs no order, so a stand-in that compares bytes serves. It must never be on a connection that
//! answers the questions of a playbook: there it would sort and compare wrongly where SQLite would have said so.

use std::cmp::Ordering;
use std::ffi::{c_char, c_int, c_void};

use rusqlite::{Connection, ffi};

/// Lets `connection` read and check tables with unknown collations.
pub(super) fn stand_in(connection: &Connection) -> Result<(), rusqlite::Error> {
    // SAFETY: the handle is alive for the call, and `needed` is given no context.
    let code =
        unsafe { ffi::sqlite3_collation_needed(connection.handle(), std::ptr::null_mut(), Some(needed)) };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

/// Says whether one of the collations of `connection` is a stand-in, that is, whether the order of a table may look wrong.
pub(super) fn is_standing_in(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let sql =
        "SELECT count(*) > 0 FROM pragma_collation_list WHERE name NOT IN ('BINARY', 'NOCASE', 'RTRIM')";
    connection.query_row(sql, [], |row| row.get(0))
}

unsafe extern "C" fn needed(_: *mut c_void, db: *mut ffi::sqlite3, encoding: c_int, name: *const c_char) {
    // SAFETY: `db` and `name` are SQLite's own, alive during the call (sqlite.org/c3ref/collation_needed.html).
    // A failure to register leaves the collation unknown.
    unsafe {
        ffi::sqlite3_create_collation_v2(db, name, encoding, std::ptr::null_mut(), Some(by_bytes), None);
    }
}

unsafe extern "C" fn by_bytes(
    _: *mut c_void,
    left_len: c_int,
    left: *const c_void,
    right_len: c_int,
    right: *const c_void,
) -> c_int {
    let bytes = |at: *const c_void, len: c_int| -> &[u8] {
        match usize::try_from(len) {
            // SAFETY: SQLite passes so many bytes at `at` (sqlite.org/c3ref/create_collation.html).
            Ok(len) if len > 0 && !at.is_null() => unsafe { std::slice::from_raw_parts(at.cast(), len) },
            _ => &[],
        }
    };
    match bytes(left, left_len).cmp(bytes(right, right_len)) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}
