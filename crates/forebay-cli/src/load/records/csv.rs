//! Records of CSV: where one ends takes its quotes to tell.

use csv_core::ReadRecordResult;
use memchr::memchr;

use super::{Broken, Records, Step, without_line_end};
use crate::failure::Result;

impl Records {
    /// The record, or what else is at the start of `ahead`.
    pub(super) fn csv_step(&mut self) -> Result<Option<Step>> {
        // Line ends here are blank lines, or the second half of the last record's.
        if self.ahead.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let line_ends = self.ahead().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let line_ends = line_ends.count();
        if line_ends > 0 {
            return Ok(Some(Step::Skip { length: line_ends }));
        }
        if self.open > self.max_bytes / 2 && self.stays_open() {
            return Ok(Some(self.unclosed(Broken::OpenQuote, self.open)));
        }
        let (mut read, mut text, mut fields) = (0, 0, 0);
        let mut ended = false;
        loop {
            if self.within().len() == read && !ended {
                if read > self.max_bytes {
                    return Ok(Some(self.unclosed(Broken::TooLong(self.max_bytes), read)));
                }
                ended = !self.fill()?;
            }
            if self.text.len() < text + 2 {
                self.text.resize(2 * self.text.len(), 0);
            }
            if self.ends.len() < fields + 2 {
                self.ends.resize(2 * self.ends.len().max(32), 0);
            }
            // At the end of the input a line end is tried: within quotes it does not end the record.
            let within = self.within();
            let unread = &self.buffer[within.start + read..within.end];
            let input = if ended { b"\n" } else { unread };
            let (result, bytes, out, ends) =
                self.csv.read_record(input, &mut self.text[text..], &mut self.ends[fields..]);
            text += out;
            fields += ends;
            if !ended {
                read += bytes;
            }
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::InputEmpty if ended => {
                    return Ok(Some(self.unclosed(Broken::OpenQuote, usize::MAX)));
                }
                ReadRecordResult::InputEmpty
                | ReadRecordResult::OutputFull
                | ReadRecordResult::OutputEndsFull => {}
                ReadRecordResult::End => return Ok(None),
            }
        }
        let raw = without_line_end(&self.ahead()[..read]).len();
        Ok(Some(Step::Record { raw, length: read, text, fields }))
    }

    /// A record that did not end in `open` bytes: if it has several lines, a quote was opened in the first and is the
    /// culprit.
    fn unclosed(&mut self, why: Broken, open: usize) -> Step {
        begin_anew(&mut self.csv);
        self.open = open;
        match memchr(b'\n', &self.buffer[self.within()]) {
            Some(end) => Step::Broken { length: end + 1, why: Broken::OpenQuote },
            None if why == Broken::OpenQuote => Step::Broken { length: self.ahead.len(), why },
            None => {
                self.open = 0;
                Step::Broken { length: 0, why }
            }
        }
    }

    /// Whether the record ahead leaves its first line with a quote open, as the last one did that did not end: then it
    /// goes on as that did, and ends no sooner. To read so far again for every such line would take the square of the
    /// time. A record of more than half of what one may have is given up for that.
    fn stays_open(&mut self) -> bool {
        let Some(end) = memchr(b'\n', &self.buffer[self.within()]) else { return false };
        if end >= self.open {
            return false;
        }
        let line = &self.buffer[self.ahead.start..=self.ahead.start + end];
        let mut read = 0;
        let mut open = true;
        while open && read < line.len() {
            let (result, bytes, ..) =
                self.csv.read_record(&line[read..], &mut self.text, &mut self.ends);
            read += bytes;
            open = result != ReadRecordResult::Record;
        }
        begin_anew(&mut self.csv);
        open
    }
}

/// Has the next record begin, past the start of all: there the reader would drop a byte order mark. The one at the
/// start of the input is dropped elsewhere, and any other is part of a record.
pub(super) fn begin_anew(csv: &mut csv_core::Reader) {
    csv.reset();
    csv.read_record(b"\n", &mut [0], &mut [0]);
}
