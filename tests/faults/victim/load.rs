//! The rows that it writes: by 8 threads at once, and in between by one alone, who then commits on his own thread.
//!
//! Ids are unique and say what becomes of their row: see [`Kind`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use forebay::{Producer, Receipt, Result, WriteBuffer};
use support::{Answer, Kind, Told};

const THREADS: usize = 8;
/// What each of them writes between two times that one is alone.
const ROWS: usize = 12;
/// Rounds after the failure, or without one.
const ROUNDS_AFTER: usize = 2;
/// Rows after which a failure is not expected any more.
const ENOUGH: i64 = 10_000;
/// The longest that a receipt may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Load<'b> {
    buffer: &'b WriteBuffer,
    landed: Producer,
    also: Producer,
    next: AtomicI64,
}

impl<'b> Load<'b> {
    pub(crate) fn begin(buffer: &'b WriteBuffer) -> Result<Self> {
        Ok(Self {
            buffer,
            landed: buffer.table("landed").insert().producer()?,
            also: buffer.table("also").insert().producer()?,
            next: AtomicI64::new(0),
        })
    }

    /// Goes on until what is to fail has failed, and for a while after that.
    pub(crate) fn run(&self, has_failed: impl Fn() -> bool) {
        let mut left = ROUNDS_AFTER;
        while left > 0 {
            if has_failed() || self.next.load(Ordering::Relaxed) > ENOUGH {
                left -= 1;
            }
            self.run_once();
        }
        self.write(Kind::Plain);
    }

    pub(crate) fn run_once(&self) {
        self.alone();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || self.beside_others(thread));
            }
        });
        self.alone();
    }

    fn alone(&self) {
        for kind in [Kind::Plain, Kind::Group, Kind::Bad, Kind::Orphan, Kind::Executed] {
            self.write(kind);
        }
    }

    fn beside_others(&self, thread: usize) {
        let mut held = Vec::new();
        for row in 0..ROWS {
            let kind = match (row, thread) {
                (2 | 9, _) => Kind::Group,
                (4, 1 | 4 | 7) => Kind::Bad,
                (6, 3) => Kind::Orphan,
                (8, 0) => Kind::Executed,
                _ => Kind::Plain,
            };
            match thread {
                _ if kind == Kind::Executed => self.write(kind),
                0..3 => self.write(kind),
                3..6 => held.extend(self.submit(kind)),
                _ => self.push(kind),
            }
        }
        for (id, mut receipt) in held {
            Told::Answered(id, Answer::of(&receipt.wait_timeout(PATIENCE))).say();
        }
    }

    /// Writes and waits, for as long as it takes: the test sees that nothing is said any more.
    fn write(&self, kind: Kind) {
        let id = self.id(kind);
        if kind == Kind::Executed {
            let ran = self.buffer.execute(&format!("INSERT INTO landed(id) VALUES ({id})"));
            return Told::Answered(id, Answer::of(&ran)).say();
        }
        match self.offer(kind, id) {
            Ok(receipt) => Told::Answered(id, Answer::of(&receipt.wait())).say(),
            Err(error) => Told::Refused(id, Answer::of(&Err::<(), _>(error))).say(),
        }
    }

    fn submit(&self, kind: Kind) -> Option<(i64, Receipt)> {
        let id = self.id(kind);
        match self.offer(kind, id) {
            Ok(receipt) => Some((id, receipt)),
            Err(error) => {
                Told::Refused(id, Answer::of(&Err::<(), _>(error))).say();
                None
            }
        }
    }

    fn offer(&self, kind: Kind, id: i64) -> Result<Receipt> {
        match kind {
            Kind::Group => self.buffer.group(|group| {
                group.add(&self.landed, &(id, ()))?;
                group.add(&self.also, &(id,))?;
                group.add(&self.also, &(id,))
            }),
            kind => self.landed.submit(&row(kind, id)),
        }
    }

    /// Nobody holds a receipt: what does not come back as a dead letter is there in the end.
    fn push(&self, kind: Kind) {
        let id = self.id(kind);
        let pushed = match kind {
            Kind::Group => self.offer(kind, id).map(drop),
            kind => self.landed.push(&row(kind, id)),
        };
        match pushed {
            Ok(()) => Told::Pushed(id).say(),
            Err(error) => Told::Refused(id, Answer::of(&Err::<(), _>(error))).say(),
        }
    }

    fn id(&self, kind: Kind) -> i64 {
        kind.id(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn row(kind: Kind, id: i64) -> (i64, Option<i64>) {
    // There is no such parent.
    (id, (kind == Kind::Orphan).then_some(1))
}
