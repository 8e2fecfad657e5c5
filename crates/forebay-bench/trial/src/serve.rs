//! The contender's side of the protocol.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use crate::{Answer, Error, Failed, Outcome, PROTOCOL, Ready, Request, Result};

/// The moment to begin: whoever has it opens what the trial needs, then waits for it.
#[must_use = "the trial begins when it is waited for"]
pub struct Start(());

impl Start {
    /// Says that everything is open, and blocks until the word comes to go.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub fn wait(self) -> Result<()> {
        answer(&Answer::Ready(Ready {}))?;
        match line()?.trim() {
            "go" => Ok(()),
            other => Err(format!("instead of `go` came {other:?}").into()),
        }
    }
}

/// Reads a request from standard input, has it done, and answers on standard output: the `main` of a contender.
pub fn serve(run: impl FnOnce(&Request, Start) -> Result<Outcome>) -> ExitCode {
    let done = request().and_then(|request| run(&request, Start(())));
    let failed = |error: Error| Answer::Failed(Failed { message: error.to_string() });
    let (last, code) = match done {
        Ok(outcome) => (Answer::Outcome(Box::new(outcome)), ExitCode::SUCCESS),
        Err(error) => (failed(error), ExitCode::FAILURE),
    };
    // Where nobody reads, nobody can be told.
    answer(&last).map_or(ExitCode::FAILURE, |()| code)
}

fn request() -> Result<Request> {
    let text = line()?;
    let request: Request = serde_json::from_str(&text).map_err(|error| {
        format!("the request cannot be read, it must be one line of JSON: {error}")
    })?;
    if request.protocol == PROTOCOL {
        Ok(request)
    } else {
        let message = format!(
            "the request speaks version {} of the protocol, and this program version {PROTOCOL}: build them from \
             one source",
            request.protocol
        );
        Err(message.into())
    }
}

fn line() -> Result<String> {
    let mut text = String::new();
    match io::stdin().lock().read_line(&mut text)? {
        0 => Err("standard input has ended: this program is started by `forebay bench`".into()),
        _ => Ok(text),
    }
}

fn answer(answer: &Answer) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
