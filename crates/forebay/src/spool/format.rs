//! The bytes of a spool's segment: a header, then units, each a row or a group with what tells that it is whole.
//!
//! ```text
//! header:  magic [u8; 8] | published u64 | format u32 | number u32 | spool [u8; 16] | first seq u64 | epoch u32 |
//!          capacity u32 | sealed u32 | crc u32                                        64 bytes, little-endian
//! unit:    check u32 | epoch u32 | seq u64 | frame, frame, …                            begins at a multiple of 8
//! ```
//!
//! * `published` says where the last unit ends that was accepted. It is stored, in one piece, after the unit's bytes: what
//!   is behind it was never promised to anybody. Its upper half is a check of the lower one. It is [`FREE`] when the
//!   segment holds nothing, and while its header is written anew: then the rest of the header says nothing.
//! * `number` is that of the file, which its name has too; `epoch` counts the times that the spool was opened.
//! * `capacity` is the file's length; `sealed` is 0 while rows are appended, [`SEALED`] when another segment follows.
//! * The header's `crc` is over all that does not change while rows are appended: magic, and format to capacity.
//! * A unit's `check` is the crc of its frames, mixed with a hash of epoch and seq: these are known under the queue's lock only,
//!   where a few multiplications cost less than a crc. All its frames but the last have the flag
//!   [`MORE`](crate::row::MORE). `seq` is the number of its first row. Zeros follow it up to a multiple of 8.
//!
//! A crc is a CRC-32C.

use std::ops::Range;

use crate::row::{Frame, HEADER as FRAME_HEADER, MORE};

/// What a segment's file begins with.
pub(crate) const MAGIC: [u8; 8] = *b"FOREBAY\0";

/// The version of all that is in a spool's folder.
pub(crate) const FORMAT: u32 = 1;

/// Bytes before the first unit.
pub(crate) const HEADER: usize = 64;

/// Bytes of a unit before its frames.
pub(crate) const ENVELOPE: usize = 16;

/// Units begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// In `sealed` when another segment follows.
pub(crate) const SEALED: u32 = 0x5EA1_ED0F;

/// In `published` when the segment is free. The same for all, so that it is known while the header is half written.
pub(crate) const FREE: u64 = 0xF4EE_F4EE_0000_0000;

/// Where `published` and `sealed` are, which change while a segment is in use.
pub(crate) const PUBLISHED: Range<usize> = 8..16;
pub(crate) const SEAL: Range<usize> = 56..60;

/// What is written once for each use of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) spool: u128,
    pub(crate) first_seq: u64,
    pub(crate) epoch: u32,
    pub(crate) capacity: u32,
}

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Short,
    Magic,
    /// Of another version of the format than [`FORMAT`].
    Format(u32),
    Crc,
}

impl Header {
    /// Its bytes, with `published` and `sealed` left zero, which mean nothing yet.
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[16..20].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.spool.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = header_crc(&bytes);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of a file's bytes.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes = bytes.first_chunk::<HEADER>().ok_or(BadHeader::Short)?;
        if bytes[..8] != MAGIC {
            return Err(BadHeader::Magic);
        }
        if u32_at(bytes, 60) != header_crc(bytes) {
            return Err(BadHeader::Crc);
        }
        match u32_at(bytes, 16) {
            FORMAT => {}
            other => return Err(BadHeader::Format(other)),
        }
        Ok(Self {
            number: u32_at(bytes, 20),
            spool: u128::from_le_bytes(bytes[24..40].try_into().expect("16 bytes")),
            first_seq: u64_at(bytes, 40),
            epoch: u32_at(bytes, 48),
            capacity: u32_at(bytes, 52),
        })
    }

    /// The word that says that units up to `end` are accepted.
    #[inline]
    pub(crate) fn published(&self, end: u32) -> u64 {
        // Odd factors, so that any other `end` has another check, and so that zeros are never one.
        let salt = (self.first_seq ^ self.spool as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ u64::from(self.epoch).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let mixed = (u64::from(end) + 1).wrapping_mul(0xA076_1D64_78BD_642F) ^ salt;
        (mixed & 0xFFFF_FFFF_0000_0000) | u64::from(end)
    }

    /// Where the last accepted unit ends. `None` when the word is not one of this header's.
    pub(crate) fn end(&self, published: u64) -> Option<u32> {
        let end = published as u32;
        (self.published(end) == published).then_some(end)
    }
}

fn header_crc(bytes: &[u8; HEADER]) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&bytes[..PUBLISHED.start]),
        &bytes[PUBLISHED.end..SEAL.start],
    )
}

/// The part of a unit's check that does not depend on its place.
#[inline]
pub(crate) fn check_of(frames: &[u8]) -> u32 {
    crc32c::crc32c(frames)
}

/// What a unit begins with, of frames with this [check](check_of).
#[inline]
pub(crate) fn envelope(check: u32, epoch: u32, seq: u64) -> [u8; ENVELOPE] {
    let mixed = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ u64::from(epoch).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xA076_1D64_78BD_642F);
    let check = check ^ (mixed >> 32) as u32;
    let mut bytes = [0; ENVELOPE];
    bytes[..4].copy_from_slice(&check.to_le_bytes());
    bytes[4..8].copy_from_slice(&epoch.to_le_bytes());
    bytes[8..].copy_from_slice(&seq.to_le_bytes());
    bytes
}

/// The bytes that a unit with so many bytes of frames takes.
#[inline]
pub(crate) fn unit_bytes(frames: usize) -> usize {
    ENVELOPE + frames.next_multiple_of(ALIGNMENT)
}

/// Where the first frame begins of the unit that follows on one whose last frame ends at `end`.
#[inline]
pub(crate) fn after_unit(end: usize) -> usize {
    end.next_multiple_of(ALIGNMENT) + ENVELOPE
}

/// A unit that was read: its check, and its frames' bounds, are right. Its frames' values have yet to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) epoch: u32,
    pub(crate) seq: u64,
    pub(crate) rows: u64,
    /// Where its frames are.
    pub(crate) frames: Range<usize>,
    /// Where the next unit begins.
    pub(crate) end: usize,
}

/// Reads the unit that begins at `start`; `None` when there is none, or it is not whole.
pub(crate) fn read_unit(bytes: &[u8], start: usize) -> Option<Unit> {
    let unit = outline(bytes, start)?;
    let head = &bytes[start..start + ENVELOPE];
    let whole = head == envelope(check_of(&bytes[unit.frames.clone()]), unit.epoch, unit.seq);
    whole.then_some(unit)
}

/// The unit that begins at `start` by what its lengths say, whole or not.
pub(super) fn outline(bytes: &[u8], start: usize) -> Option<Unit> {
    let head = bytes.get(start..start + ENVELOPE)?;
    let (epoch, seq) = (u32_at(head, 4), u64_at(head, 8));
    let first = start + ENVELOPE;
    let (mut end, mut rows) = (first, 0);
    loop {
        let rest = bytes.get(end..).filter(|rest| rest.len() >= FRAME_HEADER)?;
        let frame = Frame::read(rest);
        if frame.length < FRAME_HEADER || frame.length > rest.len() {
            return None;
        }
        end += frame.length;
        rows += 1;
        if frame.flags & MORE == 0 {
            break;
        }
    }
    seq.checked_add(rows)?;
    let frames = first..end;
    let end = start + unit_bytes(frames.len());
    (end <= bytes.len()).then_some(Unit { epoch, seq, rows, frames, end })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
