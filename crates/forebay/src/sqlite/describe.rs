//! What there is: tables, columns, unique indexes, a statement's parameters.

use rusqlite::{Connection, OptionalExtension};

use super::books::is_own;
use super::fault::with_cause;
use super::open::max_parameters;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ColumnType, StatementInfo, TableInfo};
use crate::sql::{first_word, shortened};

/// How many names an error lists.
const MAX_LISTED: usize = 20;

/// Has the connection notice what others have done to the schema. SQLite notices by itself when a statement
/// runs, but not when one cannot be prepared: a unique index that is back would stay away.
pub(super) fn refresh_schema(connection: &Connection) {
    // An error here is met again, and told, by the statement that follows.
    let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
}

/// Looks at a table or view.
pub(super) fn table(connection: &Connection, name: &str) -> Result<TableInfo> {
    if is_own(name) {
        let message = format!(
            "{name} is the buffer's own: it keeps the books of a spool there, and nobody else writes to it"
        );
        return Err(schema(name, message));
    }
    refresh_schema(connection);
    let failed = |error| with_cause(schema(name, format!("cannot look at table {name}")), &error);
    match look(connection, name).map_err(failed)? {
        Some(info) => Ok(info),
        None => Err(missing(name, &table_names(connection).map_err(failed)?)),
    }
}

fn look(connection: &Connection, name: &str) -> rusqlite::Result<Option<TableInfo>> {
    let found: Option<(String, String)> = connection
        .query_row(
            "SELECT name, type FROM pragma_table_list WHERE schema='main' AND name=?1 COLLATE NOCASE",
            [name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((name, kind)) = found else { return Ok(None) };
    let mut info = TableInfo::new(&name).max_columns(max_parameters(connection));
    let mut key = Vec::new();
    let mut columns = connection
        .prepare("SELECT name, type, pk, hidden, dflt_value IS NOT NULL FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let mut rows = columns.query([&name])?;
    while let Some(row) = rows.next()? {
        let (column, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let (place, hidden): (i64, i64) = (row.get(2)?, row.get(3)?);
        if place > 0 {
            key.push((place, column.clone()));
        }
        info = match hidden {
            0 if row.get(4)? => {
                info.typed_column(&column, column_type(&declared)).with_default_on(&column)
            }
            0 => info.typed_column(column, column_type(&declared)),
            1 => info,
            _ => info.generated_column(column),
        };
    }
    key.sort();
    let mut unique: Vec<Vec<String>> = Vec::new();
    if !key.is_empty() {
        unique.push(key.into_iter().map(|(_, column)| column).collect());
    }
    for index in unique_indexes(connection, &name)? {
        let columns: Vec<String> = index.iter().map(|(column, _)| column.clone()).collect();
        if !unique.contains(&columns) {
            unique.push(columns);
        }
        for (column, collation) in index {
            if !collation.eq_ignore_ascii_case("BINARY") {
                info = info.with_collation_on(column);
            }
        }
    }
    info = unique.into_iter().fold(info, TableInfo::unique);
    let exists = |sql: &str| connection.prepare(sql)?.exists([&name]);
    let others = exists("SELECT 1 FROM pragma_index_list(?1) WHERE \"unique\" AND partial")?
        || exists(
            "SELECT 1 FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x \
             WHERE l.\"unique\" AND x.key AND x.name IS NULL",
        )?;
    let triggers =
        exists("SELECT 1 FROM sqlite_schema WHERE type='trigger' AND tbl_name=?1 COLLATE NOCASE")?;
    let foreign_keys = exists("SELECT 1 FROM pragma_foreign_key_list(?1)")?
        || exists(
            "SELECT 1 FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f \
             WHERE t.type='table' AND f.\"table\"=?1 COLLATE NOCASE",
        )?;
    // The schema is a table like any other until a row is written.
    let info = info.with_read_only(kind == "view" && !triggers || name == "sqlite_schema");
    Ok(Some(info.with_other_unique(others).with_triggers(triggers).with_foreign_keys(foreign_keys)))
}

/// The unique indexes over whole columns and all rows, those that ON CONFLICT can name: each column with
/// its collation.
fn unique_indexes(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<Vec<Vec<(String, String)>>> {
    let mut list = connection
        .prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial")?;
    let names = list.query_map([table], |row| row.get::<_, String>(0))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut parts = connection
        .prepare("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno")?;
    let mut indexes = Vec::new();
    for name in names {
        let columns = parts.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let columns: Vec<(Option<String>, String)> = columns.collect::<rusqlite::Result<_>>()?;
        // A part without a name is an expression.
        let named = columns.into_iter().map(|(column, collation)| Some((column?, collation)));
        indexes.extend(named.collect::<Option<Vec<_>>>());
    }
    Ok(indexes)
}

/// By SQLite's rules for the affinity of a declared type: <https://sqlite.org/datatype3.html#affname>.
fn column_type(declared: &str) -> ColumnType {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        ColumnType::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        ColumnType::Text
    } else if has("BLOB") || declared.is_empty() || declared == "ANY" {
        ColumnType::Any
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        ColumnType::Real
    } else {
        ColumnType::Number
    }
}

fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut list = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY name",
    )?;
    let names = list.query_map([], |row| row.get::<_, String>(0))?;
    names.filter(|name| !name.as_ref().is_ok_and(|name| is_own(name))).collect()
}

fn missing(name: &str, there: &[String]) -> Error {
    let listed = if there.is_empty() {
        "the database has no tables, is it the right file?".to_owned()
    } else {
        let more = if there.len() > MAX_LISTED { ", …" } else { "" };
        format!("the tables are {}{more}", there[..there.len().min(MAX_LISTED)].join(", "))
    };
    schema(name, format!("there is no table {name}; {listed}"))
}

fn schema(table: &str, message: String) -> Error {
    Error::new(ErrorKind::Schema, message).with_table(table)
}

/// Checks a statement that rows are to be bound to.
pub(super) fn statement(connection: &Connection, sql: &str) -> Result<StatementInfo> {
    let text = shortened(sql);
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Statement,
            format!("`{text}` cannot be a producer's statement: {why}"),
        )
    };
    if !["INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"].contains(&first_word(sql).as_str()) {
        return Err(refuse(
            "it must be INSERT, REPLACE, UPDATE or DELETE; use execute() for anything else",
        ));
    }
    let statement = match connection.prepare(sql) {
        Ok(statement) => statement,
        Err(rusqlite::Error::MultipleStatement) => {
            return Err(refuse(
                "it is several statements; make a producer for each and join their rows with group()",
            ));
        }
        Err(error) => return Err(with_cause(refuse("SQLite refuses it"), &error)),
    };
    if statement.column_count() > 0 {
        return Err(refuse(
            "it returns rows, and there is nobody to take them; leave RETURNING out",
        ));
    }
    if statement.readonly() {
        return Err(refuse("it writes nothing"));
    }
    let parameters: Vec<Option<String>> = (1..=statement.parameter_count())
        .map(|number| statement.parameter_name(number).filter(|name| !name.starts_with('?')))
        .map(|name| name.map(|name| name[1..].to_owned()))
        .collect();
    let named = |name: &str| parameters.iter().flatten().filter(|other| *other == name).count();
    if let Some(name) = parameters.iter().flatten().find(|name| named(name) > 1) {
        return Err(refuse(&format!(
            "two of its parameters are called {name}, with different prefixes"
        )));
    }
    Ok(StatementInfo { parameters })
}
