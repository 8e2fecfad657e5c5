//! One trial, seen from outside: programs are started, told to go, and asked how it went.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use forebay_trial::{Answer, Outcome, Request};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group, setrlimit,
    waitid,
};

use crate::contender::Program;
use crate::error::{Error, Result};

/// How long a program may take for what is not measured: to open what it needs, and to commit what is left.
const PATIENCE: Duration = Duration::from_secs(120);
/// How soon a stop is noticed.
const LOOK: Duration = Duration::from_millis(50);
/// How soon the end of a program is noticed.
const STEP: Duration = Duration::from_millis(1);
/// How long a program that has closed its output may take to end.
const GRACE: Duration = Duration::from_secs(1);
/// What is told of a program's standard error, in bytes from its end.
const TOLD: usize = 1_000;

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

/// Has this process open as many files as the system lets it: a contender with a process for each worker takes two of
/// each, and every connection of a contender, which inherits this, takes some.
pub(crate) fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, what is tried and cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// What programs write to standard error, all of a trial into one file.
#[derive(Debug, Clone)]
pub(crate) struct Errors(Arc<File>);

impl Errors {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(|error| {
            Error::new(format!("cannot make a file for what contenders write: {error}"))
        })?;
        Ok(Self(Arc::new(file)))
    }

    /// The end of it, after a colon.
    fn last_words(&self) -> String {
        let mut text = vec![0; TOLD];
        let length = self.0.metadata().map_or(0, |file| file.len());
        // By its place: programs that still write share the position.
        let read = self.0.read_at(&mut text, length.saturating_sub(TOLD as u64)).unwrap_or(0);
        match String::from_utf8_lossy(&text[..read]).trim() {
            "" => String::new(),
            words => format!(": {words}"),
        }
    }
}

/// A program under way. Dropping it kills it, with all that it has started.
pub(crate) struct Running {
    name: String,
    child: Child,
    /// Whether it has ended and was waited for.
    is_over: bool,
    input: ChildStdin,
    answers: Receiver<String>,
    errors: Errors,
    stop: Stop,
    patience: Duration,
}

impl Running {
    /// Starts a program and asks it for a trial.
    pub(crate) fn start(
        program: &Program,
        request: &Request,
        errors: &Errors,
        stop: &Stop,
    ) -> Result<Self> {
        let name = request.contender.clone();
        let command = program.command.display();
        let failed =
            |error: io::Error| Error::new(format!("cannot start {command} for {name}: {error}"));
        let mut child = Command::new(&program.command)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.0.try_clone().map_err(failed)?)
            // Ctrl-C at a terminal is for whoever runs the bench: a contender must not seem to have failed of it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| Error::new(format!("{command} has no pipes")))?;
        let (sender, answers) = mpsc::channel();
        let mut running = Self {
            name,
            child,
            is_over: false,
            input,
            answers,
            errors: errors.clone(),
            stop: stop.clone(),
            patience: PATIENCE,
        };
        thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(io::Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Error::new(format!("cannot listen to {}: {error}", running.name)))?;
        let text = serde_json::to_string(request).map_err(|error| Error::new(error.to_string()))?;
        running.tell(&text)?;
        Ok(running)
    }

    /// Blocks until the program is ready.
    pub(crate) fn ready(&mut self) -> Result<()> {
        match self.answer(self.patience)? {
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
        let outcome = match self.answer(time + self.patience)? {
            Answer::Outcome(outcome) => *outcome,
            _ => return Err(self.confused()),
        };
        // Its files must be closed before the database is looked at.
        match self.end(self.patience)? {
            Some(_) => Ok(outcome),
            None => Err(Error::new(format!(
                "{} has answered and does not end, for {:?}",
                self.name, self.patience
            ))),
        }
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
                Err(RecvTimeoutError::Disconnected) => return Err(self.silence()),
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

    /// Why there is no answer from a program that has closed its output.
    fn silence(&mut self) -> Error {
        let ended = match self.end(self.patience.min(GRACE)) {
            Ok(Some(status)) => format!("has ended without an answer ({status})"),
            Ok(None) => "has closed its output without an answer".to_owned(),
            Err(error) => return error,
        };
        Error::new(format!("{} {ended}{}", self.name, self.errors.last_words()))
    }

    /// Blocks until it has ended; `None` when it has not for so long.
    fn end(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + patience;
        while !self.has_ended() {
            if self.stop.is_stopped() {
                return Err(Error::stopped());
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            thread::park_timeout(STEP);
        }
        let ended = self.wait();
        ended
            .map(Some)
            .map_err(|error| Error::new(format!("cannot wait for {}: {error}", self.name)))
    }

    /// Looks whether it has, and leaves it to be waited for: until then its number is nobody else's.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let pid = Pid::from_child(&self.child);
        // What cannot be asked for cannot be waited for either, and that says why.
        self.is_over || !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(Errno::INTR))
    }

    /// Kills what is left of its group, and waits for it.
    fn wait(&mut self) -> io::Result<ExitStatus> {
        if !self.is_over {
            // One that has ended, with all that it started, is gone already.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let status = self.child.wait()?;
        self.is_over = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::ErrorKind;
    use crate::report::tests::plan;

    const READY: &str = r#"echo '{"ready":{}}'; read go; "#;
    const OUTCOME: &str = r#"echo '{"outcome":{"workers":"threads","versions":{},"seconds":1,"rows":0,
        "acknowledged":[],"latency":[],"cpu_seconds":0}}' | tr -d '\n'; echo; "#;

    /// A program that is this shell script, which has read its request.
    fn started(script: &str) -> Running {
        let program = Program {
            command: "sh".into(),
            arguments: vec!["-c".into(), format!("read request; {script}").into()],
        };
        let plan = plan();
        let request = plan.request(&plan.contenders[0], plan.modes[0], "topics.db".into());
        let errors = Errors::new().unwrap();
        Running::start(&program, &request, &errors, &Stop::default()).unwrap()
    }

    /// Runs a trial with such a program, for which nobody waits long.
    fn failure(script: &str) -> String {
        let mut running = started(&format!("{READY}{script}"));
        running.ready().unwrap();
        running.go().unwrap();
        running.patience = Duration::from_millis(200);
        running.outcome(Duration::ZERO).unwrap_err().to_string()
    }

    #[test]
    fn a_program_that_answers_and_ends_gives_its_outcome() {
        let mut running = started(&format!("{READY}{OUTCOME}"));
        running.ready().unwrap();
        running.go().unwrap();
        assert_eq!(running.outcome(Duration::ZERO).unwrap().timed_every, 1);
    }

    #[test]
    fn a_program_that_does_not_end_does_not_hang_the_run() {
        let never = "read more";
        for (script, expected) in [
            (format!("{OUTCOME}{never}"), "rollback has answered and does not end, for 200ms"),
            (never.to_owned(), "rollback did not answer for 200ms"),
            (
                format!("echo lost >&2; exec >&-; {never}"),
                "rollback has closed its output without an answer: lost",
            ),
            ("echo lost >&2; exit 7".to_owned(), "(exit status: 7): lost"),
        ] {
            let failure = failure(&script);
            assert!(failure.contains(expected), "{script} is told as {failure}");
        }
    }

    #[test]
    fn a_stop_is_heeded_while_a_program_does_not_end() {
        let mut running = started("exec >&-; read more");
        running.stop.stop();
        assert_eq!(running.end(PATIENCE).unwrap_err().kind(), ErrorKind::Stopped);
    }

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("alive");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let held = |path: &Path| format!("exec 3>{}; sleep 3600 & wait", path.display());
        let running = started(&held(&fifo));
        // Opens once it is held open for writing, and ends when nobody holds it any more.
        let mut alive = File::open(&fifo).unwrap();
        drop(running);
        assert_eq!(io::copy(&mut alive, &mut io::sink()).unwrap(), 0);
    }
}
