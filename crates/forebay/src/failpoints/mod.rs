//! One line at each step of the writer: where forebay's own tests can have it fail, and nothing without the feature
//! `failpoints`.

#[cfg(feature = "failpoints")]
mod points;

#[cfg(feature = "failpoints")]
pub use points::{Failpoint, Failure, Holder};

/// A step at which forebay's own tests can have the writer fail; nothing without the feature `failpoints`. Where SQLite
/// may refuse the step, the rest says what the error that it gives means.
macro_rules! failpoint {
    ($point:ident) => {
        #[cfg(feature = "failpoints")]
        crate::failpoints::Failpoint::$point.reach();
    };
    ($point:ident, |$error:ident| $meaning:expr) => {
        #[cfg(feature = "failpoints")]
        if let Some(code) = crate::failpoints::Failpoint::$point.reach() {
            let $error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            return Err($meaning.into());
        }
    };
    ($point:ident, $connection:expr, $stage:expr, $table:expr) => {
        failpoint!($point, |error| super::fault::judge($connection, &error, $stage, $table, ""))
    };
}
