//! From bytes to records: where each begins, its bytes as they were, and the fields of CSV and TSV.
//!
//! Every byte of the input is in exactly one record, or in a line end, a blank line or a comment of a rejects
//! file. A record that cannot be told from its neighbours is handed over as broken; the next line begins anew.

mod csv;

use std::io::{ErrorKind, Read};
use std::ops::Range;

use clap::ValueEnum;
use memchr::{memchr, memchr_iter};

use crate::failure::Result;
use crate::load::input::cannot_read_on;

/// How a line begins that a rejects file explains the next record with. Only a file that begins with one has
/// such lines.
pub const COMMENT: &[u8] = b"#forebay:";

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// What an input is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object on each line.
    #[value(alias = "jsonl")]
    Ndjson,
    /// Fields with commas between them, in double quotes where they hold commas, quotes or line ends (RFC 4180).
    Csv,
    /// Fields with tabs between them, as they are: no quotes, no escapes.
    Tsv,
}

/// What the next stretch of the input is.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// A line that no record can be made of.
    Broken {
        /// The line's number, from 1.
        line: u64,
        /// Its bytes; empty where it is too long to be kept.
        raw: &'a [u8],
        /// Why.
        why: Broken,
    },
}

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It has more bytes than this.
    TooLong(usize),
    /// A quote opens in it and does not close: not within the bytes that a record may have, or not at all.
    OpenQuote,
}

/// The bytes that one row comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The number of its first line, from 1.
    pub line: u64,
    /// How many lines it spans: more than one where a quoted field holds line ends.
    pub lines: u64,
    /// Its bytes, without the line end.
    pub raw: &'a [u8],
    /// A line end follows it, not the end of the input.
    pub is_ended: bool,
    text: &'a [u8],
    ends: &'a [usize],
    /// Bytes between one field and the next in `text`.
    gap: usize,
}

impl<'a> Record<'a> {
    /// How many fields it has; none in NDJSON.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no fields, as in NDJSON.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes that hold all fields.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where each field is in [`text`](Self::text).
    pub fn fields(&self) -> impl Iterator<Item = Range<usize>> {
        let gap = self.gap;
        self.ends.iter().scan(0, move |start, &end| {
            let field = *start..end;
            *start = end + gap;
            Some(field)
        })
    }
}

/// Reads records.
pub struct Records {
    input: String,
    source: Box<dyn Read + Send>,
    format: Format,
    max_bytes: usize,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that are not consumed yet.
    ahead: Range<usize>,
    /// Lines before `ahead`.
    lines: u64,
    begun: bool,
    /// Whether it is a rejects file.
    is_explained: bool,
    comments: u64,
    csv: csv_core::Reader,
    /// Bytes of `ahead` that the last record which did not end reached over, in quotes at each of their newlines.
    open: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A stretch at the start of `ahead`, found but not consumed yet.
enum Step {
    /// `length` bytes of which the first `raw` are the record's; `fields` of them are in `ends`.
    Record {
        raw: usize,
        length: usize,
        text: usize,
        fields: usize,
    },
    /// The line of `length` bytes, which is to be skipped.
    Skip {
        length: usize,
    },
    Broken {
        length: usize,
        why: Broken,
    },
}

/// The line at the start of `ahead`.
enum Line {
    /// Its length without the newline, and with it.
    Whole(usize, usize),
    TooLong,
    None,
}

impl Records {
    /// Reads records of no more than `max_bytes` each from an input that messages call `input`.
    pub fn new(
        input: &str,
        source: Box<dyn Read + Send>,
        format: Format,
        max_bytes: usize,
    ) -> Self {
        let mut csv = csv_core::Reader::new();
        csv::begin_anew(&mut csv);
        Self {
            input: input.to_owned(),
            source,
            format,
            max_bytes,
            buffer: vec![0; CHUNK],
            ahead: 0..0,
            lines: 0,
            begun: false,
            is_explained: false,
            comments: 0,
            csv,
            open: 0,
            text: vec![0; CHUNK],
            ends: vec![0; 64],
        }
    }

    /// Has the fields of CSV end at another byte than the comma.
    #[must_use]
    pub fn delimited(mut self, by: u8) -> Self {
        self.csv = csv_core::ReaderBuilder::new().delimiter(by).build();
        csv::begin_anew(&mut self.csv);
        self
    }

    /// Lines skipped because they explain a rejected record.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    /// The next record, or `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// When the input cannot be read. What was read of an unfinished record is not handed over.
    pub fn read(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            let Some(step) = self.step()? else { return Ok(None) };
            let line = self.lines + 1;
            let start = self.ahead.start;
            match step {
                Step::Skip { length } => self.consume(length),
                Step::Broken { length: 0, why } => {
                    self.skip_line()?;
                    return Ok(Some(Item::Broken { line, raw: &[], why }));
                }
                Step::Broken { length, why } => {
                    self.consume(length);
                    let raw = without_line_end(&self.buffer[start..start + length]);
                    return Ok(Some(Item::Broken { line, raw, why }));
                }
                Step::Record { raw, length, text, fields } => {
                    self.consume(length);
                    let raw = &self.buffer[start..start + raw];
                    let (text, gap) = match self.format {
                        Format::Csv => (&self.text[..text], 0),
                        Format::Tsv | Format::Ndjson => (raw, 1),
                    };
                    let lines = 1 + memchr_iter(b'\n', raw).count() as u64;
                    let ends = &self.ends[..fields];
                    let is_ended = length > raw.len();
                    let record = Record { line, lines, raw, is_ended, text, ends, gap };
                    return Ok(Some(Item::Record(record)));
                }
            }
        }
    }

    fn step(&mut self) -> Result<Option<Step>> {
        if !self.begun {
            self.begun = true;
            self.skip_byte_order_mark()?;
            self.is_explained = self.starts_with(COMMENT)?;
        }
        if self.is_explained && self.starts_with(COMMENT)? {
            self.comments += 1;
            return Ok(match self.line()? {
                Line::Whole(_, length) => Some(Step::Skip { length }),
                Line::TooLong => {
                    Some(Step::Broken { length: 0, why: Broken::TooLong(self.max_bytes) })
                }
                Line::None => None,
            });
        }
        match self.format {
            Format::Csv => self.csv_step(),
            Format::Tsv | Format::Ndjson => self.line_step(),
        }
    }

    fn line_step(&mut self) -> Result<Option<Step>> {
        let (end, length) = match self.line()? {
            Line::None => return Ok(None),
            Line::TooLong => {
                return Ok(Some(Step::Broken { length: 0, why: Broken::TooLong(self.max_bytes) }));
            }
            Line::Whole(end, length) => (end, length),
        };
        let line = &self.buffer[self.ahead.start..self.ahead.start + end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = match self.format {
            Format::Ndjson => line.trim_ascii().is_empty(),
            Format::Tsv | Format::Csv => line.is_empty(),
        };
        if blank {
            return Ok(Some(Step::Skip { length }));
        }
        let mut fields = 0;
        if self.format == Format::Tsv {
            self.ends.clear();
            self.ends.extend(memchr_iter(b'\t', line).chain([line.len()]));
            fields = self.ends.len();
        }
        Ok(Some(Step::Record { raw: line.len(), length, text: 0, fields }))
    }

    fn ahead(&self) -> &[u8] {
        &self.buffer[self.ahead.clone()]
    }

    /// The bytes of `ahead` that a record may have, and one more for its line end. Nothing else is looked at to tell
    /// whether it is too long: how much more is ahead depends on where the reads are cut.
    fn within(&self) -> Range<usize> {
        let Range { start, end } = self.ahead;
        start..end.min(start.saturating_add(self.max_bytes).saturating_add(1))
    }

    fn consume(&mut self, length: usize) {
        self.lines += memchr_iter(b'\n', &self.ahead()[..length]).count() as u64;
        self.ahead.start += length;
        self.open = self.open.saturating_sub(length);
    }

    /// The line at the start of `ahead`, which is read on as far as it takes.
    fn line(&mut self) -> Result<Line> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.within()][searched..]) {
                return Ok(Line::Whole(searched + at, searched + at + 1));
            }
            searched = self.within().len();
            if searched > self.max_bytes {
                return Ok(Line::TooLong);
            }
            if !self.fill()? {
                return Ok(if searched == 0 {
                    Line::None
                } else {
                    Line::Whole(searched, searched)
                });
            }
        }
    }

    /// Consumes a line without keeping it.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            if let Some(at) = memchr(b'\n', self.ahead()) {
                self.consume(at + 1);
                return Ok(());
            }
            self.ahead.start = self.ahead.end;
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    fn starts_with(&mut self, prefix: &[u8]) -> Result<bool> {
        // No more than it takes to tell: what comes next may come late.
        while self.ahead.len() < prefix.len() && prefix.starts_with(self.ahead()) {
            if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(self.ahead().starts_with(prefix))
    }

    fn skip_byte_order_mark(&mut self) -> Result<()> {
        if self.starts_with(b"\xEF\xBB\xBF")? {
            self.ahead.start += 3;
        }
        Ok(())
    }

    /// Reads more behind `ahead`. False at the end of the input.
    fn fill(&mut self) -> Result<bool> {
        if self.ahead.is_empty() {
            self.ahead = 0..0;
        } else if self.buffer.len() - self.ahead.end < CHUNK / 2 {
            self.buffer.copy_within(self.ahead.clone(), 0);
            self.ahead = 0..self.ahead.len();
            if self.buffer.len() - self.ahead.end < CHUNK / 2 {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        loop {
            match self.source.read(&mut self.buffer[self.ahead.end..]) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    self.ahead.end += bytes;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read_on(&self.input, self.lines, &error)),
            }
        }
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &bytes[..end]
}
