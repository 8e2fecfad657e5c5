//! A load that is ready to begin, and the thread that reads for it.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use forebay::{ErrorKind, Producer, TableInfo, WriteBuffer};
use parking_lot::Mutex;

use crate::args;
use crate::failure::{Failure, Result};
use crate::load::columns::{Columns, Naming};
use crate::load::create::Plan;
use crate::load::header::Header;
use crate::load::input::Input;
use crate::load::ledger::Ledger;
use crate::load::records::{Format, Item, Records};
use crate::load::rejects::Rejects;
use crate::load::row::{Layout, Trouble};
use crate::load::{paths, settings};
use crate::screen::Screen;
use crate::server::{self, Server};
use crate::signals::Signalled;
use crate::words::count;

/// A record's bytes for each byte that a row may have: JSON writes some characters with six.
const RECORD_PER_ROW: usize = 8;

/// Lists of fields that the lines of NDJSON may have.
const MAX_SHAPES: usize = 1_000;

/// What is said of a line with another one.
const MANY_SHAPES: &str = "the lines have more than 1,000 different lists of fields: give every line the same ones, \
                           where null is NULL";

/// The tables that buffers keep their books in.
const BOOKS: [&str; 2] = ["_forebay", "_forebay_rejected"];

/// Records between two looks at what has been decided.
const SETTLE_EVERY: u64 = 256;

/// A load that is ready to begin.
pub(super) struct Job {
    /// What the input is called.
    pub(super) input: String,
    /// What the database is called.
    pub(super) into: String,
    /// How large it is, where that is known.
    pub(super) size: Option<u64>,
    /// How much of it has been read.
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) buffer: WriteBuffer,
    producer: Producer,
    pub(super) columns: Columns,
    layout: Layout,
    records: Records,
    screen: Screen,
    signalled: Signalled,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl Job {
    /// Opens everything and looks at the table, which is made if need be.
    pub(super) fn begin(args: &args::Load, screen: &Screen, signalled: &Signalled) -> Result<Self> {
        let config = settings::config(args)?;
        let max_record_bytes = RECORD_PER_ROW * config.max_row_bytes;
        paths::check(args)?;
        let (input, mut feed) = Input::open(args)?;
        let plan = if args.create { Some(Plan::make(args, &input, &mut feed)?) } else { None };
        let server = server::is_url(&args.into).then(|| Server::of(&args.into));
        if let Some(plan) = &plan
            && server.is_none()
            && !args.into.exists()
        {
            // Before there is a database for nothing.
            plan.check()?;
        }
        let mut rejects =
            Rejects::new(screen.clone(), "line", &input.name, args.rejects.as_deref())?;
        let buffer = match &server {
            Some(server) => server.buffer(config, args.create)?,
            None => WriteBuffer::builder(&args.into).config(config).open()?,
        };
        let info = look_at_table(args, &buffer, plan.as_ref(), screen)?;
        let mut columns = Columns::new(&info, args.upsert.as_deref().unwrap_or_default());
        if let Some(server) = &server {
            columns.take(&server.takes(info.name())?);
        }
        let sample = plan.map_or_else(Vec::new, Plan::into_sample);
        let mut records = input.records(Cursor::new(sample).chain(feed), max_record_bytes);
        let header = Header::read(args, &input, &mut records)?;
        if let Some(header) = &header {
            rejects.set_header(&header.raw);
        }
        let layout = layout(args, input.format, header.as_ref(), &columns)?;
        let producer = producer(args, &buffer, &info)?;
        let ledger = Arc::new(Mutex::new(Ledger::new(rejects, signalled.clone())));
        let Input { name: input, size, read: bytes, .. } = input;
        let into = server.map_or_else(|| args.into.display().to_string(), |server| server.name);
        let screen = screen.clone();
        let signalled = signalled.clone();
        Ok(Self {
            input,
            into,
            size,
            bytes,
            buffer,
            producer,
            columns,
            layout,
            records,
            screen,
            signalled,
            ledger,
        })
    }

    /// Reads to the end and has all rows decided. Blocks while the buffer is full.
    pub(super) fn pump(&mut self) -> Result<()> {
        let read = self.read();
        self.buffer.flush()?;
        let comments = self.records.comments();
        if comments > 0 {
            let lines = count(comments, "line");
            self.screen
                .line(format_args!("{}: skipped {lines} that begin with #forebay:", self.input));
        }
        read
    }

    fn read(&mut self) -> Result<()> {
        loop {
            let item = match self.records.read() {
                // Whoever wrote into the pipe was interrupted too.
                Err(_) if self.signalled.signal_on_its_way().is_some() => return Ok(()),
                item => item?,
            };
            // Held while the row is handed over, so that whoever closes the buffer finds every row in it.
            let mut ledger = self.ledger.lock();
            match item {
                _ if ledger.is_finished => return Ok(()),
                None => return Ok(()),
                Some(Item::Broken { line, raw, why }) => {
                    ledger.refuse_line(line, raw, &Trouble::from(why));
                }
                // Likewise: the half of a record is none. A file's last line may well have no end.
                Some(Item::Record(record))
                    if !record.is_ended
                        && self.size.is_none()
                        && self.signalled.signal_on_its_way().is_some() =>
                {
                    return Ok(());
                }
                Some(Item::Record(record)) => match self.layout.row(&self.columns, &record) {
                    Err(trouble) => ledger.refuse(&record, &trouble),
                    Ok(row) => match self.producer.submit(&row) {
                        Ok(receipt) => ledger.submitted(&record, receipt),
                        Err(error) if error.kind() == ErrorKind::TooManyShapes => {
                            ledger.refuse(&record, &Trouble::new(MANY_SHAPES));
                        }
                        Err(error) if is_about_the_row(error.kind()) => {
                            ledger.refuse(&record, &format_args!("{error:#}"));
                        }
                        Err(error) => return Err(error.into()),
                    },
                },
            }
            let is_heavy = ledger.is_heavy();
            if is_heavy {
                // Whoever closes the buffer must get at the ledger meanwhile.
                drop(ledger);
                self.buffer.flush()?;
                ledger = self.ledger.lock();
            }
            if is_heavy || ledger.read.is_multiple_of(SETTLE_EVERY) {
                ledger.settle();
                ledger.rejects.flush()?;
            }
        }
    }
}

/// Looks at the table, which is made if it is to be.
fn look_at_table(
    args: &args::Load,
    buffer: &WriteBuffer,
    plan: Option<&Plan>,
    screen: &Screen,
) -> Result<TableInfo> {
    match (buffer.describe(&args.table), plan) {
        // The books are there, and nobody may make what has their name.
        (Err(error), _) if BOOKS.iter().any(|own| args.table.eq_ignore_ascii_case(own)) => {
            Err(error.into())
        }
        (Err(error), Some(plan)) if error.kind() == ErrorKind::Schema => {
            plan.create_table(buffer, screen)?;
            Ok(buffer.describe(&args.table)?)
        }
        (Err(error), None) if error.kind() == ErrorKind::Schema => {
            Err(Failure::from(error).hint("--create makes the table by what the input holds"))
        }
        (described, _) => Ok(described?),
    }
}

/// Which field of a record goes to which column. Those that tell rows apart must be among them.
fn layout(
    args: &args::Load,
    format: Format,
    header: Option<&Header>,
    columns: &Columns,
) -> Result<Layout> {
    let positions = match (&args.columns, header) {
        (Some(names), _) => Some(columns.positions(names, Naming::Columns)?),
        (None, Some(header)) => Some(columns.positions(&header.names, Naming::Header)?),
        (None, None) => None,
    };
    let Some(positions) = positions else { return Ok(Layout::Objects(None)) };
    for needed in args.upsert.iter().flatten().chain(&args.newest_by) {
        if columns.find(needed).is_some_and(|column| !positions.contains(&column)) {
            return Err(Failure::new(format!(
                "the input has no field for the column `{needed}`, which --upsert and --newest-by compare"
            )));
        }
    }
    Ok(match format {
        Format::Ndjson => Layout::Objects(Some(positions)),
        Format::Csv | Format::Tsv => Layout::Fields(positions),
    })
}

fn producer(args: &args::Load, buffer: &WriteBuffer, info: &TableInfo) -> Result<Producer> {
    let table = buffer.table(info.name());
    let mut write = match &args.upsert {
        Some(key) => table.upsert(key.clone()),
        None if args.ignore_duplicates => table.insert().ignore_duplicates(),
        None => table.insert(),
    };
    if let Some(column) = &args.newest_by {
        write = write.newest_by(column);
    }
    if args.coalesce {
        write = write.coalesce();
    }
    Ok(write.max_shapes(MAX_SHAPES).producer()?)
}

/// Whether the next row may fare better.
fn is_about_the_row(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownField | ErrorKind::Schema | ErrorKind::Encode | ErrorKind::TooLarge
    )
}
