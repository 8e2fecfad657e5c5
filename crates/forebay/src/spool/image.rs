//! The bytes of one segment, believed only as far as they prove themselves.

use std::ops::Range;

use super::definition::{Definition, Definitions};
use super::format::{
    BadHeader, ENVELOPE, FREE, HEADER, Header, PUBLISHED, SEAL, SEALED, Unit, read_unit, u64_at,
};
use super::refusal::Damage;
use crate::validate::validate;

/// What a segment's bytes say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It holds nothing; its bytes mean nothing.
    Free,
    /// Units that were accepted lie between the header and `end`.
    Used { header: Header, end: usize, sealed: bool },
}

/// Why a segment's header says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadState {
    Newer(u32),
    Damaged(Damage),
}

impl State {
    /// Reads the header.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadState> {
        let damaged = |bytes, why: &str| BadState::Damaged(Damage::new(bytes, why));
        if bytes.len() < HEADER {
            return Err(damaged(0..bytes.len(), "it is shorter than a segment's header"));
        }
        let published = u64_at(bytes, PUBLISHED.start);
        if published == FREE {
            return Ok(Self::Free);
        }
        let header = Header::read(bytes).map_err(|bad| match bad {
            BadHeader::Format(format) => BadState::Newer(format),
            BadHeader::Magic => damaged(0..8, "it does not begin as a segment does"),
            BadHeader::Short | BadHeader::Crc => {
                damaged(0..HEADER, "the header does not match its own check")
            }
        })?;
        let capacity = header.capacity as usize;
        if capacity != bytes.len() {
            let why = format!("it has {} bytes, and its header says {capacity}", bytes.len());
            let (start, end) = (capacity.min(bytes.len()), capacity.max(bytes.len()));
            return Err(damaged(start..end, &why));
        }
        let end = header.end(published).map(|end| end as usize);
        let Some(end) = end.filter(|end| (HEADER..=capacity).contains(end)) else {
            return Err(damaged(PUBLISHED, "where its rows end does not match its own check"));
        };
        let sealed = match u64_at(bytes, SEAL.start) as u32 {
            0 => false,
            SEALED => true,
            _ => return Err(damaged(SEAL, "it is neither open nor sealed")),
        };
        Ok(Self::Used { header, end, sealed })
    }
}

/// The units between the header and `end`, up to the first that is not as it was accepted.
pub(crate) fn units(
    bytes: &[u8],
    header: Header,
    end: usize,
) -> impl Iterator<Item = Result<Unit, Damage>> {
    let (mut at, mut seq) = (HEADER, header.first_seq);
    let end = end.min(bytes.len());
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let start = std::mem::replace(&mut at, end);
        let damage = |why: &str| {
            let damage = Damage::new(start..end, why);
            Err(Damage { rows: Some(seq..u64::MAX), ..damage })
        };
        let Some(unit) = read_unit(&bytes[..end], start) else {
            return Some(damage("a row there does not match its own check"));
        };
        if (unit.epoch, unit.seq) != (header.epoch, seq) {
            return Some(damage("a row there belongs elsewhere"));
        }
        (at, seq) = (unit.end, seq + unit.rows);
        Some(Ok(unit))
    })
}

/// Looks at the values of a unit's rows, of shapes that are known.
pub(crate) fn check_unit<'d>(
    bytes: &[u8],
    unit: &Unit,
    definitions: &'d Definitions,
    mut row: impl FnMut(&'d Definition, usize),
) -> Result<(), Damage> {
    let damage = |bytes: Range<usize>, why: String| {
        Err(Damage::new(bytes, why).of_rows(unit.seq..unit.seq + unit.rows))
    };
    let mut at = unit.frames.start;
    while at < unit.frames.end {
        let valid = match validate(&bytes[at..unit.frames.end]) {
            Ok(valid) => valid,
            Err(malformed) => return damage(at..unit.frames.end, malformed.to_string()),
        };
        let frame = at..at + valid.length;
        at = frame.end;
        let Some(definition) = definitions.find(valid.shape) else {
            let (shape, epoch) = (valid.shape, unit.epoch);
            let why = format!("what shape {shape} of shapes-{epoch:08} means cannot be read");
            return damage(frame, why);
        };
        if definition.values() != valid.values {
            let (has, values) = (valid.values, definition.values());
            return damage(frame, format!("a row has {has} values where its shape has {values}"));
        }
        row(definition, valid.length);
    }
    Ok(())
}

/// Whether a unit was begun where the accepted ones end: the row that was being appended when the process ended.
pub(crate) fn is_torn(bytes: &[u8], header: Header, end: usize, seq: u64) -> bool {
    let Some(head) = bytes.get(end..end + ENVELOPE) else { return false };
    head[4..8] == header.epoch.to_le_bytes() && head[8..] == seq.to_le_bytes()
}
