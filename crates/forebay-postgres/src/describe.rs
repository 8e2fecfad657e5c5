//! What there is: tables, columns, unique indexes, a statement's parameters.

use forebay::sql::{first_word, quoted, shortened};
use forebay::{ColumnType, Error, ErrorKind, StatementInfo, TableInfo};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::books;
use crate::fault::{Trouble, with_cause};
use crate::parameters;
use crate::sink::Untold;
use crate::wire::Wire;

/// How many names an error lists.
const MAX_LISTED: i64 = 20;

/// A visible table of this name, or the table of a schema that is named too.
const FIND: &str = "\
    SELECT c.oid, n.nspname::text, c.relname::text, pg_table_is_visible(c.oid), \
           c.relkind = 'm' OR c.relkind = 'v' AND pg_relation_is_updatable(c.oid, true) & 8 = 0 \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') \
      AND (pg_table_is_visible(c.oid) AND lower(c.relname::text) = lower($1::text) \
           OR n.nspname::text || '.' || c.relname::text = $1::text) \
    ORDER BY c.relname::text = $1::text DESC, pg_table_is_visible(c.oid) DESC, c.oid LIMIT 1";

const COLUMNS: &str = "\
    SELECT a.attname::text, a.atttypid, coalesce(nullif(t.typbasetype, 0), t.oid), format_type(a.atttypid, -1), \
           t.typcategory IN ('A', 'C') OR t.typdelim <> ',', a.attgenerated <> '' OR a.attidentity = 'a', a.atthasdef OR a.attidentity <> '', \
           coalesce(NOT l.collisdeterministic, false) \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Each unique index, and each of an exclusion, with its columns, and whether ON CONFLICT can name it.
const UNIQUE: &str = "\
    SELECT array(SELECT a.attname::text FROM generate_series(1, i.indnkeyatts::int) AS k(n) \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1] ORDER BY k.n), \
           i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate AND i.indisvalid \
    FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion) ORDER BY NOT i.indisprimary, i.indexrelid";

const TIES: &str = "\
    SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal), \
           EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE contype = 'f' AND (conrelid = $1 OR confrelid = $1))";

const NAMES: &str = "\
    SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE n.nspname::text || '.' || c.relname::text END \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
      AND c.relname NOT IN ('_forebay', '_forebay_rejected', '_forebay_copy') \
    ORDER BY NOT pg_table_is_visible(c.oid), 1 LIMIT $1";

/// A table as the sink needs to know it.
pub(crate) struct Table {
    pub(crate) info: TableInfo,
    /// Its name in SQL, with its schema.
    pub(crate) sql_name: String,
    /// Whether it shows in which order rows come, and that one was left out: to a trigger, or in which of them a second unique index
    /// refuses.
    pub(crate) keeps_order: bool,
    columns: Vec<Column>,
}

/// A column as the sink needs to know it.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    /// Its type's name in SQL, without a length.
    pub(crate) type_name: String,
    /// Whether an array of its type cannot be taken apart to its values: those of arrays and composite types become elements and
    /// fields, and some types have another delimiter.
    pub(crate) has_no_array: bool,
    /// Whether values that are sent with different bytes are different to the database.
    pub(crate) is_plain: bool,
}

impl Table {
    /// The columns of these names. `None` when one is not there.
    pub(crate) fn columns(&self, names: &[String]) -> Option<Vec<&Column>> {
        names.iter().map(|name| self.columns.iter().find(|column| column.name == *name)).collect()
    }
}

/// Looks at a table or view. `None` when there is none.
pub(crate) async fn table(client: &Client, name: &str) -> Result<Option<Table>, Trouble> {
    let Some(found) = client.query_opt(FIND, &[&name]).await? else { return Ok(None) };
    let oid: u32 = found.get(0);
    let (schema, relation): (String, String) = (found.get(1), found.get(2));
    let sql_name = format!("{}.{}", quoted(&schema), quoted(&relation));
    let told = if found.get(3) { relation } else { format!("{schema}.{relation}") };
    let mut info = TableInfo::new(told).with_read_only(found.get(4));
    let mut columns = Vec::new();
    for row in client.query(COLUMNS, &[&oid]).await? {
        (info, columns) = add(info, columns, &row);
    }
    let indexes = client.query(UNIQUE, &[&oid]).await?;
    for index in &indexes {
        info = if index.get(1) {
            info.unique(index.get::<_, Vec<String>>(0))
        } else {
            info.with_other_unique(true)
        };
    }
    let ties = client.query_one(TIES, &[&oid]).await?;
    let has_triggers = ties.get(0);
    let info = info.with_triggers(has_triggers).with_foreign_keys(ties.get(1));
    let keeps_order = has_triggers || indexes.len() > 1;
    Ok(Some(Table { info, sql_name, keeps_order, columns }))
}

fn add(info: TableInfo, mut columns: Vec<Column>, row: &Row) -> (TableInfo, Vec<Column>) {
    let name: String = row.get(0);
    let (own, base): (u32, u32) = (row.get(1), row.get(2));
    let own = Type::from_oid(own);
    let (column_type, is_plain) = column_type(&Type::from_oid(base).unwrap_or(Type::UNKNOWN));
    let is_plain = is_plain && !row.get::<_, bool>(7);
    let wire = own.as_ref().map_or(Wire::Literal, Wire::of);
    columns.push(Column {
        name: name.clone(),
        wire,
        is_plain: is_plain && wire.is_exact(),
        type_name: row.get(3),
        has_no_array: row.get(4),
    });
    if row.get(5) {
        return (info.generated_column(name), columns);
    }
    let info = info.typed_column(&name, column_type);
    let info = if row.get(6) { info.with_default_on(&name) } else { info };
    let info = if is_plain { info } else { info.with_collation_on(name) };
    (info, columns)
}

/// What a column's values are compared as, and whether texts that differ are different values there.
fn column_type(kind: &Type) -> (ColumnType, bool) {
    match *kind {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => (ColumnType::Integer, true),
        Type::FLOAT4 | Type::FLOAT8 => (ColumnType::Real, true),
        Type::NUMERIC => (ColumnType::Number, true),
        Type::TEXT | Type::VARCHAR | Type::NAME => (ColumnType::Text, true),
        Type::BOOL | Type::BYTEA | Type::JSON | Type::JSONB => (ColumnType::Any, true),
        // Dates, UUIDs and whatever else comes as text.
        _ => (ColumnType::Text, false),
    }
}

/// What is said of a table that is not there.
pub(crate) async fn missing(client: &Client, name: &str) -> Error {
    let listed = match client.query(NAMES, &[&(MAX_LISTED + 1)]).await {
        Err(_) => return schema(name, format!("there is no table {name}")),
        Ok(rows) if rows.is_empty() => {
            "the database has no tables: is it the right one?".to_owned()
        }
        Ok(rows) => {
            let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let more = if names.len() as i64 > MAX_LISTED { ", …" } else { "" };
            let names = &names[..names.len().min(MAX_LISTED as usize)];
            format!("the tables are {}{more}", names.join(", "))
        }
    };
    schema(name, format!("there is no table {name}; {listed}"))
}

pub(crate) fn refuse_own(name: &str) -> Result<(), Error> {
    if !books::is_own(name) {
        return Ok(());
    }
    let message = format!(
        "{name} is the buffer's own: it keeps its books there, and nobody else writes to it"
    );
    Err(schema(name, message))
}

pub(crate) fn schema(table: &str, message: String) -> Error {
    Error::new(ErrorKind::Schema, message).with_table(table)
}

/// Checks a statement that rows are to be bound to.
pub(crate) async fn statement(client: &Client, sql: &str) -> Result<StatementInfo, Untold> {
    let text = shortened(sql);
    let unfit = |why: &str| {
        Error::new(
            ErrorKind::Statement,
            format!("`{text}` cannot be a producer's statement: {why}"),
        )
    };
    let refuse = |why: &str| Untold::Refused(unfit(why));
    if !["INSERT", "UPDATE", "DELETE", "MERGE", "WITH"].contains(&first_word(sql).as_str()) {
        return Err(refuse(
            "it must be INSERT, UPDATE, DELETE or MERGE; use execute() for anything else",
        ));
    }
    if sql.contains('\0') {
        return Err(refuse("it has a NUL character"));
    }
    let numbered = parameters::numbered(sql);
    if numbered.is_mixed {
        return Err(refuse("it has parameters with names and with numbers: use one kind"));
    }
    let statement = client.prepare(&numbered.sql).await.map_err(|error| {
        let trouble = Trouble::Server(error);
        if trouble.passes() {
            return Untold::Trouble(trouble);
        }
        let why = match trouble.sqlstate() {
            "42601" if trouble.cause().to_string().contains("multiple commands") => {
                "it is several statements; make a producer for each and join their rows with group()"
            }
            _ => "PostgreSQL refuses it",
        };
        Untold::Refused(with_cause(unfit(why), &trouble))
    })?;
    if !statement.columns().is_empty() {
        return Err(refuse(
            "it returns rows, and there is nobody to take them; leave RETURNING out",
        ));
    }
    let mut parameters = numbered.names;
    parameters.resize(statement.params().len().max(parameters.len()), None);
    Ok(StatementInfo { parameters })
}
