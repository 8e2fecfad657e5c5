//! What holds of the records of any input, wherever its reads are cut: for the property tests and the fuzzer.

use std::io::{self, ErrorKind, Read};

use forebay_cli::load::records::{Broken, COMMENT, Format, Item, Records};

/// An item, as it was when it was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) line: u64,
    pub(crate) lines: u64,
    pub(crate) raw: Vec<u8>,
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) broken: Option<Broken>,
}

/// Bytes that come in pieces of a few, or all at once.
struct Cut {
    bytes: Vec<u8>,
    at: usize,
    /// How long the pieces are; 0 for one piece.
    cuts: u8,
    reads: usize,
}

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        let rest = &self.bytes[self.at..];
        let piece = match self.cuts {
            0 => rest.len(),
            _ if self.reads.is_multiple_of(7) => return Err(ErrorKind::Interrupted.into()),
            cuts if self.reads.is_multiple_of(3) => 1 + usize::from(cuts) / 16,
            cuts => 1 + usize::from(cuts) % 16,
        };
        let piece = piece.min(rest.len()).min(buffer.len());
        buffer[..piece].copy_from_slice(&rest[..piece]);
        self.at += piece;
        Ok(piece)
    }
}

/// Records over bytes whose reads are cut by `cuts`.
pub(crate) fn records(format: Format, input: &[u8], max_bytes: usize, cuts: u8) -> Records {
    let source = Cut { bytes: input.to_vec(), at: 0, cuts, reads: 0 };
    Records::new("the input", Box::new(source), format, max_bytes)
}

/// All items of an input.
pub(crate) fn read(format: Format, input: &[u8], max_bytes: usize, cuts: u8) -> Vec<Seen> {
    let mut records = records(format, input, max_bytes, cuts);
    let mut items = Vec::new();
    while let Some(item) = records.read().expect("bytes in memory can be read") {
        items.push(match item {
            Item::Record(record) => Seen {
                line: record.line,
                lines: record.lines,
                raw: record.raw.to_vec(),
                fields: record.fields().map(|field| record.text()[field].to_vec()).collect(),
                broken: None,
            },
            Item::Broken { line, raw, why } => {
                Seen { line, lines: 1, raw: raw.to_vec(), fields: Vec::new(), broken: Some(why) }
            }
        });
        assert!(items.len() <= input.len(), "there are more items than bytes");
    }
    items
}

/// The format that the first byte of a fuzzer's input stands for.
pub(crate) fn format(byte: u8) -> Format {
    [Format::Csv, Format::Tsv, Format::Ndjson][usize::from(byte % 3)]
}

/// Checks a fuzzer's input: the format, the cuts, the bytes that a record may have (from 0x80 on, 1 and more), the input.
pub(crate) fn fuzz(bytes: &[u8]) {
    if let [first, cuts, max_bytes, input @ ..] = bytes {
        let max_bytes = max_bytes.checked_sub(0x7F).filter(|&max| max > 0);
        check(format(*first), input, max_bytes.map_or(usize::MAX, usize::from), *cuts);
    }
}

/// Checks what holds of any input.
pub(crate) fn check(format: Format, input: &[u8], max_bytes: usize, cuts: u8) {
    let items = read(format, input, max_bytes, 0);
    assert_eq!(
        items,
        read(format, input, max_bytes, cuts),
        "where reads are cut changes the items"
    );
    let body = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let comments = body.starts_with(COMMENT);
    let walk = Walk { format, comments, max_bytes };
    let mut rest = body;
    let mut after_open = false;
    for item in &items {
        rest = walk.over_gap(rest);
        let line = body[..body.len() - rest.len()].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(item.line, line as u64 + 1, "the number of the line at {:?}", text(rest));
        rest = walk.over_item(rest, item, after_open);
        after_open |= item.broken == Some(Broken::OpenQuote);
    }
    rest = walk.over_gap(rest);
    assert!(rest.is_empty(), "{:?} is in no item", text(rest));
    if format == Format::Csv {
        let well_formed = !comments && items.iter().all(|item| item.broken.is_none());
        let records: Vec<_> = items.into_iter().filter(|item| item.broken.is_none()).collect();
        let fields: Vec<_> = records.iter().map(|record| record.fields.clone()).collect();
        // Behind line ends, so that nothing is taken for a byte order mark.
        let alone: Vec<_> = records.iter().flat_map(|record| [b"\n", &record.raw[..]]).collect();
        assert_eq!(fields, by_csv(&alone.concat()), "the crate csv reads the records otherwise");
        if well_formed {
            assert_eq!(fields, by_csv(input), "the crate csv reads the input otherwise");
        }
    }
}

struct Walk {
    format: Format,
    comments: bool,
    max_bytes: usize,
}

impl Walk {
    /// What follows the line ends, blank lines and comments, which are in no item.
    fn over_gap<'a>(&self, mut rest: &'a [u8]) -> &'a [u8] {
        while !rest.is_empty() {
            let line = line(rest);
            let comment = self.comments && line.starts_with(COMMENT);
            let blank = match self.format {
                Format::Csv if !comment => match rest {
                    [b'\r' | b'\n', behind @ ..] => {
                        rest = behind;
                        continue;
                    }
                    _ => false,
                },
                Format::Ndjson => line.trim_ascii().is_empty(),
                _ => matches!(line, b"" | b"\r"),
            };
            if line.len() > self.max_bytes || !(comment || blank) {
                break;
            }
            rest = behind(rest, line.len());
        }
        rest
    }

    /// What follows the item that `rest` begins with.
    fn over_item<'a>(&self, rest: &'a [u8], item: &Seen, after_open: bool) -> &'a [u8] {
        let line = line(rest);
        let raw = item.raw.as_slice();
        if item.broken != Some(Broken::TooLong(self.max_bytes)) {
            assert!(rest.starts_with(raw), "{:?} is not at {:?}", text(raw), text(rest));
            assert!(raw.len() <= self.max_bytes, "{} bytes", raw.len());
            assert!(!raw.is_empty());
        }
        match item.broken {
            Some(Broken::TooLong(max_bytes)) => {
                assert_eq!(max_bytes, self.max_bytes);
                assert!(line.len() > max_bytes, "{:?} is not too long", text(line));
                assert!(raw.is_empty());
                behind(rest, line.len())
            }
            Some(Broken::OpenQuote) => {
                let window = &rest[..rest.len().min(self.max_bytes.saturating_add(1))];
                let end = end_of_csv(window);
                // After one that is open, a record of more than half of the bytes may be given up.
                let most = if after_open { self.max_bytes / 2 } else { self.max_bytes };
                let open = end.is_none_or(|end| end > most);
                assert!(open, "no quote is open in {:?}", text(window));
                assert_eq!(text(raw), text(without_line_end(line)));
                behind(rest, line.len())
            }
            None => {
                assert_eq!(
                    item.lines,
                    1 + raw.iter().filter(|&&byte| byte == b'\n').count() as u64
                );
                self.check_fields(raw, &item.fields);
                if self.format == Format::Csv {
                    let behind = &rest[raw.len()..];
                    assert!(matches!(behind, [] | [b'\r' | b'\n', ..]), "{:?}", text(behind));
                    return behind;
                }
                assert_eq!(text(raw), text(line.strip_suffix(b"\r").unwrap_or(line)));
                behind(rest, line.len())
            }
        }
    }

    fn check_fields(&self, raw: &[u8], fields: &[Vec<u8>]) {
        match self.format {
            Format::Ndjson => assert!(fields.is_empty()),
            Format::Tsv => assert!(raw.split(|&byte| byte == b'\t').eq(fields)),
            // What is in them is looked at with the others.
            Format::Csv => assert_eq!(end_of_csv(raw), Some(raw.len()), "{:?} goes on", text(raw)),
        }
    }
}

/// Where a record of CSV ends: at a line end outside of quotes, or at the end of the bytes unless a quote is open.
fn end_of_csv(bytes: &[u8]) -> Option<usize> {
    #[derive(PartialEq)]
    enum In {
        FieldStart,
        Plain,
        Quoted,
        QuotedAfterQuote,
    }
    let mut state = In::FieldStart;
    for (at, byte) in bytes.iter().enumerate() {
        state = match (state, byte) {
            (In::Quoted, b'"') => In::QuotedAfterQuote,
            (In::Quoted, _) | (In::FieldStart | In::QuotedAfterQuote, b'"') => In::Quoted,
            (_, b'\r' | b'\n') => return Some(at),
            (_, b',') => In::FieldStart,
            _ => In::Plain,
        };
    }
    (state != In::Quoted).then_some(bytes.len())
}

fn by_csv(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let records = reader.byte_records().map(|record| record.expect("bytes in memory can be read"));
    records.map(|record| record.iter().map(<[u8]>::to_vec).collect()).collect()
}

fn line(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// What follows a line of so many bytes, and its newline.
fn behind(bytes: &[u8], line: usize) -> &[u8] {
    bytes.get(line + 1..).unwrap_or_default()
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&byte| byte != b'\r').map_or(0, |at| at + 1);
    &line[..end]
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
