//! From a `Serialize` row to its encoded values, with the names of its fields on the way.
//!
//! The encoder is given the shape that the producer's last row had. While the fields come with the
//! same names in the same order nothing is written down but values; the first difference makes it
//! collect the names, and the producer looks for the shape that has them.

use std::fmt::{self, Display, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::row;
use crate::value::ValueSerializer;

/// Why a row could not be encoded, and at which of its fields. One pointer, so that the good case returns
/// in a register.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Why>);

#[derive(Debug)]
struct Why {
    field: Option<String>,
    reason: String,
}

impl Refusal {
    #[cold]
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(Box::new(Why { field: None, reason: reason.into() }))
    }

    #[cold]
    fn at(mut self, field: impl FnOnce() -> String) -> Self {
        self.0.field.get_or_insert_with(field);
        self
    }

    /// The field, where it is known, and the reason.
    pub(crate) fn into_parts(self) -> (Option<String>, String) {
        (self.0.field, self.0.reason)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }
}

/// The fields that an encoded row turned out to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Exactly those of the expected shape, in its order.
    Expected,
    /// Others: they are in the encoder's `names`.
    Named,
    /// A tuple with so many elements.
    Positional(usize),
}

/// Names, one after the other in one buffer: no allocation for each once it is warm.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.ends.iter().scan(0, |start, &end| {
            let name = &self.text[*start..end];
            *start = end;
            Some(name)
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(crate) fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }
}

/// The names of a shape's fields, to compare those of a row with.
///
/// A struct's names are constants. The address at which one was found to be the field's name is kept: a
/// constant with this address and length is the same text, and need not be compared again.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    names: Vec<String>,
    /// The constant that was found to be each of them.
    constants: Vec<Constant>,
}

#[derive(Debug)]
struct Constant {
    /// Zero where nothing is known.
    address: AtomicUsize,
    length: usize,
}

impl Expected {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let unknown = |name: &String| Constant { address: AtomicUsize::new(0), length: name.len() };
        Self { constants: names.iter().map(unknown).collect(), names }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    #[inline]
    fn is(&self, position: usize, name: &str) -> bool {
        self.names.get(position).is_some_and(|expected| expected == name)
    }

    #[inline]
    fn is_constant(&self, position: usize, name: &'static str) -> bool {
        let is_known = self.constants.get(position).is_some_and(|constant| {
            constant.address.load(Ordering::Relaxed) == name.as_ptr().addr()
                && constant.length == name.len()
        });
        is_known || self.learn(position, name)
    }

    #[cold]
    fn learn(&self, position: usize, name: &'static str) -> bool {
        let is_same = self.is(position, name);
        if is_same {
            self.constants[position].address.store(name.as_ptr().addr(), Ordering::Relaxed);
        }
        is_same
    }
}

/// Encodes one row's values behind what `bytes` holds already.
pub(crate) struct Encoder<'a> {
    bytes: &'a mut Vec<u8>,
    names: &'a mut Names,
    key: &'a mut String,
    expected: Option<&'a Expected>,
    count: usize,
    nested: bool,
}

impl<'a> Encoder<'a> {
    /// `expected` are the field names to compare with, if there are any; `names` and `key` are scratch space.
    #[inline]
    pub(crate) fn new(
        bytes: &'a mut Vec<u8>,
        names: &'a mut Names,
        key: &'a mut String,
        expected: Option<&'a Expected>,
    ) -> Self {
        names.clear();
        Self { bytes, names, key, expected, count: 0, nested: false }
    }

    /// Encodes `row` and says which fields it has.
    pub(crate) fn encode<R: Serialize + ?Sized>(mut self, row: &R) -> Result<Fields, Refusal> {
        row.serialize(RowSerializer(&mut self))
    }

    /// A field, which has the name that is expected here or another.
    #[inline]
    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        is_expected: impl FnOnce(&Expected, usize) -> bool,
        value: &T,
    ) -> Result<(), Refusal> {
        if !self.expected.is_some_and(|expected| is_expected(expected, self.count)) {
            self.write_names_down();
            self.names.push(name);
        }
        self.count += 1;
        self.value(value).map_err(|refusal| refusal.at(|| name.to_owned()))
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.count += 1;
        let position = self.count;
        self.value(value).map_err(|refusal| refusal.at(|| format!("element {position}")))
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let start = self.bytes.len();
        self.nested = false;
        match value.serialize(ValueSerializer { bytes: self.bytes, nested: &mut self.nested }) {
            // A struct, sequence or map inside a row is stored as JSON text.
            Err(_) if self.nested => self.json(start, value),
            outcome => outcome,
        }
    }

    #[cold]
    fn json<T: Serialize + ?Sized>(&mut self, start: usize, value: &T) -> Result<(), Refusal> {
        self.bytes.truncate(start);
        row::put_text_with(self.bytes, |bytes| {
            serde_json::to_writer(bytes, value).map_err(|error| Refusal::new(error.to_string()))
        })
    }

    /// From now on the names are noted; those before were as expected.
    #[cold]
    fn write_names_down(&mut self) {
        if let Some(expected) = self.expected.take() {
            for name in &expected.names[..self.count] {
                self.names.push(name);
            }
        }
    }

    #[inline]
    fn named(&mut self) -> Result<Fields, Refusal> {
        if self.expected.is_some_and(|expected| expected.names.len() == self.count) {
            return Ok(Fields::Expected);
        }
        self.write_names_down();
        Ok(Fields::Named)
    }
}

/// A row: a struct, a map, or a tuple.
struct RowSerializer<'e, 'a>(&'e mut Encoder<'a>);

const NOT_A_ROW: &str = "a row must be a struct, a map with text keys, or a tuple";

macro_rules! refuse {
    ($($method:ident($($argument:ty),*);)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<Fields, Refusal> {
            Err(Refusal::new(NOT_A_ROW))
        })*
    };
}

impl<'e, 'a> Serializer for RowSerializer<'e, 'a> {
    type Ok = Fields;
    type Error = Refusal;
    type SerializeSeq = Impossible<Fields, Refusal>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<Fields, Refusal>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<Fields, Refusal>;

    refuse! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, row: &T) -> Result<Fields, Refusal> {
        row.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        row: &T,
    ) -> Result<Fields, Refusal> {
        row.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Fields, Refusal> {
        Err(Refusal::new(NOT_A_ROW))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Refusal> {
        Err(Refusal::new(NOT_A_ROW))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Refusal> {
        Err(Refusal::new(NOT_A_ROW))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Refusal> {
        Err(Refusal::new(NOT_A_ROW))
    }
}

impl ser::SerializeStruct for RowSerializer<'_, '_> {
    type Ok = Fields;
    type Error = Refusal;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        let is_expected = |expected: &Expected, at: usize| expected.is_constant(at, name);
        self.0.field(name, is_expected, value)
    }

    fn end(self) -> Result<Fields, Refusal> {
        self.0.named()
    }
}

impl ser::SerializeMap for RowSerializer<'_, '_> {
    type Ok = Fields;
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        self.0.key.clear();
        write!(self.0.key, "{}", Key(key)).map_err(|_| Refusal::new(NOT_A_ROW))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let key = std::mem::take(self.0.key);
        let is_expected = |expected: &Expected, at: usize| expected.is(at, &key);
        let outcome = self.0.field(&key, is_expected, value);
        *self.0.key = key;
        outcome
    }

    fn end(self) -> Result<Fields, Refusal> {
        self.0.named()
    }
}

impl ser::SerializeTuple for RowSerializer<'_, '_> {
    type Ok = Fields;
    type Error = Refusal;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.0.element(value)
    }

    fn end(self) -> Result<Fields, Refusal> {
        Ok(Fields::Positional(self.0.count))
    }
}

impl ser::SerializeTupleStruct for RowSerializer<'_, '_> {
    type Ok = Fields;
    type Error = Refusal;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.0.element(value)
    }

    fn end(self) -> Result<Fields, Refusal> {
        Ok(Fields::Positional(self.0.count))
    }
}

/// A map's key, written as text. serde's own formatter serializer takes what has one obvious text
/// and refuses the rest.
struct Key<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Display for Key<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}
