//! A sound spool, written of what could be read of another.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::definition::{Definition, Journal};
use super::files;
use super::format::{
    ENVELOPE, HEADER, Header, PUBLISHED, SEAL, SEALED, check_of, envelope, read_unit, unit_bytes,
};
use super::gather::{Gathered, Run};
use super::identity::Identity;
use super::refusal::{damaged, unreadable, unwritable};
use super::scan::copy_frames;
use crate::error::{Error, ErrorKind, Result};

/// A segment is written when it has as many bytes.
const FULL: usize = 8 * 1024 * 1024;

/// Writes rows to segments, numbered without a gap.
pub(super) struct Rebuild<'f> {
    folder: &'f Path,
    identity: &'f Identity,
    journal: Journal,
    /// The new numbers of shapes, by their epochs and old numbers.
    shapes: HashMap<(u32, u16), u16>,
    number: u32,
    first_seq: u64,
    seq: u64,
    /// The segment at hand, with room for its header.
    bytes: Vec<u8>,
}

impl<'f> Rebuild<'f> {
    /// Begins in an empty folder, at the row `from`.
    pub(super) fn begin(folder: &'f Path, identity: &'f Identity, from: u64) -> Result<Self> {
        Ok(Self {
            folder,
            identity,
            journal: Journal::create(folder, identity.epoch)?,
            shapes: HashMap::new(),
            number: 1,
            first_seq: from,
            seq: from,
            bytes: vec![0; HEADER],
        })
    }

    /// Writes the units of a run.
    pub(super) fn run(&mut self, gathered: &Gathered, run: &Run) -> Result<()> {
        let path = &gathered.files[run.file];
        let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
        let changed = || damaged(path, "which changed while it was read");
        let mut at = run.bytes.start;
        let mut frames = Vec::new();
        while at < run.bytes.end {
            let unit = read_unit(&bytes, at).ok_or_else(changed)?;
            at = unit.end;
            self.know(gathered, run.epoch, &bytes[unit.frames.clone()])?;
            frames.clear();
            let map = |number| self.shapes.get(&(run.epoch, number)).copied();
            copy_frames(&bytes, &unit, map, &mut frames).map_err(|_| changed())?;
            if self.bytes.len() + unit_bytes(frames.len()) > FULL && self.bytes.len() > HEADER {
                self.finish_segment(SEALED)?;
            }
            let end = self.bytes.len() + unit_bytes(frames.len());
            let head: [u8; ENVELOPE] = envelope(check_of(&frames), self.identity.epoch, self.seq);
            self.bytes.extend_from_slice(&head);
            self.bytes.extend_from_slice(&frames);
            self.bytes.resize(end, 0);
            self.seq += unit.rows;
        }
        Ok(())
    }

    /// Notes the shapes of rows that none was of before.
    fn know(&mut self, gathered: &Gathered, epoch: u32, mut frames: &[u8]) -> Result<()> {
        while !frames.is_empty() {
            let head = crate::row::Frame::read(frames);
            frames = &frames[head.length..];
            if self.shapes.contains_key(&(epoch, head.shape)) {
                continue;
            }
            let known = gathered.definitions.get(&epoch).and_then(|known| known.find(head.shape));
            let number = u16::try_from(self.shapes.len()).ok();
            let (Some(known), Some(number)) = (known, number) else {
                let message = "the spool has more than 65,536 shapes of rows: replay it in parts";
                return Err(Error::new(ErrorKind::Spool, message).with_field("spool"));
            };
            self.journal.append(&Definition { number, ..known.clone() })?;
            self.shapes.insert((epoch, head.shape), number);
        }
        Ok(())
    }

    /// Writes what is at hand, and the file that says that all is there.
    pub(super) fn finish(mut self) -> Result<()> {
        self.finish_segment(0)?;
        self.identity.write(self.folder)
    }

    fn finish_segment(&mut self, sealed: u32) -> Result<()> {
        let path = files::segment(self.folder, self.number);
        // Units are of 4 GiB at the most, and a segment has one of that size for itself.
        let end = u32::try_from(self.bytes.len())
            .map_err(|_| damaged(&path, "which would have a row of more than 4 GiB"))?;
        let header = Header {
            number: self.number,
            spool: self.identity.spool,
            first_seq: self.first_seq,
            epoch: self.identity.epoch,
            capacity: end,
        };
        self.bytes[..HEADER].copy_from_slice(&header.encode());
        self.bytes[PUBLISHED].copy_from_slice(&header.published(end).to_le_bytes());
        self.bytes[SEAL].copy_from_slice(&sealed.to_le_bytes());
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&self.bytes)?;
            file.sync_all()
        };
        write().map_err(|error| unwritable(&path, error))?;
        self.number += 1;
        self.first_seq = self.seq;
        self.bytes.truncate(HEADER);
        Ok(())
    }
}
