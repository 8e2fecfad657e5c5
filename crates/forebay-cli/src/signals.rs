//! Ctrl-C and SIGTERM: the first ends a command in good order, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;

/// Which signal has come, known as soon as it has.
#[derive(Clone)]
pub struct Signalled(Arc<AtomicUsize>);

impl Signalled {
    /// The number of the last signal that came.
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }
}

/// Calls `first` with the number of the first signal. At the second, or when `first` says that there is nothing
/// to end in good order, the process exits.
///
/// # Errors
///
/// When signals cannot be watched.
pub fn watch(screen: &Screen, first: impl Fn(i32) -> bool + Send + 'static) -> Result<Signalled> {
    let failed = |error| Failure::new(format!("cannot watch for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let signalled = Arc::new(AtomicUsize::new(0));
    for (signal, number) in [(SIGINT, SIGINT as usize), (SIGTERM, SIGTERM as usize)] {
        flag::register_usize(signal, Arc::clone(&signalled), number).map_err(failed)?;
    }
    let screen = screen.clone();
    let watcher = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut told = false;
        for signal in signals.forever() {
            if told {
                screen.end_progress();
                screen.line("stopped at once: what was not committed yet is not in the table");
                low_level::exit(Exit::Stopped.code().into());
            }
            if !first(signal) {
                screen.line("stopped before anything was loaded");
                low_level::exit(Exit::Interrupted(signal).code().into());
            }
            told = true;
        }
    });
    watcher.map_err(failed)?;
    Ok(Signalled(signalled))
}
