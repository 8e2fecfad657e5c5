//! Dead letters: rows that will not be written, handed to the application.

use crate::batch::Row;
use crate::error::Error;
use crate::row::Value;

/// A row that was refused, given up, or whose fate is not known, with what is needed to act on it.
///
/// Its `Debug` form leaves the values out, so that logging one does not publish them.
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
