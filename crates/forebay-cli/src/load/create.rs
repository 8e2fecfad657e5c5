//! `--create`: which columns a table for this input has, by its first records.

use std::fmt::Write as _;
use std::io::Cursor;
use std::time::Duration;

use forebay::WriteBuffer;
use memchr::{memchr_iter, memrchr};

use crate::args;
use crate::failure::{Failure, Result};
use crate::load::header::Header;
use crate::load::input::{Input, cannot_read_on};
use crate::load::records::{Format, Item, Record, Records};
use crate::load::row::Object;
use crate::screen::Screen;
use crate::words::{count, listed};

const SAMPLE_RECORDS: usize = 1_000;
const SAMPLE_BYTES: usize = 1024 * 1024;

/// How long the first records may keep the others waiting, once there are some.
const SAMPLE_PATIENCE: Duration = Duration::from_secs(1);

/// What a table for an input would be.
pub(super) struct Plan {
    sample: Vec<u8>,
    input: String,
    table: String,
    key: Vec<String>,
    columns: Result<Inference>,
}

impl Plan {
    /// Looks at the first records of an input, which are to be read again.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn make(args: &args::Load, input: &mut Input) -> Result<Self> {
        let mut sample = Vec::new();
        let mut lines = 0;
        let mut whole = false;
        while sample.len() < SAMPLE_BYTES && lines <= SAMPLE_RECORDS && !whole {
            match input.feed.next_within(SAMPLE_PATIENCE) {
                Ok(Some(chunk)) => {
                    whole = chunk.is_empty();
                    lines += memchr_iter(b'\n', &chunk).count();
                    sample.extend_from_slice(&chunk);
                }
                // A slow program writes into the pipe: what is there must do.
                Ok(None) if lines > 1 => break,
                Ok(None) => {}
                Err(error) => return Err(cannot_read_on(&input.name, lines as u64, &error)),
            }
        }
        let columns = Inference::of(args, input, &sample, whole);
        let (input, table) = (input.name.clone(), args.table.clone());
        let key = args.upsert.clone().unwrap_or_default();
        Ok(Self { sample, input, table, key, columns })
    }

    /// What was read.
    pub(super) fn into_sample(self) -> Vec<u8> {
        self.sample
    }

    /// Whether a table can be made.
    ///
    /// # Errors
    ///
    /// When the records call for none, or do not have the key.
    pub(super) fn check(&self) -> Result<&Inference> {
        let Self { input, table, key, .. } = self;
        let cannot = |why: &str| Failure::new(format!("cannot make the table {table}: {why}"));
        let inference = self.columns.as_ref().map_err(Failure::clone)?;
        if inference.columns.is_empty() {
            return Err(cannot(&format!("{input} holds no record")));
        }
        if inference.names().any(str::is_empty) {
            return Err(cannot(&format!("a field of {input} has no name")));
        }
        let names: Vec<_> = inference.names().map(str::to_ascii_lowercase).collect();
        if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return Err(cannot(&format!("{input} has two fields of the name `{}`", names[twice])));
        }
        if let Some(name) = inference.doubtful_name() {
            let hint = if of_text(name) == Seen::Texts {
                "is the delimiter another one? Say --delimiter ';', or --format tsv for tabs"
            } else {
                "where the input has no header line, name its fields with --columns"
            };
            let why = format!("{input} names a field `{name}`, which looks like no name");
            return Err(cannot(&why).hint(hint));
        }
        let is_there = |key: &&String| inference.names().any(|name| name.eq_ignore_ascii_case(key));
        match key.iter().find(|key| !is_there(key)) {
            None => Ok(inference),
            Some(missing) => {
                let names = listed(inference.columns.iter().map(|(name, _)| name.as_str()));
                Err(cannot(&format!(
                    "its key `{missing}` is not a field of {input}, which has {names}"
                )))
            }
        }
    }

    /// Makes the table and says what it is.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), and when the database refuses.
    pub(super) fn create_table(&self, buffer: &WriteBuffer, screen: &Screen) -> Result<()> {
        let inference = self.check()?;
        if let Err(error) = buffer.execute(&inference.statement(&self.table, &self.key)) {
            // Several loads may begin at once: the first makes the table.
            return buffer.describe(&self.table).map(drop).map_err(|_| error.into());
        }
        let records = count(inference.records as u64, "record");
        let told = inference.told(&self.table, &self.key);
        screen.line(format_args!("created table {told}, by the first {records}"));
        Ok(())
    }
}

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

    fn declared(self) -> &'static str {
        match self {
            Self::Integers => "INTEGER",
            Self::Reals => "REAL",
            Self::Nothing | Self::Texts => "TEXT",
        }
    }
}

/// The columns that the records seen so far call for.
pub(super) struct Inference {
    columns: Vec<(String, Seen)>,
    /// No column is added.
    closed: bool,
    /// The names come from the input's first line.
    has_header: bool,
    records: usize,
}

impl Inference {
    /// By the start of an input, or by the `whole` of it.
    fn of(args: &args::Load, input: &Input, sample: &[u8], whole: bool) -> Result<Self> {
        let (format, given) = (input.format, &args.columns);
        // The last line may go on behind the sample.
        let end = memrchr(b'\n', sample).filter(|_| !whole).map_or(sample.len(), |at| at + 1);
        let source = Box::new(Cursor::new(sample[..end].to_vec()));
        let mut records = Records::new(&input.name, source, format, sample.len())
            .delimited(args.delimiter.unwrap_or(b','));
        let names = match (given, format) {
            (Some(names), _) => names.iter().map(|name| name.trim().to_owned()).collect(),
            (None, Format::Ndjson) => Vec::new(),
            (None, _) => Header::read(&mut records, &input.name)?.names,
        };
        let mut inference = Self::new(names, given.is_some());
        inference.has_header = given.is_none() && format != Format::Ndjson;
        while inference.records < SAMPLE_RECORDS {
            match records.read()? {
                Some(Item::Record(record)) => inference.see(format, &record),
                // So may a record.
                Some(Item::Broken { .. }) if !whole => break,
                Some(Item::Broken { .. }) => {}
                None => break,
            }
        }
        Ok(inference)
    }

    /// Begins with the columns that are known by name.
    fn new(names: Vec<String>, closed: bool) -> Self {
        let columns = names.into_iter().map(|name| (name, Seen::Nothing)).collect();
        Self { columns, closed, has_header: false, records: 0 }
    }

    /// A name that is rather a value, or several: the first line names no fields, or the delimiter is another.
    fn doubtful_name(&self) -> Option<&str> {
        let is_value = |name: &&str| of_text(name) != Seen::Texts;
        let is_several =
            |name: &&str| self.columns.len() == 1 && name.contains([';', '\t', '|', ',']);
        self.names().find(|name| self.has_header && (is_value(name) || is_several(name)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
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
    fn statement(&self, table: &str, key: &[String]) -> String {
        format!("CREATE TABLE {}({})", quoted(table), self.definitions(key, quoted))
    }

    /// The same for people.
    fn told(&self, table: &str, key: &[String]) -> String {
        format!("{table}({})", self.definitions(key, str::to_owned))
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
            let _ = write!(text, "{comma}{} {}{constraint}", name_of(name), seen.declared());
        }
        if key.len() > 1 {
            let names: Vec<_> = key.iter().map(|name| name_of(name)).collect();
            let _ = write!(text, ", PRIMARY KEY({})", names.join(", "));
        }
        text
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
        assert_eq!(Nothing.declared(), "TEXT");
    }

    #[test]
    fn names_are_quoted_and_keys_are_not_null() {
        let mut inference = Inference::new(vec!["a\"b".to_owned(), "order".to_owned()], true);
        inference.columns[1].1 = Seen::Integers;
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
}
