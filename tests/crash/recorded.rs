//! The sink of the child that is killed: SQLite's, with every step of it in the ledger before it is taken.

use std::sync::Arc;

use forebay::{
    Applied, Batch, Error, Signals, Sink, SinkError, SqliteSink, StatementInfo, TableInfo, ValueRef,
};
use support::{Entry, Ledger, Step};

/// SQLite, with a witness.
pub(crate) struct Recorded {
    pub(crate) sink: SqliteSink,
    pub(crate) ledger: Arc<Ledger>,
}

impl Recorded {
    fn note(&self, step: &Step) {
        self.ledger.step(step).unwrap();
    }
}

impl Sink for Recorded {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        self.sink.describe(table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo, Error> {
        self.sink.prepare(sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let landed = batch.rows().filter(|row| row.shape().target().table() == "landed");
        let entries = landed.filter_map(|row| match row.values().next() {
            Some(ValueRef::Integer(id)) => Some(Entry(id)),
            _ => None,
        });
        self.note(&Step::Applying(entries.collect()));
        let applied = self.sink.apply(batch);
        self.note(if applied.is_ok() { &Step::Applied } else { &Step::Failed });
        applied
    }

    fn is_untidy(&self) -> bool {
        self.sink.is_untidy()
    }

    fn tidy(&mut self) {
        if self.sink.is_untidy() {
            self.note(&Step::Tidying);
            self.sink.tidy();
            self.note(&Step::Tidied);
        }
    }

    fn attach(&mut self, signals: Arc<Signals>) {
        self.sink.attach(signals);
    }

    fn commits_on_caller(&self) -> bool {
        self.sink.commits_on_caller()
    }

    fn name(&self) -> String {
        self.sink.name()
    }
}
