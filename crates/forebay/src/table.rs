//! What a producer does to a table, said step by step and checked against the table.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::producer::Producer;
use crate::shape::{Operation, Place, Target};
use crate::sink::{ColumnType, TableInfo};

/// A table that rows are to be written to: say how.
#[must_use = "a table does nothing until it has become a producer"]
pub struct Table<'b> {
    handle: &'b Arc<Handle>,
    name: String,
}

/// What rows do to a table, until [`producer`](TableWrite::producer) makes a producer of it.
#[must_use = "this does nothing until producer()"]
pub struct TableWrite<'b> {
    handle: &'b Arc<Handle>,
    target: Target,
    ignore_duplicates: bool,
    newest_by: Option<String>,
}

impl<'b> Table<'b> {
    pub(crate) fn new(handle: &'b Arc<Handle>, name: String) -> Self {
        Self { handle, name }
    }

    /// Inserts every row.
    pub fn insert(self) -> TableWrite<'b> {
        self.write(Operation::Insert)
    }

    /// Inserts a row, or updates the row that has the same key. Only the fields that a row has are written.
    pub fn upsert<S: Into<String>>(self, key: impl IntoIterator<Item = S>) -> TableWrite<'b> {
        self.write(Operation::Upsert { key: names(key), newest_by: None })
    }

    /// Updates the row that has the same key; a row whose key is not there changes nothing.
    pub fn update<S: Into<String>>(self, key: impl IntoIterator<Item = S>) -> TableWrite<'b> {
        self.write(Operation::Update { key: names(key) })
    }

    /// Deletes the row that has the same key; a row has the key's fields only, a tuple its values in the
    /// key's order.
    pub fn delete<S: Into<String>>(self, key: impl IntoIterator<Item = S>) -> TableWrite<'b> {
        self.write(Operation::Delete { key: names(key) })
    }

    fn write(self, operation: Operation) -> TableWrite<'b> {
        TableWrite {
            handle: self.handle,
            target: Target::new(self.name, operation),
            ignore_duplicates: false,
            newest_by: None,
        }
    }
}

fn names<S: Into<String>>(key: impl IntoIterator<Item = S>) -> Vec<String> {
    key.into_iter().map(Into::into).collect()
}

impl TableWrite<'_> {
    /// With `insert`: a row that meets a row with the same value in a unique index changes nothing.
    /// Rows that violate NOT NULL or a CHECK are refused all the same (`ON CONFLICT DO NOTHING`, not `OR
    /// IGNORE`).
    pub fn ignore_duplicates(mut self) -> Self {
        self.ignore_duplicates = true;
        self
    }

    /// With `upsert`: a row never overwrites one with a larger value in `column`. A stored NULL is oldest,
    /// ties overwrite. The column must be declared as a number or as text, and so must the values be.
    pub fn newest_by(mut self, column: impl Into<String>) -> Self {
        self.newest_by = Some(column.into());
        self
    }

    /// Of rows with the same key that wait in the buffer, writes the newest only. Merges within a stretch
    /// of rows of this producer with the same fields; any other row in between ends the stretch. The rows left
    /// out count as superseded and their receipts succeed with the newest. If the database refuses a row of
    /// such a batch, the batch is written again with none left out. Triggers see the newest only. With `newest_by` rows are
    /// merged where both values are integers; elsewhere the database decides which is newest.
    pub fn coalesce(mut self) -> Self {
        self.target.coalesce = true;
        self
    }

    /// Lets the writer sort the rows of a batch by key, which is faster on large tables. Refused for
    /// tables with triggers, foreign keys or a second unique index, and for keys that are not declared as a
    /// number or as text in BINARY collation: there the order can be seen.
    pub fn unordered(mut self) -> Self {
        self.target.unordered = true;
        self
    }

    /// How many different lists of fields the rows may come with, each of which has statements of its own.
    /// Default [`MAX_SHAPES`](crate::MAX_SHAPES); at most 1,000. The limit is there to notice
    /// rows whose fields are made of data. Of more than about 80 lists, all producers together, not all statements
    /// stay prepared: those that alternate are then prepared anew for each batch.
    pub fn max_shapes(mut self, max: usize) -> Self {
        self.target.max_shapes = max;
        self
    }

    /// Makes the producer. Looks at the table: blocks for the batch that is being written, longer while
    /// somebody else holds the database's lock.
    ///
    /// # Errors
    ///
    /// [`Schema`](ErrorKind::Schema) when the table, a column or a unique index on the key is missing,
    /// or an option does not go with the table; the message names what there is.
    pub fn producer(mut self) -> Result<Producer> {
        self.join_options()?;
        let table = self.target.table.clone();
        let info = self.handle.shared().with_sink(move |sink| sink.describe(&table))?;
        self.check(&info)?;
        let stream = self.handle.shared().stream(self.target, Place::Table(info));
        Ok(Producer::new(Arc::clone(self.handle), stream))
    }

    fn join_options(&mut self) -> Result<()> {
        if self.ignore_duplicates {
            if self.target.operation != Operation::Insert {
                return Err(self.wrong("ignore_duplicates() goes with insert()"));
            }
            self.target.operation = Operation::InsertNew;
        }
        if let Some(column) = self.newest_by.take() {
            let Operation::Upsert { newest_by, .. } = &mut self.target.operation else {
                return Err(self.wrong("newest_by() goes with upsert()"));
            };
            *newest_by = Some(column);
        }
        let keyed = matches!(
            self.target.operation,
            Operation::Upsert { .. } | Operation::Update { .. } | Operation::Delete { .. }
        );
        if keyed && self.target.operation.key().is_empty() {
            return Err(self.wrong("the key has no column"));
        }
        if !keyed && self.target.coalesce {
            return Err(
                self.wrong("coalesce() needs a key: it goes with upsert(), update() and delete()")
            );
        }
        if !(1..=1_000).contains(&self.target.max_shapes) {
            return Err(self.wrong("max_shapes() takes 1 to 1,000"));
        }
        if !keyed && self.target.unordered {
            return Err(
                self.wrong("unordered() needs a key: it goes with upsert(), update() and delete()")
            );
        }
        Ok(())
    }

    fn check(&self, info: &TableInfo) -> Result<()> {
        if info.is_read_only {
            return Err(self.wrong(
                "it takes no rows: it is a view without an INSTEAD OF trigger, or the database's own schema",
            ));
        }
        let key = self.target.operation.key();
        if let Operation::Upsert { newest_by: Some(newest), .. } = &self.target.operation {
            let Some(column) = info.find_column(newest) else {
                return Err(self.no_column("newest_by", newest, info));
            };
            if column.column_type == ColumnType::Any {
                return Err(self
                    .wrong(&format!(
                        "newest_by cannot compare `{newest}`: declare the column INTEGER, REAL, NUMERIC or TEXT, so \
                         that its values are of one type"
                    ))
                    .with_field(newest));
            }
        }
        if let Some(missing) = key.iter().find(|name| info.find_column(name).is_none()) {
            return Err(self.no_column("key", missing, info));
        }
        if !key.is_empty() && !info.is_unique(key) {
            let key = key.join(", ");
            let there = info
                .unique
                .iter()
                .map(|index| format!("({})", index.join(", ")))
                .collect::<Vec<_>>();
            let there = if there.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", there.join(", "))
            };
            return Err(self.wrong(&format!(
                "the key ({key}) needs a primary key or a unique index on exactly these columns, and {there}; CREATE \
                 UNIQUE INDEX makes one"
            )));
        }
        if self.target.unordered {
            let obstacle = if info.has_triggers {
                "triggers"
            } else if info.has_foreign_keys {
                "foreign keys"
            } else if info.unique.len() > 1 || info.has_other_unique {
                "a second unique index"
            } else if !key.iter().all(|column| info.compares_plainly(column)) {
                "a key that is not declared as a number or as text in BINARY collation"
            } else {
                return Ok(());
            };
            return Err(
                self.wrong(&format!("unordered() is refused, because the table has {obstacle}"))
            );
        }
        Ok(())
    }

    fn no_column(&self, what: &str, name: &str, info: &TableInfo) -> Error {
        let columns = info.column_list();
        self.wrong(&format!("the {what} column `{name}` is not there; the columns are {columns}"))
            .with_field(name)
    }

    fn wrong(&self, what: &str) -> Error {
        let table = &self.target.table;
        Error::new(ErrorKind::Schema, format!("cannot write to {table} like this: {what}"))
            .with_table(table)
    }
}

impl std::fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TableWrite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWrite").field("target", &self.target).finish_non_exhaustive()
    }
}
