//! Bad rows among good ones: each comes back by its receipt, or by a callback and in a file, and the others are written.
//!
//! ```text
//! cargo run -p forebay --example dead_letters
//! ```
//!
//! The database and the file are temporary ones. In the file the values keep their types, so that the rows can
//! be repaired and loaded again.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use forebay::{Config, Rejects, Stats, WriteBuffer};
use parking_lot::Mutex;
use serde::Serialize;

const CREATE: &str = "CREATE TABLE orders(order_id INTEGER PRIMARY KEY, email TEXT UNIQUE, \
                      quantity REAL CONSTRAINT some CHECK (quantity > 0), digest BLOB)";

#[derive(Serialize)]
struct Order<'a> {
    order_id: i64,
    email: Option<&'a str>,
    quantity: f64,
    #[serde(with = "serde_bytes")]
    digest: &'a [u8],
}

/// What a run did.
pub struct Report {
    /// What the receipt said of its row.
    pub receipt: forebay::Result<()>,
    /// The errors that the callback was given.
    pub called: Vec<forebay::Error>,
    /// The lines of the file.
    pub lines: Vec<String>,
    /// The buffer's counters after it was closed.
    pub stats: Stats,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let folder = tempfile::tempdir()?;
    run(folder.path(), &mut io::stdout())?;
    Ok(())
}

/// Writes good and bad orders to a database in `folder`, and tells `out` what came back.
pub fn run(folder: &Path, out: &mut dyn Write) -> Result<Report, Box<dyn Error>> {
    let file = folder.join("dead-letters.ndjson");
    let called = Arc::new(Mutex::new(Vec::new()));
    let buffer = {
        let called = Arc::clone(&called);
        let rejects = Rejects { file: Some(file.clone()), ..Rejects::default() };
        WriteBuffer::builder(folder.join("orders.db"))
            .config(Config { rejects, ..Config::default() })
            .on_reject(move |letter| called.lock().push(letter.error.clone()))
            .open()?
    };
    buffer.execute(CREATE)?;
    let orders = buffer.table("orders").insert().producer()?;

    let order = |order_id, email, quantity| Order { order_id, email, quantity, digest: &[0, 255] };
    orders.push(&order(1, Some("ada@example.org"), 2.0))?;
    orders.push(&order(2, Some("ada@example.org"), 1.0))?; // violates UNIQUE
    orders.push(&order(3, None, 0.0))?; // violates CHECK
    let receipt = orders.submit(&order(4, None, -1.0))?; // violates CHECK too, and somebody waits for it
    orders.push(&order(5, Some("bob@example.org"), 0.5))?;

    let receipt = receipt.wait();
    buffer.flush()?; // from here on the callback was called and the lines are in the file
    writeln!(out, "receipt   order 4: {}", told(&receipt))?;
    let called = std::mem::take(&mut *called.lock());
    for error in &called {
        writeln!(out, "callback  {error:#}")?;
    }
    let lines: Vec<_> = fs::read_to_string(&file)?.lines().map(ToOwned::to_owned).collect();
    for line in &lines {
        writeln!(out, "file      {line}")?;
    }
    buffer.close()?;
    let stats = buffer.stats();
    writeln!(
        out,
        "counted   {} accepted = {} committed + {} rejected",
        stats.accepted, stats.committed, stats.rejected
    )?;
    Ok(Report { receipt, called, lines, stats })
}

fn told(receipt: &forebay::Result<()>) -> String {
    match receipt {
        Ok(()) => "written".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}
