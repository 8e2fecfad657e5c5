//! Bad rows are isolated: the database ends up as if every row had come alone, and only the refused rows say so.

use forebay::{Producer, Value, WriteBuffer};
use serde_json::{Value as Json, json};
use support::{Database, Session, SinkKind, on_both_sinks};

use crate::{conflicts, error, is_accepted, refused};

on_both_sinks!(
    a_bad_row_does_to_a_batch_what_it_does_to_rows,
    a_trigger_does_to_a_batch_what_it_does_to_rows,
    a_group_with_a_bad_row_is_refused_whole_and_its_neighbours_are_not,
    a_rejected_row_fails_its_own_receipt_and_no_other_whatever_refused_it,
    rows_of_several_producers_in_one_batch_are_refused_one_by_one,
    a_refused_row_does_not_change_what_unchanged_counts,
);

/// A row of the table `t(id, u, n)`.
pub(crate) type Row = (i64, Option<i64>, Option<i64>);

/// Everything in `t`, row by row.
type Contents = Vec<Vec<Value>>;

/// How a test's rows get into `t`.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Insert,
    Upsert,
    Statement(&'a str),
}

impl Way<'_> {
    /// What a plain loop would run for a row.
    fn sql(&self, (id, u, n): Row) -> String {
        let text = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        let values = [id.to_string(), text(u), text(n)];
        match self {
            Self::Insert => format!("INSERT INTO t(id, u, n) VALUES ({})", values.join(", ")),
            Self::Upsert => format!(
                "INSERT INTO t(id, u, n) VALUES ({}) \
                 ON CONFLICT(id) DO UPDATE SET u=excluded.u, n=excluded.n",
                values.join(", ")
            ),
            Self::Statement(sql) => {
                let names = [":id", ":u", ":n"].iter().zip(values);
                names.fold((*sql).to_owned(), |sql, (name, value)| sql.replace(name, &value))
            }
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
pub(crate) struct Buffered<D: Database> {
    database: D,
    session: D::Session,
    buffer: WriteBuffer,
    producer: Producer,
    twin: D,
}

/// More than two of the largest multi-row statements, and a rest.
pub(crate) const ROWS: i64 = 130;

pub(crate) const PLAIN: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, u INTEGER UNIQUE, n INTEGER NOT NULL DEFAULT 7);
                     INSERT INTO t VALUES (-1, -1, -1);";

/// [`PLAIN`], and a trigger that refuses rows, or passes over them.
fn with_trigger<D: Database>(refuses: bool) -> String {
    let (raise, body) = if refuses {
        ("RAISE(ABORT, 'no')", "RAISE EXCEPTION 'no'")
    } else {
        ("RAISE(IGNORE)", "RETURN NULL")
    };
    D::either(
        format!(
            "{PLAIN} CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.n IS NULL OR new.u = -1
             BEGIN SELECT {raise}; END;"
        ),
        format!(
            "{PLAIN} CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
             CREATE TRIGGER guard BEFORE INSERT ON t
             FOR EACH ROW WHEN (new.n IS NULL OR new.u = -1) EXECUTE FUNCTION guard();"
        ),
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

fn contents(database: &impl Database) -> Contents {
    database.rows("SELECT id, u, n FROM t ORDER BY id")
}

/// Brings `t` back to its first state, whatever triggers there are.
const RESET: &str =
    "BEGIN; DELETE FROM t; INSERT INTO t VALUES (-1, -2, -1); UPDATE t SET u = -1; COMMIT";

impl<D: Database> Buffered<D> {
    fn new(schema: &str, way: Way<'_>) -> Self {
        let (database, twin) = (D::new(schema), D::new(schema));
        let buffer = database.buffer();
        let (session, producer) = (database.session(), way.producer(&buffer));
        Self { database, session, buffer, producer, twin }
    }

    /// What a plain loop makes of the units: each in a transaction of its own. Says which were accepted.
    fn one_by_one(&self, way: Way<'_>, units: &[Vec<Row>]) -> (Vec<bool>, Contents) {
        let mut session = self.twin.session();
        session.run(RESET);
        let mut accepts = |unit: &Vec<Row>| {
            let statements: Vec<_> = unit.iter().map(|row| way.sql(*row)).collect();
            session.unit(&statements).is_some()
        };
        let accepted = units.iter().map(&mut accepts).collect();
        (accepted, contents(&self.twin))
    }

    /// What the buffer makes of units that are all in one batch, from the table's first state on.
    fn write(&mut self, units: &[Vec<Row>]) -> (Vec<bool>, Contents) {
        self.session.run(RESET);
        let submit = |unit: &Vec<Row>| match unit[..] {
            [row] => self.producer.submit(&row).unwrap(),
            _ => self
                .buffer
                .group(|group| unit.iter().try_for_each(|row| group.add(&self.producer, row)))
                .unwrap(),
        };
        let receipts: Vec<_> = units.iter().map(submit).collect();
        self.buffer.flush().unwrap();
        (receipts.iter().map(is_accepted).collect(), contents(&self.database))
    }
}

/// Fails unless the buffer does to the units what a plain loop does.
fn assert_same<D: Database>(
    what: &str,
    way: Way<'_>,
    buffered: &mut Buffered<D>,
    units: &[Vec<Row>],
) {
    let before = buffered.buffer.stats();
    let (alone, expected) = buffered.one_by_one(way, units);
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
pub(crate) fn assert_same_everywhere<D: Database>(what: &str, schema: &str, way: Way<'_>) {
    let mut buffered = Buffered::<D>::new(schema, way);
    for (kind, bad) in BAD.into_iter().enumerate() {
        for bad_at in positions() {
            let units: Vec<_> = rows(&bad_at, bad).into_iter().map(|row| vec![row]).collect();
            let (first, more) = (bad_at[0], bad_at.len() - 1);
            let what = format!("{what}, bad row {kind} at {first} and {more} more");
            assert_same(&what, way, &mut buffered, &units);
        }
    }
}

/// Fails unless groups are refused whole for every bad row in every place, and their neighbours are not.
pub(crate) fn assert_groups_are_whole<D: Database>(what: &str, schema: &str) {
    let mut buffered = Buffered::<D>::new(schema, Way::Insert);
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
            assert_same(&what, Way::Insert, &mut buffered, &units);
        }
    }
}

fn a_bad_row_does_to_a_batch_what_it_does_to_rows<D: Database>() {
    assert_same_everywhere::<D>("insert", PLAIN, Way::Insert);
    assert_same_everywhere::<D>("upsert", PLAIN, Way::Upsert);
    let sql = "INSERT INTO t(id, u, n) VALUES (:id, :u, :n)";
    assert_same_everywhere::<D>("statement", PLAIN, Way::Statement(sql));
}

fn a_trigger_does_to_a_batch_what_it_does_to_rows<D: Database>() {
    for refuses in [true, false] {
        let schema = with_trigger::<D>(refuses);
        assert_same_everywhere::<D>("insert", &schema, Way::Insert);
        assert_same_everywhere::<D>("upsert", &schema, Way::Upsert);
    }
}

fn a_group_with_a_bad_row_is_refused_whole_and_its_neighbours_are_not<D: Database>() {
    assert_groups_are_whole::<D>("plain", PLAIN);
    assert_groups_are_whole::<D>("a trigger refuses", &with_trigger::<D>(true));
    assert_groups_are_whole::<D>("a trigger passes over", &with_trigger::<D>(false));
}

/// What refuses one row of 400: the table, the bad row, the database's number, the constraint, and the others' value.
type Refusal = (&'static str, (Json, Json), &'static str, &'static str, Json);

fn refusals<D: Database>() -> Vec<Refusal> {
    let secret = || json!("s3cret");
    let sqlite = || {
        vec![
            (
                "t(id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (-1, 's3cret')",
                (json!(1_000), secret()),
                "2067",
                "UNIQUE t.v",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES ('s3cret', 0)",
                (secret(), json!(0)),
                "1555",
                "PRIMARY KEY t.id",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (7000, 0)",
                (json!(7_000), secret()),
                "1555",
                "PRIMARY KEY t.id",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v NOT NULL)",
                (json!(1_000), json!(null)),
                "1299",
                "NOT NULL t.v",
                json!(0),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v CONSTRAINT harmless CHECK (v <> 's3cret'))",
                (json!(1_000), secret()),
                "275",
                "CHECK harmless",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v REFERENCES t(id))",
                (json!(1_000), secret()),
                "787",
                "FOREIGN KEY",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v INTEGER) STRICT",
                (json!(1_000), secret()),
                "3091",
                "the column's type: cannot store TEXT value in INTEGER column t.v",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v);
             CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.v = 's3cret'
             BEGIN SELECT RAISE(ABORT, 'no s3cret here'); END",
                (json!(1_000), secret()),
                "1811",
                "a trigger's RAISE",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v)",
                (secret(), json!(0)),
                "20",
                "the type of the INTEGER PRIMARY KEY",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v CHECK (json(v) NOT NULL))",
                (json!(1_000), secret()),
                "1",
                "an expression of the schema",
                json!(0),
            ),
        ]
    };
    let postgres = || {
        vec![
            (
                "t(id BIGINT PRIMARY KEY, v TEXT UNIQUE); INSERT INTO t VALUES (-1, 's3cret')",
                (json!(1_000), secret()),
                "23505",
                "UNIQUE t_v_key",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES ('s3cret', 0)",
                (secret(), json!(0)),
                "23505",
                "UNIQUE t_pkey",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT NOT NULL)",
                (json!(1_000), json!(null)),
                "23502",
                "NOT NULL v",
                json!("x"),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT CONSTRAINT harmless CHECK (v <> 's3cret'))",
                (json!(1_000), secret()),
                "23514",
                "CHECK harmless",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v TEXT REFERENCES t(id))",
                (json!("1000"), secret()),
                "23503",
                "FOREIGN KEY t_v_fkey",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v VARCHAR(4))",
                (json!(1_000), secret()),
                "22001",
                "a column's length",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT);
                 CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no s3cret here'; END $$;
                 CREATE TRIGGER guard BEFORE INSERT ON t FOR EACH ROW WHEN (new.v = 's3cret') EXECUTE FUNCTION guard()",
                (json!(1_000), secret()),
                "P0001",
                "a trigger's RAISE",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT CHECK (v::bigint > 0))",
                (json!(1_000), secret()),
                "22P02",
                "a column's type",
                json!("1"),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v BIGINT, EXCLUDE USING btree (v WITH =)); INSERT INTO t VALUES (-1, -5)",
                (json!(1_000), json!(-5)),
                "23P01",
                "EXCLUDE t_v_excl",
                json!(null),
            ),
        ]
    };
    match D::KIND {
        SinkKind::Sqlite => sqlite(),
        SinkKind::Postgres => postgres(),
    }
}

fn a_rejected_row_fails_its_own_receipt_and_no_other_whatever_refused_it<D: Database>() {
    for (schema, bad, code, constraint, value) in refusals::<D>() {
        for bad_at in [0, 177, 399] {
            let database = D::new(&format!("CREATE TABLE {schema}"));
            let there = database.value::<i64>("SELECT count(*) FROM t");
            let buffer = database.buffer();
            let producer = buffer.table("t").insert().producer().unwrap();
            let key = |place: i64| {
                if schema.starts_with("t(id TEXT") {
                    json!(place.to_string())
                } else {
                    json!(place)
                }
            };
            let submit = |place: i64| {
                let good = (key(place), value.clone());
                producer.submit(if place == bad_at { &bad } else { &good }).unwrap()
            };
            let receipts: Vec<_> = (0..400).map(submit).collect();
            buffer.flush().unwrap();

            assert_eq!(refused(&receipts), [bad_at as usize], "{schema}");
            let error = error(&receipts[bad_at as usize]);
            assert_eq!(D::code(&error), code, "{schema}: {error:#}");
            assert_eq!(error.constraint().unwrap_or_default(), constraint, "{schema}");
            assert_eq!(error.table(), Some("t"));
            assert!(!format!("{error:#} {error:?}").contains("s3cret"), "{error:?}");
            assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), there + 399, "{schema}");
            let stats = buffer.stats();
            assert_eq!((stats.committed, stats.rejected, stats.transactions), (399, 1, 1));
        }
    }
}

fn rows_of_several_producers_in_one_batch_are_refused_one_by_one<D: Database>() {
    let database = D::new(&format!(
        "{} CREATE TABLE audit(what TEXT NOT NULL)",
        D::either(conflicts::from_schema("ROLLBACK"), PLAIN.to_owned())
    ));
    let buffer = database.buffer();
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
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), ROWS + 1 - 4);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM audit"), ROWS - 3);
    assert_eq!(buffer.stats().transactions, 1);
}

fn a_refused_row_does_not_change_what_unchanged_counts<D: Database>() {
    let database = D::new(PLAIN);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().ignore_duplicates().producer().unwrap();
    for place in 0..ROWS {
        let u = if place % 10 == 0 { -1 } else { place };
        t.push(&(place, Some(u), (place != 77).then_some(place))).unwrap();
    }
    buffer.flush().unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.rejected, stats.committed, stats.unchanged), (1, ROWS as u64 - 1, 13));
}
