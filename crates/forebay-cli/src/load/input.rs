//! The input: a file or standard input, gzip and zstd read as what they hold.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::args;
use crate::failure::{Failure, Result, because};
use crate::load::feed::Feed;
use crate::load::records::{Format, Records};

const SAY_FORMAT: &str = "say --format ndjson, --format csv or --format tsv";

// What files begin with.
const GZIP: &[u8] = b"\x1F\x8B";
const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";
const XZ: &[u8] = b"\xFD7zXZ\0";
const BZIP2: &[u8] = b"BZh";
const ZIP: &[u8] = b"PK\x03\x04";
const UTF16: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];
const SQLITE: &[u8] = b"SQLite format 3\0";
const MAGIC: [&[u8]; 8] = [GZIP, ZSTD, XZ, BZIP2, ZIP, UTF16[0], UTF16[1], SQLITE];
const LONGEST_MAGIC: usize = SQLITE.len();

/// An input that is open.
pub struct Input {
    /// What it is called in messages.
    pub name: String,
    /// Its size as it lies there, compressed or not, where that is known.
    pub size: Option<u64>,
    /// Bytes of that read so far.
    pub read: Arc<AtomicU64>,
    /// What it is made of.
    pub format: Format,
    /// What the fields of CSV have between them.
    delimiter: u8,
}

/// What the bytes of an input are packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Input {
    /// Opens a file, or standard input for `-`, and begins to read what it holds. Its name tells what it is made of, unless the arguments do.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is something that no record can be in, or nothing tells its format.
    pub fn open(args: &args::Load) -> Result<(Self, Feed)> {
        let (path, format) = (args.input.as_path(), args.format);
        let read = Arc::new(AtomicU64::new(0));
        let (name, size, bytes): (String, Option<u64>, Box<dyn Read + Send>) =
            if path == Path::new("-") {
                if format.is_none() {
                    return Err(Failure::of_arguments(
                        "standard input has no name that tells its format",
                    )
                    .hint(SAY_FORMAT));
                }
                ("standard input".to_owned(), None, Box::new(io::stdin()))
            } else {
                let name = path.display().to_string();
                let failed = |error: io::Error| cannot_read(&name, &error);
                let file = File::open(path).map_err(failed)?;
                let about = file.metadata().map_err(failed)?;
                if about.is_dir() {
                    return Err(Failure::new(format!("cannot read {name}: it is a folder")));
                }
                let size = about.is_file().then_some(about.len());
                (name, size, Box::new(file))
            };
        let mut bytes = Counted { bytes, read: Arc::clone(&read) };
        let start = first_bytes(&mut bytes).map_err(|error| cannot_read(&name, &error))?;
        let packing = packing(&name, &start)?;
        let format = format.or_else(|| format_of(path)).ok_or_else(|| {
            Failure::of_arguments(format!("cannot tell the format of {name} by its name"))
                .hint(SAY_FORMAT)
        })?;
        if args.delimiter.is_some() && format != Format::Csv {
            return Err(Failure::of_arguments("--delimiter goes with --format csv"));
        }
        let delimiter = args.delimiter.unwrap_or(b',');
        let bytes = Cursor::new(start).chain(bytes);
        let source: Box<dyn Read + Send> = match packing {
            Packing::None => Box::new(bytes),
            Packing::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(bytes);
                Box::new(decoder.map_err(|error| cannot_read(&name, &error))?)
            }
        };
        let feed = Feed::of(source).map_err(|error| cannot_read(&name, &error))?;
        Ok((Self { name, size, read, format, delimiter }, feed))
    }

    /// The records of no more than `max_bytes` each that are in some bytes of it.
    pub(super) fn records(&self, bytes: impl Read + Send + 'static, max_bytes: usize) -> Records {
        Records::new(&self.name, Box::new(bytes), self.format, max_bytes).delimited(self.delimiter)
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {name}: {}", because(error)))
}

/// What went wrong with reading after so many lines, said so that the user knows what to do.
pub(super) fn cannot_read_on(name: &str, lines: u64, error: &io::Error) -> Failure {
    let place = if lines == 0 { "at its start".to_owned() } else { format!("after line {lines}") };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::new(format!("{name} is cut off {place}: its compressed data ends too early"))
                .hint("get the whole file and load it again; with --upsert the rows that are in already do no harm")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Failure::new(format!("cannot decompress {name} {place}: {error}"))
        }
        _ => Failure::new(format!("cannot read {name} {place}: {}", because(error))),
    }
}

/// As many bytes as it takes to tell what it is, and no more: the next ones may come late.
fn first_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let may_become = |start: &[u8]| {
        MAGIC.iter().any(|magic| magic.len() > start.len() && magic.starts_with(start))
    };
    while may_become(&start) {
        let mut more = [0; LONGEST_MAGIC];
        match source.read(&mut more) {
            Ok(0) => break,
            Ok(bytes) => start.extend_from_slice(&more[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(start)
}

/// By the numbers that files begin with.
fn packing(name: &str, start: &[u8]) -> Result<Packing> {
    let other = |what: &str, how: &str| {
        Err(Failure::new(format!("cannot load {name}: it is {what}")).hint(how.to_owned()))
    };
    let is = |magic: &[u8]| start.starts_with(magic);
    match () {
        () if is(GZIP) => Ok(Packing::Gzip),
        () if is(ZSTD) => Ok(Packing::Zstd),
        () if is(XZ) => {
            other("compressed with xz", "pipe it through: xz -dc FILE | forebay load - --format …")
        }
        () if is(BZIP2) && start.get(4..7) == Some(b"1AY") => other(
            "compressed with bzip2",
            "pipe it through: bzip2 -dc FILE | forebay load - --format …",
        ),
        () if is(ZIP) => other(
            "a zip archive (an Excel workbook is one)",
            "unpack it, or export it as CSV; then load the file that is in it",
        ),
        () if is(UTF16[0]) || is(UTF16[1]) => other(
            "text in UTF-16",
            "convert it: iconv -f UTF-16 -t UTF-8 FILE | forebay load - --format …",
        ),
        () if is(SQLITE) => other(
            "a SQLite database",
            "name a CSV, TSV or NDJSON file as input, and the database with --into",
        ),
        () => Ok(Packing::None),
    }
}

/// The format that a file's name tells, with `.gz` and `.zst` looked through.
fn format_of(path: &Path) -> Option<Format> {
    let inner: PathBuf = match extension(path)?.as_str() {
        "gz" | "zst" | "zstd" => path.with_extension(""),
        _ => path.to_owned(),
    };
    match extension(&inner)?.as_str() {
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        _ => None,
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Counts what is read.
struct Counted {
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
