//! `--create`: the table that the first records of an input call for.

use std::time::Duration;

use forebay::WriteBuffer;
use memchr::memchr_iter;

use crate::args;
use crate::failure::{Failure, Result};
use crate::load::feed::Feed;
use crate::load::header::NAME_THE_FIELDS;
use crate::load::inference::{Inference, MAX_RECORDS, is_value};
use crate::load::input::{Input, cannot_read_on};
use crate::load::records::Format;
use crate::screen::Screen;
use crate::words::{count, listed};

const SAMPLE_BYTES: usize = 1024 * 1024;

/// How long the first records may keep the others waiting, once there are some.
const SAMPLE_PATIENCE: Duration = Duration::from_secs(1);

/// What a table for an input would be.
pub(super) struct Plan {
    sample: Vec<u8>,
    input: String,
    table: String,
    key: Vec<String>,
    columns: Result<Inference>,
}

impl Plan {
    /// Looks at the first records of an input, which are to be read again.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn make(args: &args::Load, input: &Input, feed: &mut Feed) -> Result<Self> {
        let mut sample = Vec::new();
        let mut lines = 0;
        let mut whole = false;
        let header_lines = usize::from(input.format != Format::Ndjson && args.columns.is_none());
        while sample.len() < SAMPLE_BYTES && lines <= MAX_RECORDS && !whole {
            match feed.next_within(SAMPLE_PATIENCE) {
                Ok(Some(chunk)) => {
                    whole = chunk.is_empty();
                    lines += memchr_iter(b'\n', &chunk).count();
                    sample.extend_from_slice(&chunk);
                }
                // A slow program writes into the pipe: what is there must do.
                Ok(None) if lines > header_lines => break,
                Ok(None) => {}
                Err(error) => return Err(cannot_read_on(&input.name, lines as u64, &error)),
            }
        }
        let columns = Inference::of(args, input, &sample, whole);
        let (input, table) = (input.name.clone(), args.table.clone());
        let key = args.upsert.clone().unwrap_or_default();
        Ok(Self { sample, input, table, key, columns })
    }

    /// What was read.
    pub(super) fn into_sample(self) -> Vec<u8> {
        self.sample
    }

    /// Whether a table can be made.
    ///
    /// # Errors
    ///
    /// When the records call for none, or do not have the key.
    pub(super) fn check(&self) -> Result<&Inference> {
        let Self { input, table, key, .. } = self;
        let cannot = |why: &str| Failure::new(format!("cannot make the table {table}: {why}"));
        let inference = self.columns.as_ref().map_err(Failure::clone)?;
        if inference.names().len() == 0 {
            return Err(cannot(&format!("{input} holds no record")));
        }
        if inference.names().any(str::is_empty) {
            return Err(cannot(&format!("a field of {input} has no name")));
        }
        let names: Vec<_> = inference.names().map(str::to_ascii_lowercase).collect();
        if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return Err(cannot(&format!("{input} has two fields of the name `{}`", names[twice])));
        }
        if let Some(name) = inference.doubtful_name() {
            let hint = if is_value(name) {
                NAME_THE_FIELDS
            } else {
                "is the delimiter another one? Say --delimiter ';', or --format tsv for tabs"
            };
            let why = format!("{input} names a field `{name}`, which looks like no name");
            return Err(cannot(&why).hint(hint));
        }
        let is_there = |key: &&String| inference.names().any(|name| name.eq_ignore_ascii_case(key));
        match key.iter().find(|key| !is_there(key)) {
            None => Ok(inference),
            Some(missing) => {
                let names = listed(inference.names());
                Err(cannot(&format!(
                    "its key `{missing}` is not a field of {input}, which has {names}"
                )))
            }
        }
    }

    /// Makes the table and says what it is.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), and when the database refuses.
    pub(super) fn create_table(&self, buffer: &WriteBuffer, screen: &Screen) -> Result<()> {
        let inference = self.check()?;
        if let Err(error) = buffer.execute(&inference.statement(&self.table, &self.key)) {
            // Several loads may begin at once: the first makes the table.
            return buffer.describe(&self.table).map(drop).map_err(|_| error.into());
        }
        let records = count(inference.records as u64, "record");
        let told = inference.told(&self.table, &self.key);
        screen.line(format_args!("created table {told}, by the first {records}"));
        Ok(())
    }
}
