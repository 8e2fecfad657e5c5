//! Threads and tasks that push, what each row of theirs was promised, and how that is held against what there is.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use forebay::{DeadLetter, Error, ErrorKind, Producer, Receipt, Value};
use futures::future::{BoxFuture, FutureExt};
use support::{Gate, Seen};
use tokio::runtime::Runtime;

/// The runtime of all tasks.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
});

/// A row that was accepted, and what its receipt said if there was one.
pub(crate) struct Claim {
    pub(crate) id: i64,
    pub(crate) told: Option<Result<(), Error>>,
}

/// What a thread or task has pushed, and the error that ended it, unless it was told to stop.
pub(crate) struct Pushed {
    pub(crate) claims: Vec<Claim>,
    pub(crate) ended: Option<Error>,
}

/// Eight threads and two tasks that push into a table of one column, in every way there is, until the buffer accepts
/// nothing or they are told to stop.
pub(crate) struct Crowd {
    pushers: Vec<BoxFuture<'static, Pushed>>,
    stop: Arc<AtomicBool>,
}

impl Crowd {
    /// How many threads wait for room when there is none.
    pub(crate) const BLOCKING: u64 = 5;

    /// Each thread lets go of its producer by `let_go`, each task drops it; then they wait for their receipts.
    pub(crate) fn begin(
        rows: &Producer,
        let_go: impl Fn(Producer) + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let pushers = (0..10_i64).map(|pusher| {
            let (rows, stop, let_go) = (rows.clone(), Arc::clone(&stop), let_go.clone());
            let ids = (1 + pusher) * 1_000_000..;
            let push = async move {
                let mut accepted = Vec::new();
                let mut error = None;
                for id in ids.take_while(|_| !stop.load(Ordering::Relaxed)) {
                    match push(pusher, &rows, id).await {
                        Ok(receipt) => accepted.push((id, receipt)),
                        Err(refused)
                            if [ErrorKind::Full, ErrorKind::TimedOut].contains(&refused.kind()) =>
                        {
                            thread::yield_now();
                        }
                        Err(refused) => {
                            error = Some(refused);
                            break;
                        }
                    }
                }
                if pusher < 8 {
                    let_go(rows);
                } else {
                    drop(rows);
                }
                let mut claims = Vec::new();
                for (id, receipt) in accepted {
                    let told = match receipt {
                        Some(Told::Already(told)) => Some(told),
                        // Threads wait, tasks await.
                        Some(Told::Later(receipt)) if pusher < 8 => Some(receipt.wait()),
                        Some(Told::Later(receipt)) => Some(receipt.await),
                        None => None,
                    };
                    claims.push(Claim { id, told });
                }
                Pushed { claims, ended: error }
            };
            begin(pusher < 8, push)
        });
        Self { pushers: pushers.collect(), stop }
    }

    /// Has them stop at their next row.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for all of them.
    pub(crate) fn join(self) -> Vec<Pushed> {
        let pushed = futures::future::join_all(self.pushers);
        futures::executor::block_on(pushed)
    }
}

/// Runs a future on a thread of its own, or as a task.
fn begin(
    on_thread: bool,
    push: impl Future<Output = Pushed> + Send + 'static,
) -> BoxFuture<'static, Pushed> {
    if !on_thread {
        return RUNTIME.spawn(push).map(Result::unwrap).boxed();
    }
    let (told, pushed) = futures::channel::oneshot::channel();
    thread::spawn(|| told.send(push.now_or_never().expect("a thread awaits nothing")));
    pushed.map(Result::unwrap).boxed()
}

enum Told {
    Already(Result<(), Error>),
    Later(Receipt),
}

async fn push(pusher: i64, rows: &Producer, id: i64) -> Result<Option<Told>, Error> {
    let row = &(id,);
    match pusher {
        0 | 1 => rows.push(row).map(|()| None),
        2 | 3 => Ok(Some(Told::Later(rows.submit(row)?))),
        4 => Ok(Some(Told::Already(rows.submit(row)?.wait()))),
        5 => {
            let mut receipt = rows.submit(row)?;
            match receipt.wait_timeout(Duration::ZERO) {
                Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Some(Told::Later(receipt))),
                told => Ok(Some(Told::Already(told))),
            }
        }
        6 => rows.try_push(row).map(|()| None),
        7 => rows.push_timeout(row, Duration::from_millis(1)).map(|()| None),
        8 => rows.push_async(row).await.map(|()| None),
        _ => Ok(Some(Told::Already(rows.submit_async(row).await?.await))),
    }
}

/// The rows that a gated sink accepted, and how often.
pub(crate) fn written(gate: &Gate) -> HashMap<i64, u64> {
    let mut written = HashMap::new();
    gate.ids().concat().into_iter().for_each(|id| *written.entry(id).or_default() += 1);
    written
}

/// Dead letters by their row's id.
pub(crate) type Letters = HashMap<i64, Vec<ErrorKind>>;

/// Adds the letters that were handed over.
pub(crate) fn add_letters(letters: &mut Letters, handed: &[DeadLetter]) {
    for letter in handed {
        let Value::Integer(id) = letter.fields[0].1 else { panic!("{letter:?}") };
        letters.entry(id).or_default().push(letter.error.kind());
    }
}

/// The letters in a file. Its last line may be half written.
pub(crate) fn letters_in(file: &Path) -> Letters {
    let mut letters = Letters::new();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = match line["kind"].as_str() {
            Some("rejected") => ErrorKind::Rejected,
            Some("unknown") => ErrorKind::Unknown,
            Some("unwritten") => ErrorKind::Unwritten,
            _ => panic!("{line}"),
        };
        letters.entry(line["fields"]["id"].as_i64().unwrap()).or_default().push(kind);
    }
    letters
}

/// Holds what was promised against what is there: a row is written, or told of once. Returns also what those were told
/// that are not promised.
///
/// # Panics
///
/// When a row was told of that is written, or twice.
pub(crate) fn settle(
    claims: &[Claim],
    written: &HashMap<i64, u64>,
    letters: &Letters,
) -> (Seen, HashMap<i64, ErrorKind>) {
    let mut troubles = HashMap::new();
    let mut lost = 0;
    for Claim { id, told } in claims {
        let is_there = written.contains_key(id);
        let trouble = match (told, letters.get(id)) {
            (None, None) | (Some(Ok(())), None) => None,
            (None, Some(letters)) => {
                assert_eq!(letters.len(), 1, "row {id} is in {letters:?}");
                Some(letters[0])
            }
            (Some(Err(error)), None) => Some(error.kind()),
            (Some(told), Some(_)) => panic!("row {id} has a dead letter and was told {told:?}"),
        };
        match trouble {
            None => lost += u64::from(!is_there),
            Some(ErrorKind::Unknown) => {}
            Some(ErrorKind::Unwritten | ErrorKind::Rejected) => {
                assert!(!is_there, "row {id} was written, but told {trouble:?}");
            }
            Some(kind) => panic!("row {id} was told {kind:?}"),
        }
        troubles.extend(trouble.map(|trouble| (*id, trouble)));
    }
    let twice = written.values().filter(|&&count| count > 1).count() as u64;
    (Seen { rows: claims.len() as u64, lost, twice }, troubles)
}

/// Waits for what no lock of the tests' guards; the round's patience bounds it.
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::park_timeout(Duration::from_millis(1));
    }
}
