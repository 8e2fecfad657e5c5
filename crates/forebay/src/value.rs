//! One value of a row: one of the five types, or something nested, which becomes JSON.

use std::fmt::Display;

use serde::ser::{Impossible, Serialize, Serializer};

use crate::encode::Refusal;
use crate::row;

/// Writes a value.
pub(crate) struct ValueSerializer<'e> {
    pub(crate) bytes: &'e mut Vec<u8>,
    /// Set when the value is nested, which is not for this serializer: it fails, and nothing was written.
    pub(crate) nested: &'e mut bool,
}

impl ValueSerializer<'_> {
    #[inline]
    fn integer<I: TryInto<i64> + Display + Copy>(self, number: I) -> Result<(), Refusal> {
        let Ok(small) = number.try_into() else {
            return Err(Refusal::new(
                "the integer does not fit a signed 64-bit column: store it as text, or as two columns",
            ));
        };
        row::put_integer(self.bytes, small);
        Ok(())
    }

    fn nested<T>(self) -> Result<T, Refusal> {
        *self.nested = true;
        Err(Refusal::new("nested"))
    }
}

type Nested = Impossible<(), Refusal>;

impl Serializer for ValueSerializer<'_> {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Nested;
    type SerializeTuple = Nested;
    type SerializeTupleStruct = Nested;
    type SerializeTupleVariant = Nested;
    type SerializeMap = Nested;
    type SerializeStruct = Nested;
    type SerializeStructVariant = Nested;

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Refusal> {
        self.integer(i64::from(value))
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_i16(self, value: i16) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_i32(self, value: i32) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Refusal> {
        self.integer(value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_u16(self, value: u16) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_u32(self, value: u32) -> Result<(), Refusal> {
        self.integer(value)
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Refusal> {
        self.integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Refusal> {
        self.integer(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Refusal> {
        self.serialize_f64(f64::from(value))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Refusal> {
        if value.is_nan() {
            return Err(Refusal::new(
                "NaN has no place in a database: send NULL, that is None, instead",
            ));
        }
        row::put_real(self.bytes, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Refusal> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Refusal> {
        row::put_text(self.bytes, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refusal> {
        row::put_blob(self.bytes, value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Refusal> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refusal> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Refusal> {
        row::put_null(self.bytes);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refusal> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Refusal> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Refusal> {
        self.nested()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_tuple(self, _: usize) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Nested, Refusal> {
        self.nested()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Nested, Refusal> {
        self.nested()
    }
}
