//! What holds of the row that any record becomes: for the property tests and the fuzzer.

use forebay::{ColumnType, TableInfo};
use forebay_cli::load::columns::Columns;
use forebay_cli::load::records::{Format, Item, Record};
use forebay_cli::load::row::{Layout, Object};
use serde_json::{Map, Value};

use crate::lines;

/// A character of which no message is made: where one holds it, it tells a value.
const CANARY: char = '~';

const TYPES: [(&str, ColumnType); 5] = [
    ("id", ColumnType::Integer),
    ("real", ColumnType::Real),
    ("number", ColumnType::Number),
    ("text", ColumnType::Text),
    ("any", ColumnType::Any),
];

/// Checks a fuzzer's input: the format, the layout, the input.
pub(crate) fn fuzz(bytes: &[u8]) {
    if let [first, choice, input @ ..] = bytes {
        check(lines::format(*first), input, *choice);
    }
}

/// Checks every record of an input, with the layout that `choice` stands for.
pub(crate) fn check(format: Format, input: &[u8], choice: u8) {
    let info = TYPES
        .iter()
        .fold(TableInfo::new("t"), |info, (name, takes)| info.typed_column(*name, *takes));
    let columns = Columns::new(&info, &["id".to_owned()]);
    let mut records = lines::records(format, input, 4096, 0);
    while let Some(item) = records.read().expect("bytes in memory can be read") {
        let Item::Record(record) = item else { continue };
        match format {
            Format::Ndjson => check_object(&columns, &record, choice),
            Format::Csv | Format::Tsv => check_fields(&columns, &record, choice),
        }
    }
}

fn check_fields(columns: &Columns, record: &Record<'_>, choice: u8) {
    let first = usize::from(choice) % TYPES.len();
    let many = if choice < 128 { record.len().min(TYPES.len()) } else { TYPES.len() };
    let positions: Vec<usize> = (0..many).map(|at| (first + at) % TYPES.len()).collect();
    let layout = Layout::Fields(positions.clone());
    let good = positions.len() == record.len()
        && positions.iter().zip(record.fields()).all(|(&column, field)| {
            let text = std::str::from_utf8(&record.text()[field]);
            text.is_ok_and(|text| takes_text(column, text))
        });
    match layout.row(columns, record) {
        Err(trouble) => {
            let message = trouble.to_string();
            assert!(!message.contains(CANARY), "a value is in the message: {message}");
            assert!(!good, "refused for no reason: {message}");
        }
        Ok(row) => {
            assert!(good, "a record that fits no row became {row:?}");
            let row = serde_json::to_value(&row).expect("a row is a map");
            assert_eq!(row.as_object().map(Map::len), Some(positions.len()));
            for (&column, field) in positions.iter().zip(record.fields()) {
                let text = std::str::from_utf8(&record.text()[field]).expect("it is good");
                check_text(column, text, &row[TYPES[column].0]);
            }
        }
    }
}

fn check_object(columns: &Columns, record: &Record<'_>, choice: u8) {
    let only: Option<Vec<usize>> = (choice >= 32)
        .then(|| (0..TYPES.len()).filter(|column| choice & (1 << column) != 0).collect());
    let row = Layout::Objects(only.clone()).row(columns, record);
    let whole = serde_json::from_slice::<Map<String, Value>>(record.raw);
    let Ok(Object(fields)) = Object::parse(record.raw) else {
        let message = row.expect_err("it is no object").to_string();
        assert!(!message.contains(CANARY), "a value is in the message: {message}");
        assert!(whole.is_err(), "refused for no reason: {message}");
        return;
    };
    if let Ok(whole) = whole {
        let fields = fields.iter().map(|(name, value)| {
            (name.to_string(), serde_json::from_str(value.get()).expect("a part of a good whole"))
        });
        assert_eq!(whole, fields.collect());
    }
    let mut good = true;
    // What the crate's `Value` does not take, a number too large or lists too deep, may be kept as it is written.
    let mut sure = true;
    let mut cells: Vec<(usize, Option<Value>, &str)> = Vec::new();
    for (name, value) in &fields {
        let text = value.get();
        match (column_of(name), serde_json::from_str::<Value>(text)) {
            (None, _) => good &= only.is_some(),
            (Some(column), _) if only.as_ref().is_some_and(|only| !only.contains(&column)) => {}
            (Some(column), value) => {
                good &= cells.iter().all(|(known, ..)| *known != column);
                match &value {
                    Ok(value) => good &= takes_json(column, value, text),
                    Err(_) => sure = false,
                }
                cells.push((column, value.ok(), text));
            }
        }
    }
    match row {
        Err(trouble) => {
            let message = trouble.to_string();
            // Names of fields may be in it.
            let why = fields
                .iter()
                .find_map(|(name, _)| message.strip_prefix(&format!("column {name}: ")))
                .unwrap_or(&message);
            assert!(!why.contains(CANARY), "a value is in the message: {message}");
            assert!(!good || !sure, "refused for no reason: {message}");
        }
        Ok(row) => {
            assert!(good, "a record that fits no row became {row:?}");
            let row = serde_json::to_value(&row).expect("a row is a map");
            assert_eq!(row.as_object().map(Map::len), Some(cells.len()));
            for (column, value, text) in cells {
                if let Some(value) = value {
                    check_json(column, &value, text, &row[TYPES[column].0]);
                }
            }
        }
    }
}

fn column_of(name: &str) -> Option<usize> {
    TYPES.iter().position(|(column, _)| column.eq_ignore_ascii_case(name))
}

/// Whether a text is a value for a column.
fn takes_text(column: usize, text: &str) -> bool {
    let number = text.trim_ascii();
    let is_number = || {
        let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
        match digits.bytes().all(|digit| digit.is_ascii_digit()) {
            true if TYPES[column].1 == ColumnType::Integer => number.parse::<i64>().is_ok(),
            _ => number.parse::<f64>().is_ok_and(f64::is_finite),
        }
    };
    // The first is in the key and must not be left empty.
    !text.contains('\0')
        && match TYPES[column].1 {
            ColumnType::Integer => is_number(),
            ColumnType::Real => number.is_empty() || is_number(),
            // The database would make infinity of digits that are too many.
            ColumnType::Number => {
                let is_infinite = number.parse::<f64>().is_ok_and(f64::is_infinite);
                !(is_infinite && number.bytes().any(|byte| byte.is_ascii_digit()))
            }
            _ => true,
        }
}

fn check_text(column: usize, text: &str, cell: &Value) {
    let number = text.trim_ascii();
    let takes = TYPES[column].1;
    match cell {
        Value::String(cell) => {
            assert_eq!(cell, text);
            assert!(!matches!(takes, ColumnType::Integer | ColumnType::Real));
        }
        _ if matches!(takes, ColumnType::Text | ColumnType::Any) => {
            panic!("{text:?} became {cell}")
        }
        Value::Null => assert!(number.is_empty(), "{text:?} became NULL"),
        Value::Number(cell) => match cell.as_i64() {
            Some(cell) => assert_eq!(Ok(cell), number.parse()),
            None => assert_eq!(cell.as_f64(), number.parse().ok()),
        },
        _ => panic!("{text:?} became {cell}"),
    }
}

/// Whether a JSON value, written as `text`, is one for a column.
fn takes_json(column: usize, value: &Value, text: &str) -> bool {
    let takes = TYPES[column].1;
    match value {
        // The first is in the key.
        Value::Null => column != 0,
        Value::Bool(_) => true,
        Value::Number(_) => {
            matches!(takes, ColumnType::Text | ColumnType::Real)
                || text.contains(['.', 'e', 'E'])
                || text.parse::<i64>().is_ok()
        }
        Value::String(text) => takes_text(column, text),
        Value::Array(_) | Value::Object(_) => {
            !matches!(takes, ColumnType::Integer | ColumnType::Real)
        }
    }
}

fn check_json(column: usize, value: &Value, text: &str, cell: &Value) {
    let is_text = TYPES[column].1 == ColumnType::Text;
    match value {
        Value::Null => assert!(cell.is_null(), "null became {cell}"),
        Value::Bool(_) if is_text => assert_eq!(cell, text),
        Value::Bool(is) => assert_eq!(cell, i64::from(*is)),
        Value::String(text) => check_text(column, text, cell),
        Value::Number(_) if is_text => assert_eq!(cell, text),
        // The crate takes it for a float.
        Value::Number(_) if text == "-0" => assert_eq!(cell, 0),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => assert_eq!(cell.as_i64(), Some(number)),
            // The crate rounds some floats to a neighbour.
            (None, number) => {
                let (cell, number) = (cell.as_f64().expect("REAL"), number.expect("a float"));
                let near = (cell - number).abs() <= number.abs() * 1e-15 + f64::MIN_POSITIVE;
                assert!(near, "{text} became {cell}, and is {number}");
            }
        },
        Value::Array(_) | Value::Object(_) => assert_eq!(cell, text),
    }
}
