//! Another process for the tests of faults: `fault-other WORD DATABASE`.
//!
//! Says a line when it has got as far as a test waits for, and ends when its standard input does.
//! * `lock`: holds the database's lock, and lets go of it in the end.
//! * `read`: holds a read transaction, and with it the log.
//! * `write`: writes rows of its own, one after the other.
//! * `overwrite OFFSET LENGTH`: writes garbage over a part of the file.
//! * `open`: opens a write buffer, and says why it could not.

use std::error::Error;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use forebay::WriteBuffer;
use rusqlite::Connection;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Rows that `write` has written when it says so: some pages of log.
const WRITTEN: i64 = 2_000;

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "fault-other: {error}");
    ExitCode::FAILURE
}

fn run() -> Result {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (Some(word), Some(path)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: fault-other WORD DATABASE".into());
    };
    let path = Path::new(path);
    match word.to_str() {
        Some("lock") => hold(path, "BEGIN IMMEDIATE"),
        Some("read") => hold(path, "BEGIN; SELECT count(*) FROM landed"),
        Some("write") => write(path),
        Some("overwrite") => overwrite(path, &arguments[2..]),
        Some("open") => open(path),
        _ => Err("there is no such word".into()),
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    Ok(connection)
}

fn hold(path: &Path, sql: &str) -> Result {
    let connection = connect(path)?;
    connection.execute_batch(sql)?;
    say("so far")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    connection.execute_batch("ROLLBACK")?;
    Ok(())
}

/// Writes until it is killed, or its standard input ends. Its ids are below zero: no thread of the test has those.
fn write(path: &Path) -> Result {
    let connection = connect(path)?;
    let input = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let mut insert = connection.prepare("INSERT INTO landed(id) VALUES (?1)")?;
    for id in 1_i64.. {
        insert.execute([-id])?;
        if id == WRITTEN {
            say("so far")?;
        }
        if id > WRITTEN && input.is_finished() {
            break;
        }
    }
    Ok(())
}

fn overwrite(path: &Path, place: &[OsString]) -> Result {
    let number = |index: usize| -> Result<u64> {
        let text = place.get(index).and_then(|text| text.to_str());
        Ok(text.ok_or("usage: fault-other overwrite FILE OFFSET LENGTH")?.parse()?)
    };
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(number(0)?))?;
    file.write_all(&vec![0xA5; usize::try_from(number(1)?)?])?;
    say("so far")
}

fn open(path: &Path) -> Result {
    match WriteBuffer::open(path) {
        Ok(buffer) => buffer.close()?,
        Err(error) => say(&format!("{error:#}"))?,
    }
    Ok(())
}

fn say(line: &str) -> Result {
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
