//! Am I still locked, and by whom: real locks, held by the process of the test.

use std::io::Read;
use std::process::{Child, Command, Stdio, id};
use std::sync::mpsc;
use std::thread;

use crate::support::Folder;
use crate::{ROWS, doctor, without_wal};

/// This process, as a finding names it.
fn me() -> String {
    format!("(pid {})", id())
}

#[test]
fn nobody_writes_and_nobody_has_it_open() {
    for folder in [Folder::with(ROWS), without_wal(ROWS)] {
        let found = doctor(&folder, "app.db");
        assert_eq!(found.of("lock"), "ok: nobody is writing at this moment");
        assert!(!found.of("open").contains(&me()), "{found:#?}");
    }
}

#[test]
fn whoever_is_in_a_transaction_that_writes_is_named_with_how_to_end_it() {
    for folder in [Folder::with(ROWS), without_wal(ROWS)] {
        let _lock = folder.lock();
        let found = doctor(&folder, "app.db");
        let lock = found.of("lock");
        assert!(lock.starts_with("error: locked: ") && lock.contains(&me()), "{lock}");
        assert!(lock.contains("is in a transaction that writes, at every look for "), "{lock}");
        assert!(found.fix("lock").ends_with(&format!("`kill {}`", id())), "{found:#?}");
        assert!(found.of("open").contains(&me()), "{found:#?}");
        // Those who read are not kept from it.
        assert_eq!(found.of("integrity"), "ok: quick_check found nothing wrong");
    }
}

/// Another process with a lock on a byte of the database file.
struct Other(Child);

/// Commands of fcntl: a lock of the process, and one that belongs to the open file and to no process.
const OF_PROCESS: u8 = 6;
const OF_OPEN_FILE: u8 = 37;

impl Other {
    fn with(folder: &Folder, command: u8, kind: &str, byte: u64) -> Self {
        let program = format!(
            "import fcntl, struct, sys
file = open('app.db', 'r+b')
fcntl.fcntl(file, {command}, struct.pack('hhqqi0q', fcntl.{kind}, 0, {byte}, 1, 0))
print('held', flush=True)
sys.stdin.read()"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &program]).current_dir(folder.path(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this test needs python3");
        let mut held = [0; 5];
        child.stdout.take().unwrap().read_exact(&mut held).expect("the lock is held");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_lock_that_belongs_to_no_process_is_told_of_without_a_number_to_kill() {
    let folder = without_wal(ROWS);
    let _lock = Other::with(&folder, OF_OPEN_FILE, "F_WRLCK", 0x4000_0001);
    let found = doctor(&folder, "app.db");
    let lock = found.of("lock");
    let told = "error: locked: a process that cannot be seen from here is in a transaction";
    assert!(lock.starts_with(told), "{lock}");
    assert!(!found.fix("lock").contains("kill"), "{found:#?}");
}

#[test]
fn of_one_who_commits_and_one_who_reads_the_one_who_reads_is_to_end() {
    let folder = without_wal(ROWS);
    let reader = Other::with(&folder, OF_PROCESS, "F_RDLCK", 0x4000_0002);
    let writer = Other::with(&folder, OF_PROCESS, "F_WRLCK", 0x4000_0000);
    let found = doctor(&folder, "app.db");
    let (reads, commits) = (reader.0.id(), writer.0.id());
    let lock = found.of("lock");
    assert!(lock.contains(&format!("(pid {commits}) is committing, and waits for ")), "{lock}");
    assert!(lock.contains(&format!("(pid {reads}), which reads")), "{lock}");
    assert!(found.fix("lock").ends_with(&format!("`kill {reads}`")), "{found:#?}");
}

#[test]
fn a_lock_that_keeps_readers_out_is_what_is_found_and_not_that_nothing_can_be_read() {
    let folder = without_wal(ROWS);
    let other = folder.connection();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let found = doctor(&folder, "app.db");
    let lock = found.of("lock");
    assert!(lock.contains(&me()) && lock.contains("keeps everybody out"), "{lock}");
    assert_eq!(
        found.of("contents"),
        "note: could not be looked at: another process has the database locked"
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(doctor(&folder, "app.db").all("contents"), [""; 0]);
}

#[test]
fn a_connection_with_the_database_for_itself_is_found_in_wal_mode() {
    let folder = Folder::with(ROWS);
    let other = folder.connection();
    other.execute_batch("PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET v = 'w'").unwrap();
    let found = doctor(&folder, "app.db");
    assert!(found.of("lock").contains("`PRAGMA locking_mode=EXCLUSIVE`"), "{found:#?}");
    assert!(found.of("wal").contains("a process has the database for itself"), "{found:#?}");
}

#[test]
fn without_wal_a_transaction_that_reads_is_in_the_way_too() {
    let folder = without_wal(ROWS);
    let other = folder.connection();
    other.execute_batch("BEGIN; SELECT * FROM t LIMIT 1").unwrap();
    let found = doctor(&folder, "app.db");
    let lock = found.of("lock");
    assert!(lock.starts_with("error: locked: ") && lock.contains(&me()), "{lock}");
    assert!(lock.contains("without WAL nobody can commit meanwhile"), "{lock}");
}

#[test]
fn a_writer_whose_transactions_end_is_not_called_a_lock_that_stays() {
    for folder in [Folder::with(ROWS), without_wal(ROWS)] {
        let connection = folder.connection();
        let (stop, stopped) = mpsc::channel::<()>();
        let writer = thread::spawn(move || {
            let mut written = 0;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
                connection.execute("UPDATE t SET v = 'x' || ?", [written]).unwrap();
                written += 1;
            }
            written
        });
        let found = doctor(&folder, "app.db");
        drop(stop);
        assert!(writer.join().unwrap() > 0);
        assert!(!found.of("lock").starts_with("error"), "{found:#?}");
        assert!(!found.of("lock").contains("locked"), "{found:#?}");
        // Its journal comes and goes.
        assert_eq!(found.all("journal"), [""; 0]);
    }
}

#[test]
fn in_wal_mode_nobody_who_writes_meets_a_lock_of_the_doctors() {
    let folder = Folder::with(ROWS);
    let connection = folder.connection();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        let mut written = 0;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            connection.execute("UPDATE t SET v = 'x' || ?", [written])?;
            written += 1;
        }
        Ok::<i64, rusqlite::Error>(written)
    });
    for _ in 0..10 {
        let found = doctor(&folder, "app.db --full");
        assert_eq!(found.of("integrity"), "ok: integrity_check found nothing wrong");
    }
    drop(stop);
    assert!(writer.join().unwrap().unwrap() > 0);
}

#[test]
fn a_lock_stays_with_its_holder_while_it_is_looked_at() {
    let folder = Folder::with(ROWS);
    let lock = folder.lock();
    lock.execute_batch("UPDATE t SET v = 'mine'").unwrap();
    doctor(&folder, "app.db");
    let other = folder.connection();
    assert!(other.execute_batch("BEGIN IMMEDIATE").is_err());
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(folder.rows("SELECT DISTINCT v FROM t"), ["'mine'"]);
}
