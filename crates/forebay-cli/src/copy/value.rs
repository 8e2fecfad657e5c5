//! A value on its way, as both databases have it; and the sum by which two tables are compared.

use std::borrow::Cow;
use std::hash::Hasher;

use serde::{Serialize, Serializer};
use siphasher::sip::SipHasher13;

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

/// A row's part of a [`Sum`]. It is the same in every version of this program, because sums are kept from one run to the next.
#[derive(Default)]
pub(super) struct RowHash(SipHasher13);

impl RowHash {
    /// Adds the next value. Each says its type and length, so that no two rows look alike.
    pub(super) fn add(&mut self, value: &Value<'_>) {
        let hasher = &mut self.0;
        match value {
            Value::Null => hasher.write_u8(0),
            Value::Boolean(is) => hasher.write(&[1, u8::from(*is)]),
            Value::Integer(number) => {
                hasher.write_u8(2);
                hasher.write(&number.to_le_bytes());
            }
            Value::Real(number) => {
                hasher.write_u8(3);
                // The two zeros are equal to both databases.
                hasher.write(&(number + 0.0).to_bits().to_le_bytes());
            }
            Value::Text(text) => sized(hasher, 4, text.as_bytes()),
            Value::Bytes(bytes) => sized(hasher, 5, bytes),
        }
    }
}

fn sized(hasher: &mut SipHasher13, kind: u8, bytes: &[u8]) {
    hasher.write_u8(kind);
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}

/// What a table's rows come to, in whatever order they are read: how many, and the sum of their hashes.
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

    /// The sum without these rows of it. If they are none of it any more, because somebody has changed them, it is one that no
    /// table comes to.
    pub(super) fn without(self, rows: &Self) -> Self {
        let hashes = self.hashes.wrapping_sub(rows.hashes);
        Self { rows: self.rows.saturating_sub(rows.rows), hashes }
    }

    /// What was [told](Self::told) of so many rows.
    pub(super) fn of(rows: u64, told: &str) -> Option<Self> {
        Some(Self { rows, hashes: u128::from_str_radix(told, 16).ok()? })
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

    #[test]
    fn a_sum_that_was_kept_is_read_as_what_it_was_by_every_version() {
        let kept = sum(&[
            &[Value::Integer(-7), Value::Text("ab".into()), Value::Null],
            &[Value::Real(0.5), Value::Bytes(b"ab"), Value::Boolean(true)],
        ]);
        assert_eq!(kept.told(), "00000000b775f40176c51a9e");
        assert_eq!(Sum::of(2, &kept.told()), Some(kept));
        assert_eq!(Sum::of(2, "changed by hand"), None);
        assert_eq!(kept.without(&kept), Sum::default());
    }
}
