//! From a record to a row for the write buffer, or to what is wrong with it and where.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::load::columns::{Cell, Columns, Takes};
use crate::load::records::{Broken, Record};
use crate::words::count;

/// A row: cells for some of the columns.
#[derive(Debug)]
pub struct Row<'c, 'a> {
    names: &'c [String],
    cells: Vec<(usize, Cell<'a>)>,
}

impl Serialize for Row<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len()))?;
        for (column, cell) in &self.cells {
            map.serialize_entry(&self.names[*column], cell)?;
        }
        map.end()
    }
}

/// What is wrong with a record. It never holds a value of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    column: Option<String>,
    why: String,
}

impl Trouble {
    /// Trouble with a record as a whole.
    pub fn new(why: impl Into<String>) -> Self {
        Self { column: None, why: why.into() }
    }

    fn at(column: &str, why: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), why: why.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column {column}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TooLong(bytes) => Self::new(format!(
                "the line is longer than {bytes} bytes, eight times max_row_bytes"
            )),
            Broken::OpenQuote => Self::new("a quote opens in this line and does not close"),
        }
    }
}

/// How records become rows.
pub enum Layout {
    /// The fields go to these columns, in their order (CSV and TSV).
    Fields(Vec<usize>),
    /// The objects' fields go to the columns of the same names (NDJSON); where columns are given, to these only.
    Objects(Option<Vec<usize>>),
}

impl Layout {
    /// Makes a row.
    ///
    /// # Errors
    ///
    /// When the record does not fit the columns.
    pub fn row<'c, 'a>(
        &self,
        columns: &'c Columns,
        record: &Record<'a>,
    ) -> Result<Row<'c, 'a>, Trouble> {
        let cells = match self {
            Self::Fields(positions) => cells_of_fields(columns, positions, record)?,
            Self::Objects(only) => cells_of_object(columns, only.as_deref(), record)?,
        };
        let names = columns.names();
        let empty_key =
            cells.iter().find(|(column, cell)| columns.is_key(*column) && *cell == Cell::Null);
        match empty_key {
            Some((column, _)) => {
                Err(Trouble::at(&names[*column], "it is in the key and has no value"))
            }
            None => Ok(Row { names, cells }),
        }
    }
}

fn cells_of_fields<'a>(
    columns: &Columns,
    positions: &[usize],
    record: &Record<'a>,
) -> Result<Vec<(usize, Cell<'a>)>, Trouble> {
    if record.len() != positions.len() {
        let quote = if record.lines > 1 {
            let below = count(record.lines - 1, "line");
            format!(", and ends {below} below: is a quote left open?")
        } else {
            String::new()
        };
        let (found, wanted) = (count(record.len() as u64, "field"), positions.len());
        return Err(Trouble::new(format!("the record has {found} instead of {wanted}{quote}")));
    }
    let whole = std::str::from_utf8(record.text()).ok();
    let mut cells = Vec::with_capacity(positions.len());
    for (&column, field) in positions.iter().zip(record.fields()) {
        let name = &columns.names()[column];
        let text = match whole.and_then(|text| text.get(field.clone())) {
            Some(text) => text,
            None => utf8(record.text(), field).map_err(|why| Trouble::at(name, why))?,
        };
        let cell = without_nul(text).and_then(|()| columns.cell(column, text));
        cells.push((column, cell.map_err(|why| Trouble::at(name, why))?));
    }
    Ok(cells)
}

fn utf8(bytes: &[u8], field: Range<usize>) -> Result<&str, String> {
    std::str::from_utf8(&bytes[field])
        .map_err(|error| format!("its text is not UTF-8 from byte {} on", error.valid_up_to() + 1))
}

fn without_nul(text: &str) -> Result<(), &'static str> {
    match memchr::memchr(0, text.as_bytes()) {
        Some(_) => {
            Err("its text holds a NUL character, at which most programs would take it to end")
        }
        None => Ok(()),
    }
}

fn cells_of_object<'a>(
    columns: &Columns,
    only: Option<&[usize]>,
    record: &Record<'a>,
) -> Result<Vec<(usize, Cell<'a>)>, Trouble> {
    let Object(fields) = Object::parse(record.raw)?;
    let mut cells: Vec<(usize, Cell<'a>)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let Some(column) = columns.find(&name) else {
            if only.is_some() {
                continue;
            }
            let (table, names) = (columns.table(), columns.listed());
            return Err(Trouble::at(
                &name,
                format!("{table} has no such column; its columns are {names}"),
            ));
        };
        if only.is_some_and(|only| !only.contains(&column)) {
            continue;
        }
        let cell = json_cell(columns, column, value.get());
        cells.push((column, cell.map_err(|why| Trouble::at(&columns.names()[column], why))?));
    }
    // In the table's order, so that rows with the same fields have the same statement.
    cells.sort_by_key(|(column, _)| *column);
    if let Some(pair) = cells.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Trouble::at(&columns.names()[pair[0].0], "it is there twice"));
    }
    Ok(columns.filled(cells))
}

/// A JSON value, by its own type; a text as in CSV.
fn json_cell<'a>(
    columns: &Columns,
    column: usize,
    json: &'a str,
) -> Result<Cell<'a>, &'static str> {
    let takes = columns.takes(column);
    let is_text = takes == Takes::Text;
    match json.as_bytes() {
        [b'n', ..] => Ok(Cell::Null),
        _ if takes == Takes::Json => Ok(Cell::Text(json.into())),
        [b't' | b'f', ..] if is_text => Ok(Cell::Text(json.into())),
        [b't', ..] => Ok(Cell::Integer(1)),
        [b'f', ..] => Ok(Cell::Integer(0)),
        [b'"', ..] => match json_text(json)? {
            Cow::Borrowed(text) => columns.cell(column, text),
            Cow::Owned(text) => Ok(owned(columns.cell(column, &text)?)),
        },
        [b'[' | b'{', ..] if matches!(takes, Takes::Integer | Takes::Real) => {
            Err("it is nested, and the column is declared as a number")
        }
        [b'[' | b'{', ..] => Ok(Cell::Text(json.into())),
        // A number as it is written: no digit is lost in a column of texts.
        _ if is_text => Ok(Cell::Text(json.into())),
        _ => match json.parse::<i64>() {
            Ok(number) => Ok(Cell::Integer(number)),
            Err(_) if takes != Takes::Real && !json.contains(['.', 'e', 'E']) => {
                Err("the number does not fit a signed 64-bit integer")
            }
            Err(_) => match json.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Cell::Real(number)),
                _ => Err("the number does not fit a 64-bit float"),
            },
        },
    }
}

fn json_text(json: &str) -> Result<Cow<'_, str>, &'static str> {
    let inner = &json[1..json.len() - 1];
    let text = if inner.contains('\\') {
        let text: Result<String, _> = serde_json::from_str(json);
        Cow::Owned(text.map_err(|_| "its text has a broken escape")?)
    } else {
        Cow::Borrowed(inner)
    };
    without_nul(&text)?;
    Ok(text)
}

fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Null => Cell::Null,
        Cell::Integer(number) => Cell::Integer(number),
        Cell::Real(number) => Cell::Real(number),
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
    }
}

/// The fields of one JSON object, as they come, with their values as they are written.
pub struct Object<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object; the trouble says where.
    pub fn parse(line: &'a [u8]) -> Result<Self, Trouble> {
        let text = utf8(line, 0..line.len()).map_err(Trouble::new)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Trouble::new("the line is not a JSON object, which begins with {"));
        }
        serde_json::from_str(text).map_err(|error| {
            let (is_cut_off, at) = (error.is_eof(), error.column());
            let error = error.to_string();
            let what = error.split(" at line ").next().unwrap_or_default();
            Trouble::new(if is_cut_off {
                format!("the JSON ends too early, at column {at}")
            } else {
                format!("the JSON is broken at column {at}: {what}")
            })
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            fields.push((name, map.next_value()?));
        }
        Ok(Object(fields))
    }
}

/// A name that is borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(text.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
