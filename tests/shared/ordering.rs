//! Rows reach the database in the order in which they were accepted, whatever their producer.

use std::time::Duration;

use forebay::Config;
use support::{Database, on_both_sinks};

on_both_sinks!(
    what_the_database_sees_is_the_order_of_all_producers,
    eighty_threads_each_find_their_own_rows_in_order,
    an_insert_an_update_and_a_delete_of_one_key_each_meet_what_came_before,
    a_key_that_comes_often_in_one_batch_ends_as_it_came_last,
    unordered_rows_of_one_key_keep_their_order,
);

/// What a row says is added to what the rows before it said.
const TRAIL: &str = "CREATE TABLE trail(id INTEGER PRIMARY KEY, said TEXT NOT NULL)";

const ADD: &str = "UPDATE trail SET said = said || :what || ' ' WHERE id = :id";

fn numbers(said: &str) -> Vec<i64> {
    said.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn what_the_database_sees_is_the_order_of_all_producers<D: Database>() {
    let database = D::new(&format!("{TRAIL}; INSERT INTO trail VALUES (0, '')"));
    let buffer = database.buffer();
    let add = buffer.statement(ADD).unwrap();
    let add_too =
        buffer.statement("UPDATE trail SET said = said || $1 || ' ' WHERE id = 0").unwrap();
    let trail = buffer.table("trail").upsert(["id"]).producer().unwrap();
    let other = buffer.table("trail").insert().ignore_duplicates().producer().unwrap();
    for number in 0..400_i64 {
        match number % 4 {
            0 => add.push(&serde_json::json!({"id": 0, "what": number.to_string()})).unwrap(),
            1 => add_too.push(&(number.to_string(),)).unwrap(),
            2 => trail.push(&(1, number.to_string())).unwrap(),
            _ => other.push(&(1, "never")).unwrap(),
        }
    }
    buffer.close().unwrap();
    let said: String = database.value("SELECT said FROM trail WHERE id = 0");
    let expected: Vec<_> = (0..400).filter(|number| number % 4 < 2).collect();
    assert_eq!(numbers(&said), expected);
    assert_eq!(database.value::<String>("SELECT said FROM trail WHERE id = 1"), "398");
}

fn eighty_threads_each_find_their_own_rows_in_order<D: Database>() {
    let database = D::new(TRAIL);
    let config = Config { batch_size: 10, linger: Duration::ZERO, ..Config::default() };
    let buffer = database.builder(config, Duration::from_secs(30)).open().unwrap();
    let start = buffer.table("trail").insert().producer().unwrap();
    let add = buffer.statement(ADD).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..80_i64 {
            let (start, add) = (&start, &add);
            scope.spawn(move || {
                start.push(&(worker, "")).unwrap();
                for step in 0..20 {
                    add.push(&serde_json::json!({"id": worker, "what": step.to_string()})).unwrap();
                }
            });
        }
    });
    buffer.close().unwrap();
    let said: Vec<String> = database.column("SELECT said FROM trail ORDER BY id");
    assert_eq!(said.len(), 80);
    for said in said {
        assert_eq!(numbers(&said), (0..20).collect::<Vec<_>>());
    }
}

fn an_insert_an_update_and_a_delete_of_one_key_each_meet_what_came_before<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    let buffer = database.buffer();
    let insert = buffer.table("t").insert().producer().unwrap();
    let update = buffer.table("t").update(["id"]).producer().unwrap();
    let delete = buffer.table("t").delete(["id"]).producer().unwrap();
    for id in 0..50 {
        insert.push(&(id, "first")).unwrap();
        update.push(&(id, "updated")).unwrap();
        delete.push(&(id,)).unwrap();
        update.push(&(id, "not there")).unwrap();
        insert.push(&(id, "second")).unwrap();
    }
    buffer.flush().unwrap();
    assert_eq!(database.column::<String>("SELECT v FROM t"), ["second"; 50]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.rejected, stats.unchanged), (250, 0, 50));
}

fn a_key_that_comes_often_in_one_batch_ends_as_it_came_last<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, m INTEGER)");
    let buffer = database.buffer();
    let upsert = buffer.table("t").upsert(["id"]).producer().unwrap();
    let update = buffer.table("t").update(["id"]).producer().unwrap();
    let some = |id: i64, field: &str, value: i64| serde_json::json!({"id": id, field: value});
    for n in 0..400_i64 {
        upsert.push(&some(n % 7, "n", n)).unwrap();
    }
    buffer.flush().unwrap();
    for m in 0..400_i64 {
        update.push(&some(m % 7, "m", m)).unwrap();
        if m % 50 == 0 {
            update.push(&some(m % 7, "n", -m)).unwrap();
        }
    }
    buffer.flush().unwrap();
    let last = |key: i64| (0..400).rev().find(|n| n % 7 == key).unwrap();
    let expected: Vec<i64> = (0..7).map(last).collect();
    assert_eq!(database.column::<i64>("SELECT m FROM t ORDER BY id"), expected);
    let n = |key: i64| (0..400).rev().find(|n| n % 50 == 0 && n % 7 == key).map(|n| -n);
    let expected: Vec<i64> = (0..7).map(|key| n(key).unwrap_or(last(key))).collect();
    assert_eq!(database.column::<i64>("SELECT n FROM t ORDER BY id"), expected);
    assert_eq!(buffer.stats().committed, 808);
}

fn unordered_rows_of_one_key_keep_their_order<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).unordered().producer().unwrap();
    for n in 0..300_i64 {
        t.push(&((n * 37) % 11, n)).unwrap();
    }
    buffer.flush().unwrap();
    let last = |key: i64| (0..300).rev().find(|n| (n * 37) % 11 == key).unwrap();
    let expected: Vec<i64> = (0..11).map(last).collect();
    assert_eq!(database.column::<i64>("SELECT n FROM t ORDER BY id"), expected);
}
