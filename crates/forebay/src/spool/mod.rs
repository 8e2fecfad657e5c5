//! The spool: segments of the row log in memory-mapped files, so that accepted rows survive the process.

mod format;
