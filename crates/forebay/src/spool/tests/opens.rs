//! Opening a spool: what is found, what is made, what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use fork::{Fork, fork, waitpid};

use super::books::{Database, Life, Shape, config};
use super::sample::{APPLIED, FIRST, Sample, folder, snapshot};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::DeadLetter;
use crate::shape::Shapes;
use crate::sink::{Applied, Books, Sink, SinkError, StatementInfo, TableInfo};
use crate::spool::file::free;
use crate::spool::format::PUBLISHED;
use crate::spool::identity::Identity;
use crate::spool::{Recovered, SegmentFile, Spool, files};
use crate::sync::Mutex;

/// What an opening is refused with.
fn refused(folder: &Path, database: &mut Database) -> Error {
    match Life::open(folder, database) {
        Ok(_) => panic!("{} was opened", folder.display()),
        Err(error) => error,
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let names = snapshot(folder).into_iter().map(|(path, _)| path);
    names.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn a_new_folder_is_made_with_all_that_a_buffer_begins_with() {
    let scratch = folder();
    let folder = scratch.path().join("spool");
    let mut database = Database::default();
    let life = Life::open(&folder, &mut database).expect("opens");
    let opened = &life.opened;
    assert_eq!((opened.first_seq, opened.recovered.len(), opened.untold.len()), (0, 0, 0));
    assert_eq!(opened.spool.folder(), folder.canonicalize().expect("a folder"));
    let identity = Identity::read(&folder).expect("reads").expect("a spool");
    assert_eq!((identity.epoch, identity.open, identity.database.as_str()), (1, true, "books.db"));
    assert_eq!(opened.spool.key(), identity.key());
    assert_ne!(identity.spool, 0);
    assert_eq!(database.applied[opened.spool.key()], 0, "the books are open");
    let capacity = opened.spool.segment_bytes();
    assert_eq!((opened.open.len(), opened.spare.len()), (capacity, capacity));
    assert!(capacity.is_multiple_of(4096) && capacity >= config(&folder).segment_bytes());
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for (path, _) in snapshot(&folder) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let made = [
        "lock",
        "segment-00000001",
        "segment-00000002",
        "shapes-00000001",
        "shapes-00000001.copy",
        "spool.json",
    ];
    assert_eq!(names(&folder), BTreeSet::from(made.map(str::to_owned)));
    assert_eq!(opened.open.path(), files::segment(opened.spool.folder(), 1));
    let more = opened.spool.make().expect("another");
    assert_eq!(more.path(), files::segment(opened.spool.folder(), 3));
}

#[test]
fn every_spool_has_a_key_of_its_own() {
    let scratch = folder();
    let mut database = Database::default();
    for name in ["one", "two", "three"] {
        drop(Life::open(&scratch.path().join(name), &mut database).expect("opens"));
    }
    assert_eq!(database.applied.len(), 3);
}

#[test]
fn the_largest_row_finds_room_in_an_empty_segment() {
    let scratch = folder();
    let settings =
        crate::Config { max_row_bytes: 2048, max_buffer_bytes: 8192, ..config(scratch.path()) };
    assert!(settings.segment_bytes() < 4096);
    for max_row_bytes in [64, 2000, 2048] {
        let settings = crate::Config { max_row_bytes, ..settings.clone() };
        let (mut database, shapes) = (Database::default(), Shapes::new());
        let opened = Spool::open(&settings, &mut database, &shapes).expect("opens");
        assert!(opened.open.has_room(max_row_bytes));
    }
}

#[test]
fn a_spool_that_was_closed_begins_anew() {
    let scratch = folder();
    let mut database = Database::default();
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    let key = life.opened.spool.key().to_owned();
    life.push(&[Shape::States, Shape::Notes]);
    life.push(&[Shape::Notes]);
    life.apply(&mut database, 3);
    life.close();
    assert_eq!(names(scratch.path()), BTreeSet::from(["lock", "spool.json"].map(str::to_owned)));
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!((life.opened.first_seq, life.next), (0, 0));
    assert!(life.opened.recovered.is_empty());
    assert_ne!(life.opened.spool.key(), key);
    let pushed = life.push(&[Shape::Notes]);
    drop(life);
    let life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!(life.recovered(), pushed);
}

/// A spool that was closed at row 5, and the database that has its rows.
fn closed_at_5(folder: &Path) -> Database {
    let mut database = Database::default();
    let mut life = Life::open(folder, &mut database).expect("opens");
    (0..5).for_each(|_| drop(life.push(&[Shape::Notes])));
    life.apply(&mut database, 5);
    life.close();
    database
}

#[test]
fn rows_that_a_closed_spool_took_for_another_database_are_never_taken_for_the_first_ones() {
    let scratch = folder();
    let mut first = closed_at_5(scratch.path());
    let mut second = Database::default();
    let mut life = Life::open(scratch.path(), &mut second).expect("opens");
    assert_eq!(life.next, 0);
    let mut pushed = Vec::new();
    (0..8).for_each(|_| pushed.extend(life.push(&[Shape::States])));
    drop(life);
    let error = refused(scratch.path(), &mut first);
    assert!(error.to_string().contains("books.db knows nothing of it"), "{error}");
    assert_eq!(Life::open(scratch.path(), &mut second).expect("opens").recovered(), pushed);
}

#[test]
fn rows_that_a_closed_spool_took_for_a_restored_database_are_never_taken_for_those_that_came_before()
 {
    let scratch = folder();
    let mut newer = closed_at_5(scratch.path());
    let mut restored = Database::of(scratch.path(), 2);
    let mut life = Life::open(scratch.path(), &mut restored).expect("opens");
    let pushed = life.push(&[Shape::States, Shape::Notes]);
    drop(life);
    let error = refused(scratch.path(), &mut newer);
    assert!(error.to_string().contains("books.db knows nothing of it"), "{error}");
    assert_eq!(Life::open(scratch.path(), &mut restored).expect("opens").recovered(), pushed);
}

#[test]
fn of_two_copies_of_a_closed_spool_none_takes_the_others_rows_for_its_own() {
    let (scratch, copy) = (folder(), folder());
    let mut database = closed_at_5(scratch.path());
    let path = |folder: &Path| folder.join("spool.json");
    fs::copy(path(scratch.path()), path(copy.path())).expect("copies");
    let mut one = Life::open(scratch.path(), &mut database).expect("opens");
    let mut other = Life::open(copy.path(), &mut database).expect("opens");
    one.push(&[Shape::Notes, Shape::Notes]);
    one.apply(&mut database, 2);
    let pushed = other.push(&[Shape::States]);
    drop((one, other));
    assert_eq!(Life::open(copy.path(), &mut database).expect("opens").recovered(), pushed);
}

#[test]
fn nothing_is_made_or_removed_where_the_folder_has_another_in_its_place() {
    let root = folder();
    let (place, aside) = (root.path().join("spool"), root.path().join("aside"));
    let (mut database, mut other) = (Database::default(), Database::default());
    let life = Life::open(&place, &mut database).expect("opens");
    fs::rename(&place, &aside).expect("renames");
    let mut second = Life::open(&place, &mut other).expect("opens");
    let pushed = second.push(&[Shape::Notes]);
    let error = life.opened.spool.make().expect_err("it is another's");
    assert!(error.to_string().contains("is not where it was"), "{error}");
    let before = names(&place);
    let Life { opened, .. } = life;
    assert!(!opened.spool.is_in_place());
    opened.spool.close(true);
    assert_eq!(names(&place), before);
    drop(second);
    assert_eq!(Life::open(&place, &mut other).expect("opens").recovered(), pushed);
}

#[test]
fn rows_that_were_left_are_given_back_in_order_from_the_first_undecided_one() {
    let scratch = folder();
    let sample = Sample::write(scratch.path());
    let mut starts = 0;
    for applied in FIRST..=sample.torn.0 {
        sample.restore(scratch.path());
        let mut database = Database::of(scratch.path(), applied);
        let life = match Life::open(scratch.path(), &mut database) {
            Ok(life) => life,
            Err(error) => {
                assert!(error.to_string().contains("is inside a group"), "{error}");
                sample.restore(scratch.path());
                continue;
            }
        };
        starts += 1;
        assert_eq!((life.opened.first_seq, life.next), (applied, sample.torn.0));
        if applied >= APPLIED {
            let left = sample.promised.iter().filter(|(seq, ..)| *seq >= applied);
            assert_eq!(life.recovered(), left.cloned().collect::<Vec<_>>());
        }
        for recovered in &life.opened.recovered {
            assert_eq!(recovered.file_bytes(), super::sample::CAPACITY);
        }
        // Wholly decided files are gone, and so are those without rows.
        let kept = life.opened.recovered.len() + 2;
        let listed = files::list(scratch.path()).expect("lists");
        assert_eq!(listed.segments.len(), kept, "{listed:?}");
    }
    assert!(starts > 10, "{starts} of them");
}

#[test]
fn shapes_are_restored_once_however_many_lives_have_noted_them() {
    let scratch = folder();
    Sample::write(scratch.path());
    let (mut database, shapes) = (Database::of(scratch.path(), APPLIED), Shapes::new());
    let opened = Spool::open(&config(scratch.path()), &mut database, &shapes).expect("opens");
    assert_eq!(opened.recovered.len(), 3);
    let mut all = Vec::new();
    shapes.refresh(&mut all);
    let meanings: BTreeSet<_> = all.iter().map(|shape| shape.definition().meaning()).collect();
    assert_eq!((all.len(), meanings.len()), (3, 3));
}

#[test]
fn a_row_that_was_being_pushed_is_left_out_and_its_number_given_to_the_next() {
    let scratch = folder();
    let mut database = Database::default();
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    let kept = life.push(&[Shape::States]);
    let path = life.opened.open.path().to_owned();
    let published = fs::read(&path).expect("bytes")[PUBLISHED].to_vec();
    life.push(&[Shape::Notes]);
    drop(life);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
    file.write_all_at(&published, PUBLISHED.start as u64).expect("writes");
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!((life.recovered(), life.next), (kept.clone(), 1));
    let next = life.push(&[Shape::States]);
    drop(life);
    let life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!(life.recovered(), [kept, next].concat());
}

#[test]
fn a_database_of_another_time_or_another_one_is_refused_and_nothing_is_changed() {
    let scratch = folder();
    let sample = Sample::write(scratch.path());
    fs::write(scratch.path().join("lock"), "").expect("writes");
    let before = snapshot(scratch.path());
    for (database, said) in [
        (Database::of(scratch.path(), FIRST - 1), "has an earlier state than the spool"),
        (Database::of(scratch.path(), sample.torn.0 + 1), "is older than books.db"),
        (Database::of(scratch.path(), FIRST + 2), "is inside a group"),
        (Database::default(), "books.db knows nothing of it"),
    ] {
        let error = refused(scratch.path(), &mut database.clone());
        assert_eq!(error.kind(), ErrorKind::Spool);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(snapshot(scratch.path()), before, "{said}");
    }
}

#[test]
fn a_second_opening_is_refused_at_once_and_the_first_goes_on() {
    let scratch = folder();
    let mut database = Database::default();
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    let before = snapshot(scratch.path());
    let error = refused(scratch.path(), &mut database);
    assert_eq!(error.kind(), ErrorKind::Spool);
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    assert_eq!(snapshot(scratch.path()), before);
    let pushed = life.push(&[Shape::Notes]);
    drop(life);
    assert_eq!(Life::open(scratch.path(), &mut database).expect("opens").recovered(), pushed);
}

#[test]
fn a_place_that_is_none_is_refused_by_its_name() {
    let scratch = folder();
    let file = scratch.path().join("file");
    fs::write(&file, "mine").expect("writes");
    for (place, said) in [
        (file.clone(), "it is a file: name a folder".to_owned()),
        (file.join("spool"), format!("{} is no folder", file.display())),
        (
            scratch.path().join("missing/spool"),
            format!("{} is no folder", scratch.path().join("missing").display()),
        ),
    ] {
        let error = refused(&place, &mut Database::default());
        assert_eq!((error.kind(), error.field()), (ErrorKind::Spool, Some("spool")));
        assert!(error.to_string().contains(&said), "{error}");
    }
    assert_eq!(snapshot(scratch.path()), [(file, b"mine".to_vec())]);
}

#[test]
fn a_relative_path_is_held_from_the_root_on() {
    let scratch = folder();
    std::os::unix::fs::symlink(scratch.path(), scratch.path().join("link")).expect("links");
    let through = scratch.path().join("link/../").join(scratch.path().file_name().expect("one"));
    let life = Life::open(&through.join("spool"), &mut Database::default()).expect("opens");
    assert_eq!(life.opened.spool.folder(), scratch.path().join("spool"));
}

/// Knows nothing of books.
struct Bookless;

impl Sink for Bookless {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        Ok(TableInfo::new(table))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, _: &Batch<'_>) -> Result<Applied, SinkError> {
        Ok(Applied::default())
    }
}

#[test]
fn a_sink_without_books_is_refused_before_there_is_a_spool() {
    let scratch = folder();
    let opened = Spool::open(&config(scratch.path()), &mut Bookless, &Shapes::new());
    let error = opened.map(drop).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("keeps no books"), "{error}");
    assert_eq!(names(scratch.path()), BTreeSet::from(["lock".to_owned()]));
}

/// Has books, and a dead letter in them, and cannot open any.
struct Stubborn(Option<Books>);

impl Sink for Stubborn {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        Bookless.describe(table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo> {
        Bookless.prepare(sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        Bookless.apply(batch)
    }

    fn books(&mut self, _: &str) -> Result<Option<Books>> {
        Ok(self.0.take())
    }

    fn open_books(&mut self, _: &str, _: u64) -> Result<()> {
        Err(Error::new(ErrorKind::Busy, "the books are locked"))
    }
}

#[test]
fn an_opening_that_fails_half_way_takes_no_room() {
    let scratch = folder();
    let settings = config(scratch.path());
    let opened = Spool::open(&settings, &mut Stubborn(None), &Shapes::new());
    assert_eq!(opened.map(drop).expect_err("refused").kind(), ErrorKind::Busy);
    let listed = files::list(scratch.path()).expect("lists");
    assert!(listed.segments.is_empty() && listed.unfinished.is_empty(), "{listed:?}");
    drop(Life::open(scratch.path(), &mut Database::default()).expect("opens later"));
}

#[test]
fn dead_letters_that_may_be_untold_are_handed_on() {
    let scratch = folder();
    let error = Error::new(ErrorKind::Rejected, "refused");
    let letter = DeadLetter { table: "states".to_owned(), fields: Vec::new(), error };
    drop(Life::open(scratch.path(), &mut Database::default()).expect("opens"));
    let sink = &mut Stubborn(Some(Books { applied: 0, untold: vec![letter] }));
    let opened = Spool::open(&config(scratch.path()), sink, &Shapes::new()).expect("opens");
    assert_eq!((opened.first_seq, opened.untold[0].table.as_str()), (0, "states"));
}

#[test]
fn a_decided_segment_that_cannot_be_removed_does_no_harm() {
    let scratch = folder();
    let sample = Sample::write(scratch.path());
    let mut database = Database::of(scratch.path(), APPLIED);
    let mut life = Life::open(scratch.path(), &mut database).expect("opens");
    let second = life.opened.recovered[1].first_seq();
    // What is left of its deletion where the folder cannot be written.
    life.opened.recovered.remove(0);
    free(&sample.homes[0]).expect("writes");
    life.apply(&mut database, second);
    while !life.opened.recovered.is_empty() {
        life.delete_recovered();
    }
    let next = life.next;
    life.apply(&mut database, next);
    drop(life);
    let life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!((life.opened.first_seq, life.recovered()), (next, Vec::new()));
    assert!(!sample.homes[0].exists());
}

#[test]
fn a_forked_process_knows_that_the_spool_is_its_parents_and_closes_nothing() {
    let scratch = folder();
    let life = Life::open(scratch.path(), &mut Database::default()).expect("opens");
    let before = snapshot(scratch.path());
    match fork().expect("forks") {
        Fork::Child => {
            life.opened.spool.close(true);
            std::process::exit(i32::from(!life.opened.spool.is_forked()));
        }
        Fork::Parent(child) => assert_eq!(waitpid(child).expect("a status"), 0),
    }
    assert!(!life.opened.spool.is_forked());
    assert_eq!(snapshot(scratch.path()), before);
    life.close();
    assert_ne!(snapshot(scratch.path()), before);
}

#[test]
fn files_that_are_none_of_the_spools_stay() {
    let scratch = folder();
    let foreign = ["notes.new", "segment-1", "segment-00000001.old", "shapes-new", "app.db"];
    for name in foreign {
        fs::write(scratch.path().join(name), "mine").expect("writes");
    }
    let unfinished = ["segment-00000007.new", "spool.json.new"];
    for name in unfinished {
        fs::write(scratch.path().join(name), "half").expect("writes");
    }
    let mut database = Database::default();
    let life = Life::open(scratch.path(), &mut database).expect("opens");
    assert_eq!(life.opened.open.path(), files::segment(life.opened.spool.folder(), 8));
    let left = names(scratch.path());
    assert!(unfinished.iter().all(|&name| !left.contains(name)), "{left:?}");
    life.close();
    let left = names(scratch.path());
    assert_eq!(left.len(), foreign.len() + 2, "{left:?}");
    assert!(foreign.iter().all(|&name| left.contains(name)), "{left:?}");
}

/// Where a test has its log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_restart_of_the_machine_and_a_row_that_was_cut_are_told_and_nothing_else_is() {
    let scratch = folder();
    let sample = Sample::write(scratch.path());
    let mut database = Database::of(scratch.path(), sample.torn.0);
    let mut said = Vec::new();
    for _ in 0..2 {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            drop(Life::open(scratch.path(), &mut database).expect("opens"));
        });
        let bytes = log.0.lock().clone();
        said.push(String::from_utf8(bytes).expect("text"));
    }
    // The sample was written in a boot of another name, and has a torn tail.
    assert!(said[0].contains("the machine was restarted while the spool"), "{}", said[0]);
    assert!(said[0].contains("a row was being pushed to"), "{}", said[0]);
    assert_eq!((said[0].lines().count(), said[1].as_str()), (2, ""));
}

#[test]
fn a_spool_and_its_files_can_be_handed_to_other_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Spool>();
    is_shared::<SegmentFile>();
    is_shared::<Recovered>();
}
