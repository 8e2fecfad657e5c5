//! A child process that is to be killed.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The child, which has begun to open the buffer. It ends with this, or with the test.
pub(crate) struct Victim(Child);

impl Victim {
    /// Starts a child that loads the database until it is killed.
    pub(crate) fn load(database: &Path, life: i64, seed: u64, max_wal_bytes: usize) -> Self {
        Self::start(
            "load",
            database,
            &[life.to_string(), seed.to_string(), max_wal_bytes.to_string()],
        )
    }

    /// Starts one that only pushes, into a buffer with a spool, until it is killed.
    pub(crate) fn push(database: &Path, life: i64, seed: u64) -> Self {
        Self::start("spool", database, &[life.to_string(), seed.to_string()])
    }

    /// Starts one that opens that buffer, waits for the rows in the spool and closes it, until it is killed.
    pub(crate) fn replay(database: &Path) -> Self {
        Self::start("replay", database, &[])
    }

    fn start(task: &str, database: &Path, arguments: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .arg(task)
            .arg(database)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line == "opening\n" {
            return Self(child);
        }
        let output = child.wait_with_output().unwrap();
        panic!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }

    /// Kills it when the moment has come.
    ///
    /// # Panics
    ///
    /// When it has ended by itself before: it had found something that was not as promised.
    pub(crate) fn killed_after(mut self, moment: Duration) {
        let moment = Instant::now() + moment;
        while let Some(rest) = moment.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        // A panic in it may have begun before the kill.
        assert!(status.signal() == Some(9) && !said.contains("panicked"), "{status}: {said}");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Has it ended already, this fails, and nothing is amiss.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
