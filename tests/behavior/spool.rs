//! With a spool the rows that a buffer accepted and could not write stay, and the next one that opens the spool writes them.

mod failing;
mod pressure;
mod refusals;
mod replay;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use forebay::spool::{SegmentState, inspect};
use forebay::{
    Applied, Batch, Builder, Config, Error, ErrorKind, Producer, Sink, SinkError, SqliteSink,
    Stats, WriteBuffer,
};
use rusqlite::Connection;
use serde::Serialize;
use support::{Around, Scratch, Surrounded, adds_up, spool_of, spooling};

use crate::fork::in_a_child;

/// What the table takes no row of.
const BAD: i64 = -13;

/// Longer than anything here takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Row {
    id: i64,
}

/// A database with the table `t(id)`, and the folder of its spool beside it.
struct Place {
    scratch: Scratch,
}

impl Place {
    fn new() -> Self {
        Self::with("")
    }

    /// With more in the database.
    fn with(schema: &str) -> Self {
        let table = "CREATE TABLE t(id INTEGER NOT NULL CHECK (id >= 0)) STRICT;";
        Self { scratch: Scratch::new(&format!("{table}{schema}")) }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path()
    }

    fn folder(&self) -> PathBuf {
        spool_of(&self.path())
    }

    /// Segments of 48 KiB, 32 of them at the most.
    fn config(&self) -> Config {
        spooling(&self.path(), 96 * 1024, 16)
    }

    fn builder(&self) -> Builder {
        WriteBuffer::builder(self.path()).config(self.config())
    }

    fn open(&self) -> WriteBuffer {
        self.builder().open().unwrap()
    }

    /// Why it does not open, in one line.
    fn refusal(&self, kind: ErrorKind) -> String {
        let error = self.builder().open().map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        format!("{error:#}")
    }

    /// Keeps the buffer from writing.
    fn lock(&self) -> Connection {
        let connection = self.scratch.connection();
        connection.busy_timeout(LONG).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    /// Leaves these rows in the spool.
    fn leave(&self, ids: impl IntoIterator<Item = i64>) {
        let buffer = self.open();
        let rows = rows_of(&buffer);
        self.left_by(&buffer, || ids.into_iter().for_each(|id| rows.push(&Row { id }).unwrap()));
    }

    /// Closes a buffer that has no time to write what is pushed.
    fn left_by(&self, buffer: &WriteBuffer, push: impl FnOnce()) {
        buffer.flush().unwrap();
        let lock = self.lock();
        push();
        let report = buffer.close_within(Duration::ZERO).unwrap();
        assert!(report.leftovers.is_empty(), "what is in the spool is not handed back");
        assert!(adds_up(&report.stats), "{:?}", report.stats);
        drop(lock);
    }

    /// Opens the spool with no producer registered, and closes it when all that was left is decided.
    fn drain(&self) -> Stats {
        let buffer = self.open();
        buffer.flush().unwrap();
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        self.is_empty();
        stats
    }

    /// After a clean close only these are there.
    fn is_empty(&self) {
        assert_eq!(names(&self.folder()), ["lock", "spool.json"]);
    }

    fn ids(&self) -> Vec<i64> {
        self.scratch.column("SELECT id FROM t ORDER BY rowid")
    }
}

fn rows_of(buffer: &WriteBuffer) -> Producer {
    buffer.table("t").insert().producer().unwrap()
}

fn all(ids: impl IntoIterator<Item = i64>) -> Vec<i64> {
    ids.into_iter().collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Every file of a folder, with a digest of what is in it.
fn contents(folder: &Path) -> Vec<(String, u64)> {
    let digest = |name: &String| {
        let mut hasher = DefaultHasher::new();
        fs::read(folder.join(name)).unwrap().hash(&mut hasher);
        hasher.finish()
    };
    names(folder).into_iter().map(|name| (name.clone(), digest(&name))).collect()
}

/// Copies the files of a folder, as a backup does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Fails unless something becomes true before long.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn rows_that_there_is_no_time_for_stay_in_the_spool_and_the_next_opening_writes_them_once() {
    let place = Place::new();
    let buffer = place.builder().on_reject(|letter| panic!("{letter:?}")).open().unwrap();
    let rows = rows_of(&buffer);
    (0..5).for_each(|id| rows.push(&Row { id }).unwrap());
    let mut receipts = Vec::new();
    place.left_by(&buffer, || {
        (5..100).for_each(|id| rows.push(&Row { id }).unwrap());
        receipts.push(rows.submit(&Row { id: 100 }).unwrap());
        let group = |ids: [i64; 2]| {
            buffer.group(|group| ids.into_iter().try_for_each(|id| group.add(&rows, &Row { id })))
        };
        receipts.push(group([101, 102]).unwrap());
        // Nobody looks at this one.
        drop(group([103, 104]).unwrap());
    });
    for receipt in receipts {
        let error = receipt.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spooled);
        let text = error.to_string();
        assert!(text.contains(&*place.folder().to_string_lossy()), "{text}");
        assert!(
            text.contains("is written when that is opened again; do not write it anew"),
            "{text}"
        );
    }
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.spooled, stats.unwritten, stats.pending), (5, 100, 0, 0));
    for _ in 0..2 {
        let error = buffer.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spooled);
        let text = error.to_string();
        assert!(text.contains("left 100 rows in the spool"), "{text}");
        assert!(text.contains("not lost: they are written when that is opened again"), "{text}");
    }
    assert_eq!(place.ids(), all(0..5));
    let inspection = inspect(place.folder()).unwrap();
    assert!(!inspection.is_closed && !inspection.in_use && inspection.refusal.is_none());

    let stats = place.drain();
    assert_eq!(place.ids(), all(0..105));
    assert_eq!((stats.accepted, stats.replayed, stats.committed), (100, 100, 100));
    assert_eq!(place.drain().accepted, 0, "once");
    assert_eq!(place.ids(), all(0..105));
}

#[test]
fn a_drop_of_the_last_handle_leaves_the_rows_in_the_spool_too() {
    let place = Place::new();
    let config = Config { close_timeout: Duration::ZERO, ..place.config() };
    let buffer = WriteBuffer::builder(place.path()).config(config).open().unwrap();
    let rows = rows_of(&buffer);
    let lock = place.lock();
    (0..10).for_each(|id| rows.push(&Row { id }).unwrap());
    drop(buffer);
    rows.push(&Row { id: 10 }).unwrap();
    drop(rows);
    drop(lock);
    assert_eq!(place.drain().replayed, 11);
    assert_eq!(place.ids(), all(0..11));
}

#[test]
fn a_spool_can_be_opened_again_as_soon_as_it_is_closed() {
    let place = Place::new();
    for id in 0..30 {
        let buffer = place.open();
        let other = place.refusal(ErrorKind::Spool);
        assert!(other.contains("or by another buffer of this one"), "{other}");
        rows_of(&buffer).push(&Row { id }).unwrap();
        buffer.close().unwrap();
        buffer.close().unwrap();
        place.is_empty();
    }
    assert_eq!(place.ids(), all(0..30));
}

#[test]
fn lives_that_all_end_too_soon_leave_every_row_to_the_one_that_does_not() {
    let place = Place::new();
    for life in 0..8 {
        let buffer = place.builder().open();
        let buffer = buffer.unwrap();
        let rows = rows_of(&buffer);
        // Nobody waits for what was left: some of it is written, some is not.
        let lock = place.lock();
        (0..50).for_each(|n| rows.push(&Row { id: 100 + life * 50 + n }).unwrap());
        let report = buffer.close_within(Duration::ZERO).unwrap();
        assert!(adds_up(&report.stats), "{:?}", report.stats);
        assert!(report.stats.spooled >= 50, "{:?}", report.stats);
        drop(lock);
    }
    place.drain();
    assert_eq!(place.ids(), all(100..500));
}

#[test]
fn whoever_waits_is_told_with_a_spool_as_without_one() {
    let place = Place::with("CREATE TABLE u(id)");
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 0 }).unwrap();
    let receipt = rows.submit(&Row { id: 1 }).unwrap();
    receipt.wait().unwrap();
    assert_eq!(rows.write(&Row { id: BAD }).unwrap_err().kind(), ErrorKind::Rejected);
    let receipts: Vec<_> = (2..50).map(|id| rows.submit(&Row { id })).collect();
    rows.push(&Row { id: 50 }).unwrap();
    buffer.flush().unwrap();
    assert!(receipts.into_iter().all(|receipt| receipt.unwrap().decided().unwrap().is_ok()));
    let group = buffer.group(|group| {
        group.add(&rows, &Row { id: 51 })?;
        group.add(&rows, &Row { id: BAD })
    });
    assert_eq!(group.unwrap().wait().unwrap_err().kind(), ErrorKind::Rejected);
    buffer.execute("INSERT INTO u VALUES ('executed')").unwrap();
    let readers = buffer.readers().unwrap();
    let count = readers.get().unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    assert_eq!(count, Ok(51));
    let stats = buffer.stats();
    assert!(stats.commits_on_caller > 0, "{stats:?}");
    assert_eq!((stats.rejected, stats.spooled, stats.pending), (3, 0, 0));
    buffer.close().unwrap();
    assert!(adds_up(&buffer.stats()), "{:?}", buffer.stats());
    assert_eq!(place.ids(), all(0..=50));
    assert_eq!(place.scratch.value::<String>("SELECT id FROM u", []), "executed");
    place.is_empty();
    assert_eq!(place.scratch.value::<i64>("SELECT count(*) FROM _forebay_rejected", []), 0);
}

#[test]
fn two_buffers_with_a_spool_each_share_a_database() {
    let place = Place::new();
    let spools = ["one", "two"].map(|name| place.path().with_file_name(name));
    let open = |spool: &PathBuf| {
        let config = Config { spool: Some(spool.clone()), ..place.config() };
        WriteBuffer::builder(place.path()).config(config).open().unwrap()
    };
    let buffers = spools.each_ref().map(open);
    let producers = buffers.each_ref().map(rows_of);
    let lock = place.lock();
    for id in 0..200 {
        producers[id as usize % 2].push(&Row { id }).unwrap();
    }
    for buffer in &buffers {
        assert_eq!(buffer.close_within(Duration::ZERO).unwrap().stats.spooled, 100);
    }
    drop(lock);
    let again = spools.each_ref().map(open);
    again.iter().for_each(|buffer| buffer.close().unwrap());
    let of = |which| place.ids().into_iter().filter(|id| id % 2 == which).collect::<Vec<_>>();
    assert_eq!([of(0), of(1)], [0, 1].map(|which| all((which..200).step_by(2))));
}

#[test]
fn a_push_in_a_forked_child_is_refused_and_leaves_the_parents_spool_alone() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    // Its rows would have a shape that there was none of yet, which the parent would find in its spool.
    let deletes = buffer.statement("DELETE FROM t WHERE id = :id").unwrap();
    let lock = place.lock();
    (0..5).for_each(|id| rows.push(&Row { id }).unwrap());
    eventually("the writer has them", || buffer.stats().triggers.linger > 0);
    (5..10).for_each(|id| rows.push(&Row { id }).unwrap());
    let before = contents(&place.folder());
    let mut handles = Some((buffer, rows));
    in_a_child(|| {
        let (buffer, rows) = handles.take().unwrap();
        let is_forked = |result: Result<(), Error>| {
            result.is_err_and(|error| error.kind() == ErrorKind::Forked)
        };
        let told = [
            is_forked(rows.push(&Row { id: 20 })),
            is_forked(rows.try_push(&Row { id: 20 })),
            is_forked(rows.push_timeout(&Row { id: 20 }, Duration::ZERO)),
            is_forked(rows.submit(&Row { id: 20 }).map(drop)),
            is_forked(buffer.group(|group| group.add(&rows, &Row { id: 20 })).map(drop)),
            is_forked(deletes.push(&Row { id: 1 })),
            is_forked(deletes.try_push(&Row { id: 1 })),
            is_forked(buffer.execute("DELETE FROM t")),
            is_forked(buffer.flush()),
            is_forked(buffer.close()),
        ];
        drop((buffer, rows));
        told == [true; 10]
    });
    assert_eq!(contents(&place.folder()), before);
    let (buffer, rows) = handles.take().unwrap();
    rows.push(&Row { id: 10 }).unwrap();
    drop(lock);
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..11));
    place.is_empty();
}

#[test]
fn a_spool_is_let_go_of_though_a_forked_child_lives_on() {
    let place = Place::new();
    let buffer = place.open();
    let (end, mut ended) = std::io::pipe().map(|(ended, end)| (end, ended)).unwrap();
    let child = match fork::fork().unwrap() {
        fork::Fork::Child => {
            drop(end);
            // Until the parent has come to its end, or let go.
            let _ = ended.read(&mut [0]);
            std::process::exit(0);
        }
        fork::Fork::Parent(child) => child,
    };
    buffer.close().unwrap();
    let again = place.builder().open().map(drop);
    drop((end, ended));
    assert_eq!(fork::waitpid(child).unwrap(), 0);
    again.unwrap();
}

/// A sink whose commits return when the test says so.
struct Stuck {
    committed: Sender<()>,
    go_on: Receiver<()>,
    commits_on_caller: bool,
}

impl Around for Stuck {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let applied = sink.apply(batch);
        let _ = self.committed.send(());
        let _ = self.go_on.recv();
        applied
    }

    fn commits_on_caller(&self, _: &SqliteSink) -> bool {
        self.commits_on_caller
    }
}

#[test]
fn a_commit_that_does_not_return_in_time_is_found_out_by_the_next_opening() {
    let place = Place::new();
    let (committed, is_committed) = channel();
    let (let_go, go_on) = channel();
    let config = place.config();
    let sink = SqliteSink::open(place.path(), &config).unwrap();
    let sink = Surrounded::new(sink, Stuck { committed, go_on, commits_on_caller: false });
    let buffer = WriteBuffer::with_sink(sink, config).unwrap();
    let rows = rows_of(&buffer);
    let receipt = rows.submit(&Row { id: 0 }).unwrap();
    is_committed.recv_timeout(LONG).expect("a commit");
    rows.push(&Row { id: 1 }).unwrap();
    let report = buffer.close_within(Duration::ZERO).unwrap();
    assert_eq!(report.stats.spooled, 2);
    assert!(report.leftovers.is_empty());
    assert_eq!(receipt.wait().unwrap_err().kind(), ErrorKind::Spooled);
    let refusal = place.refusal(ErrorKind::Spool);
    assert!(refusal.contains("in use"), "it may still commit: {refusal}");
    drop(let_go);
    eventually("it has come back", || {
        place.builder().open().is_ok_and(|again| again.close().is_ok())
    });
    assert_eq!(place.ids(), [0, 1]);
    place.is_empty();
}

#[test]
fn a_spool_is_not_let_go_of_while_a_waiting_thread_may_still_commit() {
    let place = Place::new();
    let (committed, is_committed) = channel();
    let (let_go, go_on) = channel();
    let config = place.config();
    let sink = SqliteSink::open(place.path(), &config).unwrap();
    let sink = Surrounded::new(sink, Stuck { committed, go_on, commits_on_caller: true });
    let buffer = WriteBuffer::with_sink(sink, config).unwrap();
    let rows = rows_of(&buffer);
    // Before the first the writer may still have the sink, which it has been asked for the table with.
    eventually("one has committed its own row", || {
        let_go.send(()).unwrap();
        rows.write(&Row { id: 0 }).unwrap();
        is_committed.recv_timeout(LONG).expect("a commit");
        buffer.stats().commits_on_caller == 1
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rows.write(&Row { id: 1 }));
        is_committed.recv_timeout(LONG).expect("a commit");
        let report = buffer.close_within(Duration::ZERO).unwrap();
        assert_eq!((report.stats.commits_on_caller, report.stats.spooled), (2, 1));
        // The writer's thread ends meanwhile, which has nothing to do.
        for _ in 0..500 {
            let refusal = place.refusal(ErrorKind::Spool);
            assert!(refusal.contains("in use"), "it may still commit: {refusal}");
        }
        drop(let_go);
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Spooled);
        // Whoever has come back has let go of it.
        place.drain();
    });
    assert_eq!(place.ids().iter().filter(|id| **id == 1).count(), 1);
}

#[test]
fn what_is_seen_from_outside_while_it_is_open_is_in_order() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    let lock = place.lock();
    (0..10_000).for_each(|id| rows.push(&Row { id }).unwrap());
    let inspection = inspect(place.folder()).unwrap();
    assert!(inspection.in_use && !inspection.is_closed);
    let used = inspection.segments.iter().filter(|segment| segment.state != SegmentState::Free);
    assert_eq!(used.map(|segment| segment.rows).sum::<u64>(), 10_000);
    let stats = buffer.stats();
    let sizes = inspection.segments.iter().map(|segment| segment.capacity as u64).sum::<u64>();
    assert!(stats.spool_bytes >= sizes, "{} of {sizes}", stats.spool_bytes);
    assert_eq!(stats.buffer_bytes, 0, "rows are in files");
    drop(lock);
    buffer.close().unwrap();
    assert_eq!(place.ids().len(), 10_000);
}
