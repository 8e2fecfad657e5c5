//! Values as PostgreSQL takes them: one parameter, or an array for a column of many rows.
//!
//! A value that is of the column's kind is sent in PostgreSQL's binary form. Where one value of a column is not, all of that column are sent
//! as texts, and the server reads them, or says which it cannot read.

use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut, BytesMut};
use forebay::{Batch, Error, ErrorKind, ValueRef};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::session::Prepared;
use crate::wire::Wire;

/// The number of a value's bytes that stands for NULL.
const NULL: i32 = -1;

/// The version of PostgreSQL's binary form of jsonb.
const JSONB: u8 = 1;

/// A parameter, encoded.
pub(crate) struct Param {
    bytes: BytesMut,
    format: Format,
    is_null: bool,
}

/// The arrays of some rows of a batch, one for each column.
pub(crate) fn arrays(
    batch: &Batch<'_>,
    rows: &[usize],
    prepared: &Prepared,
) -> Result<Vec<Param>, Error> {
    let mut columns: Vec<Array> = prepared.wires.iter().map(|&wire| Array::new(wire)).collect();
    for &row in rows {
        for (column, value) in columns.iter_mut().zip(batch.row(row).values()) {
            column.push(value);
        }
    }
    let finish = |(position, column): (usize, Array)| match column.finish(rows.len()) {
        Some(param) => Ok(param),
        None => literals(batch, rows, position, prepared.wires[position]),
    };
    columns.into_iter().enumerate().map(finish).collect()
}

/// The parameters of one execution of a statement, in the statement's order.
pub(crate) fn scalars(
    batch: &Batch<'_>,
    row: usize,
    prepared: &Prepared,
) -> Result<Vec<Param>, Error> {
    let places = prepared.parameters.as_deref().unwrap_or(&[]);
    let mut params: Vec<(usize, Param)> = Vec::with_capacity(places.len());
    let values = batch.row(row).values();
    for (position, (value, place)) in values.zip(places).enumerate() {
        params.push((*place, scalar(batch, row, position, prepared.wires[position], value)?));
    }
    params.sort_by_key(|(place, _)| *place);
    Ok(params.into_iter().map(|(_, param)| param).collect())
}

fn scalar(
    batch: &Batch<'_>,
    row: usize,
    position: usize,
    wire: Wire,
    value: ValueRef<'_>,
) -> Result<Param, Error> {
    let mut bytes = BytesMut::new();
    if value == ValueRef::Null {
        return Ok(Param { bytes, format: Format::Binary, is_null: true });
    }
    if put(&mut bytes, wire, value) {
        return Ok(Param { bytes, format: Format::Binary, is_null: false });
    }
    bytes.clear();
    match literal(wire, value) {
        Some(text) => {
            bytes.put_slice(&text);
            Ok(Param { bytes, format: Format::Text, is_null: false })
        }
        None => Err(unfit(batch, row, position)),
    }
}

/// An array in binary form while it is being made.
struct Array {
    wire: Wire,
    bytes: BytesMut,
    has_null: bool,
    fits: bool,
}

impl Array {
    fn new(wire: Wire) -> Self {
        Self { wire, bytes: BytesMut::new(), has_null: false, fits: wire != Wire::Literal }
    }

    fn push(&mut self, value: ValueRef<'_>) {
        if !self.fits {
            return;
        }
        if value == ValueRef::Null {
            self.has_null = true;
            self.bytes.put_i32(NULL);
            return;
        }
        let start = self.bytes.len();
        self.bytes.put_i32(0);
        self.fits = put(&mut self.bytes, self.wire, value);
        let length = (self.bytes.len() - start - 4) as i32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// The array with its head: one dimension, its type, its length, and that it is counted from 1.
    fn finish(self, rows: usize) -> Option<Param> {
        if !self.fits {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + 20);
        bytes.put_i32(1);
        bytes.put_i32(i32::from(self.has_null));
        bytes.put_u32(self.wire.oid());
        bytes.put_i32(rows as i32);
        bytes.put_i32(1);
        bytes.put_slice(&self.bytes);
        Some(Param { bytes, format: Format::Binary, is_null: false })
    }
}

/// One column of some rows as an array's text.
fn literals(
    batch: &Batch<'_>,
    rows: &[usize],
    position: usize,
    wire: Wire,
) -> Result<Param, Error> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(b'{');
    for (index, &row) in rows.iter().enumerate() {
        if index > 0 {
            bytes.put_u8(b',');
        }
        match batch.row(row).values().nth(position) {
            None | Some(ValueRef::Null) => bytes.put_slice(b"NULL"),
            Some(value) => {
                let text = literal(wire, value).ok_or_else(|| unfit(batch, row, position))?;
                bytes.put_u8(b'"');
                for &byte in &*text {
                    if matches!(byte, b'"' | b'\\') {
                        bytes.put_u8(b'\\');
                    }
                    bytes.put_u8(byte);
                }
                bytes.put_u8(b'"');
            }
        }
    }
    bytes.put_u8(b'}');
    Ok(Param { bytes, format: Format::Text, is_null: false })
}

/// Puts a value in binary form. False, with anything put, when it is not of the kind.
fn put(bytes: &mut BytesMut, wire: Wire, value: ValueRef<'_>) -> bool {
    let value = match value {
        // JSON, say, has one kind of numbers.
        ValueRef::Real(number) if wire.is_integer() && is_whole(number) => {
            ValueRef::Integer(number as i64)
        }
        value => value,
    };
    match (wire, value) {
        (Wire::Int8, ValueRef::Integer(number)) => bytes.put_i64(number),
        (Wire::Int4, ValueRef::Integer(number)) => match i32::try_from(number) {
            Ok(number) => bytes.put_i32(number),
            Err(_) => return false,
        },
        (Wire::Int2, ValueRef::Integer(number)) => match i16::try_from(number) {
            Ok(number) => bytes.put_i16(number),
            Err(_) => return false,
        },
        (Wire::Float8, ValueRef::Real(number)) => bytes.put_f64(number),
        (Wire::Float8, ValueRef::Integer(number)) => bytes.put_f64(number as f64),
        (Wire::Float4, ValueRef::Real(number)) if fits_f32(number) => bytes.put_f32(number as f32),
        (Wire::Float4, ValueRef::Integer(number)) => bytes.put_f32(number as f32),
        (Wire::Bool, ValueRef::Integer(number @ (0 | 1))) => bytes.put_u8(number as u8),
        (Wire::Bytes, ValueRef::Blob(blob)) => bytes.put_slice(blob),
        (Wire::Text(_) | Wire::Json, ValueRef::Text(text)) => bytes.put_slice(text),
        (Wire::Jsonb, ValueRef::Text(text)) => {
            bytes.put_u8(JSONB);
            bytes.put_slice(text);
        }
        (Wire::Text(_), ValueRef::Integer(number)) => {
            bytes.put_slice(number.to_string().as_bytes());
        }
        (Wire::Text(_), ValueRef::Real(number)) => bytes.put_slice(real(number).as_bytes()),
        _ => return false,
    }
    true
}

/// Whether a number is an integer of 64 bits.
fn is_whole(number: f64) -> bool {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)
}

/// What is too large for the type is the server's to refuse.
fn fits_f32(number: f64) -> bool {
    !number.is_finite() || number.abs() <= f64::from(f32::MAX)
}

/// The text that the server reads a value from; none for bytes where they can only be meant for something else.
fn literal(wire: Wire, value: ValueRef<'_>) -> Option<std::borrow::Cow<'_, [u8]>> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => number.to_string().into_bytes().into(),
        ValueRef::Real(number) => real(number).into_bytes().into(),
        ValueRef::Text(text) => text.into(),
        ValueRef::Blob(blob) if wire == Wire::Bytes => {
            let mut text = b"\\x".to_vec();
            blob.iter().for_each(|byte| text.extend_from_slice(format!("{byte:02x}").as_bytes()));
            text.into()
        }
        ValueRef::Blob(_) => return None,
    })
}

/// With all its digits, and as PostgreSQL spells what is not finite.
fn real(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    format!("{number:?}")
}

fn unfit(batch: &Batch<'_>, row: usize, position: usize) -> Error {
    let shape = batch.row(row).shape();
    let table = shape.target().table();
    let column = match shape.columns().get(position) {
        Some(column) => format!("column {column}"),
        None => format!("parameter {}", position + 1),
    };
    let constraint = format!("the type of {column}, which takes no bytes");
    Error::new(ErrorKind::Rejected, format!("{table} refused a row: it violates {constraint}"))
        .with_table(table)
        .with_constraint(constraint)
        // What the server says where a type does not fit: datatype_mismatch.
        .with_sqlstate("42804")
}

/// A text that may hold a row's values.
pub(crate) struct Hidden<'t>(pub(crate) &'t str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl ToSql for Hidden<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// A row's values are nobody's business: the driver logs parameters by this.
impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.bytes.len())
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.bytes);
        Ok(if self.is_null { IsNull::Yes } else { IsNull::No })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        self.format
    }

    to_sql_checked!();
}
