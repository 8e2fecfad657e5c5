//! What goes wrong in a thread that pushes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use forebay::WriteBuffer;
use serde::{Serialize, Serializer};
use support::{Scratch, Seen, Trial, adds_up};

/// A row whose id is serialized, or panics half-way.
#[derive(Serialize)]
struct Row {
    id: i64,
    #[serde(serialize_with = "explode")]
    fuse: bool,
}

fn explode<S: Serializer>(fuse: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    assert!(!fuse, "the row's own code panics while it is serialized");
    serializer.serialize_none()
}

#[test]
fn a_producer_that_panics_while_pushing_takes_no_row_of_another_with_it() {
    Trial::of(
        1,
        "a producer panics while pushing",
        "a `Serialize` that panics, in each of 8 threads, every seventh row",
    )
    .rounds(20, 200)
    .run(|_| {
        let scratch = Scratch::new("CREATE TABLE landed(id INTEGER NOT NULL, fuse)");
        let buffer = WriteBuffer::open(scratch.path()).unwrap();
        let landed = buffer.table("landed").insert().producer().unwrap();
        let promised = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for thread in 0..8 {
                let (landed, promised) = (&landed, &promised);
                scope.spawn(move || {
                    for id in (0..70).map(|row| thread * 1_000 + row) {
                        let row = Row { id, fuse: id % 7 == 3 };
                        let pushed = catch_unwind(AssertUnwindSafe(|| landed.push(&row)));
                        assert_eq!(pushed.is_err(), row.fuse, "only the panic gets out");
                        if let Ok(pushed) = pushed {
                            pushed.unwrap();
                            promised.lock().unwrap().push(id);
                        }
                    }
                });
            }
        });
        buffer.close().unwrap();
        let stats = buffer.stats();
        let promised = promised.into_inner().unwrap();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(stats.committed, promised.len() as u64, "a row is there whole or not at all");
        Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised) }
    });
}
