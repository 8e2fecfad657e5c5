//! What a thread was told of its rows, held against what the sink has seen of them.

use std::collections::{HashMap, HashSet};

use forebay::{ErrorKind, Result, Stats};
use forebay_schedules::{Log, Seen, assert_adds_up};

/// What the application knows of rows that were accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// They came without a receipt.
    Nothing,
    /// The receipt was dropped, perhaps before they were decided.
    Dropped,
    Committed,
    Not(ErrorKind),
}

/// A row, or a group.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) ids: Vec<i64>,
    pub(crate) told: Told,
}

impl Entry {
    pub(crate) fn new(ids: Vec<i64>, told: Told) -> Self {
        Self { ids, told }
    }

    /// Notes what a receipt says, and that it does not say so too early.
    pub(crate) fn tell(&mut self, told: Result<()>, log: &Log) {
        self.told = match told {
            Ok(()) => Told::Committed,
            Err(error) => Told::Not(error.kind()),
        };
        if self.told == Told::Committed {
            let committed = log.with(|seen| self.ids.iter().all(|id| seen.ids.contains(id)));
            assert!(committed, "{self:?} before the commit");
        }
    }

    fn check(&self, committed: bool, letter: Option<ErrorKind>) {
        use ErrorKind::{Rejected, Unknown, Unwritten};
        let fits = match (self.told, letter) {
            (Told::Committed, None) => committed,
            (Told::Not(Rejected | Unwritten), None) => !committed,
            (Told::Not(Unknown), None) => true,
            (Told::Nothing, None) => committed,
            // It was decided before it was dropped, or there is a letter.
            (Told::Dropped, None) => true,
            (Told::Nothing | Told::Dropped, Some(Rejected | Unwritten)) => !committed,
            (Told::Nothing | Told::Dropped, Some(Unknown)) => true,
            _ => false,
        };
        assert!(fits, "{self:?}: committed is {committed}, the dead letter {letter:?}");
    }
}

/// Checks that every row has had one fate, which is the one that the application knows.
pub(crate) fn check(accounts: &[Vec<Entry>], seen: &Seen) {
    let letters: HashMap<i64, ErrorKind> = seen.letters.iter().copied().collect();
    assert_eq!(letters.len(), seen.letters.len(), "one letter for a row: {:?}", seen.letters);
    let committed: HashSet<i64> = seen.ids.iter().copied().collect();
    assert_eq!(committed.len(), seen.ids.len(), "no row twice: {:?}", seen.ids);
    assert!(seen.cut.is_empty(), "groups are not cut: {:?}", seen.cut);
    for entry in accounts.iter().flatten() {
        for id in &entry.ids {
            let first = committed.contains(&entry.ids[0]);
            assert_eq!(committed.contains(id), first, "{entry:?} is all there or not at all");
            entry.check(committed.contains(id), letters.get(id).copied());
        }
    }
    let accepted: HashSet<i64> =
        accounts.iter().flatten().flat_map(|entry| &entry.ids).copied().collect();
    let known = seen.ids.iter().chain(&seen.refused).chain(letters.keys());
    for id in known {
        assert!(accepted.contains(id), "{id} was not accepted");
    }
    for account in accounts {
        let own: HashSet<i64> = account.iter().flat_map(|entry| &entry.ids).copied().collect();
        let order: Vec<i64> = seen.ids.iter().copied().filter(|id| own.contains(id)).collect();
        assert!(order.is_sorted(), "the rows of a thread are in its order: {order:?}");
    }
}

/// Checks that the counters are those of the sink's rows.
pub(crate) fn check_stats(accounts: &[Vec<Entry>], seen: &Seen, stats: &Stats) {
    let accepted: usize = accounts.iter().flatten().map(|entry| entry.ids.len()).sum();
    let (committed, refused) = (seen.ids.len() as u64, seen.refused.len() as u64);
    assert_adds_up(stats);
    assert_eq!(stats.accepted, accepted as u64, "{stats:?}");
    // Of a batch whose answer is not known nothing is counted.
    for (counted, happened) in [(stats.committed, committed), (stats.rejected, refused)] {
        assert!(counted <= happened && happened <= counted + stats.unknown, "{stats:?}");
    }
}
