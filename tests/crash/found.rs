//! What a database holds after its process was killed, held against what that process had noted.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::Connection;
use support::{Entry, EntryKind, Ledger, PARTS, Seen, Step};

/// What the kills of a course have hit.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    pub(crate) kills: u64,
    /// While the buffer was opened.
    pub(crate) opening: u64,
    /// While SQLite had a batch.
    pub(crate) applying: u64,
    /// In a checkpoint.
    pub(crate) tidying: u64,
    /// While the buffer was closed.
    pub(crate) closing: u64,
    /// Batches that SQLite had and that are not there.
    pub(crate) batches_lost: u64,
    /// Batches that SQLite had and that are there, though it could not say so any more.
    pub(crate) batches_kept: u64,
    /// Rows that are there and whose threads waited for them, but were not told.
    pub(crate) unheard: u64,
    /// Rows whose threads were told.
    pub(crate) acknowledged: u64,
}

/// What there is.
pub(crate) struct Found {
    pub(crate) seen: Seen,
    pub(crate) landed: HashSet<Entry>,
    batches_lost: u64,
    batches_kept: u64,
    unheard: u64,
    acknowledged: u64,
}

impl Hits {
    /// Counts a kill by the steps of the child, of which the last says where it was.
    pub(crate) fn count(&mut self, steps: &[Step]) {
        self.kills += 1;
        let last = |wanted: fn(&Step) -> bool| steps.iter().rev().find(|step| wanted(step));
        let writing = last(|step| !matches!(step, Step::Closing));
        self.opening += u64::from(matches!(writing, Some(Step::Opening)));
        self.applying += u64::from(matches!(writing, Some(Step::Applying(_))));
        self.tidying += u64::from(matches!(writing, Some(Step::Tidying)));
        self.closing += u64::from(matches!(steps.last(), Some(Step::Closing)));
    }

    pub(crate) fn count_found(&mut self, found: &Found) {
        self.batches_lost += found.batches_lost;
        self.batches_kept += found.batches_kept;
        self.unheard += found.unheard;
        self.acknowledged += found.acknowledged;
    }
}

/// Looks at everything in the database, and counts what is of `life` and later ones.
///
/// # Panics
///
/// When anything but a row that is lost or there twice is not as promised.
pub(crate) fn look(path: &Path, life: i64) -> Found {
    let acknowledged: HashSet<Entry> = Ledger::acknowledged(path).into_iter().collect();
    let steps = Ledger::steps(path);
    let promised = acknowledged.iter().filter(|entry| entry.kind() != EntryKind::Newest);
    let mut seen = Seen::in_table(path, promised.map(|entry| entry.0));
    let database = Connection::open(path).unwrap();
    let landed = landed(&database);
    seen.lost += check_newest(&newest(&database), &acknowledged, &landed);
    check_groups(&database, &landed);
    check_prefixes(&landed);
    let (batches_lost, batches_kept) = check_batches(&steps, &landed, life);
    let new = landed.iter().filter(|entry| entry.life() >= life);
    seen.rows = new.clone().count() as u64;
    let awaited = new.filter(|entry| entry.thread() < 8 && !is_afterwards(**entry));
    let unheard = awaited.filter(|entry| !acknowledged.contains(entry)).count() as u64;
    let acknowledged = acknowledged.iter().filter(|entry| entry.life() >= life).count() as u64;
    Found { seen, landed, batches_lost, batches_kept, unheard, acknowledged }
}

/// The row that is written when the database has been opened again: the last life that a child's number leaves room for.
pub(crate) fn afterwards(children: i64) -> Entry {
    Entry::new(1_000 * children + 999, 0, 0)
}

fn is_afterwards(entry: Entry) -> bool {
    entry.life() % 1_000 == 999
}

/// The rows of `landed`, each with the text that it was given.
fn landed(database: &Connection) -> HashSet<Entry> {
    let mut landed = database.prepare("SELECT id, text FROM landed").unwrap();
    let rows = landed.query_map([], |row| Ok((Entry(row.get(0)?), row.get::<_, String>(1)?)));
    rows.unwrap()
        .map(|row| {
            let (entry, text) = row.unwrap();
            assert_eq!(text, entry.text(), "the text of {entry:?}");
            entry
        })
        .collect()
}

/// The newest entry of each thread.
fn newest(database: &Connection) -> HashMap<i64, Entry> {
    let mut newest = database.prepare("SELECT thread, id FROM newest").unwrap();
    let rows = newest.query_map([], |row| Ok((row.get(0)?, Entry(row.get(1)?)))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// A row that coalesces may only be superseded by a newer one; and the rows of a thread are there in their order. Returns
/// how many were acknowledged and are not there.
fn check_newest(
    newest: &HashMap<i64, Entry>,
    acknowledged: &HashSet<Entry>,
    landed: &HashSet<Entry>,
) -> u64 {
    let before = |entry: Entry| {
        let n = (entry.n() + 2) / 4 * 4 - 3;
        (n > 0).then(|| Entry::new(entry.life(), entry.thread(), n))
    };
    for entry in landed.iter().copied().filter_map(before) {
        let newest = newest.get(&entry.thread());
        assert!(newest >= Some(&entry), "{entry:?} came before a row that is there: {newest:?}");
    }
    for entry in newest.values() {
        let before = Entry(entry.0 - 1);
        assert!(landed.contains(&before), "{before:?} came before {entry:?}, which is there");
    }
    let acknowledged = acknowledged.iter().filter(|entry| entry.kind() == EntryKind::Newest);
    acknowledged.filter(|entry| newest.get(&entry.thread()) < Some(entry)).count() as u64
}

/// A group is there whole or not at all.
fn check_groups(database: &Connection, landed: &HashSet<Entry>) {
    let mut parts = database
        .prepare("SELECT id, count(*), count(DISTINCT part) FROM parts GROUP BY id")
        .unwrap();
    let parts = parts.query_map([], |row| Ok((Entry(row.get(0)?), (row.get(1)?, row.get(2)?))));
    let parts: HashMap<Entry, (i64, i64)> = parts.unwrap().collect::<Result<_, _>>().unwrap();
    for (entry, counts) in &parts {
        assert_eq!(*counts, (PARTS, PARTS), "rows of the group {entry:?} in parts");
        assert!(landed.contains(entry), "the row of the group {entry:?} in landed");
    }
    let groups = landed.iter().filter(|entry| entry.kind() == EntryKind::Group).count();
    assert_eq!(groups, parts.len(), "groups in landed and in parts");
}

/// What is there of a thread's rows is what it handed over first.
fn check_prefixes(landed: &HashSet<Entry>) {
    let mut ends: HashMap<(i64, i64), i64> = HashMap::new();
    for entry in landed {
        let end = ends.entry((entry.life(), entry.thread())).or_default();
        *end = entry.n().max(*end);
    }
    for ((life, thread), end) in ends {
        let entries = (0..end).map(|n| Entry::new(life, thread, n));
        let absent = entries
            .filter(|entry| entry.kind() != EntryKind::Newest)
            .find(|entry| !landed.contains(entry));
        assert!(absent.is_none(), "{absent:?} is not there, and call {end} of that thread is");
    }
}

/// Each batch is there whole or not at all, and whole if SQLite has said so; nothing else is there. Returns how many of those
/// that SQLite has said nothing of are not there, and are.
fn check_batches(steps: &[Step], landed: &HashSet<Entry>, life: i64) -> (u64, u64) {
    let (mut lost, mut kept) = (0, 0);
    let mut applied = 0;
    let sink = steps.iter().filter(|step| !matches!(step, Step::Closing));
    let answers = sink.clone().skip(1).map(Some).chain([None]);
    for (step, answer) in sink.zip(answers) {
        let Step::Applying(entries) = step else { continue };
        let there = entries.iter().filter(|entry| landed.contains(entry)).count();
        let whole = there == entries.len();
        assert!(whole || there == 0, "of a batch of {} there are {there}", entries.len());
        if answer == Some(&Step::Applied) {
            assert!(whole, "a batch of {} that SQLite had committed", entries.len());
        } else if entries.first().is_some_and(|entry| entry.life() >= life) {
            kept += u64::from(whole);
            lost += u64::from(!whole);
        }
        applied += there;
    }
    let afterwards = landed.iter().filter(|entry| is_afterwards(**entry)).count();
    assert_eq!(applied + afterwards, landed.len(), "rows are there that were in no batch");
    (lost, kept)
}
