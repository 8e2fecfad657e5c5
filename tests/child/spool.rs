//! The children whose rows outlive them: one that only pushes, into a buffer with a spool, and one that only writes what
//! others have left there.

use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use forebay::rusqlite::{Connection, ErrorCode};
use forebay::{Error, Producer, WriteBuffer};
use support::{Accepted, PUSHERS, Phase, Pushed, spooling};

/// What a thread needs.
struct Load {
    buffer: WriteBuffer,
    landed: Producer,
    accepted: Accepted,
    life: i64,
}

/// Pushes until killed. `life` is larger than that of any child of this database before.
pub(crate) fn push(database: &Path, life: i64, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let accepted = Accepted::open(database).unwrap();
    accepted.phase(Phase::Opening).unwrap();
    crate::say("opening");
    // Segments of other lengths than those of the child before; and room to grow into, of which there is much at times.
    let room = if Pushed::has_long_rows(life) { 128 } else { 1 };
    let max_buffer_bytes = random.usize(64..=128) * 1024 * room;
    let times = [2, 4, 4, 16][random.usize(..4)];
    let config = spooling(database, max_buffer_bytes, times);
    let buffer = WriteBuffer::builder(database).config(config).open().unwrap();
    accepted.phase(Phase::Open).unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    let load = Load { buffer, landed, accepted, life };
    thread::scope(|scope| {
        let load = &load;
        scope.spawn(move || hold_the_lock(database, random));
        for thread in 0..PUSHERS {
            scope.spawn(move || load.push(thread));
        }
    });
}

/// Opens the buffer, waits for what is in the spool, closes it, and begins anew, until killed.
pub(crate) fn replay(database: &Path) {
    let accepted = Accepted::open(database).unwrap();
    accepted.phase(Phase::Opening).unwrap();
    crate::say("opening");
    loop {
        let config = spooling(database, 96 * 1024, 4);
        let buffer = WriteBuffer::builder(database).config(config).open().unwrap();
        accepted.phase(Phase::Open).unwrap();
        buffer.flush().unwrap();
        accepted.phase(Phase::Closing).unwrap();
        buffer.close().unwrap();
        accepted.phase(Phase::Opening).unwrap();
    }
}

/// Now and then the database cannot be written for a while: segments fill, and are used again afterwards.
fn hold_the_lock(database: &Path, mut random: Rng) {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    loop {
        thread::park_timeout(Duration::from_micros(random.u64(0..20_000)));
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => {
                thread::park_timeout(Duration::from_micros(random.u64(0..30_000)));
                connection.execute_batch("ROLLBACK").unwrap();
            }
            // Others come first, or copy the log.
            Err(error) => assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy)),
        }
    }
}

impl Load {
    fn push(&self, thread: i64) {
        for call in (0..).map(|n| Pushed { life: self.life, thread, n }) {
            self.hand_over(call).unwrap();
            self.accepted.calls(self.life, thread, call.n + 1).unwrap();
        }
    }

    fn hand_over(&self, call: Pushed) -> Result<(), Error> {
        if call.parts() == 1 {
            return self.landed.push(&call.row(0));
        }
        let fill = |group: &mut forebay::Group<'_>| {
            (0..call.parts()).try_for_each(|part| group.add(&self.landed, &call.row(part)))
        };
        self.buffer.group(fill).map(drop)
    }
}
