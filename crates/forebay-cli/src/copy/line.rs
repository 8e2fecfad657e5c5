//! A row as a line of JSON, for the file of rejected rows.

use forebay::rusqlite::types::ValueRef;
use forebay::rusqlite::{self, Row};
use serde_json::{Map, Value, json};

/// The row whose columns have these names. What JSON has no words for is told as the library's own file of dead letters
/// tells it: `{"hex":"00ff"}` for bytes, also of a text that is not UTF-8, `{"real":"inf"}` for infinity.
pub(super) fn of(names: &[&String], row: &Row<'_>) -> rusqlite::Result<String> {
    let mut fields = Map::new();
    for (at, name) in names.iter().enumerate() {
        let hex = |bytes: &[u8]| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        };
        let value = match row.get_ref(at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) if number.is_finite() => json!(number),
            ValueRef::Real(number) => json!({ "real": number.to_string() }),
            ValueRef::Text(text) => {
                std::str::from_utf8(text).map_or_else(|_| hex(text), Value::from)
            }
            ValueRef::Blob(bytes) => hex(bytes),
        };
        fields.insert(name.to_string(), value);
    }
    Ok(Value::Object(fields).to_string())
}
