//! Producers that a buffer refuses to make, and what it says then.

use forebay::{Error, ErrorKind, Table, TableWrite, WriteBuffer};

/// What is done to a table, up to the producer.
pub type Make = fn(Table<'_>) -> TableWrite<'_>;

/// An error that says all of `said`.
///
/// # Panics
///
/// When it does not.
pub fn assert_says(error: &Error, said: &[&str]) {
    let message = error.to_string();
    for part in said {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}

/// The error with which a producer for a table is refused, which says all of `said`.
///
/// # Panics
///
/// When there is none, or another.
pub fn refused(buffer: &WriteBuffer, table: &str, make: Make, said: &[&str]) -> Error {
    let made = make(buffer.table(table)).producer();
    let error = made.map(drop).expect_err("no producer is made");
    assert_eq!(error.kind(), ErrorKind::Schema, "{error:#}");
    assert_eq!(error.table(), Some(table), "{error:#}");
    assert_says(&error, said);
    error
}
