//! Loads into PostgreSQL: the same options, the server's types, and what is said when it is not as it should be.

use std::fmt::Write as _;

use ::support::{Database, Postgres};
use forebay::Value::{self, Integer, Null, Real};
use insta::assert_snapshot;

use crate::support::{Folder, Ran};

/// As a database is that no buffer has written to.
const NO_BOOKS: &str = "DROP TABLE _forebay, _forebay_rejected;";

/// Files in a folder, and a database to load them into.
struct Load {
    folder: Folder,
    to: Postgres,
}

impl Load {
    /// A database that `schema` has been run on.
    fn with(schema: &str) -> Self {
        Self { folder: Folder::with(""), to: Postgres::new(schema) }
    }

    /// Loads `input` as CSV.
    fn csv(&self, options: &str, input: &str) -> Ran {
        let line = format!("forebay load - --format csv --into {} --json {options}", self.to.url());
        self.folder.run_on(&line, input)
    }

    fn ndjson(&self, options: &str, input: &str) -> Ran {
        let line =
            format!("forebay load - --format ndjson --into {} --json {options}", self.to.url());
        self.folder.run_on(&line, input)
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        self.to.rows(sql)
    }

    /// What was said, without where the server is.
    fn said(&self, ran: &Ran) -> String {
        let url = self.to.url().replace("%2F", "/");
        let (server, database) = url.rsplit_once('/').unwrap();
        let place = server.split_once('@').unwrap().1;
        let said = format!("exit {}\n{}{}\n", ran.code.unwrap(), ran.out, ran.errors);
        said.replace(place, "[server]").replace(database, "[database]")
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn create_makes_the_table_and_the_books() {
    let folder = Folder::with("");
    let load = Load { folder, to: Postgres::new(NO_BOOKS) };
    let ran = load
        .csv("--table Topics --create --upsert ID", "ID,Title,size\n1,first,0.5\n2,second,\n")
        .exits(0);
    assert!(ran.errors.contains("created table topics(id bigint NOT NULL PRIMARY KEY, title text, size double precision)"), "{ran:?}");
    assert_eq!(ran.count("committed"), 2);
    let again =
        load.csv("--table Topics --create --upsert ID", "ID,Title,size\n2,changed,1\n").exits(0);
    assert_eq!(again.count("committed"), 1);
    let rows = load.rows("SELECT * FROM topics ORDER BY id");
    assert_eq!(
        rows,
        [[Integer(1), text("first"), Real(0.5)], [Integer(2), text("changed"), Real(1.0)]]
    );
    assert!(load.rows("SELECT spool FROM _forebay").is_empty(), "the books are closed");
    load.to.run("CREATE SCHEMA app");
    load.csv("--table app.topics --create", "a,b\n1,x\n").exits(0);
    assert_eq!(load.rows("SELECT a, b FROM app.topics"), [[Integer(1), text("x")]]);
}

#[test]
fn every_type_is_read_as_postgresql_reads_it_and_an_empty_field_is_null() {
    let load = Load::with(
        "CREATE TABLE t(id int, small smallint, price numeric(10,2), at timestamptz, day date, flag boolean, key uuid,
             data jsonb, name text, short varchar(3), bytes bytea, single real)",
    );
    let header = "id,small,price,at,day,flag,key,data,name,short,bytes,single\n";
    let full = "1,2,12.50,2026-01-31T09:30:00Z,2026-01-31,true,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,\"{\"\"a\"\": 1}\",x,abc,\\x00ff,0.5\n";
    load.csv("--table t", &format!("{header}{full}2,,,,,,,,,,,\n")).exits(0);
    let rows = load.rows(
        "SELECT small, price, extract(epoch FROM at)::int8, day = '2026-01-31', flag, key::text, data->>'a', name, short, bytes,
             single FROM t ORDER BY id",
    );
    assert_eq!(
        rows[0],
        [
            Integer(2),
            Real(12.5),
            Integer(1_769_851_800),
            Integer(1),
            Integer(1),
            text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            text("1"),
            text("x"),
            text("abc"),
            Value::Blob(vec![0, 255]),
            Real(0.5),
        ]
    );
    let empty = [Null, Null, Null, Null, Null, Null, Null, text(""), text(""), Null, Null];
    assert_eq!(rows[1], empty);
}

#[test]
fn json_keeps_its_types() {
    let load = Load::with(
        "CREATE TABLE t(id int PRIMARY KEY, flag boolean, data jsonb, name text, note text DEFAULT 'none')",
    );
    let lines = r#"{"id":1,"flag":true,"data":{"a":[1,"x"]},"name":"first"}
{"id":2,"flag":false,"data":"text","name":12,"note":null}
{"id":3,"flag":null,"data":true,"name":true}
{"id":4,"data":null}
"#;
    load.ndjson("--table t --upsert id", lines).exits(0);
    let rows = load.rows("SELECT flag, data::text, name, note FROM t ORDER BY id");
    assert_eq!(
        rows,
        [
            [Integer(1), text("{\"a\": [1, \"x\"]}"), text("first"), text("none")],
            [Integer(0), text("\"text\""), text("12"), Null],
            [Null, text("true"), text("true"), text("none")],
            [Null, Null, Null, text("none")],
        ]
    );
}

#[test]
fn what_postgresql_refuses_is_rejected_alone_and_kept() {
    let load = Load::with(
        "CREATE TABLE t(id int PRIMARY KEY, at date, size int CHECK (size > 0), name varchar(5))",
    );
    let ran = load.csv(
        "--table t --rejects bad.csv",
        "id,at,size,name\n1,2026-01-31,1,a\n2,secret,1,b\n3,,-7,c\n1,,1,d\n4,,1,secret\n5,,x,e\n6,,1,f\n",
    );
    let ran = ran.exits(1);
    assert_eq!((ran.count("committed"), ran.count("rejected")), (2, 5));
    assert_eq!(load.rows("SELECT id FROM t ORDER BY id"), [[Integer(1)], [Integer(6)]]);
    assert!(!ran.errors.contains("secret"), "{ran:?}");
    let kept = load.folder.read("bad.csv");
    for line in ["2,secret,1,b", "3,,-7,c", "1,,1,d", "4,,1,secret", "5,,x,e"] {
        assert!(kept.contains(line), "{kept}");
    }
    assert_snapshot!(
        "postgres_rejects",
        load.said(&ran).split_once('\n').unwrap().1.split_once('\n').unwrap().1
    );
}

#[test]
fn newest_by_coalesce_and_ignored_duplicates_are_what_they_are_in_sqlite() {
    let load = Load::with("CREATE TABLE t(id int PRIMARY KEY, at int, v text)");
    load.csv(
        "--table t --upsert id --newest-by at --coalesce",
        "id,at,v\n1,5,new\n1,3,old\n2,1,x\n",
    )
    .exits(0);
    load.csv("--table t --upsert id --newest-by at", "id,at,v\n1,4,older\n2,2,y\n").exits(0);
    load.csv("--table t --ignore-duplicates", "id,at,v\n1,9,never\n3,1,z\n").exits(0);
    assert_eq!(
        load.rows("SELECT at, v FROM t ORDER BY id"),
        [[Integer(5), text("new")], [Integer(2), text("y")], [Integer(1), text("z")]]
    );
}

#[test]
fn a_server_that_is_not_ready_is_told_with_what_to_do() {
    let load = Load {
        folder: Folder::with(""),
        to: Postgres::new(&format!("{NO_BOOKS} CREATE TABLE t(id int)")),
    };
    let mut said = load.said(&load.csv("--table t", "id\n1\n"));
    let books = load.folder.run(&format!("forebay books {}", load.to.url()));
    said += &load.said(&books);
    for (options, input) in [
        ("--table missing", "id\n1\n"),
        ("--table t --upsert id", "id\n1\n"),
        ("--table t", "id,name\n1,x\n"),
        ("--table _forebay", "spool\nx\n"),
        ("--table _forebay --create", "spool\nx\n"),
        ("--table t --config sqlite.toml", "id\n1\n"),
    ] {
        load.folder.write("sqlite.toml", "max_cache_bytes = 1048576\n");
        let _ = write!(said, "{options}\n{}", load.said(&load.csv(options, input)));
    }
    assert_snapshot!("postgres_refusals", said);
    load.csv("--table t", "id\n1\n").exits(0);
}

#[test]
fn the_books_are_made_by_command_or_printed() {
    let folder = Folder::with("");
    let sql = folder.run("forebay books --sql").exits(0).out;
    let to = Postgres::new(&format!("{NO_BOOKS} {sql}"));
    folder.run(&format!("forebay books {}", to.url())).exits(0);
    let mut said = String::new();
    for line in [
        "forebay books --help",
        "forebay books",
        "forebay books app.db",
        "forebay books mysql://me:secret@h/d",
    ] {
        let Ran { code, out, errors } = folder.run(line);
        let _ = writeln!(said, "$ {line}\nexit {}\n{out}{errors}", code.unwrap());
    }
    assert_snapshot!("books", said);
}
