//! `forebay spool`: looks into a spool, writes its rows without the application, saves what can be read of a damaged one.

pub mod args;
mod books;
mod folder;
mod inspect;
mod replay;
mod report;
mod salvage;

use crate::failure::{Exit, Result};
use crate::screen::Screen;
use args::{Spool, Task};

/// Runs the command.
///
/// # Errors
///
/// When there is no spool to look at, or what was asked for could not be done. What is wrong with a spool that is only looked at
/// is no error.
pub fn run(args: &Spool, screen: &Screen) -> Result<Exit> {
    match &args.task {
        Task::Inspect(args) => inspect::run(args),
        Task::Replay(args) => {
            replay::run(&args.folder, args.database.as_deref(), args.adopt, screen)
        }
        Task::Salvage(args) => salvage::run(args, screen),
    }
}
