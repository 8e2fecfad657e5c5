//! A program as a child: started, told, heard, and ended with all that it has started.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use forebay_bench::Stop;
use forebay_cli::failure::{Failure, Result, because};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;

/// How long a child may take for its next line, or to end.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// How long it may clean up when it is told to end.
const GRACE: Duration = Duration::from_secs(20);
/// How soon a stop, and its end, are noticed.
const LOOK: Duration = Duration::from_millis(20);
/// What is told of its standard error, in bytes from its end.
const TOLD: u64 = 1_000;

/// A child. Dropping it ends it: first it may clean up, then it is killed.
pub(crate) struct Child {
    name: String,
    process: process::Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: File,
    stop: Stop,
}

/// One that has ended.
pub(crate) struct Ended {
    /// What it has printed.
    pub(crate) output: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    last_words: String,
}

impl Child {
    /// Starts it in a process group of its own: a signal to this program is passed on when it stops.
    pub(crate) fn start(name: &str, mut command: Command, stop: &Stop) -> Result<Self> {
        let program = command.get_program().display().to_string();
        let failed = |error: std::io::Error| {
            Failure::new(format!("cannot start {name} ({program}): {}", because(&error)))
        };
        let errors = tempfile::tempfile().map_err(failed)?;
        let told = errors.try_clone().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(told).process_group(0);
        let mut process = command.spawn().map_err(failed)?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (input, output) = pipes.ok_or_else(|| Failure::new(format!("{name} has no pipes")))?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name: name.to_owned(), process, input, lines, errors, stop: stop.clone() })
    }

    /// Gives it a line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let told = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        told.map_err(|error| Failure::new(format!("{} does not listen: {error}", self.name)))
    }

    /// Blocks until it prints a line; `None` once it has closed its output.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.heed(until)?;
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Blocks until it has ended.
    pub(crate) fn end(mut self) -> Result<Ended> {
        let mut output = String::new();
        while let Some(line) = self.line()? {
            output += &line;
            output.push('\n');
        }
        let until = Instant::now() + PATIENCE;
        loop {
            self.heed(until)?;
            if let Some(status) = self.look()? {
                return Ok(Ended { output, status, last_words: last_words(&mut self.errors) });
            }
            thread::park_timeout(LOOK);
        }
    }

    /// Blocks until it has ended well.
    pub(crate) fn success(self) -> Result<String> {
        let name = self.name.clone();
        let ended = self.end()?;
        if ended.status.success() { Ok(ended.output) } else { Err(ended.failure(&name)) }
    }

    /// Blocks until it has ended well, and reads its answer, a line of JSON.
    pub(crate) fn answer<T: DeserializeOwned>(self) -> Result<T> {
        let name = self.name.clone();
        let output = self.success()?;
        serde_json::from_str(&output).map_err(|error| {
            Failure::new(format!("{name} has answered what is no answer: {error}"))
        })
    }

    /// Fails when this program is to stop, or the time is over.
    fn heed(&self, until: Instant) -> Result<()> {
        if self.stop.is_stopped() {
            return Err(stopped());
        }
        if Instant::now() >= until {
            return Err(Failure::new(format!("{} did not go on for {PATIENCE:?}", self.name)));
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.process.try_wait();
        status.map_err(|error| Failure::new(format!("cannot wait for {}: {error}", self.name)))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Until it has been waited for, its number is nobody else's.
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        let group = Pid::from_child(&self.process);
        let _ = kill_process_group(group, Signal::TERM);
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::park_timeout(LOOK);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.process.wait();
    }
}

impl Ended {
    /// Why it is no success.
    pub(crate) fn failure(&self, name: &str) -> Failure {
        Failure::new(format!("{name} has ended with {}{}", self.status, self.last_words))
    }
}

/// What is told of a measurement when a signal has come.
pub(crate) fn stopped() -> Failure {
    Failure::new("a signal ended it")
}

/// The end of what a child has told, after a colon.
fn last_words(errors: &mut File) -> String {
    let length = errors.metadata().map_or(0, |file| file.len());
    let mut text = Vec::new();
    let read = errors
        .seek(SeekFrom::Start(length.saturating_sub(TOLD)))
        .and_then(|_| errors.read_to_end(&mut text));
    let words = String::from_utf8_lossy(&text);
    match (read, words.trim()) {
        (Ok(_), words) if !words.is_empty() => format!(": {words}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stop: &Stop) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("the shell", command, stop).unwrap()
    }

    #[test]
    fn a_child_is_told_and_heard_line_by_line() {
        let mut child = shell("echo ready; read line; echo \"[1, $line]\"", &Stop::default());
        assert_eq!(child.line().unwrap().as_deref(), Some("ready"));
        child.tell("2").unwrap();
        assert_eq!(child.answer::<[u32; 2]>().unwrap(), [1, 2]);
    }

    #[test]
    fn a_failure_has_the_last_words_with_it() {
        let failure = shell("echo lost >&2; exit 3", &Stop::default()).success().unwrap_err();
        assert_eq!(failure.message(), "the shell has ended with exit status: 3: lost");
        let missing = Child::start("it", Command::new("/nowhere"), &Stop::default());
        let why = missing.err().unwrap();
        assert_eq!(why.message(), "cannot start it (/nowhere): there is no such file or folder");
    }

    #[test]
    fn a_stop_ends_a_child_that_may_clean_up_first() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        let stop = Stop::default();
        let script =
            format!("trap 'rm {0}; exit' TERM; touch {0}; echo ready; read never", left.display());
        let mut child = shell(&script, &stop);
        assert_eq!(child.line().unwrap().as_deref(), Some("ready"));
        assert!(left.exists());
        stop.stop();
        assert_eq!(child.end().err().unwrap().message(), "a signal ended it");
        assert!(!left.exists());
    }
}
