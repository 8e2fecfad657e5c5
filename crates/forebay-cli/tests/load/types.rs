//! What becomes of a value on its way into a column, by the column's type.

use crate::support::Folder;

const TYPED: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, i BIGINT, r DOUBLE, n DECIMAL, d DATE, x VARCHAR(9), a, b BLOB)";

/// A value's text, and what is stored for it; nothing where it is rejected.
type Case = (&'static str, Option<&'static str>);

/// Loads one record for each case, and looks at what they became.
#[track_caller]
fn become_in(column: &str, format: &str, cases: &[Case]) {
    let folder = Folder::with(TYPED);
    let records = cases.iter().enumerate().map(|(id, (text, _))| match format {
        "ndjson" => format!("{{\"id\":{id},\"{column}\":{text}}}\n"),
        "csv" => format!("{id},\"{}\"\n", text.replace('"', "\"\"")),
        _ => format!("{id}\t{text}\n"),
    });
    let records: String = records.collect();
    let line = format!(
        "forebay load - --format {format} --into app.db --table t --json --columns id,{column}"
    );
    let ran = folder.run_on(&line, records);
    let expected = cases.iter().enumerate();
    let expected = expected.filter_map(|(id, (_, stored))| Some(format!("{id}, {}", (*stored)?)));
    let expected: Vec<_> = expected.collect();
    assert_eq!(folder.rows(&format!("SELECT id, {column} FROM t")), expected, "{column}: {ran:#?}");
    let rejected = cases.len() - expected.len();
    assert_eq!(ran.count("rejected"), rejected as u64);
    assert_eq!(ran.code, Some(i32::from(rejected > 0)));
    assert_eq!(ran.errors.lines().count(), rejected, "each is told: {ran:#?}");
}

#[test]
fn a_field_becomes_what_its_column_takes() {
    let columns: [(&str, &[Case]); 7] = [
        (
            "i",
            &[
                ("7", Some("7")),
                (" -7 ", Some("-7")),
                ("+7", Some("7")),
                ("007", Some("7")),
                ("9223372036854775807", Some("9223372036854775807")),
                ("1.0", Some("1")),
                ("1e3", Some("1000")),
                ("1.5", Some("1.5")),
                ("", Some("NULL")),
                ("  ", Some("NULL")),
                ("9223372036854775808", None),
                ("seven", None),
                ("0x10", None),
                ("inf", None),
                ("true", None),
                ("1,000", None),
            ],
        ),
        (
            "r",
            &[
                ("7", Some("7.0")),
                (" -0.5", Some("-0.5")),
                ("1e-3", Some("0.001")),
                ("", Some("NULL")),
                ("NaN", None),
                ("inf", None),
                ("1e999", None),
                ("1,5", None),
            ],
        ),
        (
            "n",
            &[("7", Some("7")), ("1.50", Some("1.5")), ("", Some("NULL")), ("n/a", Some("'n/a'"))],
        ),
        (
            "d",
            &[
                ("2026-01-31", Some("'2026-01-31'")),
                ("1769850000", Some("1769850000")),
                ("", Some("NULL")),
            ],
        ),
        (
            "x",
            &[
                ("007", Some("'007'")),
                ("1.50", Some("'1.50'")),
                (" a ", Some("' a '")),
                ("", Some("''")),
            ],
        ),
        ("a", &[("007", Some("'007'")), ("7", Some("'7'")), ("", Some("''"))]),
        ("b", &[("7", Some("'7'")), ("\"quoted\" \\n", Some("'\"quoted\" \\n'"))]),
    ];
    for (column, cases) in columns {
        become_in(column, "tsv", cases);
        become_in(column, "csv", cases);
    }
}

#[test]
fn a_json_value_keeps_its_type_where_the_column_takes_it() {
    let columns: [(&str, &[Case]); 6] = [
        (
            "i",
            &[
                ("7", Some("7")),
                ("\"7\"", Some("7")),
                ("true", Some("1")),
                ("false", Some("0")),
                ("null", Some("NULL")),
                ("\"\"", Some("NULL")),
                ("1.0", Some("1")),
                ("1.5", Some("1.5")),
                ("-9223372036854775808", Some("-9223372036854775808")),
                ("9223372036854775808", None),
                ("1e999", None),
                ("\"seven\"", None),
                ("[7]", None),
                ("{}", None),
            ],
        ),
        (
            "r",
            &[
                ("7", Some("7.0")),
                ("1e2", Some("100.0")),
                ("\"0.5\"", Some("0.5")),
                ("10000000000000000000", Some("1e19")),
                ("[]", None),
            ],
        ),
        (
            "n",
            &[
                ("7", Some("7")),
                ("1.5", Some("1.5")),
                ("true", Some("1")),
                ("\"n/a\"", Some("'n/a'")),
                ("[1, 2]", Some("'[1, 2]'")),
            ],
        ),
        ("d", &[("\"2026-01-31\"", Some("'2026-01-31'")), ("\"\"", Some("NULL"))]),
        (
            "x",
            &[
                ("\"text\"", Some("'text'")),
                ("\"\"", Some("''")),
                ("\"a\\tb\\u00e9\\ud83d\\ude00\"", Some("'a\tbé😀'")),
                ("7", Some("'7'")),
                ("1.50", Some("'1.50'")),
                ("12345678901234567890", Some("'12345678901234567890'")),
                ("true", Some("'true'")),
                ("null", Some("NULL")),
                ("{\"a\": [1, null]}", Some("'{\"a\": [1, null]}'")),
                ("\"\\ud800\"", None),
                ("\"\\u0000\"", None),
            ],
        ),
        (
            "a",
            &[
                ("7", Some("7")),
                ("1.5", Some("1.5")),
                ("1.0", Some("1.0")),
                ("\"7\"", Some("'7'")),
                ("true", Some("1")),
                ("null", Some("NULL")),
                ("12345678901234567890", None),
            ],
        ),
    ];
    for (column, cases) in columns {
        become_in(column, "ndjson", cases);
    }
}

#[test]
fn quotes_commas_and_line_ends_in_csv_are_part_of_the_field() {
    let folder = Folder::with(TYPED);
    let records = "id,x,a\r\n1,\"a, \"\"b\"\"\",\"two\r\nlines\"\r\n\r\n2,\"\",\" \"\n3,a\"b,c";
    folder.run_on("forebay load - --format csv --into app.db --table t", records).exits(0);
    assert_eq!(
        folder.rows("SELECT id, x, a FROM t"),
        ["1, 'a, \"b\"', 'two\r\nlines'", "2, '', ' '", "3, 'a\"b', 'c'"]
    );
}

#[test]
fn a_strict_table_judges_what_its_columns_take() {
    let folder = Folder::with(
        "CREATE TABLE s(id INTEGER PRIMARY KEY, i INT, r REAL, x TEXT, a ANY, b BLOB) STRICT",
    );
    let line = "forebay load - --into app.db --table s --format";
    let ran =
        folder.run_on(&format!("{line} csv"), "id,i,r,x,a\n1,1.0,1,1,1\n2,1.5,1,1,1\n").exits(1);
    assert!(ran.errors.contains("line 3: s refused a row"), "{ran:?}");
    let lines =
        "{\"id\":3,\"i\":true,\"r\":1,\"x\":7,\"a\":1.5,\"b\":null}\n{\"id\":4,\"b\":\"text\"}\n";
    let ran = folder.run_on(&format!("{line} ndjson"), lines).exits(1);
    assert!(ran.errors.contains("line 2: s refused a row"), "{ran:?}");
    assert_eq!(
        folder.rows("SELECT * FROM s"),
        ["1, 1, 1.0, '1', '1', NULL", "3, 1, 1.0, '7', 1.5, NULL"]
    );
}

#[test]
fn a_generated_column_is_the_databases_to_fill() {
    let folder = Folder::with(
        "CREATE TABLE g(id INTEGER PRIMARY KEY, a INT, twice INT AS (2*a), thrice INT AS (3*a) STORED)",
    );
    let line = "forebay load - --format csv --into app.db --table g";
    folder.run_on(line, "id,a\n1,2\n").exits(0);
    assert_eq!(folder.rows("SELECT * FROM g"), ["1, 2, 4, 6"]);
    let ran = folder.run_on(line, "id,a,twice\n1,2,5\n").exits(3);
    assert!(ran.errors.contains("`twice`"), "{ran:?}");
}

#[test]
fn a_field_that_is_not_there_is_a_column_not_mentioned() {
    let folder =
        Folder::with("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT DEFAULT 'new', b INT)");
    let line = "forebay load - --format ndjson --into app.db --table t --upsert id";
    folder
        .run_on(line, "{\"id\":1}\n{\"id\":2,\"a\":null}\n{\"b\":3,\"id\":3,\"a\":\"set\"}")
        .exits(0);
    assert_eq!(folder.rows("SELECT * FROM t"), ["1, 'new', NULL", "2, NULL, NULL", "3, 'set', 3"]);
    folder.run_on(line, "{\"id\":3,\"b\":null}\n{\"id\":1,\"b\":1}\n{\"id\":2}").exits(0);
    assert_eq!(folder.rows("SELECT * FROM t"), ["1, 'new', 1", "2, NULL, NULL", "3, 'set', NULL"]);
}

#[test]
fn lines_of_json_may_have_any_of_hundreds_of_lists_of_fields() {
    let columns: Vec<_> = (0..9).map(|column| format!("c{column}")).collect();
    let folder =
        Folder::with(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {})", columns.join(", ")));
    // Every subset of the columns, each twice.
    let lines = (0..1_024).map(|id: usize| {
        let fields = (0..9).filter(|column| id >> column & 1 == 1);
        let fields: String = fields.map(|column| format!(",\"c{column}\":1")).collect();
        format!("{{\"id\":{id}{fields}}}\n")
    });
    let lines: String = lines.collect();
    folder.run_on("forebay load - --format ndjson --into app.db --table t", lines).exits(0);
    assert_eq!(folder.count("t"), 1_024);
    let sum = (0..9).map(|column| format!("(ifnull(c{column}, 0) << {column})"));
    let sum = sum.collect::<Vec<_>>().join(" | ");
    assert_eq!(folder.rows(&format!("SELECT count(*) FROM t WHERE ({sum}) = id % 512")), ["1024"]);
}
