//! `forebay`: all workers hand their rows to one buffer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use forebay::rusqlite::{Connection, OpenFlags};
use forebay::{Config, Durability, Producer, WriteBuffer};
use forebay_postgres::PostgresSink;
use forebay_trial::{
    Contender, Mode, Report, Request, Result, Server, Settings, Synchronous, TaskContender,
    TaskWorker, Worker, Workers, Written,
};
use serde::Deserialize;
use serde_json::json;

use super::connection::versions;
use super::postgres;
use super::watch::Watch;
use crate::rows::Source;

/// Room that a buffer has at the least.
const LEAST_ROOM: usize = 256 * 1024;
/// Room that a buffer must have for each row of a transaction.
const BYTES_PER_ROW: usize = 768;

/// What the request's `options` say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The buffer's settings, but for those that are equal for all contenders.
    config: Config,
    /// Whether rows with one key are merged.
    coalesce: bool,
    /// Whether a batch may be sorted by key.
    unordered: bool,
    /// Whether rows are kept in files beside the database until they are committed.
    spool: bool,
    /// Whether it is told how old rows get, and what is left in the end is not written.
    watch: bool,
}

impl Options {
    fn of(request: &Request) -> Result<Self> {
        match &request.options {
            serde_json::Value::Null => Ok(Self::default()),
            options => Ok(serde_json::from_value(options.clone())?),
        }
    }
}

/// The settings with those in their place that are equal for all contenders of a run.
pub(crate) fn equalized(config: Config, settings: &Settings, page_bytes: usize) -> Config {
    Config {
        durability: match settings.synchronous {
            Synchronous::Normal => Durability::Normal,
            Synchronous::Full => Durability::Full,
        },
        busy_timeout: settings.busy_timeout,
        max_cache_bytes: settings.cache_kib as usize * 1024,
        max_wal_bytes: settings.checkpoint_pages as usize * page_bytes,
        ..config
    }
}

/// The settings of one of several processes, which share the room that one buffer would have: what is in all of them
/// together is written after the time of a trial.
fn shared(config: Config, workers: &Workers) -> Config {
    let processes = (workers.total / workers.count.max(1)).max(1) as usize;
    if processes == 1 {
        return config;
    }
    let least = LEAST_ROOM.max(BYTES_PER_ROW * config.max_transaction_rows);
    let max_buffer_bytes = (config.max_buffer_bytes / processes).max(least);
    Config {
        max_buffer_bytes,
        max_batch_bytes: config.max_batch_bytes.min(max_buffer_bytes / 4),
        max_row_bytes: config.max_row_bytes.min(max_buffer_bytes / 4),
        ..config
    }
}

/// The settings with a spool beside the database, of this process alone, that has no more room than the buffer has without.
fn spooled(config: Config, request: &Request) -> Config {
    let mut folder = request.database.clone().into_os_string();
    folder.push(format!("-spool-{}", request.workers.first));
    Config { spool: Some(folder.into()), max_spool_bytes: config.max_buffer_bytes, ..config }
}

/// A buffer, and what its workers write.
pub(super) struct Buffered<S: 'static> {
    buffer: WriteBuffer,
    versions: BTreeMap<String, String>,
    watch: Mutex<Option<Watch>>,
    producer: Producer,
    mode: Mode,
    source: &'static S,
}

impl<S: Source> Buffered<S> {
    pub(super) fn open(request: &Request, source: &'static S) -> Result<Self> {
        let options = Options::of(request)?;
        let config = shared(options.config.clone(), &request.workers);
        let config = equalized(config, &request.settings, page_bytes(request)?);
        let config = if options.spool { spooled(config, request) } else { config };
        let buffer = WriteBuffer::builder(&request.database).config(config).open()?;
        Self::with(buffer, versions(), request, &options, source)
    }

    /// On a server.
    pub(super) fn connect(request: &Request, server: &Server, source: &'static S) -> Result<Self> {
        let options = Options::of(request)?;
        let sink = PostgresSink::connect(&server.url)?;
        let buffer = WriteBuffer::with_sink(sink, options.config.clone())?;
        Self::with(buffer, postgres::versions(server), request, &options, source)
    }

    fn with(
        buffer: WriteBuffer,
        versions: BTreeMap<String, String>,
        request: &Request,
        options: &Options,
        source: &'static S,
    ) -> Result<Self> {
        let table = buffer.table(&request.target.table);
        let key = &request.target.key;
        let write = if key.is_empty() {
            table.insert()
        } else {
            table.upsert(key.iter().map(String::as_str))
        };
        let write = if options.coalesce { write.coalesce() } else { write };
        let write = if options.unordered { write.unordered() } else { write };
        let producer = write.producer()?;
        let watched = buffer.clone();
        let watch = match options.watch {
            true => Some(Watch::begin(request, move || watched.stats())?),
            false => None,
        };
        let (watch, mode) = (Mutex::new(watch), request.mode);
        Ok(Self { buffer, versions, watch, producer, mode, source })
    }

    fn written(&self) -> u64 {
        let stats = self.buffer.stats();
        stats.committed + stats.superseded
    }

    fn rows(&self, index: u32) -> BufferedWorker<S> {
        BufferedWorker {
            producer: self.producer.clone(),
            mode: self.mode,
            cursor: self.source.cursor(index),
        }
    }

    /// Writes what is left, and says what was counted. A buffer that was looked at has shown what it should: what it
    /// holds is not written then, which could take longer than the trial.
    fn close(&self) -> Result<Report> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let watched = watch.map(Watch::finish);
        let stats = match watched {
            Some(_) => self.buffer.close_within(Duration::ZERO)?.stats,
            None => {
                self.buffer.flush()?;
                let stats = self.buffer.stats();
                self.buffer.close()?;
                stats
            }
        };
        let lost = stats.rejected + stats.unknown;
        if lost > 0 || (stats.unwritten > 0 && watched.is_none()) {
            return Err(format!("rows were not written: {stats:?}").into());
        }
        Ok(Report {
            transactions: Some(stats.transactions),
            lock_errors: stats.retries,
            retries: stats.retries,
            details: match watched {
                Some(watched) => json!({ "stats": stats, "watched": watched }),
                None => json!({ "stats": stats }),
            },
            ..Report::default()
        })
    }
}

/// Bytes of a page of the database, for the size of the log: all others give it in pages.
fn page_bytes(request: &Request) -> Result<usize> {
    let connection =
        Connection::open_with_flags(&request.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(bytes as usize)
}

/// A worker with its producer.
pub(super) struct BufferedWorker<S: Source> {
    producer: Producer,
    mode: Mode,
    cursor: S::Cursor,
}

impl<S: Source> Contender for Buffered<S> {
    type Worker<'a> = BufferedWorker<S>;

    fn versions(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }

    fn worker(&self, index: u32) -> Result<BufferedWorker<S>> {
        Ok(self.rows(index))
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.written())
    }

    fn finish(&self) -> Result<Report> {
        self.close()
    }
}

impl<S: Source> Worker for BufferedWorker<S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let row = S::row(&mut self.cursor, number);
        match self.mode {
            Mode::Push => self.producer.push(&row)?,
            Mode::Await => self.producer.write(&row)?,
        }
        Ok(Written::Done)
    }
}

impl<S: Source> TaskContender for Buffered<S> {
    type Worker = BufferedWorker<S>;

    fn versions(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }

    async fn worker(&self, index: u32) -> Result<BufferedWorker<S>> {
        Ok(self.rows(index))
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.written())
    }

    async fn finish(&self) -> Result<Report> {
        self.close()
    }
}

impl<S: Source> TaskWorker for BufferedWorker<S> {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let row = S::row(&mut self.cursor, number);
        match self.mode {
            Mode::Push => self.producer.push_async(&row).await?,
            Mode::Await => self.producer.submit_async(&row).await?.await?,
        }
        Ok(Written::Done)
    }
}
