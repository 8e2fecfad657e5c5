//! What became of rows that are written one in each transaction.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Report, Result, Written};

/// Counts the transactions and lock errors of all workers, where each row is a transaction.
#[derive(Debug, Default)]
pub struct Tally {
    transactions: AtomicU64,
    lock_errors: AtomicU64,
}

impl Tally {
    /// Counts a row, which is given up when the database was locked.
    ///
    /// # Errors
    ///
    /// The row's, when it was another one.
    pub fn count<E: Into<Error>>(
        &self,
        written: Result<(), E>,
        is_locked: impl FnOnce(&E) -> bool,
    ) -> Result<Written> {
        match written {
            Ok(()) => {
                self.transactions.fetch_add(1, Ordering::Relaxed);
                Ok(Written::Done)
            }
            Err(error) if is_locked(&error) => {
                self.lock_errors.fetch_add(1, Ordering::Relaxed);
                Ok(Written::GivenUp)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was counted so far.
    pub fn report(&self) -> Report {
        Report {
            transactions: Some(self.transactions.load(Ordering::Relaxed)),
            lock_errors: self.lock_errors.load(Ordering::Relaxed),
            ..Report::default()
        }
    }
}
