//! What a value becomes in a column of its type, and that it comes back as it was.

use std::collections::BTreeMap;

use forebay::{ErrorKind, Value};
use serde::Serialize;
use serde_json::json;
use support::{Database, on_both_sinks};

on_both_sinks!(
    every_kind_of_value_comes_back_as_it_was,
    a_row_of_nulls_and_a_row_of_everything_alternate,
    what_is_nested_in_a_row_is_json_text,
    values_of_any_size_up_to_the_limit_come_back,
    tuples_structs_and_maps_are_the_same_row,
    a_value_that_no_column_holds_is_refused_with_its_fields_name,
    hostile_names_are_names,
    a_hostile_name_can_be_a_key_and_a_guard,
);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, r REAL, s TEXT, b BLOB)";

#[derive(Serialize)]
struct Row<'a> {
    id: i64,
    n: Option<i64>,
    r: Option<f64>,
    s: Option<&'a str>,
    b: Option<&'a serde_bytes::Bytes>,
}

impl Row<'_> {
    const EMPTY: Self = Self { id: 1, n: None, r: None, s: None, b: None };

    fn values(&self) -> Vec<Value> {
        vec![
            Value::Integer(self.id),
            self.n.map_or(Value::Null, Value::Integer),
            self.r.map_or(Value::Null, Value::Real),
            self.s.map_or(Value::Null, |text| Value::Text(text.to_owned())),
            self.b.map_or(Value::Null, |bytes| Value::Blob(bytes.to_vec())),
        ]
    }
}

fn bytes(bytes: &[u8]) -> Option<&serde_bytes::Bytes> {
    Some(serde_bytes::Bytes::new(bytes))
}

const INTEGERS: [i64; 9] =
    [i64::MIN, i32::MIN as i64 - 1, -32_769, -1, 0, 1, 32_768, i32::MAX as i64 + 1, i64::MAX];

const REALS: [f64; 10] = [
    f64::NEG_INFINITY,
    f64::MIN,
    -1.5,
    0.0,
    f64::MIN_POSITIVE,
    0.1,
    1.0,
    1e300,
    f64::MAX,
    f64::INFINITY,
];

const TEXTS: [&str; 14] = [
    "",
    " ",
    "plain",
    "naïve ☃",
    "\u{1F980}𝔘",
    "'; DROP TABLE t; --",
    "\u{FEFF}",
    "a\tb\nc\\d\r",
    "\\x00",
    "{\"a\",NULL}",
    "NULL",
    "$1 :id ?",
    "\"quoted\"",
    "{}",
];

fn every_kind_of_value_comes_back_as_it_was<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let blobs: [&[u8]; 6] = [b"", b"\0", b"text", b"\\x41", b"a\0b", &all];
    let mut rows: Vec<Row<'_>> = Vec::new();
    rows.extend(INTEGERS.map(|n| Row { n: Some(n), ..Row::EMPTY }));
    rows.extend(REALS.map(|r| Row { r: Some(r), ..Row::EMPTY }));
    rows.extend(TEXTS.map(|s| Row { s: Some(s), ..Row::EMPTY }));
    rows.extend(blobs.map(|b| Row { b: bytes(b), ..Row::EMPTY }));
    for (id, row) in rows.iter_mut().enumerate() {
        row.id = id as i64;
        t.push(row).unwrap();
    }
    buffer.flush().unwrap();
    let expected: Vec<_> = rows.iter().map(Row::values).collect();
    assert_eq!(database.rows("SELECT id, n, r, s, b FROM t ORDER BY id"), expected);
    assert_eq!(buffer.stats().rejected, 0);
}

fn a_row_of_nulls_and_a_row_of_everything_alternate<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let row = |id: i64| match id % 2 {
        0 => Row { id, n: Some(id), r: Some(id as f64), s: Some("x"), b: bytes(b"y") },
        _ => Row { id, ..Row::EMPTY },
    };
    (0..100).for_each(|id| t.push(&row(id)).unwrap());
    buffer.flush().unwrap();
    let expected: Vec<_> = (0..100).map(|id| row(id).values()).collect();
    assert_eq!(database.rows("SELECT id, n, r, s, b FROM t ORDER BY id"), expected);
}

fn what_is_nested_in_a_row_is_json_text<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    for (value, text) in [
        (json!({"list": [1, 2], "name": "a \"b\"\u{1F980}", "missing": null}), None),
        (json!([1, "x", null]), Some(r#"[1,"x",null]"#)),
        (json!([]), Some("[]")),
    ] {
        t.write(&json!({"id": 1, "s": value})).unwrap();
        let stored: String = database.value("SELECT s FROM t");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stored).unwrap(), value);
        assert!(text.is_none_or(|text| text == stored), "{stored}");
    }
}

fn values_of_any_size_up_to_the_limit_come_back<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let lengths = [1, 1_000, 8_191, 8_192, 65_536, 300_000];
    let text = |length: usize| "x\u{1F980}".repeat(length / 5 + 1);
    let blob = |length: usize| -> Vec<u8> { (0..length).map(|n| n as u8).collect() };
    for (id, length) in lengths.into_iter().enumerate() {
        let (s, b) = (text(length), blob(length));
        let row = Row { id: id as i64, s: Some(&s), b: bytes(&b), ..Row::EMPTY };
        t.push(&row).unwrap();
    }
    buffer.flush().unwrap();
    let expected = lengths.map(|length| vec![Value::Text(text(length)), Value::Blob(blob(length))]);
    assert!(database.rows("SELECT s, b FROM t ORDER BY id") == expected, "equal in all lengths");
}

fn tuples_structs_and_maps_are_the_same_row<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.push(&(1, 7, 0.5, "x", bytes(b"y"))).unwrap();
    t.push(&Row { id: 2, n: Some(7), r: Some(0.5), s: Some("x"), b: bytes(b"y") }).unwrap();
    t.push(&json!({"s": "x", "r": 0.5, "id": 3, "n": 7})).unwrap();
    t.push(&BTreeMap::from([("id", 4), ("n", 7)])).unwrap();
    buffer.flush().unwrap();
    let whole = |id| Row { id, n: Some(7), r: Some(0.5), s: Some("x"), b: bytes(b"y") };
    let expected = [
        whole(1).values(),
        whole(2).values(),
        Row { b: None, ..whole(3) }.values(),
        Row { id: 4, n: Some(7), ..Row::EMPTY }.values(),
    ];
    assert_eq!(database.rows("SELECT id, n, r, s, b FROM t ORDER BY id"), expected);
}

fn a_value_that_no_column_holds_is_refused_with_its_fields_name<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let errors = [
        t.push(&BTreeMap::from([("id", 1.0), ("r", f64::NAN)])),
        t.push(&BTreeMap::from([("r", i64::MAX as u64 + 1)])),
        t.push(&BTreeMap::from([("r", i128::MIN)])),
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Encode, Some("r")), "{error:#}");
        assert_eq!(error.table(), Some("t"));
    }
    assert_eq!(buffer.stats().accepted, 0);
}

fn hostile_names_are_names<D: Database>() {
    let names = [
        "plain",
        "a b",
        "semi;colon",
        "\"",
        "\"; DROP TABLE victim; --",
        "'quoted'",
        "[bracketed]",
        "`ticked`",
        "select",
        "Order",
        "naïve ☃ 🦀",
        "per%cent_",
        "back\\slash",
        "new\nline",
        "?1",
        ":colon",
        "rowid of no table",
        " ",
    ];
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for table in names {
        let columns: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        let database = D::new(&format!(
            "CREATE TABLE victim(id INTEGER); CREATE TABLE {}(key INTEGER PRIMARY KEY, {} TEXT)",
            if table == "plain" { "plain".to_owned() } else { quoted(table) },
            columns.join(" TEXT, ")
        ));
        let schema = D::either(
            "SELECT group_concat(name || sql) FROM sqlite_schema",
            "SELECT string_agg(table_name || '.' || column_name, ', ' ORDER BY table_name, ordinal_position)
             FROM information_schema.columns WHERE table_schema = 'public'",
        );
        let before: String = database.value(schema);
        let buffer = database.buffer();

        let row = |key: i64, value: &str| {
            let mut row: BTreeMap<String, serde_json::Value> =
                names.iter().map(|name| ((*name).to_owned(), json!(value))).collect();
            row.insert("key".to_owned(), json!(key));
            row
        };
        let insert = buffer.table(table).insert().producer().unwrap();
        (0..60).for_each(|key| insert.push(&row(key, "inserted")).unwrap());
        let upsert = buffer.table(table).upsert(["key"]).producer().unwrap();
        upsert.push(&row(1, "upserted")).unwrap();
        let update = buffer.table(table).update(["key"]).producer().unwrap();
        update.push(&row(2, "updated")).unwrap();
        let delete = buffer.table(table).delete(["key"]).producer().unwrap();
        delete.push(&json!({"key": 3})).unwrap();
        buffer.flush().unwrap();
        assert_eq!(buffer.stats().committed, 63, "{table}");

        for column in names {
            let sql = format!(
                "SELECT {} FROM {} WHERE key < 4 ORDER BY key",
                quoted(column),
                quoted(table)
            );
            let values = database.column::<String>(&sql);
            assert_eq!(values, ["inserted", "upserted", "updated"], "{table} {column}");
        }
        assert_eq!(database.value::<String>(schema), before);
    }
}

fn a_hostile_name_can_be_a_key_and_a_guard<D: Database>() {
    let database = D::new(
        r#"CREATE TABLE "t""; --"("a ""key""; --" TEXT PRIMARY KEY, "is; ""new""" INTEGER, v TEXT)"#,
    );
    let buffer = database.buffer();
    let table = "t\"; --";
    let (key, newest) = ("a \"key\"; --", "is; \"new\"");
    let newest_first = buffer.table(table).upsert([key]).newest_by(newest).producer().unwrap();
    for (at, v) in [(2, "new"), (1, "old")] {
        newest_first.write(&json!({key: "k'; --", newest: at, "v": v})).unwrap();
    }
    let v: String = database.value(r#"SELECT v FROM "t""; --""#);
    assert_eq!(v, "new");
    buffer.table(table).delete([key]).producer().unwrap().write(&json!({key: "k'; --"})).unwrap();
    assert_eq!(database.value::<i64>(r#"SELECT count(*) FROM "t""; --""#), 0);
}
