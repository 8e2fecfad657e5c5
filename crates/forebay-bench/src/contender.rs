//! Who takes part: names, and what stands behind them.

mod names;

use std::ffi::OsString;
use std::path::PathBuf;

use forebay::Config;
use forebay_trial::Mode;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::report::units;
use crate::sink::Sink;
use names::{DEFAULT_CHECKPOINT_NAME, OF_BUFFERS, batch_size};

/// Rows in the transactions of the ceiling that contenders without a batch size are compared with.
const LIMIT: usize = 400;
/// The one that all are compared with.
pub(crate) const DIRECT: &str = "direct";
/// One connection that nobody waits for a reply on before the next statement goes out.
pub(crate) const PIPELINED: &str = "pipelined";
/// Batch sizes of the default run.
const BATCHES: [usize; 5] = [1, 10, 100, 400, 4_000];
/// What SQLite has by default for the size of the log at which it is copied back, in pages.
const DEFAULT_CHECKPOINT: u32 = 1_000;
/// A program that runs trials.
#[derive(Debug, Clone)]
pub struct Program {
    /// What is started.
    pub command: PathBuf,
    /// With which arguments.
    pub arguments: Vec<OsString>,
}

/// One who takes part in a run.
#[derive(Debug, Clone)]
pub struct Contender {
    /// As it is called in arguments and results.
    pub(crate) name: String,
    /// What it does, in words.
    pub(crate) description: String,
    /// Rows in each transaction at the most, where that is fixed.
    pub(crate) batch: Option<usize>,
    /// Rows in the transactions of the limit that it is compared with, if there is a fair one.
    pub(crate) limit: Option<usize>,
    /// Which one it is to its program.
    pub(crate) kind: String,
    pub(crate) program: Program,
    pub(crate) options: Value,
    /// Whether a call returns before its row is committed, in mode push. Else a trial is the same in both modes.
    pub(crate) returns_early: bool,
    /// Size of the log at which it is copied back, in pages, where that is not the run's.
    pub(crate) checkpoint_pages: Option<u32>,
}

/// What rows take in a buffer, for its size.
#[derive(Debug, Clone, Copy)]
pub struct RowSize(pub usize);

impl Contender {
    /// Those of the default run.
    pub fn usual(sink: Sink, own: &Program, row: RowSize) -> Vec<Self> {
        let plain = sink.plain().iter().map(|(name, _)| (*name).to_owned());
        let limits = BATCHES.iter().map(|batch| format!("limit@{batch}"));
        let buffers = BATCHES.iter().map(|batch| format!("forebay@{batch}"));
        let names = plain.chain(limits).chain(buffers).chain(["forebay".to_owned()]);
        names.filter_map(|name| Self::named(sink, &name, own, row).ok()).collect()
    }

    /// The one with this name: `direct`, `limit@400`, `forebay@10`, `forebay`, `forebay@400+coalesce`; for SQLite also
    /// `limit@400+default-checkpoint`, `forebay+unordered`, `forebay@400+spool`.
    ///
    /// # Errors
    ///
    /// When there is none, naming those there are.
    pub fn named(sink: Sink, name: &str, own: &Program, row: RowSize) -> Result<Self> {
        if let Some((kind, what)) = sink.plain().iter().find(|(plain, _)| *plain == name) {
            let plain = Self::own(name, kind, (*what).to_owned(), own);
            return Ok(Self { returns_early: ["channel", PIPELINED].contains(kind), ..plain });
        }
        let mut parts = name.split('+');
        let base = parts.next().unwrap_or_default();
        let variants: Vec<_> = parts.collect();
        let (kind, batch) = match base.split_once('@') {
            Some((kind, batch)) => (kind, Some(batch_size(name, batch)?)),
            None => (base, None),
        };
        match (kind, variants.as_slice()) {
            ("limit", []) => Ok(Self::limit_of(batch.unwrap_or(LIMIT), own)),
            ("limit", [DEFAULT_CHECKPOINT_NAME]) if sink == Sink::Sqlite => {
                Ok(Self::limit_of(batch.unwrap_or(LIMIT), own).with_default_checkpoint())
            }
            ("forebay", variants) if sink.are_of_buffers(variants) => {
                Ok(Self::buffer(name, batch, variants, own, row))
            }
            _ => Err(sink.unknown(name)),
        }
    }

    /// One that this program is, without a batch size.
    fn own(name: &str, kind: &str, description: String, own: &Program) -> Self {
        Self {
            name: name.to_owned(),
            description,
            batch: None,
            limit: Some(LIMIT),
            kind: kind.to_owned(),
            program: own.clone(),
            options: Value::Null,
            returns_early: false,
            checkpoint_pages: None,
        }
    }

    fn limit_of(batch: usize, own: &Program) -> Self {
        let what = format!("one thread, no queue, {batch} rows in a transaction, by hand");
        Self {
            batch: Some(batch),
            limit: Some(batch),
            options: json!({ "batch": batch }),
            ..Self::own(&format!("limit@{batch}"), "limit", what, own)
        }
    }

    fn with_default_checkpoint(mut self) -> Self {
        self.name += &format!("+{DEFAULT_CHECKPOINT_NAME}");
        self.description += ", checkpoint at the 1,000 pages that SQLite has by default";
        Self { checkpoint_pages: Some(DEFAULT_CHECKPOINT), ..self }
    }

    fn buffer(
        name: &str,
        batch: Option<usize>,
        variants: &[&str],
        own: &Program,
        row: RowSize,
    ) -> Self {
        let config = batch.map_or_else(Config::default, |batch| config(batch, row));
        let mut what = match batch {
            Some(batch) => format!("the buffer, {batch} rows in a transaction"),
            None => format!(
                "the buffer with its defaults, batches from {} grow to {} rows",
                config.batch_size, config.max_transaction_rows
            ),
        };
        what += &format!(", room for {}", units::bytes(config.max_buffer_bytes as f64));
        let [coalesce, unordered, spool] = OF_BUFFERS.map(|variant| variants.contains(&variant));
        if coalesce {
            what +=
                ", rows with one key merged: those that a newer one replaced count as committed";
        }
        if unordered {
            what += ", each batch sorted by key";
        }
        if spool {
            what += ", in files beside the database, from which another process would go on";
        }
        Self {
            batch,
            limit: (!coalesce).then_some(config.max_transaction_rows),
            options: json!({
                "config": config, "coalesce": coalesce, "unordered": unordered, "spool": spool,
            }),
            returns_early: true,
            ..Self::own(name, "forebay", what, own)
        }
    }

    /// The buffer with these settings; what is equal for all contenders (durability, busy timeout, cache, log) is
    /// taken from the run.
    pub fn configured(name: &str, config: &Config, own: &Program) -> Self {
        let what = format!(
            "the buffer, batches from {} grow to {} rows, linger {:?}, room for {}",
            config.batch_size,
            config.max_transaction_rows,
            config.linger,
            units::bytes(config.max_buffer_bytes as f64)
        );
        Self {
            batch: (config.batch_size == config.max_transaction_rows).then_some(config.batch_size),
            limit: Some(config.max_transaction_rows),
            options: json!({ "config": config }),
            returns_early: true,
            ..Self::own(name, "forebay", what, own)
        }
    }

    /// The same, and it tells how old rows get before their commit.
    #[must_use]
    pub(crate) fn watched(mut self) -> Self {
        self.options["watch"] = true.into();
        self
    }

    /// A program of somebody else's that speaks the protocol of a trial.
    ///
    /// # Errors
    ///
    /// When it is a name of forebay's own.
    pub fn rival(name: &str, program: Program) -> Result<Self> {
        if name.is_empty() || Self::named(Sink::Sqlite, name, &program, RowSize(0)).is_ok() {
            return Err(Error::of_arguments(format!(
                "a rival cannot be called {name:?}: choose a name that no contender of forebay's has"
            )));
        }
        let what = "a program of its own".to_owned();
        Ok(Self { returns_early: true, ..Self::own(name, name, what, &program) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it writes with one worker, however many there are.
    pub(crate) fn is_alone(&self) -> bool {
        self.kind == "limit"
    }

    /// The journal mode that its database is in.
    pub(crate) fn journal_mode(&self) -> &'static str {
        if self.kind == "rollback" { "delete" } else { "wal" }
    }

    /// The modes of `modes` that one of its trials stands for, beginning with `mode`.
    pub(crate) fn modes_of_trial(&self, mode: Mode, modes: &[Mode]) -> Vec<Mode> {
        if self.returns_early { vec![mode] } else { modes.to_vec() }
    }

    /// The limit that it is compared with: one thread whose transactions are as large as its own.
    pub(crate) fn limit(&self) -> Option<String> {
        self.limit.map(|batch| format!("limit@{batch}"))
    }
}

/// A buffer for batches of this size. It holds about 40 of them, so that a trial ends soon after its time: what is in the
/// buffer is written before its database is looked at.
fn config(batch: usize, row: RowSize) -> Config {
    let default = Config::default();
    let room = (40 * batch).max(2_000) * row.0;
    let max_buffer_bytes = room.clamp(256 * 1024, default.max_buffer_bytes).max(8 * 96 * batch);
    Config {
        batch_size: batch,
        max_transaction_rows: batch,
        max_buffer_bytes,
        max_batch_bytes: default.max_batch_bytes.min(max_buffer_bytes / 4),
        max_row_bytes: default.max_row_bytes.min(max_buffer_bytes / 4),
        ..default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Program {
        Program { command: "forebay".into(), arguments: vec![] }
    }

    fn named(name: &str) -> Result<Contender> {
        Contender::named(Sink::Sqlite, name, &own(), RowSize(64))
    }

    #[test]
    fn every_usual_contender_has_settings_that_a_buffer_takes() {
        for row in [RowSize(64), RowSize(1_200)] {
            let usual = Contender::usual(Sink::Sqlite, &own(), row);
            assert_eq!(usual.len(), 16);
            for contender in usual.iter().filter(|contender| contender.kind == "forebay") {
                let config: Config =
                    serde_json::from_value(contender.options["config"].clone()).unwrap();
                config.check().unwrap();
                assert!(contender.batch.is_none_or(|batch| batch == config.max_transaction_rows));
            }
        }
    }

    #[test]
    fn a_name_that_is_none_is_told_which_there_are() {
        let names = "dircet forebay@ forebay@0 forebay@x forebay+ forebay+sorted direct+coalesce \
                     limit@400+coalesce limit@400+spool limit@400+ forebay+default-checkpoint \
                     forebay+coalesce+coalesce";
        for name in names.split(' ').chain([""]) {
            let error = named(name).unwrap_err().to_string();
            assert!(error.contains("it must be direct") || error.contains("must be"), "{error}");
        }
        assert_eq!(named("limit").unwrap().name(), "limit@400");
        assert!(named("forebay+coalesce").unwrap().batch.is_none());
    }

    #[test]
    fn what_a_buffer_does_stands_after_the_batch_size_in_any_order() {
        for (name, coalesce, unordered, spool) in [
            ("forebay@400", false, false, false),
            ("forebay@400+coalesce", true, false, false),
            ("forebay+unordered", false, true, false),
            ("forebay@400+spool", false, false, true),
            ("forebay+coalesce+unordered", true, true, false),
            ("forebay+spool+unordered+coalesce", true, true, true),
        ] {
            let contender = named(name).unwrap();
            assert_eq!(contender.name(), name);
            assert_eq!(contender.options["coalesce"], coalesce);
            assert_eq!(contender.options["unordered"], unordered);
            assert_eq!(contender.options["spool"], spool);
        }
    }

    #[test]
    fn a_limit_with_the_default_checkpoint_differs_in_nothing_else() {
        let (usual, other) =
            (named("limit@400").unwrap(), named("limit+default-checkpoint").unwrap());
        assert_eq!(other.name(), "limit@400+default-checkpoint");
        assert_eq!((usual.checkpoint_pages, other.checkpoint_pages), (None, Some(1_000)));
        assert_eq!((usual.options, usual.batch), (other.options, other.batch));
    }

    #[test]
    fn a_limit_has_transactions_of_the_same_size() {
        let limit = |name| named(name).unwrap().limit();
        assert_eq!(limit("forebay@10").unwrap(), "limit@10");
        assert_eq!(limit("forebay").unwrap(), "limit@4000");
        assert_eq!(limit("direct").unwrap(), "limit@400");
        assert_eq!(limit("forebay@10+coalesce"), None);
        assert_eq!(limit("forebay@10+spool").unwrap(), "limit@10");
    }

    #[test]
    fn a_server_has_contenders_of_its_own() {
        let usual = Contender::usual(Sink::Postgres, &own(), RowSize(64));
        let names: Vec<_> = usual.iter().map(Contender::name).collect();
        assert_eq!(names[..4], ["direct", "pipelined", "limit@1", "limit@10"]);
        assert_eq!((names.len(), names[12]), (13, "forebay"));
        let named = |name| Contender::named(Sink::Postgres, name, &own(), RowSize(64));
        assert_eq!(named("forebay@400+coalesce").unwrap().options["coalesce"], true);
        for name in "rollback retry mutex channel forebay@400+spool forebay+unordered limit+default-checkpoint".split(' ') {
            let error = named(name).unwrap_err().to_string();
            assert!(error.contains("for --sink postgres: it must be direct, pipelined, limit@ROWS"), "{error}");
        }
        let early = |name| {
            named(name).unwrap().modes_of_trial(Mode::Push, &[Mode::Push, Mode::Await]).len()
        };
        assert_eq!((early("pipelined"), early("direct")), (1, 2));
    }

    #[test]
    fn a_rival_has_a_name_of_its_own() {
        for name in ["", "direct", "limit@7", "forebay"] {
            let error = Contender::rival(name, own()).unwrap_err().to_string();
            assert!(error.contains("choose a name"), "{error}");
        }
        assert_eq!(Contender::rival("sqlx", own()).unwrap().name(), "sqlx");
    }
}
