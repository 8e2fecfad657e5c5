//! A topic's status and its line in the audit commit together, or neither of them does.
//!
//! ```text
//! cargo run -p forebay --example groups
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use forebay::{ErrorKind, Producer, Readers, Receipt, WriteBuffer, rusqlite};
use serde::Serialize;

const CREATE: [&str; 2] = [
    "CREATE TABLE topic_status(topic_id INTEGER PRIMARY KEY, status TEXT NOT NULL)",
    "CREATE TABLE audit(topic_id INTEGER NOT NULL, status TEXT NOT NULL, \
     by TEXT NOT NULL CONSTRAINT somebody CHECK (by <> ''))",
];

#[derive(Serialize)]
struct TopicStatus<'a> {
    topic_id: i64,
    status: &'a str,
}

#[derive(Serialize)]
struct Audit<'a> {
    topic_id: i64,
    status: &'a str,
    by: &'a str,
}

/// What the database holds in the end.
pub struct Tables {
    /// Topics and their status.
    pub topics: Vec<(i64, String)>,
    /// The audit's topics and statuses, oldest first.
    pub audit: Vec<(i64, String)>,
}

/// Writes to both tables, or to none.
struct Topics {
    buffer: WriteBuffer,
    topics: Producer,
    audit: Producer,
}

impl Topics {
    fn set(&self, topic_id: i64, status: &str, by: &str) -> forebay::Result<()> {
        let group = self.buffer.group(|group| {
            group.add(&self.topics, &TopicStatus { topic_id, status })?;
            group.add(&self.audit, &Audit { topic_id, status, by })
        });
        group.and_then(Receipt::wait) // one receipt stands for both rows
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    run(&folder.path().join("topics.db"), &mut io::stdout()).map(drop)
}

/// Sets a few statuses, one of them without saying who does, and tells `out` what became of each.
pub fn run(database: &Path, out: &mut dyn Write) -> Result<Tables, Box<dyn Error>> {
    let buffer = WriteBuffer::open(database)?;
    CREATE.iter().try_for_each(|sql| buffer.execute(sql))?;
    let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
    let audit = buffer.table("audit").insert().producer()?;
    let both = Topics { buffer: buffer.clone(), topics, audit };

    let changes =
        [(7, "running", "ada"), (8, "queued", "grace"), (8, "running", ""), (7, "done", "ada")];
    for (topic_id, status, by) in changes {
        let outcome = match both.set(topic_id, status, by) {
            Ok(()) => "both rows committed".to_owned(),
            Err(error) if error.kind() == ErrorKind::Rejected => format!("refused whole: {error}"),
            Err(error) => return Err(error.into()),
        };
        writeln!(out, "topic {topic_id} {status:8} by {by:6} {outcome}")?;
    }

    let tables = read(&buffer.readers()?)?;
    buffer.close()?;
    let last = |topic: i64| tables.audit.iter().rev().find(|(audited, _)| *audited == topic);
    let differing = tables.topics.iter().filter(|topic| last(topic.0) != Some(topic)).count();
    match differing {
        0 => writeln!(out, "equal: every topic is as its last audit line says")?,
        some => writeln!(out, "not equal: {some} topics are not as their last audit line says")?,
    }
    Ok(tables)
}

/// Both tables at one moment.
fn read(readers: &Readers) -> Result<Tables, Box<dyn Error>> {
    let reader = readers.get()?;
    let moment = reader.unchecked_transaction()?;
    let all = |sql: &str| -> rusqlite::Result<Vec<(i64, String)>> {
        moment.prepare(sql)?.query_map([], |row| row.try_into())?.collect()
    };
    Ok(Tables {
        topics: all("SELECT topic_id, status FROM topic_status ORDER BY topic_id")?,
        audit: all("SELECT topic_id, status FROM audit ORDER BY rowid")?,
    })
}
