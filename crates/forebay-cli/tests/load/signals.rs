//! Ctrl-C, SIGTERM and a terminal that goes: what the summary says is committed is in the table, and loading again completes it.

use crate::support::{Folder, Running};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)";
const LOAD: &str = "forebay load - --format ndjson --into app.db --table t --upsert id --json";

fn rows(ids: std::ops::Range<usize>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"v\":\"row {id}\"}}\n")).collect()
}

/// Feeds rows and a broken line, which is told at once: by then all rows before it have been read.
fn feed_and_wait(load: &mut Running, count: usize) {
    load.feed(rows(0..count));
    load.feed("this is where it has come to\n");
    load.wait_for(&format!("standard input line {}: ", count + 1));
}

fn ends_in_good_order(signal: &str, code: i32) {
    let folder = Folder::with(TABLE);
    let mut load = folder.start(LOAD);
    feed_and_wait(&mut load, 5_000);
    load.signal(signal);
    load.wait_for("ending: what was read is being committed");
    // The input has not ended and does not: to end is the signal's doing.
    let ran = load.finish().exits(code);
    let names = ["read", "committed", "rejected", "unwritten", "unknown"];
    assert_eq!(names.map(|name| ran.count(name)), [5_001, 5_000, 1, 0, 0]);
    assert_eq!(ran.count("decided_lines"), 5_001);
    assert_eq!(ran.summary()["interrupted"], true);
    assert_eq!(folder.count("t"), 5_000);

    let again = folder.run_on(LOAD, rows(0..8_000)).exits(0);
    assert_eq!(again.count("unchanged"), 0, "an upsert writes what is there once more");
    assert_eq!(folder.rows("SELECT count(*), sum(v = 'row ' || id) FROM t"), ["8000, 8000"]);
}

#[test]
fn ctrl_c_commits_what_was_read_and_says_so() {
    ends_in_good_order("INT", 130);
}

#[test]
fn sigterm_commits_what_was_read_and_says_so() {
    ends_in_good_order("TERM", 143);
}

#[test]
fn a_terminal_that_goes_has_what_was_read_committed() {
    ends_in_good_order("HUP", 129);
}

#[test]
fn a_second_signal_ends_the_load_at_once() {
    for name in ["INT", "TERM"] {
        let folder = Folder::with(TABLE);
        let other = folder.lock();
        let mut load = folder.start(LOAD);
        feed_and_wait(&mut load, 1_000);
        load.wait_for("for the lock");
        load.signal("INT");
        load.wait_for("ending: ");
        load.signal(name);
        let told = load.wait_for("stopped at once");
        assert_eq!(told, "stopped at once: what was not committed yet is not in the table\n");
        assert_eq!(load.finish().exits(4).out, "", "there is nothing to sum up");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(folder.count("t"), 0);
    }
}

#[test]
fn what_the_time_for_closing_is_too_short_for_is_counted_and_is_no_reject() {
    let folder = Folder::with(TABLE);
    folder.write("brief.toml", "close_timeout = '100ms'");
    let other = folder.lock();
    let mut load = folder.start(&format!("{LOAD} --config brief.toml --rejects bad.ndjson"));
    feed_and_wait(&mut load, 1_000);
    load.wait_for("for the lock");
    load.signal("INT");
    let ran = load.finish().exits(3);
    let names = ["read", "committed", "rejected", "decided_lines"];
    assert_eq!(names.map(|name| ran.count(name)), [1_001, 0, 1, 0]);
    // Unknown where the machine was too slow to hear of the commit's end.
    assert_eq!(ran.count("unwritten") + ran.count("unknown"), 1_000);
    assert!(ran.errors.contains("\nerror: "), "{ran:?}");
    assert_eq!(
        folder.read("bad.ndjson").lines().nth(2),
        Some("this is where it has come to"),
        "{:?}",
        folder.read("bad.ndjson")
    );
    assert_eq!(folder.read("bad.ndjson").lines().count(), 3);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(folder.count("t"), 0);

    folder.run_on(LOAD, rows(0..1_000)).exits(0);
    assert_eq!(folder.count("t"), 1_000);
}

#[test]
fn a_signal_while_the_buffer_is_full_ends_the_load_in_good_order() {
    let folder = Folder::with(TABLE);
    folder.write(
        "small.toml",
        "close_timeout = '100ms'\nmax_buffer_bytes = 65536\nmax_batch_bytes = 16384\n\
         max_row_bytes = 1024\nbatch_size = 10\nmax_transaction_rows = 10",
    );
    folder.write("rows.ndjson", rows(0..20_000));
    let other = folder.lock();
    let line = LOAD.replace("load -", "load rows.ndjson");
    let mut load = folder.start(&format!("{line} --config small.toml"));
    // By then the reader has long met the end of the buffer, and holds a row that there is no room for.
    load.wait_for("has waited 1.0s");
    load.signal("TERM");
    let ran = load.finish().exits(3);
    assert!((10..20_000).contains(&ran.count("read")), "{ran:?}");
    assert_eq!(ran.count("read"), ran.count("unwritten") + ran.count("unknown"));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(folder.count("t"), 0);
}

#[test]
fn the_half_of_a_record_that_an_interrupted_producer_leaves_is_not_loaded() {
    // Which is heard of first, the signal or the end of the input, is for chance.
    for _ in 0..10 {
        let folder = Folder::with(TABLE);
        let line = LOAD.replace("ndjson", "csv") + " --columns id,v";
        let mut load = folder.start(&line);
        load.feed("1,one\n2,two\nx,no number\n3,thi");
        load.wait_for("standard input line 3: ");
        load.signal("INT");
        load.end_input();
        let ran = load.finish().exits(130);
        assert_eq!((ran.count("read"), ran.count("decided_lines")), (3, 3));
        assert_eq!(folder.rows("SELECT v FROM t"), ["'one'", "'two'"]);
    }
}

#[test]
fn a_short_line_from_a_slow_program_is_committed_before_the_next() {
    let folder = Folder::with(TABLE);
    let mut load = folder.start(LOAD);
    load.feed("{\"id\":1}\n");
    while folder.count("t") == 0 {
        load.still_runs();
        std::thread::yield_now();
    }
    load.end_input();
    load.finish().exits(0);
}

#[test]
fn a_signal_before_the_load_has_begun_ends_it_at_once() {
    let folder = Folder::with("");
    let other = folder.lock();
    let mut load = folder.start(&format!("{LOAD} --create"));
    load.feed(rows(0..10));
    load.end_input();
    // The table is still to be made.
    load.wait_for("for the lock");
    load.signal("INT");
    load.wait_for("stopped before anything was loaded");
    assert_eq!(load.finish().exits(130).out, "");
    other.execute_batch("COMMIT").unwrap();
    assert!(folder.rows("SELECT name FROM sqlite_schema").is_empty());
}
