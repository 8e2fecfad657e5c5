//! A table's columns, and what becomes of a field on its way into one.

use std::borrow::Cow;

use forebay::{ColumnType, TableInfo};
use serde::{Serialize, Serializer};

use crate::failure::{Failure, Result};

/// The columns that rows can be written to, in the table's order.
pub struct Columns {
    table: String,
    names: Vec<String>,
    types: Vec<ColumnType>,
    key: Vec<usize>,
}

/// A value for one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(Cow<'a, str>),
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl Columns {
    /// The columns of a table whose rows are told apart by `key`.
    pub fn new(info: &TableInfo, key: &[String]) -> Self {
        let (names, types): (Vec<_>, Vec<_>) =
            info.columns().map(|(name, takes)| (name.to_owned(), takes)).unzip();
        let mut columns = Self { table: info.name().to_owned(), names, types, key: Vec::new() };
        // A key column that is not there is the library's to refuse, which knows the indexes too.
        columns.key = key.iter().filter_map(|name| columns.find(name)).collect();
        columns
    }

    /// The table's name, as the database spells it.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The names, in the table's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The column of this name, without regard to ASCII case.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// The columns that an input's fields go to.
    ///
    /// # Errors
    ///
    /// For a field that there is no column for, and for two that go to the same one.
    pub fn positions(&self, fields: &[String]) -> Result<Vec<usize>> {
        let mut positions = Vec::with_capacity(fields.len());
        for field in fields {
            let position = self.find(field).ok_or_else(|| self.unknown(field))?;
            if positions.contains(&position) {
                return Err(Failure::new(format!("the input names the column `{field}` twice")));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    fn unknown(&self, field: &str) -> Failure {
        let (table, columns) = (&self.table, self.names.join(", "));
        let failure = Failure::new(format!(
            "{table} has no column `{field}`, which the input names; its columns are {columns}"
        ));
        if [';', '\t', ',', '|'].into_iter().any(|separator| field.contains(separator)) {
            failure.hint("is the input in another format? The fields of csv have commas between them, those of tsv tabs")
        } else {
            failure.hint(
                "where the input has no header line, name its fields with --columns; to leave some out, select them \
                 before (cut, csvcut, jq)",
            )
        }
    }

    /// Whether the column tells rows apart.
    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }

    /// What a column takes.
    pub fn takes(&self, column: usize) -> ColumnType {
        self.types[column]
    }

    /// A text on its way into a column: a number where the column is one, NULL where a number is left empty.
    ///
    /// # Errors
    ///
    /// When the column takes numbers only and the text is none.
    pub fn cell<'a>(&self, column: usize, text: &'a str) -> Result<Cell<'a>, &'static str> {
        let takes = self.takes(column);
        if matches!(takes, ColumnType::Text | ColumnType::Any) {
            return Ok(Cell::Text(text.into()));
        }
        let number = text.trim_ascii();
        if number.is_empty() {
            return Ok(Cell::Null);
        }
        match takes {
            ColumnType::Integer => integer(number),
            ColumnType::Real => real(number),
            // Dates are declared as what counts as a number here: the database has rules for them.
            _ => Ok(number.parse().map_or(Cell::Text(text.into()), Cell::Integer)),
        }
    }
}

/// A number for a column of integers. One with a fraction is the database's to judge.
fn integer(number: &str) -> Result<Cell<'static>, &'static str> {
    if let Ok(integer) = number.parse() {
        return Ok(Cell::Integer(integer));
    }
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the number does not fit a signed 64-bit integer");
    }
    match number.parse::<f64>() {
        Ok(real) if real.is_finite() => Ok(Cell::Real(real)),
        _ => Err("it is not a number, and the column is declared as an integer"),
    }
}

fn real(number: &str) -> Result<Cell<'static>, &'static str> {
    match number.parse::<f64>() {
        Ok(real) if real.is_finite() => Ok(Cell::Real(real)),
        _ => Err("it is not a finite number, and the column is declared as one"),
    }
}
