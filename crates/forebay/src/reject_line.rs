//! The line of JSON that a dead letter is, in a file and in the database.

use std::fmt::Write;
use std::time::SystemTime;

use humantime_serde::re::humantime::format_rfc3339_millis;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub(crate) use self::reading::read;
use crate::error::ErrorKind;
use crate::reject::DeadLetter;
use crate::row::Value;

/// The line, with its end.
pub(crate) fn line(letter: &DeadLetter, time: SystemTime) -> serde_json::Result<Vec<u8>> {
    let mut line = json(letter, time)?.into_bytes();
    line.push(b'\n');
    Ok(line)
}

/// The line without its end.
pub(crate) fn json(letter: &DeadLetter, time: SystemTime) -> serde_json::Result<String> {
    let error = &letter.error;
    serde_json::to_string(&Line {
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
        sqlstate: error.sqlstate(),
        constraint: error.constraint(),
        database_message: error.database_message(),
        fields: Fields(&letter.fields),
    })
}

#[derive(serde::Serialize)]
struct Line<'a> {
    time: String,
    table: &'a str,
    kind: &'static str,
    error: String,
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'a str>,
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

/// The way back.
mod reading {
    use std::fmt;

    use serde::Deserialize;
    use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

    use crate::error::{Error, ErrorKind};
    use crate::reject::DeadLetter;
    use crate::row::Value;

    /// The dead letter that a line is. The chain of its error is one message; the time is left out.
    pub(crate) fn read(line: &str) -> serde_json::Result<DeadLetter> {
        let line: Line = serde_json::from_str(line)?;
        let kind = match line.kind {
            Kind::Rejected => ErrorKind::Rejected,
            Kind::Unknown => ErrorKind::Unknown,
            Kind::Unwritten => ErrorKind::Unwritten,
        };
        let mut error = Error::new(kind, line.error).with_table(&line.table);
        if let Some(code) = line.code {
            error = error.with_code(code);
        }
        if let Some(sqlstate) = line.sqlstate {
            error = error.with_sqlstate(sqlstate);
        }
        if let Some(constraint) = line.constraint {
            error = error.with_constraint(constraint);
        }
        if let Some(message) = line.database_message {
            error = error.with_database_message(message);
        }
        Ok(DeadLetter { table: line.table, fields: line.fields.0, error })
    }

    #[derive(Deserialize)]
    struct Line {
        table: String,
        kind: Kind,
        error: String,
        code: Option<i32>,
        sqlstate: Option<String>,
        constraint: Option<String>,
        database_message: Option<String>,
        fields: Fields,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Rejected,
        Unknown,
        Unwritten,
    }

    /// In their order.
    struct Fields(Vec<(String, Value)>);

    impl<'de> Deserialize<'de> for Fields {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(InOrder)
        }
    }

    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Fields;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("fields with their values")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
            let mut fields = Vec::new();
            while let Some((name, value)) = map.next_entry::<_, Typed>()? {
                let value = value.into_value().ok_or_else(|| M::Error::custom("no such value"))?;
                fields.push((name, value));
            }
            Ok(Fields(fields))
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged, deny_unknown_fields)]
    enum Typed {
        Null,
        Integer(i64),
        Real(f64),
        Text(String),
        Infinite { real: String },
        Blob { hex: String },
    }

    impl Typed {
        fn into_value(self) -> Option<Value> {
            Some(match self {
                Self::Null => Value::Null,
                Self::Integer(number) => Value::Integer(number),
                Self::Real(number) => Value::Real(number),
                Self::Text(text) => Value::Text(text),
                Self::Infinite { real } => Value::Real(real.parse().ok()?),
                Self::Blob { hex } => Value::Blob(bytes(&hex)?),
            })
        }
    }

    fn bytes(hex: &str) -> Option<Vec<u8>> {
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        pairs
            .iter()
            .map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
            .collect()
    }
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

    #[cfg(feature = "sqlite")]
    mod round_trip {
        use proptest::prelude::*;

        use super::*;

        fn value() -> impl Strategy<Value = Value> {
            prop_oneof![
                Just(Value::Null),
                any::<i64>().prop_map(Value::Integer),
                prop_oneof![
                    any::<f64>().prop_filter("never in a row", |number| !number.is_nan()),
                    Just(f64::INFINITY),
                    Just(f64::NEG_INFINITY),
                ]
                .prop_map(Value::Real),
                any::<String>().prop_map(Value::Text),
                proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Blob),
            ]
        }

        fn bits(value: &Value) -> Option<u64> {
            if let Value::Real(number) = value { Some(number.to_bits()) } else { None }
        }

        proptest! {
            #[test]
            fn a_letter_that_is_written_is_read_as_it_was(
                table: String,
                fields in proptest::collection::vec((any::<String>(), value()), 0..6),
                kind in prop_oneof![
                    Just(ErrorKind::Rejected), Just(ErrorKind::Unknown), Just(ErrorKind::Unwritten)
                ],
                message: String,
                code: Option<i32>,
                constraint: Option<String>,
                database_message: Option<String>,
            ) {
                let mut error = Error::new(kind, message).with_table(&table);
                error = code.map_or(error.clone(), |code| error.with_code(code));
                error = constraint.map_or(error.clone(), |name| error.with_constraint(name));
                error = database_message.map_or(error.clone(), |text| error.with_database_message(text));
                let written = DeadLetter { table, fields, error };
                let read = read(&json(&written, SystemTime::now()).unwrap()).unwrap();
                prop_assert_eq!(&read.table, &written.table);
                prop_assert_eq!(&read.fields, &written.fields);
                let all = |letter: &DeadLetter| -> Vec<_> {
                    letter.fields.iter().map(|(_, value)| bits(value)).collect()
                };
                prop_assert_eq!(all(&read), all(&written));
                let (read, written) = (&read.error, &written.error);
                prop_assert_eq!(read.kind(), written.kind());
                prop_assert_eq!(read.to_string(), written.to_string());
                prop_assert_eq!(read.table(), written.table());
                prop_assert_eq!(read.code(), written.code());
                prop_assert_eq!(read.constraint(), written.constraint());
                prop_assert_eq!(read.database_message(), written.database_message());
            }

            #[test]
            fn what_is_no_letter_is_no_panic(text: String, value: String) {
                let _ = read(&text);
                let line = json(&letter(Error::new(ErrorKind::Rejected, "no"), []), SystemTime::now());
                let _ = read(&line.unwrap().replace("{}", &format!(r#"{{"a":{value}}}"#)));
            }
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_value_that_was_changed_to_none_is_not_read() {
        let line = json(&letter(Error::new(ErrorKind::Rejected, "no"), []), SystemTime::now());
        let line = line.unwrap();
        for value in [r#"{"hex":"0"}"#, r#"{"hex":"0g"}"#, r#"{"real":"x"}"#, "[1]", "true", "{}"] {
            assert!(read(&line.replace("{}", &format!(r#"{{"a":{value}}}"#))).is_err(), "{value}");
        }
        assert!(read(&line.replace("{}", r#"{"a":{"hex":"0A"}}"#)).is_ok());
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
