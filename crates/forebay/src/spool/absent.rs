//! What stands for the spool where the feature `spool` is off: types that have no values, so that nothing of it is compiled.

use std::path::Path;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::DeadLetter;
use crate::shape::{Shape, Shapes};
use crate::sink::Sink;

pub(crate) enum Spool {}

pub(crate) enum SegmentFile {}

pub(crate) enum Recovered {}

#[derive(Debug)]
pub(crate) enum Journal {}

pub(crate) struct Opened {
    pub(crate) spool: Spool,
    pub(crate) journal: Journal,
    pub(crate) first_seq: u64,
    pub(crate) recovered: Vec<Recovered>,
    pub(crate) open: SegmentFile,
    pub(crate) spare: SegmentFile,
    pub(crate) untold: Vec<DeadLetter>,
}

pub(crate) fn check_of(_: &[u8]) -> u32 {
    0
}

#[inline]
pub(crate) fn after_unit(end: usize) -> usize {
    end
}

impl Spool {
    /// [`Config::check`] has refused the setting before.
    pub(crate) fn open(_: &Config, _: &mut dyn Sink, _: &Shapes) -> Result<Opened> {
        Err(Error::new(ErrorKind::Config, "forebay was built without its feature `spool`"))
    }

    pub(crate) fn key(&self) -> &str {
        match *self {}
    }

    pub(crate) fn folder(&self) -> &Path {
        match *self {}
    }

    pub(crate) fn segment_bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn make(&self) -> Result<SegmentFile> {
        match *self {}
    }

    pub(crate) fn is_in_place(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_forked(&self) -> bool {
        match *self {}
    }

    pub(crate) fn close(&self, _: bool) {
        match *self {}
    }
}

impl SegmentFile {
    pub(crate) fn len(&self) -> usize {
        match *self {}
    }

    pub(crate) fn has_room(&self, _: usize) -> bool {
        match *self {}
    }

    pub(crate) fn used(&self) -> usize {
        match *self {}
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn restart(&mut self, _: u64) {
        match *self {}
    }

    pub(crate) fn append(&mut self, _: &[u8], _: u32, _: u64) {
        match *self {}
    }

    pub(crate) fn seal(&mut self) {
        match *self {}
    }

    pub(crate) fn free(&mut self) {
        match *self {}
    }

    pub(crate) fn delete(self) -> bool {
        match self {}
    }
}

impl Recovered {
    pub(crate) fn first_seq(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn rows(&self) -> usize {
        match *self {}
    }

    pub(crate) fn file_bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn load(&self) -> Result<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn delete(self) -> bool {
        match self {}
    }
}

impl Journal {
    pub(crate) fn note(&mut self, _: &Shape) -> Result<()> {
        match *self {}
    }
}
