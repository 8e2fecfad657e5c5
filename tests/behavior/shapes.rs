//! Rows of one producer may have different fields; each list of fields is a shape with its own statement.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use forebay::{ColumnType, Config, ErrorKind, MAX_SHAPES, WriteBuffer};
use serde::Serialize;
use support::{Gate, Scratch};

#[derive(Serialize)]
struct Status<'a> {
    id: i64,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
}

#[test]
fn a_field_that_a_row_does_not_have_is_a_column_that_is_not_mentioned() {
    let scratch = Scratch::new(
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT, at INTEGER DEFAULT 7)",
    );
    let buffer = scratch.buffer();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    topics.push(&Status { id: 1, status: "running", at: Some(100) }).unwrap();
    topics.push(&Status { id: 1, status: "done", at: None }).unwrap();
    topics.push(&Status { id: 2, status: "queued", at: None }).unwrap();
    buffer.close().unwrap();
    assert_eq!(
        scratch.value::<String>("SELECT status || at FROM topics WHERE id = 1", []),
        "done100"
    );
    assert_eq!(scratch.value::<i64>("SELECT at FROM topics WHERE id = 2", []), 7);
}

#[test]
fn maps_in_any_order_are_one_shape() {
    let gate = Gate::open();
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    for id in 0..100_i64 {
        // Every map has its own random order.
        let row: HashMap<&str, i64> =
            HashMap::from([("id", id), ("status", id + 1), ("at", id + 2)]);
        topics.push(&row).unwrap();
    }
    topics.push(&BTreeMap::from([("at", 102), ("id", 100), ("status", 101)])).unwrap();
    buffer.close().unwrap();
    let rows = gate.written();
    let columns = rows[0].columns.clone();
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row.columns, columns, "there is one shape");
        for (column, value) in columns.iter().zip(&row.values) {
            let offset = ["id", "status", "at"].iter().position(|name| name == column).unwrap();
            assert_eq!(*value, forebay::Value::Integer((number + offset) as i64));
        }
    }
}

#[test]
fn the_seventeenth_shape_is_refused_with_a_way_out() {
    let columns: Vec<String> = (0..=MAX_SHAPES).map(|n| format!("c{n} INTEGER")).collect();
    let scratch =
        Scratch::new(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {})", columns.join(",")));
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let row = |n: usize| BTreeMap::from([("id".to_owned(), n), (format!("c{n}"), n)]);
    for n in 0..MAX_SHAPES {
        t.push(&row(n)).unwrap();
    }
    let error = t.push(&row(MAX_SHAPES)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyShapes);
    assert!(
        error
            .to_string()
            .starts_with("a producer for t met more than 16 different lists of fields"),
        "{error}"
    );
    t.push(&row(0)).unwrap();
    buffer.close().unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), MAX_SHAPES as i64);
}

#[test]
fn producers_with_one_definition_share_their_shapes() {
    let gate = Gate::open();
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    for id in 0..100_000_i64 {
        let topics = buffer.table("topics").insert().producer().unwrap();
        topics.push(&(id, "x", 0)).unwrap();
        if id == 200 {
            break;
        }
    }
    buffer.close().unwrap();
    assert_eq!(gate.written().len(), 201);
}

#[derive(Serialize)]
struct Flattened {
    id: i64,
    #[serde(flatten)]
    more: BTreeMap<&'static str, i64>,
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), Config::default()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    topics.push(&Flattened { id: 1, more: BTreeMap::from([("at", 1)]) }).unwrap();
    let error = topics.push(&Flattened { id: 1, more: BTreeMap::from([("id", 2)]) }).unwrap_err();
    assert_eq!(error.to_string(), "field `id` of a row for topics is there twice");
}

#[test]
fn a_tuple_follows_its_table_when_that_changes() {
    let scratch = Scratch::new("CREATE TABLE t(a TEXT, b TEXT)");
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&("first", "second")).unwrap();
    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(b TEXT, a TEXT)").unwrap();
    t.write(&("first", "second")).unwrap();
    buffer.execute("ALTER TABLE t RENAME COLUMN a TO c").unwrap();
    t.write(&("third", "fourth")).unwrap();
    assert_eq!(scratch.column::<String>("SELECT b || c FROM t"), ["firstsecond", "thirdfourth"]);
}

#[test]
fn a_producer_that_says_so_takes_more_lists_of_fields() {
    const LISTS: usize = 100;
    let columns: Vec<String> = (0..LISTS).map(|n| format!("c{n} INTEGER")).collect();
    let scratch = Scratch::new(&format!("CREATE TABLE t({})", columns.join(", ")));
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().max_shapes(LISTS - 1).producer().unwrap();
    let row = |n: usize| HashMap::from([(format!("c{n}"), n)]);
    for n in (0..LISTS - 1).chain(0..LISTS - 1) {
        t.push(&row(n)).unwrap();
    }
    let error = t.push(&row(LISTS - 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyShapes);
    assert!(error.to_string().contains("more than 99 different lists"), "{error}");
    buffer.flush().unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t WHERE c42 = 42", []), 2);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 198);
    let refused = buffer.table("t").insert().max_shapes(0).producer().unwrap_err();
    assert!(refused.to_string().contains("max_shapes() takes 1 to 1,000"), "{refused}");
}

#[test]
fn a_table_is_described_by_the_columns_that_take_values() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name VARCHAR(9), ratio DOUBLE, at DATETIME, raw BLOB, \
         twice INTEGER GENERATED ALWAYS AS (id * 2))",
    );
    let info = scratch.buffer().describe("T").unwrap();
    assert_eq!(info.name(), "t");
    let columns: Vec<_> = info.columns().collect();
    assert_eq!(
        columns,
        [
            ("id", ColumnType::Integer),
            ("name", ColumnType::Text),
            ("ratio", ColumnType::Real),
            ("at", ColumnType::Number),
            ("raw", ColumnType::Any),
        ]
    );
}
