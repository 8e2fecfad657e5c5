//! Ways to end a buffer, by whatever it is doing: none hangs, and of every row it is known in the end what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::{
    Config, DeadLetter, Error, ErrorKind, Producer, Receipt, Rejects, Retry, SinkError, TableInfo,
    WriteBuffer,
};
use support::{Gate, Seen, Trial, adds_up, smallest};
use tempfile::TempDir;

use crate::claims::{Claim, Crowd, RUNTIME, add_letters, letters_in, settle, wait_until, written};

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

impl Doing {
    /// Whether it comes to its end if it is given time.
    fn ends(self) -> bool {
        matches!(self, Self::Nothing | Self::Load | Self::BackPressure)
    }
}

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

/// A buffer that does something, and those who have it do that.
struct Scene {
    doing: Doing,
    way: Way,
    gate: Gate,
    folder: TempDir,
    claims: Vec<Claim>,
    waiting: Vec<JoinHandle<Vec<Claim>>>,
    crowd: Option<Crowd>,
}

impl Scene {
    fn set(doing: Doing, way: Way) -> (Self, WriteBuffer) {
        let folder = tempfile::tempdir().unwrap();
        let gate = match doing {
            Doing::Nothing | Doing::Load | Doing::Paused => Gate::open(),
            Doing::BackPressure | Doing::StuckInApply => Gate::closed(),
            Doing::CommitOnCaller => Gate::closed().commits_on_caller(),
        };
        let config = Config {
            close_timeout: Duration::from_millis(if doing.ends() { 30_000 } else { 5 }),
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
        gate.set_table(TableInfo::new("landed").column("id"));
        let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
        let (claims, waiting) = (Vec::new(), Vec::new());
        let mut scene = Self { doing, way, gate, folder, claims, waiting, crowd: None };
        scene.begin(&buffer);
        (scene, buffer)
    }

    /// Returns when the buffer does what it should be doing.
    fn begin(&mut self, buffer: &WriteBuffer) {
        let rows = buffer.table("landed").insert().producer().unwrap();
        match self.doing {
            Doing::Nothing => {
                for id in 0..5 {
                    self.claims.push(Claim { id, told: Some(rows.write(&(id,))) });
                }
                buffer.flush().unwrap();
            }
            Doing::Load => {
                self.begin_crowd(rows);
                wait_until(|| buffer.stats().accepted > 100);
            }
            Doing::BackPressure => {
                self.begin_crowd(rows);
                self.gate.await_arrival();
                wait_until(|| buffer.stats().full >= Crowd::BLOCKING);
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
                    rows.write(&(id,)).unwrap();
                    id += 1;
                }
                let receipt = rows.submit(&(id,)).unwrap();
                self.waiting
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
            (1_000..1_005).map(|id| (id, rows.submit(&(id,)).unwrap())).collect();
        for id in 2_000..2_005 {
            rows.push(&(id,)).unwrap();
            self.claims.push(Claim { id, told: None });
        }
        let wait = |(id, receipt): (i64, Receipt)| Claim { id, told: Some(receipt.wait()) };
        self.waiting.push(thread::spawn(move || receipts.into_iter().map(wait).collect()));
    }

    fn begin_crowd(&mut self, rows: Producer) {
        let way = self.way;
        // A drop in its own way, for one of these may be the last.
        self.crowd = Some(Crowd::begin(&rows, move |rows| match way.is_drop() {
            true => way.let_go(rows),
            false => drop(rows),
        }));
    }

    /// Ends the buffer. Returns the rows that were handed back, and whether all others were promised.
    fn end(&self, buffer: WriteBuffer) -> (Vec<DeadLetter>, bool) {
        let (gate, doing, way) = (self.gate.clone(), self.doing, self.way);
        let watched = buffer.clone();
        if way.is_drop() {
            drop(watched);
            self.crowd.iter().for_each(Crowd::stop);
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
        let begun = Instant::now();
        let ended = match way {
            Way::CloseInNoTime => {
                let report = buffer.close_within(Duration::from_millis(1)).unwrap();
                assert!(adds_up(&report.stats), "{:?}", report.stats);
                (report.leftovers, false)
            }
            Way::CloseAsync => (Vec::new(), RUNTIME.block_on(buffer.close_async()).is_ok()),
            _ => (Vec::new(), buffer.close().is_ok()),
        };
        // It ends by itself, or when its few milliseconds are over.
        assert!(begun.elapsed() < Duration::from_secs(10), "{doing:?}: {:?}", begun.elapsed());
        opener.join().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        ended
    }

    /// Looks what became of every row, when all who have to do with them have come to an end.
    fn look(self, leftovers: &[DeadLetter], all_promised: bool) -> Seen {
        self.gate.open_up();
        let mut claims = self.claims;
        claims.extend(self.waiting.into_iter().flat_map(|waiting| waiting.join().unwrap()));
        if let Some(crowd) = self.crowd {
            for pushed in crowd.join() {
                let ended = pushed.ended.map(|error| error.kind());
                assert!(matches!(ended, None | Some(ErrorKind::Closed)), "{ended:?}");
                claims.extend(pushed.claims);
            }
        }
        self.gate.await_drop();
        let file = self.folder.path().join("letters");
        let letters = || {
            let mut letters = letters_in(&file);
            add_letters(&mut letters, leftovers);
            letters
        };
        if self.way == Way::DropInRuntime {
            // A thread of its own writes the last letters.
            wait_until(|| {
                let (written, letters) = (written(&self.gate), letters());
                let is_known = |id| written.contains_key(id) || letters.contains_key(id);
                claims.iter().all(|claim| claim.told.is_some() || is_known(&claim.id))
            });
        }
        let (seen, troubles) = settle(&claims, &written(&self.gate), &letters());
        let may_fail = !self.doing.ends() || self.way == Way::CloseInNoTime;
        let as_promised = troubles.is_empty() || may_fail && !all_promised;
        assert!(as_promised, "{:?}: {troubles:?}", self.doing);
        seen
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

const HOW: &str = "while idle, under load of 8 threads and 2 tasks, with pushers blocked by the full buffer, paused, \
                   stuck in the sink, and with a thread that commits its own row";

fn trial(way: Way, fault: &'static str) {
    let sum = if way.is_drop() {
        "; the sum by an assertion of the library's, in builds for debugging"
    } else {
        ""
    };
    Trial::of(22, fault, format!("{HOW}{sum}")).rounds(10, 200).run(move |_| end_them(way));
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
