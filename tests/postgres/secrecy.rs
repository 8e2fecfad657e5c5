//! No value of a row and no password is in any line of the log, at any level, of whoever writes it.

use std::io::Write;

use forebay::{Config, WriteBuffer};
use forebay_postgres::PostgresSink;
use log::{LevelFilter, Metadata, Record};
use postgres::NoTls;
use serde_json::json;
use support::{Cluster, Log};

const PASSWORD: &str = "hunter2-s3cret";

/// As it is, as a list of bytes, in hex; an integer, also as its bytes.
const CANARIES: [&str; 7] = [
    PASSWORD,
    "CANARY",
    "67, 65, 78, 65",
    "43414e4152",
    "7331918273645",
    "6, 171, 24, 98, 92, 109",
    "0.7331918273",
];

const INTEGER: i64 = 7_331_918_273_645;

const SCHEMA: &str = "
    CREATE SEQUENCE calls;
    CREATE TABLE t(id BIGINT PRIMARY KEY, v TEXT CHECK (length(v) < 30), n BIGINT, r REAL, j JSONB, d NUMERIC, u TEXT UNIQUE);
    CREATE FUNCTION chat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('calls') <= 2 THEN RAISE EXCEPTION 'not now, %', NEW USING ERRCODE = '40001'; END IF;
        RAISE NOTICE 'got %', NEW.v; RAISE WARNING 'got % too', NEW; RETURN NEW;
    END $$;
    CREATE TRIGGER chat BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION chat();";

/// What libraries say that do not use `tracing`.
struct Lines(Log);

impl log::Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (level, target) = (record.level(), record.target());
        let _ = writeln!(self.0.clone(), "{level} {target}: {}", record.args());
    }

    fn flush(&self) {}
}

/// Everything that is said from now on in this process.
fn listen() -> Log {
    let all = Log::default();
    tracing::subscriber::set_global_default(all.everything()).unwrap();
    log::set_boxed_logger(Box::new(Lines(all.clone()))).unwrap();
    log::set_max_level(LevelFilter::Trace);
    all
}

fn write_all(buffer: &WriteBuffer) {
    let insert = buffer.table("t").insert().producer().unwrap();
    let upsert = buffer.table("t").upsert(["id"]).coalesce().producer().unwrap();
    let statement = buffer.statement("UPDATE t SET v = :v WHERE id = :id").unwrap();
    let row = |id: i64, v: &str, d: &str| json!({"id": id, "v": v, "n": INTEGER, "r": 0.733_191_827_3, "j": format!("{{\"k\": \"{v}\"}}"), "d": d, "u": format!("{v} {id}")});
    let long = "CANARY that is too long for the CHECK of the table";
    for id in 0..10 {
        insert.push(&row(id, if id == 4 { long } else { "CANARY" }, "1.0")).unwrap();
        upsert.push(&row(id + 100, "CANARY", if id == 5 { "CANARY" } else { "7.0" })).unwrap();
        statement.push(&json!({"id": id, "v": if id == 6 { long } else { "CANARY" }})).unwrap();
    }
    insert.push(&row(1, "CANARY", "0.0")).unwrap();
    let _ = buffer.flush();
    assert_eq!(buffer.stats().rejected, 4);
}

#[test]
fn no_value_and_no_password_is_in_the_log_at_any_level_of_any_library() {
    let cluster = Cluster::private(&[("fsync", "off")]);
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client
        .batch_execute(&format!(
            "{SCHEMA} CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
             GRANT ALL ON ALL TABLES IN SCHEMA public TO app; GRANT ALL ON SEQUENCE calls TO app"
        ))
        .unwrap();
    cluster.admit("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    let url = format!("postgres://app:{PASSWORD}@{}/postgres", cluster.address());
    let folder = tempfile::tempdir().unwrap();
    let log = listen();
    for spool in [None, Some(folder.path().join("spool"))] {
        let has_spool = spool.is_some();
        let config = Config { spool, ..Config::default() };
        let sink = PostgresSink::connect(&url).unwrap();
        let buffer = WriteBuffer::with_sink(sink, config).unwrap();
        write_all(&buffer);
        buffer.close().unwrap();
        let letters = client.query_one("SELECT count(*) FROM _forebay_rejected", &[]).unwrap();
        assert_eq!(letters.get::<_, i64>(0), if has_spool { 4 } else { 0 });
        client.batch_execute("DELETE FROM t").unwrap();
    }
    // And where it cannot connect.
    PostgresSink::connect(&url.replace("app:", "nobody:")).map(drop).unwrap_err();
    let text = log.text();
    assert!(text.contains("retry 2/"), "a busy database is told of");
    assert!(text.contains("tokio_postgres"), "the driver's lines are among them");
    assert!(text.contains("forebay"), "and ours");
    let leaks = text.lines().filter(|line| CANARIES.iter().any(|canary| line.contains(canary)));
    let leaks: Vec<&str> = leaks.take(10).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}
