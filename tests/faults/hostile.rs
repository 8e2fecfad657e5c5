//! Values and names that are chosen to do harm: they come back as they went in, or are refused by a rule that is written down.

use std::collections::{BTreeMap, HashSet};

use forebay::{Config, ErrorKind, WriteBuffer};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rusqlite::types::Value;
use serde::{Serialize, Serializer};
use support::{Scratch, Seen, Trial, adds_up};

/// A value as it is sent.
#[derive(Debug, Clone)]
struct Sent(Value);

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Real(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Blob(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl Sent {
    fn is_refused(&self) -> bool {
        matches!(self.0, Value::Real(number) if number.is_nan())
    }
}

const HOSTILE: [&str; 24] = [
    "",
    " ",
    " leading",
    "trailing ",
    "\"",
    "\"\"",
    "'; DROP TABLE victim; --",
    "\"; DROP TABLE victim; --",
    "\"); DELETE FROM victim; --",
    "[id]",
    "`id`",
    "a\0b",
    "\0",
    "select",
    "ROWID",
    "null",
    "sqlite_mine",
    "main.victim",
    "?1",
    ":id",
    "e\u{301}",
    "\u{301}",
    "\u{1F980}\u{10FFFF}\u{FEFF}",
    "%s%n\\\n\r\t",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        4 => any::<String>(),
        2 => prop::collection::vec(prop::sample::select(&HOSTILE[..]), 2..4).prop_map(|parts| parts.concat()),
        1 => any::<char>().prop_map(|c| c.to_string().repeat(3_000)),
    ]
}

fn value() -> impl Strategy<Value = Sent> {
    let integers =
        prop_oneof![any::<i64>(), prop::sample::select(&[i64::MIN, -1, 0, 1, i64::MAX][..])];
    let reals = prop_oneof![
        any::<f64>(),
        prop::sample::select(
            &[
                f64::NAN,
                -f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                -0.0,
                f64::MIN_POSITIVE,
                f64::MAX,
                5e-324
            ][..]
        ),
    ];
    prop_oneof![
        8 => Just(Value::Null),
        16 => integers.prop_map(Value::Integer),
        16 => reals.prop_map(Value::Real),
        32 => text().prop_map(Value::Text),
        16 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Value::Blob),
        1 => any::<char>().prop_map(|c| Value::Text(c.to_string().repeat(1_000_000 / c.len_utf8()))),
    ]
    .prop_map(Sent)
}

#[derive(Debug)]
struct Case {
    table: String,
    /// The first is the key.
    columns: Vec<String>,
    rows: Vec<Vec<Sent>>,
}

fn case() -> impl Strategy<Value = Case> {
    (text(), prop::collection::vec(text(), 2..6)).prop_flat_map(|(table, mut columns)| {
        let mut seen = HashSet::new();
        columns.retain(|column| seen.insert(column.to_ascii_lowercase()));
        let rows = prop::collection::vec(prop::collection::vec(value(), columns.len() - 1), 1..20);
        rows.prop_map(move |rows| Case { table: table.clone(), columns: columns.clone(), rows })
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schema, and what is in a table that no row is for.
fn surroundings(scratch: &Scratch) -> Vec<String> {
    let mut all = scratch.column(
        "SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_schema ORDER BY rowid",
    );
    all.extend(scratch.column::<String>("SELECT id FROM victim"));
    all
}

fn row<'a>(case: &'a Case, key: &'a Sent, values: &'a [Sent]) -> BTreeMap<&'a str, &'a Sent> {
    let columns = case.columns.iter().map(String::as_str);
    columns.zip([key].into_iter().chain(values)).collect()
}

fn try_case(case: &Case) -> Seen {
    let scratch = Scratch::new("CREATE TABLE victim(id); INSERT INTO victim VALUES ('untouched')");
    let names: Vec<String> = case.columns.iter().map(|column| quoted(column)).collect();
    let (table, key) = (quoted(&case.table), &names[0]);
    let sql = format!("CREATE TABLE {table}({key} PRIMARY KEY, {})", names[1..].join(", "));
    let can_be = scratch.connection().execute_batch(&sql).is_ok();
    let before = surroundings(&scratch);
    // Enough for a row of nothing but texts of a megabyte.
    let config = Config { max_row_bytes: 8 << 20, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let producer = buffer.table(case.table.as_str()).upsert([case.columns[0].as_str()]).producer();
    if !can_be {
        // A name that SQLite has for no table or column: with a NUL, or of its own.
        assert_eq!(producer.map(drop).unwrap_err().kind(), ErrorKind::Schema, "{case:?}");
        assert_eq!(surroundings(&scratch), before);
        return Seen::default();
    }
    let rows = producer.unwrap();
    let delete =
        buffer.table(case.table.as_str()).delete([case.columns[0].as_str()]).producer().unwrap();
    let mut kept = Vec::new();
    for (id, values) in (0..).zip(&case.rows) {
        let key = Sent(Value::Integer(id));
        let told = rows.push(&row(case, &key, values));
        if values.iter().any(Sent::is_refused) {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Encode, "NaN");
            continue;
        }
        told.unwrap_or_else(|error| panic!("{error:#}: {case:?}"));
        kept.push((id, values));
    }
    let gone = Sent(Value::Integer(0));
    delete.push(&row(case, &gone, &[])).unwrap();
    kept.retain(|(id, _)| *id != 0);
    buffer.close().unwrap();
    let stats = buffer.stats();
    assert!(adds_up(&stats) && stats.committed == stats.accepted, "{stats:?} {case:?}");
    assert_eq!(surroundings(&scratch), before, "{case:?}");

    let connection = scratch.connection();
    let mut read = connection
        .prepare(&format!("SELECT {} FROM {table} ORDER BY {key}", names.join(", ")))
        .unwrap();
    let width = names.len();
    let there: Vec<Vec<Value>> = read
        .query_map([], |row| (0..width).map(|column| row.get(column)).collect())
        .and_then(Iterator::collect)
        .unwrap();
    assert!(there.len() <= kept.len(), "{case:?}");
    let is_there = |(id, values): &&(i64, &Vec<Sent>)| {
        there.iter().any(|row| {
            row[0] == Value::Integer(*id) && row[1..].iter().eq(values.iter().map(|sent| &sent.0))
        })
    };
    let whole = kept.iter().filter(is_there).count();
    assert_eq!(whole, kept.len(), "{case:?}");
    Seen { rows: stats.accepted, ..Seen::default() }
}

#[test]
fn hostile_names_and_values_come_back_as_they_went_in_or_are_refused() {
    Trial::of(
        19,
        "hostile values and names of tables and columns",
        "generated: quotes, NUL, keywords, SQL, any Unicode, 1 MB texts, ±inf, NaN, -0.0, limits of i64; read back, the schema compared",
    )
    .rounds(10, 150)
    .run(|_| {
        let mut runner = TestRunner::default();
        let mut seen = Seen::default();
        for _ in 0..5 {
            seen += try_case(&case().new_tree(&mut runner).unwrap().current());
        }
        seen
    });
}
