//! A sink that does what the test says, when the test says it.

use std::collections::VecDeque;
use std::sync::Arc;

use forebay::{
    Applied, Batch, ColumnType, Error, Operation, Sink, SinkError, StatementInfo, TableInfo, Value,
};
use parking_lot::{Condvar, Mutex};

/// What the sink does with a batch.
type Answer = Box<dyn FnOnce(&Batch<'_>) -> Result<Applied, SinkError> + Send>;

/// The test's side of a gated sink. Clones share the gate.
///
/// A batch waits at the gate until the test lets it through; a gate that is open lets all through. The
/// tables `topics(id, status, at)` and `audit(what)` are there, with a unique index on `topics.id`.
#[derive(Clone, Default)]
pub struct Gate {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    passes: usize,
    waiting: usize,
    calls: Vec<Call>,
    answers: VecDeque<Answer>,
    on_caller: bool,
    dropped: bool,
    tables: Vec<TableInfo>,
}

/// One call of `apply`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The rows, in the batch's order.
    pub rows: Vec<Written>,
    /// The lengths of its units.
    pub units: Vec<usize>,
    /// The name of the thread that made it.
    pub thread: String,
    /// Whether the sink accepted it.
    pub accepted: bool,
}

/// A row as the sink saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The table, or the start of the statement.
    pub table: String,
    /// The columns, empty for a statement.
    pub columns: Vec<String>,
    /// The values, in the columns' order.
    pub values: Vec<Value>,
}

impl Written {
    /// The first value, as the integer that it is.
    pub fn id(&self) -> i64 {
        match self.values.first() {
            Some(Value::Integer(id)) => *id,
            other => panic!("the first value is {other:?}, not an integer"),
        }
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        let gate = Self::default();
        gate.shared.state.lock().tables = vec![
            TableInfo::new("topics")
                .typed_column("id", ColumnType::Number)
                .typed_column("status", ColumnType::Text)
                .typed_column("at", ColumnType::Number)
                .unique(["id"]),
            TableInfo::new("audit").column("what"),
        ];
        gate
    }

    /// An open gate.
    pub fn open() -> Self {
        let gate = Self::closed();
        gate.open_up();
        gate
    }

    /// The sink behind this gate.
    pub fn sink(&self) -> impl Sink + use<> {
        GatedSink { shared: Arc::clone(&self.shared) }
    }

    /// Allows the waiting thread to commit itself.
    #[must_use]
    pub fn commits_on_caller(self) -> Self {
        self.shared.state.lock().on_caller = true;
        self
    }

    /// Lets everything through from now on.
    pub fn open_up(&self) {
        self.shared.state.lock().open = true;
        self.shared.changed.notify_all();
    }

    /// Lets `count` batches through.
    pub fn pass(&self, count: usize) {
        self.shared.state.lock().passes += count;
        self.shared.changed.notify_all();
    }

    /// Blocks until a batch waits at the gate.
    pub fn await_arrival(&self) {
        let mut state = self.shared.state.lock();
        while state.waiting == 0 {
            self.shared.changed.wait(&mut state);
        }
    }

    /// Blocks until `count` batches have been through.
    pub fn await_calls(&self, count: usize) {
        let mut state = self.shared.state.lock();
        while state.calls.len() < count {
            self.shared.changed.wait(&mut state);
        }
    }

    /// Blocks until the buffer has let go of the sink.
    pub fn await_drop(&self) {
        let mut state = self.shared.state.lock();
        while !state.dropped {
            self.shared.changed.wait(&mut state);
        }
    }

    /// What the sink does with the next batch that has no answer yet, instead of accepting it.
    pub fn answer(
        &self,
        answer: impl FnOnce(&Batch<'_>) -> Result<Applied, SinkError> + Send + 'static,
    ) {
        self.shared.state.lock().answers.push_back(Box::new(answer));
    }

    /// The same error for the next `count` batches.
    pub fn fail(&self, count: usize, error: &SinkError) {
        for _ in 0..count {
            let error = error.clone();
            self.answer(move |_| Err(error));
        }
    }

    /// Everything the sink was given, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state.lock().calls.clone()
    }

    /// The rows that the sink accepted, in order.
    pub fn written(&self) -> Vec<Written> {
        self.calls().into_iter().filter(|call| call.accepted).flat_map(|call| call.rows).collect()
    }

    /// The first values of the rows that the sink accepted, batch by batch.
    pub fn ids(&self) -> Vec<Vec<i64>> {
        let accepted = self.calls().into_iter().filter(|call| call.accepted);
        accepted.map(|call| call.rows.iter().map(Written::id).collect()).collect()
    }

    /// Whether the buffer has let go of the sink.
    pub fn is_dropped(&self) -> bool {
        self.shared.state.lock().dropped
    }

    /// Changes what the sink says of a table, or adds one.
    pub fn set_table(&self, info: TableInfo) {
        self.shared.state.lock().tables.insert(0, info);
    }
}

struct GatedSink {
    shared: Arc<Shared>,
}

impl Sink for GatedSink {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        let probe = TableInfo::new(table);
        let state = self.shared.state.lock();
        let found = state.tables.iter().find(|info| info.name() == probe.name()).cloned();
        found.ok_or_else(|| {
            Error::new(forebay::ErrorKind::Schema, format!("there is no table {table}"))
        })
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo, Error> {
        let parameters = sql.split([' ', ',', '(', ')']).filter_map(|word| word.strip_prefix(':'));
        Ok(StatementInfo { parameters: parameters.map(|name| Some(name.to_owned())).collect() })
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let mut state = self.shared.state.lock();
        state.waiting += 1;
        self.shared.changed.notify_all();
        while !state.open && state.passes == 0 {
            self.shared.changed.wait(&mut state);
        }
        state.waiting -= 1;
        state.passes = state.passes.saturating_sub(1);
        let answer = state.answers.pop_front();
        let commits_on_caller = state.on_caller;
        drop(state);

        let applied = match answer {
            Some(answer) => answer(batch),
            None => Ok(Applied { transactions: 1, ..Applied::default() }),
        };
        let rows = batch.rows().map(|row| {
            let shape = row.shape();
            assert!(
                commits_on_caller
                    || !matches!(shape.target().operation(), Operation::Execute)
                    || batch.len() == 1
            );
            Written {
                table: shape.target().table().to_owned(),
                columns: shape.columns().to_vec(),
                values: row.values().map(forebay::ValueRef::to_value).collect(),
            }
        });
        let call = Call {
            rows: rows.collect(),
            units: batch.units().map(|unit| unit.len()).collect(),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            accepted: applied.is_ok(),
        };
        self.shared.state.lock().calls.push(call);
        self.shared.changed.notify_all();
        applied
    }

    fn commits_on_caller(&self) -> bool {
        self.shared.state.lock().on_caller
    }

    fn name(&self) -> String {
        "gate".to_owned()
    }
}

impl Drop for GatedSink {
    fn drop(&mut self) {
        self.shared.state.lock().dropped = true;
        self.shared.changed.notify_all();
    }
}
