//! A small spool: two lives of a process, three segments with rows and a free one, groups, several shapes, a torn tail.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::row::{
    Frame, MORE, RECEIPT, Value, ValueRef, Values, put_blob, put_integer, put_null, put_real,
    put_text,
};
use crate::shape::{Operation, Target};
use crate::sink::ColumnType;
use crate::spool::definition::{Definition, Definitions, Journal};
use crate::spool::files;
use crate::spool::format::{FREE, Header, PUBLISHED, SEAL, SEALED, check_of, envelope, unit_bytes};
use crate::spool::identity::Identity;
use crate::spool::scan::{Scan, check, scan};

pub(in crate::spool) const CAPACITY: usize = 512;
pub(in crate::spool) const FIRST: u64 = 40;
pub(in crate::spool) const APPLIED: u64 = 43;

/// A row as a test sees it: its number, its table, its values.
pub(in crate::spool) type Plain = (u64, String, Vec<Value>);

pub(in crate::spool) struct Sample {
    /// The accepted rows that are not applied.
    pub(in crate::spool) promised: Vec<Plain>,
    /// The file of each of them.
    pub(in crate::spool) homes: Vec<PathBuf>,
    /// The row that was never accepted.
    pub(in crate::spool) torn: Plain,
    pub(in crate::spool) files: Vec<(PathBuf, Vec<u8>)>,
}

struct Making {
    header: Header,
    bytes: Vec<u8>,
    seq: u64,
    rows: Vec<Plain>,
}

impl Making {
    fn new(number: u32, epoch: u32, first_seq: u64) -> Self {
        let header =
            Header { number, spool: 77 << 70 | 5, first_seq, epoch, capacity: CAPACITY as u32 };
        Self { header, bytes: header.encode().to_vec(), seq: first_seq, rows: Vec::new() }
    }

    /// Appends a unit of rows of these shapes.
    fn unit(&mut self, definitions: &[Definition], shapes: &[usize]) {
        let mut frames = Vec::new();
        for (position, &shape) in shapes.iter().enumerate() {
            let more = if position + 1 < shapes.len() { MORE } else { 0 };
            let seq = self.seq + position as u64;
            let start = Frame::begin(&mut frames);
            for at in 0..definitions[shape].values() {
                match (seq as usize + at) % 5 {
                    0 => put_integer(&mut frames, seq as i64 * 1_000_003),
                    1 => put_text(&mut frames, format!("text of row {seq}").as_bytes()),
                    2 => put_real(&mut frames, seq as f64 + 0.5),
                    3 => put_null(&mut frames),
                    _ => put_blob(&mut frames, &[seq as u8; 5]),
                }
            }
            let number = definitions[shape].number;
            Frame::finish(
                &mut frames,
                start,
                number,
                more | if seq.is_multiple_of(3) { RECEIPT } else { 0 },
            );
            let table = definitions[shape].target.table().to_owned();
            let values = Values::of_frame(&frames[start..]).map(ValueRef::to_value).collect();
            self.rows.push((seq, table, values));
        }
        let end = self.bytes.len() + unit_bytes(frames.len());
        self.bytes.extend_from_slice(&envelope(check_of(&frames), self.header.epoch, self.seq));
        self.bytes.extend_from_slice(&frames);
        self.bytes.resize(end, 0);
        self.seq += shapes.len() as u64;
    }

    fn publish(&mut self, sealed: u32) {
        let word = self.header.published(self.bytes.len() as u32);
        self.bytes[PUBLISHED].copy_from_slice(&word.to_le_bytes());
        self.bytes[SEAL].copy_from_slice(&sealed.to_le_bytes());
    }

    fn write(&mut self, folder: &Path) -> PathBuf {
        assert!(self.bytes.len() <= CAPACITY, "{} bytes", self.bytes.len());
        self.bytes.resize(CAPACITY, 0);
        let path = files::segment(folder, self.header.number);
        fs::write(&path, &self.bytes).expect("writes");
        path
    }
}

pub(in crate::spool) fn definitions(offset: u16) -> Vec<Definition> {
    let make = |number: u16, table: &str, operation: Operation, columns: &[&str]| {
        let columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
        let keys = operation.key().len();
        Definition {
            number: number + offset,
            target: Target::new(table.to_owned(), operation),
            fields: columns.clone(),
            positional: false,
            columns,
            parameters: Vec::new(),
            key: (0..keys).collect(),
            key_types: vec![ColumnType::Integer; keys],
            newest: None,
        }
    };
    let key = || vec!["id".to_owned()];
    let upsert = Operation::Upsert { key: key(), newest_by: None };
    vec![
        make(0, "states", upsert, &["id", "state", "at"]),
        make(1, "notes", Operation::Insert, &["at", "what"]),
        make(2, "states", Operation::Delete { key: key() }, &["id"]),
    ]
}

impl Sample {
    pub(in crate::spool) fn write(folder: &Path) -> Self {
        let identity = Identity {
            spool: 77 << 70 | 5,
            epoch: 7,
            open: true,
            database: "data/app.db".to_owned(),
            boot: Some("boot".to_owned()),
        };
        identity.write(folder).expect("writes");
        let (old, new) = (definitions(0), definitions(4));
        for (epoch, definitions) in [(6, &old), (7, &new)] {
            let mut journal = Journal::create(folder, epoch).expect("a journal");
            for definition in definitions {
                journal.append(definition).expect("noted");
            }
        }
        let mut one = Making::new(11, 6, FIRST);
        for shapes in [&[0][..], &[1, 0], &[2], &[0, 1, 2], &[1], &[0]] {
            one.unit(&old, shapes);
        }
        one.publish(SEALED);
        let mut two = Making::new(12, 6, one.seq);
        for shapes in [&[1][..], &[0], &[0, 0], &[1]] {
            two.unit(&old, shapes);
        }
        two.publish(0);
        let mut three = Making::new(14, 7, two.seq);
        for shapes in [&[0][..], &[2, 1], &[0], &[0]] {
            three.unit(&new, shapes);
        }
        three.publish(0);
        let accepted = three.rows.len();
        three.unit(&new, &[1]);
        let torn = three.rows.split_off(accepted).remove(0);
        let mut free = Making::new(13, 7, two.seq - 6);
        free.header = Header { first_seq: 10, ..free.header };
        free.bytes = free.header.encode().to_vec();
        free.seq = 10;
        free.unit(&new, &[0]);
        free.unit(&new, &[1, 1]);
        free.bytes[PUBLISHED].copy_from_slice(&FREE.to_le_bytes());
        free.write(folder);
        let (mut promised, mut homes) = (Vec::new(), Vec::new());
        for making in [&mut one, &mut two, &mut three] {
            let path = making.write(folder);
            for row in making.rows.drain(..).filter(|(seq, ..)| *seq >= APPLIED) {
                promised.push(row);
                homes.push(path.clone());
            }
        }
        Self { promised, homes, torn, files: snapshot(folder) }
    }

    /// Has the folder hold these files and no others.
    pub(in crate::spool) fn restore(&self, folder: &Path) {
        restore(folder, &self.files);
    }
}

/// Has the folder hold these files and no others.
pub(in crate::spool) fn restore(folder: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in snapshot(folder) {
        if !files.iter().any(|(known, _)| *known == path) {
            fs::remove_file(path).expect("removes");
        }
    }
    for (path, bytes) in files {
        fs::write(path, bytes).expect("writes");
    }
}

pub(in crate::spool) fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    let mut files: Vec<_> =
        entries.map(|path| (path.clone(), fs::read(&path).expect("bytes"))).collect();
    files.sort();
    files
}

/// A folder in memory, where there is one: the tests write thousands of files.
pub(in crate::spool) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

/// Reads a spool as a buffer that is opened does.
pub(in crate::spool) fn read(folder: &Path, applied: u64) -> Result<(Scan, Vec<Plain>)> {
    let identity = Identity::read(folder)?.expect("a spool");
    let scan = scan(folder, &identity)?;
    let from = check(folder, scan.rows.as_ref(), Some(applied), "app.db")?;
    let mut rows = Vec::new();
    for found in scan.segments.iter().filter(|found| found.rows.end > from) {
        let definitions = Definitions::read(folder, found.epoch)?;
        let numbers = |_: u32, number: u16| Some(number + 100);
        let frames = found.load(from, &numbers)?;
        let (mut rest, mut seq) = (&frames[..], found.rows.start.max(from));
        while !rest.is_empty() {
            let head = Frame::read(rest);
            assert_eq!(head.flags & RECEIPT, 0, "nobody waits for it any more");
            let definition = definitions.find(head.shape - 100).expect("a shape");
            let values = Values::of_frame(&rest[..head.length]).map(ValueRef::to_value);
            rows.push((seq, definition.target.table().to_owned(), values.collect()));
            (rest, seq) = (&rest[head.length..], seq + 1);
        }
        assert_eq!(seq, found.rows.end);
    }
    Ok((scan, rows))
}
