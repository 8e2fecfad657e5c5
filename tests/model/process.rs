//! The child process, from outside: asked, heard, closed or killed. It ends with this side of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use forebay::Config;

use crate::fates::Account;
use crate::lives::THREADS;
use crate::protocol::{Reply, Request};

/// An answer that takes longer never comes.
const HANG: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    replies: Receiver<Reply>,
}

impl Process {
    pub(crate) fn start(path: &Path, config: &Config) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_model-child"))
            .arg(path)
            .arg(serde_json::to_string(config).expect("settings"))
            .arg(THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (sender, replies) = channel();
        thread::spawn(move || {
            // The last line of one that was killed may be cut.
            let lines = output.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok());
            let _ = lines.map(|reply| sender.send(reply)).all(|sent| sent.is_ok());
        });
        Self { child, input, replies }
    }

    /// One that has ended is asked in vain.
    pub(crate) fn ask(&mut self, request: &Request) {
        let line = serde_json::to_string(request).expect("a request") + "\n";
        if let Some(input) = &mut self.input {
            let _ = input.write_all(line.as_bytes());
        }
    }

    /// Hears the replies until so many steps are done, or the child has ended.
    pub(crate) fn hear(&mut self, account: &mut Account, steps: usize) {
        let mut done = 0;
        while done < steps {
            match self.replies.recv_timeout(HANG) {
                Ok(Reply::Done) => done += 1,
                Ok(reply) => account.note(reply),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the child hangs after {done} steps"),
            }
        }
    }

    pub(crate) fn close(mut self, account: &mut Account, patience: Duration) {
        self.ask(&Request::Close { patience });
        self.hear(account, usize::MAX);
        let ended = self.child.wait().expect("it is there");
        assert!(ended.success() || account.may_abort(), "the child: {ended}");
    }

    pub(crate) fn kill(mut self, account: &mut Account) {
        self.child.kill().expect("it is there");
        self.hear(account, usize::MAX);
        let ended = self.child.wait().expect("it is there");
        let as_asked = match ended.signal() {
            Some(SIGKILL) => true,
            Some(SIGABRT) => account.may_abort(),
            _ => false,
        };
        assert!(as_asked, "the child, before it was killed: {ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
