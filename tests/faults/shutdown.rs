//! Ways to end a buffer, by whatever it is doing: none hangs, and of every row it is known in the end what became of it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use forebay::{
    Config, DeadLetter, Error, ErrorKind, Producer, Rejects, Retry, SinkError, Value, WriteBuffer,
};
use support::{Gate, Seen, Trial, adds_up, smallest};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3_600);

/// What the buffer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Load,
    BackPressure,
    Paused,
    StuckInApply,
    CommitOnCaller,
}

const DOING: [Doing; 6] = [
    Doing::Nothing,
    Doing::Load,
    Doing::BackPressure,
    Doing::Paused,
    Doing::StuckInApply,
    Doing::CommitOnCaller,
];

/// How it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Close,
    CloseInNoTime,
    CloseAsync,
    Drop,
    DropInRuntime,
    DropInPanic,
}

impl Way {
    /// Whether whoever pushes has nothing to close the buffer by, and must let go of it too.
    fn is_drop(self) -> bool {
        matches!(self, Self::Drop | Self::DropInRuntime | Self::DropInPanic)
    }

    fn let_go<T: Send + 'static>(self, handle: T) {
        match self {
            Self::DropInRuntime => {
                RUNTIME.block_on(RUNTIME.spawn(async move { drop(handle) })).unwrap();
            }
            Self::DropInPanic => {
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _handle = handle;
                    resume_unwind(Box::new("of the application's"))
                }));
                assert!(panicked.is_err());
            }
            _ => drop(handle),
        }
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
});

/// A row that was accepted, and what its receipt said if there was one.
struct Claim {
    id: i64,
    told: Option<Result<(), Error>>,
}

/// A buffer that does something, and those who have it do that.
struct Scene {
    doing: Doing,
    way: Way,
    gate: Gate,
    folder: TempDir,
    stop: Arc<AtomicBool>,
    pushers: Vec<JoinHandle<Vec<Claim>>>,
}

impl Scene {
    fn set(doing: Doing, way: Way) -> (Self, WriteBuffer) {
        let folder = tempfile::tempdir().unwrap();
        let gate = match doing {
            Doing::Nothing | Doing::Load | Doing::Paused => Gate::open(),
            Doing::BackPressure | Doing::StuckInApply => Gate::closed(),
            Doing::CommitOnCaller => Gate::closed().commits_on_caller(),
        };
        let does_end = matches!(doing, Doing::Nothing | Doing::Load | Doing::BackPressure);
        let config = Config {
            close_timeout: Duration::from_millis(if does_end { 30_000 } else { 5 }),
            linger: Duration::from_millis(1),
            retry: Retry { pause: Duration::from_millis(1), ..Retry::default() },
            rejects: Rejects { file: Some(folder.path().join("letters")), ..Rejects::default() },
            ..smallest()
        };
        let config = match doing {
            // Nothing but the wait for a row makes it due, so that whoever waits finds it alone.
            Doing::CommitOnCaller => Config {
                batch_size: 100,
                max_transaction_rows: 100,
                linger: HOUR,
                max_buffer_bytes: 1_048_576,
                ..config
            },
            _ => config,
        };
        let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
        let stop = Arc::default();
        let mut scene = Self { doing, way, gate, folder, stop, pushers: Vec::new() };
        scene.begin(&buffer);
        (scene, buffer)
    }

    /// Returns when the buffer does what it should be doing.
    fn begin(&mut self, buffer: &WriteBuffer) {
        let rows = buffer.table("topics").insert().producer().unwrap();
        match self.doing {
            Doing::Nothing => {
                let claims = (0..5).map(|id| submit(&rows, id)).collect();
                buffer.flush().unwrap();
                self.pushers.push(thread::spawn(|| claims));
            }
            Doing::Load => {
                self.push_from_many(&rows);
                wait_until(|| buffer.stats().accepted > 100);
            }
            Doing::BackPressure => {
                self.push_from_many(&rows);
                self.gate.await_arrival();
                wait_until(|| buffer.stats().full >= 4);
            }
            Doing::Paused => {
                let error = Error::new(ErrorKind::Unavailable, "the disk is full");
                self.gate.fail(10_000, &SinkError::down(error));
                self.leave_a_few(rows);
                wait_until(|| buffer.stats().pauses == 1);
            }
            Doing::StuckInApply => {
                self.leave_a_few(rows);
                self.gate.await_arrival();
            }
            Doing::CommitOnCaller => {
                let mut id = 0;
                while buffer.stats().commits_on_caller == 0 {
                    self.gate.pass(1);
                    rows.write(&(id, "x", 0)).unwrap();
                    id += 1;
                }
                let receipt = rows.submit(&(id, "x", 0)).unwrap();
                self.pushers
                    .push(thread::spawn(move || vec![Claim { id, told: Some(receipt.wait()) }]));
                self.gate.await_arrival();
                assert_eq!(buffer.stats().commits_on_caller, 2);
                self.leave_a_few(rows);
            }
        }
    }

    /// Rows with and without receipts, which are waited for.
    fn leave_a_few(&mut self, rows: Producer) {
        let receipts: Vec<_> =
            (1_000..1_005).map(|id| (id, rows.submit(&(id, "x", 0)).unwrap())).collect();
        let pushed = (2_000..2_005).map(|id| {
            rows.push(&(id, "x", 0)).unwrap();
            Claim { id, told: None }
        });
        let mut claims: Vec<_> = pushed.collect();
        drop(rows);
        self.pushers.push(thread::spawn(move || {
            claims.extend(
                receipts.into_iter().map(|(id, receipt)| Claim { id, told: Some(receipt.wait()) }),
            );
            claims
        }));
    }

    /// Threads and tasks that push until the buffer accepts nothing, or they are told to stop.
    fn push_from_many(&mut self, rows: &Producer) {
        for thread in 0..6 {
            let (rows, stop, way) = (rows.clone(), Arc::clone(&self.stop), self.way);
            self.pushers.push(thread::spawn(move || {
                let ids = (1 + thread) * 1_000_000..;
                match thread {
                    0 | 1 => push_until(ids, rows, way, &stop, |rows, id| {
                        rows.push(&(id, "x", 0)).map(|()| None)
                    }),
                    2 => push_until(ids, rows, way, &stop, |rows, id| {
                        rows.submit(&(id, "x", 0)).map(Some)
                    }),
                    3 => push_until(ids, rows, way, &stop, |rows, id| {
                        let receipt = rows.submit(&(id, "x", 0))?;
                        let _ = receipt.decided();
                        Ok(Some(receipt))
                    }),
                    4 => push_until(ids, rows, way, &stop, |rows, id| {
                        RUNTIME.block_on(rows.push_async(&(id, "x", 0))).map(|()| None)
                    }),
                    _ => push_until(ids, rows, way, &stop, |rows, id| {
                        RUNTIME.block_on(rows.submit_async(&(id, "x", 0))).map(Some)
                    }),
                }
            }));
        }
    }

    /// Ends the buffer. Returns the rows that were handed back, and whether all others were promised.
    fn end(&self, buffer: WriteBuffer) -> (Vec<DeadLetter>, bool) {
        let (gate, doing, way) = (self.gate.clone(), self.doing, self.way);
        let watched = buffer.clone();
        if way.is_drop() {
            drop(watched);
            self.stop.store(true, Ordering::Relaxed);
            if doing == Doing::BackPressure {
                gate.open_up();
            }
            way.let_go(buffer);
            return (Vec::new(), false);
        }
        let opener = thread::spawn(move || {
            if doing == Doing::BackPressure && way != Way::CloseInNoTime {
                let accepts = || watched.ready(Duration::MAX).is_ok();
                wait_until(|| !accepts());
                gate.open_up();
            }
        });
        let ended = match way {
            Way::CloseInNoTime => {
                let report = buffer.close_within(Duration::from_millis(1)).unwrap();
                assert!(adds_up(&report.stats), "{:?}", report.stats);
                (report.leftovers, false)
            }
            Way::CloseAsync => (Vec::new(), RUNTIME.block_on(buffer.close_async()).is_ok()),
            _ => (Vec::new(), buffer.close().is_ok()),
        };
        opener.join().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        ended
    }

    /// Looks what became of every row, when all who have to do with them have come to an end.
    fn look(self, leftovers: &[DeadLetter], all_promised: bool) -> Seen {
        let does_end = matches!(self.doing, Doing::Nothing | Doing::Load | Doing::BackPressure);
        if self.doing == Doing::CommitOnCaller || self.doing == Doing::StuckInApply {
            // The rows are decided by now, or soon; what is said of them late changes nothing.
            self.gate.open_up();
        }
        let claims: Vec<_> = self.pushers.into_iter().flat_map(|p| p.join().unwrap()).collect();
        self.gate.open_up();
        self.gate.await_drop();
        let file = self.folder.path().join("letters");
        let unheard: Vec<_> = claims.iter().filter(|claim| claim.told.is_none()).collect();
        let told = || letters(&file, leftovers);
        let is_known = |written: &HashMap<i64, u64>, letters: &HashMap<i64, Vec<ErrorKind>>| {
            unheard.iter().all(|row| written.contains_key(&row.id) || letters.contains_key(&row.id))
        };
        if self.way == Way::DropInRuntime {
            // A thread of its own writes the last letters.
            wait_until(|| is_known(&written(&self.gate), &told()));
        }
        let (written, letters) = (written(&self.gate), told());
        let twice = written.values().filter(|&&count| count > 1).count()
            + letters.values().filter(|letters| letters.len() > 1).count();
        let mut lost = 0;
        for Claim { id, told } in &claims {
            let is_there = written.contains_key(id);
            let fate = match (told, letters.get(id)) {
                (None, None) | (Some(Ok(())), None) => None,
                (None, Some(letters)) => Some(letters[0]),
                (Some(Err(error)), None) => Some(error.kind()),
                (Some(_), Some(_)) => panic!("row {id} has a receipt and a dead letter"),
            };
            match fate {
                None => lost += u64::from(!is_there),
                Some(ErrorKind::Unknown) => {}
                Some(ErrorKind::Unwritten) => assert!(!is_there, "row {id} was written"),
                Some(kind) => panic!("row {id} was told {kind:?}"),
            }
            let may_fail = !does_end || self.way == Way::CloseInNoTime;
            assert!(fate.is_none() || may_fail && !all_promised, "{:?}: {fate:?}", self.doing);
        }
        Seen { rows: claims.len() as u64, lost, twice: twice as u64 }
    }
}

fn submit(rows: &Producer, id: i64) -> Claim {
    let receipt = rows.submit(&(id, "x", 0)).unwrap();
    Claim { id, told: Some(receipt.wait()) }
}

fn push_until(
    ids: impl Iterator<Item = i64>,
    rows: Producer,
    way: Way,
    stop: &AtomicBool,
    push: impl Fn(&Producer, i64) -> Result<Option<forebay::Receipt>, Error>,
) -> Vec<Claim> {
    let mut accepted = Vec::new();
    for id in ids.take_while(|_| !stop.load(Ordering::Relaxed)) {
        match push(&rows, id) {
            Ok(receipt) => accepted.push((id, receipt)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error:#}");
                break;
            }
        }
    }
    if way.is_drop() {
        way.let_go(rows);
    } else {
        drop(rows);
    }
    let claims = accepted.into_iter();
    claims.map(|(id, receipt)| Claim { id, told: receipt.map(|receipt| receipt.wait()) }).collect()
}

/// The rows that the sink accepted, and how often.
fn written(gate: &Gate) -> HashMap<i64, u64> {
    let mut written = HashMap::new();
    gate.ids().concat().into_iter().for_each(|id| *written.entry(id).or_default() += 1);
    written
}

/// The dead letters in the file, and those that were handed back.
fn letters(file: &PathBuf, leftovers: &[DeadLetter]) -> HashMap<i64, Vec<ErrorKind>> {
    let mut letters: HashMap<i64, Vec<ErrorKind>> = HashMap::new();
    for letter in leftovers {
        let Value::Integer(id) = letter.fields[0].1 else { panic!("{letter:?}") };
        letters.entry(id).or_default().push(letter.error.kind());
    }
    // The last line may be half written.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = match line["kind"].as_str() {
            Some("unknown") => ErrorKind::Unknown,
            Some("unwritten") => ErrorKind::Unwritten,
            _ => panic!("{line}"),
        };
        letters.entry(line["fields"]["id"].as_i64().unwrap()).or_default().push(kind);
    }
    letters
}

/// Waits for what no lock of the tests' guards; the round's patience bounds it.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// One round: the buffer is ended in this way while it does each of these things, all at once.
fn end_them(way: Way) -> Seen {
    let cells = DOING.map(|doing| {
        thread::spawn(move || {
            let (scene, buffer) = Scene::set(doing, way);
            let (leftovers, all_promised) = scene.end(buffer);
            scene.look(&leftovers, all_promised)
        })
    });
    let mut seen = Seen::default();
    cells.into_iter().for_each(|cell| seen += cell.join().unwrap());
    seen
}

const HOW: &str = "while idle, under load of 6 threads and tasks, with pushers blocked by the full buffer, paused, \
                   stuck in the sink, and with a thread that commits its own row";

fn trial(way: Way, fault: &'static str) {
    Trial::of(22, fault, HOW).rounds(10, 200).run(move |_| end_them(way));
}

#[test]
fn close_ends_whatever_the_buffer_is_doing() {
    trial(Way::Close, "close");
}

#[test]
fn close_within_no_time_ends_whatever_the_buffer_is_doing_and_hands_back_the_rest() {
    trial(Way::CloseInNoTime, "close within 1 ms");
}

#[test]
fn close_async_ends_whatever_the_buffer_is_doing() {
    trial(Way::CloseAsync, "close from a task");
}

#[test]
fn the_drop_of_the_last_handle_ends_whatever_the_buffer_is_doing() {
    trial(Way::Drop, "the last handle dropped");
}

#[test]
fn a_drop_inside_a_runtime_ends_whatever_the_buffer_is_doing() {
    trial(Way::DropInRuntime, "the last handle dropped inside an async runtime");
}

#[test]
fn a_drop_while_panicking_ends_whatever_the_buffer_is_doing() {
    trial(Way::DropInPanic, "the last handle dropped while its thread panics");
}
