//! Ctrl-C, SIGTERM and a terminal that goes: the first ends a command in good order, the second at once.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;

/// How long it may take for a signal to be heard of, at the most, on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Which signal has come, known as soon as it has.
#[derive(Clone)]
pub struct Signalled(Arc<AtomicUsize>);

impl Signalled {
    /// The number of the last signal that came.
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// The same, for a signal that was sent but may still be on its way here. Blocks for a tenth of a second at the
    /// most.
    pub fn signal_on_its_way(&self) -> Option<i32> {
        let sent = Instant::now();
        while self.signal().is_none() && sent.elapsed() < ON_ITS_WAY {
            thread::park_timeout(ON_ITS_WAY / 100);
        }
        self.signal()
    }
}

/// Calls `stop` at every signal, also when the terminal goes: for a command that ends soon then, and cleans up.
///
/// # Errors
///
/// When signals cannot be watched.
pub fn heed(stop: impl Fn() + Send + 'static) -> Result<Signalled> {
    let failed = |error| Failure::new(format!("cannot watch for signals: {error}"));
    let watched = watched();
    let mut signals = Signals::new(&watched).map_err(failed)?;
    let signalled = note(&watched).map_err(failed)?;
    let watcher = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            stop();
        }
    });
    watcher.map_err(failed)?;
    Ok(signalled)
}

/// The signals that end a command: a terminal that goes is none when the command was started to outlive it, by `nohup`.
fn watched() -> Vec<i32> {
    let mut watched = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        watched.push(SIGHUP);
    }
    watched
}

/// Whether whoever started the command had it ignore a signal, as far as the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    // The lowest bit is signal 1.
    bits.is_some_and(|bits| bits >> (signal - 1) & 1 == 1)
}

/// Notes which of these signals has come.
fn note(signals: &[i32]) -> io::Result<Signalled> {
    let signalled = Arc::new(AtomicUsize::new(0));
    for signal in signals {
        flag::register_usize(*signal, Arc::clone(&signalled), signal.unsigned_abs() as usize)?;
    }
    Ok(Signalled(signalled))
}

/// Calls `first` at the first signal. At the second the process exits, saying `at_once`; so it does, saying `before`, when
/// `first` says that there is nothing to end in good order.
///
/// # Errors
///
/// When signals cannot be watched.
pub fn watch(
    screen: &Screen,
    at_once: &'static str,
    before: &'static str,
    first: impl Fn() -> bool + Send + 'static,
) -> Result<Signalled> {
    let failed = |error| Failure::new(format!("cannot watch for signals: {error}"));
    let watched = watched();
    let mut signals = Signals::new(&watched).map_err(failed)?;
    let signalled = note(&watched).map_err(failed)?;
    let screen = screen.clone();
    let watcher = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut told = false;
        for signal in signals.forever() {
            if told {
                screen.end_progress();
                screen.line(format_args!("stopped at once: {at_once}"));
                low_level::exit(Exit::Stopped.code().into());
            }
            if !first() {
                screen.line(format_args!("stopped before {before}"));
                low_level::exit(Exit::Interrupted(signal).code().into());
            }
            told = true;
        }
    });
    watcher.map_err(failed)?;
    Ok(signalled)
}
