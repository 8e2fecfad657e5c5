//! The line of CSV and TSV that names the fields.

use crate::args;
use crate::failure::{Failure, Result};
use crate::load::input::Input;
use crate::load::records::{Format, Item, Records};
use crate::load::row::Trouble;

/// What to do about an input without such a line.
pub(super) const NAME_THE_FIELDS: &str =
    "where the input has no header line, name its fields with --columns";

/// The names of the fields, and the line that they are in.
pub(super) struct Header {
    pub(super) names: Vec<String>,
    pub(super) raw: Vec<u8>,
}

impl Header {
    /// Reads it, where there is one: in CSV and TSV, unless the arguments name the fields.
    ///
    /// # Errors
    ///
    /// When the input ends before, or a field has no name.
    pub(super) fn read(
        args: &args::Load,
        input: &Input,
        records: &mut Records,
    ) -> Result<Option<Self>> {
        if input.format == Format::Ndjson || args.columns.is_some() {
            return Ok(None);
        }
        let input = &input.name;
        let item = records.read()?;
        let record = match item {
            Some(Item::Record(record)) => record,
            Some(Item::Broken { line, why, .. }) => {
                let trouble = Trouble::from(why);
                return Err(Failure::new(format!(
                    "{input} line {line}, which names the fields: {trouble}"
                )));
            }
            None => {
                return Err(Failure::new(format!(
                    "{input} is empty: it has not even a line that names its fields"
                ))
                .hint(NAME_THE_FIELDS));
            }
        };
        let mut names = Vec::with_capacity(record.len());
        for (position, field) in record.fields().enumerate() {
            let wrong = |what: &str, hint: &str| {
                let (number, line) = (position + 1, record.line);
                let message =
                    format!("{input} line {line}, which names the fields: field {number} {what}");
                Failure::new(message).hint(hint)
            };
            let name = std::str::from_utf8(&record.text()[field]).map_err(|_| {
                wrong("is not UTF-8", "convert the input: iconv -f LATIN1 -t UTF-8 FILE")
            })?;
            let name = name.trim();
            if name.is_empty() || name.contains('\0') {
                return Err(wrong("has no name", NAME_THE_FIELDS));
            }
            names.push(name.to_owned());
        }
        Ok(Some(Self { names, raw: record.raw.to_owned() }))
    }
}
