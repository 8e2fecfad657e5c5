//! Bad rows are isolated: the database ends up as if every row had come alone, and only the refused rows say so.

use forebay::{Error, ErrorKind, Producer, Receipt, WriteBuffer};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde_json::json;
use support::Scratch;

/// A row of the table `t(id, u, n)`.
type Row = (i64, Option<i64>, Option<i64>);

/// Everything in `t`, row by row.
type Contents = Vec<(Value, Value, Value)>;

/// How a test's rows get into `t`.
#[derive(Clone, Copy)]
enum Way<'a> {
    Insert,
    Upsert,
    Statement(&'a str),
}

impl Way<'_> {
    /// What a plain loop would run for each row.
    fn sql(&self) -> &str {
        match self {
            Self::Insert => "INSERT INTO t(id, u, n) VALUES (?1, ?2, ?3)",
            Self::Upsert => {
                "INSERT INTO t(id, u, n) VALUES (?1, ?2, ?3) \
                 ON CONFLICT(id) DO UPDATE SET u=excluded.u, n=excluded.n"
            }
            Self::Statement(sql) => sql,
        }
    }

    fn producer(&self, buffer: &WriteBuffer) -> Producer {
        match self {
            Self::Insert => buffer.table("t").insert().producer().unwrap(),
            Self::Upsert => buffer.table("t").upsert(["id"]).producer().unwrap(),
            Self::Statement(sql) => buffer.statement(sql).unwrap(),
        }
    }
}

/// A buffer in front of `t`, and a look behind it.
struct Buffered {
    connection: Connection,
    buffer: WriteBuffer,
    producer: Producer,
    _scratch: Scratch,
}

const CLAUSES: [&str; 5] = ["FAIL", "ABORT", "ROLLBACK", "REPLACE", "IGNORE"];

/// More than two of the largest multi-row statements, and a rest.
const ROWS: i64 = 130;

const PLAIN: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, u INTEGER UNIQUE, n INTEGER NOT NULL DEFAULT 7);
                     INSERT INTO t VALUES (-1, -1, -1);";

const FAMILY: &str = "CREATE TABLE parents(id INTEGER PRIMARY KEY);
    CREATE TABLE children(
        id INTEGER PRIMARY KEY,
        parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
        u INTEGER UNIQUE
    );
    INSERT INTO parents VALUES (1);";

fn from_schema(clause: &str) -> String {
    format!(
        "CREATE TABLE t(
             id INTEGER PRIMARY KEY ON CONFLICT {clause},
             u INTEGER UNIQUE ON CONFLICT {clause},
             n INTEGER NOT NULL ON CONFLICT {clause} DEFAULT 7
         );
         INSERT INTO t VALUES (-1, -1, -1);"
    )
}

fn from_trigger(action: &str) -> String {
    let raise = if action == "IGNORE" { "IGNORE".to_owned() } else { format!("{action}, 'no'") };
    format!(
        "{PLAIN}
         CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.n IS NULL OR new.u = -1
         BEGIN SELECT RAISE({raise}); END;"
    )
}

/// Where the bad rows are, in a batch of [`ROWS`].
fn positions() -> [Vec<i64>; 6] {
    [
        vec![0],
        vec![64],
        vec![ROWS - 1],
        vec![48, 49, 50, 51],
        vec![0, 3, 77, ROWS - 1],
        (0..ROWS).collect(),
    ]
}

/// Good rows, with the bad one in the given places.
fn rows(bad_at: &[i64], bad: fn(i64) -> Row) -> Vec<Row> {
    let row = |place| {
        if bad_at.contains(&place) { bad(place) } else { (place, Some(place), Some(place)) }
    };
    (0..ROWS).map(row).collect()
}

/// Rows that are bad in one way each: the same as a row that is there, as the row before, or NULL.
const BAD: [fn(i64) -> Row; 4] = [
    |place| (place, Some(-1), Some(place)),
    |place| (place, Some(place - 1), Some(place)),
    |place| (place, Some(place), None),
    |place| (place - 1, Some(place), Some(place)),
];

fn contents(connection: &Connection) -> Contents {
    let mut statement = connection.prepare("SELECT id, u, n FROM t ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// What a plain loop makes of the units: each in a transaction of its own. Says which were accepted.
fn one_by_one(schema: &str, sql: &str, units: &[Vec<Row>]) -> (Vec<bool>, Contents) {
    let twin = Connection::open_in_memory().unwrap();
    twin.execute_batch(schema).unwrap();
    let accepts = |unit: &Vec<Row>| {
        if let [row] = unit[..] {
            return twin.execute(sql, row).is_ok();
        }
        twin.execute_batch("BEGIN").unwrap();
        let accepted = unit.iter().all(|row| twin.execute(sql, *row).is_ok());
        if !twin.is_autocommit() {
            twin.execute_batch(if accepted { "COMMIT" } else { "ROLLBACK" }).unwrap();
        }
        accepted
    };
    let accepted = units.iter().map(accepts).collect();
    (accepted, contents(&twin))
}

impl Buffered {
    fn new(schema: &str, way: Way<'_>) -> Self {
        let scratch = Scratch::new(schema);
        let buffer = scratch.buffer();
        let (connection, producer) = (scratch.connection(), way.producer(&buffer));
        Self { connection, buffer, producer, _scratch: scratch }
    }

    /// What the buffer makes of units that are all in one batch, from the table's first state on.
    fn write(&self, units: &[Vec<Row>]) -> (Vec<bool>, Contents) {
        let reset =
            "BEGIN; DELETE FROM t; INSERT INTO t VALUES (-1, -2, -1); UPDATE t SET u = -1; COMMIT";
        self.connection.execute_batch(reset).unwrap();
        let submit = |unit: &Vec<Row>| match unit[..] {
            [row] => self.producer.submit(&row).unwrap(),
            _ => self
                .buffer
                .group(|group| unit.iter().try_for_each(|row| group.add(&self.producer, row)))
                .unwrap(),
        };
        let receipts: Vec<_> = units.iter().map(submit).collect();
        self.buffer.flush().unwrap();
        (receipts.iter().map(is_accepted).collect(), contents(&self.connection))
    }
}

/// Whether the row was accepted; if it was not, it was rejected and nothing else.
fn is_accepted(receipt: &Receipt) -> bool {
    match receipt.decided().expect("it was flushed") {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error:#}");
            false
        }
    }
}

/// Fails unless the buffer does to the units what a plain loop does.
fn assert_same(what: &str, schema: &str, way: Way<'_>, buffered: &Buffered, units: &[Vec<Row>]) {
    let before = buffered.buffer.stats();
    let (alone, expected) = one_by_one(schema, way.sql(), units);
    let (accepted, found) = buffered.write(units);
    assert_eq!(accepted, alone, "{what}: who was accepted");
    assert_eq!(found, expected, "{what}: what is in the table");
    let refused = units.iter().zip(&alone).filter(|(_, accepted)| !**accepted);
    let rejected: usize = refused.map(|(unit, _)| unit.len()).sum();
    let stats = buffered.buffer.stats();
    assert_eq!(stats.rejected - before.rejected, rejected as u64, "{what}: rejected");
    assert_eq!(stats.committed + stats.rejected, stats.accepted, "{what}: committed");
    assert_eq!(stats.transactions - before.transactions, 1, "{what}: one batch");
}

/// Does so for every bad row in every place.
fn assert_same_everywhere(what: &str, schema: &str, way: Way<'_>) {
    let buffered = Buffered::new(schema, way);
    for (kind, bad) in BAD.into_iter().enumerate() {
        for bad_at in positions() {
            let units: Vec<_> = rows(&bad_at, bad).into_iter().map(|row| vec![row]).collect();
            let (first, more) = (bad_at[0], bad_at.len() - 1);
            let what = format!("{what}, bad row {kind} at {first} and {more} more");
            assert_same(&what, schema, way, &buffered, &units);
        }
    }
}

/// The places of the receipts that were refused.
fn refused(receipts: &[Receipt]) -> Vec<usize> {
    (0..receipts.len()).filter(|&place| !is_accepted(&receipts[place])).collect()
}

fn error(receipt: &Receipt) -> Error {
    receipt.decided().expect("it was flushed").unwrap_err()
}

#[test]
fn a_conflict_clause_of_the_schema_does_to_a_batch_what_it_does_to_rows() {
    for clause in CLAUSES {
        assert_same_everywhere(clause, &from_schema(clause), Way::Insert);
    }
}

#[test]
fn a_conflict_clause_of_the_schema_does_to_upserts_what_it_does_to_rows() {
    for clause in CLAUSES {
        assert_same_everywhere(clause, &from_schema(clause), Way::Upsert);
    }
}

#[test]
fn a_conflict_clause_of_a_statement_does_to_a_batch_what_it_does_to_rows() {
    for clause in CLAUSES {
        let sql = format!("INSERT OR {clause} INTO t(id, u, n) VALUES (?1, ?2, ?3)");
        assert_same_everywhere(clause, PLAIN, Way::Statement(&sql));
    }
}

#[test]
fn a_triggers_raise_does_to_a_batch_what_it_does_to_rows() {
    for action in ["FAIL", "ABORT", "ROLLBACK", "IGNORE"] {
        assert_same_everywhere(action, &from_trigger(action), Way::Insert);
        assert_same_everywhere(action, &from_trigger(action), Way::Upsert);
    }
}

#[test]
fn a_group_with_a_bad_row_is_refused_whole_and_its_neighbours_are_not() {
    let schemas = CLAUSES.map(|clause| (clause, from_schema(clause)));
    let triggers =
        ["FAIL", "ABORT", "ROLLBACK", "IGNORE"].map(|action| (action, from_trigger(action)));
    for (what, schema) in schemas.into_iter().chain(triggers) {
        let buffered = Buffered::new(&schema, Way::Insert);
        for bad in BAD {
            for bad_at in [vec![60], vec![61], vec![62], vec![30, 61, 64, 119], vec![60, 61, 62]] {
                let all = rows(&bad_at, bad);
                let (before, rest) = all.split_at(30);
                let (grouped, after) = rest.split_at(60);
                let single = |row: &Row| vec![*row];
                let units: Vec<_> = before
                    .iter()
                    .map(single)
                    .chain(grouped.chunks(3).map(<[Row]>::to_vec))
                    .chain(after.iter().map(single))
                    .collect();
                let what = format!("{what}, groups with bad rows at {bad_at:?}");
                assert_same(&what, &schema, Way::Insert, &buffered, &units);
            }
        }
    }
}

#[test]
fn a_rejected_row_fails_its_own_receipt_and_no_other_whatever_refused_it() {
    let secret = "s3cret";
    let cases = [
        (
            "t(id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (-1, 's3cret')",
            (json!(1_000), json!(secret)),
            2067,
            "UNIQUE t.v",
        ),
        (
            "t(id TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES ('s3cret', 0)",
            (json!(secret), json!(0)),
            1555,
            "PRIMARY KEY t.id",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (7000, 0)",
            (json!(7_000), json!(secret)),
            1555,
            "PRIMARY KEY t.id",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v NOT NULL)",
            (json!(1_000), json!(null)),
            1299,
            "NOT NULL t.v",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v CONSTRAINT harmless CHECK (v <> 's3cret'))",
            (json!(1_000), json!(secret)),
            275,
            "CHECK harmless",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v REFERENCES t(id))",
            (json!(1_000), json!(secret)),
            787,
            "FOREIGN KEY",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v INTEGER) STRICT",
            (json!(1_000), json!(secret)),
            3091,
            "the column's type: cannot store TEXT value in INTEGER column t.v",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v);
             CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.v = 's3cret'
             BEGIN SELECT RAISE(ABORT, 'no s3cret here'); END",
            (json!(1_000), json!(secret)),
            1811,
            "a trigger's RAISE",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v)",
            (json!(secret), json!(0)),
            20,
            "the type of the INTEGER PRIMARY KEY",
        ),
        (
            "t(id INTEGER PRIMARY KEY, v CHECK (json(v) NOT NULL))",
            (json!(1_000), json!(secret)),
            1,
            "an expression of the schema",
        ),
    ];
    for (schema, bad, code, constraint) in cases {
        for bad_at in [0, 177, 399] {
            let scratch = Scratch::new(&format!("CREATE TABLE {schema}"));
            let there = scratch.value::<i64>("SELECT count(*) FROM t", []);
            let buffer = scratch.buffer();
            let producer = buffer.table("t").insert().producer().unwrap();
            let submit = |place: i64| {
                let good = (json!(place), json!(null));
                let good = if constraint.starts_with("NOT NULL") || code == 1 {
                    (json!(place), json!(0))
                } else {
                    good
                };
                producer.submit(if place == bad_at { &bad } else { &good }).unwrap()
            };
            let receipts: Vec<_> = (0..400).map(submit).collect();
            buffer.flush().unwrap();

            assert_eq!(refused(&receipts), [bad_at as usize], "{schema}");
            let error = error(&receipts[bad_at as usize]);
            assert_eq!(error.code(), Some(code), "{schema}: {error:#}");
            assert_eq!(error.constraint(), Some(constraint), "{schema}");
            assert_eq!(error.table(), Some("t"));
            assert!(!format!("{error:#} {error:?}").contains(secret), "{error:?}");
            assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), there + 399, "{schema}");
            let stats = buffer.stats();
            assert_eq!((stats.committed, stats.rejected, stats.transactions), (399, 1, 1));
        }
    }
}

#[test]
fn a_row_that_a_trigger_fails_after_it_was_inserted_is_not_in_the_table() {
    let scratch = Scratch::new(&format!(
        "{PLAIN} CREATE TRIGGER guard AFTER INSERT ON t WHEN new.n IS 0
         BEGIN INSERT INTO t VALUES (new.id + 1000, NULL, 1); SELECT RAISE(FAIL, 'no'); END;"
    ));
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let receipts: Vec<_> =
        (0..ROWS).map(|place| t.submit(&(place, place, i64::from(place != 70))).unwrap()).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [70]);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), ROWS);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t WHERE id IN (70, 1070)", []), 0);
}

#[test]
fn rows_of_several_producers_in_one_batch_are_refused_one_by_one() {
    let scratch = Scratch::new(&format!(
        "{} CREATE TABLE audit(what TEXT NOT NULL)",
        from_schema("ROLLBACK")
    ));
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    let mut receipts = Vec::new();
    for place in 0..ROWS {
        let u = if place % 40 == 7 { -1 } else { place };
        receipts.push(t.submit(&(place, u, place)).unwrap());
        let what = (place % 50 != 9).then_some("kept");
        receipts.push(audit.submit(&(what,)).unwrap());
    }
    buffer.flush().unwrap();
    let bad = (0..ROWS).flat_map(|place| [place % 40 == 7, place % 50 == 9]);
    let bad: Vec<_> = bad.enumerate().filter(|(_, bad)| *bad).map(|(place, _)| place).collect();
    assert_eq!(refused(&receipts), bad);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), ROWS + 1 - 4);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM audit", []), ROWS - 3);
    assert_eq!(buffer.stats().transactions, 1);
}

#[test]
fn a_child_that_comes_before_its_parent_passes_in_one_batch() {
    let scratch = Scratch::new(FAMILY);
    let buffer = scratch.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let child = children.submit(&(1, 50, None::<i64>)).unwrap();
    let parent = parents.submit(&(50,)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(refused(&[child, parent]), [0; 0]);
    assert_eq!(scratch.value::<i64>("SELECT parent FROM children", []), 50);
}

#[test]
fn children_without_a_parent_are_the_only_ones_refused_at_commit() {
    for orphans in [vec![0], vec![177], vec![399], vec![3, 388], vec![199, 200], (0..400).collect()]
    {
        let scratch = Scratch::new(FAMILY);
        let buffer = scratch.buffer();
        let children = buffer.table("children").insert().producer().unwrap();
        let submit = |place: usize| {
            let parent = if orphans.contains(&place) { 99 } else { 1 };
            children.submit(&(place, parent, None::<i64>)).unwrap()
        };
        let receipts: Vec<_> = (0..400).map(submit).collect();
        buffer.flush().unwrap();
        assert_eq!(refused(&receipts), orphans);
        let error = error(&receipts[orphans[0]]);
        assert_eq!((error.code(), error.constraint()), (Some(787), Some("FOREIGN KEY")));
        let there: i64 = scratch.value("SELECT count(*) FROM children WHERE parent = 1", []);
        assert_eq!(there, 400 - orphans.len() as i64);
        let stats = buffer.stats();
        assert_eq!(stats.rejected as usize, orphans.len());
        assert_eq!(stats.transactions, 1, "rehearsals are not counted");
    }
}

#[test]
fn a_child_before_its_parent_passes_beside_an_orphan() {
    let scratch = Scratch::new(FAMILY);
    let buffer = scratch.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let mut receipts = vec![
        children.submit(&(0, 50, None::<i64>)).unwrap(),
        children.submit(&(1, 99, None::<i64>)).unwrap(),
    ];
    receipts.extend((2..120).map(|id| children.submit(&(id, 1, None::<i64>)).unwrap()));
    receipts.push(parents.submit(&(50,)).unwrap());
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [1]);
}

#[test]
fn a_group_with_an_orphan_is_refused_whole() {
    let scratch = Scratch::new(FAMILY);
    let buffer = scratch.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let family = |id: i64, parent: i64| {
        let group = buffer.group(|group| {
            group.add(&children, &(id, parent, None::<i64>))?;
            group.add(&parents, &(id,))
        });
        group.unwrap()
    };
    let receipts: Vec<_> =
        (100..200).map(|id| family(id, if id == 150 { 99 } else { id })).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [50]);
    for table in ["parents", "children"] {
        let sql = format!("SELECT count(*), total(id = 150) FROM {table} WHERE id >= 100");
        let (rows, of_the_group): (i64, f64) =
            scratch.connection().query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!((rows, of_the_group), (99, 0.0), "{table}");
    }
    assert_eq!(buffer.stats().rejected, 2);
}

#[test]
fn a_delete_that_would_leave_children_behind_is_the_only_one_refused() {
    let scratch = Scratch::new(FAMILY);
    {
        let connection = scratch.connection();
        for id in 2..100 {
            connection.execute("INSERT INTO parents VALUES (?1)", params![id]).unwrap();
        }
        connection.execute("INSERT INTO children VALUES (1, 42, NULL)", []).unwrap();
    }
    let buffer = scratch.buffer();
    let parents = buffer.table("parents").delete(["id"]).producer().unwrap();
    let receipts: Vec<_> = (1..100).map(|id| parents.submit(&(id,)).unwrap()).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [41]);
    assert_eq!(scratch.column::<i64>("SELECT id FROM parents"), [42]);
}

#[test]
fn a_row_that_conflicts_only_with_an_orphan_is_written() {
    let scratch = Scratch::new(FAMILY);
    let buffer = scratch.buffer();
    let children = buffer.table("children").insert().producer().unwrap();
    let orphan = children.submit(&(1, 99, 5)).unwrap();
    let twin = children.submit(&(2, 1, 5)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(refused(&[orphan, twin]), [0], "alone, the second row is good");
    assert_eq!(scratch.column::<i64>("SELECT id FROM children"), [2]);
}

#[test]
fn an_orphan_takes_no_row_with_it_that_depends_on_a_late_parents_child() {
    let scratch = Scratch::new(&format!(
        "{FAMILY} CREATE TABLE toys(id INTEGER PRIMARY KEY, child INTEGER REFERENCES children);"
    ));
    let buffer = scratch.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let toys = buffer.table("toys").insert().producer().unwrap();
    let receipts = [
        children.submit(&(7, 50, None::<i64>)).unwrap(),
        toys.submit(&(1, 7)).unwrap(),
        parents.submit(&(50,)).unwrap(),
        children.submit(&(8, 99, None::<i64>)).unwrap(),
    ];
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [3], "without the orphan the batch commits as it is");
}

#[test]
fn a_refused_row_does_not_change_what_unchanged_counts() {
    let scratch = Scratch::new(PLAIN);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().ignore_duplicates().producer().unwrap();
    for place in 0..ROWS {
        let u = if place % 10 == 0 { -1 } else { place };
        t.push(&(place, Some(u), (place != 77).then_some(place))).unwrap();
    }
    buffer.flush().unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.rejected, stats.committed, stats.unchanged), (1, ROWS as u64 - 1, 13));
}
