//! Rows of one producer may have different fields; each list of fields is a shape with its own statement.

use std::collections::{BTreeMap, HashMap};

use forebay::{ErrorKind, MAX_SHAPES};
use serde::Serialize;
use support::{Database, on_both_sinks};

on_both_sinks!(
    a_field_that_a_row_does_not_have_is_a_column_that_is_not_mentioned,
    the_seventeenth_shape_is_refused_with_a_way_out,
    a_tuple_follows_its_table_when_that_changes,
    a_producer_that_says_so_takes_more_lists_of_fields,
);

#[derive(Serialize)]
struct Status<'a> {
    id: i64,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
}

fn a_field_that_a_row_does_not_have_is_a_column_that_is_not_mentioned<D: Database>() {
    let database =
        D::new("CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT, at INTEGER DEFAULT 7)");
    let buffer = database.buffer();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    topics.push(&Status { id: 1, status: "running", at: Some(100) }).unwrap();
    topics.push(&Status { id: 1, status: "done", at: None }).unwrap();
    topics.push(&Status { id: 2, status: "queued", at: None }).unwrap();
    buffer.close().unwrap();
    assert_eq!(database.value::<String>("SELECT status || at FROM topics WHERE id = 1"), "done100");
    assert_eq!(database.value::<i64>("SELECT at FROM topics WHERE id = 2"), 7);
}

fn the_seventeenth_shape_is_refused_with_a_way_out<D: Database>() {
    let columns: Vec<String> = (0..=MAX_SHAPES).map(|n| format!("c{n} INTEGER")).collect();
    let database =
        D::new(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {})", columns.join(",")));
    let buffer = database.buffer();
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
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), MAX_SHAPES as i64);
}

fn a_tuple_follows_its_table_when_that_changes<D: Database>() {
    let database = D::new("CREATE TABLE t(a TEXT, b TEXT)");
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&("first", "second")).unwrap();
    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(b TEXT, a TEXT)").unwrap();
    t.write(&("first", "second")).unwrap();
    buffer.execute("ALTER TABLE t RENAME COLUMN a TO c").unwrap();
    t.write(&("third", "fourth")).unwrap();
    assert_eq!(database.column::<String>("SELECT b || c FROM t"), ["firstsecond", "thirdfourth"]);
}

fn a_producer_that_says_so_takes_more_lists_of_fields<D: Database>() {
    const LISTS: usize = 100;
    let columns: Vec<String> = (0..LISTS).map(|n| format!("c{n} INTEGER")).collect();
    let database = D::new(&format!("CREATE TABLE t({})", columns.join(", ")));
    let buffer = database.buffer();
    let t = buffer.table("t").insert().max_shapes(LISTS - 1).producer().unwrap();
    let row = |n: usize| HashMap::from([(format!("c{n}"), n)]);
    for n in (0..LISTS - 1).chain(0..LISTS - 1) {
        t.push(&row(n)).unwrap();
    }
    let error = t.push(&row(LISTS - 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyShapes);
    assert!(error.to_string().contains("more than 99 different lists"), "{error}");
    buffer.flush().unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t WHERE c42 = 42"), 2);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 198);
    let refused = buffer.table("t").insert().max_shapes(0).producer().unwrap_err();
    assert!(refused.to_string().contains("max_shapes() takes 1 to 1,000"), "{refused}");
}
