//! Rows as the contenders of this crate write them: the bench's own, or those of a table.

use forebay::rusqlite::types::Value;
use forebay::rusqlite::{self, Connection, OpenFlags, Statement};
use forebay_trial::{Cursor, Request, Result, Row as TopicRow, Rows, Topics, listed, stride};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Where rows come from. It is there as long as the program, which runs one trial, so that rows may go to any thread
/// and task.
pub(crate) trait Source: Send + Sync + 'static {
    /// One row.
    type Row: Row;
    /// The rows of one worker.
    type Cursor: Send;

    /// The rows of this worker.
    fn cursor(&'static self, worker: u32) -> Self::Cursor;

    /// The row with this number: the one after the last that was asked for, or that one again.
    fn row(cursor: &mut Self::Cursor, number: u64) -> Self::Row;
}

/// A row that borrows its values.
pub(crate) trait Row: Copy + Send + Sync + Serialize + 'static {
    /// The same, for the way to another thread.
    type Owned: Bind + Send + 'static;

    /// Copies its values.
    fn to_owned_row(self) -> Self::Owned;

    /// Binds its values to the parameters from `first` on.
    fn bind(self, statement: &mut Statement<'_>, first: usize) -> rusqlite::Result<()>;
}

/// A row that has its values.
pub(crate) trait Bind {
    /// Binds them to the parameters from the first on.
    fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()>;
}

impl Source for Topics {
    type Row = TopicRow<'static>;
    type Cursor = Cursor<'static>;

    fn cursor(&'static self, worker: u32) -> Cursor<'static> {
        Self::cursor(self, worker)
    }

    fn row(cursor: &mut Cursor<'static>, number: u64) -> TopicRow<'static> {
        cursor.row(number)
    }
}

impl Row for TopicRow<'static> {
    type Owned = OwnedTopic;

    fn to_owned_row(self) -> OwnedTopic {
        OwnedTopic {
            topic_id: self.topic_id,
            status: self.status.to_owned(),
            progress: self.progress,
            updated_at: self.updated_at,
        }
    }

    fn bind(self, statement: &mut Statement<'_>, first: usize) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(first, self.topic_id)?;
        statement.raw_bind_parameter(first + 1, self.status)?;
        statement.raw_bind_parameter(first + 2, self.progress)?;
        statement.raw_bind_parameter(first + 3, self.updated_at)
    }
}

/// What an application sends to another thread.
pub(crate) struct OwnedTopic {
    topic_id: i64,
    status: String,
    progress: i64,
    updated_at: i64,
}

impl Bind for OwnedTopic {
    fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(1, self.topic_id)?;
        statement.raw_bind_parameter(2, &self.status)?;
        statement.raw_bind_parameter(3, self.progress)?;
        statement.raw_bind_parameter(4, self.updated_at)
    }
}

/// Rows of a table, each with its own values, over and over.
pub(crate) struct Sample {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    stride: u64,
    workers: u64,
}

impl Sample {
    /// Reads the sample that the request names.
    pub(crate) fn read(request: &Request) -> Result<Self> {
        let Rows::Sample { database } = &request.rows else {
            return Err("the request has rows of its own".into());
        };
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let columns = &request.target.columns;
        let mut statement =
            connection.prepare(&format!("SELECT {} FROM sample", listed(columns)))?;
        let rows = statement
            .query_map([], |row| (0..columns.len()).map(|index| row.get(index)).collect())?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Err("the sample has no rows".into());
        }
        let (stride, workers) = (stride(rows.len() as u64), request.workers.total.max(1).into());
        Ok(Self { columns: columns.clone(), rows, stride, workers })
    }
}

/// All rows of a [`Sample`], from a place of the worker's own on.
///
/// Row `n` is the one at `start + n · stride`, where the stride is about 0.618 of the rows and has no divisor in common
/// with their number: neighbours in time are far apart in the table, also where one worker writes a whole batch.
pub(crate) struct SampleCursor {
    sample: &'static Sample,
    start: u64,
}

/// One row of a [`Sample`].
#[derive(Clone, Copy)]
pub(crate) struct SampleRow {
    columns: &'static [String],
    values: &'static [Value],
}

impl Source for Sample {
    type Row = SampleRow;
    type Cursor = SampleCursor;

    fn cursor(&'static self, worker: u32) -> SampleCursor {
        let start = u64::from(worker) * self.rows.len() as u64 / self.workers;
        SampleCursor { sample: self, start }
    }

    fn row(cursor: &mut SampleCursor, number: u64) -> SampleRow {
        let sample = cursor.sample;
        let rows = sample.rows.len() as u64;
        let place = (cursor.start + number % rows * sample.stride) % rows;
        SampleRow { columns: &sample.columns, values: &sample.rows[place as usize] }
    }
}

impl Row for SampleRow {
    type Owned = Vec<Value>;

    fn to_owned_row(self) -> Vec<Value> {
        self.values.to_vec()
    }

    fn bind(self, statement: &mut Statement<'_>, first: usize) -> rusqlite::Result<()> {
        (first..)
            .zip(self.values)
            .try_for_each(|(index, value)| statement.raw_bind_parameter(index, value))
    }
}

impl Bind for Vec<Value> {
    fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        (1..).zip(self).try_for_each(|(index, value)| statement.raw_bind_parameter(index, value))
    }
}

impl Serialize for SampleRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (column, value) in self.columns.iter().zip(self.values) {
            match value {
                Value::Null => map.serialize_entry(column, &())?,
                Value::Integer(number) => map.serialize_entry(column, number)?,
                Value::Real(number) => map.serialize_entry(column, number)?,
                Value::Text(text) => map.serialize_entry(column, text)?,
                Value::Blob(bytes) => map.serialize_entry(column, &Bytes(bytes))?,
            }
        }
        map.end()
    }
}

/// A BLOB, which serde takes for a sequence of numbers otherwise.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
