//! Groups commit or are refused together.

use std::time::Duration;

use forebay::{Config, ErrorKind};
use support::{Database, lingering, on_both_sinks};

use crate::refused;

on_both_sinks!(
    a_group_over_several_tables_is_there_whole_or_not_at_all,
    a_group_larger_than_a_batch_is_one_transaction,
    what_was_refused_with_its_group_can_be_written_alone,
);

const TABLES: &str = "CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT NOT NULL);
    CREATE TABLE stock(id INTEGER PRIMARY KEY, left_over INTEGER NOT NULL CHECK (left_over >= 0));
    INSERT INTO stock VALUES (1, 10);";

/// Each takes one of ten from the stock; from the eleventh on that is refused, and so is the order.
fn a_group_over_several_tables_is_there_whole_or_not_at_all<D: Database>() {
    let database = D::new(TABLES);
    let buffer = database.buffer();
    let orders = buffer.table("orders").insert().producer().unwrap();
    let take =
        buffer.statement("UPDATE stock SET left_over = left_over - 1 WHERE id = :id").unwrap();
    let order = |id: i64| {
        let group = buffer.group(|group| {
            group.add(&orders, &(id, "one"))?;
            group.add(&take, &serde_json::json!({"id": 1}))
        });
        group.unwrap()
    };
    let receipts: Vec<_> = (0..15).map(order).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [10, 11, 12, 13, 14]);
    assert_eq!(
        database.column::<i64>("SELECT id FROM orders ORDER BY id"),
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(database.value::<i64>("SELECT left_over FROM stock"), 0);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.rejected), (20, 10));
}

fn a_group_larger_than_a_batch_is_one_transaction<D: Database>() {
    let database = D::new(TABLES);
    let config = Config { batch_size: 10, max_transaction_rows: 10, ..lingering() };
    let buffer = database.builder(config, Duration::from_secs(30)).open().unwrap();
    let orders = buffer.table("orders").insert().producer().unwrap();
    let group = |last: Option<&str>| {
        buffer.group(|group| {
            (0..99_i64).try_for_each(|id| group.add(&orders, &(id, "one")))?;
            group.add(&orders, &(99, last))
        })
    };
    let error = group(None).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:#}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM orders"), 0);
    group(Some("the hundredth")).unwrap().wait().unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM orders"), 100);
    assert_eq!(buffer.stats().transactions, 2, "the first committed that nothing was left");
}

fn what_was_refused_with_its_group_can_be_written_alone<D: Database>() {
    let database = D::new(TABLES);
    let buffer = database.buffer();
    let orders = buffer.table("orders").insert().producer().unwrap();
    let first = orders.submit(&(1, "one")).unwrap();
    let group = buffer.group(|group| {
        group.add(&orders, &(2, "two"))?;
        group.add(&orders, &(1, "one again"))
    });
    let again = orders.submit(&(2, "two again")).unwrap();
    buffer.flush().unwrap();
    assert_eq!(refused(&[first, group.unwrap(), again]), [1]);
    let rows = database.column::<String>("SELECT what FROM orders ORDER BY id");
    assert_eq!(rows, ["one", "two again"]);
}
