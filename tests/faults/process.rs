//! Another process, which does to a database what only another process can.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// The program `fault-other`, until it has done its part or the test ends.
pub(crate) struct Other(Child);

impl Other {
    /// Rows that `write` has written when it says so; their ids are -1, -2 and so on.
    pub(crate) const WRITTEN: i64 = 2_000;

    /// Starts it, and blocks until it has got as far as it says.
    pub(crate) fn start(arguments: &[&OsStr]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-other"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "so far\n", "{arguments:?}");
        Self(child)
    }

    /// Lets it end, and blocks until it has.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        let mut rest = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        assert!(self.0.wait().unwrap().success());
    }

    /// Kills it in the midst of whatever it does.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Has it ended already, this fails, and nothing is amiss.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command that does its part and ends.
pub(crate) fn run(program: &str, arguments: &[&OsStr]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
