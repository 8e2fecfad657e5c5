//! The plain model: what a caller was told of each unit of rows in one life, and what follows for the database.

use std::collections::{BTreeMap, HashSet};

use support::Answer;

use crate::lives::THREADS;
use crate::protocol::{Counts, Fault, Reply, Request, Step, Unit};

/// Ids of rows, in the order in which they were written.
pub(crate) type Places = Vec<i64>;

/// What is known of the units of one life.
#[derive(Debug)]
pub(crate) struct Account {
    /// By their first ids.
    units: BTreeMap<i64, Known>,
    faults: Vec<Fault>,
    /// The counters, of a process that was closed.
    closed: Option<Counts>,
}

#[derive(Debug)]
struct Known {
    unit: Unit,
    thread: usize,
    has_receipt: bool,
    /// What the call said.
    accepted: Option<bool>,
    /// What the receipt said.
    told: Option<Answer>,
    /// What the dead letter said.
    letter: Option<Answer>,
    dropped: bool,
    /// A flush after it succeeded.
    flushed: bool,
}

/// What became of a row, of all that an answer can be.
fn fate(answer: Answer) -> Answer {
    use Answer::{Ok, Rejected, Unknown, Unwritten};
    assert!(
        matches!(answer, Ok | Rejected | Unknown | Unwritten),
        "no row can have met {answer:?}"
    );
    answer
}

fn is_there(answer: Answer) -> Option<bool> {
    (answer != Answer::Unknown).then_some(answer == Answer::Ok)
}

impl Account {
    pub(crate) fn new(requests: &[Request]) -> Self {
        let (mut units, mut faults) = (BTreeMap::new(), Vec::new());
        for request in requests {
            match request {
                Request::Do {
                    thread,
                    step: step @ (Step::Push(unit) | Step::Submit(unit) | Step::Write(unit)),
                } => {
                    let known = Known {
                        unit: unit.clone(),
                        thread: *thread,
                        has_receipt: !matches!(step, Step::Push(_)),
                        accepted: None,
                        told: None,
                        letter: None,
                        dropped: false,
                        flushed: false,
                    };
                    units.insert(unit.ids[0], known);
                }
                Request::Inject(fault) => faults.push(*fault),
                _ => {}
            }
        }
        Self { units, faults, closed: None }
    }

    /// Whether the child may have ended itself.
    pub(crate) fn may_abort(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Fault::AbortBefore | Fault::AbortAfter))
    }

    pub(crate) fn note(&mut self, reply: Reply) {
        match reply {
            Reply::Accepted(id) => self.at(id).accepted = Some(true),
            Reply::Refused(id) => self.at(id).accepted = Some(false),
            Reply::Told(id, answer) => {
                let before = self.at(id).told.replace(fate(answer));
                assert_eq!(before, None, "a receipt says it once");
            }
            Reply::Dropped(id) => self.at(id).dropped = true,
            Reply::Flushed { thread } => {
                let own = self.units.values_mut().filter(|known| known.thread == thread);
                own.filter(|known| known.accepted == Some(true))
                    .for_each(|known| known.flushed = true);
            }
            Reply::Letter { id, answer } => {
                let known = self.units.values_mut().find(|known| known.unit.ids.contains(&id));
                let known = known.expect("a letter is about a row");
                let before = known.letter.replace(fate(answer));
                let group = known.unit.ids.len() > 1;
                assert!(
                    before.is_none() || group && before == Some(answer),
                    "two letters: {known:?}"
                );
            }
            Reply::Closed(counts) => self.closed = Some(counts),
            Reply::Done => {}
        }
    }

    fn at(&mut self, id: i64) -> &mut Known {
        self.units.get_mut(&id).expect("it was asked for")
    }

    /// Whether rows may be lost, and only a receipt that nobody has asked would tell of it.
    fn may_lose(&self) -> bool {
        use Fault::{Fatal, PanicAfter, PanicBefore, UnknownAfter, UnknownBefore};
        let loses = [Fatal, PanicAfter, PanicBefore, UnknownAfter, UnknownBefore];
        let out_of_time =
            self.closed.as_ref().is_some_and(|counts| counts.unwritten + counts.unknown > 0);
        out_of_time || self.faults.iter().any(|fault| loses.contains(fault))
    }

    /// Checks all that follows for the rows that this life has written.
    pub(crate) fn check(&self, written: &Places) {
        let there: HashSet<i64> = written.iter().copied().collect();
        assert_eq!(there.len(), written.len(), "no row twice: {written:?}");
        for known in self.units.values() {
            let present = known.unit.ids.iter().filter(|id| there.contains(id)).count();
            assert!([0, known.unit.ids.len()].contains(&present), "all or none: {known:?}");
            if let Some(expected) = self.expect(known) {
                assert_eq!(present > 0, expected, "{known:?}");
            }
        }
        for thread in 0..THREADS {
            self.check_order(thread, written, &there);
        }
        if let Some(counts) = &self.closed {
            self.check_counts(counts, written.len() as u64);
        }
    }

    /// Whether a unit must be there; `None` where nobody can know.
    fn expect(&self, known: &Known) -> Option<bool> {
        assert!(known.told.is_none() || known.letter.is_none(), "told twice: {known:?}");
        let answer = known.told.or(known.letter);
        if answer == Some(Answer::Rejected) {
            assert!(known.unit.bad, "rejected for no reason: {known:?}");
        }
        if known.accepted == Some(false) || known.unit.bad {
            assert_ne!(answer, Some(Answer::Ok), "{known:?}");
            return Some(false);
        }
        if let Some(answer) = answer {
            return is_there(answer);
        }
        let is_decided = known.flushed || self.closed.is_some();
        let silent = known.has_receipt && self.may_lose();
        (known.accepted == Some(true) && is_decided && !silent).then_some(true)
    }

    /// The rows of a thread are there in its order, and none is missing before one that is there, unless it was said.
    fn check_order(&self, thread: usize, written: &Places, there: &HashSet<i64>) {
        let is_own = |id: &&i64| {
            let unit = self.units.range(..=**id).next_back();
            unit.is_some_and(|(_, known)| known.thread == thread)
        };
        let order: Vec<_> = written.iter().filter(is_own).collect();
        assert!(order.is_sorted(), "the rows of thread {thread} are in its order: {order:?}");
        let Some(&&last) = order.last() else { return };
        for (_, known) in self.units.range(..last).filter(|(_, known)| known.thread == thread) {
            let said = known.told.or(known.letter).is_some_and(|answer| answer != Answer::Ok);
            let silent = known.has_receipt && self.may_lose();
            let excused = known.accepted == Some(false) || known.unit.bad || said || silent;
            assert!(
                excused || there.contains(&known.unit.ids[0]),
                "{last} is there without {known:?}"
            );
        }
    }

    fn check_counts(&self, counts: &Counts, written: u64) {
        let decided = counts.committed + counts.rejected + counts.unknown + counts.unwritten;
        assert_eq!((counts.accepted, counts.pending), (decided, 0), "{counts:?}");
        let accepted = self.units.values().filter(|known| known.accepted == Some(true));
        let accepted: usize = accepted.map(|known| known.unit.ids.len()).sum();
        assert_eq!(counts.accepted, accepted as u64, "{counts:?}");
        let possible = counts.committed..=counts.committed + counts.unknown;
        assert!(possible.contains(&written), "{written} rows are there: {counts:?}");
        for known in self.units.values().filter(|known| known.accepted == Some(true)) {
            let decided =
                known.told.or(known.letter).is_some() || !known.has_receipt || known.dropped;
            assert!(decided, "nothing was told of {known:?}");
        }
    }
}
