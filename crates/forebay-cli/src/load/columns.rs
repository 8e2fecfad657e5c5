//! A table's columns, and what becomes of a field on its way into one.

use std::borrow::Cow;
use std::collections::HashMap;

use forebay::{ColumnType, TableInfo};
use serde::{Serialize, Serializer};

use crate::failure::{Failure, Result};
use crate::load::header::NAME_THE_FIELDS;
use crate::words::listed;

/// The columns that rows can be written to, in the table's order.
pub struct Columns {
    table: String,
    names: Vec<String>,
    takes: Vec<Takes>,
    /// Whether a row that does not mention the column has something else than NULL in it.
    has_default: Vec<bool>,
    by_name: HashMap<String, usize>,
    key: Vec<usize>,
    /// Columns that no row can be written to.
    computed: Vec<String>,
}

/// What fields may have between them: a name that holds one is likely to be several.
pub(super) const SEPARATORS: [char; 4] = [';', '\t', '|', ','];

/// What a column takes, as far as a field's way into it depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Integers.
    Integer,
    /// Numbers with a fraction.
    Real,
    /// Numbers of any kind; in SQLite also what it has rules of its own for.
    Number,
    /// Texts.
    Text,
    /// Anything.
    Any,
    /// JSON, as it is written.
    Json,
    /// What PostgreSQL reads from a text: a date, a boolean, a UUID.
    Read,
}

impl From<ColumnType> for Takes {
    fn from(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Integer => Self::Integer,
            ColumnType::Real => Self::Real,
            ColumnType::Number => Self::Number,
            ColumnType::Text => Self::Text,
            _ => Self::Any,
        }
    }
}

/// Who names the fields of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Its first line.
    Header,
    /// The option `--columns`.
    Columns,
}

impl Naming {
    fn subject(self) -> &'static str {
        match self {
            Self::Header => "the first line",
            Self::Columns => "--columns",
        }
    }
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
        let (names, takes): (Vec<_>, Vec<_>) =
            info.columns().map(|(name, takes)| (name.to_owned(), Takes::from(takes))).unzip();
        let mut columns = Self {
            table: info.name().to_owned(),
            has_default: names.iter().map(|name| info.has_default(name)).collect(),
            by_name: names.iter().cloned().zip(0..).collect(),
            names,
            takes,
            key: Vec::new(),
            computed: info.generated_columns().map(str::to_owned).collect(),
        };
        // A key column that is not there is the library's to refuse, which knows the indexes too.
        columns.key = key.iter().filter_map(|name| columns.find(name)).collect();
        columns
    }

    /// Says what these columns take, of which a table's description says too little.
    pub(crate) fn take(&mut self, known: &HashMap<String, Takes>) {
        for (name, takes) in self.names.iter().zip(&mut self.takes) {
            *takes = known.get(name).copied().unwrap_or(*takes);
        }
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
        let exactly = self.by_name.get(name).copied();
        exactly.or_else(|| self.names.iter().position(|known| known.eq_ignore_ascii_case(name)))
    }

    /// The columns that an input's fields go to.
    ///
    /// # Errors
    ///
    /// For a field that there is no column for, and for two that go to the same one.
    pub fn positions(&self, fields: &[String], naming: Naming) -> Result<Vec<usize>> {
        let mut positions = Vec::with_capacity(fields.len());
        for field in fields {
            let field = field.trim();
            let position = self.find(field).ok_or_else(|| self.unknown(field, naming))?;
            if positions.contains(&position) {
                let naming = naming.subject();
                return Err(Failure::new(format!("{naming} names the column `{field}` twice")));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    fn unknown(&self, field: &str, naming: Naming) -> Failure {
        let (table, naming_is) = (&self.table, naming.subject());
        if self.computed.iter().any(|name| name.eq_ignore_ascii_case(field)) {
            return Failure::new(format!(
                "the column `{field}` of {table}, which {naming_is} names, is computed by the database"
            ))
            .hint("leave it out of the input: select the other fields before (cut, csvcut, jq)");
        }
        let columns = self.listed();
        let failure = Failure::new(format!(
            "{table} has no column `{field}`, which {naming_is} names; its columns are {columns}"
        ));
        match naming {
            Naming::Columns => failure,
            _ if field.contains(SEPARATORS) => {
                failure.hint(
                    "is the input in another format? The fields of csv have commas between them, unless --delimiter \
                     says otherwise, those of tsv tabs",
                )
            }
            Naming::Header => failure.hint(format!(
                "{NAME_THE_FIELDS}; to leave some out, select the others before (cut, csvcut, jq)"
            )),
        }
    }

    /// The names, as many as a message should list.
    pub fn listed(&self) -> String {
        listed(self.names.iter().map(String::as_str))
    }

    /// The cells of a row to be inserted, with NULL for the columns that it does not mention and that have no other
    /// default: the same to the database, and rows with different fields can go in one statement.
    pub fn filled<'a>(&self, cells: Vec<(usize, Cell<'a>)>) -> Vec<(usize, Cell<'a>)> {
        if !self.key.is_empty() || cells.len() == self.names.len() {
            return cells;
        }
        let mut given = cells.into_iter().peekable();
        let mut filled = Vec::with_capacity(self.names.len());
        for (column, has_default) in self.has_default.iter().enumerate() {
            match given.next_if(|(given, _)| *given == column) {
                Some(cell) => filled.push(cell),
                None if *has_default => {}
                None => filled.push((column, Cell::Null)),
            }
        }
        filled
    }

    /// Whether the column tells rows apart.
    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }

    /// What a column takes.
    pub fn takes(&self, column: usize) -> Takes {
        self.takes[column]
    }

    /// A text on its way into a column: a number where the column is one, NULL where a number is left empty.
    ///
    /// # Errors
    ///
    /// When the column takes numbers only and the text is none.
    pub fn cell<'a>(&self, column: usize, text: &'a str) -> Result<Cell<'a>, &'static str> {
        let takes = self.takes(column);
        if matches!(takes, Takes::Text | Takes::Any) {
            return Ok(Cell::Text(text.into()));
        }
        let number = text.trim_ascii();
        if number.is_empty() {
            return Ok(Cell::Null);
        }
        match takes {
            Takes::Integer => integer(number),
            Takes::Real => real(number),
            Takes::Json | Takes::Read => Ok(Cell::Text(text.into())),
            // Dates and booleans are declared as what counts as a number here: the database has rules for them.
            _ => match number.parse() {
                Ok(number) => Ok(Cell::Integer(number)),
                Err(_) if is_too_large(number) => Err("the number does not fit a 64-bit float"),
                Err(_) => Ok(Cell::Text(text.into())),
            },
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

/// Whether digits say a number that a float has no room for; the word `infinity` does not.
fn is_too_large(number: &str) -> bool {
    number.ends_with(|last: char| last.is_ascii_digit())
        && number.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn real(number: &str) -> Result<Cell<'static>, &'static str> {
    match number.parse::<f64>() {
        Ok(real) if real.is_finite() => Ok(Cell::Real(real)),
        _ => Err("it is not a finite number, and the column is declared as one"),
    }
}
