//! The spool: segments of the row log in memory-mapped files, so that accepted rows survive the process.

mod definition;
mod files;
mod format;
mod identity;
mod image;
mod refusal;
mod scan;

pub(crate) use definition::Definition;
