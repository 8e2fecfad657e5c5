//! Groups commit or are refused together, and are never split.

use std::time::Duration;

use forebay::{Applied, Config, Error, ErrorKind, Rejection, WriteBuffer};
use support::Gate;

fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..Config::default() }
}

#[test]
fn a_group_is_one_unit_of_one_batch_with_one_receipt() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    topics.push(&(1, "alone", 0)).unwrap();
    let receipt = buffer
        .group(|group| {
            group.add(&topics, &(2, "running", 0))?;
            group.add(&audit, &(3,))
        })
        .unwrap();
    topics.push(&(4, "alone", 0)).unwrap();
    receipt.wait().unwrap();
    assert_eq!(gate.ids(), [[1, 2, 3, 4]]);
    assert_eq!(gate.calls()[0].units, [1, 2, 1]);
}

#[test]
fn a_group_is_not_split_by_any_limit() {
    let gate = Gate::open();
    let config =
        Config { batch_size: 4, max_transaction_rows: 4, max_batch_bytes: 200, ..lingering() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let group_of = |ids: std::ops::Range<i64>| {
        buffer
            .group(|group| ids.clone().try_for_each(|id| group.add(&topics, &(id, "running", 0))))
            .unwrap()
    };
    let receipts = [group_of(0..3), group_of(3..6), group_of(6..26)];
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    for call in gate.calls() {
        assert!(call.rows.len() == call.units.iter().sum::<usize>());
        assert!(call.units.iter().all(|unit| [3, 20].contains(unit)), "{:?}", call.units);
    }
    assert_eq!(gate.ids().concat(), (0..26).collect::<Vec<_>>());
}

#[test]
fn one_refused_row_refuses_its_group_and_no_other_row() {
    let gate = Gate::closed();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let before = topics.submit(&(1, "a", 0)).unwrap();
    let group = buffer
        .group(|group| {
            group.add(&topics, &(2, "b", 0))?;
            group.add(&topics, &(3, "c", 0))
        })
        .unwrap();
    let after = topics.submit(&(4, "d", 0)).unwrap();
    gate.answer(|_| {
        let error = Error::new(ErrorKind::Rejected, "no").with_code(19);
        Ok(Applied { rejected: vec![Rejection { row: 2, error }], transactions: 1, unchanged: 0 })
    });
    gate.open_up();
    before.wait().unwrap();
    after.wait().unwrap();
    let error = group.wait().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(19)));
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.rejected), (2, 2));
}

#[test]
fn a_group_whose_filling_fails_puts_nothing_in() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let error = buffer
        .group(|group| {
            group.add(&topics, &(1, "a", 0))?;
            group.add(&topics, &(2, f64::NAN, 0))
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    buffer.close().unwrap();
    assert!(gate.calls().is_empty());
}

#[test]
fn an_empty_group_is_done_at_once() {
    let gate = Gate::closed();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    buffer.group(|_| Ok(())).unwrap().wait().unwrap();
    assert_eq!(buffer.stats().accepted, 0);
}

#[test]
fn a_group_takes_no_row_of_another_buffer() {
    let (here, there) = (Gate::open(), Gate::open());
    let buffer = WriteBuffer::with_sink(here.sink(), lingering()).unwrap();
    let other = WriteBuffer::with_sink(there.sink(), lingering()).unwrap();
    let foreign = other.table("topics").insert().producer().unwrap();
    let error = buffer.group(|group| group.add(&foreign, &(1, "a", 0))).unwrap_err();
    assert!(error.to_string().contains("cannot take a row of a producer"), "{error}");
}

struct Panics;

impl serde::Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the application's own code")
    }
}

#[test]
fn a_panic_while_a_row_of_a_group_is_encoded_leaves_the_others_whole() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let receipt = buffer.group(|group| {
        group.add(&topics, &(1, "a", 0))?;
        let add = std::panic::AssertUnwindSafe(|| group.add(&topics, &(2, Panics, 0)));
        assert!(std::panic::catch_unwind(add).is_err());
        group.add(&topics, &(3, "c", 0))
    });
    receipt.unwrap().wait().unwrap();
    assert_eq!(gate.ids(), [[1, 3]]);
}
