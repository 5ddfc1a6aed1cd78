//! The change counter: how many transactions a database file has seen, to tell our commits from others'.

use rusqlite::{Connection, ffi};
use std::ffi::c_void;

/// Offset of the change counter in the file header (sqlite.org/fileformat2.html#file_change_counter).
const COUNTER_AT: i64 = 24;

/// Returns the change counter of a database that is not in WAL mode: every transaction that writes adds one.
///
/// It is read through SQLite's own file handle inside a read transaction, so a hot journal has been played back, and no
/// other descriptor of this process is opened and closed on the file (that would drop its POSIX locks).
pub fn change_counter(connection: &Connection) -> rusqlite::Result<u32> {
    connection.execute_batch("BEGIN")?;
    let read = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .and_then(|_| read_counter(connection));
    connection.execute_batch("COMMIT")?;
    read
}

fn read_counter(connection: &Connection) -> rusqlite::Result<u32> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    let mut bytes = [0_u8; 4];
    // SAFETY: the connection is open for the whole call, FILE_POINTER hands out its `sqlite3_file`, which lives as long
    // as the connection, and xRead of an open file fills exactly the four bytes that it is given.
    let code = unsafe {
        let code = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast::<c_void>(),
        );
        match (code, file.as_ref().and_then(|file| file.pMethods.as_ref()).and_then(|methods| methods.xRead))
        {
            (ffi::SQLITE_OK, Some(read)) => read(file, bytes.as_mut_ptr().cast::<c_void>(), 4, COUNTER_AT),
            (ffi::SQLITE_OK, None) => ffi::SQLITE_MISUSE,
            (code, _) => code,
        }
    };
    if code == ffi::SQLITE_OK {
        return Ok(u32::from_be_bytes(bytes));
    }
    Err(rusqlite::Error::SqliteFailure(
        ffi::Error::new(code),
        Some("cannot read the change counter".to_owned()),
    ))
}
