//! Spools as processes have left them that ended in the midst of their work: one of each format that there has been, in
//! `tests/golden`, made by the version that had it. Each must be opened for ever, and hold exactly its rows.
//!
//! `GOLDEN=write` keeps what the version at hand makes as `tests/golden/spool-N`, N being its format. What is there already
//! is not made anew.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rusqlite::types::Value;
use forebay::rusqlite::{Connection, Params, params};
use forebay::spool::{Inspection, SegmentState, inspect};
use forebay::{
    Applied, Batch, Config, DeadLetter, Error, ErrorKind, Group, Producer, Retry, Sink, SinkError,
    SqliteSink, WriteBuffer,
};
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use support::{Around, Scratch, Surrounded, smallest, spool_of, spooling};

/// The database's name in the spool that is made.
const NAME: &str = "golden.db";

const SCHEMA: &str = "
    CREATE TABLE log(n INTEGER NOT NULL, what TEXT CONSTRAINT good CHECK (what <> 'bad'));
    CREATE TABLE newest(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, value TEXT);
    CREATE TABLE kinds(id INTEGER PRIMARY KEY, value);
    CREATE TABLE there(id INTEGER PRIMARY KEY, value TEXT);
    WITH ids(id) AS (VALUES (0) UNION ALL SELECT id + 1 FROM ids WHERE id < 40)
        INSERT INTO there SELECT id, 'before' FROM ids";
const STATEMENT: &str = "INSERT INTO log(n, what) SELECT :n, upper(:what)";
const EXECUTED: &str = "CREATE TABLE later(id INTEGER PRIMARY KEY)";

/// Batches that the first process commits: its first row, and as many more as a transaction takes.
const COMMITTED: usize = 2;

#[derive(Serialize)]
struct Line<'a> {
    n: i64,
    what: &'a str,
}

/// One with other fields, and so of another shape.
#[derive(Serialize)]
struct Mute {
    n: i64,
}

/// A folder with a spool, its database as SQL, and what has been found in them as soon as they were made.
struct Golden<'a>(&'a Path);

impl Golden<'_> {
    fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    fn text(&self, name: &str) -> String {
        let path = self.0.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Opens a copy of it, and holds all that is in it against what has been found.
    fn check(&self) {
        let folder = self.0.display();
        let scratch = Scratch::new(&self.text("database.sql"));
        copy(&self.spool(), &spool_of(&scratch.path()));
        let inspection = inspect(spool_of(&scratch.path())).unwrap();
        assert_eq!(in_words(&inspection), self.text("inspection.txt"), "{folder}");

        let letters = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&letters);
        let buffer = WriteBuffer::builder(scratch.path())
            .config(spooling(&scratch.path(), 96 * 1024, 4))
            .on_reject(move |letter| told.lock().push_str(&letter_in_words(letter)))
            .open()
            .unwrap();
        buffer.flush().unwrap();
        buffer.close().unwrap();
        assert_eq!(*letters.lock(), self.text("letters.txt"), "{folder}");
        assert_eq!(dump(&scratch.connection(), false), self.text("rows.sql"), "{folder}");
        let last = inspection.segments.iter().map(|segment| segment.first_row + segment.rows).max();
        let decided: i64 = scratch.value("SELECT applied FROM _forebay", ());
        assert_eq!(Some(decided.cast_unsigned()), last, "{folder}");
    }
}

/// What lets so many batches pass, and says of the others that the database is down.
#[derive(Default)]
struct Door {
    state: Mutex<Passed>,
    moved: Condvar,
}

#[derive(Default)]
struct Passed {
    batches: usize,
    allowed: usize,
    /// Whether the next one has been refused.
    is_refused: bool,
}

impl Door {
    fn open_for(&self, batches: usize) {
        self.state.lock().allowed = batches;
    }

    /// Waits until so many batches have passed and the next one has not.
    fn await_refusal(&self, batches: usize) {
        let mut state = self.state.lock();
        self.moved.wait_while(&mut state, |passed| passed.batches < batches || !passed.is_refused);
    }
}

struct Behind(Arc<Door>);

impl Around for Behind {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let mut passed = self.0.state.lock();
        passed.is_refused = passed.batches >= passed.allowed;
        self.0.moved.notify_all();
        if passed.is_refused {
            return Err(SinkError::down(Error::new(ErrorKind::Unavailable, "the door is shut")));
        }
        passed.batches += 1;
        sink.apply(batch)
    }

    fn commits_on_caller(&self, _: &SqliteSink) -> bool {
        false
    }

    fn name(&self, _: &SqliteSink) -> String {
        NAME.to_owned()
    }
}

/// What the database must hold in the end, put there without forebay, and the rows that it refuses.
struct Twin {
    connection: Connection,
    letters: String,
}

impl Twin {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        Self { connection, letters: String::new() }
    }

    fn run(&self, sql: &str, parameters: impl Params) {
        self.connection.execute(sql, parameters).unwrap();
    }

    fn line(&mut self, n: i64, what: &str) {
        if what == "bad" {
            let fields = format!(r#"[("n", Integer({n})), ("what", Text("bad"))]"#);
            self.letters.push_str(&format!("log Rejected {fields}\n"));
        } else {
            self.run("INSERT INTO log VALUES (?1, ?2)", (n, what));
        }
    }

    fn kind(&self, id: i64, value: &Value) {
        self.run("INSERT OR REPLACE INTO kinds VALUES (?1, ?2)", params![id, value]);
    }
}

/// A process that works, and the database of its time.
struct Life {
    scratch: Scratch,
    door: Arc<Door>,
    buffer: WriteBuffer,
    log: Producer,
    kinds: Producer,
}

impl Life {
    fn begin(scratch: Scratch, config: Config) -> Self {
        let door = Arc::new(Door::default());
        let spool = Some(spool_of(&scratch.path()));
        let retry = Retry { pause: Duration::from_millis(1), ..Retry::default() };
        let config = Config { spool, retry, ..config };
        let sink = SqliteSink::open(scratch.path(), &config).unwrap();
        let sink = Surrounded::new(sink, Behind(Arc::clone(&door)));
        let buffer = WriteBuffer::with_sink(sink, config).unwrap();
        let log = buffer.table("log").insert().producer().unwrap();
        let kinds = buffer.table("kinds").upsert(["id"]).producer().unwrap();
        Self { scratch, door, buffer, log, kinds }
    }

    fn line(&self, twin: &mut Twin, n: i64, what: &str) {
        self.log.push(&Line { n, what }).unwrap();
        twin.line(n, what);
    }

    /// What is left of it if it ends now, while the database is down: its spool, and its database as SQL.
    fn left(&self, to: &Path) -> String {
        let spool = spool_of(&self.scratch.path());
        // The thread that makes segments may be at it.
        while copy(&spool, to) != copy(&spool, to) {}
        dump(&self.scratch.connection(), true)
    }

    fn end(self) {
        self.door.open_for(usize::MAX);
        self.buffer.close().unwrap();
    }
}

/// Values of every kind, and where their ranges end.
fn kind(n: i64) -> Value {
    match n % 9 {
        0 => Value::Null,
        1 => i64::MIN.into(),
        2 => i64::MAX.into(),
        3 => f64::MIN_POSITIVE.into(),
        4 => f64::INFINITY.into(),
        5 => (-1.0 / 3.0).into(),
        6 => String::new().into(),
        7 => "Ünïcödé, 'quoted'\nand of two lines".to_owned().into(),
        _ => vec![0, 255, n.to_le_bytes()[0]].into(),
    }
}

/// A value as a field of a row.
struct Field<'a>(&'a Value);

impl Serialize for Field<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Real(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Blob(value) => serializer.serialize_bytes(value),
        }
    }
}

/// The first process: it fills several segments, and ends inside the second.
fn first(life: &Life, twin: &mut Twin) {
    let upsert = life.buffer.table("newest").upsert(["id"]);
    let newest = upsert.newest_by("at").coalesce().producer().unwrap();
    let update = life.buffer.table("there").update(["id"]).producer().unwrap();
    let delete = life.buffer.table("there").delete(["id"]).producer().unwrap();
    life.line(twin, 0, "the first");
    life.door.await_refusal(0);
    life.line(twin, 1, "bad");
    for n in 2..60 {
        let text = format!("{n} ").repeat(40);
        match n % 7 {
            0 => {
                life.log.push(&(n, &text)).unwrap();
                twin.line(n, &text);
            }
            1 => {
                newest.push(&(n % 3, 100 - n, &text)).unwrap();
                newest.push(&(n % 3, n, &text)).unwrap();
                let sql = "INSERT INTO newest VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE \
                           SET at = excluded.at, value = excluded.value WHERE excluded.at >= at";
                twin.run(sql, (n % 3, 100 - n, &text));
                twin.run(sql, (n % 3, n, &text));
            }
            2 | 3 => {
                life.kinds.push(&(n, Field(&kind(n)))).unwrap();
                twin.kind(n, &kind(n));
            }
            4 => {
                update.push(&(n % 40, &text)).unwrap();
                twin.run("UPDATE there SET value = ?2 WHERE id = ?1", (n % 40, &text));
            }
            5 => {
                delete.push(&(n % 40,)).unwrap();
                twin.run("DELETE FROM there WHERE id = ?1", [n % 40]);
            }
            _ => group(life, twin, n, &text),
        }
    }
    life.line(twin, 60, "bad");
    life.door.open_for(COMMITTED);
    life.door.await_refusal(COMMITTED);
}

/// Rows that belong together.
fn group(life: &Life, twin: &mut Twin, n: i64, what: &str) {
    let fill = |group: &mut Group<'_>| {
        group.add(&life.log, &Line { n, what })?;
        group.add(&life.kinds, &(n, Field(&kind(n))))?;
        group.add(&life.log, &Line { n: -n, what })
    };
    drop(life.buffer.group(fill).unwrap());
    twin.line(n, what);
    twin.kind(n, &kind(n));
    twin.line(-n, what);
}

/// The second process, which commits nothing: rows of other shapes, and some that are waited for.
fn second(life: &Life, twin: &mut Twin, left: impl FnOnce()) {
    let statement = life.buffer.statement(STATEMENT).unwrap();
    life.line(twin, 100, "again");
    for n in 101..110 {
        life.log.push(&Mute { n }).unwrap();
        twin.run("INSERT INTO log(n) VALUES (?1)", [n]);
        statement.push(&Line { n, what: "loud" }).unwrap();
        twin.line(n, "LOUD");
    }
    let receipt = life.log.submit(&Line { n: 110, what: "waited for" }).unwrap();
    twin.line(110, "waited for");
    let accepted = life.buffer.stats().accepted;
    std::thread::scope(|scope| {
        let executed = scope.spawn(|| life.buffer.execute(EXECUTED));
        while life.buffer.stats().accepted == accepted {
            std::thread::yield_now();
        }
        twin.run(EXECUTED, ());
        life.line(twin, 111, "the last");
        left();
        life.door.open_for(usize::MAX);
        executed.join().unwrap().unwrap();
    });
    receipt.wait().unwrap();
}

/// Makes a golden spool of this version's format.
fn make(folder: &Path) {
    let golden = Golden(folder);
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let mut twin = Twin::new();
    fs::create_dir_all(golden.spool()).unwrap();

    let config = Config { max_spool_bytes: 64 * 1024, ..smallest() };
    let life = Life::begin(Scratch::new(SCHEMA), config.clone());
    first(&life, &mut twin);
    let database = life.left(&golden.spool());
    life.end();

    let scratch = Scratch::new(&database);
    copy(&golden.spool(), &spool_of(&scratch.path()));
    // Segments of two lengths.
    let config = Config { max_buffer_bytes: 3 * config.max_buffer_bytes, ..config };
    let life = Life::begin(scratch, config);
    second(&life, &mut twin, || write("database.sql", &life.left(&golden.spool())));
    life.end();

    tear(&golden.spool());
    let inspection = inspect(golden.spool()).unwrap();
    assert_eq!(inspection.refusal, None, "{inspection:#?}");
    write("inspection.txt", &in_words(&inspection));
    write("letters.txt", &twin.letters);
    write("rows.sql", &dump(&twin.connection, false));
    is_telling(&inspection, &Connection::open_in_memory().unwrap(), &golden);
}

/// There is something of everything in it.
fn is_telling(inspection: &Inspection, database: &Connection, golden: &Golden<'_>) {
    database.execute_batch(&golden.text("database.sql")).unwrap();
    let applied = database.query_row("SELECT applied FROM _forebay", (), |row| row.get(0));
    let applied = applied.map(i64::cast_unsigned).unwrap();
    let is_in_part = |first: u64, rows: u64| first < applied && applied < first + rows;
    let segments = &inspection.segments;
    let has = |state| segments.iter().any(|segment| segment.state == state && segment.rows > 0);
    assert!(has(SegmentState::Open) && has(SegmentState::Sealed), "{inspection:#?}");
    assert!(segments.iter().any(|segment| is_in_part(segment.first_row, segment.rows)));
    assert!(segments.iter().any(|segment| segment.capacity != segments[0].capacity));
    assert!(inspection.has_torn_tail && inspection.epoch == 2, "{inspection:#?}");
    assert_eq!(golden.text("letters.txt").lines().count(), 2, "one of them refused before");
}

/// Puts the beginning of a row behind the last one: as a kill in the middle of a push leaves it.
fn tear(spool: &Path) {
    const HEADER: usize = 64;
    let inspection = inspect(spool).unwrap();
    let last = inspection.segments.iter().rfind(|segment| segment.rows > 0).unwrap();
    let file = fs::File::options().read(true).write(true).open(&last.file).unwrap();
    let mut epoch = [0; 4];
    file.read_exact_at(&mut epoch, 48).unwrap();
    let seq = (last.first_row + last.rows).to_le_bytes();
    let unit = [&[0xA5; 4][..], &epoch, &seq, b"not all of a row"].concat();
    file.write_all_at(&unit, (HEADER + last.bytes) as u64).unwrap();
}

/// Copies the files of a folder, which it returns, and removes all others from the copy.
fn copy(from: &Path, to: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    let files = fs::read_dir(from).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        // One that was being made is gone meanwhile.
        let bytes = fs::read(&path).ok()?;
        let copy = to.join(path.file_name().unwrap());
        fs::write(&copy, &bytes).unwrap();
        Some((copy, bytes))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// A database as SQL; `all` of it, or without what is the buffer's own.
fn dump(connection: &Connection, all: bool) -> String {
    let mut text = String::new();
    let tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut tables = connection.prepare(tables).unwrap();
    let mut tables = tables.query(()).unwrap();
    while let Some(table) = tables.next().unwrap() {
        let [name, sql] = [0, 1].map(|column| table.get::<_, String>(column).unwrap());
        if name.starts_with("_forebay") && !all {
            continue;
        }
        text.push_str(&format!("{sql};\n"));
        let columns = "SELECT group_concat(format('quote(%w)', name), ' || '', '' || ') FROM pragma_table_info(?1)";
        let columns = connection.query_row(columns, [&name], |row| row.get::<_, String>(0));
        // Without an order: in that of the table itself.
        let rows = format!("SELECT {} FROM {name}", columns.unwrap());
        let mut rows = connection.prepare(&rows).unwrap();
        let rows = rows.query_map((), |row| row.get::<_, String>(0)).unwrap();
        for row in rows {
            text.push_str(&format!("INSERT INTO {name} VALUES ({});\n", row.unwrap()));
        }
    }
    text
}

fn in_words(inspection: &Inspection) -> String {
    let Inspection { epoch, is_closed, has_torn_tail, refusal, .. } = inspection;
    let mut text = format!(
        "epoch {epoch}, closed: {is_closed}, torn tail: {has_torn_tail}, refused: {refusal:?}\n"
    );
    for segment in &inspection.segments {
        let file = segment.file.file_name().unwrap().display();
        let (state, damage) = (segment.state, &segment.damage);
        let (first, end) = (segment.first_row, segment.first_row + segment.rows);
        let (bytes, capacity) = (segment.bytes, segment.capacity);
        let line = format!(
            "{file}: {state:?}, rows {first}..{end}, {bytes} of {capacity} bytes, damage: {damage:?}\n"
        );
        text.push_str(&line);
    }
    for table in &inspection.tables {
        text.push_str(&format!("{}: {} rows, {} bytes\n", table.table, table.rows, table.bytes));
    }
    text
}

fn letter_in_words(letter: &DeadLetter) -> String {
    format!("{} {:?} {:?}\n", letter.table, letter.error.kind(), letter.fields)
}

fn all() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[test]
fn every_golden_spool_is_opened_and_holds_exactly_its_rows() {
    let folders = fs::read_dir(all()).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.collect();
    assert!(!folders.is_empty());
    folders.iter().for_each(|folder| Golden(folder).check());
}

#[test]
fn the_format_of_this_version_has_a_golden_spool() {
    let made = tempfile::tempdir().unwrap();
    make(made.path());
    Golden(made.path()).check();
    let identity = Golden(made.path()).text("spool/spool.json");
    let identity: serde_json::Value = serde_json::from_str(&identity).unwrap();
    let kept = all().join(format!("spool-{}", identity["format"]));
    if std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") && !kept.exists() {
        copy(made.path(), &kept);
        copy(&Golden(made.path()).spool(), &Golden(&kept).spool());
    }
    assert!(kept.exists(), "there is no {}: run this test with GOLDEN=write", kept.display());
}
