//! Why a user's database cannot be read as it is, in words.

use std::path::Path;

use forebay::rusqlite::ErrorCode;
use forebay_bench::untouched::Unreadable;

use crate::doctor::shell::quoted;
use crate::failure::{Failure, because};

/// Why what `cannot` says could not be done with a database; `missing` is the hint for one that is not there.
pub fn failure(cannot: &str, database: &Path, why: Unreadable, missing: &str) -> Failure {
    let (name, word) = (database.display(), quoted(database));
    let failure = |why: &str| Failure::new(format!("{cannot}: {why}"));
    let doctor = format!("`forebay doctor {word}` says more");
    let in_order = format!("`forebay doctor --fix {word}` puts it in order");
    match why {
        Unreadable::Missing => {
            Failure::new(format!("the database {name} is not there")).hint(missing)
        }
        Unreadable::Folder => failure("it is a folder").hint("name the database file in it"),
        Unreadable::NoFile => failure("it is no file").hint("name the database file"),
        Unreadable::Refused(error) => failure(&because(&error))
            .hint(format!("run this as the user of the application: `ls -l {word}`")),
        Unreadable::LogAlone => failure(
            "its log (-wal) has no index (-shm) beside it: a process has it for itself, or was killed and left it so",
        )
        .hint(format!("end that process; if there is none, {in_order}")),
        Unreadable::BrokenOff => {
            failure("a process has died in the middle of a transaction and left its journal").hint(in_order)
        }
        Unreadable::Locked => {
            failure("another process has it locked").hint(format!("{doctor}, and who has it"))
        }
        Unreadable::Changed => {
            failure("it was written to while it was read without a lock").hint("try again")
        }
        Unreadable::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => failure("it is no SQLite database").hint(doctor),
            _ => failure(&error.to_string()).hint(doctor),
        },
    }
}
