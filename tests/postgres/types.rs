//! Every type that a column may have: what is sent there, and what the server makes of it.

use serde_json::{Value as Json, json};
use support::{Database, Postgres};

/// Writes values to a column, all in one batch with NULLs among them, and then each in a batch of its own; returns what the
/// server has of each as its text.
fn round_trip(declared: &str, values: &[Json]) -> Vec<String> {
    let database = Postgres::new(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, v {declared}); CREATE TABLE one(id INT PRIMARY KEY, v {declared});"
    ));
    let buffer = database.buffer();
    let (t, one) = (buffer.table("t").upsert(["id"]), buffer.table("one").insert());
    let (t, one) = (t.producer().unwrap(), one.producer().unwrap());
    for (id, value) in values.iter().enumerate() {
        t.push(&json!({ "id": 2 * id, "v": value })).unwrap();
        t.push(&json!({ "id": 2 * id + 1, "v": null })).unwrap();
    }
    buffer.flush().unwrap();
    for (id, value) in values.iter().enumerate() {
        one.write(&json!({ "id": 2 * id, "v": value })).unwrap();
    }
    let nulls = "SELECT count(*) FROM t WHERE v IS NULL";
    assert_eq!(database.column::<i64>(nulls), [values.len() as i64], "{declared}");
    let text = |table| format!("SELECT v::text FROM {table} WHERE v IS NOT NULL ORDER BY id");
    let together = database.column::<String>(&text("t"));
    assert_eq!(together, database.column::<String>(&text("one")), "{declared}");
    together
}

fn check(declared: &str, values: &[Json], expected: &[&str]) {
    assert_eq!(round_trip(declared, values), expected, "{declared}");
}

#[test]
fn integers_are_kept_up_to_their_limits_and_read_from_texts() {
    check("SMALLINT", &[json!(-32_768), json!(32_767), json!(0)], &["-32768", "32767", "0"]);
    check("INT", &[json!(i32::MIN), json!(i32::MAX)], &["-2147483648", "2147483647"]);
    check(
        "BIGINT",
        &[json!(i64::MIN), json!(i64::MAX)],
        &["-9223372036854775808", "9223372036854775807"],
    );
    check(
        "BIGINT",
        &[json!("42"), json!(7), json!(3.0), json!(-1e18)],
        &["42", "7", "3", "-1000000000000000000"],
    );
}

#[test]
fn floats_are_kept_to_their_last_bit() {
    let values = [json!(0.1), json!(-1e300), json!(5e-324), json!(3), json!("Infinity")];
    check("DOUBLE PRECISION", &values, &["0.1", "-1e+300", "5e-324", "3", "Infinity"]);
    check("REAL", &[json!(0.1), json!(16_777_216), json!(-2.5)], &["0.1", "16777216", "-2.5"]);
}

#[test]
fn numerics_come_as_numbers_or_as_texts_with_all_their_digits() {
    let long = "123456789012345678901234567890.123456789";
    check("NUMERIC", &[json!(1), json!(0.1), json!(long)], &["1", "0.1", long]);
    check(
        "NUMERIC(6, 2)",
        &[json!("1234.5"), json!(1.005), json!(-3)],
        &["1234.50", "1.01", "-3.00"],
    );
}

#[test]
fn texts_keep_every_character() {
    let odd = "quote \" ' back \\ comma , brace {} NULL \u{1f30a} \n end";
    for declared in ["TEXT", "VARCHAR(80)", "VARCHAR"] {
        check(declared, &[json!(odd), json!(""), json!("NULL")], &[odd, "", "NULL"]);
        // Numbers among them are their digits.
        check(declared, &[json!(5), json!(odd), json!(1.5)], &["5", odd, "1.5"]);
    }
    check("CHAR(4)", &[json!("ab"), json!("abcd")], &["ab", "abcd"]);
}

#[test]
fn booleans_are_booleans() {
    check("BOOLEAN", &[json!(true), json!(false)], &["true", "false"]);
    check("BOOLEAN", &[json!("yes"), json!(0), json!(true)], &["true", "false", "true"]);
}

#[test]
fn bytes_are_bytes() {
    #[derive(serde::Serialize)]
    struct Row<'a> {
        id: i32,
        #[serde(with = "serde_bytes")]
        v: &'a [u8],
    }
    let database = Postgres::new("CREATE TABLE t(id INT PRIMARY KEY, v BYTEA)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    for (id, v) in [(0, &[0, 255, 92, 34][..]), (1, &[])] {
        t.push(&Row { id, v }).unwrap();
    }
    buffer.flush().unwrap();
    // A text among them is read by the server, and has them read as texts too.
    t.push(&Row { id: 2, v: &[1, 0] }).unwrap();
    t.push(&json!({ "id": 3, "v": "\\x0a0b" })).unwrap();
    buffer.flush().unwrap();
    let expected = ["\\x00ff5c22", "\\x", "\\x0100", "\\x0a0b"];
    assert_eq!(database.column::<String>("SELECT v::text FROM t ORDER BY id"), expected);
}

#[test]
fn dates_and_times_come_as_texts() {
    let at = [json!("2026-12-01T12:00:00Z"), json!("2026-12-01 13:30:00.123456+01:00")];
    let database = Postgres::new("CREATE TABLE t(id INT PRIMARY KEY, v TIMESTAMPTZ, d DATE)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).newest_by("v").producer().unwrap();
    for (id, at) in at.iter().enumerate() {
        t.push(&json!({ "id": id, "v": at, "d": "2026-02-28" })).unwrap();
    }
    buffer.flush().unwrap();
    let text = "SELECT to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' ' || d FROM t ORDER BY id";
    assert_eq!(
        database.column::<String>(text),
        ["2026-12-01 12:00:00.000000 2026-02-28", "2026-12-01 12:30:00.123456 2026-02-28"]
    );
    // The database compares times, not their spellings.
    t.write(&json!({ "id": 0, "v": "2026-12-01 12:30:00+01:00", "d": "2026-01-01" })).unwrap();
    t.write(&json!({ "id": 1, "v": "2026-12-01 14:00:00+01:00", "d": "2026-01-01" })).unwrap();
    let dates = "SELECT d::text FROM t ORDER BY id";
    assert_eq!(database.column::<String>(dates), ["2026-02-28", "2026-01-01"]);
    check("DATE", &[json!("2026-12-01"), json!("infinity")], &["2026-12-01", "infinity"]);
}

#[test]
fn json_is_taken_as_it_is_and_made_of_nested_values() {
    let texts = ["{\"a\": [1, \"x\\\"y\"]}", "7", "\"t\"", "null"];
    let values = texts.map(|text| json!(text));
    check("JSON", &values, &texts);
    check("JSONB", &values, &texts);
    check(
        "JSONB",
        &[json!({ "a": [1, { "b": null }] }), json!([])],
        &["{\"a\": [1, {\"b\": null}]}", "[]"],
    );
    // A number is JSON too.
    check("JSONB", &[json!(5), json!("[1]"), json!(1.5)], &["5", "[1]", "1.5"]);
}

#[test]
fn uuids_come_as_texts_in_any_spelling() {
    let id = "00112233-4455-6677-8899-aabbccddeeff";
    let values = [json!(id), json!("{00112233445566778899AABBCCDDEEFF}")];
    check("UUID", &values, &[id, id]);
}

#[test]
fn parameters_of_statements_have_their_types_too() {
    let database = Postgres::new(
        "CREATE TABLE t(id INT PRIMARY KEY, s SMALLINT, r REAL, n NUMERIC, at TIMESTAMPTZ, u UUID, ok BOOLEAN, j JSONB)",
    );
    let buffer = database.buffer();
    let sql = "INSERT INTO t VALUES (:id, :s, :r, :n, :at, :u, :ok, :j)";
    let insert = buffer.statement(sql).unwrap();
    let row = json!({
        "id": 1, "s": 2, "r": 0.5, "n": "1.25", "at": "2026-12-01T12:00:00Z",
        "u": "00112233-4455-6677-8899-aabbccddeeff", "ok": true, "j": [1, 2]
    });
    insert.write(&row).unwrap();
    let text = "SELECT concat_ws(' ', s, r, n, at = '2026-12-01 12:00:00+00', u, ok, j) FROM t";
    let expected = "2 0.5 1.25 t 00112233-4455-6677-8899-aabbccddeeff t [1, 2]";
    assert_eq!(database.column::<String>(text), [expected]);
    let error = insert.write(&json!({
        "id": 2, "s": 70_000, "r": 0, "n": 0, "at": null, "u": null, "ok": null, "j": null
    }));
    assert_eq!(error.unwrap_err().sqlstate(), Some("22003"));
}
