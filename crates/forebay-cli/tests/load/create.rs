//! `--create`: the table that an input calls for.

use crate::support::Folder;

/// What `--create` makes of an input, as `column TYPE`.
fn created(arguments: &str, input: &str) -> (Folder, Vec<String>) {
    let folder = Folder::with("");
    let line = format!("forebay load - --into app.db --table t --create {arguments}");
    folder.run_on(&line, input).exits(0);
    let columns = folder.rows("SELECT name || ' ' || type || iif(\"notnull\", ' NOT NULL', '') FROM pragma_table_info('t')");
    (folder, columns.into_iter().map(|column| column.trim_matches('\'').to_owned()).collect())
}

#[test]
fn create_gives_a_column_the_narrowest_type_that_loses_nothing() {
    let (folder, columns) = created(
        "--format csv --upsert id",
        "id,name,size,phone,share,nothing,order\n1,a,7,0301,0.5,,1\n2,b,8,+49,1,,x\n3,,9,1e5,2.25,,3\n",
    );
    let types = [
        "id INTEGER NOT NULL",
        "name TEXT",
        "size INTEGER",
        "phone TEXT",
        "share REAL",
        "nothing TEXT",
        "order TEXT",
    ];
    assert_eq!(columns, types);
    assert_eq!(
        folder.rows("SELECT * FROM t"),
        [
            "1, 'a', 7, '0301', 0.5, '', '1'",
            "2, 'b', 8, '+49', 1.0, '', 'x'",
            "3, '', 9, '1e5', 2.25, '', '3'"
        ]
    );
}

#[test]
fn create_takes_the_columns_from_all_lines_of_json_that_it_looks_at() {
    let (folder, columns) = created(
        "--format ndjson",
        "{\"id\":1,\"ok\":true,\"list\":[1]}\n{\"id\":2.5,\"ok\":null}\n{\"ID\":3,\"late\":18446744073709551616}\n",
    );
    assert_eq!(columns, ["id REAL", "ok INTEGER", "list TEXT", "late TEXT"]);
    assert_eq!(
        folder.rows("SELECT * FROM t"),
        ["1.0, 1, '[1]', NULL", "2.5, NULL, NULL, NULL", "3.0, NULL, NULL, '18446744073709551616'"]
    );
}

#[test]
fn create_looks_at_a_thousand_records_and_rejects_what_does_not_fit_later() {
    let folder = Folder::with("");
    let mut lines: String = (0..1_000).map(|id| format!("{id}\n")).collect();
    lines.push_str("a word\n1001\n");
    let line = "forebay load - --format tsv --columns id --into app.db --table t --create --json";
    let ran = folder.run_on(line, lines).exits(1);
    assert!(
        ran.errors.starts_with("created table t(id INTEGER), by the first 1000 records\n"),
        "{ran:?}"
    );
    assert!(ran.errors.contains("line 1001: column id: it is not a number"), "{ran:?}");
    assert_eq!(
        (ran.count("committed"), ran.count("rejected"), folder.count("t")),
        (1_001, 1, 1_001)
    );
}

#[test]
fn create_leaves_a_table_that_is_there_as_it_is() {
    let folder = Folder::with("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    let ran = folder
        .run_on("forebay load - --format csv --into app.db --table t --create", "id\n1\n")
        .exits(0);
    assert_eq!(ran.errors, "");
    assert_eq!(folder.rows("SELECT * FROM t"), ["1, NULL"]);
}
