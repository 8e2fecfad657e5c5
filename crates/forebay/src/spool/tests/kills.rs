//! A kill at every step: of an opening, of two one after the other, of a close, and of what a buffer does in between.
//!
//! A process that is killed cleans nothing up, and its lock goes with it. Here a panic takes its place: what is undone on an
//! error is not undone then.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use super::books::{Database, Life, Shape};
use super::sample::{APPLIED, Plain, Sample, folder, restore, snapshot};
use crate::spool::identity::Identity;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Killed;

/// A place where a process may be killed.
pub(in crate::spool) fn step() {
    match LEFT.get() {
        usize::MAX => {}
        0 => {
            LEFT.set(usize::MAX);
            resume_unwind(Box::new(Killed));
        }
        left => LEFT.set(left - 1),
    }
}

/// Runs `work` up to its step `at`, counted from 0; `None` when it came there.
fn kill_at<T>(at: usize, work: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(at);
    let done = catch_unwind(AssertUnwindSafe(work));
    LEFT.set(usize::MAX);
    match done {
        Ok(done) => Some(done),
        Err(panic) if panic.is::<Killed>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// What an opening begins with: the folder's files, the database, and the rows that the spool must give back.
struct Start {
    files: Vec<(std::path::PathBuf, Vec<u8>)>,
    database: Database,
    promised: Vec<Plain>,
    next: u64,
}

impl Start {
    fn of(folder: &Path, database: &Database, promised: Vec<Plain>, next: u64) -> Self {
        Self { files: snapshot(folder), database: database.clone(), promised, next }
    }

    fn restore(&self, folder: &Path) -> Database {
        restore(folder, &self.files);
        self.database.clone()
    }

    /// Opens it, to its end, and once more after a row was pushed.
    fn check(&self, folder: &Path, database: &mut Database, what: &str) {
        let mut promised = self.promised.clone();
        let mut life = Life::open(folder, database).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((life.recovered(), life.next), (promised.clone(), self.next), "{what}");
        promised.extend(life.push(&[Shape::Notes, Shape::States]));
        drop(life);
        let life = Life::open(folder, database).unwrap_or_else(|e| panic!("{what}, later: {e}"));
        assert_eq!((life.recovered(), life.next), (promised, self.next + 2), "{what}, later");
    }
}

/// Spools as openings find them.
fn starts(folder: &Path) -> Vec<(String, Start)> {
    let mut starts = Vec::new();
    let mut database = Database::default();
    starts.push(("a new one".to_owned(), Start::of(folder, &database, Vec::new(), 0)));

    drop(Life::open(folder, &mut database).expect("opens"));
    starts.push(("one without rows".to_owned(), Start::of(folder, &database, Vec::new(), 0)));
    let unknown = Database::default();
    starts
        .push(("one without rows or books".to_owned(), Start::of(folder, &unknown, Vec::new(), 0)));

    let mut life = Life::open(folder, &mut database).expect("opens");
    life.push(&[Shape::States]);
    life.push(&[Shape::Notes]);
    let next = life.next;
    life.apply(&mut database, next);
    drop(life);
    starts.push((
        "one whose rows are decided".to_owned(),
        Start::of(folder, &database, Vec::new(), next),
    ));

    let life = Life::open(folder, &mut database).expect("opens");
    let open = snapshot(folder);
    life.close();
    let identity = Identity::read(folder).expect("reads").expect("a spool");
    let older = Database::of(folder, next - 1);
    for (state, files) in [("closed", snapshot(folder)), ("half closed", open)] {
        restore(folder, &files);
        identity.write(folder).expect("writes");
        let start = |database| Start::of(folder, database, Vec::new(), 0);
        starts.push((format!("one {state}"), start(&database)));
        starts.push((format!("one {state}, for another database"), start(&unknown)));
        starts.push((format!("one {state}, for an earlier database"), start(&older)));
    }
    for (path, _) in snapshot(folder) {
        std::fs::remove_file(path).expect("removes");
    }

    let sample = Sample::write(folder);
    let database = Database::of(folder, APPLIED);
    let next = sample.torn.0;
    starts.push((
        "two lives".to_owned(),
        Start::of(folder, &database, sample.promised.clone(), next),
    ));
    let decided = sample.homes.iter().position(|home| *home != sample.homes[0]).expect("another");
    let promised = sample.promised[decided + 1..].to_vec();
    let database = Database::of(folder, promised[0].0);
    starts
        .push(("its first file decided".to_owned(), Start::of(folder, &database, promised, next)));
    let database = Database::of(folder, next);
    starts.push(("all decided".to_owned(), Start::of(folder, &database, Vec::new(), next)));
    starts
}

#[test]
fn an_opening_that_is_killed_at_any_step_is_repeated_without_loss_even_by_one_that_is_killed() {
    let scratch = folder();
    let folder = scratch.path();
    for (name, start) in starts(folder) {
        let mut steps = 0;
        loop {
            let mut database = start.restore(folder);
            let first = kill_at(steps, || Life::open(folder, &mut database).map(drop));
            let left = (snapshot(folder), database.clone());
            for again in 0.. {
                restore(folder, &left.0);
                let mut database = left.1.clone();
                let second = kill_at(again, || Life::open(folder, &mut database).map(drop));
                let what = format!("{name}, killed at {steps}, again at {again}");
                start.check(folder, &mut database, &what);
                if let Some(ended) = second {
                    ended.unwrap_or_else(|error| panic!("{what}: {error}"));
                    break;
                }
            }
            if let Some(ended) = first {
                ended.unwrap_or_else(|error| panic!("{name}: {error}"));
                break;
            }
            steps += 1;
        }
        assert!(steps > 15, "{name} has {steps} steps");
    }
}

#[test]
fn an_opening_that_is_killed_may_be_followed_by_one_for_another_database() {
    let scratch = folder();
    let folder = scratch.path();
    let mut used = Database::default();
    let mut life = Life::open(folder, &mut used).expect("opens");
    life.push(&[Shape::Notes, Shape::States, Shape::Notes]);
    life.apply(&mut used, 3);
    life.close();
    let closed = Start::of(folder, &used, Vec::new(), 0);
    let mut steps = 0;
    loop {
        let mut used = closed.restore(folder);
        let first = kill_at(steps, || Life::open(folder, &mut used).map(drop));
        if first.is_some() {
            break;
        }
        let left = snapshot(folder);
        if Identity::read(folder).expect("reads").expect("a spool").open {
            // From here on the spool is this database's.
            closed.check(folder, &mut used, "the same database");
            steps += 1;
            continue;
        }
        for again in 0.. {
            restore(folder, &left);
            let mut other = Database::default();
            let second = kill_at(again, || Life::open(folder, &mut other).map(drop));
            let start = Start::of(folder, &other, Vec::new(), 0);
            let what = format!("killed at {steps}, again at {again}");
            start.check(folder, &mut other, &what);
            assert!(Life::open(folder, &mut used).is_err(), "{what}: they are the other's rows");
            if second.is_some() {
                break;
            }
        }
        steps += 1;
    }
    assert!(steps > 15, "{steps} steps");
}

#[test]
fn a_close_that_is_killed_at_any_step_leaves_nothing_to_write_twice() {
    let scratch = folder();
    let folder = scratch.path();
    let mut steps = 0;
    loop {
        restore(folder, &[]);
        let mut database = Database::default();
        let mut life = Life::open(folder, &mut database).expect("opens");
        life.push(&[Shape::Notes, Shape::States]);
        life.apply(&mut database, 2);
        let ended = kill_at(steps, || life.close());
        // Of a closed one the next row is the first of a new one.
        let is_open = Identity::read(folder).expect("reads").expect("a spool").open;
        let next = if is_open { 2 } else { 0 };
        let start = Start::of(folder, &database, Vec::new(), next);
        start.check(folder, &mut database, &format!("killed at {steps}"));
        if ended.is_some() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 4, "{steps} steps");
}

#[test]
fn a_buffer_at_work_that_is_killed_at_any_step_loses_no_row() {
    let scratch = folder();
    let folder = scratch.path();
    let sample = Sample::write(folder);
    let database = Database::of(folder, APPLIED);
    let start = Start::of(folder, &database, sample.promised.clone(), sample.torn.0);
    let mut steps = 0;
    loop {
        let mut database = start.restore(folder);
        let mut life = Life::open(folder, &mut database).expect("opens");
        let mut promised = sample.promised.clone();
        let mut next = start.next;
        let ended = kill_at(steps, || {
            for _ in 0..3 {
                promised.extend(life.push(&[Shape::Notes]));
                next += 1;
                life.swap();
                promised.extend(life.push(&[Shape::States, Shape::Notes]));
                next += 2;
                while let Some(end) = life.recovered_end() {
                    promised.retain(|(seq, ..)| *seq >= end);
                    life.apply(&mut database, end);
                    life.delete_recovered();
                }
                let end = life.open_from();
                promised.retain(|(seq, ..)| *seq >= end);
                life.apply(&mut database, end);
                life.free_sealed();
            }
            life.grow();
        });
        drop(life);
        let start = Start { promised, next, ..Start::of(folder, &database, Vec::new(), next) };
        start.check(folder, &mut database, &format!("killed at {steps}"));
        if ended.is_some() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 15, "{steps} steps");
}
