//! SQLite's sink, with something of a test's around some of its calls.

use std::sync::Arc;

use forebay::{
    Applied, Batch, Books, Error, Signals, Sink, SinkError, SqliteSink, StatementInfo, TableInfo,
};

/// What a test puts around the calls of [`SqliteSink`]: each makes the call, unless told otherwise.
pub trait Around: Send {
    /// Around [`Sink::describe`].
    ///
    /// # Errors
    ///
    /// The sink's, or one that is put in its place.
    fn describe(&mut self, sink: &mut SqliteSink, table: &str) -> Result<TableInfo, Error> {
        sink.describe(table)
    }

    /// Around [`Sink::apply`].
    ///
    /// # Errors
    ///
    /// The sink's, or one that is put in its place.
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        sink.apply(batch)
    }

    /// Around [`Sink::tidy`].
    fn tidy(&mut self, sink: &mut SqliteSink) {
        sink.tidy();
    }

    /// Around [`Sink::commits_on_caller`].
    fn commits_on_caller(&self, sink: &SqliteSink) -> bool {
        sink.commits_on_caller()
    }

    /// Around [`Sink::books_name`].
    fn books_name(&self, sink: &SqliteSink) -> Option<String> {
        sink.books_name()
    }

    /// Around [`Sink::takes_nul`].
    fn takes_nul(&self, sink: &SqliteSink) -> bool {
        sink.takes_nul()
    }

    /// Around [`Sink::name`].
    fn name(&self, sink: &SqliteSink) -> String {
        sink.name()
    }
}

/// The sink with that around it. Nothing of the sink's is left out.
pub struct Surrounded<A> {
    sink: SqliteSink,
    around: A,
}

impl<A: Around> Surrounded<A> {
    /// Puts it around.
    pub fn new(sink: SqliteSink, around: A) -> Self {
        Self { sink, around }
    }
}

impl<A: Around> Sink for Surrounded<A> {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        self.around.describe(&mut self.sink, table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo, Error> {
        self.sink.prepare(sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.around.apply(&mut self.sink, batch)
    }

    fn books(&mut self, spool: &str) -> Result<Option<Books>, Error> {
        self.sink.books(spool)
    }

    fn open_books(&mut self, spool: &str, applied: u64) -> Result<(), Error> {
        self.sink.open_books(spool, applied)
    }

    fn is_untidy(&self) -> bool {
        self.sink.is_untidy()
    }

    fn tidy(&mut self) {
        self.around.tidy(&mut self.sink);
    }

    fn attach(&mut self, signals: Arc<Signals>) {
        self.sink.attach(signals);
    }

    fn commits_on_caller(&self) -> bool {
        self.around.commits_on_caller(&self.sink)
    }

    fn books_name(&self) -> Option<String> {
        self.around.books_name(&self.sink)
    }

    fn takes_nul(&self) -> bool {
        self.around.takes_nul(&self.sink)
    }

    fn name(&self) -> String {
        self.around.name(&self.sink)
    }
}
