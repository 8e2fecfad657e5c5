//! A load that is ready to begin, and the thread that reads for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use forebay::{Config, ErrorKind, Producer, WriteBuffer};
use parking_lot::Mutex;

use crate::args;
use crate::failure::{Failure, Result};
use crate::load::columns::Columns;
use crate::load::create::{Sample, create_table};
use crate::load::header::Header;
use crate::load::input::{Input, format_of};
use crate::load::ledger::Ledger;
use crate::load::records::{Format, Item, Records};
use crate::load::rejects::Rejects;
use crate::load::row::{Layout, Trouble};
use crate::screen::Screen;

/// Memory for rows on their way, unless the configuration says otherwise: one producer needs no more.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// A record's bytes for each byte that a row may have: JSON writes some characters with six.
const RECORD_PER_ROW: usize = 8;

/// Lists of fields that the lines of NDJSON may have.
const MAX_SHAPES: usize = 1_000;

/// Records between two looks at what has been decided.
const SETTLE_EVERY: u64 = 256;

/// A load that is ready to begin.
pub(super) struct Job {
    /// What the input is called.
    pub(super) input: String,
    /// How large it is, where that is known.
    pub(super) size: Option<u64>,
    /// How much of it has been read.
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) buffer: WriteBuffer,
    producer: Producer,
    pub(super) columns: Columns,
    layout: Layout,
    records: Records,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl Job {
    /// Opens everything and looks at the table, which is made if need be.
    pub(super) fn begin(args: &args::Load, screen: &Screen) -> Result<Self> {
        let format = args.format.or_else(|| format_of(&args.input)).ok_or_else(|| {
            Failure::new(format!("cannot tell the format of {} by its name", args.input.display()))
                .hint("say --format ndjson, --format csv or --format tsv")
        })?;
        let config = config(args)?;
        let max_record_bytes = RECORD_PER_ROW * config.max_row_bytes;
        check_paths(args)?;
        let mut input = Input::open(&args.input)?;
        let sample = if args.create { Sample::take(&mut input)? } else { Sample::default() };
        let rejects = Rejects::new(screen.clone(), &input.name, args.rejects.as_deref())?;
        let buffer = WriteBuffer::builder(&args.into).config(config).open()?;
        let key = args.upsert.clone().unwrap_or_default();
        let info = match buffer.describe(&args.table) {
            Ok(info) => info,
            Err(error) if error.kind() == ErrorKind::Schema && args.create => {
                create_table(args, &buffer, screen, &sample, &input.name, format)?;
                buffer.describe(&args.table)?
            }
            Err(error) if error.kind() == ErrorKind::Schema => {
                return Err(
                    Failure::from(error).hint("--create makes the table by what the input holds")
                );
            }
            Err(error) => return Err(error.into()),
        };
        let columns = Columns::new(&info, &key);
        let source = Box::new(sample.followed_by(input.source));
        let mut records = Records::new(&input.name, source, format, max_record_bytes);
        let mut ledger = Ledger::new(rejects);
        let layout = match (format, &args.columns) {
            (Format::Ndjson, names) => {
                Layout::Objects(names.as_ref().map(|names| columns.positions(names)).transpose()?)
            }
            (_, Some(names)) => Layout::Fields(columns.positions(names)?),
            (_, None) => {
                let header = Header::read(&mut records, &input.name)?;
                ledger.rejects.set_header(&header.raw);
                Layout::Fields(columns.positions(&header.names)?)
            }
        };
        let table = buffer.table(info.name());
        let mut write = match &args.upsert {
            Some(key) => table.upsert(key.clone()),
            None => table.insert(),
        };
        if let Some(column) = &args.newest_by {
            write = write.newest_by(column);
        }
        if args.coalesce {
            write = write.coalesce();
        }
        let producer = write.max_shapes(MAX_SHAPES).producer()?;
        let ledger = Arc::new(Mutex::new(ledger));
        let Input { name: input, size, read: bytes, .. } = input;
        Ok(Self { input, size, bytes, buffer, producer, columns, layout, records, ledger })
    }

    /// Reads to the end and has all rows decided. Blocks while the buffer is full.
    pub(super) fn pump(&mut self) -> Result<()> {
        let read = self.read();
        self.buffer.flush()?;
        read
    }

    fn read(&mut self) -> Result<()> {
        loop {
            let item = self.records.read()?;
            // Held while the row is handed over, so that whoever closes the buffer finds every row in it.
            let mut ledger = self.ledger.lock();
            match item {
                None => return Ok(()),
                Some(Item::Broken { line, raw, why }) => {
                    ledger.refuse(line, raw, &Trouble::from(why));
                }
                Some(Item::Record(record)) => match self.layout.row(&self.columns, &record) {
                    Err(trouble) => ledger.refuse(record.line, record.raw, &trouble),
                    Ok(row) => match self.producer.submit(&row) {
                        Ok(receipt) => ledger.submitted(record.line, record.raw, receipt),
                        Err(error) if is_about_the_row(error.kind()) => {
                            ledger.refuse(record.line, record.raw, &format_args!("{error:#}"));
                        }
                        Err(error) => return Err(error.into()),
                    },
                },
            }
            if ledger.read.is_multiple_of(SETTLE_EVERY) {
                ledger.settle(false);
                ledger.rejects.flush()?;
            }
        }
    }
}

/// Whether the next row may fare better.
fn is_about_the_row(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownField
            | ErrorKind::Schema
            | ErrorKind::Encode
            | ErrorKind::TooLarge
            | ErrorKind::TooManyShapes
    )
}

fn config(args: &args::Load) -> Result<Config> {
    let mut config = match &args.config {
        None => Config { max_buffer_bytes: BUFFER_BYTES, ..Config::default() },
        Some(path) => {
            let name = path.display();
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(format!("cannot read the settings in {name}: {error}"))
            })?;
            toml::from_str(&text).map_err(|error| {
                Failure::new(format!("the settings in {name} are not usable: {error}"))
            })?
        }
    };
    if let Some(rows) = args.batch_size {
        config.batch_size = rows;
        config.max_transaction_rows = config.max_transaction_rows.max(rows);
    }
    config.linger = args.linger.unwrap_or(config.linger);
    config.durability = args.durability.map_or(config.durability, Into::into);
    config.check()?;
    Ok(config)
}

/// What would otherwise be found out too late, or not at all.
fn check_paths(args: &args::Load) -> Result<()> {
    let into = args.into.display();
    if args.into.to_string_lossy().contains("://") {
        return Err(Failure::new("--into takes the path of a SQLite file, and this is a URL"));
    }
    if !args.create && !args.into.exists() {
        return Err(Failure::new(format!("the database {into} is not there"))
            .hint("check the path; --create makes the database and the table"));
    }
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if args.rejects.as_deref().is_some_and(|rejects| same(rejects, &args.input)) {
        return Err(Failure::new(
            "the rejects file is the input itself: name another with --rejects",
        ));
    }
    Ok(())
}
