//! A database that cannot be written for a while delays a load, which says why and loses nothing.

use crate::support::Folder;

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)";

fn rows(count: usize) -> String {
    (0..count).map(|id| format!("{{\"id\":{id},\"v\":\"some text of row {id}\"}}\n")).collect()
}

#[test]
fn a_lock_held_elsewhere_is_a_delay_that_is_told() {
    let folder = Folder::with(TABLE);
    let other = folder.lock();
    let mut load = folder.start("forebay load - --format ndjson --into app.db --table t --json");
    load.feed(rows(1_000));
    load.end_input();
    let told = load.wait_for("for the lock");
    assert!(told.starts_with("warning: has waited 0.1s for the lock of "), "{told}");
    assert!(told.ends_with("app.db, which another connection holds\n"), "{told}");
    load.wait_for("has waited 1.0s");
    assert_eq!(folder.count("t"), 0);

    other.execute_batch("COMMIT").unwrap();
    load.wait_for("got the lock");
    let ran = load.finish().exits(0);
    assert_eq!(
        (ran.count("read"), ran.count("committed"), folder.count("t")),
        (1_000, 1_000, 1_000)
    );
    assert!(ran.count("busy_waits") > 0, "{ran:?}");
    assert!(ran.summary()["busy_seconds"].as_f64() > Some(0.9), "{ran:?}");
    assert_eq!(ran.count("retries"), 0, "to wait is not to try again");
}

#[test]
fn a_lock_that_outlasts_the_retries_pauses_the_load_until_it_is_gone() {
    let folder = Folder::with(TABLE);
    folder.write(
        "impatient.toml",
        "busy_timeout = '1ms'\n[retry]\nmax_retries = 2\ndelay = '1ms'\npause = '1ms'",
    );
    let other = folder.lock();
    let mut load = folder.start(
        "forebay load - --format ndjson --into app.db --table t --config impatient.toml --json",
    );
    load.feed(rows(1_000));
    load.wait_for("retry 2/2");
    load.wait_for("is paused, the rows are kept");
    load.feed(rows(2_000).split_at(rows(1_000).len()).1);
    load.end_input();
    other.execute_batch("COMMIT").unwrap();
    load.wait_for("nothing lost");
    let ran = load.finish().exits(0);
    assert_eq!((ran.count("committed"), folder.count("t")), (2_000, 2_000));
    assert!(ran.count("retries") > 2, "{ran:?}");
}

#[test]
fn a_lock_held_while_the_table_is_made_is_waited_for() {
    let folder = Folder::with("");
    let other = folder.lock();
    let mut load =
        folder.start("forebay load - --format ndjson --into app.db --table t --create --json");
    load.feed(rows(10));
    load.end_input();
    load.wait_for("has waited 0.1s");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(load.finish().exits(0).count("committed"), 10);
    assert_eq!(folder.count("t"), 10);
}

#[test]
fn a_table_that_is_dropped_meanwhile_pauses_the_load_until_it_is_back() {
    let folder = Folder::with(TABLE);
    folder.write("brisk.toml", "linger = '0s'\n[retry]\npause = '1ms'");
    let other = folder.connection();
    other.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    let line = "forebay load - --format ndjson --into app.db --table t --config brisk.toml --json";
    let mut load = folder.start(line);
    // What is told of a line that is none says that the load has looked at the table by now.
    load.feed("no JSON, but long enough\n");
    load.wait_for("line 1");
    other.execute_batch("DROP TABLE t").unwrap();
    load.feed(rows(10));
    load.end_input();
    load.wait_for("is paused, the rows are kept");
    other.execute_batch(TABLE).unwrap();
    load.wait_for("nothing lost");
    assert_eq!(load.finish().exits(1).count("committed"), 10);
    assert_eq!(folder.count("t"), 10);
}

/// These mount filesystems of their own, for which they must be root.
mod needs_root {
    use std::fs;
    use std::io::Write as _;
    use std::path::{Path, PathBuf};

    use super::{TABLE, rows};
    use crate::support::{Folder, Mount};

    /// A folder with room for 8 MiB.
    struct Small(Mount);

    impl Small {
        fn mount(at: PathBuf) -> Self {
            fs::create_dir(&at).unwrap();
            Self(Mount::at(at, &["-t", "tmpfs", "-o", "size=8M", "forebay"]))
        }

        /// Fills it with a file, but for so many bytes.
        fn fill(&self, but: u64) -> PathBuf {
            let path = self.0.0.join("ballast");
            let mut ballast = fs::File::create(&path).unwrap();
            let chunk = [0; 4096];
            while ballast.write_all(&chunk).is_ok() {}
            let bytes = ballast.metadata().unwrap().len();
            ballast.set_len(bytes.saturating_sub(but)).unwrap();
            path
        }
    }

    fn database_in(folder: &Path) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(folder.join("app.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(TABLE).unwrap();
        connection
    }

    #[test]
    fn a_full_disk_pauses_the_load_until_there_is_room() {
        let folder = Folder::with("");
        let disk = Small::mount(folder.path("disk"));
        let database = database_in(&disk.0.0);
        let ballast = disk.fill(400 * 1024);
        let mut load = folder.start(
            "forebay load - --format ndjson --into disk/app.db --table t --json --upsert id",
        );
        load.feed(rows(20_000));
        load.end_input();
        let told = load.wait_for("is paused, the rows are kept");
        assert!(told.contains("full"), "{told}");

        fs::remove_file(ballast).unwrap();
        load.wait_for("nothing lost");
        let ran = load.finish().exits(0);
        assert_eq!((ran.count("committed"), ran.count("unknown")), (20_000, 0));
        let count = "SELECT count(*), sum(v = 'some text of row ' || id) FROM t";
        let counts: (u32, u32) =
            database.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(counts, (20_000, 20_000));
    }

    #[test]
    fn a_rejects_file_on_a_full_disk_ends_the_load_before_lines_are_lost() {
        let folder = Folder::with(TABLE);
        let disk = Small::mount(folder.path("disk"));
        disk.fill(16 * 1024);
        let line = "forebay load - --format csv --into app.db --table t --upsert id \
                    --rejects disk/bad.csv --json";
        // Every second line is broken.
        let lines: String = (0..20_000).map(|id| format!("{id},text\nbroken,text\n")).collect();
        let ran = folder.run_on(line, format!("id,v\n{lines}")).exits(3);
        assert!(
            ran.errors.contains("error: cannot write rejected lines to disk/bad.csv"),
            "{ran:?}"
        );
        assert!(ran.errors.contains("hint: make room"), "{ran:?}");
        assert!(ran.count("read") < 40_000, "it goes on without a place for what it rejects");
        assert_eq!(ran.count("committed"), folder.count("t"));
        assert_eq!(ran.count("unwritten"), 0, "what was read is written");
    }
}
