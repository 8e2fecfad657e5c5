//! With a file for dead letters, every row that is not written and that no receipt tells of is a line there.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use forebay::{
    Applied, Batch, Builder, Config, Error, ErrorKind, Rejection, Rejects, Sink, SinkError,
    StatementInfo, TableInfo, WriteBuffer,
};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use support::{Gate, Log, Mount, Scratch};

const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const SCHEMA: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'))";

/// A folder with a database in it, and the settings for a file of dead letters beside that.
pub(crate) struct Beside {
    pub(crate) scratch: Scratch,
    pub(crate) config: Config,
}

impl Beside {
    pub(crate) fn new(schema: &str) -> Self {
        let scratch = Scratch::new(schema);
        let file = Some(scratch.path().with_file_name("dead.ndjson"));
        let rejects = Rejects { file, ..Rejects::default() };
        Self { scratch, config: Config { linger: HOUR, rejects, ..Config::default() } }
    }

    pub(crate) fn file(&self) -> &Path {
        self.config.rejects.file.as_deref().unwrap()
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.file().as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    pub(crate) fn builder(&self) -> Builder {
        self.scratch.builder().config(self.config.clone())
    }

    pub(crate) fn open(&self) -> WriteBuffer {
        self.builder().open().unwrap()
    }

    /// A buffer in front of a gate, with the same file.
    fn before(&self, gate: &Gate) -> WriteBuffer {
        WriteBuffer::with_sink(gate.sink(), self.config.clone()).unwrap()
    }

    fn lines(&self) -> Vec<Json> {
        lines(self.file())
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        self.lines().iter().map(id).collect()
    }
}

/// The lines of a file, each of which is whole; an empty one is none.
pub(crate) fn lines(file: &Path) -> Vec<Json> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let written = text.lines().filter(|line| !line.is_empty());
    written.map(|line| serde_json::from_str(line).expect(line)).collect()
}

pub(crate) fn id(line: &Json) -> i64 {
    line["fields"]["id"].as_i64().unwrap()
}

/// Pushes rows that the database refuses, and waits until it has.
pub(crate) fn push_bad(buffer: &WriteBuffer, ids: impl IntoIterator<Item = i64>) {
    let t = buffer.table("t").insert().producer().unwrap();
    ids.into_iter().for_each(|id| t.push(&(id, "bad")).unwrap());
    buffer.flush().unwrap();
}

/// From now on no batch can be written.
fn disk_is_full(gate: &Gate) {
    let error = Error::new(ErrorKind::Unavailable, "the disk is full");
    gate.fail(usize::from(u16::MAX), &SinkError::down(error));
}

#[test]
fn a_refused_row_is_a_line_when_the_flush_returns() {
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    let t = buffer.table("t").insert().producer().unwrap();
    t.push(&(1, "good")).unwrap();
    t.push(&(2, "bad")).unwrap();
    buffer.flush().unwrap();
    let [line] = beside.lines().try_into().unwrap();
    let time = line["time"].as_str().unwrap().to_owned();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(
        line,
        json!({
            "time": time,
            "table": "t",
            "kind": "rejected",
            "error": "t refused a row: it violates CHECK name <> 'bad'",
            "code": 275,
            "constraint": "CHECK name <> 'bad'",
            "database_message": "CHECK constraint failed: name <> 'bad'",
            "fields": { "id": 2, "name": "bad" },
        })
    );
    assert_eq!(beside.scratch.column::<i64>("SELECT id FROM t"), [1]);
}

#[test]
fn the_fields_of_a_line_can_be_loaded_again_with_their_types() {
    let columns = "id, whole, least, real, tiny, text, json, none";
    let beside = Beside::new(&format!(
        "CREATE TABLE t({columns} CHECK (none IS NOT NULL)); CREATE TABLE u({columns})"
    ));
    let row = (1, 9_007_199_254_740_993_i64, i64::MIN, 1.0, 5e-324, "a\0é\n", [1, 2], ());
    let buffer = beside.open();
    buffer.table("t").insert().producer().unwrap().push(&row).unwrap();
    buffer.flush().unwrap();
    let text = fs::read_to_string(beside.file()).unwrap();
    let order = columns.split(", ").map(|name| text.find(&format!("\"{name}\":")).unwrap());
    assert!(order.is_sorted(), "{text}");

    let u = buffer.table("u").insert().producer().unwrap();
    u.write(&row).unwrap();
    u.write(&beside.lines()[0]["fields"]).unwrap();
    let same = "SELECT count(*) FROM (SELECT * FROM u GROUP BY 1, 2, 3, 4, 5, 6, 7, 8)";
    assert_eq!(beside.scratch.value::<i64>(same, []), 1);
    for column in columns.split(", ") {
        let types = format!("SELECT DISTINCT typeof({column}) FROM u");
        assert_eq!(beside.scratch.column::<String>(&types).len(), 1, "{column}");
    }
}

#[test]
fn what_json_has_no_value_for_is_an_object_and_a_text_that_looks_like_one_is_not() {
    let beside = Beside::new("CREATE TABLE t(a, b, c, d, e CHECK (e IS NULL))");
    let buffer = beside.open();
    let t = buffer.table("t").insert().producer().unwrap();
    let bytes = serde_bytes::Bytes::new(&[0, 1, 254, 255]);
    let text = "{\"hex\":\"00\"}";
    t.push(&(bytes, f64::INFINITY, f64::NEG_INFINITY, text, serde_bytes::Bytes::new(&[]))).unwrap();
    buffer.flush().unwrap();
    assert_eq!(
        beside.lines()[0]["fields"],
        json!({
            "a": { "hex": "0001feff" },
            "b": { "real": "inf" },
            "c": { "real": "-inf" },
            "d": "{\"hex\":\"00\"}",
            "e": { "hex": "" },
        })
    );
}

#[test]
fn a_row_that_a_receipt_tells_of_is_not_in_the_file() {
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    let t = buffer.table("t").insert().producer().unwrap();
    assert_eq!(t.write(&(1, "bad")).unwrap_err().kind(), ErrorKind::Rejected);
    drop(t.submit(&(2, "bad")).unwrap());
    buffer.close().unwrap();
    assert_eq!(beside.ids(), [2]);
}

#[test]
fn rows_that_are_given_up_and_rows_of_unknown_fate_are_told_apart() {
    let beside = Beside::new("");
    let mut config = beside.config.clone();
    config.retry.give_up = Some(Duration::ZERO);
    let gate = Gate::open();
    let down = Error::new(ErrorKind::Unavailable, "the disk is full");
    gate.fail(1, &SinkError::unknown(down.clone()));
    gate.fail(1, &SinkError::down(down));
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    for what in ["first", "second"] {
        audit.push(&(what,)).unwrap();
        buffer.flush().unwrap();
    }
    let lines = beside.lines();
    let told: Vec<_> = lines.iter().map(|line| (&line["kind"], &line["fields"]["what"])).collect();
    assert_eq!(
        told,
        [(&json!("unknown"), &json!("first")), (&json!("unwritten"), &json!("second"))]
    );
    let error = lines[1]["error"].as_str().unwrap();
    assert!(error.ends_with(": the disk is full"), "{error}");
    assert_eq!((&lines[1]["code"], &lines[1]["constraint"]), (&Json::Null, &Json::Null));
}

#[test]
fn the_application_is_given_the_row_when_its_line_is_written() {
    let beside = Beside::new(SCHEMA);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let buffer = {
        let (seen, file) = (Arc::clone(&seen), beside.file().to_owned());
        let builder = beside.builder();
        builder.on_reject(move |_| seen.lock().push(lines(&file).len())).open().unwrap()
    };
    push_bad(&buffer, 1..=3);
    assert_eq!(*seen.lock(), [1, 2, 3]);
}

#[test]
fn rows_that_close_has_no_time_for_are_in_the_file_and_the_error_says_so() {
    let beside = Beside::new("");
    let gate = Gate::open();
    disk_is_full(&gate);
    let config = Config { close_timeout: Duration::ZERO, ..beside.config.clone() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    (1..=3).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
    let receipt = topics.submit(&(4, "x", 0)).unwrap();
    let error = buffer.close().unwrap_err();
    let said = format!("left 4 rows not written (3 of them kept in {}):", beside.file().display());
    assert!(error.to_string().contains(&said), "{error}");
    assert_eq!(receipt.wait().unwrap_err().kind(), ErrorKind::Unwritten);
    assert_eq!(beside.ids(), [1, 2, 3]);
    assert!(beside.lines().iter().all(|line| line["kind"] == "unwritten"));
    assert!(error.to_string().contains("make close_timeout, which was 0ns, longer"), "{error}");
    assert_eq!(
        buffer.close().unwrap_err().to_string(),
        error.to_string(),
        "however often one asks"
    );
    drop((buffer, topics));
    assert_eq!(beside.ids(), [1, 2, 3], "each once");
}

#[test]
fn rows_that_are_given_up_while_closing_are_said_to_be_in_the_file_and_time_is_not_blamed() {
    let mut beside = Beside::new("");
    beside.config.retry.give_up = Some(Duration::ZERO);
    let gate = Gate::open();
    disk_is_full(&gate);
    let buffer = beside.before(&gate);
    let topics = buffer.table("topics").insert().producer().unwrap();
    (1..=2).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
    buffer.flush().unwrap();
    (3..=5).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
    let error = buffer.close().unwrap_err().to_string();
    let said = format!(
        "closing gate left 3 rows not written (3 of them kept in {}): they were given up after retry.give_up",
        beside.file().display()
    );
    assert!(error.starts_with(&said), "{error}");
    assert!(!error.contains("close_timeout"), "{error}");
    assert_eq!(beside.ids(), [1, 2, 3, 4, 5]);
}

#[test]
fn rows_that_close_async_has_no_time_for_are_in_the_file() {
    let beside = Beside::new("");
    let gate = Gate::open();
    disk_is_full(&gate);
    let config = Config { close_timeout: Duration::ZERO, ..beside.config.clone() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    buffer.table("audit").insert().producer().unwrap().push(&("x",)).unwrap();
    let error = futures::executor::block_on(buffer.close_async()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritten);
    assert_eq!(beside.lines()[0]["fields"], json!({ "what": "x" }));
}

#[test]
fn rows_that_a_drop_has_no_time_for_are_in_the_file() {
    let beside = Beside::new("");
    let gate = Gate::open();
    disk_is_full(&gate);
    let config = Config { close_timeout: Duration::ZERO, ..beside.config.clone() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    audit.push(&("x",)).unwrap();
    drop((buffer, audit));
    assert_eq!(beside.lines()[0]["fields"], json!({ "what": "x" }));
}

#[test]
fn rows_that_close_within_hands_back_are_not_in_the_file() {
    let beside = Beside::new("");
    let gate = Gate::open();
    disk_is_full(&gate);
    let buffer = beside.before(&gate);
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    assert_eq!(buffer.close_within(Duration::ZERO).unwrap().leftovers.len(), 1);
    drop((buffer, topics));
    assert!(beside.lines().is_empty());
}

/// Takes a batch when it is told to, and panics afterwards.
struct PanicsAfter(Receiver<()>);

impl Sink for PanicsAfter {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        Ok(TableInfo::new(table).column("id"))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo, Error> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, _: &Batch<'_>) -> Result<Applied, SinkError> {
        self.0.recv().unwrap();
        Ok(Applied::default())
    }

    fn tidy(&mut self) {
        panic!("outside of a commit");
    }
}

#[test]
fn rows_that_a_writer_left_when_it_panicked_are_in_the_file() {
    let beside = Beside::new("");
    let (go_on, told) = channel();
    let config = Config { max_transaction_rows: 1, batch_size: 1, ..beside.config.clone() };
    let buffer = WriteBuffer::with_sink(PanicsAfter(told), config).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    [1, 2].iter().for_each(|id| t.push(&(id,)).unwrap());
    go_on.send(()).unwrap();
    drop((buffer, t));
    assert_eq!(beside.ids(), [2]);
}

#[test]
fn rows_that_a_writer_left_when_it_panicked_are_said_to_be_nowhere_when_there_is_no_file() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let (go_on, told) = channel();
    let config =
        Config { max_transaction_rows: 1, batch_size: 1, linger: HOUR, ..Config::default() };
    let buffer = WriteBuffer::with_sink(PanicsAfter(told), config).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    [1, 2].iter().for_each(|id| t.push(&(id,)).unwrap());
    go_on.send(()).unwrap();
    drop((buffer, t));
    let said = "1 row left when the buffer for the sink ended could be kept nowhere";
    assert_eq!(log.text().matches(said).count(), 1, "{}", log.text());
}

#[test]
#[cfg(unix)]
fn the_file_is_made_at_open_for_its_owner_alone_and_so_is_every_next_one() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects.max_bytes = 4_096;
    let buffer = beside.open();
    assert_eq!(mode(beside.file()), 0o600);
    assert!(beside.lines().is_empty());
    push_bad(&buffer, 0..20);
    assert_eq!((mode(beside.file()), mode(&beside.numbered(1))), (0o600, 0o600));
}

#[test]
fn a_file_that_cannot_be_opened_is_said_at_open_and_nothing_is_overwritten() {
    let mut beside = Beside::new(SCHEMA);
    let folder = beside.scratch.path().parent().unwrap().to_owned();
    let notes = folder.join("notes");
    fs::write(&notes, "something else\n").unwrap();
    let cases = [
        (folder.join("nowhere/dead.ndjson"), "No such file or directory"),
        (folder.clone(), "Is a directory"),
        (notes.clone(), "holds something else"),
        (beside.scratch.path(), "holds something else"),
    ];
    for (file, why) in cases {
        beside.config.rejects.file = Some(file.clone());
        let error = beside.builder().open().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Open, Some("rejects.file")));
        let text = format!("{error:#}");
        let named = format!("cannot write dead letters to {} (rejects.file): ", file.display());
        assert!(text.starts_with(&named) && text.contains(why), "{text}");
    }
    assert_eq!(fs::read_to_string(notes).unwrap(), "something else\n");
    assert_eq!(beside.scratch.value::<String>("PRAGMA integrity_check", []), "ok");
}

#[test]
fn a_full_file_is_set_aside_and_the_oldest_is_deleted_by_name() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects = Rejects { max_bytes: 4_096, max_files: 2, ..beside.config.rejects };
    let buffer = beside.open();
    push_bad(&buffer, 0..30);
    assert!(!log.text().contains("deleted"), "{}", log.text());
    push_bad(&buffer, 30..100);
    let files = [beside.numbered(2), beside.numbered(1), beside.file().to_owned()];
    let ids: Vec<_> = files.iter().flat_map(|file| lines(file)).map(|line| id(&line)).collect();
    assert!(ids.iter().copied().eq(ids[0]..100), "the newest, in order: {ids:?}");
    for file in &files {
        let length = fs::metadata(file).unwrap().len();
        assert!(length <= 4_096, "{} has {length} bytes", file.display());
    }
    assert!(!beside.numbered(3).exists());
    let said = format!("{} was deleted", beside.numbered(2).display());
    assert!(log.text().contains(&said), "{}", log.text());
}

#[test]
fn no_file_is_deleted_while_a_number_is_free() {
    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects = Rejects { max_bytes: 4_096, max_files: 3, ..beside.config.rejects };
    fs::write(beside.numbered(3), "the oldest").unwrap();
    fs::write(beside.numbered(1), "the newest").unwrap();
    push_bad(&beside.open(), 0..20);
    assert_eq!(id(&lines(&beside.numbered(1))[0]), 0);
    assert_eq!(fs::read_to_string(beside.numbered(2)).unwrap(), "the newest");
    assert_eq!(fs::read_to_string(beside.numbered(3)).unwrap(), "the oldest");
}

#[test]
fn a_file_that_cannot_be_rotated_goes_on_growing_and_the_log_says_so() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects = Rejects { max_bytes: 4_096, max_files: 1, ..beside.config.rejects };
    fs::create_dir(beside.numbered(1)).unwrap();
    push_bad(&beside.open(), 0..20);
    assert!(beside.ids().into_iter().eq(0..20));
    assert_eq!(log.text().matches("cannot be rotated, so it goes on growing").count(), 1);
}

#[test]
fn a_line_longer_than_a_file_should_be_has_a_file_of_its_own() {
    let mut beside = Beside::new("CREATE TABLE t(id, name CHECK (name IS NULL))");
    beside.config.rejects.max_bytes = 4_096;
    let buffer = beside.open();
    let t = buffer.table("t").insert().producer().unwrap();
    (1..=3).for_each(|id| t.push(&(id, "x".repeat(5_000))).unwrap());
    buffer.flush().unwrap();
    let files = [beside.numbered(2), beside.numbered(1), beside.file().to_owned()];
    let ids = files.map(|file| lines(&file).iter().map(id).collect::<Vec<_>>());
    assert_eq!(ids, [[1], [2], [3]]);
}

#[test]
fn a_file_that_was_moved_or_deleted_is_made_again() {
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    push_bad(&buffer, [1]);
    let moved = beside.file().with_extension("old");
    fs::rename(beside.file(), &moved).unwrap();
    push_bad(&buffer, [2]);
    assert_eq!(beside.ids(), [2]);
    fs::remove_file(beside.file()).unwrap();
    push_bad(&buffer, [3]);
    assert_eq!(beside.ids(), [3]);
    File::create(beside.file().with_extension("new")).unwrap();
    fs::rename(beside.file().with_extension("new"), beside.file()).unwrap();
    push_bad(&buffer, [4]);
    assert_eq!(beside.ids(), [4]);
    assert_eq!(lines(&moved).iter().map(id).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_line_that_was_cut_short_does_not_spoil_the_next() {
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    push_bad(&buffer, [1]);
    let mut torn = OpenOptions::new().append(true).open(beside.file()).unwrap();
    torn.write_all(b"{\"time\":\"20").unwrap();
    push_bad(&buffer, [2, 3]);
    let text = fs::read_to_string(beside.file()).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.remove(1), "{\"time\":\"20");
    let ids: Vec<_> = lines.iter().map(|line| id(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_line_that_cannot_be_written_is_said_once_and_the_row_still_reaches_on_reject() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects.file = Some("/dev/full".into());
    let letters = Arc::new(Mutex::new(0));
    let buffer = {
        let letters = Arc::clone(&letters);
        beside.builder().on_reject(move |_| *letters.lock() += 1).open().unwrap()
    };
    push_bad(&buffer, 1..=3);
    buffer.close().unwrap();
    assert_eq!(*letters.lock(), 3);
    let text = log.text();
    assert_eq!(buffer.stats().letters_unkept, 3);
    let said = "cannot write dead letters to /dev/full: No space left on device (os error 28); until that is \
                over only on_reject is given them, if there is one";
    assert_eq!(text.matches(said).count(), 1, "{text}");
    assert!(text.contains("3 rows in all could not be written to /dev/full"), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_row_that_is_left_and_cannot_be_kept_is_said_to_be_nowhere() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let mut beside = Beside::new(SCHEMA);
    beside.config.rejects.file = Some("/dev/full".into());
    let gate = Gate::open();
    disk_is_full(&gate);
    beside.config.close_timeout = Duration::ZERO;
    let buffer = beside.before(&gate);
    buffer.table("audit").insert().producer().unwrap().push(&("x",)).unwrap();
    let error = buffer.close().unwrap_err();
    assert!(
        error.to_string().contains("1 row not written (0 of them kept in /dev/full):"),
        "{error}"
    );
    let text = log.text();
    let said = "1 row left when the buffer for gate ended could be kept nowhere";
    assert_eq!(text.matches(said).count(), 1, "{text}");
    assert_eq!(buffer.stats().letters_unkept, 1);
}

#[test]
fn buffers_that_share_a_file_lose_no_line_also_when_it_is_rotated() {
    let mut beside = Beside::new("");
    beside.config.rejects = Rejects { max_bytes: 4_096, max_files: 1_000, ..beside.config.rejects };
    beside.config.batch_size = 5;
    let refuse = |batch: &Batch<'_>| {
        let error = Error::new(ErrorKind::Rejected, "no");
        let rejected = (0..batch.len()).map(|row| Rejection { row, error: error.clone() });
        Ok(Applied { rejected: rejected.collect(), ..Applied::default() })
    };
    std::thread::scope(|scope| {
        for buffer in 0..4 {
            let beside = &beside;
            scope.spawn(move || {
                let gate = Gate::open();
                (0..500).for_each(|_| gate.answer(refuse));
                let opened = beside.before(&gate);
                let topics = opened.table("topics").insert().producer().unwrap();
                (0..500).for_each(|id| topics.push(&(buffer * 500 + id, "x", 0)).unwrap());
                opened.close().unwrap();
            });
        }
    });
    let numbered = (1..=1_000).map(|number| beside.numbered(number));
    let files = numbered.take_while(|file| file.exists()).chain([beside.file().to_owned()]);
    let ids: Vec<_> = files.flat_map(|file| lines(&file)).map(|line| id(&line)).collect();
    assert_eq!(ids.len(), 2_000, "each once");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), (0..2_000).collect());
}

/// These mount filesystems, and fail where they may not.
mod needs_root {
    use super::*;

    #[test]
    fn when_a_full_disk_has_room_again_the_next_line_is_whole() {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.subscriber()).unwrap();
        let mount = Mount::tmpfs(256 << 10);
        let mut beside = Beside::new(SCHEMA);
        let file = mount.path().join("dead.ndjson");
        beside.config.rejects.file = Some(file.clone());
        let buffer = beside.open();
        push_bad(&buffer, [1]);
        let ballast = mount.path().join("ballast");
        let mut filler = File::create(&ballast).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
        drop(filler);

        push_bad(&buffer, 2..100);
        let text = log.text();
        assert_eq!(text.matches("No space left on device").count(), 1, "{text}");
        let cut = fs::read_to_string(&file).unwrap();
        assert!(!cut.ends_with('\n'), "the page that there was is full");

        fs::remove_file(ballast).unwrap();
        push_bad(&buffer, [100]);
        let text = fs::read_to_string(&file).unwrap();
        let whole: Vec<Json> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        assert_eq!(text.lines().count(), whole.len() + 1, "one line was cut: {text}");
        assert_eq!(whole.last().map(id), Some(100));
        let missing = 100 - whole.len();
        let said = format!("{missing} rows in all could not be written");
        assert!(log.text().contains(&said), "{said}: {}", log.text());
    }
}
