//! Ctrl-C and SIGTERM: the first ends a command in good order, the second at once.

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::failure::{Failure, Result};
use crate::screen::Screen;

/// Calls `first` with the number of the first signal. At the second, or when `first` says that there is nothing
/// to end in good order, the process exits.
///
/// # Errors
///
/// When signals cannot be watched.
pub fn watch(screen: &Screen, first: impl Fn(i32) -> bool + Send + 'static) -> Result<()> {
    let failed = |error| Failure::new(format!("cannot watch for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let screen = screen.clone();
    let watcher = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut told = false;
        for signal in signals.forever() {
            if told || !first(signal) {
                screen.end_progress();
                screen.line("stopped at once: what was not committed yet is not in the table");
                low_level::exit(128 + signal);
            }
            told = true;
        }
    });
    watcher.map_err(failed)?;
    Ok(())
}
