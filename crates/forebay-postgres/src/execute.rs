//! A statement that is a batch of its own: in one transaction with its entry in the books, or where it cannot run in one behind it.

use std::time::Duration;

use forebay::sql::{first_word, shortened};
use forebay::{Applied, Batch, Error, ErrorKind, Rejection, ValueRef};
use tokio_postgres::error::DbError;

use crate::apply::{Work, answer_within, begin};
use crate::books::Bookkeeping;
use crate::fault::{Failure, Fault, Stage, Verdict};

/// Statements that begin or end a transaction.
const CONTROL: [&str; 9] =
    ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"];

/// Statements that change the session, which the buffer needs as it was.
const SESSION: [&str; 6] = ["SET", "RESET", "DISCARD", "LISTEN", "LOAD", "DEALLOCATE"];

/// Ten years.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What the server says of a statement that cannot run in a transaction.
const NOT_IN_TRANSACTION: &str = "25001";

/// Runs the one statement that is the batch. True when the session is to be made anew.
pub(crate) async fn execute(
    work: &mut Work<'_>,
    batch: &Batch<'_>,
) -> Result<(Applied, bool), Failure> {
    let text = match batch.row(0).values().next() {
        Some(ValueRef::Text(sql)) => String::from_utf8_lossy(sql),
        _ => "".into(),
    };
    let word = first_word(&text);
    let done = match unfit(&word, &text) {
        Some(why) => refuse(work, batch, failed(&text, why)).await,
        None => within_transaction(work, batch, &text).await,
    };
    // Whatever it changed, the tables may not be what they were.
    work.session.forget();
    match done {
        Ok(applied) => Ok((applied, SESSION.contains(&word.as_str()))),
        Err(fault) => Err(work.undo(fault).await?.into()),
    }
}

/// Why a statement is not run at all.
fn unfit(word: &str, sql: &str) -> Option<&'static str> {
    let names = |stream: &str| sql.to_ascii_uppercase().contains(stream);
    match word {
        _ if CONTROL.contains(&word) => {
            Some("transactions are the writer's; use group() for rows that belong together")
        }
        "COPY" if names("STDIN") || names("STDOUT") => Some(
            "there is nobody to send its rows or to take them; use a producer, `forebay load`, or psql",
        ),
        _ => None,
    }
}

fn failed(sql: &str, why: &str) -> Error {
    Error::new(ErrorKind::Rejected, format!("`{}` failed: {why}", shortened(sql)))
}

async fn within_transaction(
    work: &mut Work<'_>,
    batch: &Batch<'_>,
    sql: &str,
) -> Result<Applied, Fault> {
    if let Some(applied) = begin(work, batch).await? {
        return Ok(applied);
    }
    let error = match run(work, sql).await {
        Ok(()) => {
            let applied = Applied { transactions: 1, ..Applied::default() };
            match work.commit(batch, applied).await {
                Err(Fault::Deferred(error)) => refused_late(sql, &error),
                committed => return committed,
            }
        }
        Err(Fault::Row(error)) if error.sqlstate() == Some(NOT_IN_TRANSACTION) => {
            work.roll_back().await?;
            return behind_entry(work, batch, sql).await;
        }
        Err(Fault::Row(error)) => error,
        Err(fault) => return Err(fault),
    };
    work.roll_back().await?;
    refuse(work, batch, error).await
}

/// The entry first, then the statement, which so runs once at the most.
async fn behind_entry(work: &mut Work<'_>, batch: &Batch<'_>, sql: &str) -> Result<Applied, Fault> {
    if batch.entry().is_some() && begin(work, batch).await?.is_none() {
        // If the answer is lost and it was entered all the same, the statement is not run any more.
        let lost = failed(sql, "the connection was lost before it ran");
        work.commit(batch, refused(lost)).await?;
    }
    match run(work, sql).await {
        Ok(()) => Ok(Applied { transactions: 1, ..Applied::default() }),
        Err(Fault::Row(error) | Fault::Deferred(error)) => Ok(kept(work, batch, error).await),
        // Where the server has said no it did not run, but the entry is made: it is not tried again.
        Err(Fault::Batch(failure)) if work.over.is_none() => {
            let error = failed(sql, "the server cannot run it now").because(failure.error);
            Ok(kept(work, batch, error).await)
        }
        Err(Fault::Batch(failure)) => Err(Failure::new(Verdict::Unknown, failure.error).into()),
    }
}

/// A refusal of what was entered already. Where it cannot be kept this process tells it all the same.
async fn kept(work: &mut Work<'_>, batch: &Batch<'_>, error: Error) -> Applied {
    let applied = refused(error);
    if Bookkeeping::keep(work, batch, &applied.rejected).await.is_err() {
        tracing::warn!("the dead letter of an execute is not kept in _forebay_rejected");
    }
    applied
}

/// What COMMIT refused.
fn refused_late(sql: &str, error: &Error) -> Error {
    let constraint = error.constraint().unwrap_or("a rule of the database");
    failed(sql, &format!("at COMMIT it violates {constraint}"))
        .with_constraint(constraint)
        .with_sqlstate(error.sqlstate().unwrap_or(""))
        .with_database_message(error.database_message().unwrap_or(""))
}

/// The extended protocol takes one statement only. It takes as long as it takes, as to make an index does; where the server is gone, the
/// connection's keepalives find that out.
async fn run(work: &mut Work<'_>, sql: &str) -> Result<(), Fault> {
    let client = work.session.client();
    let answer = async {
        let statement = client.prepare(sql).await?;
        match statement.params().len() {
            0 => client.execute(&statement, &[]).await.map(Some),
            _ => Ok(None),
        }
    };
    let answer = answer_within(NO_LIMIT, work.signals, answer).await;
    if matches!(answer, Ok(None)) {
        let why = "it has parameters, and there is nothing to bind to them; use statement()";
        return Err(Fault::Row(failed(sql, why)));
    }
    answer.map(drop).map_err(|trouble| match work.judge_at(&trouble, Stage::Execute, "execute") {
        Fault::Row(_) => {
            let what = trouble.database_error().map_or("", DbError::message).to_owned();
            let why = match trouble.sqlstate() {
                "42601" if what.contains("multiple commands") => {
                    "it is several statements; call execute() for each"
                }
                _ => &what,
            };
            let error = failed(sql, why).with_sqlstate(trouble.sqlstate());
            Fault::Row(error.with_database_message(what))
        }
        fault => fault,
    })
}

fn refused(error: Error) -> Applied {
    Applied { rejected: vec![Rejection { row: 0, error }], transactions: 1, ..Applied::default() }
}

/// A refusal is a decision too, and is entered as one.
async fn refuse(work: &mut Work<'_>, batch: &Batch<'_>, error: Error) -> Result<Applied, Fault> {
    let applied = refused(error);
    if batch.entry().is_none() {
        return Ok(applied);
    }
    if let Some(applied) = begin(work, batch).await? {
        return Ok(applied);
    }
    Bookkeeping::keep(work, batch, &applied.rejected).await?;
    work.commit(batch, applied).await
}
