//! The rows that trials write: taken from all over the table, or made up where it is empty.

use std::collections::HashSet;
use std::mem;
use std::path::Path;

use forebay::rusqlite::types::{Value, ValueRef};
use forebay::rusqlite::{self, Connection, OptionalExtension, params_from_iter};
use forebay_trial::{Target, listed, quoted};

use super::copy::{TableChoice, Writing, count};
use super::copying::size;
use super::schema::{self, Column, Table};
use crate::error::{Error, Result};
use crate::program::Stop;
use crate::report::units::{counted, named};

/// What the rows are written with, and what they are like.
pub(super) struct Sampled {
    pub(super) target: Target,
    /// Rows that were in the copy before.
    pub(super) copied: u64,
    /// Rows that are written.
    pub(super) keys: u64,
    /// Bytes of the values of a row, on average.
    pub(super) row_bytes: usize,
    /// Those of the largest.
    pub(super) largest: usize,
    pub(super) notes: Vec<String>,
}

/// Takes rows of the copy, sees that they can be written to it, and keeps them in a database of their own.
pub(super) fn take(
    copy: &Connection,
    table: &Table,
    choice: &TableChoice,
    path: &Path,
    stop: &Stop,
) -> Result<Sampled> {
    let failed = |error| failed(table, &error);
    let columns = schema::columns(copy, &table.name).map_err(failed)?;
    let target = match choice.writing {
        Writing::Upsert => upsert(copy, table, &columns)?,
        Writing::Insert => insert(copy, table, &columns)?,
    };
    let there = count(copy, &table.name).map_err(failed)?;
    let wanted = choice.keys.max(1).into();
    let mut rows = match there {
        0 => made_up(copy, table, &target, &columns, wanted),
        _ => spread(copy, &target, there, wanted.min(there)),
    }
    .map_err(failed)?;
    copy.execute_batch("PRAGMA foreign_keys=ON").map_err(failed)?;
    let asked = rows.len();
    let refused = keep_writable(copy, &target, &mut rows, stop).map_err(failed)?;
    if rows.is_empty() {
        return Err(none_can_be_written(table, there, refused));
    }
    let mut variants = match schema::unique_columns(copy, &table.name, &columns).map_err(failed)? {
        Some(own) => changed(&rows, &target, &own),
        None => Vec::new(),
    };
    keep_writable(copy, &target, &mut variants, stop).map_err(failed)?;
    let mut notes = notes(table, there, (asked, rows.len()), refused);
    if variants.is_empty() || variants == rows {
        notes.push(
            "writing these rows changes nothing in them, which costs less than a change: the figures are too good"
                .to_owned(),
        );
    }
    let keys = rows.len() as u64;
    let bytes = |row: &Vec<Value>| row.iter().map(|value| size(ValueRef::from(value))).sum();
    let row_bytes = rows.iter().map(bytes).sum::<usize>() / rows.len();
    rows.extend(variants);
    let largest = rows.iter().map(bytes).max().unwrap_or(row_bytes);
    keep(path, &target, &rows).map_err(|error| Error::of_file("write", path, &error))?;
    Ok(Sampled { target, copied: there, keys, row_bytes, largest, notes })
}

fn failed(table: &Table, error: &rusqlite::Error) -> Error {
    Error::new(format!("cannot take rows of {}: {error}", named(&table.name)))
}

/// What to know of the rows: those that were `asked` for, and those that are `left`.
fn notes(
    table: &Table,
    there: u64,
    (asked, left): (usize, usize),
    refused: Option<rusqlite::Error>,
) -> Vec<String> {
    let made_up = (there == 0).then(|| {
        let (name, rows) = (named(&table.name), counted(left as u64, "row"));
        format!("{name} is empty: what is written is made up from the types of its columns, {rows}")
    });
    let lost = refused.map(|error| {
        format!("{} of {asked} rows cannot be written and are left out: {error}", asked - left)
    });
    made_up.into_iter().chain(lost).collect()
}

/// Writing back by the first key that all rows have.
fn upsert(copy: &Connection, table: &Table, columns: &[Column]) -> Result<Target> {
    let keys =
        schema::unique_keys(copy, &table.name, columns).map_err(|error| failed(table, &error))?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    for key in &keys {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let target = Target::new(&table.name, &names, &key);
        let nulls: Vec<_> = key.iter().map(|name| format!("{} IS NULL", quoted(name))).collect();
        let sql =
            format!("SELECT 1 FROM {} WHERE {} LIMIT 1", quoted(&table.name), nulls.join(" OR "));
        let complete = copy.query_row(&sql, [], |_| Ok(())).optional();
        if complete.is_ok_and(|found| found.is_none()) && copy.prepare(&target.sql).is_ok() {
            return Ok(target);
        }
    }
    let (kind, why) = match (table.kind.as_str(), keys.as_slice()) {
        ("virtual", _) => ("a virtual table", "has no key"),
        (_, []) => ("a table", "has no primary key and no unique index"),
        _ => ("a table", "has no key that all rows have (NULLs are in all of its unique indexes)"),
    };
    Err(Error::new(format!(
        "rows of {} cannot be written back: it is {kind} that {why}",
        named(&table.name)
    ))
    .with_hint("--insert writes new rows instead; CREATE UNIQUE INDEX makes a key"))
}

/// Inserting rows that get a new key from SQLite, or have none.
fn insert(copy: &Connection, table: &Table, columns: &[Column]) -> Result<Target> {
    let unique =
        schema::has_unique_index(copy, &table.name).map_err(|error| failed(table, &error))?;
    if unique {
        return Err(Error::new(format!(
            "rows of {} cannot be inserted a second time: it has a key, or another unique index",
            named(&table.name)
        ))
        .with_hint("without --insert they are written back by their key"));
    }
    let given = schema::rowid_column(table, columns);
    let names: Vec<&str> = columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| Some(*name) != given)
        .collect();
    if names.is_empty() {
        return Err(Error::new(format!(
            "{} has no column that a row could be made of",
            named(&table.name)
        )));
    }
    Ok(Target::new(&table.name, &names, &[]))
}

/// Rows from all over the table.
fn spread(
    copy: &Connection,
    target: &Target,
    there: u64,
    wanted: u64,
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let sql = format!("SELECT {} FROM {}", listed(&target.columns), quoted(&target.table));
    let mut statement = copy.prepare(&sql)?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    for number in 0.. {
        let Some(row) = found.next()? else { break };
        // Row `n · there / wanted` for each n.
        if rows.len() as u64 * there / wanted > number {
            continue;
        }
        let values: rusqlite::Result<Vec<Value>> =
            (0..target.columns.len()).map(|index| row.get(index)).collect();
        // Text that is no UTF-8 cannot be handed over.
        rows.extend(values);
        if rows.len() as u64 == wanted {
            break;
        }
    }
    Ok(rows)
}

/// Rows that fit the types of the columns, and the rows that they must point to.
fn made_up(
    copy: &Connection,
    table: &Table,
    target: &Target,
    columns: &[Column],
    wanted: u64,
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let references = schema::references(copy, &table.name)?;
    let mut values = Vec::new();
    for column in columns.iter().filter(|column| target.columns.contains(&column.name)) {
        let parent = references.iter().find(|one| one.column.eq_ignore_ascii_case(&column.name));
        let mut found = Vec::new();
        if let Some(parent) = parent {
            let key = match &parent.parent_column {
                Some(name) => name.clone(),
                None => {
                    let columns = schema::columns(copy, &parent.parent)?;
                    let keys = schema::unique_keys(copy, &parent.parent, &columns)?;
                    keys.into_iter().flatten().next().unwrap_or_default()
                }
            };
            let sql =
                format!("SELECT {} FROM {} LIMIT {wanted}", quoted(&key), quoted(&parent.parent));
            found = copy
                .prepare(&sql)?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<Value>>>()?;
            if found.is_empty() {
                found.push(Value::Null);
            }
        }
        values.push((column, found));
    }
    let row = |number: u64| {
        let value = |(column, found): &(&Column, Vec<Value>)| match found.len() as u64 {
            0 => plausible(column, number),
            some => found[(number % some) as usize].clone(),
        };
        values.iter().map(value).collect()
    };
    Ok((0..wanted).map(row).collect())
}

/// A value that a column of this type may have.
fn plausible(column: &Column, number: u64) -> Value {
    let declared = column.declared.to_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    let (whole, second) = (number.cast_signed() + 1, number % 60);
    if has(&["DATE", "TIME"]) && !has(&["INT"]) {
        Value::Text(format!("2026-01-01 00:{:02}:{second:02}", number / 60 % 60))
    } else if has(&["INT", "BOOL"]) {
        Value::Integer(if has(&["BOOL"]) { whole % 2 } else { whole })
    } else if has(&["CHAR", "CLOB", "TEXT", "JSON"]) {
        Value::Text(if has(&["JSON"]) {
            format!("{{\"n\":{whole}}}")
        } else {
            format!("{} {whole}", column.name)
        })
    } else if has(&["BLOB"]) {
        Value::Blob(format!("{whole:016}").into_bytes())
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Value::Real(whole as f64 + 0.5)
    } else {
        Value::Integer(whole)
    }
}

/// The same rows as the next time they are written: with the values of their neighbours, but for the columns that are
/// their `own`. SQLite spares itself writing what has not changed, so what is written must change.
fn changed(rows: &[Vec<Value>], target: &Target, own: &HashSet<String>) -> Vec<Vec<Value>> {
    let change = |(place, row): (usize, &Vec<Value>)| {
        let neighbour = &rows[(place + 1) % rows.len()];
        let values = target.columns.iter().zip(row.iter().zip(neighbour));
        let value = |(name, (value, other)): (&String, (&Value, &Value))| {
            if own.contains(name) { value } else { other }.clone()
        };
        values.map(value).collect()
    };
    rows.iter().enumerate().map(change).collect()
}

/// Writes rows and keeps those that could be. Returns why the first one was refused.
fn keep_writable(
    copy: &Connection,
    target: &Target,
    rows: &mut Vec<Vec<Value>>,
    stop: &Stop,
) -> rusqlite::Result<Option<rusqlite::Error>> {
    let mut statement = copy.prepare(&target.sql)?;
    let mut refused = None;
    for row in mem::take(rows) {
        match statement.execute(params_from_iter(&row)) {
            Ok(_) => rows.push(row),
            // It was broken off, which says nothing of the row.
            Err(error) if stop.is_stopped() => return Err(error),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    Ok(refused)
}

fn none_can_be_written(table: &Table, there: u64, refused: Option<rusqlite::Error>) -> Error {
    let why = refused
        .map_or_else(|| "they hold text that is not UTF-8".to_owned(), |error| error.to_string());
    let name = named(&table.name);
    match there {
        0 => Error::new(format!("{name} is empty, and it refuses rows that are made up: {why}"))
            .with_hint("put a few rows of your own into it, which are then written"),
        _ => Error::new(format!("no row of {name} can be written back: {why}")).with_hint(
            "a function, or rows of another table, that only its application has may be needed",
        ),
    }
}

/// Keeps the rows where trials read them.
fn keep(path: &Path, target: &Target, rows: &[Vec<Value>]) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    let (list, marks) = (listed(&target.columns), vec!["?"; target.columns.len()].join(","));
    connection
        .execute_batch(&format!("PRAGMA synchronous=OFF; BEGIN; CREATE TABLE sample({list})"))?;
    let mut statement = connection.prepare(&format!("INSERT INTO sample VALUES ({marks})"))?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    connection.execute_batch("COMMIT")
}
