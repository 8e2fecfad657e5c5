//! What a producer's rows do (its target), and the lists of fields they come with (its shapes).
//!
//! A shape is made once, the first time a producer meets a row with its fields: there the fields are
//! checked against the live table. Every frame in the row log carries its shape's number.

use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::encode::{Expected, Fields, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::fit::Fit;
use crate::row::{ValueRef, Values};
use crate::sink::{ColumnType, StatementInfo, TableInfo};
#[cfg(feature = "spool")]
use crate::spool::Definition;
use crate::spool::Journal;
use crate::sql::shortened;
use crate::sync::Mutex;

/// Different lists of fields that one producer may meet, unless
/// [`max_shapes`](crate::TableWrite::max_shapes) says otherwise.
pub const MAX_SHAPES: usize = 16;

/// What the rows of a producer do to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "spool", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Operation {
    /// Insert the row.
    Insert,
    /// Insert the row unless it meets a row with the same value in any unique index.
    InsertNew,
    /// Insert the row, or update the one with the same key.
    Upsert {
        /// The key's columns; a unique index has exactly these.
        key: Vec<String>,
        /// Update only where the stored row has no larger value in this column.
        newest_by: Option<String>,
    },
    /// Update the row with this key.
    Update {
        /// The key's columns; a unique index has exactly these.
        key: Vec<String>,
    },
    /// Delete the row with this key.
    Delete {
        /// The key's columns; a unique index has exactly these.
        key: Vec<String>,
    },
    /// Run a statement of the application's with the row as its parameters.
    Statement {
        /// The statement.
        sql: String,
    },
    /// Run the SQL text that is the row's only value, alone and outside a transaction. Of a batch with an
    /// [entry](crate::Batch::entry): with the entry in one transaction, or, where the statement cannot run in one, after
    /// the entry is committed, so that it runs at most once.
    Execute,
}

impl Operation {
    /// Whether rows go to the columns of a table.
    pub(crate) fn writes_a_table(&self) -> bool {
        !matches!(self, Self::Statement { .. } | Self::Execute)
    }

    /// The columns that identify a row, for the operations that have a key.
    pub fn key(&self) -> &[String] {
        match self {
            Self::Upsert { key, .. } | Self::Update { key } | Self::Delete { key } => key,
            Self::Insert | Self::InsertNew | Self::Statement { .. } | Self::Execute => &[],
        }
    }
}

/// Where the rows of a producer go and what they do there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "spool", derive(serde::Serialize, serde::Deserialize))]
pub struct Target {
    pub(crate) table: String,
    pub(crate) operation: Operation,
    pub(crate) coalesce: bool,
    pub(crate) unordered: bool,
    pub(crate) max_shapes: usize,
}

impl Target {
    /// A target whose rows stay in order and are all written.
    pub(crate) fn new(table: String, operation: Operation) -> Self {
        Self { table, operation, coalesce: false, unordered: false, max_shapes: MAX_SHAPES }
    }

    /// The table's name; for a statement its shortened text, for `execute` the word "execute".
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What a row does.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The target of `WriteBuffer::execute`.
    pub(crate) fn execute() -> Self {
        Self::new("execute".to_owned(), Operation::Execute)
    }

    /// The target of a statement, named in logs by the start of its text.
    pub(crate) fn statement(sql: &str) -> Self {
        Self::new(shortened(sql), Operation::Statement { sql: sql.to_owned() })
    }
}

/// A list of fields that rows of one producer have.
#[derive(Debug)]
pub struct Shape {
    id: u16,
    target: Arc<Target>,
    fields: Expected,
    positional: bool,
    columns: Vec<String>,
    parameters: Vec<usize>,
    key: Vec<usize>,
    key_types: Vec<ColumnType>,
    newest: Option<(usize, ColumnType)>,
    /// Set when the table changed and these fields no longer fit it.
    stale: AtomicBool,
}

impl Shape {
    /// The number of this shape, unique within its buffer: what a sink may cache statements by.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Where the rows go and what they do there.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// For a table: the columns that the values are for, in the values' order, as the table spells them.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// For a statement: the parameters that the values are for, counted from 1, in the values' order.
    pub fn parameters(&self) -> &[usize] {
        &self.parameters
    }

    /// The positions of the key's values, in the key's order.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// What the key's columns compare their values as, in the key's order.
    pub(crate) fn key_types(&self) -> &[ColumnType] {
        &self.key_types
    }

    /// The position of the value that `newest_by` compares.
    pub fn newest(&self) -> Option<usize> {
        self.newest.map(|(position, _)| position)
    }

    /// The names under which the values came: the fields, or the columns for a tuple.
    #[inline]
    pub(crate) fn names(&self) -> &[String] {
        if self.positional { &self.columns } else { self.fields.names() }
    }

    /// The names that a row of it has, unless it is a tuple.
    pub(crate) fn expected(&self) -> &Expected {
        &self.fields
    }

    /// All that another process needs to know of it.
    #[cfg(feature = "spool")]
    pub(crate) fn definition(&self) -> Definition {
        Definition {
            number: self.id,
            target: Target::clone(&self.target),
            fields: self.fields.names().to_vec(),
            positional: self.positional,
            columns: self.columns.clone(),
            parameters: self.parameters.clone(),
            key: self.key.clone(),
            key_types: self.key_types.clone(),
            newest: self.newest,
        }
    }

    /// Whether its rows would be written the same way.
    fn is_made_of(&self, fit: &Fit) -> bool {
        self.columns == fit.columns
            && self.key == fit.key
            && self.key_types == fit.key_types
            && self.newest == fit.newest
    }

    fn has(&self, fields: Fields, names: &Names) -> bool {
        match fields {
            Fields::Positional(count) => {
                self.positional && self.parameters.len().max(self.columns.len()) == count
            }
            Fields::Expected => false,
            Fields::Named => {
                !self.positional
                    && self.names().len() == names.len()
                    && names.iter().all(|name| self.names().iter().any(|field| field == name))
                    && self.names().iter().all(|field| names.iter().any(|name| name == field))
            }
        }
    }

    /// Refuses a text that the database cannot hold, which the whole batch would be tried again for.
    pub(crate) fn check_texts(&self, values: Values<'_>) -> Result<()> {
        let has_nul =
            |value: ValueRef<'_>| matches!(value, ValueRef::Text(text) if text.contains(&0));
        let Some(position) = values.into_iter().position(has_nul) else { return Ok(()) };
        let table = self.target.table();
        let place = match self.names().get(position) {
            Some(field) => format!("field `{field}`"),
            None => format!("value {}", position + 1),
        };
        let message = format!(
            "{place} of a row for {table} is a text with a NUL character, which the database has no place for: leave it \
             out, or send bytes to a column of bytes"
        );
        let error = Error::new(ErrorKind::Encode, message).with_table(table);
        Err(match self.names().get(position) {
            Some(field) => error.with_field(field),
            None => error,
        })
    }

    /// What `newest_by` cannot compare would win or lose by its type alone: refuse it at the push.
    #[inline]
    pub(crate) fn check_newest(&self, values: Values<'_>) -> Result<()> {
        match self.newest {
            None => Ok(()),
            Some((position, column_type)) => self.compare_newest(values, position, column_type),
        }
    }

    fn compare_newest(
        &self,
        values: Values<'_>,
        position: usize,
        column_type: ColumnType,
    ) -> Result<()> {
        let value = values.into_iter().nth(position);
        let fits = match value {
            Some(ValueRef::Null) | None => true,
            Some(ValueRef::Integer(_) | ValueRef::Real(_)) => column_type.is_number(),
            Some(ValueRef::Text(_)) => column_type == ColumnType::Text,
            Some(ValueRef::Blob(_)) => false,
        };
        if fits {
            return Ok(());
        }
        let (table, field) = (self.target.table(), &self.names()[position]);
        let wanted = if column_type == ColumnType::Text { "text" } else { "a number" };
        Err(Error::new(
            ErrorKind::Encode,
            format!("field `{field}` of a row for {table} decides which row is newest and must be {wanted} or NULL"),
        )
        .with_table(table)
        .with_field(field))
    }
}

/// What is known of the place that a producer's rows go to.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Table(TableInfo),
    Statement(StatementInfo),
    Execute,
}

/// A producer's side: its target and the shapes its rows have had.
#[derive(Debug)]
pub(crate) struct Stream {
    target: Arc<Target>,
    place: Mutex<Arc<Place>>,
    /// Filled from the front.
    shapes: Box<[OnceLock<Arc<Shape>>]>,
    /// The shape of the row before: a guess, nothing depends on it.
    last: AtomicUsize,
    /// The table is being looked at for a row that did not fit and could not wait.
    looking: AtomicBool,
}

/// A row whose encoding panics leaves no shape behind.
impl RefUnwindSafe for Stream {}

impl Stream {
    pub(crate) fn new(target: Target, place: Place) -> Self {
        Self {
            shapes: (0..target.max_shapes).map(|_| OnceLock::new()).collect(),
            target: Arc::new(target),
            place: Mutex::new(Arc::new(place)),
            last: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The shape that the next row most likely has.
    #[inline]
    pub(crate) fn guess(&self) -> Option<&Arc<Shape>> {
        let shape = self.shapes.get(self.last.load(Ordering::Relaxed))?.get()?;
        (!shape.positional && !shape.stale.load(Ordering::Relaxed)).then_some(shape)
    }

    /// The shape that has these fields, if one is known and still fits its table.
    pub(crate) fn find(&self, fields: Fields, names: &Names) -> Option<&Arc<Shape>> {
        let shapes = self.shapes.iter().map_while(OnceLock::get).enumerate();
        let mut fresh = shapes.filter(|(_, shape)| !shape.stale.load(Ordering::Relaxed));
        let (index, shape) = fresh.find(|(_, shape)| shape.has(fields, names))?;
        self.last.store(index, Ordering::Relaxed);
        Some(shape)
    }

    /// Makes the shape that has these fields, if they fit what is known of the table.
    pub(crate) fn register(
        &self,
        fields: Fields,
        names: &Names,
        shapes: &Shapes,
    ) -> Result<&Arc<Shape>> {
        let place = self.place.lock();
        let fit = Fit::new(&self.target, &place, fields, names)?;
        let mut known = self.shapes.iter().map_while(OnceLock::get);
        if let Some(known) = known.find(|shape| shape.has(fields, names) && shape.is_made_of(&fit))
        {
            known.stale.store(false, Ordering::Relaxed);
            return Ok(known);
        }
        let Some(slot) = self.shapes.iter().find(|slot| slot.get().is_none()) else {
            return Err(Error::new(
                ErrorKind::TooManyShapes,
                format!(
                    "a producer for {} met more than {} different lists of fields: send every field in every row \
                     (None is NULL), or raise the limit with max_shapes()",
                    self.target.table, self.target.max_shapes
                ),
            )
            .with_table(&self.target.table));
        };
        let positional = matches!(fields, Fields::Positional(_));
        let shape = shapes.add(|id| Shape {
            id,
            target: Arc::clone(&self.target),
            fields: if positional {
                Expected::default()
            } else {
                Expected::new(names.iter().map(str::to_owned).collect())
            },
            positional,
            columns: fit.columns,
            parameters: fit.parameters,
            key: fit.key,
            key_types: fit.key_types,
            newest: fit.newest,
            stale: AtomicBool::new(false),
        })?;
        // The lock on `place` is held: nobody else fills this slot.
        Ok(slot.get_or_init(|| shape))
    }

    /// Whether the caller is to have the table looked at: nobody else does already.
    pub(crate) fn begin_to_look(&self) -> bool {
        !self.looking.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn end_to_look(&self) {
        self.looking.store(false, Ordering::Relaxed);
    }

    /// Takes note of what the table looks like now.
    pub(crate) fn update(&self, info: TableInfo) {
        let mut place = self.place.lock();
        *place = Arc::new(Place::Table(info));
        for shape in self.shapes.iter().map_while(OnceLock::get) {
            let mut names = Names::default();
            shape.fields.names().iter().for_each(|name| names.push(name));
            let fields = if shape.positional {
                Fields::Positional(shape.columns.len())
            } else {
                Fields::Named
            };
            let same = Fit::new(&self.target, &place, fields, &names)
                .is_ok_and(|fit| shape.is_made_of(&fit));
            shape.stale.store(!same, Ordering::Relaxed);
        }
    }
}

/// All shapes of a buffer, by number.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    shapes: Vec<Arc<Shape>>,
    /// Where a spool keeps what they mean.
    journal: Option<Journal>,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Has every shape from now on noted before a row of it is accepted.
    pub(crate) fn note_in(&mut self, journal: Journal) {
        self.0.lock().journal = Some(journal);
    }

    fn add(&self, make: impl FnOnce(u16) -> Shape) -> Result<Arc<Shape>> {
        let mut known = self.0.lock();
        let Known { shapes: all, journal } = &mut *known;
        let id = u16::try_from(all.len()).map_err(|_| {
            Error::new(
                ErrorKind::TooManyShapes,
                "this buffer has 65,536 shapes: make producers and statements once and keep them, and pass \
                 values as parameters instead of writing them into the SQL text",
            )
        })?;
        let shape = Arc::new(make(id));
        if let Some(journal) = journal {
            journal.note(&shape)?;
        }
        all.push(Arc::clone(&shape));
        Ok(shape)
    }

    /// Makes the shape of another process's rows anew; it has a number of this process.
    #[cfg(feature = "spool")]
    pub(crate) fn restore(&self, definition: &Definition) -> Result<Arc<Shape>> {
        let Definition { target, fields, positional, columns, parameters, .. } = definition.clone();
        let Definition { key, key_types, newest, .. } = definition.clone();
        self.add(|id| Shape {
            id,
            target: Arc::new(target),
            fields: Expected::new(fields),
            positional,
            columns,
            parameters,
            key,
            key_types,
            newest,
            stale: AtomicBool::new(false),
        })
    }

    /// Brings a copy of the list up to date.
    pub(crate) fn refresh(&self, copy: &mut Vec<Arc<Shape>>) {
        let all = &self.0.lock().shapes;
        copy.extend(all[copy.len()..].iter().cloned());
    }
}
