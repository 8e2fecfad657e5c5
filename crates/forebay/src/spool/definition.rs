//! What the numbers of shapes mean in an epoch: two equal files, so that a replay needs nothing of the application.
//!
//! A line for each shape: the CRC-32C of its JSON as 8 hex digits, a space, the JSON.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;
use super::refusal::{damaged, unreadable, unwritable};
use super::step;
use crate::error::Result;
use crate::shape::{Operation, Shape, Target};
use crate::sink::ColumnType;

/// All that a [`Shape`] is made of, and the number that its rows have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) number: u16,
    pub(crate) target: Target,
    pub(crate) fields: Vec<String>,
    pub(crate) positional: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) parameters: Vec<usize>,
    pub(crate) key: Vec<usize>,
    pub(crate) key_types: Vec<ColumnType>,
    pub(crate) newest: Option<(usize, ColumnType)>,
}

impl Definition {
    /// How many values its rows have.
    pub(crate) fn values(&self) -> usize {
        self.columns.len().max(self.parameters.len())
    }

    /// Whether its parts go together, as those of a shape do.
    fn is_sound(&self) -> bool {
        let values = self.values();
        let positions = self.key.iter().chain(self.newest.iter().map(|(position, _)| position));
        let is_table = self.target.operation.writes_a_table();
        let named =
            if self.positional { self.fields.is_empty() } else { self.fields.len() == values };
        let execute = matches!(self.target.operation, Operation::Execute);
        named
            && positions.copied().all(|position| position < values)
            && self.key.len() == self.target.operation.key().len()
            && self.key_types.len() == self.key.len()
            && (if is_table { self.parameters.is_empty() } else { self.columns.is_empty() })
            && (values > 0 || !(is_table || execute))
    }

    /// The same for all shapes that write their rows the same way, whatever their numbers.
    pub(crate) fn meaning(&self) -> String {
        Self { number: 0, ..self.clone() }.line()
    }

    fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("strings and numbers");
        format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
    }

    fn read(line: &[u8]) -> Option<Self> {
        let (crc, json) = line.split_first_chunk::<8>()?;
        let json = json.strip_prefix(b" ")?;
        let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
        let definition: Self =
            (crc == crc32c::crc32c(json)).then(|| serde_json::from_slice(json).ok())??;
        definition.is_sound().then_some(definition)
    }
}

/// The files of an epoch that shapes are noted in.
#[derive(Debug)]
pub(crate) struct Journal {
    files: [(PathBuf, File); 2],
    /// Where the last line ends: half a line, of a disk that was full, is written over.
    length: u64,
}

impl Journal {
    /// Makes the files of an epoch anew, empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) with the path.
    pub(crate) fn create(folder: &Path, epoch: u32) -> Result<Self> {
        let open = |path: PathBuf| {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
            file.map(|file| (path.clone(), file)).map_err(|error| unwritable(&path, error))
        };
        let [first, copy] = files::shapes(folder, epoch);
        let first = open(first)?;
        step();
        let copy = open(copy)?;
        step();
        Ok(Self { files: [first, copy], length: 0 })
    }

    /// Notes a shape, before a row of it is accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) with the path, when the disk is full for one: then the shape is
    /// not noted, and the same call can be made again.
    pub(crate) fn note(&mut self, shape: &Shape) -> Result<()> {
        self.append(&shape.definition())
    }

    pub(crate) fn append(&mut self, definition: &Definition) -> Result<()> {
        let line = definition.line();
        for (path, file) in &self.files {
            file.write_all_at(line.as_bytes(), self.length)
                .map_err(|error| unwritable(path, error))?;
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// What the numbers of an epoch's shapes mean.
#[derive(Debug, Default)]
pub(crate) struct Definitions(BTreeMap<u16, Definition>);

impl Definitions {
    /// Reads what either file has of it. Lines that are damaged are left out: a row of such a shape cannot be read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) when a file is there and cannot be read, or when two whole lines
    /// say different things of one number.
    pub(crate) fn read(folder: &Path, epoch: u32) -> Result<Self> {
        let mut known = BTreeMap::new();
        for path in files::shapes(folder, epoch) {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&path, error)),
            };
            for definition in bytes.split(|&byte| byte == b'\n').filter_map(Definition::read) {
                let number = definition.number;
                if *known.entry(number).or_insert_with(|| definition.clone()) != definition {
                    let what = format!("shape {number} has two meanings");
                    return Err(damaged(&path, what));
                }
            }
        }
        Ok(Self(known))
    }

    /// What this number means.
    pub(crate) fn find(&self, number: u16) -> Option<&Definition> {
        self.0.get(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shapes;

    fn definition(number: u16) -> Definition {
        let operation =
            Operation::Upsert { key: vec!["id".to_owned()], newest_by: Some("at".to_owned()) };
        let mut target = Target::new("states\"\nof".to_owned(), operation);
        (target.coalesce, target.max_shapes) = (true, 40);
        let fields = ["id", "state", "at"].map(str::to_owned).to_vec();
        Definition {
            number,
            target,
            columns: fields.clone(),
            fields,
            positional: false,
            parameters: Vec::new(),
            key: vec![0],
            key_types: vec![ColumnType::Integer],
            newest: Some((2, ColumnType::Number)),
        }
    }

    #[test]
    fn a_shape_is_the_same_in_the_next_process_but_for_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let shapes = Shapes::new();
        shapes.restore(&definition(9)).expect("a shape before it");
        let shape = shapes.restore(&definition(9)).expect("a shape");
        assert_eq!((shape.id(), shape.names()), (1, &definition(0).columns[..]));
        let mut journal = Journal::create(folder.path(), 3).expect("a journal");
        journal.note(&shape).expect("noted");
        let statement = Definition {
            target: Target::statement("DELETE FROM t WHERE a = ? AND b = ?"),
            fields: Vec::new(),
            positional: true,
            columns: Vec::new(),
            parameters: vec![1, 2],
            key: Vec::new(),
            key_types: Vec::new(),
            newest: None,
            number: 4,
        };
        journal.append(&statement).expect("noted");
        let read = Definitions::read(folder.path(), 3).expect("read");
        assert_eq!(read.find(1), Some(&definition(1)));
        assert_eq!(read.find(4), Some(&statement));
        assert!(Definitions::read(folder.path(), 4).expect("another epoch").find(1).is_none());
    }

    #[test]
    fn every_damage_of_one_file_leaves_all_definitions_readable() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::create(folder.path(), 1).expect("a journal");
        for number in 0..3 {
            journal.append(&definition(number)).expect("noted");
        }
        for path in files::shapes(folder.path(), 1) {
            let good = fs::read(&path).expect("bytes");
            for at in 0..good.len() {
                let mut flipped = good.clone();
                flipped[at] ^= 1 << (at % 8);
                for damaged in [&flipped[..], &good[..at]] {
                    fs::write(&path, damaged).expect("writes");
                    let read = Definitions::read(folder.path(), 1).expect("reads the other");
                    assert!((0..3).all(|n| read.find(n) == Some(&definition(n))), "at {at}");
                }
            }
            fs::write(&path, good).expect("writes");
        }
    }

    #[test]
    fn half_a_line_of_a_full_disk_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::create(folder.path(), 1).expect("a journal");
        journal.append(&definition(0)).expect("noted");
        for (_, file) in &journal.files {
            file.write_all_at(b"12345678 {\"num", journal.length).expect("half a line");
        }
        journal.append(&definition(1)).expect("noted");
        let read = Definitions::read(folder.path(), 1).expect("reads");
        assert!(read.find(0).is_some() && read.find(1).is_some());
    }
}
