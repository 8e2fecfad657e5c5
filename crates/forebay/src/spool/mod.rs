//! The spool: segments of the row log in memory-mapped files, so that accepted rows survive the process.

#[cfg(any(test, fuzzing))]
mod any_bytes;
mod definition;
mod files;
mod format;
mod gather;
mod identity;
mod image;
mod inspect;
mod lock;
mod rebuild;
mod refusal;
mod salvage;
mod scan;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use any_bytes::check_segment;
pub(crate) use definition::Definition;
pub use inspect::{Inspection, Segment, SegmentState, Table, inspect};
pub use salvage::{Salvaged, Unread, salvage};

#[cfg(test)]
mod tests;
