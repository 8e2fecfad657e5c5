//! The texts of statements: one for each shape, whatever the number of rows.

use forebay::sql::quoted;
use forebay::{Operation, Shape};

use crate::describe::Column;

/// The table that is written to, where it must be told from the rows.
const TARGET: &str = "forebay_target";
/// The rows, as a table.
const ROWS: &str = "forebay_rows";

/// The statement of a shape whose values are for these columns of this table.
pub(crate) fn text(shape: &Shape, table: &str, columns: &[&Column]) -> String {
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let values: Vec<String> =
        columns.iter().enumerate().map(|(position, column)| value(position, column)).collect();
    let is_key = |position: &usize| shape.key().contains(position);
    let others = || (0..columns.len()).filter(|position| !is_key(position));
    let rows = rows(columns);
    let matches = || {
        let pairs =
            shape.key().iter().map(|&key| format!("{TARGET}.{} = {}", names[key], values[key]));
        pairs.collect::<Vec<_>>().join(" AND ")
    };
    let insert = || {
        format!(
            "INSERT INTO {table} AS {TARGET} ({}) SELECT {} FROM {rows}",
            names.join(", "),
            values.join(", ")
        )
    };
    match shape.target().operation() {
        Operation::Insert => insert(),
        Operation::InsertNew => insert() + " ON CONFLICT DO NOTHING",
        Operation::Upsert { newest_by, .. } => {
            let key: Vec<_> =
                shape.key().iter().map(|&position| names[position].as_str()).collect();
            let set: Vec<_> =
                others().map(|position| format!("{0} = excluded.{0}", names[position])).collect();
            let on_conflict = format!("{} ON CONFLICT ({}) DO", insert(), key.join(", "));
            if set.is_empty() {
                return format!("{on_conflict} NOTHING");
            }
            let update = format!("{on_conflict} UPDATE SET {}", set.join(", "));
            match newest_by.as_ref().and(shape.newest()) {
                Some(newest) => {
                    let newest = &names[newest];
                    format!(
                        "{update} WHERE {TARGET}.{newest} IS NULL OR excluded.{newest} >= {TARGET}.{newest}"
                    )
                }
                None => update,
            }
        }
        Operation::Update { .. } => {
            let set: Vec<_> = others()
                .map(|position| format!("{} = {}", names[position], values[position]))
                .collect();
            format!(
                "UPDATE {table} AS {TARGET} SET {} FROM {rows} WHERE {}",
                set.join(", "),
                matches()
            )
        }
        Operation::Delete { .. } => {
            format!("DELETE FROM {table} AS {TARGET} USING {rows} WHERE {}", matches())
        }
        // The application's own text, and `execute`, which has no shape.
        _ => String::new(),
    }
}

/// One array for each column. What is an array itself comes as text, for an array of arrays would be taken apart to its elements.
fn rows(columns: &[&Column]) -> String {
    let arrays = columns.iter().enumerate().map(|(position, column)| {
        let element = if column.is_array { "text" } else { column.type_name.as_str() };
        format!("${}::{element}[]", position + 1)
    });
    let names = (1..=columns.len()).map(|number| format!("c{number}"));
    format!(
        "unnest({}) AS {ROWS} ({})",
        arrays.collect::<Vec<_>>().join(", "),
        names.collect::<Vec<_>>().join(", ")
    )
}

fn value(position: usize, column: &Column) -> String {
    let value = format!("{ROWS}.c{}", position + 1);
    if column.is_array { format!("{value}::{}", column.type_name) } else { value }
}
