//! The line of JSON that a dead letter is in a file.

use std::fmt::Write;
use std::time::SystemTime;

use humantime_serde::re::humantime::format_rfc3339_millis;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::ErrorKind;
use crate::reject::DeadLetter;
use crate::row::Value;

/// The line, with its end.
pub(crate) fn line(letter: &DeadLetter, time: SystemTime) -> serde_json::Result<Vec<u8>> {
    let error = &letter.error;
    let mut line = serde_json::to_vec(&Line {
        // A clock that is before 1970 has no such form.
        time: format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string(),
        table: &letter.table,
        kind: match error.kind() {
            ErrorKind::Rejected => "rejected",
            ErrorKind::Unknown => "unknown",
            _ => "unwritten",
        },
        error: format!("{error:#}"),
        code: error.code(),
        constraint: error.constraint(),
        database_message: error.database_message(),
        fields: Fields(&letter.fields),
    })?;
    line.push(b'\n');
    Ok(line)
}

#[derive(serde::Serialize)]
struct Line<'a> {
    time: String,
    table: &'a str,
    kind: &'static str,
    error: String,
    code: Option<i32>,
    constraint: Option<&'a str>,
    database_message: Option<&'a str>,
    fields: Fields<'a>,
}

struct Fields<'a>(&'a [(String, Value)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Typed(value))))
    }
}

/// A value in the form that tells its type.
struct Typed<'a>(&'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Real(number) => tagged(serializer, "real", &number.to_string()),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Blob(bytes) => tagged(serializer, "hex", &hex(bytes)),
        }
    }
}

fn tagged<S: Serializer>(serializer: S, tag: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, text)?;
    map.end()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A String takes whatever it is given.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Error;

    fn text(letter: &DeadLetter, time: SystemTime) -> String {
        String::from_utf8(line(letter, time).unwrap()).unwrap()
    }

    fn letter(error: Error, fields: impl IntoIterator<Item = (&'static str, Value)>) -> DeadLetter {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        DeadLetter { table: "t".to_owned(), fields, error }
    }

    #[test]
    fn the_line_is_as_documented() {
        let error = Error::new(ErrorKind::Rejected, "t refused a row")
            .because(Error::new(ErrorKind::Rejected, "a \"cause\""))
            .with_code(275)
            .with_constraint("CHECK z");
        let letter = letter(
            error,
            [
                ("z", Value::Real(101.0)),
                ("a", Value::Integer(i64::MIN)),
                ("none", Value::Null),
                ("digest", Value::Blob(vec![0, 255])),
                ("text", Value::Text("{\"hex\":\"00\"}\n".to_owned())),
                ("most", Value::Real(f64::INFINITY)),
                ("least", Value::Real(f64::NEG_INFINITY)),
            ],
        );
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_851_800_250);
        assert_eq!(
            text(&letter, time),
            concat!(
                r#"{"time":"2026-01-31T09:30:00.250Z","table":"t","kind":"rejected","#,
                r#""error":"t refused a row: a \"cause\"","code":275,"constraint":"CHECK z","#,
                r#""database_message":null,"fields":{"z":101.0,"a":-9223372036854775808,"none":null,"#,
                r#""digest":{"hex":"00ff"},"text":"{\"hex\":\"00\"}\n","most":{"real":"inf"},"#,
                r#""least":{"real":"-inf"}}}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_real_never_looks_like_an_integer() {
        let unknown = || Error::new(ErrorKind::Unknown, "not known");
        for number in [0.0, -0.0, 1.0, 1e15, 1e16, -1e300, f64::MAX, f64::MIN_POSITIVE, 0.1] {
            let line = text(&letter(unknown(), [("r", Value::Real(number))]), SystemTime::now());
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let read = &line["fields"]["r"];
            assert!(read.is_f64(), "{line}");
            assert_eq!(read.as_f64().map(f64::to_bits), Some(number.to_bits()), "{line}");
        }
    }

    #[test]
    fn a_clock_before_1970_is_no_reason_to_lose_a_line() {
        let time = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let line = text(&letter(Error::new(ErrorKind::Unwritten, "no"), []), time);
        assert!(line.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","#), "{line}");
        assert!(
            line.contains(r#""kind":"unwritten""#) && line.ends_with("\"fields\":{}}\n"),
            "{line}"
        );
    }
}
