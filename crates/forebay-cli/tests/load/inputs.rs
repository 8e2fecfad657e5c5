//! Compressed inputs are read as what they hold; one that is cut off is told, and what was in it is loaded.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::Folder;

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)";

fn rows(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{id},row {id} of {}\n", u64::from(id).pow(3) % 9_973)).collect()
}

pub(crate) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).unwrap()
}

#[test]
fn compressed_inputs_are_read_as_what_they_hold() {
    let (head, tail) = (format!("id,v\n{}", rows(0..500)), rows(500..1_000));
    // Both may consist of several parts, one behind the other.
    let gzip = [gzip(&head), gzip(&tail)].concat();
    let zstd = [zstd(&head), zstd(&tail)].concat();
    for (name, bytes) in [("rows.csv.gz", gzip), ("rows.csv.zst", zstd)] {
        let folder = Folder::with(TABLE);
        folder.write(name, &bytes);
        let line = format!("forebay load {name} --into app.db --table t --json");
        assert_eq!(folder.run(&line).exits(0).count("committed"), 1_000);
        assert_eq!(folder.count("t"), 1_000);
        let line = "forebay load - --format csv --into app.db --table t --upsert id";
        folder.run_on(line, &bytes).exits(0);
        assert_eq!(folder.count("t"), 1_000);
    }
}

#[test]
fn what_a_cut_off_input_holds_is_loaded_and_the_rest_is_missed() {
    let text = format!("id,v\n{}", rows(0..50_000));
    for (name, bytes) in [("rows.csv.gz", gzip(&text)), ("rows.csv.zst", zstd(&text))] {
        let folder = Folder::with(TABLE);
        folder.write(name, &bytes[..bytes.len() / 2]);
        let line = format!("forebay load {name} --into app.db --table t --upsert id --json");
        let ran = folder.run(&line).exits(3);
        let told = format!("error: {name} is cut off after line ");
        assert!(ran.errors.starts_with(&told), "{ran:?}");
        assert!(ran.errors.contains("\n\nhint: get the whole file and load it again"), "{ran:?}");
        let count = ran.count("committed");
        assert!((1..50_000).contains(&count), "{ran:?}");
        assert_eq!((folder.count("t"), ran.count("read")), (count, count));
        let line_number = ran.errors[told.len()..].split(':').next().unwrap();
        assert_eq!(line_number.parse(), Ok(count + 1), "the header and the rows: {ran:?}");

        folder.write(name, bytes);
        folder.run(&line).exits(0);
        assert_eq!(folder.count("t"), 50_000);
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_field() {
    for (format, text) in
        [("csv", "id,v\n1,one\n"), ("tsv", "id\tv\n1\tone\n"), ("ndjson", "{\"id\":1}\n")]
    {
        let folder = Folder::with(TABLE);
        let line = format!("forebay load - --format {format} --into app.db --table t");
        folder.run_on(&line, format!("\u{FEFF}{text}")).exits(0);
        assert_eq!(folder.count("t"), 1, "{format}");
    }
}

#[test]
fn names_and_formats_are_told_without_regard_to_case() {
    let folder = Folder::with("CREATE TABLE Topics(Id INTEGER PRIMARY KEY, Title TEXT)");
    folder.write("ROWS.CSV", "ID,title\n1,one\n");
    folder.write("rows.JSONL", "{\"iD\":2,\"TITLE\":\"two\"}\n");
    for name in ["ROWS.CSV", "rows.JSONL"] {
        folder
            .run(&format!("forebay load {name} --into app.db --table TOPICS --upsert ID"))
            .exits(0);
    }
    assert_eq!(folder.rows("SELECT * FROM topics"), ["1, 'one'", "2, 'two'"]);
}

#[test]
fn a_larger_value_of_the_newest_column_is_never_overwritten() {
    let folder = Folder::with("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, at INTEGER)");
    let line =
        "forebay load - --format csv --into app.db --table t --upsert id --newest-by at --json";
    let ran = folder.run_on(line, "id,v,at\n1,new,7\n1,old,3\n1,newest,9\n").exits(0);
    assert_eq!((ran.count("committed"), ran.count("unchanged")), (3, 1));
    assert_eq!(folder.rows("SELECT * FROM t"), ["1, 'newest', 9"]);
}

#[test]
fn fields_that_columns_does_not_name_are_left_out_of_json() {
    let folder = Folder::with(TABLE);
    let line = "forebay load - --format ndjson --columns id --into app.db --table t";
    folder.run_on(line, "{\"id\":1,\"v\":\"left out\",\"other\":{}}\n").exits(0);
    assert_eq!(folder.rows("SELECT * FROM t"), ["1, NULL"]);
}

#[test]
fn a_summary_says_up_to_which_line_all_is_decided_and_names_any_path() {
    let folder = Folder::with("");
    folder.write("rows.csv", "id,v\n1,\"a\nb\nc\"\n");
    let script =
        r#"forebay load rows.csv --into "$(printf 'bad\377.db')" --table t --create --json"#;
    let ran = folder.run_script(script).exits(0);
    assert_eq!((ran.count("read"), ran.count("decided_lines")), (1, 4));
    assert_eq!(ran.summary()["into"], "bad\u{fffd}.db");
}
