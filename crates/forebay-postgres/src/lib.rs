//! The PostgreSQL sink of [forebay]: the same write buffer when one file and one machine are not enough.
//!
//! One line changes; producers, receipts and promises stay:
//!
//! ```no_run
//! use forebay::{Config, WriteBuffer};
//! use forebay_postgres::PostgresSink;
//!
//! let url = "postgres://app@db.example/app"; // the password: in the URL, or in PGPASSWORD
//! PostgresSink::create_books(url)?; // once, by whoever may create tables
//! let buffer = WriteBuffer::with_sink(PostgresSink::connect(url)?, Config::default())?;
//! let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
//! topics.push(&(7, "running"))?;
//! # Ok::<(), forebay::Error>(())
//! ```
//!
//! # How rows are written
//!
//! A batch is one transaction. Consecutive rows of one shape are one statement, whose parameters are an array for each column:
//! `INSERT … SELECT … FROM unnest($1::int8[], $2::text[]) … ON CONFLICT …`, one text for every number of rows. All statements of a batch are
//! sent before the first answer is waited for. A key that comes twice in a run of rows keeps the newest, unless the table has triggers or a second unique index, or
//! `newest_by` needs the database to compare: then the run is cut there. Rows with a key are sent in the key's order, so that two
//! processes do not wait for each other's rows in a circle.
//!
//! # What a value becomes
//!
//! The column decides. Integers, floats, texts, booleans (0 and 1, which is what serde's `bool` is here), bytes and JSON are sent as what they are; for any other type,
//! and for a value that is not of the column's kind, the server reads it as text: `"2026-12-01"` for a date, `"12.50"` for a numeric,
//! `"4"` for an integer. What it cannot read is rejected, alone. A text with a NUL character is refused when it is pushed, and bytes for a
//! column that holds none when they are written.
//!
//! # When the answer to `COMMIT` is lost
//!
//! The first statement of each transaction moves a row of the table `_forebay`, the *books*, from the batch's start to its end. After a
//! lost connection the batch is given again: where the books stand at its end, it was committed, and its receipts say so; where they
//! stand at its start, it is written. So each row is there once. [`PostgresSink::create_books`] makes the tables, or run [`BOOKS_SQL`]
//! yourself; with [`bookkeeping`](PostgresOptions::bookkeeping) off such rows are [`Unknown`](forebay::ErrorKind::Unknown) instead.
//!
//! # A sharded PostgreSQL
//!
//! What writes rows is plain SQL: no temporary tables, no COPY, and one row of books for each buffer; `docs/postgres.md` has the list of what is
//! asked of the catalog. Citus: the key of an upsert must hold the distribution column. Run against PostgreSQL 15; Citus, CockroachDB and YugabyteDB were not.

mod apply;
mod books;
mod client;
mod connect;
mod describe;
mod driver;
mod encode;
mod execute;
mod fault;
mod hosts;
mod isolate;
mod options;
mod parameters;
mod run;
mod session;
mod sink;
mod sql;
mod tls;
mod wire;

pub use books::BOOKS_SQL;
pub use options::PostgresOptions;
pub use sink::PostgresSink;
/// What a [client](PostgresOptions::client) is of.
pub use tokio_postgres;
