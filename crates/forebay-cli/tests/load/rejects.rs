//! The rejects file: every rejected line as it was, below the reason, to be mended and loaded.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::Folder;

const TABLE: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, size INT CHECK(size < 100))";

/// The table after everything is mended.
const WHOLE: [&str; 4] = ["1, 'one', 1", "2, 'two\nlines', 2", "3, 'three', 3", "4, 'four', 4"];

#[test]
fn a_rejects_file_of_csv_is_mended_and_completes_the_table() {
    let folder = Folder::with(TABLE);
    folder.write(
        "rows.csv",
        "id,name,size\n1,one,1\n2,\"two\nlines\",many\n3,one,3\n\n4,four,400\n4,four\n",
    );
    let ran = folder.run("forebay load rows.csv --into app.db --table t --rejects bad.csv --json");
    assert_eq!(ran.exits(1).summary()["rejects"], "bad.csv");
    assert_eq!(folder.rows("SELECT * FROM t"), WHOLE[..1]);
    assert_eq!(
        folder.read("bad.csv"),
        "#forebay: lines of rows.csv that were rejected, each below the reason: mend them and load this file\n\
         id,name,size\n\
         #forebay: line 3: column size: it is not a number, and the column is declared as an integer\n\
         2,\"two\nlines\",many\n\
         #forebay: line 8: the record has 2 fields instead of 3\n\
         4,four\n\
         #forebay: line 5: t refused a row: it violates UNIQUE t.name\n\
         3,one,3\n\
         #forebay: line 7: t refused a row: it violates CHECK size < 100\n\
         4,four,400\n"
    );
    let mode = folder.path("bad.csv").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds values");

    let mended = folder.read("bad.csv").replace("many", "2").replace("3,one", "3,three");
    folder.write("bad.csv", mended.replace("400", "4").replace("4,four\n", ""));
    let ran = folder.run("forebay load bad.csv --into app.db --table t --json").exits(0);
    assert_eq!((ran.count("read"), ran.count("committed")), (3, 3));
    assert_eq!(folder.rows("SELECT * FROM t"), WHOLE);
}

#[test]
fn lines_that_are_still_bad_go_to_another_rejects_file_with_their_new_numbers() {
    let folder = Folder::with(TABLE);
    folder.write("rows.csv", "id,name,size\n1,one,1\nx,two,2\ny,three,3\n");
    folder.run("forebay load rows.csv --into app.db --table t --rejects bad.csv").exits(1);
    folder.write("bad.csv", folder.read("bad.csv").replace("x,two", "2,two"));
    let line = "forebay load bad.csv --into app.db --table t --rejects worse.csv";
    assert!(folder.run(line).exits(1).errors.starts_with("bad.csv line 6: column id:"));
    assert_eq!(
        folder.read("worse.csv"),
        "#forebay: lines of bad.csv that were rejected, each below the reason: mend them and load this file\n\
         id,name,size\n\
         #forebay: line 6: column id: it is not a number, and the column is declared as an integer\n\
         y,three,3\n"
    );
}

#[test]
fn a_rejects_file_of_tsv_without_a_header_line_is_loaded_with_the_same_columns() {
    let folder = Folder::with(TABLE);
    let line = "forebay load - --format tsv --columns size,id,name --into app.db --table t --json";
    let rows = "1\t1\tone\r\nmany\t2\t\"two\r\n3\t3\tone\n4\t4\n";
    folder.run_on(&format!("{line} --rejects bad.tsv"), rows).exits(1);
    assert_eq!(
        folder.read("bad.tsv"),
        "#forebay: lines of standard input that were rejected, each below the reason: mend them and load this file\n\
         #forebay: line 2: column size: it is not a number, and the column is declared as an integer\n\
         many\t2\t\"two\n\
         #forebay: line 4: the record has 2 fields instead of 3\n\
         4\t4\n\
         #forebay: line 3: t refused a row: it violates UNIQUE t.name\n\
         3\t3\tone\n"
    );
    let mended = folder.read("bad.tsv").replace("many", "2").replace("3\tone", "3\tthree");
    folder.write("bad.tsv", mended.replace("4\t4", "4\t4\tfour"));
    let ran = folder.run(&line.replace("load - --format tsv", "load bad.tsv")).exits(0);
    assert_eq!(ran.count("committed"), 3);
    assert_eq!(
        folder.rows("SELECT * FROM t"),
        ["1, 'one', 1", "2, '\"two', 2", "3, 'three', 3", "4, 'four', 4"]
    );
}

#[test]
fn a_rejects_file_of_ndjson_is_mended_and_completes_the_table() {
    let folder = Folder::with(TABLE);
    folder.write(
        "rows.ndjson",
        "{\"id\":1,\"name\":\"one\",\"size\":1}\n{\"id\":2,\"name\":\"two\\nlines\",\"size\":[2]}\n\
         {\"id\":3,\"name\":\"one\",\"size\":3}\n  {\"id\":4,\"name\":\"four\",\"size\":4}}\n",
    );
    folder.run("forebay load rows.ndjson --into app.db --table t --rejects bad.ndjson").exits(1);
    assert_eq!(
        folder.read("bad.ndjson"),
        "#forebay: lines of rows.ndjson that were rejected, each below the reason: mend them and load this file\n\
         #forebay: line 2: column size: it is nested, and the column is declared as a number\n\
         {\"id\":2,\"name\":\"two\\nlines\",\"size\":[2]}\n\
         #forebay: line 4: the JSON is broken at column 34: trailing characters\n  \
         {\"id\":4,\"name\":\"four\",\"size\":4}}\n\
         #forebay: line 3: t refused a row: it violates UNIQUE t.name\n\
         {\"id\":3,\"name\":\"one\",\"size\":3}\n"
    );
    let mended = folder.read("bad.ndjson").replace("[2]", "2").replace("}}", "}");
    folder.write("bad.ndjson", mended.replace("\"one\"", "\"three\""));
    folder.run("forebay load bad.ndjson --into app.db --table t").exits(0);
    assert_eq!(folder.rows("SELECT * FROM t"), WHOLE);
}

#[test]
fn rejected_lines_are_kept_byte_by_byte() {
    let folder = Folder::with(TABLE);
    let bad: [&[u8]; 3] = [b"{\"name\":\"\xC3\"}", b"\xFF\xFE", b"{\"name\":\"\\u0000\"}"];
    folder.write("rows.ndjson", bad.map(|line| [line, b"\n"].concat()).concat());
    folder.run("forebay load rows.ndjson --into app.db --table t --rejects bad").exits(1);
    let kept = std::fs::read(folder.path("bad")).unwrap();
    let kept: Vec<_> = kept.split(|byte| *byte == b'\n').collect();
    assert_eq!([kept[2], kept[4], kept[6]], bad);
}

#[test]
fn a_line_that_is_too_long_is_told_and_not_copied() {
    let folder = Folder::with(TABLE);
    let long = "x".repeat(20 * 1024 * 1024);
    folder.write("rows.tsv", format!("id\tname\n1\tone\n2\t{long}\n3\tthree\n"));
    folder.run("forebay load rows.tsv --into app.db --table t --rejects bad.tsv").exits(1);
    assert_eq!(folder.rows("SELECT id FROM t"), ["1", "3"]);
    let kept = folder.read("bad.tsv");
    let line = "#forebay: line 3: the line is longer than 8388608 bytes, eight times max_row_bytes \
                (too long to be copied here)";
    assert_eq!(kept.lines().nth(2), Some(line));
    assert_eq!(kept.lines().count(), 3);
}

#[test]
fn all_rejected_lines_are_in_the_file_however_many_there_are() {
    let folder = Folder::with(TABLE);
    // Those that the database refuses are found out batches later than those that the command refuses.
    let rows = (0..20_000).map(|id| match id % 4 {
        0 => format!("{id}\tname {id}\t7\n"),
        1 => format!("{id}\tname {id}\t700\n"),
        2 => format!("{id}\tname {id}\tmany\n"),
        _ => format!("{id}\tname {}\t7\n", id - 3),
    });
    folder.write("rows.tsv", format!("id\tname\tsize\n{}", rows.collect::<String>()));
    let line = "forebay load rows.tsv --into app.db --table t --rejects bad.tsv --json";
    let ran = folder.run(line).exits(1);
    assert_eq!((ran.count("committed"), ran.count("rejected")), (5_000, 15_000));
    assert_eq!(ran.errors.lines().count(), 11, "{ran:?}");
    assert!(
        ran.errors.ends_with("14990 more rejected lines not shown: all are in bad.tsv\n"),
        "{ran:?}"
    );

    let kept = folder.read("bad.tsv");
    let kept: Vec<_> = kept.lines().skip(2).collect();
    let mut ids = Vec::new();
    for pair in kept.chunks(2) {
        let number =
            pair[0].strip_prefix("#forebay: line ").and_then(|rest| rest.split(':').next());
        let id: usize = pair[1].split('\t').next().unwrap().parse().unwrap();
        assert_eq!(number.unwrap().parse(), Ok(id + 2), "the reason is above its line: {pair:?}");
        ids.push(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..20_000).filter(|id| id % 4 > 0).collect::<Vec<_>>());
}

#[test]
fn a_load_without_rejected_lines_leaves_no_rejects_file() {
    let folder = Folder::with(TABLE);
    let line = "forebay load - --format csv --into app.db --table t --rejects bad.csv --json";
    let ran = folder.run_on(line, "id\n1\n").exits(0);
    assert!(ran.summary()["rejects"].is_null(), "{ran:?}");
    assert!(!folder.path("bad.csv").exists());
}

#[test]
fn a_rejects_file_at_a_path_of_the_database_is_refused() {
    let folder = Folder::with("");
    for name in ["new.db", "./new.db", "new.db-wal", "app.db", "app.db-wal", "app.db-shm"] {
        let into = if name.starts_with("app") { "app.db" } else { "new.db" };
        let line = format!(
            "forebay load - --format csv --into {into} --table t --create --rejects {name}"
        );
        let ran = folder.run_on(&line, "id\n1\n").exits(2);
        assert!(ran.errors.starts_with("error: --rejects names "), "{ran:?}");
        assert!(ran.errors.ends_with("database itself: name another file\n"), "{ran:?}");
        assert!(!folder.path("new.db").exists());
    }
}

#[test]
fn a_rejects_file_that_was_there_before_stays() {
    let folder = Folder::with(TABLE);
    folder.write("bad.csv", "");
    let line = "forebay load - --format csv --into app.db --table t --rejects";
    folder.run_on(&format!("{line} bad.csv"), "id\n1\n").exits(0);
    assert_eq!(folder.read("bad.csv"), "");
    std::os::unix::fs::symlink("/dev/null", folder.path("nowhere")).unwrap();
    folder.run_on(&format!("{line} nowhere"), "id\n2\n").exits(0);
    assert!(folder.path("nowhere").exists());
}

#[test]
fn a_load_that_does_not_begin_leaves_no_file_behind() {
    let folder = Folder::with(TABLE);
    let rejects = "--rejects bad.csv";
    let no_key = format!(
        "forebay load - --format csv --into new.db --table t --create --upsert id {rejects}"
    );
    folder.run_on(&no_key, "name\none\n").exits(3);
    let no_table = format!("forebay load - --format csv --into app.db --table nope {rejects}");
    folder.run_on(&no_table, "name\none\n").exits(3);
    assert!(!folder.path("new.db").exists() && !folder.path("bad.csv").exists());
}

#[test]
fn lines_that_explain_are_skipped_and_that_is_said() {
    let folder = Folder::with(TABLE);
    folder.write("bad.csv", "#forebay: lines of x\nid,name\n#forebay: line 2: why\n1,one\n");
    let ran = folder.run("forebay load bad.csv --into app.db --table t --json").exits(0);
    assert_eq!((ran.count("read"), ran.count("committed")), (1, 1));
    assert_eq!(ran.errors, "bad.csv: skipped 2 lines that begin with #forebay:\n");
    // In any other file such a line is a record.
    folder.write("rows.csv", "name,id\n#forebay: line 7,7\n");
    folder.run("forebay load rows.csv --into app.db --table t").exits(0);
    assert_eq!(folder.rows("SELECT name FROM t WHERE id = 7"), ["'#forebay: line 7'"]);
}

#[test]
fn a_row_that_the_database_refuses_is_told_and_kept_while_the_input_goes_on() {
    let folder = Folder::with(TABLE);
    let line = "forebay load - --format csv --columns id,name --into app.db --table t --create --rejects bad.csv";
    let mut load = folder.start(line);
    load.feed("1,one\n2,one\n");
    load.wait_for("standard input line 2: t refused a row: it violates UNIQUE t.name");
    while !folder.read("bad.csv").ends_with("\n2,one\n") {
        std::thread::yield_now();
    }
    load.end_input();
    load.finish().exits(1);
}
