//! How the values of a column, or a parameter, are sent.

use forebay::ValueRef;
use tokio_postgres::types::Type;

/// In which form a column's values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Bool,
    Bytes,
    Json,
    Jsonb,
    /// Text: the type is one of those that are nothing else.
    Text(u32),
    /// As text that the server reads.
    Literal,
}

impl Wire {
    pub(crate) fn of(kind: &Type) -> Self {
        match *kind {
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::BOOL => Self::Bool,
            Type::BYTEA => Self::Bytes,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Self::Text(kind.oid()),
            _ => Self::Literal,
        }
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8)
    }

    /// Whether each value of the type is sent in one way only.
    pub(crate) fn is_exact(self) -> bool {
        matches!(
            self,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Bool | Self::Bytes | Self::Text(_)
        )
    }

    /// Whether a value is of the column's own kind, and not a text that the server reads.
    pub(crate) fn is_own(self, value: &ValueRef<'_>) -> bool {
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Bool => {
                matches!(value, ValueRef::Integer(_))
            }
            Self::Bytes => matches!(value, ValueRef::Blob(_)),
            Self::Text(_) => matches!(value, ValueRef::Text(_)),
            Self::Float4 | Self::Float8 | Self::Json | Self::Jsonb | Self::Literal => false,
        }
    }

    /// The number of the type in the catalog; 0 for what the server reads.
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Int2 => Type::INT2.oid(),
            Self::Int4 => Type::INT4.oid(),
            Self::Int8 => Type::INT8.oid(),
            Self::Float4 => Type::FLOAT4.oid(),
            Self::Float8 => Type::FLOAT8.oid(),
            Self::Bool => Type::BOOL.oid(),
            Self::Bytes => Type::BYTEA.oid(),
            Self::Json => Type::JSON.oid(),
            Self::Jsonb => Type::JSONB.oid(),
            Self::Text(oid) => oid,
            Self::Literal => 0,
        }
    }
}
