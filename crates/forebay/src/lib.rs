//! A batching write buffer for databases.
//!
//! Many threads and tasks hand it small rows; one writer turns them into few, large, multi-row
//! transactions. It stands between an application and its SQLite file: inside the process nobody meets
//! `database is locked` again, and between processes the lock is only a delay.
//!
//! Begin with [`WriteBuffer::open`]; make a [`Producer`] for each table with [`WriteBuffer::table`], or for a
//! statement with [`WriteBuffer::statement`]; keep it and clone it into your threads. Read with [`WriteBuffer::readers`].
//!
//! # What is promised
//!
//! | | survives | may be lost by |
//! |---|---|---|
//! | a receipt, [`Durability::Normal`] | a panic, `kill -9`, the OOM killer | a power cut: the newest commits, always a suffix |
//! | a receipt, [`Durability::Full`] | also a power cut, if the disk honours flushes | a disk that lies |
//! | a push that returned Ok | a clean [`close`](WriteBuffer::close) | whatever ends the process before: a crash, a signal, `exit`, a buffer in a static |
//! | a push that returned Ok, with a [spool](Config::spool) | all of these: the next buffer that opens the spool writes it, once | a power cut, a crash of the kernel, a disk that fails |
//!
//! * Rows reach the database in the order in which they were accepted, whatever their producer, unless it is
//!   [`unordered`](TableWrite::unordered).
//! * A receipt resolves when the database has decided its row, never before. Whether an upsert changed
//!   anything is not told for each row; [`Stats::unchanged`] counts them.
//! * A row that the database refuses fails alone (or with its group) and reaches the application, by its
//!   receipt or as a [`DeadLetter`], which a [file](Rejects) can keep. Which row of a batch is refused can depend on the batch: a child that
//!   comes before its parent passes with it and fails alone.
//! * While the database cannot be written, or a table that rows are for is gone, the buffer is
//!   [`Paused`](Health::Paused) as a whole: rows keep their order, so those behind wait too. It goes on by itself
//!   when the cause is gone; [`Retry::give_up`] bounds how long a batch is kept.
//! * `accepted == committed + superseded + rejected + unknown + unwritten + spooled + pending`, see [`Stats`].
//!
//! # What blocks
//!
//! | call | blocks |
//! |---|---|
//! | [`push`](Producer::push), [`submit`](Producer::submit), [`group`](WriteBuffer::group) | while the buffer is full |
//! | [`try_push`](Producer::try_push) | never |
//! | [`push_timeout`](Producer::push_timeout) | while the buffer is full, for the time given |
//! | [`wait`](Receipt::wait), [`write`](Producer::write), [`flush`](WriteBuffer::flush), [`execute`](WriteBuffer::execute) | until the rows are decided |
//! | [`close`](WriteBuffer::close), dropping the last handle | until all is written, for about `close_timeout` at the most; the drop on a thread of an async runtime for a tenth of a second |
//! | [`wait_timeout`](Receipt::wait_timeout), [`close_within`](WriteBuffer::close_within) | as above, for about the time given at the most |
//! | [`table`](WriteBuffer::table)…`producer()`, [`statement`](WriteBuffer::statement), [`describe`](WriteBuffer::describe) | until the batch at hand is written |
//! | [`Builder::open`] | while another connection has the file locked, for `busy_timeout` at the most |
//! | [`Builder::open`] with a [spool](Config::spool) | until all of the spool is read and room for two files is reserved; not until its rows are written |
//! | [`Readers::get`] | while all connections to read with are held, for `busy_timeout` at the most |
//! | [`stats`](WriteBuffer::stats), [`health`](WriteBuffer::health), [`ready`](WriteBuffer::ready), [`decided`](Receipt::decided) | never for the database |
//!
//! With a spool a push makes no system call: it copies the row into a mapped file, which a thread of the spool's has made before. But
//! the first row with a new list of fields is noted in two files, and where the disk does not keep up with what is written, the
//! system may hold up whoever touches a new page. The buffer is full when the files in use are, and the next one is not made yet,
//! does not fit into `max_spool_bytes`, or finds no room on the disk.
//!
//! A new list of fields that does not fit what is known of its table is held against the live table once more,
//! which blocks likewise; `try_push` and the async calls have the table looked at behind their back instead,
//! and refuse the row meanwhile.
//!
//! Never use a buffer in a child process after a fork: it says [`ErrorKind::Forked`] where it notices.
//!
//! # Watching it
//!
//! [`WriteBuffer::ready`] answers a readiness check, [`WriteBuffer::stats`] counts, [`WriteBuffer::health`] says
//! why the database cannot be written. The feature `metrics` tells a recorder of the crate `metrics`; the
//! table of what it tells is at `WriteBuffer::publish_metrics`. Retries, pauses and refused rows are logged
//! through `tracing`.

#[macro_use]
mod failpoints;

mod admission;
mod batch;
mod buffer;
mod config;
mod cut;
mod decide;
mod encode;
mod ending;
mod environment;
mod error;
#[cfg(any(feature = "sqlite", feature = "spool"))]
mod filesystem;
mod fit;
mod handle;
mod log;
mod merge;
mod metrics;
mod persist;
mod policy;
mod producer;
mod promise;
mod queue;
mod receipt;
mod reject;
mod reject_file;
mod reject_line;
mod row;
mod segment;
#[cfg(feature = "metrics")]
mod series;
mod shape;
mod signals;
mod sink;
#[cfg(feature = "spool")]
pub mod spool;
#[cfg(not(feature = "spool"))]
#[path = "spool/absent.rs"]
mod spool;
pub mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod state;
mod stats;
mod sync;
mod table;
mod turns;
#[cfg(any(test, fuzzing, feature = "spool"))]
mod validate;
mod value;
mod wait;
mod writer;

pub use batch::{Batch, Entry, Row};
pub use buffer::{Builder, WriteBuffer};
pub use config::{Config, Durability, Rejects, Retry};
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use failpoints::{Failpoint, Failure, Holder};
pub use handle::CloseReport;
pub use producer::{Group, Producer};
pub use receipt::Receipt;
pub use reject::DeadLetter;
pub use row::{Value, ValueRef, Values};
pub use shape::{MAX_SHAPES, Operation, Shape, Target};
pub use signals::Signals;
pub use sink::{Applied, Books, ColumnType, Rejection, Sink, SinkError, StatementInfo, TableInfo};
#[cfg(feature = "sqlite")]
pub use sqlite::{Reader, Readers, SqliteSink};
pub use stats::{Health, Stats, Triggers};
pub use table::{Table, TableWrite};

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use validate::check_frames;

/// The rusqlite that the sink is made of. Use this one: two copies of SQLite in one process must not open the
/// same file, because each drops the locks of the other when it closes it.
#[cfg(feature = "sqlite")]
pub use rusqlite;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
