//! A copy that is broken off: killed, or ended by a signal. The same command goes on, and in the end both are equal.

use forebay::Value::Integer;

use ::support::{Cluster, Database, Fate, Proxy};

use super::{Folder, Move, series, text};
use crate::support::Running;

const ROWS: i64 = 60_000;

/// A row at which the table waits until it is let go.
const HELD: i64 = 40_000;

/// A table whose inserts wait at one row for as long as somebody holds a lock.
pub(crate) fn held(key: &str) -> Move {
    held_with(key, "TEXT", "TEXT")
}

/// The same, with what the name is in SQLite and in PostgreSQL.
fn held_with(key: &str, name: &str, name_there: &str) -> Move {
    Move::with(
        &format!(
            "CREATE TABLE t({key}, name {name}, size REAL, note TEXT);
             INSERT INTO t SELECT value, 'name ' || value, value / 7.0, NULL FROM {};",
            series(ROWS)
        ),
        &format!(
            "CREATE TABLE t({key}, name {name_there}, size REAL, note TEXT);
             CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
             CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = {HELD}) EXECUTE FUNCTION wait();"
        ),
    )
}

impl Move {
    /// Starts a copy and blocks until it waits at the row, with others committed before it.
    fn start_and_wait(&self) -> Running {
        self.start_as("postgres")
    }

    /// The same as another user.
    pub(crate) fn start_as(&self, user: &str) -> Running {
        let line = self.line("--table t --json").replace("postgres@", &format!("{user}@"));
        let mut running = self.folder.start(&line);
        while self.waiting() == 0 {
            running.still_runs();
            std::thread::yield_now();
        }
        running
    }

    /// Sessions that wait at the row.
    fn waiting(&self) -> i64 {
        self.count(
            "pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database()
             WHERE locktype = 'advisory' AND NOT granted",
        )
    }

    /// What is committed, and how far the copy has come by its own account.
    fn came_to(&self) -> (i64, i64) {
        let rows = self.rows("SELECT passed FROM _forebay_copy WHERE target = 't'");
        let [Integer(passed)] = rows[0][..] else { panic!("{rows:?} is no count") };
        (self.count("t"), passed)
    }
}

#[test]
fn a_copy_that_is_killed_goes_on_and_has_every_row_once() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = held(key);
        let mut holder = of.to.connect();
        holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
        let running = of.start_and_wait();
        running.signal("KILL");
        assert_eq!(running.finish().code, None, "it was killed");
        let (committed, passed) = of.came_to();
        assert!(0 < committed && committed < HELD, "{committed} rows were written before the kill");
        assert!(passed <= committed, "{passed} rows are said to be there, and {committed} are");
        drop(holder);
        let summary = of.equal("--table t", 0);
        let table = &summary["tables"][0];
        assert_eq!(table["resumed_after"], passed);
        assert_eq!(table["passed"], ROWS - passed);
        assert!(table["passed"].as_i64().unwrap() > 0, "the second run wrote something");
        assert_eq!(of.count("t"), ROWS);
        assert_eq!(of.rows("SELECT count(DISTINCT id) FROM t"), [[Integer(ROWS)]]);
    }
}

#[test]
fn rows_without_a_value_in_their_key_are_there_once_after_a_kill() {
    for name in ["TEXT PRIMARY KEY", "TEXT UNIQUE"] {
        let of = held_with("id INTEGER", name, "TEXT UNIQUE");
        of.folder.connection().execute("UPDATE t SET name = NULL WHERE id % 2", []).unwrap();
        let mut holder = of.to.connect();
        holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
        let running = of.start_and_wait();
        running.signal("KILL");
        running.finish();
        drop(holder);
        while of.waiting() > 0 {}
        of.equal("--table t", 0);
        let rows = of.rows("SELECT count(*), count(DISTINCT id), count(name) FROM t");
        assert_eq!(rows, [[Integer(ROWS), Integer(ROWS), Integer(ROWS / 2)]]);
    }
}

#[test]
fn a_copy_that_is_killed_counts_refused_rows_once() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = held(key);
        of.to.run("ALTER TABLE t ADD CHECK (id % 30000 <> 1)");
        let mut holder = of.to.connect();
        holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
        let running = of.start_and_wait();
        running.signal("KILL");
        running.finish();
        let refused = of.rows("SELECT rejected = refused, refused > 0 FROM _forebay_copy");
        assert_eq!(refused, [[Integer(1), Integer(1)]], "some are known, and some come later");
        drop(holder);
        while of.waiting() > 0 {}
        assert_eq!(of.equal("--table t", 1)["tables"][0]["rejected"], 2);
        of.equal("--table t --verify count", 1);
        assert_eq!(of.count("t"), ROWS - 2);
    }
}

#[test]
fn a_group_of_a_killed_copy_that_arrives_late_is_not_there_twice() {
    let of = held("id INTEGER");
    let mut holder = of.to.connect();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let running = of.start_and_wait();
    running.signal("KILL");
    running.finish();
    // The killed one's session has its transaction open, and waits; the next comes to the same row and waits behind it.
    let mut second = of.folder.start(&of.line("--table t --json"));
    while of.waiting() < 2 {
        second.still_runs();
        std::thread::yield_now();
    }
    drop(holder);
    let ran = second.finish();
    // Whichever of them was first: the rows are there once, in the end.
    if ran.code != Some(0) {
        assert!(
            ran.errors.contains("another copy writes to the table t at this moment"),
            "{ran:?}"
        );
        of.equal("--table t", 0);
    }
    assert_eq!(of.count("t"), ROWS);
}

#[test]
fn a_copy_that_begins_while_another_writes_its_first_rows_writes_none() {
    let of = Move::with(
        "CREATE TABLE t(id INTEGER); INSERT INTO t VALUES (1), (2); CREATE TABLE u(id INTEGER)",
        "CREATE TABLE t(id BIGINT)",
    );
    of.equal("--table u", 0);
    let mut other = of.to.connect();
    other.batch_execute("BEGIN; LOCK TABLE _forebay_copy IN EXCLUSIVE MODE").unwrap();
    let mut running = of.folder.start(&of.line("--table t"));
    while of.count("pg_locks WHERE relation = '_forebay_copy'::regclass AND NOT granted") == 0 {
        running.still_runs();
    }
    other.batch_execute("INSERT INTO t VALUES (1); COMMIT").unwrap();
    let ran = running.finish().exits(3);
    assert!(ran.errors.contains("another copy writes to the table t at this moment"), "{ran:?}");
    assert_eq!(of.count("t"), 1);
}

#[test]
fn ctrl_c_commits_what_is_on_its_way_and_the_same_command_goes_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let of = held("id INTEGER PRIMARY KEY");
        let mut holder = of.to.connect();
        holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
        let mut running = of.start_and_wait();
        running.signal(signal);
        running.wait_for("ending: rows on their way are being committed");
        drop(holder);
        let ran = running.finish().exits(code);
        assert!(ran.errors.contains("stopped: the same command goes on from here"), "{ran:?}");
        assert_eq!(ran.summary()["interrupted"], true);
        assert_eq!(ran.summary()["error"], serde_json::Value::Null);
        let (committed, passed) = of.came_to();
        assert!(passed <= committed && committed >= HELD, "{passed} of {committed}");
        of.equal("--table t", 0);
        assert_eq!(of.count("t"), ROWS);
    }
}

#[test]
fn a_second_signal_stops_it_at_once() {
    let of = held("id INTEGER PRIMARY KEY");
    let mut holder = of.to.connect();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let mut running = of.start_and_wait();
    running.signal("INT");
    running.wait_for("ending: rows on their way are being committed");
    running.signal("INT");
    running.wait_for("stopped at once: what was committed stays");
    running.finish().exits(4);
    drop(holder);
    of.equal("--table t", 0);
}

#[test]
fn a_server_that_is_started_again_meanwhile_is_only_a_delay() {
    let server = Cluster::private(&[("fsync", "off")]);
    let series = series(ROWS);
    let folder = Folder::with(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t SELECT value, 'name ' || value FROM {series};
         CREATE TABLE u(name TEXT); INSERT INTO u SELECT name FROM t"
    ));
    let copy = format!("forebay copy app.db {} --table t --table u --json", server.url("postgres"));
    let mut running = folder.start(&copy);
    for table in ["t", "u"] {
        running.wait_for(&format!("created table {table}"));
        let mut client = server.config("postgres").connect(::postgres::NoTls).unwrap();
        let some = format!("SELECT 1 FROM {table} LIMIT 1");
        while client.query(&some, &[]).unwrap().is_empty() {
            running.still_runs();
        }
        server.stop_immediate();
        server.start();
    }
    let ran = running.finish().exits(0);
    for table in ran.summary()["tables"].as_array().unwrap() {
        assert_eq!(table["compared"]["target_rows"], ROWS, "{ran:?}");
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_there_twice() {
    for key in ["PRIMARY KEY", ""] {
        let of = Move::with(
            &format!(
                "CREATE TABLE t(id INTEGER {key}); INSERT INTO t SELECT value FROM {}",
                series(20_000)
            ),
            "",
        );
        let proxy = Proxy::before(Cluster::shared().address());
        let mut commits = 0;
        proxy.at_commit(move || {
            commits += 1;
            // The first is of the table that is made.
            match commits % 3 {
                2 => Fate::Unanswered,
                0 => Fate::Lost,
                _ => Fate::Pass,
            }
        });
        of.folder.write("small.toml", "max_transaction_rows = 1000\n");
        let url = proxy.url(&of.to.tcp_url());
        let line = format!("forebay copy app.db {url} --table t --json --config small.toml");
        let summary = of.folder.run(&line).exits(0).summary();
        assert_eq!(summary["tables"][0]["compared"]["is_equal"], true, "{summary}");
        assert!(proxy.unanswered() > 0 && proxy.lost() > 0, "no connection was cut");
        assert_eq!(
            of.rows("SELECT count(*), count(DISTINCT id) FROM t"),
            [[Integer(20_000), Integer(20_000)]]
        );
    }
}

#[test]
fn a_place_that_is_not_what_it_was_is_not_gone_on_from() {
    for key in ["PRIMARY KEY", ""] {
        let schema = format!(
            "CREATE TABLE t(name TEXT {key}); INSERT INTO t(rowid, name) SELECT value * 10, 'name ' || value FROM {}",
            series(9_000)
        );
        let of = Move::with(&schema, "");
        of.equal("--table t", 0);
        // As a killed copy would have left it.
        of.to.run(
            "UPDATE _forebay_copy SET last_place = '50000', passed = 5000;
             DELETE FROM t WHERE substr(name, 6)::int > 5000",
        );
        of.folder
            .connection()
            .execute("INSERT INTO t(rowid, name) VALUES (15, 'name 0')", [])
            .unwrap();
        if key.is_empty() {
            let ran = of.copy("--table t").exits(3);
            assert!(ran.errors.contains("without a key its rows cannot be told apart"), "{ran:?}");
        } else {
            let ran = of.copy("--table t").exits(0);
            assert!(ran.errors.contains("t: rows have come or gone in SQLite"), "{ran:?}");
            assert_eq!(of.count("t"), 9_001);
        }
    }
}

#[test]
fn a_table_that_was_emptied_is_filled_again() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = Move::with(&format!("CREATE TABLE t({key}); INSERT INTO t VALUES (1), (2)"), "");
        of.equal("--table t", 0);
        of.to.run("TRUNCATE t");
        of.equal("--table t", 0);
        of.to.run("DROP TABLE t");
        assert_eq!(of.equal("--table t", 0)["tables"][0]["created"], true);
        assert_eq!(of.count("t"), 2);
    }
}

#[test]
fn what_was_changed_behind_the_copy_is_found_and_copied_again_on_demand() {
    let of = Move::with(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "",
    );
    of.equal("--table t", 0);
    of.folder.connection().execute("UPDATE t SET v = 'c' WHERE id = 1", []).unwrap();
    let ran = of.copy("--table t").exits(3);
    assert!(ran.errors.contains("--from-start writes all rows again"), "{ran:?}");
    of.equal("--table t --from-start", 0);
    assert_eq!(of.rows("SELECT v FROM t ORDER BY id"), [[text("c")], [text("b")]]);
}

#[test]
fn a_table_that_has_shrunk_is_never_said_to_have_more_than_it_has() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = Move::with(
            &format!(
                "CREATE TABLE t({key}, size INTEGER); INSERT INTO t VALUES (1, 1), (2, 'x'), (3, 3), (4, 4)"
            ),
            "",
        );
        of.equal("--table t", 1);
        let ran = of.copy("--table t").exits(1);
        assert!(ran.out.contains("3 rows copied, 3 of them before, 1 rejected;"), "{ran:?}");
        of.to.run("DELETE FROM t WHERE id = 1");
        let ran = of.copy("--table t").exits(3);
        assert!(
            ran.out.contains("2 of 3 rows are there, 1 rejected; THE COUNTS DIFFER"),
            "{ran:?}"
        );
        of.to.run("INSERT INTO t VALUES (1, 1)");
        of.folder.connection().execute("DELETE FROM t WHERE id = 1", []).unwrap();
        let ran = of.copy("--table t").exits(3);
        // To write all again would not take the row away.
        assert!(
            ran.errors.contains("TRUNCATE \"t\" in PostgreSQL")
                && !ran.errors.contains("--from-start"),
            "{ran:?}"
        );
        of.to.run("TRUNCATE t");
        of.equal("--table t", 1);
        assert_eq!(of.count("t"), 2);
    }
}
