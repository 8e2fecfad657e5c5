//! A value on its way, as both databases have it; and the sum by which two tables are compared.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};

use serde::{Serialize, Serializer};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(is) => serializer.serialize_bool(*is),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl Value<'_> {
    /// Roughly the bytes that it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 8,
            Self::Bytes(bytes) => bytes.len() + 8,
            _ => 8,
        }
    }
}

/// A row's part of a [`Sum`].
#[derive(Default)]
pub(super) struct RowHash(DefaultHasher);

impl RowHash {
    /// Adds the next value. Each says its type and length, so that no two rows look alike.
    pub(super) fn add(&mut self, value: &Value<'_>) {
        let hasher = &mut self.0;
        match value {
            Value::Null => hasher.write_u8(0),
            Value::Boolean(is) => hasher.write(&[1, u8::from(*is)]),
            Value::Integer(number) => {
                hasher.write_u8(2);
                hasher.write_i64(*number);
            }
            Value::Real(number) => {
                hasher.write_u8(3);
                // The two zeros are equal to both databases.
                hasher.write_u64((number + 0.0).to_bits());
            }
            Value::Text(text) => sized(hasher, 4, text.as_bytes()),
            Value::Bytes(bytes) => sized(hasher, 5, bytes),
        }
    }
}

fn sized(hasher: &mut DefaultHasher, kind: u8, bytes: &[u8]) {
    hasher.write_u8(kind);
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

/// What a table's rows come to, in whatever order they are read: how many, and the sum of their hashes.
///
/// Both sums of a comparison are made by the same program, so the hash may be any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    hashes: u128,
}

impl Sum {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &RowHash) {
        self.rows += 1;
        // A sum and not XOR: two rows that are the same must not cancel each other.
        self.hashes += u128::from(row.0.finish());
    }

    /// The sum without these rows of it.
    pub(super) fn without(self, rows: &Self) -> Self {
        Self { rows: self.rows - rows.rows, hashes: self.hashes - rows.hashes }
    }

    /// The sum in a form that can be printed.
    pub(super) fn told(&self) -> String {
        format!("{:024x}", self.hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value<'_>]]) -> Sum {
        let mut sum = Sum::default();
        for row in rows {
            let mut hash = RowHash::default();
            row.iter().for_each(|value| hash.add(value));
            sum.add(&hash);
        }
        sum
    }

    #[test]
    fn the_order_of_rows_is_nothing_and_everything_else_is_something() {
        let text = |text: &'static str| Value::Text(text.into());
        let (a, b) = ([Value::Integer(1), text("ab")], [Value::Integer(2), text("")]);
        assert_eq!(sum(&[&a, &b]), sum(&[&b, &a]));
        let other: [&[Value<'_>]; 7] = [
            &[Value::Integer(1), text("ab"), Value::Null],
            &[text("ab"), Value::Integer(1)],
            &[Value::Integer(1), Value::Bytes(b"ab")],
            &[Value::Real(1.0), text("ab")],
            &[Value::Boolean(true), text("ab")],
            &[Value::Integer(1), text("a"), text("b")],
            &[Value::Integer(1), Value::Null],
        ];
        for row in other {
            assert_ne!(sum(&[&a]), sum(&[row]), "{row:?}");
        }
        assert_ne!(sum(&[&a, &a]), sum(&[]), "two of the same are two");
        assert_eq!(sum(&[&[Value::Real(0.0)]]), sum(&[&[Value::Real(-0.0)]]));
    }
}
