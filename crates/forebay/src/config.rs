//! The settings of a write buffer, their defaults, and the only place that checks them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cut::BYTES_PER_ROW;
use crate::error::{Error, ErrorKind, Result};

const MIB: usize = 1024 * 1024;

/// The settings of a write buffer.
///
/// A plain struct: fill in what differs from the default, or read it with serde, where durations are
/// strings such as `"50ms"` and unknown names are refused. [`with_env`](Config::with_env) puts what the
/// environment says on top; [`from_env`](Config::from_env) reads the environment alone.
///
/// ```
/// use forebay::Config;
///
/// let config: Config = toml::from_str(r#"
///     batch_size = 10
///     linger = "20ms"
///     durability = "full"
///     [retry]
///     max_retries = 3
///     [rejects]
///     file = "dead-letters.ndjson"
/// "#)?;
/// assert_eq!(config.batch_size, 10);
/// assert_eq!(config.busy_timeout.as_secs(), 30);
/// assert_eq!(config.rejects.file, Some("dead-letters.ndjson".into()));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rows that make a batch due at once. Default 400.
    pub batch_size: usize,
    /// Bytes of encoded rows that make a batch due at once, and at which a batch is cut.
    /// Default 4 MiB; at most a quarter of `max_buffer_bytes`.
    pub max_batch_bytes: usize,
    /// Rows in one transaction at the most, when more than `batch_size` have gathered while the last
    /// commit ran. A group is never split, whatever its size. Default 4,000; at least `batch_size`, and at
    /// most one for each 768 bytes of `max_buffer_bytes`, where a batch's index lives too.
    pub max_transaction_rows: usize,
    /// How long the first row of a batch may wait for company when nobody waits for its receipt.
    /// Default 50 ms; zero commits whatever is there as soon as the writer is free.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// Memory for rows that are not committed yet, in bytes. Producers meet back-pressure beyond it.
    /// Default 64 MiB; 4 KiB to 4 GiB. Taken as rows come, not at once.
    pub max_buffer_bytes: usize,
    /// The largest row (or group) that is accepted, encoded, in bytes. Default 1 MiB; at most a
    /// quarter of `max_buffer_bytes`.
    pub max_row_bytes: usize,
    /// What a commit survives. Default [`Durability::Normal`]. SQLite; the sink of PostgreSQL has an option of its own and ignores
    /// this one.
    pub durability: Durability,
    /// How long one attempt waits for a lock that somebody else holds. Default 30 s. SQLite; the sink of PostgreSQL has
    /// `lock_timeout` instead.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Duration,
    /// What follows when an attempt fails for a reason outside the rows.
    pub retry: Retry,
    /// Where rows that will not be written are kept, beside what `on_reject` makes of them. Default nowhere.
    pub rejects: Rejects,
    /// A folder for the spool: accepted rows are in files there until they are committed, so that they survive the
    /// process: `kill -9`, the OOM killer, `exit`, a buffer in a static. Not a power cut. Default none: they are in memory.
    ///
    /// * Whoever opens the folder next, with the same database, writes the rows that are left, each once, before any new one.
    ///   Opening reads them all first, and refuses what is not whole; see [`ErrorKind::Spool`].
    /// * It is for one buffer at a time, made if it is not there (its parent must be), with mode 0700: the files hold the rows'
    ///   values. On a local disk with ext4 or XFS, or on tmpfs; not on Btrfs, bcachefs, ZFS, NILFS, FUSE or a network.
    /// * The database gets two tables, `_forebay` and `_forebay_rejected`, that say how far it has come.
    /// * A close that runs out of time leaves rows there, and says [`ErrorKind::Spooled`].
    /// * Needs the feature `spool`, on Linux, and excludes `retry.give_up`.
    ///
    /// ```
    /// # #[cfg(all(feature = "spool", feature = "sqlite"))] {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("app.db");
    /// use forebay::{Config, WriteBuffer};
    ///
    /// let config = Config { spool: Some(path.with_extension("spool")), ..Config::default() };
    /// let buffer = WriteBuffer::builder(&path).config(config).open()?;
    /// buffer.execute("CREATE TABLE events(what TEXT)")?;
    /// let events = buffer.table("events").insert().producer()?;
    /// events.push(&("survives the process",))?;
    /// assert_eq!(buffer.stats().replayed, 0); // an earlier process had left nothing
    /// buffer.close()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<PathBuf>,
    /// Bytes that the spool's files take at the most, when rows gather because the database cannot be written. Then
    /// producers meet back-pressure, as from a full buffer. Default 1 GiB; at least `max_buffer_bytes`, of which two files
    /// take nearly all at any time; at most 1 TiB. A further file, of nearly half of `max_buffer_bytes`, is made, with its
    /// room reserved, when rows gather, and removed when they are written. Files that an earlier process left count too.
    pub max_spool_bytes: usize,
    /// How long `close` waits for the rows that are left. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub close_timeout: Duration,
    /// SQLite: size of the write-ahead log at which it is copied back into the database. Default 40 MiB.
    /// Larger means fewer copies of pages that change often; smaller means a shorter recovery.
    pub max_wal_bytes: usize,
    /// SQLite: page cache of the writing connection, in bytes. Default 16 MiB.
    pub max_cache_bytes: usize,
    /// SQLite: connections that [`WriteBuffer::readers`](crate::WriteBuffer::readers) opens at the most.
    /// Default 16; 1 to 1,000. Queries run on cores: more connections than those answer no sooner, and each
    /// has a page cache of 2 MiB of its own.
    pub max_readers: usize,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A receipt survives a panic, `kill -9` and the OOM killer. A power cut may take the newest
    /// commits, always a suffix, and the file stays consistent. SQLite: `synchronous=NORMAL`.
    #[default]
    Normal,
    /// A receipt also survives a power cut, if the disk honours flushes. SQLite: `synchronous=FULL`,
    /// one flush of the log for each transaction.
    Full,
}

/// How a batch is tried again when the database is busy or cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Retries, each after twice the delay of the one before, 30 s at the most, until the buffer counts as paused.
    /// Default 5; at most 30.
    pub max_retries: u32,
    /// The delay before the first retry, give or take a tenth; more than 30 s counts as 30 s. Default 100 ms.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// The pace of further attempts while the buffer is paused. Default 500 ms; 1 ms to 1 h.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
    /// How long a paused batch is kept and tried. `None`, the default, keeps it until it is written or
    /// the buffer closes. After the given time its receipts fail and its rows become dead letters.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub give_up: Option<Duration>,
}

/// A file for dead letters: rows that were refused or given up, or whose fate is not known, and that nobody
/// holds a receipt for.
///
/// It is made when the buffer opens, for its owner alone to read (mode 0600 on Unix), because it holds the
/// rows' values; one that is there keeps its mode. A file that holds something else, and a pipe, are refused. Each dead letter is one line of JSON (here it is broken), which is there before its row
/// counts as decided, so after a flush:
///
/// ```json
/// {"time":"2026-01-31T09:30:00.250Z","table":"topic_status","kind":"rejected",
///  "error":"topic_status refused a row: it violates CHECK progress","code":275,"constraint":"CHECK progress",
///  "database_message":"CHECK constraint failed: progress",
///  "fields":{"topic_id":7,"progress":101.0,"note":null,"digest":{"hex":"00ff"}}}
/// ```
///
/// * `time` is when the line was written, in UTC; `kind` is `rejected`, `unknown` or `unwritten`. The rest is
///   what [`DeadLetter`](crate::DeadLetter) has, or null.
/// * The fields are in the row's order and keep their types: NULL is null, an INTEGER a number of digits alone, a
///   REAL one with a fraction or an exponent, a TEXT a string. A BLOB is `{"hex":"00ff"}`; infinity, for which
///   JSON has no number, is `{"real":"inf"}` or `{"real":"-inf"}`. Nothing else is an object.
/// * `jq -c .fields` gives the rows alone, to be loaded again (jq 1.7 or newer, which leaves numbers as they are).
/// * Several buffers and processes may write to one file; a reader then skips empty lines, which are rare. Whatever
///   rotates logs may move or remove the file: it is made again for the next line. Where that fails, lines go on to
///   the file that was moved. A symbolic link is followed when the buffer opens: the file that it leads to is rotated.
/// * A line is not synced: a power cut may take the newest. After a full disk a line may be cut short; the next
///   one begins on a line of its own.
/// * Rows that [`close`](crate::WriteBuffer::close) or a drop ran out of time for are written there too, at that
///   time, and so are those that were left when the writer panicked outside of a commit. Those that
///   [`close_within`](crate::WriteBuffer::close_within) hands back are not.
/// * Where the file cannot be written, [`Stats::letters_unkept`](crate::Stats::letters_unkept) counts what it missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rejects {
    /// The file. It holds the rows' values. `None`, the default, keeps none: without `on_reject` the rows
    /// are only counted and logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Size in bytes beyond which the file is set aside as `FILE.1`, `FILE.1` as `FILE.2` and so on, and begun
    /// anew. Default 16 MiB; 4 KiB to 1 TiB.
    pub max_bytes: usize,
    /// Files that are kept beside the current one. The oldest is deleted, and the log says so. Default 8; 1 to
    /// 1,000.
    pub max_files: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_size: 400,
            max_batch_bytes: 4 * MIB,
            max_transaction_rows: 4_000,
            linger: Duration::from_millis(50),
            max_buffer_bytes: 64 * MIB,
            max_row_bytes: MIB,
            durability: Durability::Normal,
            busy_timeout: Duration::from_secs(30),
            retry: Retry::default(),
            rejects: Rejects::default(),
            spool: None,
            max_spool_bytes: 1_024 * MIB,
            close_timeout: Duration::from_secs(30),
            max_wal_bytes: 40 * MIB,
            max_cache_bytes: 16 * MIB,
            max_readers: 16,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 5,
            delay: Duration::from_millis(100),
            pause: Duration::from_millis(500),
            give_up: None,
        }
    }
}

impl Default for Rejects {
    fn default() -> Self {
        Self { file: None, max_bytes: 16 * MIB, max_files: 8 }
    }
}

impl Config {
    /// Checks every setting against its bounds. Opening a buffer does it too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], naming the setting, its value and its bound.
    pub fn check(&self) -> Result<()> {
        let hour = Duration::from_secs(3_600);
        at_least("batch_size", self.batch_size, 1, "row")?;
        at_most("batch_size", self.batch_size, 1_000_000, "rows", "")?;
        at_least(
            "max_transaction_rows",
            self.max_transaction_rows,
            self.batch_size,
            "rows, the batch_size",
        )?;
        at_most("max_transaction_rows", self.max_transaction_rows, 1_000_000, "rows", "")?;
        at_least("max_buffer_bytes", self.max_buffer_bytes, 4_096, "bytes")?;
        at_most("max_buffer_bytes", self.max_buffer_bytes, 4_096 * MIB, "bytes", "")?;
        at_most(
            "max_transaction_rows",
            self.max_transaction_rows,
            self.max_buffer_bytes / 8 / BYTES_PER_ROW,
            "rows",
            &format!(
                ", one for each 768 bytes of max_buffer_bytes, which is {}",
                self.max_buffer_bytes
            ),
        )?;
        at_least("max_batch_bytes", self.max_batch_bytes, 64, "bytes")?;
        at_most(
            "max_batch_bytes",
            self.max_batch_bytes,
            self.max_buffer_bytes / 4,
            "bytes",
            &format!(", a quarter of max_buffer_bytes, which is {}", self.max_buffer_bytes),
        )?;
        at_least("max_row_bytes", self.max_row_bytes, 64, "bytes")?;
        at_most(
            "max_row_bytes",
            self.max_row_bytes,
            self.max_buffer_bytes / 4,
            "bytes",
            &format!(", a quarter of max_buffer_bytes, which is {}", self.max_buffer_bytes),
        )?;
        at_least("max_wal_bytes", self.max_wal_bytes, 64 * 1024, "bytes")?;
        at_most("max_wal_bytes", self.max_wal_bytes, 1024 * 1024 * MIB, "bytes", "")?;
        at_least("max_cache_bytes", self.max_cache_bytes, 64 * 1024, "bytes")?;
        at_most("max_cache_bytes", self.max_cache_bytes, 1024 * 1024 * MIB, "bytes", "")?;
        at_least("max_readers", self.max_readers, 1, "connection")?;
        at_most("max_readers", self.max_readers, 1_000, "connections", "")?;
        at_most("retry.max_retries", self.retry.max_retries as usize, 30, "retries", "")?;
        at_least("rejects.max_bytes", self.rejects.max_bytes, 4_096, "bytes")?;
        at_most("rejects.max_bytes", self.rejects.max_bytes, 1024 * 1024 * MIB, "bytes", "")?;
        at_least("rejects.max_files", self.rejects.max_files, 1, "file")?;
        at_most("rejects.max_files", self.rejects.max_files, 1_000, "files", "")?;
        if let Some(file) = self.rejects.file.as_deref().filter(|file| file.file_name().is_none()) {
            return Err(wrong("rejects.file", format_args!("{file:?}"), "the path of a file"));
        }
        self.check_spool()?;
        within("linger", self.linger, Duration::ZERO, hour)?;
        within("busy_timeout", self.busy_timeout, Duration::ZERO, hour)?;
        within("close_timeout", self.close_timeout, Duration::ZERO, 24 * hour)?;
        within("retry.delay", self.retry.delay, Duration::ZERO, hour)?;
        within("retry.pause", self.retry.pause, Duration::from_millis(1), hour)
    }

    fn check_spool(&self) -> Result<()> {
        let unit = "bytes, the max_buffer_bytes";
        at_least("max_spool_bytes", self.max_spool_bytes, self.max_buffer_bytes, unit)?;
        at_most("max_spool_bytes", self.max_spool_bytes, 1024 * 1024 * MIB, "bytes", "")?;
        let Some(folder) = &self.spool else { return Ok(()) };
        if folder.as_os_str().is_empty() {
            return Err(wrong("spool", "empty", "the path of a folder"));
        }
        if !cfg!(feature = "spool") {
            let bound = "left out, or forebay be built with its feature `spool`";
            return Err(wrong("spool", format_args!("{folder:?}"), bound));
        }
        if let Some(limit) = self.retry.give_up {
            let bound = "left out where there is a spool, which keeps rows until they are written";
            return Err(wrong("retry.give_up", format_args!("{limit:?}"), bound));
        }
        Ok(())
    }

    /// The bytes of one segment: half of what the index of a batch leaves.
    pub(crate) fn segment_bytes(&self) -> usize {
        (self.max_buffer_bytes - self.max_transaction_rows * BYTES_PER_ROW) / 2
    }
}

fn wrong(name: &str, value: impl std::fmt::Display, bound: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("{name} is {value}: it must be {bound}")).with_field(name)
}

fn at_least(name: &str, value: usize, least: usize, unit: &str) -> Result<()> {
    if value < least {
        Err(wrong(name, value, format_args!("at least {least} {unit}")))
    } else {
        Ok(())
    }
}

fn at_most(name: &str, value: usize, most: usize, unit: &str, what: &str) -> Result<()> {
    if value > most {
        Err(wrong(name, value, format_args!("at most {most} {unit}{what}")))
    } else {
        Ok(())
    }
}

fn within(name: &str, value: Duration, least: Duration, most: Duration) -> Result<()> {
    if value < least || value > most {
        return Err(wrong(
            name,
            format_args!("{value:?}"),
            format_args!("from {least:?} to {most:?}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_toml() {
        let config = Config::default();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn every_bound_names_its_setting() {
        type Break = fn(&mut Config);
        let breaks: &[(&str, Break)] = &[
            ("batch_size", |c| c.batch_size = 0),
            ("batch_size", |c| c.batch_size = 2_000_000),
            ("max_transaction_rows", |c| c.max_transaction_rows = 399),
            ("max_buffer_bytes", |c| c.max_buffer_bytes = 100),
            ("max_buffer_bytes", |c| c.max_buffer_bytes = usize::MAX),
            ("max_transaction_rows", |c| c.max_buffer_bytes = 2 * MIB),
            ("max_batch_bytes", |c| c.max_batch_bytes = 17 * MIB),
            ("max_batch_bytes", |c| c.max_batch_bytes = 0),
            ("max_row_bytes", |c| c.max_row_bytes = 17 * MIB),
            ("max_row_bytes", |c| c.max_row_bytes = 0),
            ("max_wal_bytes", |c| c.max_wal_bytes = 0),
            ("max_cache_bytes", |c| c.max_cache_bytes = 0),
            ("max_readers", |c| c.max_readers = 0),
            ("max_readers", |c| c.max_readers = 1_001),
            ("retry.max_retries", |c| c.retry.max_retries = 31),
            ("retry.pause", |c| c.retry.pause = Duration::ZERO),
            ("retry.delay", |c| c.retry.delay = Duration::from_secs(4_000)),
            ("rejects.file", |c| c.rejects.file = Some(PathBuf::new())),
            ("rejects.max_bytes", |c| c.rejects.max_bytes = 4_095),
            ("rejects.max_bytes", |c| c.rejects.max_bytes = usize::MAX),
            ("rejects.max_files", |c| c.rejects.max_files = 0),
            ("rejects.max_files", |c| c.rejects.max_files = 1_001),
            ("max_spool_bytes", |c| c.max_spool_bytes = MIB),
            ("max_spool_bytes", |c| c.max_spool_bytes = usize::MAX),
            ("spool", |c| c.spool = Some(PathBuf::new())),
            ("linger", |c| c.linger = Duration::from_secs(4_000)),
            ("busy_timeout", |c| c.busy_timeout = Duration::from_secs(4_000)),
            ("close_timeout", |c| c.close_timeout = Duration::from_secs(90_000)),
        ];
        for (name, spoil) in breaks {
            let mut config = Config::default();
            spoil(&mut config);
            let error = config.check().unwrap_err();
            assert_eq!(error.field(), Some(*name), "{error}");
            assert!(error.to_string().starts_with(&format!("{name} is ")), "{error}");
        }
    }
}
