//! One trial, seen from outside: programs are started, told to go, and asked how it went.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use forebay_trial::{Answer, Outcome, Request};

use crate::contender::Program;
use crate::error::{Error, Result};

/// How long a program may take for what is not measured: to open what it needs, and to commit what is left.
const PATIENCE: Duration = Duration::from_secs(120);
/// How soon a stop is noticed.
const LOOK: Duration = Duration::from_millis(50);
/// What is told of a program's standard error, in bytes from its end.
const TOLD: i64 = 1_000;

/// Says that a run must end, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run: the trial at hand is broken off.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it must end.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A program under way. Dropping it kills it.
pub(crate) struct Running {
    name: String,
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    errors: File,
    stop: Stop,
}

impl Running {
    /// Starts a program and asks it for a trial.
    pub(crate) fn start(program: &Program, request: &Request, stop: &Stop) -> Result<Self> {
        let name = request.contender.clone();
        let command = program.command.display();
        let failed = |error: std::io::Error| {
            Error::new(format!("cannot start {command} for {name}: {error}"))
        };
        let errors = tempfile::tempfile().map_err(failed)?;
        let mut child = Command::new(&program.command)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().map_err(failed)?)
            // Ctrl-C at a terminal is for whoever runs the bench: a contender must not seem to have failed of it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| Error::new(format!("{command} has no pipes")))?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut running = Self { name, child, input, answers, errors, stop: stop.clone() };
        let text = serde_json::to_string(request).map_err(|error| Error::new(error.to_string()))?;
        running.tell(&text)?;
        Ok(running)
    }

    /// Blocks until the program is ready.
    pub(crate) fn ready(&mut self) -> Result<()> {
        match self.answer(PATIENCE)? {
            Answer::Ready(_) => Ok(()),
            _ => Err(self.confused()),
        }
    }

    /// Tells it to go.
    pub(crate) fn go(&mut self) -> Result<()> {
        self.tell("go")
    }

    /// Blocks until it says how it went. `time` is how long it measures.
    pub(crate) fn outcome(&mut self, time: Duration) -> Result<Outcome> {
        let outcome = match self.answer(time + PATIENCE)? {
            Answer::Outcome(outcome) => *outcome,
            _ => return Err(self.confused()),
        };
        // Its files must be closed before the database is looked at.
        let ended = self.child.wait();
        ended.map_err(|error| Error::new(format!("cannot wait for {}: {error}", self.name)))?;
        Ok(outcome)
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let told = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        // It may have said why before it went.
        told.map_err(|error| match self.answer(LOOK) {
            Err(failure) => failure,
            Ok(_) => Error::new(format!("{} does not listen: {error}", self.name)),
        })
    }

    fn answer(&mut self, patience: Duration) -> Result<Answer> {
        let until = Instant::now() + patience;
        let line = loop {
            if self.stop.is_stopped() {
                return Err(Error::stopped());
            }
            match self.answers.recv_timeout(LOOK) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(format!(
                        "{} did not answer for {patience:?}",
                        self.name
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let words = self.last_words();
                    let status = self
                        .child
                        .wait()
                        .map_or_else(|_| String::new(), |status| format!(" ({status})"));
                    return Err(Error::new(format!(
                        "{} has ended without an answer{status}{words}",
                        self.name
                    )));
                }
            }
        };
        match serde_json::from_str(&line) {
            Ok(Answer::Failed(failed)) => Err(Error::new(failed.message)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Error::new(format!(
                "{} answered what the protocol does not know: {error}",
                self.name
            ))),
        }
    }

    fn confused(&self) -> Error {
        Error::new(format!("{} answered out of turn", self.name))
    }

    /// The end of what it wrote to standard error.
    fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        let length = self.errors.seek(SeekFrom::End(0)).unwrap_or(0) as i64;
        let from = (length - TOLD).max(0) as u64;
        let read = self
            .errors
            .seek(SeekFrom::Start(from))
            .and_then(|_| self.errors.read_to_end(&mut text));
        match (read, String::from_utf8_lossy(&text).trim()) {
            (Ok(_), words) if !words.is_empty() => format!(": {words}"),
            _ => String::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
