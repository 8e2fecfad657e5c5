//! The types of PostgreSQL's that values of SQLite's are held against, and what fits into which.

use std::borrow::Cow;

use forebay::rusqlite::types::ValueRef;

use super::value::Value;

/// A type of PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float8,
    Text,
    Bytea,
    /// Any other: the database judges what fits, and has its own way to write a value.
    Other,
}

/// The largest integer below which every one is a float too.
const EXACT: u64 = 1 << 53;

impl Kind {
    /// By the name that `pg_type` has.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "bool" => Self::Boolean,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float8" => Self::Float8,
            "text" | "varchar" => Self::Text,
            "bytea" => Self::Bytea,
            _ => Self::Other,
        }
    }

    /// The name that a new column is declared with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float8 => "double precision",
            Self::Text | Self::Other => "text",
            Self::Bytea => "bytea",
        }
    }

    /// A value as a column of this type has it. Nothing is rounded, cut or guessed at: an integer goes into a column of floats
    /// where it is one of them, a number into a column of texts as it is written, a text into one of bytes as its bytes.
    ///
    /// # Errors
    ///
    /// Why it does not fit, without the value.
    pub(super) fn fit<'a>(self, value: ValueRef<'a>) -> Result<Value<'a>, String> {
        Ok(match (self, value) {
            (_, ValueRef::Null) => Value::Null,
            (Self::Boolean, ValueRef::Integer(number @ (0 | 1))) => Value::Boolean(number == 1),
            (Self::Int2, ValueRef::Integer(number)) if i16::try_from(number).is_ok() => {
                Value::Integer(number)
            }
            (Self::Int4, ValueRef::Integer(number)) if i32::try_from(number).is_ok() => {
                Value::Integer(number)
            }
            (Self::Int8 | Self::Other, ValueRef::Integer(number)) => Value::Integer(number),
            (Self::Float8, ValueRef::Integer(number)) if number.unsigned_abs() <= EXACT => {
                Value::Real(number as f64)
            }
            (Self::Float8 | Self::Other, ValueRef::Real(number)) => Value::Real(number),
            (Self::Text, ValueRef::Integer(number)) => Value::Text(Cow::Owned(number.to_string())),
            (Self::Text, ValueRef::Real(number)) => Value::Text(Cow::Owned(format!("{number:?}"))),
            (Self::Text | Self::Other, ValueRef::Text(text)) => {
                let text = std::str::from_utf8(text).map_err(|error| {
                    let at = error.valid_up_to() + 1;
                    format!(
                        "its text is not UTF-8 from byte {at} on, and PostgreSQL takes no other"
                    )
                })?;
                if memchr::memchr(0, text.as_bytes()).is_some() {
                    return Err(
                        "its text holds a NUL character, and PostgreSQL takes none".to_owned()
                    );
                }
                Value::Text(Cow::Borrowed(text))
            }
            (Self::Bytea | Self::Other, ValueRef::Blob(bytes))
            | (Self::Bytea, ValueRef::Text(bytes)) => Value::Bytes(bytes),
            (_, value) => return Err(self.misfit(value)),
        })
    }

    fn misfit(self, value: ValueRef<'_>) -> String {
        let is = match value {
            ValueRef::Null => "NULL",
            ValueRef::Integer(_) => match self {
                Self::Boolean => "an integer other than 0 and 1",
                Self::Int2 | Self::Int4 => "an integer that is too large",
                Self::Float8 => "an integer that no float is equal to",
                _ => "an integer",
            },
            ValueRef::Real(_) => "a number with a fraction",
            ValueRef::Text(_) => "a text",
            ValueRef::Blob(_) => "a blob",
        };
        format!("it holds {is}, and in PostgreSQL it is {}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGER: ValueRef<'_> = ValueRef::Integer(7);
    const LARGE: ValueRef<'_> = ValueRef::Integer(i64::MAX);
    const REAL: ValueRef<'_> = ValueRef::Real(0.5);
    const TEXT: ValueRef<'_> = ValueRef::Text(b"7");
    const NUL: ValueRef<'_> = ValueRef::Text(b"a\0b");
    const LATIN1: ValueRef<'_> = ValueRef::Text(b"\xE9");
    const BLOB: ValueRef<'_> = ValueRef::Blob(b"\0\xFF");

    #[test]
    fn a_value_goes_where_it_stays_what_it_is() {
        use Kind::{Boolean, Bytea, Float8, Int2, Int4, Int8, Other, Text};
        for (kind, value, is) in [
            (Boolean, ValueRef::Integer(1), Value::Boolean(true)),
            (Int2, INTEGER, Value::Integer(7)),
            (Int4, INTEGER, Value::Integer(7)),
            (Int8, LARGE, Value::Integer(i64::MAX)),
            (Float8, INTEGER, Value::Real(7.0)),
            (Float8, REAL, Value::Real(0.5)),
            (Text, INTEGER, Value::Text("7".into())),
            (Text, REAL, Value::Text("0.5".into())),
            (Text, TEXT, Value::Text("7".into())),
            (Bytea, BLOB, Value::Bytes(b"\0\xFF")),
            (Bytea, LATIN1, Value::Bytes(b"\xE9")),
            (Other, TEXT, Value::Text("7".into())),
            (Other, BLOB, Value::Bytes(b"\0\xFF")),
        ] {
            assert_eq!(kind.fit(value), Ok(is), "{kind:?} {value:?}");
            assert_eq!(kind.fit(ValueRef::Null), Ok(Value::Null));
        }
    }

    #[test]
    fn what_would_change_on_the_way_does_not_fit() {
        use Kind::{Boolean, Bytea, Float8, Int2, Int4, Int8, Other, Text};
        for (kind, value) in [
            (Boolean, INTEGER),
            (Boolean, TEXT),
            (Int2, ValueRef::Integer(40_000)),
            (Int4, LARGE),
            (Int8, REAL),
            (Int8, TEXT),
            (Int8, BLOB),
            (Float8, LARGE),
            (Float8, TEXT),
            (Text, NUL),
            (Text, LATIN1),
            (Text, BLOB),
            (Bytea, INTEGER),
            (Other, NUL),
        ] {
            let why = kind.fit(value).expect_err("no fit");
            assert!(!why.contains('7') && !why.contains("40"), "{why} holds a value");
        }
    }
}
