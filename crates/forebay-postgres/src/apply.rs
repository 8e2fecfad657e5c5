//! One batch, one transaction.

use std::future::Future;
use std::time::Duration;

use forebay::{Applied, Batch, Entry, Error, Signals};
use tokio_postgres::{Client, Statement};

use crate::books::{self, BOOKS, Bookkeeping};
use crate::driver::{self, GivenUp, pipelined, within};
use crate::fault::{Failure, Fault, Stage, Trouble, Verdict, judge};
use crate::isolate::{self, Checks};
use crate::options::PostgresOptions;
use crate::run::{Call, Repeats, calls};
use crate::session::Session;

/// What the server says when `lock_timeout` is over.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What a batch is written with.
pub(crate) struct Work<'w> {
    pub(crate) session: &'w mut Session,
    pub(crate) books: &'w mut Bookkeeping,
    pub(crate) signals: &'w Signals,
    pub(crate) options: &'w PostgresOptions,
    /// Set when the session cannot be used any more.
    pub(crate) over: Option<Over>,
}

/// How a session came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Lost,
    /// The server may still be about its last statement.
    GivenUp,
}

/// Why a batch was not written.
pub(crate) enum Ended {
    Failed(Failure),
    /// A row of a merged batch is refused.
    Unmerge(Error),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

type Answer = Result<u64, tokio_postgres::Error>;
type Reply<'c> = driver::Call<'c, Answer>;

/// Writes a batch: all at once first, then, after any refusal, with savepoints.
pub(crate) async fn write(work: &mut Work<'_>, batch: &Batch<'_>) -> Result<Applied, Ended> {
    if let Some(applied) = Bookkeeping::found_out(work, batch).await? {
        return Ok(applied);
    }
    let fault = match write_all(work, batch).await {
        Ok(applied) => return Ok(applied),
        Err(fault) => fault,
    };
    // It may come of a table that has changed: what is known of it is of no use then.
    work.session.forget();
    match work.undo(fault).await? {
        Fault::Batch(failure) => Err(failure.into()),
        Fault::Row(error) | Fault::Deferred(error) if batch.is_merged() => {
            Err(Ended::Unmerge(error))
        }
        Fault::Row(_) => Ok(isolate::write(work, batch, Checks::AtOnce).await?),
        Fault::Deferred(_) => Ok(isolate::write(work, batch, Checks::AtCommit).await?),
    }
}

/// The whole batch in one transaction, with nothing that only a refused row needs.
async fn write_all(work: &mut Work<'_>, batch: &Batch<'_>) -> Result<Applied, Fault> {
    let calls = calls(work, batch, 0..batch.len(), Repeats::KeepNewest).await?;
    let entry = Bookkeeping::entry(work, batch).await?;
    let (entered, unchanged) = work.send_all(batch, entry, calls).await?;
    if !entered {
        return not_entered(work, batch).await;
    }
    work.commit(batch, Applied { unchanged, transactions: 1, ..Applied::default() }).await
}

/// Waits for an answer, as long as an answer may take.
pub(crate) async fn answer<T, E: Into<Trouble>>(
    options: &PostgresOptions,
    signals: &Signals,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    answer_within(options.reply_timeout, signals, call).await
}

/// Waits for an answer for so long, and while the buffer is patient.
pub(crate) async fn answer_within<T, E: Into<Trouble>>(
    limit: Duration,
    signals: &Signals,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match within(limit, signals, call).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(given_up) => Err(Trouble::GivenUp(given_up)),
    }
}

/// Begins a transaction with the batch's entry. `Some` when it was committed before: then the transaction is over, and this is the
/// answer.
pub(crate) async fn begin(
    work: &mut Work<'_>,
    batch: &Batch<'_>,
) -> Result<Option<Applied>, Fault> {
    let entry = Bookkeeping::entry(work, batch).await?;
    let (entered, _) = work.send_all(batch, entry, Vec::new()).await?;
    if entered { Ok(None) } else { not_entered(work, batch).await.map(Some) }
}

async fn not_entered(work: &mut Work<'_>, batch: &Batch<'_>) -> Result<Applied, Fault> {
    work.roll_back().await?;
    let entry = batch.entry().expect("only an entry can fail to be made");
    Bookkeeping::settle(work, &entry).await
}

fn run(client: &Client, call: Call) -> Reply<'_> {
    let Call { statement, params, .. } = call;
    Box::pin(async move { client.execute_raw(&statement, params).await })
}

async fn enter(client: &Client, statement: &Statement, entry: &Entry<'_>) -> Answer {
    let (start, end) = (entry.start.cast_signed(), entry.end.cast_signed());
    client.execute(statement, &[&entry.spool, &start, &end]).await
}

impl Work<'_> {
    /// Notes what an error means for the session, and tells what it means for the batch.
    pub(crate) fn judge_at(&mut self, trouble: &Trouble, stage: Stage, table: &str) -> Fault {
        if trouble.sqlstate() == LOCK_NOT_AVAILABLE {
            self.signals.count_wait();
            self.signals.add_wait_time(self.options.lock_timeout);
        }
        if trouble.is_given_up() {
            self.over = Some(Over::GivenUp);
        } else if trouble.ends_session() {
            self.over = Some(Over::Lost);
        }
        judge(trouble, stage, table)
    }

    pub(crate) fn judge(&mut self, trouble: &Trouble, table: &str) -> Fault {
        self.judge_at(trouble, Stage::Within, table)
    }

    fn judge_silence(&mut self, batch: &Batch<'_>, given_up: GivenUp) -> Fault {
        self.judge(&Trouble::GivenUp(given_up), batch.row(0).shape().target().table())
    }

    /// Waits for an answer, as long as an answer may take.
    pub(crate) async fn answer<T, E: Into<Trouble>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Trouble> {
        answer(self.options, self.signals, call).await
    }

    /// A statement that no row can make fail.
    pub(crate) async fn control(&mut self, sql: &str, table: &str) -> Result<(), Failure> {
        let answer = self.answer(self.session.client().batch_execute(sql)).await;
        answer.map_err(|trouble| self.judge(&trouble, table).into())
    }

    /// Sends all calls at once, in the transaction at hand. How many of their rows changed nothing.
    pub(crate) async fn send(&mut self, batch: &Batch<'_>, calls: Vec<Call>) -> Result<u64, Fault> {
        let places: Vec<(usize, u64)> = calls.iter().map(|call| (call.first, call.rows)).collect();
        let client = self.session.client();
        let calls = calls.into_iter().map(|call| run(client, call)).collect();
        let (limit, mut answers) = (self.options.reply_timeout, Vec::new());
        let sent = pipelined(limit, self.signals, calls, &mut answers).await;
        sent.map_err(|given_up| self.judge_silence(batch, given_up))?;
        self.unchanged(batch, &places, answers)
    }

    /// The same behind the beginning of the transaction and its entry. Also whether that was made.
    ///
    /// Were BEGIN refused, each statement behind it would be a transaction of its own. Only a cancel can do that, so none is sent for a
    /// session whose BEGIN has no answer; and what somebody else's has done is not known.
    async fn send_all(
        &mut self,
        batch: &Batch<'_>,
        entry: Option<Statement>,
        calls: Vec<Call>,
    ) -> Result<(bool, u64), Fault> {
        let places: Vec<(usize, u64)> = calls.iter().map(|call| (call.first, call.rows)).collect();
        let client = self.session.client();
        let begin = async { client.batch_execute("BEGIN").await.map(|()| 1) };
        let enter = async {
            match (entry, batch.entry()) {
                (Some(statement), Some(entry)) => enter(client, &statement, &entry).await,
                _ => Ok(1),
            }
        };
        let head: [Reply<'_>; 2] = [Box::pin(begin), Box::pin(enter)];
        let calls = calls.into_iter().map(|call| run(client, call));
        let calls = head.into_iter().chain(calls).collect();
        let (limit, mut answers) = (self.options.reply_timeout, Vec::new());
        let sent = pipelined(limit, self.signals, calls, &mut answers).await;
        if let Some(Ok(1)) = answers.get(1) {
            self.books.entered();
        }
        if let Err(given_up) = sent {
            let fault = self.judge_silence(batch, given_up);
            if answers.is_empty() {
                self.over = Some(Over::Lost);
            }
            return Err(fault);
        }
        let mut answers = answers.into_iter();
        if let Some(Err(error)) = answers.next() {
            let trouble = Trouble::from(error);
            let failure = Failure::from(books::unentered(self.judge(&trouble, BOOKS)));
            let verdict = match trouble.database_error() {
                Some(_) if self.over.is_none() => Verdict::Unknown,
                _ => failure.verdict,
            };
            return Err(Failure::new(verdict, failure.error).into());
        }
        match answers.next() {
            // What came behind it met the rows of an attempt that was committed.
            Some(Ok(0)) => return Ok((false, 0)),
            Some(Err(error)) => return Err(books::unentered(self.judge(&error.into(), BOOKS))),
            _ => {}
        }
        Ok((true, self.unchanged(batch, &places, answers)?))
    }

    /// The first error is the one that counts: those behind it come of it.
    fn unchanged(
        &mut self,
        batch: &Batch<'_>,
        places: &[(usize, u64)],
        answers: impl IntoIterator<Item = Answer>,
    ) -> Result<u64, Fault> {
        let mut unchanged = 0;
        for (answer, &(first, rows)) in answers.into_iter().zip(places) {
            match answer {
                Ok(changed) => unchanged += rows.saturating_sub(changed),
                Err(error) => {
                    let table = batch.row(first).shape().target().table();
                    return Err(self.judge(&error.into(), table));
                }
            }
        }
        Ok(unchanged)
    }

    /// Takes a transaction back, unless it went with its connection.
    pub(crate) async fn roll_back(&mut self) -> Result<(), Failure> {
        if self.over.is_some() {
            return Ok(());
        }
        self.control("ROLLBACK", BOOKS).await
    }

    /// Takes a transaction back after what went wrong in it. Where that fails too, with the connection, what fails a whole batch is still
    /// what must be told of it; only a row's fault cannot be looked for then.
    pub(crate) async fn undo(&mut self, fault: Fault) -> Result<Fault, Failure> {
        let undone = self.roll_back().await;
        if !matches!(fault, Fault::Batch(_)) {
            undone?;
        }
        Ok(fault)
    }

    /// Commits a batch of which this was decided. A COMMIT that is given up is not cancelled: where it waits for a standby a cancel would
    /// end the wait, and have rows committed that the standby does not have.
    pub(crate) async fn commit(
        &mut self,
        batch: &Batch<'_>,
        decided: Applied,
    ) -> Result<Applied, Fault> {
        let table = batch.row(0).shape().target().table();
        let answer = self.answer(self.session.client().batch_execute("COMMIT")).await;
        let Err(trouble) = answer else { return Ok(decided) };
        let fault = self.judge_at(&trouble, Stage::Commit, table);
        // Without an entry the batch is acknowledged to nobody, and nothing else keeps such sessions from gathering.
        if trouble.is_given_up() && batch.entry().is_some() {
            self.over = Some(Over::Lost);
        }
        if matches!(&fault, Fault::Batch(failure) if failure.verdict == Verdict::Unknown) {
            self.books.in_doubt(batch, decided);
        }
        Err(fault)
    }
}
