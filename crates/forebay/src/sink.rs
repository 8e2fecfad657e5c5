//! Where batches go: the trait between the engine and a database, and what crosses it.

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{Error, ErrorKind};
use crate::reject::DeadLetter;
use crate::signals::Signals;

/// A database that batches are written to.
///
/// One thread at a time holds the sink, normally the writer's. The engine names no SQL: a sink makes its
/// statements from the batch's [shapes](crate::Shape). Outside databases, a sink is the seam for test
/// doubles: gated, failing, counting.
///
/// ```
/// use forebay::{Applied, Batch, Config, Error, Sink, SinkError, StatementInfo, TableInfo, WriteBuffer};
///
/// /// Says yes to everything and forgets it.
/// struct Nowhere;
///
/// impl Sink for Nowhere {
///     fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
///         Ok(TableInfo::new(table).column("id").column("state").unique(["id"]))
///     }
///     fn prepare(&mut self, _sql: &str) -> Result<StatementInfo, Error> {
///         Ok(StatementInfo::default())
///     }
///     fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
///         assert!(batch.len() > 0);
///         Ok(Applied::default())
///     }
/// }
///
/// let buffer = WriteBuffer::with_sink(Nowhere, Config::default())?;
/// let states = buffer.table("states").upsert(["id"]).producer()?;
/// states.write(&(1, "running"))?;
/// # Ok::<(), Error>(())
/// ```
pub trait Sink: Send {
    /// Looks at a table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Schema`](crate::ErrorKind::Schema) when there is no such table, naming those there are.
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error>;

    /// Checks a statement that rows are to be bound to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Statement`](crate::ErrorKind::Statement) when a producer cannot have it: a query, RETURNING, DDL, transaction
    /// control, or several statements in one.
    fn prepare(&mut self, sql: &str) -> Result<StatementInfo, Error>;

    /// Writes a batch, all of it in one transaction but for the rows that the database refuses, and
    /// returns after the commit. Rows apply in the batch's order; a [unit](Batch::units) is refused whole.
    /// When it would have to refuse a row of a [merged](Batch::is_merged) batch it writes nothing and returns
    /// [`SinkError::unmerge`].
    ///
    /// A batch whose first row is an [`Operation::Execute`](crate::Operation::Execute) holds nothing else.
    ///
    /// # Errors
    ///
    /// On every error but [`SinkError::unknown`], [`SinkError::in_doubt`] and [`SinkError::lost`] nothing of the batch is in the
    /// database. After any error the sink must be usable, or make itself so at the next call.
    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError>;

    /// What the database says of a spool: how many of its rows it has. `None` when it has never heard of it.
    ///
    /// A sink that keeps books does so for every batch that has an [`entry`](Batch::entry): their change is the
    /// first statement of the batch's transaction, and so is every refused row that was handed over
    /// without a [receipt](crate::Row::has_receipt), kept in the database with its error. Then it may say
    /// [`SinkError::in_doubt`] where it would have to say [`SinkError::unknown`]: it is given the very same batch again and finds out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), the default: the sink keeps no books, and no spool can be used with it.
    fn books(&mut self, spool: &str) -> Result<Option<Books>, Error> {
        let _ = spool;
        let message = format!(
            "{} keeps no books of what it has applied, without which rows could be written twice: leave the setting \
             `spool` out",
            self.name()
        );
        Err(Error::new(ErrorKind::Config, message).with_field("spool"))
    }

    /// Opens books for a spool of which the database is said to have `applied` rows.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply), and as [`books`](Self::books).
    fn open_books(&mut self, spool: &str, applied: u64) -> Result<(), Error> {
        let _ = applied;
        self.books(spool).map(drop)
    }

    /// Under which name the sink keeps books of this buffer where there is no spool. `Some` for a database whose
    /// connection can be lost between `COMMIT` and its answer: each batch has an [`entry`](Batch::entry) then, with this name and
    /// counted from the buffer's first row, and what became of such a batch is found out. Asked once, when the buffer opens.
    fn books_name(&self) -> Option<String> {
        None
    }

    /// Whether a text may have NUL characters in it. Where not, a row with one is refused when it is pushed. Asked once,
    /// when the buffer opens.
    fn takes_nul(&self) -> bool {
        true
    }

    /// Whether [`tidy`](Self::tidy) has something to do. Asked for after commits on the waiting thread, for
    /// which the writer tidies up.
    fn is_untidy(&self) -> bool {
        false
    }

    /// Called when a batch is decided and its receipts have been told: work that nobody should wait for.
    fn tidy(&mut self) {}

    /// Gives the sink a way to see that the buffer's patience has ended, and to count its waits.
    fn attach(&mut self, signals: Arc<Signals>) {
        drop(signals);
    }

    /// Whether a thread that waits for its own row may commit it itself. Asked once, when the buffer opens.
    fn commits_on_caller(&self) -> bool {
        false
    }

    /// What the sink is connected to, for messages and as the label of its metrics: a path, a host and database;
    /// never a password. Give one: buffers that share a name share their series.
    fn name(&self) -> String {
        "the sink".to_owned()
    }
}

/// What a database knows of a spool.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Books {
    /// How many of the spool's rows the database has decided: the sequence number of the next.
    pub applied: u64,
    /// The refused rows of the last batch, whose dead letters may not have been delivered when the process ended.
    pub untold: Vec<DeadLetter>,
}

impl Books {
    /// Books in which so many rows are applied, and no dead letter is untold.
    pub fn new(applied: u64) -> Self {
        Self { applied, untold: Vec::new() }
    }
}

/// What a sink did with a batch that it committed.
#[derive(Debug, Default)]
pub struct Applied {
    /// The rows that the database refused, in the batch's order; all others are committed.
    pub rejected: Vec<Rejection>,
    /// Rows that were applied and changed nothing, such as an upsert of an older row with `newest_by`.
    pub unchanged: u64,
    /// Transactions that it took.
    pub transactions: u64,
}

/// One row that the database refused.
#[derive(Debug)]
pub struct Rejection {
    /// Its position in the batch.
    pub row: usize,
    /// Why, as [`ErrorKind::Rejected`](crate::ErrorKind::Rejected).
    pub error: Error,
}

/// Why a sink could not write a batch, and with that what the writer does next.
#[derive(Debug, Clone)]
pub struct SinkError {
    pub(crate) verdict: Verdict,
    pub(crate) error: Error,
}

/// What the writer does after a sink's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry,
    Pause,
    Unknown,
    Fail,
    Lost,
    Unmerge,
    Doubt,
}

impl SinkError {
    /// Somebody else holds the database: the same batch again after a short delay, then pause.
    pub fn busy(error: Error) -> Self {
        Self { verdict: Verdict::Retry, error }
    }

    /// The database cannot be written at the moment: the batch is kept and tried at a slow pace.
    pub fn down(error: Error) -> Self {
        Self { verdict: Verdict::Pause, error }
    }

    /// The commit was asked for and its answer was lost: the batch is not run again.
    pub fn unknown(error: Error) -> Self {
        Self { verdict: Verdict::Unknown, error }
    }

    /// The commit was asked for, its answer was lost, and the sink's books will tell: the same batch again after a short
    /// delay, then pause, until the sink has found out. Rows whose buffer ends before that are [`Unknown`](crate::ErrorKind::Unknown).
    pub fn in_doubt(error: Error) -> Self {
        Self { verdict: Verdict::Doubt, error }
    }

    /// Nothing can be written to this database any more: the buffer fails.
    pub fn fatal(error: Error) -> Self {
        Self { verdict: Verdict::Fail, error }
    }

    /// Both: nothing can be written any more, and what became of this batch is not known either.
    pub fn lost(error: Error) -> Self {
        Self { verdict: Verdict::Lost, error }
    }

    /// A row of a merged batch was refused: nothing of the batch is in the database, and the writer gives
    /// the rows again with none left out.
    pub fn unmerge(error: Error) -> Self {
        Self { verdict: Verdict::Unmerge, error }
    }

    /// The error itself.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

/// A table as the engine needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    pub(crate) name: String,
    pub(crate) columns: Vec<ColumnInfo>,
    pub(crate) unique: Vec<Vec<String>>,
    pub(crate) has_triggers: bool,
    pub(crate) has_foreign_keys: bool,
    pub(crate) max_columns: usize,
    pub(crate) collated: Vec<String>,
    pub(crate) has_other_unique: bool,
    pub(crate) is_read_only: bool,
}

/// A column as the engine needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnInfo {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) generated: bool,
    pub(crate) has_default: bool,
}

/// What a column takes, and compares its values as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "spool", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ColumnType {
    /// Integers. SQLite also takes other numbers there, and compares them as such.
    Integer,
    /// Numbers with a fraction.
    Real,
    /// Numbers, integers or not; in SQLite also dates and other texts that are declared as none of these types.
    Number,
    /// Text.
    Text,
    /// Anything at all, so that values of different types meet.
    Any,
}

impl ColumnType {
    /// Whether the column compares its values as numbers.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Real | Self::Number)
    }
}

impl TableInfo {
    /// A table without columns, to add to.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            columns: Vec::new(),
            unique: Vec::new(),
            has_triggers: false,
            has_foreign_keys: false,
            max_columns: usize::MAX,
            collated: Vec::new(),
            has_other_unique: false,
            is_read_only: false,
        }
    }

    /// The table's name, as the database spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns that rows can be written to, in their order, each with what it takes.
    pub fn columns(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let writable = self.columns.iter().filter(|column| !column.generated);
        writable.map(|column| (column.name.as_str(), column.column_type))
    }

    /// Whether a row that does not mention this column gets something else than NULL there.
    pub fn has_default(&self, column: &str) -> bool {
        self.find_column(column).is_some_and(|column| column.has_default)
    }

    /// The columns that the database computes.
    pub fn generated_columns(&self) -> impl Iterator<Item = &str> {
        let generated = self.columns.iter().filter(|column| column.generated);
        generated.map(|column| column.name.as_str())
    }

    /// Adds a column of any type.
    #[must_use]
    pub fn column(self, name: impl Into<String>) -> Self {
        self.typed_column(name, ColumnType::Any)
    }

    /// Adds a column that compares its values as `column_type`.
    #[must_use]
    pub fn typed_column(mut self, name: impl Into<String>, column_type: ColumnType) -> Self {
        let (name, generated, has_default) = (name.into(), false, false);
        self.columns.push(ColumnInfo { name, column_type, generated, has_default });
        self
    }

    /// Adds a column that the database computes.
    #[must_use]
    pub fn generated_column(mut self, name: impl Into<String>) -> Self {
        self.columns.push(ColumnInfo {
            name: name.into(),
            column_type: ColumnType::Any,
            generated: true,
            has_default: false,
        });
        self
    }

    /// Says that a row which does not mention a column gets something else than NULL there.
    #[must_use]
    pub fn with_default_on(mut self, column: &str) -> Self {
        if let Some(column) = self.columns.iter_mut().find(|known| known.name == column) {
            column.has_default = true;
        }
        self
    }

    /// Adds a unique index over exactly these columns.
    #[must_use]
    pub fn unique<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.unique.push(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Says that there are unique indexes of other kinds: partial ones, or over expressions.
    #[must_use]
    pub fn with_other_unique(mut self, has: bool) -> Self {
        self.has_other_unique = has;
        self
    }

    /// Says that it takes no rows, such as a view without an INSTEAD OF trigger.
    #[must_use]
    pub fn with_read_only(mut self, is: bool) -> Self {
        self.is_read_only = is;
        self
    }

    /// Says that the table has triggers.
    #[must_use]
    pub fn with_triggers(mut self, has: bool) -> Self {
        self.has_triggers = has;
        self
    }

    /// Says that the table refers to another or is referred to.
    #[must_use]
    pub fn with_foreign_keys(mut self, has: bool) -> Self {
        self.has_foreign_keys = has;
        self
    }

    /// Says that a column's texts are not compared by their bytes.
    #[must_use]
    pub fn with_collation_on(mut self, column: impl Into<String>) -> Self {
        self.collated.push(column.into());
        self
    }

    /// Says how many values one row can have at the most.
    #[must_use]
    pub fn max_columns(mut self, max: usize) -> Self {
        self.max_columns = max;
        self
    }

    /// The column of this name: of the very same, or else of one that differs in ASCII case.
    pub(crate) fn find_column(&self, name: &str) -> Option<&ColumnInfo> {
        let all = || self.columns.iter();
        let same = all().find(|column| column.name == name);
        same.or_else(|| all().find(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// Whether the column is known to compare its values as one type, and texts by their bytes.
    pub(crate) fn compares_plainly(&self, name: &str) -> bool {
        self.find_column(name).is_some_and(|column| {
            column.column_type != ColumnType::Any && !self.collated.contains(&column.name)
        })
    }

    pub(crate) fn column_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.join(", ")
    }

    /// Whether a unique index has exactly these columns.
    pub(crate) fn is_unique(&self, key: &[String]) -> bool {
        let is_in = |name: &String, index: &[String]| {
            self.find_column(name).is_some_and(|column| index.contains(&column.name))
        };
        self.unique
            .iter()
            .any(|index| index.len() == key.len() && key.iter().all(|name| is_in(name, index)))
    }
}

/// A statement as the engine needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementInfo {
    /// The names of its parameters without their prefix, `None` for a parameter that has none.
    pub parameters: Vec<Option<String>>,
}
