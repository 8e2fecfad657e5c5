//! Which columns an input calls for, by its first records.

use std::fmt::Write as _;
use std::io::Cursor;

use memchr::memrchr;

use crate::args;
use crate::failure::Result;
use crate::load::columns::SEPARATORS;
use crate::load::header::Header;
use crate::load::input::Input;
use crate::load::records::{Format, Item, Record};
use crate::load::row::Object;
use crate::server;
use crate::sql::quoted;

/// Records that are looked at.
pub(super) const MAX_RECORDS: usize = 1_000;

/// What the values of a column have been so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Seen {
    /// None, or NULL.
    #[default]
    Nothing,
    Integers,
    Reals,
    Texts,
}

impl Seen {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (seen, Self::Nothing) | (Self::Nothing, seen) => seen,
            (Self::Integers, Self::Integers) => Self::Integers,
            (Self::Texts, _) | (_, Self::Texts) => Self::Texts,
            _ => Self::Reals,
        }
    }

    fn declared(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Integers, Dialect::Sqlite) => "INTEGER",
            (Self::Integers, Dialect::Postgres) => "bigint",
            (Self::Reals, Dialect::Sqlite) => "REAL",
            (Self::Reals, Dialect::Postgres) => "double precision",
            (Self::Nothing | Self::Texts, Dialect::Sqlite) => "TEXT",
            (Self::Nothing | Self::Texts, Dialect::Postgres) => "text",
        }
    }
}

/// Whose SQL a table is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    /// Names are in lower case there, as PostgreSQL reads any name that is not in quotes.
    Postgres,
}

impl Dialect {
    /// That of the database that a load goes to.
    pub(super) fn of(args: &args::Load) -> Self {
        if server::is_url(&args.into) { Self::Postgres } else { Self::Sqlite }
    }

    fn name(self, name: &str) -> String {
        match self {
            Self::Sqlite => name.to_owned(),
            Self::Postgres => name.to_ascii_lowercase(),
        }
    }

    /// The name of a table in SQL. One of PostgreSQL's may have its schema before it.
    fn table(self, name: &str) -> String {
        match self {
            Self::Sqlite => quoted(name),
            Self::Postgres => {
                let parts: Vec<_> = self.name(name).split('.').map(quoted).collect();
                parts.join(".")
            }
        }
    }
}

/// The columns that the records seen so far call for.
pub(super) struct Inference {
    columns: Vec<(String, Seen)>,
    /// No column is added.
    closed: bool,
    dialect: Dialect,
    /// The names come from the input's first line.
    has_header: bool,
    pub(super) records: usize,
}

impl Inference {
    /// By the start of an input, or by the `whole` of it.
    pub(super) fn of(args: &args::Load, input: &Input, sample: &[u8], whole: bool) -> Result<Self> {
        // The last line may go on behind the sample.
        let end = memrchr(b'\n', sample).filter(|_| !whole).map_or(sample.len(), |at| at + 1);
        let mut records = input.records(Cursor::new(sample[..end].to_vec()), sample.len());
        let header = Header::read(args, input, &mut records)?;
        let has_header = header.is_some();
        let names: Vec<String> = match header {
            Some(header) => header.names,
            None => args.columns.iter().flatten().map(|name| name.trim().to_owned()).collect(),
        };
        let mut inference = Self {
            columns: names.into_iter().map(|name| (name, Seen::Nothing)).collect(),
            closed: args.columns.is_some(),
            dialect: Dialect::of(args),
            has_header,
            records: 0,
        };
        while inference.records < MAX_RECORDS {
            match records.read()? {
                Some(Item::Record(record)) => inference.see(input.format, &record),
                // So may a record.
                Some(Item::Broken { .. }) if !whole => break,
                Some(Item::Broken { .. }) => {}
                None => break,
            }
        }
        Ok(inference)
    }

    /// A name that is rather a value, or several: the first line names no fields, or the delimiter is another.
    pub(super) fn doubtful_name(&self) -> Option<&str> {
        let is_several = |name: &&str| self.columns.len() == 1 && name.contains(SEPARATORS);
        self.names().find(|name| self.has_header && (is_value(name) || is_several(name)))
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Takes a record into account; one that is broken says nothing.
    fn see(&mut self, format: Format, record: &Record<'_>) {
        match format {
            Format::Ndjson => self.see_object(record.raw),
            Format::Csv | Format::Tsv => self.see_fields(record),
        }
    }

    fn see_fields(&mut self, record: &Record<'_>) {
        if record.len() != self.columns.len() {
            return;
        }
        self.records += 1;
        for ((_, seen), field) in self.columns.iter_mut().zip(record.fields()) {
            let field = std::str::from_utf8(&record.text()[field]).unwrap_or("not a number");
            *seen = seen.and(of_text(field));
        }
    }

    fn see_object(&mut self, line: &[u8]) {
        let Ok(Object(fields)) = Object::parse(line) else { return };
        self.records += 1;
        for (name, value) in fields {
            let of_value = of_json(value.get());
            let known =
                self.columns.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name));
            match known {
                Some((_, seen)) => *seen = seen.and(of_value),
                None if self.closed => {}
                None => self.columns.push((name.into_owned(), of_value)),
            }
        }
    }

    /// The statement that makes the table.
    pub(super) fn statement(&self, table: &str, key: &[String]) -> String {
        let quoted = |name: &str| quoted(&self.dialect.name(name));
        format!("CREATE TABLE {}({})", self.dialect.table(table), self.definitions(key, quoted))
    }

    /// The same for people.
    pub(super) fn told(&self, table: &str, key: &[String]) -> String {
        let name = |name: &str| self.dialect.name(name);
        format!("{}({})", name(table), self.definitions(key, name))
    }

    fn definitions(&self, key: &[String], name_of: impl Fn(&str) -> String) -> String {
        let is_key = |name: &str| key.iter().any(|key| key.eq_ignore_ascii_case(name));
        let mut text = String::new();
        for (position, (name, seen)) in self.columns.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            // Without NOT NULL SQLite would let NULL into a key.
            let constraint = match key {
                [_] if is_key(name) => " NOT NULL PRIMARY KEY",
                _ if is_key(name) => " NOT NULL",
                _ => "",
            };
            let _ = write!(
                text,
                "{comma}{} {}{constraint}",
                name_of(name),
                seen.declared(self.dialect)
            );
        }
        if key.len() > 1 {
            let names: Vec<_> = key.iter().map(|name| name_of(name)).collect();
            let _ = write!(text, ", PRIMARY KEY({})", names.join(", "));
        }
        text
    }
}

/// Whether a text would count as a value rather than as a name.
pub(super) fn is_value(text: &str) -> bool {
    of_text(text) != Seen::Texts
}

/// A number is what comes back from one as it was: not `007`, not `+49`, which are names made of digits.
fn of_text(text: &str) -> Seen {
    if text.is_empty() {
        return Seen::Nothing;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let numeric = digits.starts_with(|first: char| first.is_ascii_digit()) && !leading_zero;
    if numeric && text.parse::<i64>().is_ok() {
        Seen::Integers
    } else if numeric && text.contains('.') && text.parse::<f64>().is_ok_and(f64::is_finite) {
        Seen::Reals
    } else {
        Seen::Texts
    }
}

fn of_json(json: &str) -> Seen {
    match json.as_bytes() {
        [b'n', ..] => Seen::Nothing,
        [b't' | b'f', ..] => Seen::Integers,
        [b'"' | b'[' | b'{', ..] => Seen::Texts,
        _ if json.parse::<i64>().is_ok() => Seen::Integers,
        _ if json.contains(['.', 'e', 'E']) => Seen::Reals,
        _ => Seen::Texts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_number_stays_text() {
        for text in [
            "007",
            "-01",
            "+49",
            "1e5",
            "1.2.3",
            "0x1F",
            " 7",
            "NaN",
            "inf",
            "18446744073709551616",
            "-",
        ] {
            assert_eq!(of_text(text), Seen::Texts, "{text}");
        }
        for text in ["0", "-0", "7", "-7", "9223372036854775807"] {
            assert_eq!(of_text(text), Seen::Integers, "{text}");
        }
        for text in ["0.5", "-0.5", "1.5e9", "10.25"] {
            assert_eq!(of_text(text), Seen::Reals, "{text}");
        }
        assert_eq!(of_text(""), Seen::Nothing);
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_value() {
        use Seen::{Integers, Nothing, Reals, Texts};
        for (seen, is) in [
            (&[Nothing, Integers][..], Integers),
            (&[Integers, Reals, Integers], Reals),
            (&[Reals, Texts, Integers], Texts),
            (&[Integers, Texts], Texts),
            (&[Nothing], Nothing),
        ] {
            assert_eq!(seen.iter().fold(Nothing, |all, one| all.and(*one)), is);
        }
        assert_eq!(Nothing.declared(Dialect::Sqlite), "TEXT");
    }

    #[test]
    fn names_are_quoted_and_keys_are_not_null() {
        let columns = [("a\"b", Seen::Texts), ("order", Seen::Integers)];
        let columns = columns.map(|(name, seen)| (name.to_owned(), seen)).to_vec();
        let inference = Inference {
            columns,
            closed: true,
            dialect: Dialect::Sqlite,
            has_header: false,
            records: 0,
        };
        assert_eq!(
            inference.statement("my table", &["ORDER".to_owned()]),
            "CREATE TABLE \"my table\"(\"a\"\"b\" TEXT, \"order\" INTEGER NOT NULL PRIMARY KEY)"
        );
        assert_eq!(
            inference.statement("t", &["order".to_owned(), "a\"b".to_owned()]),
            "CREATE TABLE \"t\"(\"a\"\"b\" TEXT NOT NULL, \"order\" INTEGER NOT NULL, \
             PRIMARY KEY(\"order\", \"a\"\"b\"))"
        );
    }

    #[test]
    fn a_table_of_postgresql_has_its_types_and_names_without_capitals() {
        let columns = [("Id", Seen::Integers), ("size", Seen::Reals), ("Title", Seen::Texts)];
        let columns = columns.map(|(name, seen)| (name.to_owned(), seen)).to_vec();
        let dialect = Dialect::Postgres;
        let inference = Inference { columns, closed: true, dialect, has_header: false, records: 0 };
        assert_eq!(
            inference.statement("app.Topics", &["ID".to_owned()]),
            "CREATE TABLE \"app\".\"topics\"(\"id\" bigint NOT NULL PRIMARY KEY, \"size\" double precision, \
             \"title\" text)"
        );
    }
}
