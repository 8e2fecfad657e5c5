//! Dead letters: rows that will not be written, and who is given them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use crate::batch::Row;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Shared;
use crate::reject_file::RejectFile;
use crate::reject_line;
use crate::row::Value;
use crate::stats::count_of_rows;

/// A row that was refused, given up, or whose fate is not known, with what is needed to act on it.
///
/// [`Rejects`](crate::Rejects) keeps such rows in a file. The `Debug` form leaves the values out, so that logging one does not publish them.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The table it was for; for a statement the start of its text.
    pub table: String,
    /// Its fields (for a tuple: the columns) with their values.
    pub fields: Vec<(String, Value)>,
    /// Why: [`Rejected`](crate::ErrorKind::Rejected), [`Unknown`](crate::ErrorKind::Unknown) or
    /// [`Unwritten`](crate::ErrorKind::Unwritten).
    pub error: Error,
}

impl DeadLetter {
    /// The letter for a row. For [`Sink`](crate::Sink)s that keep refused rows in the database.
    pub fn new(row: &Row<'_>, error: Error) -> Self {
        let shape = row.shape();
        let mut names = shape.names().iter();
        let fields = row.values().enumerate().map(|(position, value)| {
            let name =
                names.next().cloned().unwrap_or_else(|| format!("parameter {}", position + 1));
            (name, value.to_value())
        });
        Self { table: shape.target().table().to_owned(), fields: fields.collect(), error }
    }

    /// The line of JSON that a [file](crate::Rejects) for dead letters has of it, without its end.
    ///
    /// # Errors
    ///
    /// When it has no form as JSON, which no row of a buffer's is known to do.
    pub fn to_json(&self, time: SystemTime) -> Result<String> {
        let message = "a refused row has no form as JSON";
        reject_line::json(self, time)
            .map_err(|error| Error::new(ErrorKind::Unavailable, message).because(error))
    }

    /// The letter of such a line, whose time is left out. The chain of its error is one message.
    ///
    /// # Errors
    ///
    /// When the line was changed and is no dead letter any more. What is wrong with it is not told, for it may hold values.
    pub fn from_json(line: &str) -> Result<Self> {
        let message = "the line is no dead letter: it was changed, or cut short";
        reject_line::read(line).map_err(|_| Error::new(ErrorKind::Unavailable, message))
    }
}

impl std::fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("DeadLetter")
            .field("table", &self.table)
            .field("fields", &names)
            .field("error", &self.error)
            .finish()
    }
}

/// What the application does with a dead letter.
pub(crate) type OnReject = Box<dyn Fn(&DeadLetter) + Send + Sync>;

/// Who is given dead letters: the file first, then the application.
pub(crate) struct Letters {
    file: Option<RejectFile>,
    on_reject: Option<OnReject>,
}

impl Letters {
    pub(crate) fn new(file: Option<RejectFile>, on_reject: Option<OnReject>) -> Self {
        Self { file, on_reject }
    }

    pub(crate) fn deliver(&mut self, shared: &Shared, letter: &DeadLetter) {
        if let Some(file) = &mut self.file {
            shared.count_letter(letter, file.keep(letter));
        }
        if let Some(on_reject) = &self.on_reject
            && catch_unwind(AssertUnwindSafe(|| on_reject(letter))).is_err()
        {
            tracing::error!(table = letter.table, "on_reject panicked; the buffer goes on");
        }
    }
}

/// Writes what is left at the end, and nobody takes back, to the file, if there is one, and says how many rows are
/// nowhere. Not through the writer's handle of the file: the writer may never come back.
pub(crate) fn keep_leftovers(shared: &Shared, letters: &[DeadLetter]) {
    if letters.is_empty() {
        return;
    }
    let settings = &shared.config.rejects;
    let mut file = RejectFile::open(settings).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        None
    });
    let mut nowhere = 0;
    for letter in letters {
        let kept = file.as_mut().is_some_and(|file| file.keep(letter));
        nowhere += u64::from(!kept);
        if settings.file.is_some() {
            shared.count_letter(letter, kept);
        }
    }
    if nowhere > 0 {
        let (rows, name) = (count_of_rows(nowhere), shared.name());
        tracing::error!(
            rows = nowhere,
            "{rows} left when the buffer for {name} ended could be kept nowhere; rejects.file keeps such rows, and \
             close_within() hands them back"
        );
        shared.publish_metrics();
    }
}
