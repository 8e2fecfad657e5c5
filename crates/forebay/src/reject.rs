//! Dead letters: rows that will not be written, and who is given them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::batch::Row;
use crate::error::Error;
use crate::queue::Shared;
use crate::reject_file::RejectFile;
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
    pub(crate) fn new(row: &Row<'_>, error: Error) -> Self {
        let shape = row.shape();
        let mut names = shape.names().iter();
        let fields = row.values().enumerate().map(|(position, value)| {
            let name =
                names.next().cloned().unwrap_or_else(|| format!("parameter {}", position + 1));
            (name, value.to_value())
        });
        Self { table: shape.target().table().to_owned(), fields: fields.collect(), error }
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
