//! What a value becomes in the database, and what is refused before it gets there.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use forebay::{ErrorKind, Producer, WriteBuffer};
use rusqlite::types::Value;
use serde::Serialize;
use serde_json::json;
use support::Scratch;

/// A table with columns that keep every value as it came.
struct Store {
    scratch: Scratch,
    buffer: WriteBuffer,
    rows: Producer,
}

#[derive(Serialize)]
struct Row<T> {
    id: i64,
    v: T,
}

#[derive(Serialize)]
struct Newtype<T>(T);

#[derive(Serialize)]
struct Nothing;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Running,
    HalfDone,
    #[serde(rename = "kaputt")]
    Broken,
}

#[derive(Serialize)]
enum Rich {
    Value(i64),
    Pair(i64, i64),
    Named { a: i64 },
}

#[derive(Serialize)]
struct Nested {
    list: Vec<i64>,
    name: &'static str,
    missing: Option<bool>,
}

impl Store {
    fn new() -> Self {
        let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v, w, x)");
        let buffer = scratch.buffer();
        let rows = buffer.table("t").upsert(["id"]).producer().unwrap();
        Self { scratch, buffer, rows }
    }

    /// Writes a value and reads it back.
    fn put<T: Serialize>(&self, v: T) -> Value {
        self.rows.write(&Row { id: 1, v }).unwrap();
        self.scratch.value("SELECT v FROM t WHERE id = 1", [])
    }

    /// Writes a row and reads it back.
    fn put_row<R: Serialize + ?Sized>(&self, row: &R) -> [Value; 4] {
        self.buffer.execute("DELETE FROM t").unwrap();
        self.rows.write(row).unwrap();
        let whole = "SELECT id, v, w, x FROM t";
        let connection = self.scratch.connection();
        let read = connection
            .query_row(whole, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
        read.unwrap()
    }

    /// The error that a row is refused with; nothing of it was accepted.
    fn refusal<R: Serialize + ?Sized>(&self, row: &R) -> forebay::Error {
        let before = self.buffer.stats().accepted;
        let error = self.rows.push(row).unwrap_err();
        assert_eq!(self.buffer.stats().accepted, before, "{error:#}");
        error
    }
}

fn integer(number: i64) -> Value {
    Value::Integer(number)
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// A row of named fields, in an order of its own.
fn map<V: Clone>(fields: &[(&str, V)]) -> HashMap<String, V> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn booleans_and_integers_of_every_width_are_integers() {
    let store = Store::new();
    assert_eq!(store.put(true), integer(1));
    assert_eq!(store.put(false), integer(0));
    assert_eq!(store.put(i8::MIN), integer(-128));
    assert_eq!(store.put(i16::MIN), integer(-32_768));
    assert_eq!(store.put(i32::MIN), integer(-2_147_483_648));
    assert_eq!(store.put(u8::MAX), integer(255));
    assert_eq!(store.put(u16::MAX), integer(65_535));
    assert_eq!(store.put(u32::MAX), integer(4_294_967_295));
    for number in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert_eq!(store.put(number), integer(number));
        assert_eq!(store.put(i128::from(number)), integer(number));
        assert_eq!(store.put(isize::try_from(number).unwrap()), integer(number));
    }
    assert_eq!(store.put(i64::MAX as u64), integer(i64::MAX));
    assert_eq!(store.put(i64::MAX as u128), integer(i64::MAX));
}

#[test]
fn floats_are_reals_and_infinities_are_kept() {
    let store = Store::new();
    let numbers =
        [0.1, 1.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY];
    for number in numbers {
        assert_eq!(store.put(number), Value::Real(number));
    }
    assert_eq!(store.put(0.5f32), Value::Real(0.5));
    assert_eq!(store.put(f32::MAX), Value::Real(f64::from(f32::MAX)));
    assert_eq!(store.put(-0.0), Value::Real(0.0), "which equals -0.0");
}

#[test]
fn text_is_kept_whole() {
    let store = Store::new();
    for value in ["", "plain", "a\0b\0", "naïve ☃", "\u{1F980}𝔘", "'; DROP TABLE t; --", "\u{FEFF}"]
    {
        assert_eq!(store.put(value), text(value));
        assert_eq!(store.put(value.to_owned()), text(value));
    }
    let long = "x\u{1F980}".repeat(100_000);
    assert_eq!(store.put(&long), text(long.clone()));
    for value in ['x', '\0', '☃', '\u{1F980}', char::MAX] {
        assert_eq!(store.put(value), text(value));
    }
}

#[test]
fn bytes_are_blobs_and_an_empty_one_is_not_null() {
    let store = Store::new();
    let all: Vec<u8> = (0..=255).collect();
    for bytes in [&b""[..], b"\0", b"text", &all] {
        assert_eq!(store.put(serde_bytes::Bytes::new(bytes)), Value::Blob(bytes.to_vec()));
    }
    assert_eq!(store.put(serde_bytes::ByteBuf::from(all.clone())), Value::Blob(all));
}

#[test]
fn none_and_units_are_null_and_some_is_its_value() {
    let store = Store::new();
    assert_eq!(store.put(None::<i64>), Value::Null);
    assert_eq!(store.put(Some(None::<i64>)), Value::Null);
    assert_eq!(store.put(()), Value::Null);
    assert_eq!(store.put(Nothing), Value::Null);
    assert_eq!(store.put(Some(7)), integer(7));
    assert_eq!(store.put(Some(Some("seven"))), text("seven"));
}

#[test]
fn newtypes_references_and_boxes_are_what_they_hold() {
    let store = Store::new();
    assert_eq!(store.put(Newtype(7)), integer(7));
    assert_eq!(store.put(Newtype(Newtype(Some("x")))), text("x"));
    assert_eq!(store.put(Newtype(None::<i64>)), Value::Null);
    assert_eq!(store.put(Box::new(&&7)), integer(7));
    assert_eq!(store.put(std::borrow::Cow::Borrowed("x")), text("x"));
}

#[test]
fn unit_variants_are_their_serde_names() {
    let store = Store::new();
    assert_eq!(store.put(Status::Running), text("running"));
    assert_eq!(store.put(Status::HalfDone), text("half-done"));
    assert_eq!(store.put(Some(Status::Broken)), text("kaputt"));
}

#[test]
fn what_is_nested_in_a_row_is_json_text() {
    let store = Store::new();
    let nested = Nested { list: vec![1, 2], name: "a \"b\"\u{1F980}", missing: None };
    let whole = r#"{"list":[1,2],"name":"a \"b\"🦀","missing":null}"#;
    assert_eq!(store.put(&nested), text(whole));
    assert_eq!(store.put(Some(Newtype(&nested))), text(whole));
    assert_eq!(store.put(vec![1u8, 2]), text("[1,2]"), "a Vec<u8> is a sequence to serde");
    assert_eq!(store.put(Vec::<i64>::new()), text("[]"));
    assert_eq!(store.put((1, "x", None::<i64>)), text(r#"[1,"x",null]"#));
    assert_eq!(store.put([[1, 2], [3, 4]]), text("[[1,2],[3,4]]"));
    assert_eq!(store.put(BTreeMap::from([("a", 1), ("b", 2)])), text(r#"{"a":1,"b":2}"#));
    assert_eq!(store.put(BTreeMap::from([(7, 1)])), text(r#"{"7":1}"#));
    assert_eq!(store.put(Rich::Value(1)), text(r#"{"Value":1}"#));
    assert_eq!(store.put(Rich::Pair(1, 2)), text(r#"{"Pair":[1,2]}"#));
    assert_eq!(store.put(Rich::Named { a: 1 }), text(r#"{"Named":{"a":1}}"#));
    assert_eq!(store.put(json!({"a": [true, null, 1.5]})), text(r#"{"a":[true,null,1.5]}"#));
    let read: f64 = store.scratch.value("SELECT v ->> '$.a[2]' FROM t", []);
    assert_eq!(read, 1.5, "SQLite reads it as JSON");
}

#[test]
fn tuples_and_tuple_structs_go_to_the_columns_in_order() {
    #[derive(Serialize)]
    struct Tuple<'a>(i64, &'a str, Option<f64>, bool);

    let store = Store::new();
    let whole = [integer(7), text("x"), Value::Null, integer(1)];
    assert_eq!(store.put_row(&(7, "x", None::<f64>, true)), whole);
    assert_eq!(store.put_row(&Tuple(7, "x", None, true)), whole);
    assert_eq!(store.put_row(&[7, 8, 9, 10]), [7, 8, 9, 10].map(integer));
}

#[test]
fn maps_are_rows_whatever_their_order() {
    let store = Store::new();
    let whole = [integer(7), integer(8), integer(9), integer(10)];
    let fields = [("id", 7), ("v", 8), ("w", 9), ("x", 10)];
    assert_eq!(store.put_row(&BTreeMap::from(fields)), whole);
    // Every HashMap has an order of its own, and there are more orders than shapes.
    for _ in 0..40 {
        assert_eq!(store.put_row(&map(&fields)), whole);
    }
    let row = json!({"x": [1], "w": null, "v": 1.5, "id": 7});
    let whole = [integer(7), Value::Real(1.5), Value::Null, text("[1]")];
    assert_eq!(store.put_row(&row), whole);
}

#[test]
fn fields_go_by_their_serde_names() {
    #[derive(Serialize)]
    #[serde(rename_all = "UPPERCASE")]
    struct Renamed {
        #[serde(rename = "id")]
        number: i64,
        v: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        w: Option<i64>,
        #[serde(skip)]
        _internal: i64,
    }

    let store = Store::new();
    let row = Renamed { number: 7, v: "x", w: None, _internal: 0 };
    assert_eq!(store.put_row(&row), [integer(7), text("x"), Value::Null, Value::Null]);
    store.rows.write(&Renamed { w: Some(9), ..row }).unwrap();
    assert_eq!(store.scratch.value::<i64>("SELECT w FROM t", []), 9);
    store.rows.write(&Renamed { number: 7, v: "y", w: None, _internal: 0 }).unwrap();
    let kept = store.scratch.value::<i64>("SELECT w FROM t WHERE v = 'y'", []);
    assert_eq!(kept, 9, "a field that is skipped is a column that is not mentioned");
}

#[test]
fn flattened_fields_are_fields() {
    #[derive(Serialize)]
    struct Outer {
        id: i64,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, i64>,
    }
    #[derive(Serialize)]
    struct Inner {
        v: &'static str,
    }

    let store = Store::new();
    let row = Outer { id: 7, inner: Inner { v: "x" }, rest: BTreeMap::from([("x", 1), ("w", 2)]) };
    assert_eq!(store.put_row(&row), [integer(7), text("x"), integer(2), integer(1)]);
}

#[test]
fn a_tag_is_a_field() {
    #[derive(Serialize)]
    #[serde(tag = "v", rename_all = "lowercase")]
    enum Event {
        Started { id: i64, w: i64 },
        Ended { id: i64, x: &'static str },
    }

    let store = Store::new();
    let started = store.put_row(&Event::Started { id: 7, w: 3 });
    assert_eq!(started, [integer(7), text("started"), integer(3), Value::Null]);
    let ended = store.put_row(&Event::Ended { id: 7, x: "well" });
    assert_eq!(ended, [integer(7), text("ended"), Value::Null, text("well")]);
}

#[test]
fn what_wraps_a_row_is_a_row() {
    let store = Store::new();
    let whole = [integer(7), text("x"), Value::Null, Value::Null];
    assert_eq!(store.put_row(&Newtype(Row { id: 7, v: "x" })), whole);
    assert_eq!(store.put_row(&Some(Row { id: 7, v: "x" })), whole);
    assert_eq!(store.put_row(&Box::new(Newtype(&Row { id: 7, v: "x" }))), whole);
}

#[test]
fn a_value_that_no_column_holds_is_refused_with_its_fields_name() {
    fn refused<T: Serialize + Debug>(store: &Store, v: T, why: &str) {
        let what = format!("{v:?}");
        let error = store.refusal(&Row { id: 1, v });
        assert_eq!(error.kind(), ErrorKind::Encode, "{what}");
        assert_eq!((error.table(), error.field()), (Some("t"), Some("v")), "{what}");
        let message = error.to_string();
        assert!(message.contains("`v`") && message.contains(why), "{what}: {message}");
    }

    let store = Store::new();
    refused(&store, f64::NAN, "NaN");
    refused(&store, f32::NAN, "NaN");
    refused(&store, Some(f64::NAN), "NaN");
    refused(&store, i64::MAX as u64 + 1, "64-bit");
    refused(&store, u64::MAX, "64-bit");
    refused(&store, u128::MAX, "64-bit");
    refused(&store, i64::MAX as u128 + 1, "64-bit");
    refused(&store, i128::MIN, "64-bit");
    refused(&store, HashMap::from([(vec![1], 1)]), "key");

    let error = store.refusal(&(1, f64::NAN, 0, 0));
    assert!(error.to_string().contains("element 2"), "{error}");
    store.rows.write(&Row { id: 1, v: "fine" }).unwrap();
}

#[test]
fn a_serialize_impl_that_fails_is_quoted_and_leaves_nothing_behind() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("out of ink"))
        }
    }

    let store = Store::new();
    let error = store.refusal(&Row { id: 1, v: Fails });
    assert_eq!((error.kind(), error.field()), (ErrorKind::Encode, Some("v")));
    assert!(error.to_string().contains("out of ink"), "{error}");
    let error = store.refusal(&Row { id: 1, v: vec![Fails] });
    assert!(error.to_string().contains("out of ink"), "{error}");
    assert_eq!(store.put("next"), text("next"));
}

#[test]
fn what_has_no_fields_is_not_a_row() {
    fn refused<R: Serialize + Debug + ?Sized>(store: &Store, row: &R) {
        let error = store.refusal(row);
        assert_eq!(error.kind(), ErrorKind::Encode, "{row:?}: {error:#}");
        assert!(error.to_string().contains("must be a struct"), "{row:?}: {error}");
    }

    let store = Store::new();
    refused(&store, &7);
    refused(&store, &1.5);
    refused(&store, &true);
    refused(&store, &'x');
    refused(&store, "text");
    refused(&store, &vec![1, 2, 3, 4]);
    refused(&store, &[1, 2, 3, 4][..]);
    refused(&store, &None::<(i64, i64, i64, i64)>);
    refused(&store, &());
    refused(&store, serde_bytes::Bytes::new(b"bytes"));
    assert!(store.rows.push(&Nothing).is_err());
    assert!(store.rows.push(&Status::Running).is_err());
    assert!(store.rows.push(&Rich::Value(1)).is_err());
    assert!(store.rows.push(&Rich::Pair(1, 2)).is_err());
    assert!(store.rows.push(&Rich::Named { a: 1 }).is_err());
    let empty = store.refusal(&BTreeMap::<String, i64>::new());
    assert_eq!(empty.kind(), ErrorKind::Schema, "{empty:#}");
}
