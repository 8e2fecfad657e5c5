//! A process with a buffer, which does what its standard input says until it is told to close, or killed.
#![allow(clippy::unwrap_used, reason = "a child that cannot go on ends at once")]

mod faults;
#[path = "../protocol.rs"]
mod protocol;

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use forebay::{Config, DeadLetter, Producer, Receipt, Result, SqliteSink, Value, WriteBuffer};
use parking_lot::Mutex;
use serde::Serialize;
use support::{Answer, Surrounded};

use faults::Faulty;
use protocol::{Counts, Reply, Request, Step, Unit};

/// A row of the table.
#[derive(Serialize)]
struct Row {
    id: i64,
    bad: bool,
}

/// A thread of the application's.
struct Worker {
    number: usize,
    buffer: WriteBuffer,
    rows: Producer,
    /// Each with its unit's first id.
    receipts: VecDeque<(i64, Receipt)>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap();
    let config: Config = serde_json::from_str(&arguments.next().unwrap()).unwrap();
    let threads: usize = arguments.next().unwrap().parse().unwrap();
    let faults = Arc::new(Mutex::new(VecDeque::new()));
    let sink = SqliteSink::open(path, &config).unwrap();
    let sink = Surrounded::new(sink, Faulty(Arc::clone(&faults)));
    let buffer = WriteBuffer::builder_with_sink(sink).config(config).on_reject(tell_letter);
    let buffer = buffer.open().unwrap();
    let (senders, workers): (Vec<_>, Vec<_>) =
        (0..threads).map(|number| Worker::start(number, &buffer)).unzip();
    for line in std::io::stdin().lock().lines() {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Request::Do { thread, step } => senders[thread].send(step).unwrap(),
            Request::Inject(fault) => faults.lock().push_back(fault),
            Request::Close { patience } => {
                let report = buffer.close_within(patience).unwrap();
                report.leftovers.iter().for_each(tell_letter);
                drop(senders);
                workers.into_iter().for_each(|worker| worker.join().unwrap());
                return reply(&Reply::Closed(counts(&buffer)));
            }
        }
    }
}

fn counts(buffer: &WriteBuffer) -> Counts {
    let stats = buffer.stats();
    Counts {
        accepted: stats.accepted,
        committed: stats.committed,
        rejected: stats.rejected,
        unknown: stats.unknown,
        unwritten: stats.unwritten,
        pending: stats.pending,
    }
}

/// In one piece, which is in the pipe when this returns: whatever becomes of this process, it will be read.
fn reply(reply: &Reply) {
    let line = serde_json::to_string(reply).unwrap() + "\n";
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

fn tell_letter(letter: &DeadLetter) {
    let Value::Integer(id) = letter.fields[0].1 else { panic!("the first value is no integer") };
    reply(&Reply::Letter { id, answer: Answer::of(&Err::<(), _>(letter.error.clone())) });
}

fn tell(id: i64, told: Result<()>) {
    reply(&Reply::Told(id, Answer::of(&told)));
}

impl Worker {
    fn start(number: usize, buffer: &WriteBuffer) -> (Sender<Step>, thread::JoinHandle<()>) {
        let rows = buffer.table("rows").insert().producer().unwrap();
        let worker = Self { number, buffer: buffer.clone(), rows, receipts: VecDeque::new() };
        let (sender, steps) = channel();
        (sender, thread::spawn(move || worker.run(&steps)))
    }

    fn run(mut self, steps: &Receiver<Step>) {
        for step in steps {
            self.act(&step);
            reply(&Reply::Done);
        }
        for (id, receipt) in self.receipts {
            tell(id, receipt.wait());
        }
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Push(unit) => {
                let row = Row { id: unit.ids[0], bad: unit.bad };
                self.accepted(unit, self.rows.push(&row));
            }
            Step::Submit(unit) => {
                if let Some(receipt) = self.submit(unit) {
                    self.receipts.push_back((unit.ids[0], receipt));
                }
            }
            Step::Write(unit) => {
                if let Some(receipt) = self.submit(unit) {
                    tell(unit.ids[0], receipt.wait());
                }
            }
            Step::Await => {
                if let Some((id, receipt)) = self.receipts.pop_front() {
                    tell(id, receipt.wait());
                }
            }
            Step::Drop => {
                if let Some((id, receipt)) = self.receipts.pop_front() {
                    drop(receipt);
                    reply(&Reply::Dropped(id));
                }
            }
            Step::Flush => {
                if self.buffer.flush().is_ok() {
                    reply(&Reply::Flushed { thread: self.number });
                }
            }
        }
    }

    fn submit(&self, unit: &Unit) -> Option<Receipt> {
        let [others @ .., last] = &unit.ids[..] else { panic!("a unit has a row") };
        let last = Row { id: *last, bad: unit.bad };
        let receipt = match others {
            [] => self.rows.submit(&last),
            _ => self.buffer.group(|group| {
                others.iter().try_for_each(|&id| group.add(&self.rows, &Row { id, bad: false }))?;
                group.add(&self.rows, &last)
            }),
        };
        self.accepted(unit, receipt)
    }

    fn accepted<T>(&self, unit: &Unit, accepted: Result<T>) -> Option<T> {
        let id = unit.ids[0];
        reply(&if accepted.is_ok() { Reply::Accepted(id) } else { Reply::Refused(id) });
        accepted.ok()
    }
}
