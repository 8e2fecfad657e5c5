//! The encoded row: a frame of bytes that holds a shape's number and the values in the shape's order.
//!
//! ```text
//! frame:  length u32 | shape u16 | flags u16 | value*      little-endian, length includes the header
//! value:  0                       NULL
//!         1 | i64                 INTEGER
//!         2 | f64                 REAL
//!         3 | length u32 | bytes  TEXT, UTF-8
//!         4 | length u32 | bytes  BLOB
//! ```
//!
//! A frame is written once, by its producer, and only read afterwards.

/// Bytes of a frame before its values.
pub(crate) const HEADER: usize = 8;

/// Another row of the same group follows.
pub(crate) const MORE: u16 = 1;
/// Somebody was given a receipt for this row.
pub(crate) const RECEIPT: u16 = 2;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

/// A value of a row, borrowed from the row log: one of the five types that rows are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// NULL.
    Null,
    /// A 64-bit signed integer.
    Integer(i64),
    /// A 64-bit float, never NaN.
    Real(f64),
    /// Text: always valid UTF-8, kept as bytes so that nobody has to check it again.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A value of a row, owned; a [`DeadLetter`](crate::DeadLetter) is made of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A 64-bit signed integer.
    Integer(i64),
    /// A 64-bit float, never NaN.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl ValueRef<'_> {
    /// The value, copied out of the row log.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }
}

/// The header of a frame, read.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) length: usize,
    pub(crate) shape: u16,
    pub(crate) flags: u16,
}

impl Frame {
    /// Reads the header at the start of `bytes`.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let header: [u8; HEADER] = bytes[..HEADER].try_into().expect("the slice is HEADER long");
        let [a, b, c, d, e, f, g, h] = header;
        Self {
            length: u32::from_le_bytes([a, b, c, d]) as usize,
            shape: u16::from_le_bytes([e, f]),
            flags: u16::from_le_bytes([g, h]),
        }
    }

    /// Leaves room for a header; [`finish`](Self::finish) fills it in.
    #[inline]
    pub(crate) fn begin(bytes: &mut Vec<u8>) -> usize {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEADER]);
        start
    }

    /// Fills in the header of the frame that began at `start` and ends where `bytes` ends.
    #[inline]
    pub(crate) fn finish(bytes: &mut [u8], start: usize, shape: u16, flags: u16) {
        // Longer rows than this can say have been refused.
        let length = (bytes.len() - start) as u32;
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        bytes[start + 4..start + 6].copy_from_slice(&shape.to_le_bytes());
        bytes[start + 6..start + 8].copy_from_slice(&flags.to_le_bytes());
    }

    /// Sets more flags of the frame that begins at `start`.
    pub(crate) fn mark(bytes: &mut [u8], start: usize, flags: u16) {
        let flags = Self::read(&bytes[start..]).flags | flags;
        bytes[start + 6..start + 8].copy_from_slice(&flags.to_le_bytes());
    }
}

#[inline]
pub(crate) fn put_null(bytes: &mut Vec<u8>) {
    bytes.push(NULL);
}

#[inline]
pub(crate) fn put_integer(bytes: &mut Vec<u8>, number: i64) {
    let mut value = [INTEGER; 9];
    value[1..].copy_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&value);
}

#[inline]
pub(crate) fn put_real(bytes: &mut Vec<u8>, number: f64) {
    let mut value = [REAL; 9];
    value[1..].copy_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&value);
}

#[inline]
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put_run(bytes, TEXT, text);
}

#[inline]
pub(crate) fn put_blob(bytes: &mut Vec<u8>, blob: &[u8]) {
    put_run(bytes, BLOB, blob);
}

/// A run that was too long for its length field would have been refused by its size: the length is
/// only truncated in a frame that never leaves the encoder.
#[inline]
fn put_run(bytes: &mut Vec<u8>, tag: u8, run: &[u8]) {
    let mut head = [tag; 5];
    head[1..].copy_from_slice(&(run.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(run);
}

/// Writes a text whose bytes `fill` appends, for texts whose length is not known before.
pub(crate) fn put_text_with<E>(
    bytes: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    bytes.extend_from_slice(&[TEXT, 0, 0, 0, 0]);
    let start = bytes.len();
    fill(bytes)?;
    let length = (bytes.len() - start) as u32;
    bytes[start - 4..start].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The values of a row, in its shape's order.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// The values in a frame's bytes.
    #[inline]
    pub(crate) fn of_frame(frame: &'a [u8]) -> Self {
        Self { rest: &frame[HEADER..] }
    }

    /// The encoded bytes of the value at `position`, tag and all.
    #[inline]
    pub(crate) fn slice(mut self, position: usize) -> &'a [u8] {
        for _ in 0..position {
            self.next();
        }
        let start = self.rest;
        self.next();
        &start[..start.len() - self.rest.len()]
    }
}

#[cfg(any(test, fuzzing, feature = "spool"))]
impl<'a> Values<'a> {
    /// What is left to be read.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.rest
    }
}

/// Whether a value may begin with this byte.
#[cfg(any(test, fuzzing, feature = "spool"))]
pub(crate) fn is_tag(byte: u8) -> bool {
    byte <= BLOB
}

/// Whether an encoded value is NULL.
#[inline]
pub(crate) fn is_null(value: &[u8]) -> bool {
    value.first() == Some(&NULL)
}

impl<'a> Iterator for Values<'a> {
    type Item = ValueRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'a>> {
        let (&tag, rest) = self.rest.split_first()?;
        let (value, rest) = match tag {
            NULL => (ValueRef::Null, rest),
            INTEGER => {
                let (word, rest) = rest.split_first_chunk()?;
                (ValueRef::Integer(i64::from_le_bytes(*word)), rest)
            }
            REAL => {
                let (word, rest) = rest.split_first_chunk()?;
                (ValueRef::Real(f64::from_le_bytes(*word)), rest)
            }
            TEXT | BLOB => {
                let (length, rest) = rest.split_first_chunk()?;
                let (run, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                (if tag == TEXT { ValueRef::Text(run) } else { ValueRef::Blob(run) }, rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let start = Frame::begin(&mut bytes);
        fill(&mut bytes);
        Frame::finish(&mut bytes, start, 7, MORE);
        bytes
    }

    #[test]
    fn a_frame_gives_back_what_was_put_in() {
        let bytes = frame(|b| {
            put_integer(b, i64::MIN);
            put_text(b, "a\0é".as_bytes());
            put_null(b);
            put_real(b, -0.5);
            put_blob(b, &[0, 255]);
        });
        let head = Frame::read(&bytes);
        assert_eq!((head.length, head.shape, head.flags), (bytes.len(), 7, MORE));
        let values: Vec<_> = Values::of_frame(&bytes).collect();
        assert_eq!(
            values,
            [
                ValueRef::Integer(i64::MIN),
                ValueRef::Text("a\0é".as_bytes()),
                ValueRef::Null,
                ValueRef::Real(-0.5),
                ValueRef::Blob(&[0, 255]),
            ]
        );
        assert_eq!(Values::of_frame(&bytes).slice(2), [NULL]);
        assert_eq!(Values::of_frame(&bytes).slice(4), [BLOB, 2, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn cut_bytes_end_the_values_and_never_panic() {
        let bytes = frame(|b| {
            put_integer(b, 1);
            put_text(b, b"text");
        });
        for end in HEADER..bytes.len() {
            assert!(Values::of_frame(&bytes[..end]).count() < 2);
        }
    }
}
