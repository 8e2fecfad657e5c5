//! Rows of one producer may have different fields; each list of fields is a shape with its own statement.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use forebay::{ColumnType, Config, WriteBuffer};
use serde::Serialize;
use support::{Gate, Scratch};

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
