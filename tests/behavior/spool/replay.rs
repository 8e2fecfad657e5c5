//! Rows of an earlier process are written as they were meant, with nothing of the application there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::{ErrorKind, Producer, WriteBuffer};
use serde_json::json;
use support::adds_up;

use super::{BAD, Place, Row, all, rows_of};

/// Ids of the dead letters that a drain delivers.
fn drained_letters(place: &Place) -> Vec<String> {
    let letters = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&letters);
    let builder = place.builder().on_reject(move |letter| {
        assert_eq!(letter.error.kind(), ErrorKind::Rejected);
        kept.lock().unwrap().push(format!("{} {:?}", letter.table, letter.fields));
    });
    let buffer = builder.open().unwrap();
    buffer.flush().unwrap();
    buffer.close().unwrap();
    assert!(adds_up(&buffer.stats()));
    std::mem::take(&mut letters.lock().unwrap())
}

#[test]
fn a_bad_row_becomes_a_dead_letter_and_the_replay_goes_on() {
    let place = Place::new();
    place.leave([0, 1, BAD, 2, 3, BAD, 4]);
    let letters = drained_letters(&place);
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().all(|letter| letter.starts_with("t ") && letter.contains("-13")));
    assert_eq!(place.ids(), all(0..5));
    let kept = place.scratch.column::<String>("SELECT letter FROM _forebay_rejected ORDER BY seq");
    assert_eq!(kept.len(), 2);
    for letter in kept {
        let letter: serde_json::Value = serde_json::from_str(&letter).unwrap();
        assert_eq!((&letter["table"], &letter["kind"]), (&json!("t"), &json!("rejected")));
        assert_eq!(letter["fields"], json!({"id": BAD}));
    }
    let seqs = place.scratch.column::<i64>("SELECT seq FROM _forebay_rejected ORDER BY seq");
    assert_eq!(seqs, [2, 5]);
}

#[test]
fn a_row_whose_receipt_nobody_holds_any_more_becomes_a_dead_letter_too() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    let mut receipt = None;
    place.left_by(&buffer, || receipt = Some(rows.submit(&Row { id: BAD }).unwrap()));
    assert_eq!(receipt.unwrap().wait().unwrap_err().kind(), ErrorKind::Spooled);
    assert_eq!(drained_letters(&place).len(), 1);
    assert!(place.ids().is_empty());
}

#[test]
fn groups_stay_whole() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    let group = |ids: [i64; 3]| {
        let add = |id| Row { id };
        buffer
            .group(|group| ids.into_iter().try_for_each(|id| group.add(&rows, &add(id))))
            .map(drop)
            .unwrap();
    };
    place.left_by(&buffer, || {
        group([1, 2, 3]);
        group([4, BAD, 5]);
        rows.push(&Row { id: 6 }).unwrap();
        group([7, 8, 9]);
    });
    assert_eq!(drained_letters(&place).len(), 3, "a group is refused whole");
    assert_eq!(place.ids(), [1, 2, 3, 6, 7, 8, 9]);
}

/// Every kind of producer.
struct Kinds {
    buffer: WriteBuffer,
    insert: Producer,
    ignoring: Producer,
    upsert: Producer,
    newest: Producer,
    coalesced: Producer,
    update: Producer,
    delete: Producer,
    statement: Producer,
    unordered: Producer,
}

const KINDS: &str = "
    CREATE TABLE kv(k INTEGER PRIMARY KEY, v TEXT, at INTEGER) STRICT;
    CREATE TABLE audit(what TEXT NOT NULL) STRICT;
    CREATE TABLE pairs(what TEXT PRIMARY KEY, n INTEGER) STRICT;
    INSERT INTO kv VALUES (1, 'old', 10), (2, 'old', 10), (3, 'old', 10), (4, 'old', 10), (5, 'old', 10);";

impl Kinds {
    fn open(place: &Place) -> Self {
        let buffer = place.open();
        let table = || buffer.table("kv");
        Self {
            insert: table().insert().producer().unwrap(),
            ignoring: table().insert().ignore_duplicates().producer().unwrap(),
            upsert: table().upsert(["k"]).producer().unwrap(),
            newest: table().upsert(["k"]).newest_by("at").producer().unwrap(),
            coalesced: table().upsert(["k"]).coalesce().producer().unwrap(),
            update: table().update(["k"]).producer().unwrap(),
            delete: table().delete(["k"]).producer().unwrap(),
            statement: buffer.statement("INSERT INTO audit VALUES (upper(:what))").unwrap(),
            unordered: buffer.table("pairs").upsert(["what"]).unordered().producer().unwrap(),
            buffer,
        }
    }

    fn push(&self) {
        let kv = |k: i64, v: &str, at: i64| json!({"k": k, "v": v, "at": at});
        self.insert.push(&kv(100, "inserted", 1)).unwrap();
        self.ignoring.push(&kv(1, "ignored", 1)).unwrap();
        self.upsert.push(&kv(1, "upserted", 11)).unwrap();
        self.newest.push(&kv(2, "older", 9)).unwrap();
        self.newest.push(&kv(3, "newer", 12)).unwrap();
        (0..20).for_each(|at| self.coalesced.push(&kv(4, &format!("v{at}"), at)).unwrap());
        self.update.push(&json!({"k": 100, "v": "updated"})).unwrap();
        self.delete.push(&json!({"k": 5})).unwrap();
        self.statement.push(&json!({"what": "stated"})).unwrap();
        self.unordered.push(&json!({"what": "unordered", "n": 1})).unwrap();
        self.delete.push(&json!({"k": 100})).unwrap();
        self.insert.push(&kv(100, "again", 2)).unwrap();
    }
}

fn state(place: &Place) -> (Vec<String>, Vec<String>) {
    let kv = "SELECT concat_ws(' ', k, v, at) FROM kv ORDER BY k";
    let audit = "SELECT what FROM audit UNION ALL SELECT what FROM pairs";
    (place.scratch.column(kv), place.scratch.column(audit))
}

#[test]
fn every_kind_of_producer_is_replayed_without_being_registered() {
    let place = Place::with(KINDS);
    let kinds = Kinds::open(&place);
    place.left_by(&kinds.buffer, || kinds.push());
    let stats = place.drain();
    assert_eq!((stats.replayed, stats.rejected), (31, 0), "{stats:?}");
    let kv = ["1 upserted 11", "2 old 10", "3 newer 12", "4 v19 19", "100 again 2"];
    let audit = ["STATED", "unordered"];
    assert_eq!(state(&place), (kv.map(str::to_owned).to_vec(), audit.map(str::to_owned).to_vec()));

    let direct = Place::with(KINDS);
    let kinds = Kinds::open(&direct);
    kinds.push();
    kinds.buffer.close().unwrap();
    assert_eq!(state(&direct), state(&place), "as without a replay");
}

#[test]
fn producers_of_this_process_and_rows_of_the_last_one_do_not_mix_up_their_shapes() {
    let place = Place::with(
        "CREATE TABLE wide(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t) ",
    );
    let names: Vec<String> = ('a'..='t').map(String::from).collect();
    let row = |n: usize| {
        let fields = names[..=n % 20].iter().map(|name| (name.clone(), json!(n)));
        serde_json::Value::Object(fields.collect())
    };
    let wide_of =
        |buffer: &WriteBuffer| buffer.table("wide").insert().max_shapes(32).producer().unwrap();
    let buffer = place.open();
    let wide = wide_of(&buffer);
    place.left_by(&buffer, || (0..100).for_each(|n| wide.push(&row(n)).unwrap()));
    // Their shapes come in another order, and beside others.
    let buffer = place.open();
    let (rows, wide) = (rows_of(&buffer), wide_of(&buffer));
    let lock = place.lock();
    rows.push(&Row { id: 1 }).unwrap();
    (100..200).rev().for_each(|n| wide.push(&row(n)).unwrap());
    buffer.close_within(Duration::ZERO).unwrap();
    drop(lock);
    place.drain();
    let found = place.scratch.column::<i64>("SELECT a FROM wide ORDER BY rowid");
    assert_eq!(found, all((0..100).chain((100..200).rev())));
    for n in 0..200 {
        let filled = names.iter().map(|name| format!("({name} IS NOT NULL)")).collect::<Vec<_>>();
        let sql = format!("SELECT {} FROM wide WHERE a = ?1", filled.join(" + "));
        assert_eq!(place.scratch.value::<i64>(&sql, [n]), n % 20 + 1);
    }
    assert_eq!(place.ids(), [1]);
}

#[test]
fn an_execute_that_was_left_is_run_once_by_the_next_opening() {
    let place = Place::with("CREATE TABLE log(n)");
    let buffer = place.open();
    let rows = rows_of(&buffer);
    let told = std::thread::scope(|scope| {
        let mut executing = None;
        place.left_by(&buffer, || {
            rows.push(&Row { id: 1 }).unwrap();
            let pending = buffer.stats().accepted;
            executing =
                Some(scope.spawn(|| buffer.execute("INSERT INTO log SELECT count(*) FROM t")));
            super::eventually("it is accepted", || buffer.stats().accepted > pending);
            rows.push(&Row { id: 2 }).unwrap();
        });
        executing.unwrap().join().unwrap()
    });
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Spooled);
    place.drain();
    assert_eq!(place.ids(), [1, 2]);
    assert_eq!(place.scratch.column::<i64>("SELECT n FROM log"), [1], "in its place");
}

#[test]
fn what_was_left_for_a_table_that_is_gone_waits_until_it_is_there() {
    let place = Place::new();
    place.leave(0..5);
    place.scratch.connection().execute_batch("ALTER TABLE t RENAME TO away").unwrap();
    let buffer = place.open();
    super::eventually("it pauses", || matches!(buffer.health(), forebay::Health::Paused(_)));
    let report = buffer.close_within(Duration::ZERO).unwrap();
    assert_eq!((report.stats.spooled, report.stats.replayed), (5, 5));
    let error = buffer.close().unwrap_err();
    assert!(format!("{error:#}").contains("no such table"), "the cause is told: {error:#}");
    place.scratch.connection().execute_batch("ALTER TABLE away RENAME TO t").unwrap();
    place.drain();
    assert_eq!(place.ids(), all(0..5));
}

#[test]
fn new_rows_wait_for_their_turn_behind_those_that_were_left() {
    let place = Place::new();
    place.leave(0..5);
    let lock = place.lock();
    drop(lock);
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 5 }).unwrap();
    assert_eq!(place.ids(), all(0..6));
    let receipts: Vec<_> = (6..10).map(|id| rows.submit(&Row { id }).unwrap()).collect();
    receipts.into_iter().for_each(|receipt| receipt.wait().unwrap());
    let stats = buffer.stats();
    assert_eq!((stats.accepted, stats.replayed, stats.committed), (10, 5, 10));
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..10));
}

#[test]
fn other_settings_replay_the_same_rows() {
    for max_buffer_bytes in [48 * 1024, 1024 * 1024] {
        let place = Place::new();
        place.leave(0..3_000);
        let config = support::spooling(&place.path(), max_buffer_bytes, 2);
        let buffer = WriteBuffer::builder(place.path()).config(config).open().unwrap();
        buffer.flush().unwrap();
        buffer.close().unwrap();
        assert_eq!(place.ids(), all(0..3_000));
        assert_eq!(buffer.stats().replayed, 3_000);
    }
}

/// What the process that wrote a batch may not have told any more, the next one tells: also when it has nothing to write.
#[test]
fn a_dead_letter_that_may_not_have_been_told_is_told_by_a_process_that_writes_nothing() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 1 }).unwrap();
    rows.push(&Row { id: BAD }).unwrap();
    buffer.flush().unwrap();
    // As a process leaves it that is killed: a copy, for this one is still there.
    let killed = Place::new();
    super::copy(&place.folder(), &killed.folder());
    let backup = killed.path().with_file_name("copy.db");
    place.scratch.connection().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    for suffix in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(killed.path().with_extension(suffix));
    }
    std::fs::rename(backup, killed.path()).unwrap();
    buffer.close().unwrap();
    drop(buffer);

    assert_eq!(drained_letters(&killed).len(), 1, "at least once");
    assert_eq!(drained_letters(&killed).len(), 0, "it was closed, and had been told before");
    assert_eq!(drained_letters(&place).len(), 0, "so had this one");
    assert_eq!(killed.ids(), [1]);
}

#[test]
fn a_spool_that_is_closed_and_opened_again_has_new_books() {
    let place = Place::new();
    for life in 1..4 {
        let buffer = place.open();
        let rows = rows_of(&buffer);
        rows.write(&Row { id: life }).unwrap();
        rows.push(&Row { id: BAD }).unwrap();
        place.left_by(&buffer, || rows.push(&Row { id: life }).unwrap());
        drop((buffer, rows));
        place.drain();
        let books = place.scratch.column::<i64>("SELECT applied FROM _forebay");
        assert_eq!(books, vec![3; life as usize], "of each spool that was closed");
    }
}

#[test]
fn a_group_of_more_rows_than_a_transaction_may_have_is_replayed_in_one() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    let group = |mut ids: std::ops::Range<i64>, bad: Option<i64>| {
        buffer
            .group(|group| ids.try_for_each(|id| group.add(&rows, &Row { id: bad.unwrap_or(id) })))
            .map(drop)
            .unwrap();
    };
    place.left_by(&buffer, || {
        group(0..200, None);
        group(200..300, Some(BAD));
        group(300..500, None);
    });
    assert_eq!(drained_letters(&place).len(), 100);
    assert_eq!(place.ids(), all((0..200).chain(300..500)));
}
