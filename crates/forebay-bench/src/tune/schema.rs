//! What a database holds, and what a table in it needs.

use std::collections::HashSet;

use forebay::rusqlite::{self, Connection, OptionalExtension};

/// A table, a virtual table or a view.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// `table`, `virtual`, `view` or `shadow`.
    pub(super) kind: String,
    without_rowid: bool,
}

/// What a table, index, trigger or view was made with.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    /// The table that it belongs to.
    pub(super) table: String,
    pub(super) sql: String,
}

/// A column that is stored: no generated one.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) declared: String,
    /// Its place in the primary key, from 1; 0 outside.
    key: i64,
}

/// One column of a foreign key.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) column: String,
    pub(super) parent: String,
    /// `None` for the parent's primary key.
    pub(super) parent_column: Option<String>,
}

/// All tables and views that the user has made, and those that virtual tables keep beside them; not those of a spool.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' \
               ESCAPE '\\' AND name NOT IN ('_forebay', '_forebay_rejected') ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let tables = statement.query_map([], |row| {
        Ok(Table { name: row.get(0)?, kind: row.get(1)?, without_rowid: row.get(2)? })
    })?;
    tables.collect()
}

/// All that the schema is made of, in the order in which it was made. What SQLite makes by itself is not among it.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE \
               'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
    let mut statement = connection.prepare(sql)?;
    let objects = statement.query_map([], |row| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    })?;
    objects.collect()
}

/// The columns of a table that are stored.
pub(super) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map([table], |row| {
        Ok(Column { name: row.get(0)?, declared: row.get(1)?, key: row.get(2)? })
    })?;
    columns.collect()
}

/// The foreign keys of a table, column by column.
pub(super) fn references(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Reference>> {
    let mut statement =
        connection.prepare("SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?)")?;
    let references = statement.query_map([table], |row| {
        Ok(Reference { column: row.get(0)?, parent: row.get(1)?, parent_column: row.get(2)? })
    })?;
    references.collect()
}

/// The column that is the rowid, if the table has one.
pub(super) fn rowid_column<'a>(table: &Table, columns: &'a [Column]) -> Option<&'a str> {
    let mut key = columns.iter().filter(|column| column.key > 0);
    let only = key.next().filter(|_| key.next().is_none())?;
    (!table.without_rowid && only.declared.eq_ignore_ascii_case("integer"))
        .then_some(only.name.as_str())
}

/// The name by which rowids can be copied, where no column has them.
pub(super) fn rowid(table: &Table, columns: &[Column]) -> Option<&'static str> {
    let free = |name: &&str| columns.iter().all(|column| !column.name.eq_ignore_ascii_case(name));
    let hidden = !table.without_rowid && rowid_column(table, columns).is_none();
    ["rowid", "_rowid_", "oid"].into_iter().find(free).filter(|_| hidden)
}

/// Lists of columns that no two rows share: the primary key, if there is one, then the unique indexes that hold for
/// all rows. Each column of `all` is stored.
pub(super) fn unique_keys(
    connection: &Connection,
    table: &str,
    all: &[Column],
) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut key: Vec<_> = all.iter().filter(|column| column.key > 0).collect();
    key.sort_by_key(|column| column.key);
    let mut keys: Vec<Vec<String>> =
        vec![key.into_iter().map(|column| column.name.clone()).collect()];
    keys.retain(|key| !key.is_empty());
    let indexes = names(
        connection,
        "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial AND origin <> 'pk' ORDER BY seq DESC",
        table,
    )?;
    for index in indexes.into_iter().flatten() {
        let columns =
            names(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", &index)?;
        let stored = |name: &String| all.iter().any(|column| column.name == *name);
        let columns: Option<Vec<_>> = columns.into_iter().map(|name| name.filter(stored)).collect();
        keys.extend(columns);
    }
    Ok(keys)
}

/// Whether the table has unique indexes of any kind, but for that of its rowid.
pub(super) fn has_unique_index(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_index_list(?) WHERE \"unique\"";
    connection.query_row(sql, [table], |_| Ok(())).optional().map(|found| found.is_some())
}

/// The columns on which it depends whether rows are alike to a unique index of any kind, or are in it: as long as they
/// stay as they are, the others may have any value. `None` where one depends on an expression or a generated column.
pub(super) fn unique_columns(
    connection: &Connection,
    table: &str,
    all: &[Column],
) -> rusqlite::Result<Option<HashSet<String>>> {
    let indexed = names(
        connection,
        "SELECT term.name FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS term WHERE list.\"unique\"",
        table,
    )?;
    let conditions = names(
        connection,
        "SELECT sql FROM sqlite_schema WHERE name IN (SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND partial)",
        table,
    )?;
    let Some(mut found) = indexed.into_iter().collect::<Option<HashSet<_>>>() else {
        return Ok(None);
    };
    found.extend(all.iter().filter(|column| column.key > 0).map(|column| column.name.clone()));
    let columns = names(connection, "SELECT name FROM pragma_table_xinfo(?)", table)?;
    let decides = |name: &String| conditions.iter().flatten().any(|sql| mentions(sql, name));
    found.extend(columns.into_iter().flatten().filter(decides));
    let is_stored = |name: &String| all.iter().any(|column| column.name == *name);
    Ok(found.iter().all(is_stored).then_some(found))
}

fn names(connection: &Connection, sql: &str, of: &str) -> rusqlite::Result<Vec<Option<String>>> {
    connection.prepare(sql)?.query_map([of], |row| row.get(0))?.collect()
}

/// Whether a text of SQL has this name in it, regardless of case.
fn mentions(sql: &str, name: &str) -> bool {
    let of_a_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (sql, name) = (sql.to_lowercase(), name.to_lowercase());
    sql.match_indices(&name).any(|(at, _)| {
        !sql[..at].ends_with(of_a_word) && !sql[at + name.len()..].starts_with(of_a_word)
    })
}

/// The other tables whose rows a write to `table` may need: those that its foreign keys point to, those that its
/// triggers name, also behind views, and what these need in turn.
pub(super) fn related(
    connection: &Connection,
    objects: &[Object],
    table: &str,
    all: &[Table],
) -> rusqlite::Result<Vec<Table>> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let (mut found, mut next) = (HashSet::new(), vec![table.to_owned()]);
    while let Some(name) = next.pop() {
        if !found.insert(name.to_lowercase()) {
            continue;
        }
        let is_run = |object: &&Object| match object.kind.as_str() {
            "trigger" => same(&object.table, &name),
            "view" => same(&object.name, &name),
            _ => false,
        };
        let run: Vec<&Object> = objects.iter().filter(is_run).collect();
        let parents = references(connection, &name)?;
        let needed = all.iter().filter(|other| {
            run.iter().any(|object| mentions(&object.sql, &other.name))
                || parents.iter().any(|one| same(&one.parent, &other.name))
        });
        next.extend(needed.map(|other| other.name.clone()));
    }
    found.remove(&table.to_lowercase());
    let holds_rows = |other: &&Table| {
        found.contains(&other.name.to_lowercase())
            && ["table", "virtual"].contains(&other.kind.as_str())
    };
    Ok(all.iter().filter(holds_rows).cloned().collect())
}
