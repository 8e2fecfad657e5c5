//! Whether bytes that nobody vouches for begin with a frame: after that the reader in `row.rs`, which trusts, is right.
//!
//! The log's own bytes need none of this: they were encoded in this process. Those of a spool were not.

use std::fmt;

use crate::row::{self, Frame, HEADER, MORE, RECEIPT, ValueRef, Values};

/// A frame that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Valid {
    /// Its bytes, with the header.
    pub(crate) length: usize,
    /// Of which shape it says to be. Whether there is such a shape, with so many fields, is for the caller to look up.
    pub(crate) shape: u16,
    pub(crate) values: usize,
}

/// What is wrong with a frame, and how many bytes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    offset: usize,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    NoHeader,
    Length,
    Flags,
    Type,
    Cut,
    NotANumber,
    NotUtf8,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::NoHeader => "there are fewer bytes than a header has",
            Why::Length => "its length is less than that of its header, or more than there is",
            Why::Flags => "it has a flag that means nothing",
            Why::Type => "a value is of a type that there is not",
            Why::Cut => "a value goes on past the end",
            Why::NotANumber => "a float is NaN",
            Why::NotUtf8 => "a text is not UTF-8",
        };
        write!(f, "not a row, {} bytes into it: {why}", self.offset)
    }
}

impl std::error::Error for Malformed {}

/// Looks at the frame at the start of `bytes`.
///
/// # Errors
///
/// What is wrong with it, and where; never what a value is.
pub(crate) fn validate(bytes: &[u8]) -> Result<Valid, Malformed> {
    let malformed = |offset, why| Malformed { offset, why };
    if bytes.len() < HEADER {
        return Err(malformed(0, Why::NoHeader));
    }
    let head = Frame::read(bytes);
    if head.length < HEADER || head.length > bytes.len() {
        return Err(malformed(0, Why::Length));
    }
    if head.flags & !(MORE | RECEIPT) != 0 {
        return Err(malformed(0, Why::Flags));
    }
    let mut rest = Values::of_frame(&bytes[..head.length]);
    let mut values = 0;
    loop {
        let offset = head.length - rest.bytes().len();
        let tag = rest.bytes().first().copied();
        let why = match (tag, rest.next()) {
            (None, _) => break,
            (Some(tag), None) if row::is_tag(tag) => Why::Cut,
            (Some(_), None) => Why::Type,
            (_, Some(ValueRef::Real(number))) if number.is_nan() => Why::NotANumber,
            (_, Some(ValueRef::Text(text))) if std::str::from_utf8(text).is_err() => Why::NotUtf8,
            (_, Some(_)) => {
                values += 1;
                continue;
            }
        };
        return Err(malformed(offset, why));
    }
    Ok(Valid { length: head.length, shape: head.shape, values })
}

/// Checks what holds of any bytes: they are read as they were written, frame after frame, up to the first that is refused.
///
/// # Panics
///
/// When it does not hold.
#[cfg(any(test, fuzzing))]
pub fn check_frames(bytes: &[u8]) {
    let mut starts = Vec::new();
    let mut end = 0;
    while let Ok(valid) = validate(&bytes[end..]) {
        starts.push(end);
        let frame = &bytes[end..end + valid.length];
        check_frame(frame, valid);
        end += valid.length;
    }
    if let Err(malformed) = validate(&bytes[end..]) {
        assert!(malformed.offset <= bytes.len() - end, "{malformed}");
    }
    let mut segment = crate::segment::Segment::new(bytes.len());
    segment.append(&bytes[..end], 0, starts.len(), crate::sync::now);
    assert!(segment.frames_from(0).map(|(offset, _)| offset).eq(starts), "the log's own walk");
}

/// A frame that is valid is what its values make when they are encoded, each at its place.
#[cfg(any(test, fuzzing))]
fn check_frame(frame: &[u8], valid: Valid) {
    let head = Frame::read(frame);
    assert_eq!((head.length, head.shape), (valid.length, valid.shape));
    let mut again = Vec::new();
    let start = Frame::begin(&mut again);
    for (position, value) in Values::of_frame(frame).enumerate() {
        let from = again.len();
        put(&mut again, value);
        assert_eq!(Values::of_frame(frame).slice(position), &again[from..]);
        assert_eq!(row::is_null(&again[from..]), value == ValueRef::Null);
        let _ = value.to_value();
    }
    Frame::finish(&mut again, start, head.shape, head.flags);
    assert_eq!(again, frame, "encoded again it is the same");
    assert_eq!(Values::of_frame(frame).count(), valid.values);
    assert!(Values::of_frame(frame).slice(valid.values).is_empty());
    for end in 0..frame.len() {
        assert!(validate(&frame[..end]).is_err(), "a frame that is cut is none");
    }
}

#[cfg(any(test, fuzzing))]
fn put(bytes: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => row::put_null(bytes),
        ValueRef::Integer(number) => row::put_integer(bytes, number),
        ValueRef::Real(number) => row::put_real(bytes, number),
        ValueRef::Text(text) => row::put_text(bytes, text),
        ValueRef::Blob(blob) => row::put_blob(bytes, blob),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::ser::{Serialize, SerializeTuple, Serializer};

    use super::*;
    use crate::encode::{Encoder, Fields, Names};
    use crate::row::Value;

    /// A row of any values, as a tuple.
    struct Row(Vec<Value>);

    impl Serialize for Row {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(self.0.len())?;
            for value in &self.0 {
                match value {
                    Value::Null => tuple.serialize_element(&())?,
                    Value::Integer(number) => tuple.serialize_element(number)?,
                    Value::Real(number) => tuple.serialize_element(number)?,
                    Value::Text(text) => tuple.serialize_element(text)?,
                    Value::Blob(blob) => tuple.serialize_element(serde_bytes::Bytes::new(blob))?,
                }
            }
            tuple.end()
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("NaN is no value", |n| !n.is_nan()).prop_map(Value::Real),
            any::<String>().prop_map(Value::Text),
            vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
    }

    fn encode(values: Vec<Value>, shape: u16, flags: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        let start = Frame::begin(&mut bytes);
        let (mut names, mut key, many) = (Names::default(), String::new(), values.len());
        let fields = Encoder::new(&mut bytes, &mut names, &mut key, None).encode(&Row(values));
        assert_eq!(fields.expect("a row"), Fields::Positional(many));
        Frame::finish(&mut bytes, start, shape, flags);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_row_is_read_as_it_was_written(
            values in vec(value(), 1..12),
            shape in any::<u16>(),
            flags in 0..4_u16,
        ) {
            let frame = encode(values.clone(), shape, flags);
            let valid = Valid { length: frame.len(), shape, values: values.len() };
            prop_assert_eq!(validate(&frame), Ok(valid));
            let read: Vec<Value> = Values::of_frame(&frame).map(ValueRef::to_value).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn what_becomes_of_rows_when_bytes_change_is_refused_or_read_whole(
            rows in vec(vec(value(), 1..6), 1..4),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes: Vec<u8> =
                rows.into_iter().flat_map(|values| encode(values, 7, 0)).collect();
            check_frames(&bytes);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            check_frames(&bytes);
            check_frames(&bytes[..end.index(bytes.len())]);
        }
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_said_with_its_place() {
        let good = encode(vec![Value::Null, Value::Text("é".to_owned()), Value::Real(0.5)], 0, 0);
        let told = |change: fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            validate(&bytes).expect_err("it is malformed").to_string()
        };
        let starts = |at: usize, why: &str| format!("not a row, {at} bytes into it: {why}");
        assert_eq!(told(Vec::clear), starts(0, "there are fewer bytes than a header has"));
        let length = "its length is less than that of its header, or more than there is";
        assert_eq!(told(|bytes| bytes[0] = 7), starts(0, length));
        assert_eq!(told(|bytes| bytes[3] = 255), starts(0, length));
        assert_eq!(told(|bytes| bytes[6] = 4), starts(0, "it has a flag that means nothing"));
        assert_eq!(told(|bytes| bytes[8] = 5), starts(8, "a value is of a type that there is not"));
        assert_eq!(told(|bytes| bytes[10] = 40), starts(9, "a value goes on past the end"));
        assert_eq!(told(|bytes| bytes[14] = b'a'), starts(9, "a text is not UTF-8"));
        assert_eq!(told(|bytes| bytes[17..].fill(255)), starts(16, "a float is NaN"));
    }

    #[test]
    fn the_fuzzers_corpus_keeps_the_promises() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/frames");
        let mut count = 0;
        for file in std::fs::read_dir(corpus).expect("a folder") {
            let path = file.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            let checked = std::panic::catch_unwind(|| check_frames(&bytes));
            assert!(checked.is_ok(), "{} does not", path.display());
            count += 1;
        }
        assert!(count >= 20, "there are {count} files");
    }
}
