//! How a list of fields fits a table's columns or a statement's parameters, and what to say when it does not.

use crate::encode::{Fields, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::shape::{Operation, Place, Target};
use crate::sink::{ColumnType, StatementInfo, TableInfo};

/// How a list of fields fits a table or a statement.
#[derive(Default)]
pub(crate) struct Fit {
    pub(crate) columns: Vec<String>,
    pub(crate) parameters: Vec<usize>,
    pub(crate) key: Vec<usize>,
    pub(crate) key_types: Vec<ColumnType>,
    pub(crate) newest: Option<(usize, ColumnType)>,
}

impl Fit {
    pub(crate) fn new(
        target: &Target,
        place: &Place,
        fields: Fields,
        names: &Names,
    ) -> Result<Self> {
        match place {
            Place::Table(info) => Self::table(target, info, fields, names),
            Place::Statement(info) => Self::statement(target, info, fields, names),
            Place::Execute => Ok(Self { parameters: vec![1], ..Self::default() }),
        }
    }

    fn table(target: &Target, info: &TableInfo, fields: Fields, names: &Names) -> Result<Self> {
        let table = target.table();
        let columns = match fields {
            Fields::Positional(count)
                if matches!(target.operation, Operation::Delete { .. })
                    && count == target.operation.key().len() =>
            {
                let spelled =
                    |name: &String| info.find_column(name).map(|column| column.name.clone());
                target.operation.key().iter().filter_map(spelled).collect()
            }
            Fields::Positional(count) => {
                let writable: Vec<_> =
                    info.columns.iter().filter(|column| !column.generated).collect();
                if writable.len() != count {
                    return Err(schema(
                        table,
                        format!(
                            "a tuple of {count} values does not fit {table}, which has {} columns ({}): send one value \
                         for each, or a struct with the columns to write",
                            writable.len(),
                            info.column_list(),
                        ),
                    ));
                }
                writable.iter().map(|column| column.name.clone()).collect()
            }
            Fields::Named | Fields::Expected => named_columns(table, info, names)?,
        };
        if columns.is_empty() {
            return Err(schema(table, format!("a row for {table} has no field at all")));
        }
        if columns.len() > info.max_columns {
            return Err(schema(
                table,
                format!(
                    "a row for {table} has {} fields, more than the database takes in one statement, which is {}",
                    columns.len(),
                    info.max_columns
                ),
            ));
        }
        let position = |wanted: &String| {
            let column = info.find_column(wanted)?;
            columns.iter().position(|name| *name == column.name)
        };
        let missing = |what: &str, name: &String| {
            schema(table, format!("a row for {table} has no field `{name}`, {what}"))
                .with_field(name)
        };
        let key = target.operation.key();
        let key = key
            .iter()
            .map(|name| position(name).ok_or_else(|| missing("which is in the key", name)))
            .collect::<Result<Vec<_>>>()?;
        let newest = match &target.operation {
            Operation::Upsert { newest_by: Some(name), .. } => {
                let column_type =
                    info.find_column(name).map_or(ColumnType::Any, |column| column.column_type);
                let position =
                    position(name).ok_or_else(|| missing("which newest_by compares", name))?;
                Some((position, column_type))
            }
            _ => None,
        };
        match target.operation {
            Operation::Delete { .. } if columns.len() > key.len() => Err(schema(
                table,
                format!(
                    "a row for a delete on {table} must have the key's fields only, and it has others"
                ),
            )),
            Operation::Update { .. } if columns.len() == key.len() => Err(schema(
                table,
                format!("a row for an update on {table} has no field besides its key"),
            )),
            _ => {
                let column_type =
                    |name: &String| info.find_column(name).map(|column| column.column_type);
                let key_types = target.operation.key().iter().filter_map(column_type).collect();
                Ok(Self { columns, parameters: Vec::new(), key, key_types, newest })
            }
        }
    }

    fn statement(
        target: &Target,
        info: &StatementInfo,
        fields: Fields,
        names: &Names,
    ) -> Result<Self> {
        let sql = target.table();
        let parameters = match fields {
            Fields::Positional(count) if count == info.parameters.len() => (1..=count).collect(),
            Fields::Positional(count) => {
                return Err(schema(
                    sql,
                    format!(
                        "a tuple of {count} values does not fit the {} parameters of `{sql}`",
                        info.parameters.len()
                    ),
                ));
            }
            Fields::Named | Fields::Expected => {
                let mut parameters = Vec::new();
                for name in names.iter() {
                    let found =
                        info.parameters.iter().position(|known| known.as_deref() == Some(name));
                    parameters.push(found.ok_or_else(|| unknown_parameter(sql, info, name))? + 1);
                }
                let unbound =
                    (1..=info.parameters.len()).find(|number| !parameters.contains(number));
                if let Some(number) = unbound {
                    let what = match &info.parameters[number - 1] {
                        Some(name) => {
                            format!("parameter `{name}`: a row must have a field for each")
                        }
                        None => format!(
                            "parameter {number}, which has no name: send a tuple, or name it"
                        ),
                    };
                    return Err(schema(sql, format!("a row for `{sql}` leaves out {what}")));
                }
                parameters
            }
        };
        Ok(Self { parameters, ..Self::default() })
    }
}

fn named_columns(table: &str, info: &TableInfo, names: &Names) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::with_capacity(names.len());
    for name in names.iter() {
        let Some(column) = info.find_column(name) else {
            return Err(Error::new(
                ErrorKind::UnknownField,
                format!(
                    "{table} has no column for field `{name}`; its columns are {}",
                    info.column_list()
                ),
            )
            .with_table(table)
            .with_field(name));
        };
        let trouble = if column.generated {
            "is computed by the database and cannot be written"
        } else if columns.contains(&column.name) {
            "is there twice"
        } else {
            columns.push(column.name.clone());
            continue;
        };
        return Err(schema(table, format!("field `{name}` of a row for {table} {trouble}"))
            .with_field(name));
    }
    Ok(columns)
}

fn schema(table: &str, message: String) -> Error {
    Error::new(ErrorKind::Schema, message).with_table(table)
}

fn unknown_parameter(sql: &str, info: &StatementInfo, name: &str) -> Error {
    let known: Vec<_> = info.parameters.iter().flatten().map(String::as_str).collect();
    let message = if known.is_empty() {
        format!("`{sql}` has no named parameters: send a tuple, or write :{name} in the statement")
    } else {
        format!(
            "`{sql}` has no parameter for field `{name}`; its parameters are {}",
            known.join(", ")
        )
    };
    Error::new(ErrorKind::UnknownField, message).with_table(sql).with_field(name)
}
